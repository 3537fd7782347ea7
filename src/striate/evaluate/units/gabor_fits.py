"""What the kernels of a first stage look like: Gabor fits, color opponency, localization."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Literal

import numpy as np
import pandas as pd
from scipy.ndimage import gaussian_filter
from scipy.optimize import least_squares

from striate.core.errors import InputError
from striate.evaluate.units.gratings import PIXELS_PER_DEGREE

GOOD_FIT = 0.7
"""R2 above which a kernel counts as a Gabor."""
MIN_SIDE = 5
"""A Gabor has 9 parameters; smaller kernels would fit anything."""
STARTS = 5
PADDED = 64
"""Side to which kernels are padded for the Fourier transform."""
NYQUIST = 0.5


@dataclass(frozen=True)
class Gabor:
    """A Gabor on a square of pixels: `amplitude * envelope * cos(2 pi f u - phase) + offset`.

    `u` runs at right angles to the bars, `v` along them, from the center (x0, y0), which is in
    pixels from the middle of the square, rightwards and downwards; the envelope is
    `exp(-u^2 / 2 sigma_x^2 - v^2 / 2 sigma_y^2)` (Jones & Palmer 1987).

    Attributes:
        x0, y0: center in pixels.
        orientation: of the bars in degrees, anticlockwise from horizontal, 0 to 180.
        frequency: of the carrier in cycles per pixel.
        phase: in degrees; a grating of this phase, centered alike, excites the filter most.
        sigma_x, sigma_y: standard deviations across and along the bars, in pixels.
        amplitude: not negative.
        offset: added everywhere.
    """

    x0: float
    y0: float
    orientation: float
    frequency: float
    phase: float
    sigma_x: float
    sigma_y: float
    amplitude: float = 1.0
    offset: float = 0.0

    def draw(self, side: int) -> np.ndarray:
        """Return the filter as (side, side)."""
        p, angle = np.deg2rad(self.phase), np.deg2rad(self.orientation)
        shape = [self.x0, self.y0, angle, self.frequency, self.sigma_x, self.sigma_y]
        shape[4:] = np.log(shape[4:])
        linear = [self.amplitude * np.cos(p), self.amplitude * np.sin(p), self.offset]
        return _evaluate_gabor(np.array([*shape, *linear]), *_make_grid(side))[0].reshape(
            side, side
        )


def collapse_color(
    kernels: np.ndarray, collapse: Literal["component", "gray"] = "component"
) -> tuple[np.ndarray, np.ndarray]:
    """Reduce the color channels of kernels to one pattern each.

    Args:
        kernels: (C, channels, k, k).
        collapse: `component` takes the first principal component over channels (not centered),
            whose color is chosen to have a positive sum; `gray` what a gray image meets, the sum
            over channels (over the square root of their number, so that energy is kept).

    Returns:
        Patterns (C, k, k), and the share of each kernel's energy that is chromatic: the part
        orthogonal to equal weights of all channels. 0 for a gray kernel, 1 for pure opponency,
        2/3 for one that sees a single channel of three; NaN for a kernel of zeros.

    Raises:
        InputError: not (C, channels, k, k) with square kernels.
    """
    kernels = np.asarray(kernels, dtype=float)
    if kernels.ndim != 4 or kernels.shape[2] != kernels.shape[3]:
        raise InputError(f"kernels must be (C, channels, k, k), found shape {kernels.shape}.")
    n, channels, k, _ = kernels.shape
    flat = kernels.reshape(n, channels, k * k)
    gray = flat.sum(axis=1) / np.sqrt(channels)
    energy = np.square(flat).sum(axis=(1, 2))
    share = np.divide(np.square(gray).sum(axis=1), energy, out=np.full(n, np.nan), where=energy > 0)
    pattern = gray
    if collapse == "component":
        u, s, v = np.linalg.svd(np.nan_to_num(flat), full_matrices=False)
        sign = np.where(u[:, :, 0].sum(axis=1) < 0, -1.0, 1.0)
        pattern = (sign * s[:, 0])[:, None] * v[:, 0]
        pattern[~np.isfinite(flat).all(axis=(1, 2))] = np.nan
    return pattern.reshape(n, k, k), np.clip(1 - share, 0, 1)


def localization(pattern: np.ndarray) -> float:
    """Find the largest share of a kernel's energy (about its mean) in a window of half its side.

    Noise of side 11 gives about 0.4, a spot 1. The window's side is rounded up.
    """
    energy = np.square(pattern - pattern.mean())
    side = -(-len(pattern) // 2)
    sums = np.pad(energy.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    inside = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    total = energy.sum()
    return float(inside.max() / total) if total > 0 else float("nan")


def spectral_peaks(pattern: np.ndarray, number: int = 1) -> list[tuple[float, float]]:
    """Find orientation (degrees) and frequency (cycles per pixel) of the largest Fourier peaks.

    The mean is taken off first. A kernel of few cycles has a broad peak that its mirror image
    and its mean move, so this checks a fit roughly: within half a cycle per kernel.
    """
    power = np.abs(np.fft.fft2(pattern - pattern.mean(), (PADDED, PADDED))) ** 2
    f = np.fft.fftfreq(PADDED)
    fy, fx = f[:, None], f[None]
    power[(fy < 0) | ((fy == 0) & (fx <= 0)) | (np.hypot(fx, fy) > NYQUIST)] = -1
    peaks = []
    for _ in range(number):
        y, x = np.unravel_index(int(power.argmax()), power.shape)
        peaks.append((float(np.rad2deg(np.arctan2(f[x], f[y])) % 180), float(np.hypot(f[x], f[y]))))
        power[np.hypot(fy - f[y], fx - f[x]) < 1 / len(pattern)] = -1
    return peaks


def fit_gabors(
    kernels: np.ndarray,
    pixels_per_degree: float = PIXELS_PER_DEGREE,
    collapse: Literal["component", "gray"] = "component",
) -> pd.DataFrame:
    """Fit a Gabor to each kernel of a convolution by least squares.

    Starts are seeded from the two largest Fourier peaks, at two places and four envelopes; the
    five that fit best before any step are refined, and the best is kept.

    Args:
        kernels: (C, channels, k, k), k of at least 5.
        pixels_per_degree: of the images that the kernels see.
        collapse: see `collapse_color`.

    Returns:
        One row a kernel: `unit`, the fields of `Gabor`, `cycles_per_degree`, `aspect`
        (sigma_y / sigma_x), `n_x` and `n_y` (sigmas in periods of the carrier, Ringach 2002; a
        blob has n_x near 0), `r2`, `chromatic`, `localization`, `fft_orientation`,
        `fft_frequency` (cycles per pixel), `reason`. Where there is nothing to fit (`flat`,
        `not finite`) `reason` says so and the fit is NaN.

    Raises:
        InputError: kernels of another shape or smaller than 5 pixels.
    """
    patterns, chromatic = collapse_color(kernels, collapse)
    if patterns.shape[-1] < MIN_SIDE:
        raise InputError(
            f"kernels of {patterns.shape[-1]} pixels: a Gabor has 9 parameters and needs at least "
            f"{MIN_SIDE}."
        )
    scale = np.nanmax(np.abs(patterns), initial=0.0)
    rows = []
    for unit, (pattern, share) in enumerate(zip(patterns, chromatic, strict=True)):
        row = {"unit": unit, "reason": "", "chromatic": float(share)}
        if not np.isfinite(pattern).all():
            rows.append({**row, "reason": "not finite", "chromatic": float("nan")})
            continue
        row["localization"] = localization(pattern)
        if np.ptp(pattern) <= 1e-6 * scale:
            rows.append({**row, "reason": "flat", "localization": float("nan")})
            continue
        gabor, r2 = fit_gabor(pattern)
        (angle, frequency), *_ = spectral_peaks(pattern)
        rows.append(
            {
                **row,
                **vars(gabor),
                "cycles_per_degree": gabor.frequency * pixels_per_degree,
                "aspect": gabor.sigma_y / gabor.sigma_x,
                "n_x": gabor.sigma_x * gabor.frequency,
                "n_y": gabor.sigma_y * gabor.frequency,
                "r2": r2,
                "fft_orientation": angle,
                "fft_frequency": frequency,
            }
        )
    return pd.DataFrame(rows, columns=list(_COLUMNS))


_COLUMNS = (
    "unit", *Gabor.__dataclass_fields__, "cycles_per_degree", "aspect", "n_x", "n_y", "r2",
    "chromatic", "localization", "fft_orientation", "fft_frequency", "reason",
)  # fmt: skip


def share_of_gabors(fits: pd.DataFrame, threshold: float = GOOD_FIT) -> float:
    """Compute the share of all kernels, flat ones too, whose fit has an R2 above the threshold.

    >>> share_of_gabors(pd.DataFrame({"r2": [0.9, 0.2, np.nan, 0.8]}))
    0.5
    """
    return float((fits["r2"] > threshold).mean())


def fit_gabor(pattern: np.ndarray) -> tuple[Gabor, float]:
    """Fit one pattern (k, k) that is not flat; return the Gabor and its R2."""
    side = len(pattern)
    x, y = _make_grid(side)
    level = float(np.sqrt(np.mean(np.square(pattern - pattern.mean()))))
    target = (pattern / level).ravel()
    reach = (side - 1) / 2
    low = np.array([-reach, -reach, -np.inf, 0.25 / side, *np.log([0.5, 0.5]), *[-np.inf] * 3])
    high = np.array([reach, reach, np.inf, NYQUIST, *np.log([2.0 * side] * 2), *[np.inf] * 3])
    best = None
    for start in _rank_starts(pattern, target, x, y)[:STARTS]:
        fit = least_squares(
            lambda p: _evaluate_gabor(p, x, y)[0] - target,
            np.clip(start, low + 1e-6, high - 1e-6),
            jac=lambda p: _evaluate_gabor(p, x, y)[1],
            bounds=(low, high),
            x_scale="jac",
            ftol=1e-5, xtol=1e-5, gtol=1e-6, max_nfev=60,
        )  # fmt: skip
        if best is None or fit.cost < best.cost:
            best = fit
    assert best is not None
    r2 = 1 - 2 * best.cost / float(np.square(target - target.mean()).sum())
    return _normalize_gabor(best.x, level), float(r2)


def _normalize_gabor(p: np.ndarray, level: float) -> Gabor:
    """Bring parameters to their ranges; a turn by 180 degrees mirrors the phase."""
    x0, y0, angle, frequency, log_x, log_y, even, odd, offset = (float(v) for v in p)
    phase = np.rad2deg(np.arctan2(odd, even))
    halves = np.floor(np.rad2deg(angle) / 180)
    orientation = np.rad2deg(angle) - 180 * halves
    return Gabor(
        x0,
        y0,
        float(orientation),
        frequency,
        float(-phase if halves % 2 else phase),
        float(np.exp(log_x)),
        float(np.exp(log_y)),
        level * float(np.hypot(even, odd)),
        level * offset,
    )


def _rank_starts(
    pattern: np.ndarray, target: np.ndarray, x: np.ndarray, y: np.ndarray
) -> list[np.ndarray]:
    """Rank candidates, best first, after solving for the three linear parameters of each."""
    side = len(pattern)
    energy = np.square(pattern - pattern.mean())
    smooth = gaussian_filter(energy, side / 8, mode="constant").ravel()
    peak = int(smooth.argmax())
    weights = energy.ravel() / energy.sum()
    places = [(x[peak], y[peak]), (float(weights @ x), float(weights @ y))]
    widths = [
        (side / 10, side / 10),
        (side / 10, side / 5),
        (side / 5, side / 5),
        (side / 5, side / 3),
    ]
    ranked = []
    for (angle, f), (x0, y0), sigma in product(spectral_peaks(pattern, 2), places, widths):
        p = np.array([x0, y0, np.deg2rad(angle), f, *np.log(sigma), 0.0, 0.0, 0.0])
        basis = _evaluate_gabor(p, x, y)[1][:, 6:]
        p[6:], *_ = np.linalg.lstsq(basis, target, rcond=None)
        ranked.append((float(np.square(basis @ p[6:] - target).sum()), p))
    return [p for _, p in sorted(ranked, key=lambda pair: pair[0])]


def _make_grid(side: int) -> tuple[np.ndarray, np.ndarray]:
    """Make columns and rows of the pixels from the middle, each flat; rows count downwards."""
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    return x.ravel(), y.ravel()


def _evaluate_gabor(p: np.ndarray, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compute values (n,) and Jacobian (n, 9) of a Gabor, its phase as even and odd amplitudes."""
    x0, y0, angle, f, log_x, log_y, even, odd, offset = p
    s, c = np.sin(angle), np.cos(angle)
    u, v = (x - x0) * s + (y - y0) * c, (x - x0) * c - (y - y0) * s
    nu, nv = u * np.exp(-2 * log_x), v * np.exp(-2 * log_y)
    envelope = np.exp(-(u * nu + v * nv) / 2)
    turn = 2 * np.pi * f * u
    cos, sin = envelope * np.cos(turn), envelope * np.sin(turn)
    wave, slope = even * cos + odd * sin, odd * cos - even * sin
    by_u, by_v = 2 * np.pi * f * slope - nu * wave, -nv * wave
    jacobian = np.stack(
        [
            -s * by_u - c * by_v,
            -c * by_u + s * by_v,
            v * by_u - u * by_v,
            2 * np.pi * u * slope,
            u * nu * wave,
            v * nv * wave,
            cos,
            sin,
            np.ones_like(u),
        ],
        axis=1,
    )
    return wave + offset, jacobian
