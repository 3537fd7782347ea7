"""Uncertainty and tests: bootstrap over stimuli, shuffled stimuli, tests over subjects, FDR."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy import stats

from striate.core.errors import InputError
from striate.encoding.scores import flat, standardize, usable

EXACT_UP_TO = 12
"""Subjects up to which all sign flips are enumerated (4,096 of them)."""
ENOUGH_SUBJECTS = 6
"""With fewer, no sign-flip test over subjects can reach p = 0.05."""
BLOCK = 1024
"""Units handled at once, which bounds memory."""


@dataclass(frozen=True)
class Interval:
    """An estimate with its 95 % interval."""

    value: float
    low: float
    high: float


def bootstrap_counts(n_stimuli: int, samples: int = 1000, seed: int = 0) -> np.ndarray:
    """Draw how often each stimulus is in each resample, (samples, n_stimuli) (Efron 1979)."""
    if n_stimuli < 2 or samples < 1:
        raise InputError(
            f"bootstrap of {n_stimuli} stimuli, {samples} samples: at least 2 and 1 are needed."
        )
    generator = np.random.default_rng(seed)
    shares = np.full(n_stimuli, 1 / n_stimuli)
    return generator.multinomial(n_stimuli, shares, size=samples).astype(np.float64)


def resampled_means(observed: np.ndarray, predicted: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """ROI-mean correlation of each resample.

    The moments of a resample are the counts times the moments of the stimuli, so all resamples
    are a few matrix products.

    Args:
        observed, predicted: (n_stimuli, n_units). Units whose responses are constant, or that are
            not finite, are left out; a constant prediction counts as 0.
        counts: (n_samples, n_stimuli), how often each stimulus was drawn.

    Returns:
        (n_samples,); NaN where no unit is defined. A unit that happens not to vary in one
        resample is left out of that resample's mean.
    """
    good = np.flatnonzero(usable(observed) & usable(predicted))
    total = np.zeros(len(counts))
    known = np.full(len(counts), float(flat(observed, predicted).sum()))
    for a, b in _standard_blocks(observed, predicted, good):
        r, defined = _weighted_r(a, b, counts)
        total += r.sum(axis=1)
        known += defined.sum(axis=1)
    return np.divide(total, known, out=np.full(len(counts), np.nan), where=known > 0)


def resampled_r(observed: np.ndarray, predicted: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Correlation of every unit in each resample, (n_samples, n_units); NaN where not defined.

    Args:
        observed, predicted: (n_stimuli, n_units).
        counts: (n_samples, n_stimuli), how often each stimulus was drawn.
    """
    out = np.full((len(counts), observed.shape[1]), np.nan)
    good = np.flatnonzero(usable(observed) & usable(predicted))
    start = 0
    for a, b in _standard_blocks(observed, predicted, good):
        r, defined = _weighted_r(a, b, counts)
        out[:, good[start : start + BLOCK]] = np.where(defined, r, np.nan)
        start += BLOCK
    return out


def _weighted_r(a: np.ndarray, b: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Correlations of columns of size 1 by their moments, and where they are defined; else 0."""
    n = counts.sum(axis=1, keepdims=True)
    mean_a, mean_b = counts @ a / n, counts @ b / n
    var_a = counts @ (a * a) / n - mean_a**2
    var_b = counts @ (b * b) / n - mean_b**2
    shared = counts @ (a * b) / n - mean_a * mean_b
    # The columns have size 1 over all stimuli, so rounding is far below this.
    defined = (var_a > 1e-14 / len(a)) & (var_b > 1e-14 / len(a))
    r = np.zeros(shared.shape)
    np.divide(shared, np.sqrt(np.abs(var_a * var_b)), out=r, where=defined)
    return r, defined


def _standard_blocks(
    observed: np.ndarray, predicted: np.ndarray, units: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield centred columns of size 1, some units at a time."""
    for start in range(0, len(units), BLOCK):
        columns = units[start : start + BLOCK]
        yield standardize(observed[:, columns]), standardize(predicted[:, columns])


def bootstrap_means(
    observed: np.ndarray,
    predictions: Mapping[str, np.ndarray],
    samples: int = 1000,
    seed: int = 0,
) -> dict[str, np.ndarray]:
    """Bootstrap the ROI-mean correlation of several models on the *same* resampled stimuli.

    Because the draws are shared, the difference of two models' values is a paired bootstrap.

    Args:
        observed: (n_stimuli, n_units).
        predictions: (n_stimuli, n_units) by model.
        samples: number of resamples.
        seed: of the draws.

    Returns:
        (samples,) by model.

    Raises:
        InputError: predictions of another shape than the responses, named by model.
    """
    for name, predicted in predictions.items():
        _same_shape(observed, predicted, f"model {name}")
    counts = bootstrap_counts(len(observed), samples, seed)
    return {k: resampled_means(observed, p, counts) for k, p in predictions.items()}


def _same_shape(observed: np.ndarray, predicted: np.ndarray, what: str) -> None:
    if observed.ndim != 2 or observed.shape != predicted.shape:
        raise InputError(
            f"{what}: predictions have shape {predicted.shape}, responses {observed.shape}; both "
            "must be (n_stimuli, n_units)."
        )


def percentile_interval(value: float, samples: np.ndarray) -> Interval:
    """Return the value with the 2.5th and 97.5th percentiles of its bootstrap samples."""
    samples = samples[np.isfinite(samples)]
    if not samples.size:
        return Interval(value, float("nan"), float("nan"))
    low, high = np.percentile(samples, [2.5, 97.5])
    return Interval(float(value), float(low), float(high))


def mean_interval(values: np.ndarray) -> Interval:
    """Mean over subjects with its 95 % interval (Student's t); no interval for one subject.

    A bootstrap of a handful of subjects is too narrow, so this is not one.
    """
    values = np.asarray(values, dtype=np.float64)
    values = values[np.isfinite(values)]
    if not values.size:
        return Interval(float("nan"), float("nan"), float("nan"))
    mean = float(values.mean())
    if values.size == 1:
        return Interval(mean, float("nan"), float("nan"))
    error = values.std(ddof=1) / np.sqrt(values.size)
    reach = float(stats.t.ppf(0.975, values.size - 1) * error)
    return Interval(mean, mean - reach, mean + reach)


def shuffled_means(
    observed: np.ndarray, predicted: np.ndarray, permutations: int = 100, seed: int = 0
) -> np.ndarray:
    """ROI-mean correlation with stimuli shuffled: the null of no relation to the images.

    The rows of `predicted` are permuted as a whole, so correlations between units stay. With
    columns a, b of size 1 the ROI mean is `mean over units of sum_i a_i b_perm(i)`, that is a sum
    of entries of `A B'`; each permutation only looks them up.

    Args:
        observed, predicted: (n_stimuli, n_units).
        permutations: how many.
        seed: of the permutations.

    Returns:
        (permutations,); NaN where no unit is defined. Constant predictions count as 0.
    """
    _same_shape(observed, predicted, "shuffled stimuli")
    good = np.flatnonzero(usable(observed) & usable(predicted))
    known = good.size + int(flat(observed, predicted).sum())
    if not known:
        return np.full(permutations, np.nan)
    if not good.size:
        return np.zeros(permutations)
    generator = np.random.default_rng(seed)
    n = len(observed)
    orders = np.array([generator.permutation(n) for _ in range(permutations)], dtype=np.int64)
    orders = orders.reshape(permutations, n)
    a, b = standardize(observed[:, good]), standardize(predicted[:, good])
    total = np.zeros(permutations)
    for start in range(0, n, BLOCK):
        stop = min(start + BLOCK, n)
        table = a[start:stop] @ b.T
        total += table[np.arange(stop - start), orders[:, start:stop]].sum(axis=1)
    return total / known


def permutation_p(value: float, null: np.ndarray) -> float:
    """One-sided p: the share of the null at least as large, (b + 1) / (m + 1).

    Phipson & Smyth 2010: never zero.

    >>> permutation_p(0.5, np.array([0.1, 0.2, 0.6]))
    0.5
    """
    null = null[np.isfinite(null)]
    if not null.size or not np.isfinite(value):
        return float("nan")
    return float((np.sum(null >= value) + 1) / (len(null) + 1))


def sign_flip_p(differences: np.ndarray, seed: int = 0, flips: int = 10_000) -> float:
    """Two-sided p of a paired test over subjects: the mean difference under random signs.

    All sign patterns are enumerated for up to 12 subjects (an exact test, Fisher 1935), else
    `flips` random ones. With n subjects no p below 2 / 2^n is possible, so fewer than
    `ENOUGH_SUBJECTS` cannot reach 0.05. NaN with fewer than two subjects.

    >>> sign_flip_p(np.array([0.1, 0.2, 0.3, 0.1]))
    0.125
    """
    d = np.asarray(differences, dtype=np.float64)
    d = d[np.isfinite(d)]
    if d.size < 2:
        return float("nan")
    reached = np.abs(d.sum()) - 1e-12 * np.abs(d).sum()  # sums of equal terms may round apart
    if d.size <= EXACT_UP_TO:
        signs = np.array(list(product((1.0, -1.0), repeat=d.size)))
        return float(np.mean(np.abs(signs @ d) >= reached))
    generator = np.random.default_rng(seed)
    sums = np.abs(generator.choice([-1.0, 1.0], size=(flips, d.size)) @ d)
    return float((np.sum(sums >= reached) + 1) / (flips + 1))


def fdr(p: np.ndarray) -> np.ndarray:
    """Adjust p values for the false discovery rate (Benjamini & Hochberg 1995); NaN stays NaN.

    >>> fdr(np.array([0.01, np.nan, 0.04])).round(2)
    array([0.02,  nan, 0.04])
    """
    p = np.asarray(p, dtype=np.float64)
    if p.ndim != 1:
        raise InputError(f"p values must be one-dimensional, found shape {p.shape}.")
    out = np.full(p.shape, np.nan)
    known = np.isfinite(p)
    if known.any():
        out[known] = stats.false_discovery_control(p[known], method="bh")
    return out
