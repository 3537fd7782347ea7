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
    """Compute mean (F0) and amplitude at the drift's frequency (F1) of responses around a cycle.

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
    """Divide F1 by F0: above 1 for simple cells, below for complex ones (Skottun et al. 1991).

    A half-rectified sine gives pi / 2; with only 8 phases 1.50 to 1.66.
    """
    undefined = np.full(np.shape(f0), np.nan)
    return np.divide(f1, f0, out=undefined, where=np.asarray(f0) > 0)


def circular_variance(curves: np.ndarray, orientations: np.ndarray) -> np.ndarray:
    """1 - |sum r exp(2i theta)| / sum r (Ringach et al. 2002): 0 for one orientation, 1 for all."""
    curves = _check_orientations(curves, orientations)
    total = curves.sum(axis=1)
    vector = np.abs(curves @ np.exp(2j * np.deg2rad(orientations)))
    out = np.full(total.shape, np.nan)
    return 1 - np.divide(vector, total, out=out, where=total > 0)


def orthogonal_preferred_ratio(curves: np.ndarray, orientations: np.ndarray) -> np.ndarray:
    """Divide the response at right angles to the largest one by the largest (Ringach et al. 2002).

    Raises:
        InputError: an odd number of orientations, of which none is at right angles.
    """
    curves = _check_orientations(curves, orientations)
    n = curves.shape[1]
    if n % 2:
        raise InputError(f"{n} orientations: an even number is needed for orthogonal ones.")
    best = curves.argmax(axis=1)
    rows = np.arange(len(curves))
    top = curves[rows, best]
    out = np.full(top.shape, np.nan)
    return np.divide(curves[rows, (best + n // 2) % n], top, out=out, where=top > 0)


def preferred_orientation(curves: np.ndarray, orientations: np.ndarray) -> np.ndarray:
    """Find the peak, 0 to 180 degrees, of the curve lightly smoothed (weights 1, 5, 1) and splined.

    NaN where the curve is constant.
    """
    fine = _interpolate_orientations(curves, orientations, _SMOOTH)
    peaks = (orientations[0] + STEP * fine.argmax(axis=1)) % 180
    return np.where(np.ptp(curves, axis=1) > 1e-9 * np.abs(curves).max(axis=1), peaks, np.nan)


def orientation_bandwidth(
    curves: np.ndarray, orientations: np.ndarray, smooth: bool = True
) -> np.ndarray:
    """Measure the half width in degrees at 1/sqrt(2) of the maximum (Ringach et al. 2002).

    Args:
        curves: (n_units, n_orientations).
        orientations: degrees, evenly spaced over 180.
        smooth: smooth with weights 2, 5, 2 first, as is done for neurons; this widens the curve of
            a unit with Gaussian tuning of standard deviation s to about
            sqrt(s^2 + 0.44 spacing^2).

    Returns:
        (n_units,); NaN for units that do not fall to that height within 180 degrees in all, which
        are called not selective.
    """
    fine = _interpolate_orientations(curves, orientations, _HANNING if smooth else (0, 1, 0))
    peak = fine.argmax(axis=1)[:, None]
    n = fine.shape[1]
    steps = np.arange(n + 1)
    level = HEIGHT * np.take_along_axis(fine, peak, axis=1)[:, 0]
    right = _count_steps_to(np.take_along_axis(fine, (peak + steps) % n, axis=1), level)
    left = _count_steps_to(np.take_along_axis(fine, (peak - steps) % n, axis=1), level)
    width = STEP * (left + right)
    return np.where((width <= 180) & (level > 0), width / 2, np.nan)


def frequency_tuning(
    curves: np.ndarray, frequencies: np.ndarray, smooth: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """Find peak and bandwidth of spatial-frequency tuning by a spline over log frequency.

    Args:
        curves: (n_units, n_frequencies), at least 4 of them.
        frequencies: cycles per degree, rising, above 0.
        smooth: smooth with weights 1, 5, 1 first.

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
    smoothed = sum(w * padded[:, i : i + n] for i, w in enumerate(weights / weights.sum()))
    grid = np.linspace(np.log2(f[0]), np.log2(f[-1]), 1001)
    fine = CubicSpline(np.log2(f), smoothed, axis=1)(grid)
    peak = fine.argmax(axis=1)[:, None]
    at_peak = np.take_along_axis(fine, peak, axis=1)[:, 0]
    steps = np.arange(len(grid))
    half_widths = []
    for sign in (1, -1):
        place = peak + sign * steps
        inside = (place >= 0) & (place < len(grid))
        outward = np.take_along_axis(fine, place.clip(0, len(grid) - 1), axis=1)
        outward = np.where(inside, outward, np.inf)
        half_widths.append(_count_steps_to(outward, HEIGHT * at_peak))
    width = (half_widths[0] + half_widths[1]) * (grid[1] - grid[0])
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
    """Divide circular variance by the half bandwidth in degrees (Ringach et al. 2002).

    The ratio says how much of the tuning is far from the peak; NaN without a bandwidth.
    """
    out = np.full(np.shape(bandwidth), np.nan)
    return np.divide(variance, bandwidth, out=out, where=np.asarray(bandwidth) > 0)


def low_high_ratio(octaves: np.ndarray) -> np.ndarray:
    """Turn bandwidth from octaves to 100 low / high = 100 / 2^octaves (Schiller et al. 1976)."""
    return np.asarray(100 / 2.0 ** np.asarray(octaves, dtype=float))


def half_contrast(curves: np.ndarray, contrasts: np.ndarray) -> np.ndarray:
    """Find the contrast of half the largest response (c50), linear between log contrasts.

    NaN where the lowest contrast already gives more than half.
    """
    c = np.asarray(contrasts, dtype=float)
    if len(c) < 2 or c[0] <= 0 or np.any(np.diff(c) <= 0):
        raise InputError(f"contrasts must be at least 2, positive and rising, found {c}.")
    curves = np.asarray(curves, dtype=float)
    c50 = np.full(len(curves), np.nan)
    for i, curve in enumerate(curves):
        above = int((curve >= curve.max() / 2).argmax())
        if curve.max() > 0 and above > 0:
            pair = slice(above - 1, above + 1)
            c50[i] = np.exp(np.interp(curve.max() / 2, curve[pair], np.log(c[pair])))
    return c50


def _check_orientations(curves: np.ndarray, orientations: np.ndarray) -> np.ndarray:
    """Return curves as floats; refuse orientations that are not evenly spaced over 180 degrees."""
    n = len(orientations)
    steps = np.diff(orientations)
    if n < 4 or not np.allclose(steps, 180 / n):
        raise InputError(
            f"orientations must be at least 4 and evenly spaced over 180 degrees: {orientations}."
        )
    return np.asarray(curves, dtype=float)


def _interpolate_orientations(
    curves: np.ndarray, orientations: np.ndarray, weights: tuple[float, float, float]
) -> np.ndarray:
    """Smooth curves and interpolate them to `STEP` degrees, (n_units, 180 / STEP), periodic."""
    curves = _check_orientations(curves, orientations)
    a, b, c = np.array(weights) / sum(weights)
    smooth = a * np.roll(curves, 1, axis=1) + b * curves + c * np.roll(curves, -1, axis=1)
    closed = np.concatenate([smooth, smooth[:, :1]], axis=1)
    ends = np.append(orientations, orientations[0] + 180)
    spline = CubicSpline(ends, closed, axis=1, bc_type="periodic")
    return np.asarray(spline(orientations[0] + np.arange(0, 180, STEP)))


def _count_steps_to(rows: np.ndarray, level: np.ndarray) -> np.ndarray:
    """Count steps from the start of each row to where it falls to its level; NaN if it never does.

    Rows may end in infinities, where nothing was measured.
    """
    below = rows <= level[:, None]
    falls = below.any(axis=1)
    first = below.argmax(axis=1)
    lines = np.arange(len(rows))
    low, high = rows[lines, first], rows[lines, np.maximum(first - 1, 0)]
    drop = high - low
    back = np.divide(level - low, drop, out=np.zeros(len(rows)), where=falls & (drop > 0))
    return np.where(falls, first - back, np.nan)
