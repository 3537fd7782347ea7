"""`read`: one call for every data set; one file a data set."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from striate.core.errors import InputError, unknown_name
from striate.data.readers.algonauts2023 import read_algonauts2023
from striate.data.readers.cowley_v4 import read_cowley_v4
from striate.data.readers.folder import read_folder
from striate.data.readers.freeman_ziemba import read_freeman_ziemba
from striate.data.readers.henaff_v1 import read_henaff_v1
from striate.data.responses.dataset import Dataset

READERS: dict[str, Callable[..., Dataset]] = {
    "algonauts2023": read_algonauts2023,
    "cowley_v4": read_cowley_v4,
    "folder": read_folder,
    "freeman_ziemba": read_freeman_ziemba,
    "henaff_v1": read_henaff_v1,
}


def read(name: str, path: str | Path, **selectors: Any) -> Dataset:
    """Read a data set.

    Args:
        name: `algonauts2023`, `cowley_v4`, `folder`, `freeman_ziemba` or `henaff_v1`.
        path: where it lies.
        selectors: `subjects`, and what else the reader takes (`hemispheres`, `rois`, `repeats`,
            `movies`, `subset`).

    Raises:
        InputError: unknown data set or selector (nearest offered), missing or damaged files.
    """
    if name not in READERS:
        raise unknown_name("data set", name, READERS)
    reader = READERS[name]
    known = [p for p in inspect.signature(reader).parameters if p != "path"]
    for selector in selectors:
        if selector not in known:
            raise unknown_name(f"selector of {name}", selector, known)
    # One name is a list of one; taken as a list, "lh" would be the hemispheres "l" and "h".
    selectors = {k: [v] if isinstance(v, str) else v for k, v in selectors.items()}
    path = Path(path).expanduser()
    if not path.is_dir():
        raise InputError(f"data folder {path} does not exist.")
    return reader(path, **selectors)


__all__ = ["READERS", "read"]
