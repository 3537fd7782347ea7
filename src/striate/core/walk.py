"""Listing the files below a folder, also through links, which `pathlib` does not follow."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from striate.core.errors import InputError

MOST_LINKS = 8
"""How many linked folders one path may lead through (ours). Folders that link to each other
crosswise have far more paths than files."""


def files_below(folder: str | Path, is_wanted: Callable[[Path], bool]) -> list[Path]:
    """List the wanted files below a folder, sorted; linked folders and files are followed.

    Paths are those below `folder`, not those of link targets. A link that leads back to a folder
    above it is skipped, so that loops end. Hidden folders and files (`.thumbnails/…`, macOS's
    `._a.png`, `__MACOSX`) are left out.

    Args:
        folder: where to look, to any depth.
        is_wanted: whether a file is wanted, by its path.

    Raises:
        InputError: a wanted file or a folder is a link whose target is missing; a folder cannot
            be listed; links lead to each other crosswise.
    """
    files: list[Path] = []
    _collect_files(Path(folder), is_wanted, files, frozenset(), 0)
    return sorted(files)


def check_link(path: Path) -> None:
    """Refuse a link whose target is missing: it would be left out without a word.

    Raises:
        InputError: naming the link and its target.
    """
    if path.is_symlink() and not path.exists():
        raise InputError(
            f"{path} is a link to {path.readlink()}, which is not there. Fetch what it links to "
            "(of an annexed data set: datalad get), or remove the link."
        )


def check_links(folder: Path) -> None:
    """Refuse links with a missing target among the visible entries of a folder."""
    for path in sorted(folder.iterdir()):
        if not path.name.startswith("."):
            check_link(path)


def _collect_files(
    folder: Path,
    is_wanted: Callable[[Path], bool],
    files: list[Path],
    above: frozenset[tuple[int, int]],
    links: int,
) -> None:
    """Add the wanted files below one folder; `above` holds the folders that it was reached by."""
    try:
        status = folder.stat()
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise InputError(f"folder {folder} cannot be listed: {error}.") from error
    identity = (status.st_dev, status.st_ino)
    if identity in above:
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
            _collect_files(path, is_wanted, files, above | {identity}, links + entry.is_symlink())
            continue
        if is_wanted(path) or not path.suffix:  # without a suffix it is likely to lead to a folder
            check_link(path)
        if is_wanted(path) and entry.is_file():
            files.append(path)
