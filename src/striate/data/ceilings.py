"""Noise ceilings from repeats: the largest correlation a perfect model could reach.

All functions take single trials of shape (n_stimuli, n_repeats, n_units), NaN where there was no
trial, and leave out stimuli with fewer than two trials where they need a pair.
"""

from __future__ import annotations

import numpy as np


def ncsnr(trials: np.ndarray) -> np.ndarray:
    """Noise-ceiling signal-to-noise ratio per unit, shape (n_units,).

    As in NSD (Allen et al. 2022, Nature Neuroscience 25, Methods, 'Noise ceiling estimation'):
    the noise variance is the mean over stimuli of the variance across repeats (n - 1 in the
    denominator); the signal variance is the variance of the trials less the noise variance, not
    below zero; the ratio is of standard deviations. Here the total variance is taken from the
    data, where NSD has it as 1 after z-scoring. NaN for a unit without two trials of any stimulus
    or without variance.
    """
    trials = np.asarray(trials, dtype=np.float64)
    seen = ~np.isnan(trials)
    count = seen.sum(axis=1)
    means = _ratio(np.where(seen, trials, 0.0).sum(axis=1), count)
    squares = np.where(seen, trials - means[:, None], 0.0) ** 2
    noise = _mean_where(_ratio(squares.sum(axis=1), count - 1), count >= 2)
    # The variance of a mean of n trials is signal + noise / n; this removes the second part.
    signal = _variance_where(means, count >= 1) - noise * _mean_where(
        _ratio(1.0, count), count >= 1
    )
    # Equal trials have an average that is off by rounding; that much variance is none.
    rounding = (1e-12 * np.abs(np.where(seen, trials, 0.0)).max(axis=(0, 1), initial=0.0)) ** 2
    ratio = np.sqrt(_ratio(np.clip(signal, 0, None), noise))
    return np.where(noise > rounding, ratio, np.where(signal > rounding, np.inf, np.nan))


def ceiling_from_ncsnr(ratio: np.ndarray, repeats: float | np.ndarray) -> np.ndarray:
    """Ceiling as a correlation with the mean of `repeats` trials, shape (n_units,).

    The explainable share of variance is ncsnr^2 / (ncsnr^2 + 1/n) (Allen et al. 2022); a
    correlation is its root.

    >>> float(ceiling_from_ncsnr(np.array([1.0]), 3)[0])
    0.8660254037844386
    """
    ratio = np.asarray(ratio, dtype=np.float64)
    with np.errstate(invalid="ignore"):
        share = 1.0 / (1.0 + 1.0 / (np.asarray(repeats) * ratio**2 + 1e-300))
    return np.sqrt(np.where(np.isnan(ratio), np.nan, share))


def noise_ceiling(trials: np.ndarray) -> np.ndarray:
    """Ceiling as a correlation with the trial-averaged responses, shape (n_units,).

    With uneven numbers of trials the mean of 1/n over stimuli stands for 1/n: that is the share
    of the noise variance that is left in the averages.
    """
    count = (~np.isnan(trials)).sum(axis=1)
    repeats = _ratio(1.0, _mean_where(_ratio(1.0, count), count >= 1))
    return ceiling_from_ncsnr(ncsnr(trials), repeats)


def split_half(trials: np.ndarray, splits: int = 100, seed: int = 0) -> np.ndarray:
    """Split-half reliability per unit with Spearman-Brown's correction, shape (n_units,).

    Trials of each stimulus are divided at random into two halves; the correlation r of the half
    means over stimuli is corrected to the full number of trials, 2r / (1 + r) (Spearman 1910,
    Brown 1910), and averaged over `splits` divisions. It estimates the squared ceiling: the
    correlation of the averages with a second measurement like it. Stimuli with one trial are left
    out, unit by unit; a unit without two stimuli to correlate over is NaN.

    Args:
        trials: shape (n_stimuli, n_repeats, n_units).
        splits: number of random divisions.
        seed: of the divisions.
    """
    present = ~np.isnan(trials)
    if (present == present[..., :1]).all():
        present = present[..., :1]  # one division for all units, so one sort
    present = present & (present.sum(axis=1, keepdims=True) >= 2)
    count = present.sum(axis=1, keepdims=True)
    used = count[:, 0] > 0
    # Less one of its own values, so that a unit that never changes is exactly 0, not rounding.
    largest = np.where(present, trials, -np.inf).max(axis=(0, 1), initial=-np.inf)
    origin = np.where(np.isfinite(largest), largest, 0.0)
    values = np.where(present, trials - origin, 0.0)
    generator = np.random.default_rng(seed)
    total = np.zeros(trials.shape[2])
    for _ in range(splits):
        order = generator.random(trials.shape[:2])[..., None]
        rank = np.where(present, order, np.inf).argsort(axis=1).argsort(axis=1)
        first = present & (rank < count // 2)
        half = [_ratio((values * h).sum(axis=1), h.sum(axis=1)) for h in (first, present & ~first)]
        a, b = (np.where(used, h - _mean_where(h, used), 0.0) for h in half)
        r = _ratio((a * b).sum(axis=0), np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0)))
        total += _ratio(2 * r, 1 + r)
    return total / splits


def _ratio(a: np.ndarray | float, b: np.ndarray | float) -> np.ndarray:
    """Divide; what has no value is NaN, without a warning."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.true_divide(a, b))


def _mean_where(values: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Mean over the kept of (n_stimuli, n_units), shape (n_units,); NaN if none is kept."""
    return _ratio(np.where(kept, values, 0.0).sum(axis=0), kept.sum(axis=0))


def _variance_where(values: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Unbiased variance over the kept stimuli, shape (n_units,)."""
    apart = np.where(kept, values - _mean_where(values, kept), 0.0)
    return _ratio((apart**2).sum(axis=0), kept.sum(axis=0) - 1)
