"""Which files lie below a folder, linked ones with them; `pathlib` does not follow links there."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from striate.core.errors import InputError

MOST_LINKS = 8
"""Linked folders that one path may lead through (ours). Folders that link to each other crosswise
have far more paths than files."""


def files_below(folder: str | Path, wanted: Callable[[Path], bool]) -> list[Path]:
    """List the wanted files below a folder, sorted; linked folders and files are followed.

    Names are those below `folder`, not of what a link leads to. A link that leads back to a folder
    it lies in is passed over, so that a loop ends. Hidden folders and files (`.thumbnails/…`,
    macOS's `._a.png`, `__MACOSX`) are left out.

    Args:
        folder: where to look, to any depth.
        wanted: whether a file is wanted, by its path.

    Raises:
        InputError: a wanted file or a folder is a link to what is not there; a folder that cannot
            be listed; links that lead to each other crosswise.
    """
    found: list[Path] = []
    _collect(Path(folder), wanted, found, frozenset(), 0)
    return sorted(found)


def check_link(path: Path) -> None:
    """Refuse a link to what is not there: as a file it would be left out without a word.

    Raises:
        InputError: naming the link and its target.
    """
    if path.is_symlink() and not path.exists():
        raise InputError(
            f"{path} is a link to {path.readlink()}, which is not there. Fetch what it links to "
            "(of an annexed data set: datalad get), or remove the link."
        )


def check_links(folder: Path) -> None:
    """Refuse links to what is not there among the entries of a folder that are not hidden."""
    for path in sorted(folder.iterdir()):
        if not path.name.startswith("."):
            check_link(path)


def _collect(
    folder: Path,
    wanted: Callable[[Path], bool],
    found: list[Path],
    above: frozenset[tuple[int, int]],
    links: int,
) -> None:
    """Add the wanted files below one folder; `above` are the folders that it was reached by."""
    try:
        own = folder.stat()
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise InputError(f"folder {folder} cannot be listed: {error}.") from error
    key = (own.st_dev, own.st_ino)
    if key in above:
        return
    if links > MOST_LINKS:
        raise InputError(
            f"{folder} is reached through more than {MOST_LINKS} linked folders: links that lead "
            "to each other crosswise? Remove those that are not needed."
        )
    for entry in entries:
        path = folder / entry.name
        if entry.name.startswith(".") or entry.name == "__MACOSX":
            continue
        if entry.is_dir():
            _collect(path, wanted, found, above | {key}, links + entry.is_symlink())
            continue
        if wanted(path) or not path.suffix:  # without a suffix it is likely to lead to a folder
            check_link(path)
        if wanted(path) and entry.is_file():
            found.append(path)
