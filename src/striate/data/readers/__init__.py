"""`read`: one call for every data set; one module a data set, named here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from striate.core.errors import InputError, unknown_name
from striate.data.readers import algonauts2023, cowley_v4, folder, freeman_ziemba, henaff_v1
from striate.data.readers.reader import Reader
from striate.data.responses.dataset import Dataset

READERS: dict[str, Reader] = {}
"""By name. `recognize` asks the last one first, as `folder` fits many folders of other data."""


def register(reader: Reader) -> None:
    """Make a data set known to `read`, to configs, to `striate doctor` and to scorecards.

    Raises:
        InputError: its name is taken.
    """
    if reader.name in READERS:
        raise InputError(f"data set {reader.name!r} is taken. Register yours under another name.")
    READERS[reader.name] = reader


def unregister(name: str) -> None:
    """Forget a data set that `register` made known."""
    del READERS[name]


for _module in (folder, freeman_ziemba, henaff_v1, cowley_v4, algonauts2023):
    register(_module.READER)


def recognize(path: Path) -> Reader | None:
    """The reader of the data in a folder, by names of files alone; None if none knows them."""
    return next((r for r in reversed(READERS.values()) if r.recognize(path)), None)


def read(name: str, path: str | Path, **selectors: Any) -> Dataset:
    """Read a data set.

    Args:
        name: `algonauts2023`, `cowley_v4`, `folder`, `freeman_ziemba`, `henaff_v1`, or one that
            was registered.
        path: where it lies.
        selectors: `subjects`, and what else the reader takes (`hemispheres`, `rois`, `repeats`,
            `movies`, `subset`).

    Raises:
        InputError: unknown data set or selector (nearest offered), missing or damaged files.
    """
    if name not in READERS:
        raise unknown_name("data set", name, sorted(READERS))
    reader = READERS[name]
    for selector in selectors:
        if selector not in reader.selectors:
            raise unknown_name(f"selector of {name}", selector, reader.selectors)
    # One name is a list of one; taken as a list, "lh" would be the hemispheres "l" and "h".
    selectors = {k: [v] if isinstance(v, str) else v for k, v in selectors.items()}
    path = Path(path).expanduser()
    if not path.is_dir():
        raise InputError(f"data folder {path} does not exist.")
    return reader.read(path, **selectors)


__all__ = ["READERS", "Reader", "read", "recognize", "register", "unregister"]
