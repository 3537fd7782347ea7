"""Properties of tuning curves of units, as they are defined for neurons of the visual cortex.

The definitions are those of Ringach, Shapley & Hawken 2002 (orientation), De Valois, Albrecht &
Thorell 1982 and Schiller, Finlay & Volman 1976 (spatial frequency), Cavanaugh, Bair & Movshon 2002
(size) and Skottun et al. 1991 (modulation), with the smoothing and thresholds by which Marques,
Schrimpf & DiCarlo 2021 compute them for models. Curves are arrays (n_units, n_values); a property
is (n_units,), NaN where it is not defined.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import CubicSpline

from striate.core.errors import InputError

HEIGHT = 1 / np.sqrt(2)
"""Of the maximum, at which bandwidths are measured."""
STEP = 0.25
"""Degrees between the points at which orientation curves are interpolated."""
_HANNING = (2 / 5, 1.0, 2 / 5)
_SMOOTH = (1 / 5, 1.0, 1 / 5)


def fourier_components(cycles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean (F0) and amplitude at the drift's frequency (F1) of responses around a cycle.

    Args:
        cycles: (..., n_phases), phases evenly spaced over 360 degrees.

    Raises:
        InputError: fewer than 4 phases.

    >>> f0, f1 = fourier_components(1 + np.cos(np.arange(8) * np.pi / 4))
    >>> float(f0.round(6)), float(f1.round(6))
    (1.0, 1.0)
    """
    n = np.shape(cycles)[-1]
    if n < 4:
        raise InputError(f"{n} phases: F1 needs at least 4, evenly spaced around the cycle.")
    spectrum = np.fft.rfft(cycles, axis=-1) / n
    return spectrum[..., 0].real, 2 * np.abs(spectrum[..., 1])


def modulation_ratio(f0: np.ndarray, f1: np.ndarray) -> np.ndarray:
    """F1 / F0: above 1 for simple cells, below for complex ones (Skottun et al. 1991).

    A half-rectified sine gives pi / 2; with only 8 phases 1.50 to 1.66.
    """
    out = np.full(np.shape(f0), np.nan)
    return np.divide(f1, f0, out=out, where=np.asarray(f0) > 0)


def circular_variance(curves: np.ndarray, orientations: np.ndarray) -> np.ndarray:
    """1 - |sum r exp(2i theta)| / sum r (Ringach et al. 2002): 0 for one orientation, 1 for all."""
    curves = _even(curves, orientations)
    total = curves.sum(axis=1)
    vector = np.abs(curves @ np.exp(2j * np.deg2rad(orientations)))
    out = np.full(total.shape, np.nan)
    return 1 - np.divide(vector, total, out=out, where=total > 0)


def orthogonal_preferred_ratio(curves: np.ndarray, orientations: np.ndarray) -> np.ndarray:
    """Response at right angles to the largest one, over the largest (Ringach et al. 2002).

    Raises:
        InputError: an odd number of orientations, of which none is at right angles.
    """
    curves = _even(curves, orientations)
    n = curves.shape[1]
    if n % 2:
        raise InputError(f"{n} orientations: an even number is needed for orthogonal ones.")
    best = curves.argmax(axis=1)
    rows = np.arange(len(curves))
    top = curves[rows, best]
    out = np.full(top.shape, np.nan)
    return np.divide(curves[rows, (best + n // 2) % n], top, out=out, where=top > 0)


def preferred_orientation(curves: np.ndarray, orientations: np.ndarray) -> np.ndarray:
    """Peak in degrees, 0 to 180, of the lightly smoothed curve (weights 1, 5, 1) through a spline.

    NaN where the curve is constant.
    """
    fine = _orientation_spline(curves, orientations, _SMOOTH)
    out = (orientations[0] + STEP * fine.argmax(axis=1)) % 180
    return np.where(np.ptp(curves, axis=1) > 1e-9 * np.abs(curves).max(axis=1), out, np.nan)


def orientation_bandwidth(
    curves: np.ndarray, orientations: np.ndarray, smooth: bool = True
) -> np.ndarray:
    """Half width in degrees at 1/sqrt(2) of the maximum (Ringach et al. 2002).

    Args:
        curves: (n_units, n_orientations).
        orientations: degrees, evenly spaced over 180.
        smooth: with weights 2, 5, 2 first, as is done for neurons; it widens the curve of a unit
            with Gaussian tuning of standard deviation s to about sqrt(s^2 + 0.44 spacing^2).

    Returns:
        (n_units,); NaN for units that do not fall to that height within 180 degrees in all, which
        are called not selective.
    """
    fine = _orientation_spline(curves, orientations, _HANNING if smooth else (0, 1, 0))
    peak = fine.argmax(axis=1)[:, None]
    n = fine.shape[1]
    out = np.arange(n + 1)
    level = HEIGHT * np.take_along_axis(fine, peak, axis=1)[:, 0]
    right = _fall(np.take_along_axis(fine, (peak + out) % n, axis=1), level)
    left = _fall(np.take_along_axis(fine, (peak - out) % n, axis=1), level)
    width = STEP * (left + right)
    return np.where((width <= 180) & (level > 0), width / 2, np.nan)


def frequency_tuning(
    curves: np.ndarray, frequencies: np.ndarray, smooth: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """Peak and bandwidth of spatial-frequency tuning, by a spline over log frequency.

    Args:
        curves: (n_units, n_frequencies), at least 4 of them.
        frequencies: cycles per degree, rising, above 0.
        smooth: with weights 1, 5, 1 first.

    Returns:
        Peak in cycles per degree, and full width at 1/sqrt(2) of the maximum in octaves, each
        (n_units,). The width is NaN where a side stays above, as in low-pass units.

    Raises:
        InputError: fewer than 4 frequencies, not rising or not positive.
    """
    f = np.asarray(frequencies, dtype=float)
    if len(f) < 4 or f[0] <= 0 or np.any(np.diff(f) <= 0):
        raise InputError(f"spatial frequencies must be at least 4, positive and rising: {f}.")
    weights = np.array(_SMOOTH if smooth else (0, 1, 0))
    padded = np.pad(np.asarray(curves, dtype=float), ((0, 0), (1, 1)), mode="edge")
    n = len(f)
    even = sum(w * padded[:, i : i + n] for i, w in enumerate(weights / weights.sum()))
    grid = np.linspace(np.log2(f[0]), np.log2(f[-1]), 1001)
    fine = CubicSpline(np.log2(f), even, axis=1)(grid)
    peak = fine.argmax(axis=1)[:, None]
    at_peak = np.take_along_axis(fine, peak, axis=1)[:, 0]
    out = np.arange(len(grid))
    falls = []
    for sign in (1, -1):
        place = peak + sign * out
        inside = (place >= 0) & (place < len(grid))
        outward = np.take_along_axis(fine, place.clip(0, len(grid) - 1), axis=1)
        falls.append(_fall(np.where(inside, outward, np.inf), HEIGHT * at_peak))
    width = (falls[0] + falls[1]) * (grid[1] - grid[0])
    driven = at_peak > 0
    return np.where(driven, 2 ** grid[peak[:, 0]], np.nan), np.where(driven, width, np.nan)


@dataclass(frozen=True)
class SizeTuning:
    """What a size-tuning curve says of each unit, each (n_units,).

    Attributes:
        preferred_diameter: with the largest response, in degrees.
        summation_field: smallest diameter with 95 % of the largest response.
        suppression_index: (largest - response to the widest) / largest; 0 without a surround.
        surround_diameter: smallest diameter beyond the preferred one with a response of at most
            1.05 times that to the widest; NaN where the index is at most 0.1. Marques et al. also
            leave out the summation field there.
    """

    preferred_diameter: np.ndarray
    summation_field: np.ndarray
    suppression_index: np.ndarray
    surround_diameter: np.ndarray


def size_tuning(curves: np.ndarray, diameters: np.ndarray) -> SizeTuning:
    """Size tuning (Cavanaugh et al. 2002) from responses (n_units, n_diameters), rising diameters.

    Raises:
        InputError: diameters that do not rise, or fewer than 2.
    """
    d = np.asarray(diameters, dtype=float)
    if len(d) < 2 or np.any(np.diff(d) <= 0):
        raise InputError(f"diameters must be at least 2 and rising, found {d}.")
    curves = np.asarray(curves, dtype=float)
    top = curves.max(axis=1)
    driven = top > 0
    best = d[curves.argmax(axis=1)]
    summation = d[(curves >= 0.95 * top[:, None]).argmax(axis=1)]
    plateau = curves[:, -1]
    index = np.divide(top - plateau, top, out=np.full(top.shape, np.nan), where=driven)
    limit = plateau + 0.05 * np.abs(plateau)
    settled = (curves <= limit[:, None]) & (d > best[:, None])
    surround = np.where(driven & (index > 0.1), d[settled.argmax(axis=1)], np.nan)
    return SizeTuning(
        np.where(driven, best, np.nan), np.where(driven, summation, np.nan), index, surround
    )


def cv_bandwidth_ratio(variance: np.ndarray, bandwidth: np.ndarray) -> np.ndarray:
    """Circular variance over the half bandwidth in degrees (Ringach et al. 2002).

    How much of the tuning is far from the peak: NaN without a bandwidth.
    """
    out = np.full(np.shape(bandwidth), np.nan)
    return np.divide(variance, bandwidth, out=out, where=np.asarray(bandwidth) > 0)


def low_high_ratio(octaves: np.ndarray) -> np.ndarray:
    """Bandwidth of spatial frequency as 100 low / high = 100 / 2^octaves (Schiller et al. 1976)."""
    return np.asarray(100 / 2.0 ** np.asarray(octaves, dtype=float))


def half_contrast(curves: np.ndarray, contrasts: np.ndarray) -> np.ndarray:
    """Contrast with half of the largest response (c50), linear between measured log contrasts.

    NaN where the lowest contrast already gives more than half.
    """
    c = np.asarray(contrasts, dtype=float)
    if len(c) < 2 or c[0] <= 0 or np.any(np.diff(c) <= 0):
        raise InputError(f"contrasts must be at least 2, positive and rising, found {c}.")
    curves = np.asarray(curves, dtype=float)
    out = np.full(len(curves), np.nan)
    for i, curve in enumerate(curves):
        above = int((curve >= curve.max() / 2).argmax())
        if curve.max() > 0 and above > 0:
            pair = slice(above - 1, above + 1)
            out[i] = np.exp(np.interp(curve.max() / 2, curve[pair], np.log(c[pair])))
    return out


def _even(curves: np.ndarray, orientations: np.ndarray) -> np.ndarray:
    n = len(orientations)
    steps = np.diff(orientations)
    if n < 4 or not np.allclose(steps, 180 / n):
        raise InputError(
            f"orientations must be at least 4 and evenly spaced over 180 degrees: {orientations}."
        )
    return np.asarray(curves, dtype=float)


def _orientation_spline(
    curves: np.ndarray, orientations: np.ndarray, weights: tuple[float, float, float]
) -> np.ndarray:
    """Curves smoothed and interpolated to `STEP` degrees, (n_units, 180 / STEP), periodic."""
    curves = _even(curves, orientations)
    a, b, c = np.array(weights) / sum(weights)
    smooth = a * np.roll(curves, 1, axis=1) + b * curves + c * np.roll(curves, -1, axis=1)
    closed = np.concatenate([smooth, smooth[:, :1]], axis=1)
    ends = np.append(orientations, orientations[0] + 180)
    spline = CubicSpline(ends, closed, axis=1, bc_type="periodic")
    return np.asarray(spline(orientations[0] + np.arange(0, 180, STEP)))


def _fall(rows: np.ndarray, level: np.ndarray) -> np.ndarray:
    """Steps from the start of each row to where it first falls to its level; NaN if it never does.

    Rows may end in infinities, where nothing was measured.
    """
    below = rows <= level[:, None]
    found = below.any(axis=1)
    at = below.argmax(axis=1)
    lines = np.arange(len(rows))
    low, high = rows[lines, at], rows[lines, np.maximum(at - 1, 0)]
    drop = high - low
    back = np.divide(level - low, drop, out=np.zeros(len(rows)), where=found & (drop > 0))
    return np.where(found, at - back, np.nan)
