"""What units of a second stage pool: their weights by what the first stage's units prefer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from striate.core.errors import InputError


@dataclass(frozen=True)
class PoolingMaps:
    """Squared weights of every second-stage unit as shares of its total, 1 in sum.

    Attributes:
        plane: (C2, n_frequencies, n_orientations), summed over space and over the first-stage
            units of a bin. Sums to 1 less `unassigned`.
        spatial: (C2, k, k), summed over first-stage units; rows count downwards.
        unassigned: (C2,), the share on first-stage units without a preference.
        units: (n_frequencies, n_orientations), how many first-stage units are in a bin.
        orientations: (n_orientations,), middles of the bins in degrees.
        frequencies: (n_frequencies + 1,), edges of the bins, in the unit that was given.
    """

    plane: np.ndarray
    spatial: np.ndarray
    unassigned: np.ndarray
    units: np.ndarray
    orientations: np.ndarray
    frequencies: np.ndarray


def pooling_maps(
    weights: np.ndarray,
    orientation: np.ndarray,
    frequency: np.ndarray,
    *,
    n_orientations: int = 8,
    frequencies: np.ndarray | None = None,
    scale: np.ndarray | None = None,
) -> PoolingMaps:
    """Sum a convolution's squared weights by the preferences of the units below, and by place.

    Args:
        weights: (C2, C1, k, k) of the second stage's convolution.
        orientation: (C1,) preferred orientation of the first-stage units in degrees; NaN for none.
        frequency: (C1,) preferred spatial frequency, above 0; NaN for none.
        n_orientations: bins over 180 degrees, the first centered on 0 (horizontal bars).
        frequencies: edges of the frequency bins, rising; default four, evenly spaced in log
            frequency over the units that there are. What lies outside counts to the nearest bin.
        scale: (C1,) the size of each first-stage unit's responses, such as their standard
            deviation, by which weights are multiplied first; default 1 for all, which suits units
            of like size, as after batch norm.

    Raises:
        InputError: shapes that do not fit, edges that do not rise, no unit with a preference.
    """
    weights = np.asarray(weights, dtype=float)
    orientation, frequency = np.asarray(orientation, float), np.asarray(frequency, float)
    scale = np.ones(len(orientation)) if scale is None else np.asarray(scale, dtype=float)
    if weights.ndim != 4 or {weights.shape[1]} != {len(orientation), len(frequency), len(scale)}:
        raise InputError(
            f"weights of shape {weights.shape} for {len(orientation)} orientations, "
            f"{len(frequency)} frequencies and {len(scale)} scales: expected (C2, C1, k, k) and "
            "C1 of each. Grouped convolutions must be expanded first."
        )
    tuned = np.isfinite(orientation) & (frequency > 0) & np.isfinite(frequency)
    if not tuned.any():
        raise InputError("no first-stage unit has a preferred orientation and frequency.")
    if frequencies is None:
        low, high = frequency[tuned].min(), frequency[tuned].max()
        frequencies = np.geomspace(low, max(high, low * 1.01), 5)
    edges = np.asarray(frequencies, dtype=float)
    if len(edges) < 2 or np.any(np.diff(edges) <= 0):
        raise InputError(f"frequencies must be edges that rise, found {edges}.")
    step = 180 / n_orientations
    columns = np.rint(orientation[tuned] / step).astype(int) % n_orientations
    rows = np.searchsorted(edges[1:-1], frequency[tuned], side="right")

    energy = np.square(weights * scale[:, None, None])
    total = energy.sum(axis=(1, 2, 3))
    share = np.divide(1, total, out=np.zeros(len(total)), where=total > 0)
    by_unit = energy.sum(axis=(2, 3)) * share[:, None]
    shape = (len(edges) - 1, n_orientations)
    bins = np.eye(shape[0] * shape[1], dtype=int)[rows * n_orientations + columns]
    return PoolingMaps(
        (by_unit[:, tuned] @ bins).reshape(-1, *shape),
        energy.sum(axis=1) * share[:, None, None],
        by_unit[:, ~tuned].sum(axis=1),
        bins.sum(axis=0).reshape(shape),
        step * np.arange(n_orientations),
        edges,
    )
