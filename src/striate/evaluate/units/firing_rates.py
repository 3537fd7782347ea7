"""Activations of a network on the scale of firing rates, so that magnitudes can be compared."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

PEAK = 33.8
"""Median over V1 neurons of the largest response in spikes/s (Marques et al. 2021)."""
SPONTANEOUS = 0.82
"""Median spontaneous rate in spikes/s (likewise)."""


@dataclass(frozen=True)
class RateScale:
    """An affine map from activations to spikes/s: slope x + offset, at least 0."""

    slope: float
    offset: float

    def __call__(self, activations: np.ndarray) -> np.ndarray:
        """Map activations of any shape; NaN where no scale could be found."""
        rates = self.slope * np.asarray(activations, dtype=float) + self.offset
        return np.asarray(np.maximum(rates, 0))


def rate_scale(peaks: np.ndarray, blanks: np.ndarray) -> RateScale:
    """Return the map that takes the median unit's peak to 33.8 and its blank response to 0.82.

    One map serves all units of a tap (Marques et al. 2021; docs/papers/lcl-v2.md 5.3):
    slope = (33.8 - 0.82) / (median peak - median blank), offset = 0.82 - slope median blank.

    Args:
        peaks: (n_units,) largest responses; NaN left out.
        blanks: (n_units,) responses to gray.

    Returns:
        The map; of NaN where no unit responds above its blank response.
    """
    peaks, blanks = np.asarray(peaks, dtype=float), np.asarray(blanks, dtype=float)
    measured = np.isfinite(peaks) & np.isfinite(blanks)
    if not measured.any():
        return RateScale(float("nan"), float("nan"))
    peak, blank = float(np.median(peaks[measured])), float(np.median(blanks[measured]))
    if not peak > blank:
        return RateScale(float("nan"), float("nan"))
    slope = (PEAK - SPONTANEOUS) / (peak - blank)
    return RateScale(slope, SPONTANEOUS - slope * blank)
