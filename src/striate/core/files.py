"""Files that are either whole or absent: atomic writes, and locks between processes."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from striate.core.errors import InputError, StriateError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import xarray as xr


@contextlib.contextmanager
def atomic_path(target: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `target`; on success it is flushed and replaces `target`.

    On any error the temporary path is removed and `target` is left as it was. This works for a
    file and for a folder (a folder must not exist yet).

    Raises:
        StriateError: the disk is full.
        InputError: the place cannot be written to.
    """
    target = Path(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        os.close(descriptor)
    except OSError as error:
        raise explain_os_error(error, target) from error
    temporary = Path(name)
    temporary.unlink()  # the caller may want a folder of this name
    try:
        yield temporary
        if temporary.is_file():
            with temporary.open("rb") as f:
                os.fsync(f.fileno())
            temporary.chmod(0o644)
        temporary.replace(target)
    except OSError as error:
        raise explain_os_error(error, target) from error
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            temporary.unlink(missing_ok=True)


def explain_os_error(error: OSError, path: Path) -> StriateError:
    """Turn an operating-system error while writing `path` into one that says what to do."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        free = shutil.disk_usage(_find_existing_parent(path)).free / 1e9
        return StriateError(
            f"disk full while writing {path} ({free:.2f} GB free). Nothing that was there is lost. "
            "Free some space or choose another output folder, then run the same command again."
        )
    if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM, errno.ENOTDIR, errno.EEXIST):
        return InputError(
            f"cannot write {path}: {error.strerror}. Choose a folder you can write to (--out for "
            "results, the environment variable STRIATE_CACHE for the cache)."
        )
    return StriateError(f"cannot write {path}: {error}")


def _find_existing_parent(path: Path) -> Path:
    """Return the nearest folder above a path, or the path itself, that exists."""
    path = path.absolute()
    while not path.exists():
        path = path.parent
    return path


def write_text(path: str | Path, text: str) -> None:
    """Write a text file atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: Any) -> None:
    """Write JSON atomically, indented, keys in the order given."""
    write_text(path, json.dumps(value, indent=2, default=str) + "\n")


def read_json(path: str | Path) -> Any:
    """Read a JSON file; errors name it."""
    path = Path(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist.") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not valid JSON: {error}.") from error


def read_json_lines(path: str | Path) -> list[Any]:
    """Read a log that holds one JSON value per line."""
    text = Path(path).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines() if line.strip()]


def read_parquet(path: str | Path) -> pd.DataFrame:
    """Read a parquet table that a run wrote; errors name it."""
    import pandas as pd  # here, because the core is also imported where there are no tables

    try:
        return pd.read_parquet(path)
    except FileNotFoundError as error:
        raise InputError(
            f"{path} does not exist. Is the run of another version, or copied in part?"
        ) from error
    except (OSError, ValueError) as error:  # pyarrow's own errors derive from these
        raise InputError(
            f"{path} is no table that can be read: {error}. Copy the run again, or call its "
            "command again with a new folder."
        ) from error


def write_table(path: str | Path, table: pd.DataFrame) -> None:
    """Write a table atomically, without its index: as CSV if the name says so, else as parquet."""
    with atomic_path(path) as temporary:
        if str(path).endswith(".csv"):
            table.to_csv(temporary, index=False)
        else:
            table.to_parquet(temporary, index=False)


def write_arrays(
    path: str | Path, arrays: Mapping[str, np.ndarray], *, compressed: bool = True
) -> None:
    """Write arrays by name as `.npz`, atomically."""
    import numpy as np

    save = np.savez_compressed if compressed else np.savez
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        save(file, allow_pickle=False, **dict(arrays))


def write_dataset(path: str | Path, dataset: xr.Dataset) -> None:
    """Write a dataset as netCDF, atomically."""
    with atomic_path(path) as temporary:
        dataset.to_netcdf(temporary, engine="h5netcdf")


@contextlib.contextmanager
def locked(path: str | Path, *, wait: bool = True) -> Iterator[None]:
    """Hold an exclusive lock named `path` (a small file is made there); other processes wait.

    The operating system holds the lock, so it ends with the process, however that dies.

    Raises:
        InputError: without `wait`, when another process holds it.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = path.open("a")
    except OSError as error:
        raise explain_os_error(error, path) from error
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError as error:
            raise InputError(
                f"another process is at work in {path.parent}. Wait for it, or choose another "
                "folder."
            ) from error
        yield
