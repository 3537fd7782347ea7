"""Ties of computed numbers: values that are equal but for rounding are made equal before ranking.

Equal distances seldom come out equal to the last bit: a third of a feature is rounded, sums are
taken in another order. Ranks then turn rounding into an order. How far apart two equal values can
be computed is known where they are computed (`tolerance`), so that is where they are merged.
"""

from __future__ import annotations

import numpy as np

RELATIVE = 1e-10
"""Share of a float64 dissimilarity from elsewhere below which a difference is rounding."""
ABSOLUTE = 2.0**-48
"""The same as a share of the largest one: sixteen roundings."""


def precision(values: np.ndarray) -> float:
    """Distance from 1 to the next number in an array's type, that of float64 for whole numbers.

    >>> precision(np.zeros(2, np.float32)), precision(np.zeros(2, int)) == 2.0**-52
    (1.1920928955078125e-07, True)
    """
    kind = values.dtype if values.dtype.kind == "f" else np.dtype(np.float64)
    return max(float(np.finfo(kind).eps), float(np.finfo(np.float64).eps))


def merge_ties(values: np.ndarray, tolerance: np.ndarray | float) -> np.ndarray:
    """Make values equal that differ by no more than `tolerance`.

    Neighbors in order that are no farther apart than the tolerance are joined. Where many values
    lie so close that they would all become one, they are joined in steps of two tolerances: no
    value moves farther than that, and no two change places.

    Args:
        values: (n,), finite.
        tolerance: how far apart rounding can bring two equal values, () or (n,).

    Returns:
        (n,): of every group of ties the smallest value. Does not depend on the order of values.

    >>> merge_ties(np.array([0.3, 0.1, 0.1 + 0.2, 0.2]), 1e-15)
    array([0.3, 0.1, 0.3, 0.2])
    """
    values = np.asarray(values, dtype=np.float64)
    if not values.size:
        return values
    reach = np.broadcast_to(np.asarray(tolerance, dtype=np.float64), values.shape)
    order = np.lexsort((reach, values))
    ordered, reach = values[order], reach[order]
    apart = np.r_[True, np.diff(ordered) > np.maximum(reach[1:], reach[:-1])]
    starts = np.flatnonzero(apart)
    chain = np.cumsum(apart) - 1
    width = 2 * np.maximum.reduceat(reach, starts)[chain]
    beyond = ordered - ordered[starts][chain]
    step = np.floor(np.divide(beyond, width, out=np.zeros_like(beyond), where=width > 0))
    first = apart | np.r_[True, np.diff(step) != 0]
    out = np.empty_like(values)
    out[order] = ordered[np.flatnonzero(first)][np.cumsum(first) - 1]
    return out


def merge_relative_ties(values: np.ndarray, eps: float = 0.0) -> np.ndarray:
    """Make numbers equal that differ by the rounding of an unknown computation, (n,) to (n,).

    Args:
        values: finite, float64.
        eps: `precision` of the type that they came in.

    >>> merge_relative_ties(np.array([0.3, 0.1 + 0.2, 0.3001]))
    array([0.3   , 0.3   , 0.3001])
    """
    size = np.abs(values)
    share = max(RELATIVE, 8 * eps)
    return merge_ties(values, share * size + ABSOLUTE * size.max(initial=0.0))
