"""Reading `.npy` files without surprises: no pickles, errors that name the file and the bytes."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from striate.core.errors import InputError


def npy_shape(path: Path) -> tuple[tuple[int, ...], np.dtype, int]:
    """Return a `.npy` file's shape, dtype and the number of bytes it should have.

    Raises:
        InputError: missing file, or no `.npy` header.
    """
    try:
        with path.open("rb") as f:
            version = np.lib.format.read_magic(f)
            header = (
                np.lib.format.read_array_header_1_0(f)
                if version == (1, 0)
                else np.lib.format.read_array_header_2_0(f)
            )
            shape, _, dtype = header
            size = f.tell() + int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist.") from error
    except (ValueError, OSError) as error:
        raise InputError(
            f"{path} is not a .npy file ({error}; {path.stat().st_size:,} bytes)."
        ) from error
    return shape, dtype, size


def load_npy(path: Path, *, mmap: bool = True) -> np.ndarray:
    """Open a numeric `.npy` file as a read-only memory map.

    Raises:
        InputError: truncated file (bytes found and expected), or an array of Python objects.
    """
    shape, dtype, size = npy_shape(path)
    if dtype.hasobject:
        raise InputError(
            f"{path} holds Python objects, which could run code when read. Refused. Save the "
            "numbers as a float array: np.save(path, array.astype('float32'))."
        )
    present = path.stat().st_size
    if present < size:
        raise InputError(
            f"{path} is truncated: shape {shape} of {dtype} needs {size:,} bytes, the file has "
            f"{present:,}. Copy or download it again."
        )
    return np.load(path, mmap_mode="r" if mmap else None)


# What `pickle` raises on bytes that are none, or not all there.
_NO_PICKLE = (
    pickle.UnpicklingError,
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    MemoryError,
    OverflowError,
    TypeError,
    ValueError,
)


class _PlainUnpickler(pickle.Unpickler):
    """Builds numpy arrays of plain values and nothing else."""

    ALLOWED = frozenset(
        {
            ("numpy.core.multiarray", "_reconstruct"),
            ("numpy._core.multiarray", "_reconstruct"),
            ("numpy.core.multiarray", "scalar"),
            ("numpy._core.multiarray", "scalar"),
            ("numpy", "ndarray"),
            ("numpy", "dtype"),
        }
    )

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return super().find_class(module, name)


def load_plain_dict(path: Path) -> dict[Any, Any]:
    """Read a dict of plain values from a `.npy` file of objects, as the ROI mappings are stored.

    Only dicts, lists, numbers and strings are built; a file that asks for anything else is
    refused before it runs.

    Raises:
        InputError: naming the file and what it asked for.
    """
    _, dtype, _ = npy_shape(path)
    if not dtype.hasobject:
        raise InputError(f"{path} should hold a mapping of ROI labels, found an array of {dtype}.")
    with path.open("rb") as f:
        version = np.lib.format.read_magic(f)
        reader = (
            np.lib.format.read_array_header_1_0
            if version == (1, 0)
            else np.lib.format.read_array_header_2_0
        )
        reader(f)
        payload = f.read()
    try:
        value = _PlainUnpickler(io.BytesIO(payload)).load()
    except _NO_PICKLE as error:
        raise InputError(f"{path} is no plain mapping of ROI labels: {error}. Refused.") from error
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.item()
    if not isinstance(value, dict):
        raise InputError(f"{path} should hold a dict, found {type(value).__name__}.")
    return value
