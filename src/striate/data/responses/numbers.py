"""Convert stored numbers to float32 or wider, in the machine's byte order, when they are read.

Sums in the type of a file wrap around (uint8), overflow (float16) or have no NaN for a missing
trial (whole numbers). All values are therefore converted to a type of `counted_dtype` before they
are added up.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from striate.core.errors import InputError


def counted_dtype(dtype: np.dtype[Any], owner: str) -> np.dtype[Any]:
    """Return the type to compute in: float32 where it can hold all stored numbers, else float64.

    Args:
        dtype: type of the stored numbers.
        owner: whose numbers they are, for the message.

    Raises:
        InputError: text, dates, complex numbers or objects, with what to do.

    >>> [str(counted_dtype(np.dtype(d), "")) for d in ("u1", "?", "<f2", ">f4", "<i4", ">f8")]
    ['float32', 'float32', 'float32', 'float32', 'float64', 'float64']
    """
    if dtype.kind in "fiub":
        return np.promote_types(np.float32, dtype) if dtype.itemsize <= 8 else np.dtype(np.float64)
    advice = {
        "c": "Give one real number a value, such as its magnitude: np.abs(array).",
        "M": "Dates are no responses; leave them out.",
        "m": "Give times as numbers of one unit: array / np.timedelta64(1, 'ms').",
    }.get(dtype.kind, "Save numbers: array.astype('float32').")
    raise InputError(f"{owner}: expected numbers, found dtype {dtype}. {advice}")


def as_counted(values: np.ndarray, owner: str) -> Any:
    """Convert an array to the type to compute in (see `counted_dtype`).

    An array of that type is returned as it is. Other arrays in memory are converted. Arrays on
    disk (memory maps) are converted part by part, each time that a part is read. Masked values
    become NaN.

    Returns:
        The array, or one for `xarray.Variable` that converts while it reads.
    """
    dtype = counted_dtype(values.dtype, owner)
    if isinstance(values, np.ma.MaskedArray):
        return np.ma.filled(values.astype(dtype), np.nan)
    if values.dtype == dtype:
        return values
    if not _is_on_disk(values):
        return values.astype(dtype)
    return converted(xr.Variable([f"dim{i}" for i in range(values.ndim)], values), dtype)


def converted(source: xr.Variable, dtype: np.dtype[Any]) -> indexing.LazilyIndexedArray:
    """Return an array that converts parts of `source` only when they are read."""
    return indexing.LazilyIndexedArray(_Converted(source, dtype))


class _Converted(BackendArray):
    """Array of another type that xarray indexes; parts are converted when they are read."""

    def __init__(self, source: xr.Variable, dtype: np.dtype[Any]) -> None:
        self.source = source
        self.shape = source.shape
        self.dtype = dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        support = indexing.IndexingSupport.OUTER
        return indexing.explicit_indexing_adapter(key, self.shape, support, self._read_part)

    def _read_part(self, key: tuple[Any, ...]) -> np.ndarray:
        """Read and convert the part at `key`."""
        return np.asarray(self.source[key].values, dtype=self.dtype)


def _is_on_disk(values: np.ndarray) -> bool:
    """Whether an array is a view of a memory map."""
    array: Any = values
    while isinstance(array, np.ndarray):
        if isinstance(array, np.memmap):
            return True
        array = array.base
    return False
