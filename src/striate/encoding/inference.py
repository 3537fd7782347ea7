"""Uncertainty and tests: resampled stimuli, shuffled stimuli, tests over subjects, FDR.

Stimuli that belong together (`StimulusSet.groups`) are resampled and shuffled as a whole
(`resampling.make_resampling`, `shuffled_means`); compare, encode, predict and RSA all use these.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy import stats

from striate.core.errors import InputError
from striate.encoding.groups import shuffled_orders
from striate.encoding.scores import (
    ROUNDING,
    constant_predictions,
    mean_r,
    score_r,
    standardize,
    usable,
)

EXACT_UP_TO = 12
"""Subjects up to which all sign flips are enumerated (4,096 of them)."""
ENOUGH_SUBJECTS = 6
"""With fewer, no sign-flip test over subjects can reach p = 0.05."""
ALPHA = 0.05
"""Level of p and q below which a difference is called sure."""
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


def resampled_means(
    observed: np.ndarray,
    predicted: np.ndarray,
    counts: np.ndarray,
    rounds: np.ndarray | None = None,
) -> np.ndarray:
    """ROI-mean correlation of each resample.

    The moments of a resample are the counts times the moments of the stimuli, so all resamples
    are a few matrix products.

    Args:
        observed, predicted: (n_stimuli, n_units). Units whose responses are constant, or that are
            not finite, are left out; a constant prediction counts as 0.
        counts: (n_samples, n_stimuli), how often each stimulus was drawn.
        rounds: (n_stimuli,) number of the round that tested each: correlations are of what is
            left when the mean within each round is taken out, in every resample anew. Two movies
            of one round that are centered together mirror each other, and leaving one of them out
            as it stands would hide half of how they vary.

    Returns:
        (n_samples,); NaN where no unit is defined, or fewer than two stimuli were drawn. A unit
        whose responses or predictions happen not to vary in one resample, though they do over all
        stimuli, is left out of that resample's mean.
    """
    good = np.flatnonzero(usable(observed) & usable(predicted))
    total = np.zeros(len(counts))
    n_scored = np.full(len(counts), float(constant_predictions(observed, predicted).sum()))
    for a, b in _standard_blocks(observed, predicted, good):
        r, defined = _weighted_r(a, b, counts, rounds)
        total += r.sum(axis=1)
        n_scored += defined.sum(axis=1)
    n_scored[(counts > 0).sum(axis=1) < 2] = 0.0
    return np.divide(total, n_scored, out=np.full(len(counts), np.nan), where=n_scored > 0)


def resampled_r(observed: np.ndarray, predicted: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Correlation of every unit in each resample, (n_samples, n_units); NaN where not defined.

    A prediction that is constant over all stimuli is not defined here (as in `pearson_r`, not as
    in `score_r`), nor is one that happens not to vary in a resample.

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


def _weighted_r(
    a: np.ndarray, b: np.ndarray, counts: np.ndarray, rounds: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Correlations of columns of size 1 by their moments, and where they are defined; else 0."""
    n = counts.sum(axis=1, keepdims=True)
    n = np.maximum(n, 1.0)  # of a resample without stimuli all moments are 0
    products = _products_of_means(a, b, counts, n, rounds)
    var_a = counts @ (a * a) / n - products[0]
    var_b = counts @ (b * b) / n - products[1]
    shared = counts @ (a * b) / n - products[2]
    # The columns have size 1 over all stimuli, so rounding is far below this.
    defined = (var_a > 1e-14 / len(a)) & (var_b > 1e-14 / len(a))
    r = np.zeros(shared.shape)
    np.divide(shared, np.sqrt(np.abs(var_a * var_b)), out=r, where=defined)
    return r, defined


def _products_of_means(
    a: np.ndarray, b: np.ndarray, counts: np.ndarray, n: np.ndarray, rounds: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Squared means of a, of b, and their product, averaged over rounds by their stimuli."""
    numbers = np.zeros(1) if rounds is None else np.unique(rounds)
    if len(numbers) < 2:
        mean_a, mean_b = counts @ a / n, counts @ b / n
        return mean_a**2, mean_b**2, mean_a * mean_b
    square_a, square_b, both = (np.zeros((len(counts), a.shape[1])) for _ in range(3))
    for number in numbers:
        here = np.flatnonzero(rounds == number)
        drawn = counts[:, here]
        size = np.maximum(drawn.sum(axis=1, keepdims=True), 1.0)
        sum_a, sum_b = drawn @ a[here], drawn @ b[here]
        square_a += sum_a**2 / (size * n)
        square_b += sum_b**2 / (size * n)
        both += sum_a * sum_b / (size * n)
    return square_a, square_b, both


def _standard_blocks(
    observed: np.ndarray, predicted: np.ndarray, units: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield centered columns of size 1, some units at a time."""
    for start in range(0, len(units), BLOCK):
        columns = units[start : start + BLOCK]
        yield standardize(observed[:, columns]), standardize(predicted[:, columns])


def check_shapes(observed: np.ndarray, predicted: np.ndarray, what: str) -> None:
    """Refuse predictions of another shape than the responses; `what` begins the message."""
    if observed.ndim != 2 or observed.shape != predicted.shape:
        raise InputError(
            f"{what}: predictions have shape {predicted.shape}, responses {observed.shape}; both "
            "must be (n_stimuli, n_units)."
        )


def percentile_interval(value: float, samples: np.ndarray) -> Interval:
    """Return the value with the 2.5th and 97.5th percentiles of its bootstrap samples.

    They are samples themselves, the k-th from either end with k below 0.025 (samples + 1), so that
    the interval holds 0 just where `bootstrap_p` is not below 0.05. NaN for fewer than 40 samples,
    of which none are so far out.

    >>> percentile_interval(50.0, np.arange(101.0))
    Interval(value=50.0, low=1.0, high=99.0)
    """
    ordered = np.sort(samples[np.isfinite(samples)])
    k = int(np.ceil(0.025 * (ordered.size + 1) - 1e-9)) - 1
    if k < 1:
        return Interval(float(value), float("nan"), float("nan"))
    return Interval(float(value), float(ordered[k - 1]), float(ordered[-k]))


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


def share_over_subjects(shares: np.ndarray, units: np.ndarray) -> Interval:
    """Mean over subjects of shares of units, with its 95 % interval, within 0 and 1.

    The wider of Student's t over subjects and Wilson's score interval (1927, Journal of the
    American Statistical Association 22, p. 209) of the pooled units, as if they were independent:
    of few units all subjects often have one share, such as 1, and no spread. Both ends are the
    outer ones (ours). Simulated with 3 to 12 subjects of 1 to 5 units, t alone holds 14 to
    93 %, this 87 % and more, mostly above 95 %; with many units that are correlated and a share
    near 0 or 1 it is t alone, and holds 81 to 93 %.

    Args:
        shares: (n_subjects,), NaN where there is none.
        units: (n_subjects,) how many units each is of.

    Returns:
        No interval for one subject.

    >>> round(share_over_subjects(np.array([1.0, 1.0, 1.0]), np.array([2, 2, 2])).low, 3)
    0.61
    """
    shares, units = np.asarray(shares, dtype=np.float64), np.asarray(units, dtype=np.float64)
    defined = np.isfinite(shares)
    over_subjects = mean_interval(shares)
    if defined.sum() < 2:
        return over_subjects
    n, z = units[defined].sum(), float(stats.norm.ppf(0.975))
    p = float((shares[defined] * units[defined]).sum() / n)
    middle, reach = p + z**2 / (2 * n), z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    low, high = (middle - reach) / (1 + z**2 / n), (middle + reach) / (1 + z**2 / n)
    return Interval(
        over_subjects.value,
        float(np.clip(min(over_subjects.low, low), 0.0, 1.0)),
        float(np.clip(max(over_subjects.high, high), 0.0, 1.0)),
    )


def bootstrap_p(differences: np.ndarray) -> float:
    """Two-sided p of no difference: twice the share of resamples on the rarer side of zero.

    With one added to the share's count and to the number, so that it is never zero; a resample of
    zero, up to the rounding of correlations, counts for both sides.

    >>> bootstrap_p(np.array([0.1, 0.2, 0.3]))
    0.5
    """
    differences = differences[np.isfinite(differences)]
    if not differences.size:
        return float("nan")
    rarer = min(np.sum(differences <= ROUNDING), np.sum(differences >= -ROUNDING))
    return float(min(1.0, 2 * (rarer + 1) / (differences.size + 1)))


def shuffled_means(
    observed: np.ndarray,
    predicted: np.ndarray,
    permutations: int = 100,
    seed: int = 0,
    groups: Sequence[str] | None = None,
) -> np.ndarray:
    """ROI-mean correlation with stimuli shuffled: the null of no relation to the images.

    The rows of `predicted` change places as a whole, so correlations between units stay, and
    groups of stimuli do, so those between the frames of a movie stay as well
    (`groups.shuffled_orders`). With columns a, b of size 1 the ROI mean is `mean over units of
    sum_i a_i b_perm(i)`, that is a sum of entries of `A B'`; each permutation only looks them up.

    Args:
        observed, predicted: (n_stimuli, n_units).
        permutations: how many; fewer where there are no more arrangements of the groups.
        seed: of the permutations.
        groups: one label a stimulus, `` for one that stands alone; None: all do.

    Returns:
        (at most `permutations`,); NaN where no unit is defined. Constant predictions count as 0.
    """
    check_shapes(observed, predicted, "shuffled stimuli")
    n = len(observed)
    orders = shuffled_orders(n, permutations, seed, groups)
    good = np.flatnonzero(usable(observed) & usable(predicted))
    n_scored = good.size + int(constant_predictions(observed, predicted).sum())
    if not n_scored:
        return np.full(len(orders), np.nan)
    if not good.size or not len(orders):
        return np.zeros(len(orders))
    y, x = observed[:, good], predicted[:, good]
    if not (np.sort(orders, axis=1) == np.arange(n)).all():  # some group was stretched
        means = [mean_r(score_r(y, x[order])) for order in orders]
        return np.array(means) * good.size / n_scored
    a, b = standardize(y), standardize(x)
    total = np.zeros(len(orders))
    for start in range(0, n, BLOCK):
        stop = min(start + BLOCK, n)
        table = a[start:stop] @ b.T
        total += table[np.arange(stop - start), orders[:, start:stop]].sum(axis=1)
    return total / n_scored


def permutation_p(value: float, null: np.ndarray) -> float:
    """One-sided p: the share of the null at least as large, (b + 1) / (m + 1).

    Phipson & Smyth 2010: never zero.

    >>> permutation_p(0.5, np.array([0.1, 0.2, 0.6]))
    0.5
    """
    null = null[np.isfinite(null)]
    if not null.size or not np.isfinite(value):
        return float("nan")
    return float((np.sum(null >= value - ROUNDING) + 1) / (len(null) + 1))


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
    defined = np.isfinite(p)
    if defined.any():
        out[defined] = stats.false_discovery_control(p[defined], method="bh")
    return out
