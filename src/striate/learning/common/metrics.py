"""The log metrics.jsonl, which is cut back to the checkpoint on resume, and TensorBoard events."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from striate.core.errors import InputError
from striate.core.files import explain_os_error


class MetricsLog:
    """A log to which one JSON object is appended per step.

    Args:
        path: path of metrics.jsonl.
        keep_bytes: how much of the file a resumed run keeps; the rest is cut off.
        step: steps already done.
        tensorboard: folder for TensorBoard events, or None.

    Raises:
        InputError: a file that cannot be written, or TensorBoard is wanted and not installed.
    """

    def __init__(
        self, path: Path, keep_bytes: int = 0, step: int = 0, tensorboard: Path | None = None
    ) -> None:
        self.path = path
        self._board = _open_tensorboard(tensorboard, step) if tensorboard else None
        try:
            self._file = path.open("ab")
            self._file.truncate(keep_bytes)
        except OSError as error:
            raise explain_os_error(error, path) from error

    def write(self, values: Mapping[str, Any]) -> None:
        """Append one line."""
        try:
            self._file.write((json.dumps(dict(values)) + "\n").encode())
        except OSError as error:
            raise explain_os_error(error, self.path) from error
        if self._board:
            for name, value in values.items():
                if name != "step" and isinstance(value, int | float):
                    self._board.add_scalar(name, value, values["step"])

    def sync(self) -> int:
        """Bring all lines to disk; return the file's length."""
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            return self._file.seek(0, os.SEEK_END)
        except OSError as error:
            raise explain_os_error(error, self.path) from error

    def close(self) -> None:
        """Close the file and the TensorBoard writer."""
        try:
            self._file.close()
        except OSError as error:
            raise explain_os_error(error, self.path) from error
        finally:
            if self._board:
                self._board.close()


def _open_tensorboard(folder: Path, step: int) -> Any:
    """Return a TensorBoard writer that drops events from `step` on."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise InputError(
            "tensorboard: true needs the extra: pip install 'striate[tensorboard]'."
        ) from error
    return SummaryWriter(str(folder), purge_step=step or None)
