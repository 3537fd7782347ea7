"""The state of a run, written whole or not at all, so that a run can be killed at any moment.

Everything random in a step is drawn from (seed, step). Weights, optimizer and the step number are
therefore the complete state: there is no random-generator state to keep.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from striate.core.errors import InputError
from striate.core.files import atomic_path, explain_os_error

LAST = "last.pt"


@dataclass
class Standing:
    """How far a run has come.

    Attributes:
        step: optimizer steps done.
        epoch: epochs done.
        batch: steps done in the current epoch.
        loss_sum: sum of the losses of all stimuli of the current epoch so far.
        loss_count: number of those stimuli.
        best_score: best `select` score so far (higher is better), None before the first.
        best_epoch: number of epochs done when it was reached.
        metrics_bytes: length of metrics.jsonl at that moment.
    """

    step: int = 0
    epoch: int = 0
    batch: int = 0
    loss_sum: float = 0.0
    loss_count: int = 0
    best_score: float | None = None
    best_epoch: int = 0
    metrics_bytes: int = 0


class Checkpoints:
    """The checkpoints of one run: the last state and, with early stopping, the best weights.

    Args:
        folder: made if absent. Temporary files of a killed process are removed, so the caller
            must hold the run's lock.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for leftover in folder.glob(".*.pt.*"):
                leftover.unlink()
        except OSError as error:
            raise explain_os_error(error, folder) from error

    @property
    def last(self) -> Path:
        """Path of the last state."""
        return self.folder / LAST

    def best(self, epoch: int) -> Path:
        """Path of the weights after that number of epochs.

        Each epoch has its own file, so the last state always finds the weights that it names.
        """
        return self.folder / f"best-{epoch}.pt"

    def save(
        self, weights: Mapping[str, Any], optimizer: Mapping[str, Any], standing: Standing
    ) -> None:
        """Write the last state; then drop best weights that it no longer names."""
        state = {"weights": weights, "optimizer": optimizer, "standing": asdict(standing)}
        write(self.last, state)
        for path in self.folder.glob("best-*.pt"):
            if standing.best_score is None or path != self.best(standing.best_epoch):
                path.unlink(missing_ok=True)

    def load(self) -> tuple[dict[str, Any], dict[str, Any], Standing] | None:
        """Return weights, optimizer state and standing of the last state, or None."""
        if not self.last.exists():
            return None
        state = read(self.last)
        try:
            return state["weights"], state["optimizer"], Standing(**state["standing"])
        except (KeyError, TypeError) as error:
            raise InputError(f"{self.last} is no checkpoint of this version: {error}.") from error

    def clear(self) -> None:
        """Remove all checkpoints."""
        for path in [self.last, *self.folder.glob("best-*.pt")]:
            path.unlink(missing_ok=True)
        if not any(self.folder.iterdir()):
            self.folder.rmdir()


def write(path: Path, state: Any) -> None:
    """Write tensors and plain values atomically.

    Raises:
        StriateError: the disk is full; an older file stays.
    """
    # Written by way of memory, as torch's own writer raises a bare RuntimeError on a full disk.
    buffer = io.BytesIO()
    torch.save(state, buffer)
    with atomic_path(path) as temporary:
        temporary.write_bytes(buffer.getvalue())


def read(path: Path) -> Any:
    """Read what `write` wrote.

    Raises:
        InputError: a damaged file.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError) as error:
        raise InputError(
            f"checkpoint {path} is damaged ({error}). Delete {path.parent} to start anew."
        ) from error
