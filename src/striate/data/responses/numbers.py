"""Numbers as they count: float32 or wider, in the machine's byte order, read when they are taken.

Sums in the type of a file wrap around (uint8), overflow (float16) or have no NaN for a missing
trial (whole numbers). So nothing is added up before it has one of the types of `counted_dtype`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from striate.core.errors import InputError


def counted_dtype(dtype: np.dtype[Any], owner: str) -> np.dtype[Any]:
    """Return the type in which stored numbers count: float32 where it holds them all, or float64.

    Args:
        dtype: as stored.
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
    """Return an array as numbers that count (see `counted_dtype`).

    What is one already is returned as it is. Other arrays in memory are converted; of those on
    disk (memory maps) only what is taken is read and converted, each time that it is taken.
    Masked values become NaN.

    Returns:
        The array, or one for `xarray.Variable` that converts on the way.
    """
    dtype = counted_dtype(values.dtype, owner)
    if isinstance(values, np.ma.MaskedArray):
        return np.ma.filled(values.astype(dtype), np.nan)
    if values.dtype == dtype:
        return values
    if not _on_disk(values):
        return values.astype(dtype)
    return converted(xr.Variable([f"dim{i}" for i in range(values.ndim)], values), dtype)


def converted(source: xr.Variable, dtype: np.dtype[Any]) -> indexing.LazilyIndexedArray:
    """Return an array that converts what is taken of `source`, and nothing before."""
    return indexing.LazilyIndexedArray(_Converted(source, dtype))


class _Converted(BackendArray):
    """What xarray indexes in place of an array: rows of another type, converted when taken."""

    def __init__(self, source: xr.Variable, dtype: np.dtype[Any]) -> None:
        self.source = source
        self.shape = source.shape
        self.dtype = dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        support = indexing.IndexingSupport.OUTER
        return indexing.explicit_indexing_adapter(key, self.shape, support, self._take)

    def _take(self, key: tuple[Any, ...]) -> np.ndarray:
        return np.asarray(self.source[key].values, dtype=self.dtype)


def _on_disk(values: np.ndarray) -> bool:
    """Whether an array is a view of a memory map."""
    array: Any = values
    while isinstance(array, np.ndarray):
        if isinstance(array, np.memmap):
            return True
        array = array.base
    return False
