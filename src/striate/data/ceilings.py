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
    data, where NSD has it as 1 after z-scoring.
    """
    count = _count(trials)
    several = (count >= 2).all(axis=1)
    noise = np.nanvar(trials[several], axis=1, ddof=1).mean(axis=0)
    seen = trials[_count(trials).min(axis=1) >= 1]
    means = np.nanmean(seen, axis=1)
    # The variance of a mean of n trials is signal + noise / n; this removes the second part.
    share = (1.0 / _count(seen)).mean(axis=0)
    signal = means.var(axis=0, ddof=1) - noise * share
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.sqrt(np.clip(signal, 0, None)) / np.sqrt(noise)
    return np.where(noise > 0, ratio, np.where(signal > 0, np.inf, np.nan))


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
    seen = _count(trials).min(axis=1) >= 1
    repeats = 1.0 / (1.0 / _count(trials[seen])).mean(axis=0)
    return ceiling_from_ncsnr(ncsnr(trials), repeats)


def split_half(trials: np.ndarray, splits: int = 100, seed: int = 0) -> np.ndarray:
    """Split-half reliability per unit with Spearman-Brown's correction, shape (n_units,).

    Trials of each stimulus are divided at random into two halves; the correlation r of the half
    means over stimuli is corrected to the full number of trials, 2r / (1 + r) (Spearman 1910,
    Brown 1910), and averaged over `splits` divisions. It estimates the squared ceiling: the
    correlation of the averages with a second measurement like it. Stimuli with one trial are left
    out.

    Args:
        trials: shape (n_stimuli, n_repeats, n_units).
        splits: number of random divisions.
        seed: of the divisions.
    """
    trials = trials[(_count(trials) >= 2).all(axis=1)]
    generator = np.random.default_rng(seed)
    total = np.zeros(trials.shape[2])
    for _ in range(splits):
        order = generator.random(trials.shape[:2])
        order[np.isnan(trials).any(axis=2)] = np.inf  # missing trials last
        rank = order.argsort(axis=1).argsort(axis=1)
        present = np.isfinite(order)
        first = present & (rank < (present.sum(axis=1, keepdims=True) // 2))
        half = [_mean(trials, chosen) for chosen in (first, present & ~first)]
        a, b = (h - h.mean(axis=0) for h in half)
        with np.errstate(divide="ignore", invalid="ignore"):
            r = (a * b).sum(axis=0) / np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0))
            total += 2 * r / (1 + r)
    return total / splits


def _count(trials: np.ndarray) -> np.ndarray:
    """Number of trials, shape (n_stimuli, n_units)."""
    return (~np.isnan(trials)).sum(axis=1)


def _mean(trials: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Mean over the chosen trials (n_stimuli, n_repeats), shape (n_stimuli, n_units)."""
    kept = np.where(chosen[..., None], trials, 0.0).sum(axis=1)
    return np.asarray(kept / chosen.sum(axis=1)[:, None])
