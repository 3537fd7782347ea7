"""A content-addressed cache: an entry is stored under the hash of all that decides its content."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from striate.core.files import atomic_path, locked, write_json
from striate.core.hashing import hash_json


def default_cache() -> Path:
    """Return the cache folder: `$STRIATE_CACHE`, else `~/.cache/striate`."""
    return Path(os.environ.get("STRIATE_CACHE") or Path.home() / ".cache" / "striate")


class Cache:
    """A folder of entries, each a folder named by the hash of its key.

    Args:
        root: folder of the entries; made when first needed. Default: `default_cache()`.
    """

    def __init__(self, root: str | Path | None = None) -> None:
        self.root = Path(root) if root is not None else default_cache()

    def path(self, kind: str, key: Mapping[str, Any]) -> Path:
        """Return the path of the entry for `key`, whether it exists or not."""
        digest = hash_json(dict(key))
        return self.root / kind / digest[:2] / digest

    def get(self, kind: str, key: Mapping[str, Any], build: Callable[[Path], None]) -> Path:
        """Return the entry's folder, calling `build(empty_folder)` first if it does not exist.

        The entry appears whole or not at all; if two processes want it, one builds and the other
        waits. The key is written into it as `key.json`.
        """
        entry = self.path(kind, key)
        if entry.is_dir():
            return entry
        with locked(entry.with_suffix(".lock")):
            if not entry.is_dir():
                # Left half built by a killed process: nobody else builds here now.
                for leftover in entry.parent.glob(f".{entry.name}.*"):
                    shutil.rmtree(leftover, ignore_errors=True)
                with atomic_path(entry) as temporary:
                    temporary.mkdir()
                    build(temporary)
                    write_json(temporary / "key.json", dict(key))
        return entry
