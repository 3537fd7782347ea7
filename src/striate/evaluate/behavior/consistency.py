"""How alike two observers decide: accuracy difference, observed and error consistency.

The four measures of model-vs-human (Geirhos et al. 2021, arXiv 2106.07411, section 2), for all
pairs of observers and all resamples of images at once: with 0/1 decisions everything is a function
of three sums: of the first, of the second and of their product.
"""

from __future__ import annotations

import numpy as np

from striate.core.errors import InputError

MEASURES = ("accuracy_difference", "observed_consistency", "error_consistency")


def accuracy(correct: np.ndarray, counts: np.ndarray | None = None) -> np.ndarray:
    """Share of right decisions over all images, whatever their condition.

    Args:
        correct: (O, T) boolean.
        counts: (S, T), how often each image is in each resample; default once.

    Returns:
        (S, O); NaN where a resample holds none of the images.

    >>> accuracy(np.array([[True, True, False, True]])).tolist()
    [[0.75]]
    """
    correct = _check_binary(correct, "correct")
    weights = _make_weights(counts, correct.shape[1])
    right, n = weights @ correct.T, weights.sum(axis=1, keepdims=True)
    return np.divide(right, n, out=np.full(right.shape, np.nan), where=n > 0)


def accuracy_difference(first: np.ndarray, second: np.ndarray) -> float:
    """Squared difference of two observers' accuracies, (p1 - p2)^2, in one condition.

    Args:
        first, second: (T,) boolean, whether each decision is right.

    >>> accuracy_difference(np.array([1, 1, 0, 0]), np.array([1, 1, 1, 0]))
    0.0625
    """
    return _measure_pair(first, second, "accuracy_difference")


def observed_consistency(first: np.ndarray, second: np.ndarray) -> float:
    """Share of images that both observers get right or both get wrong, in one condition.

    Args:
        first, second: (T,) boolean, whether each decision is right.

    >>> observed_consistency(np.array([1, 1, 0, 0]), np.array([1, 1, 1, 0]))
    0.75
    """
    return _measure_pair(first, second, "observed_consistency")


def error_consistency(first: np.ndarray, second: np.ndarray) -> float:
    """Cohen's kappa of being right: consistency beyond that of independent observers.

    With observed consistency c and c0 = p1 p2 + (1 - p1)(1 - p2), which independent observers of
    these accuracies reach: (c - c0) / (1 - c0), and 1 where c = 1 (Geirhos, Meding & Wichmann
    2020, arXiv 2006.16736, equations 1 to 3).

    Args:
        first, second: (T,) boolean, whether each decision is right.

    >>> error_consistency(np.array([1, 1, 0, 0]), np.array([1, 1, 1, 0]))
    0.5
    >>> error_consistency(np.array([1, 1]), np.array([1, 1]))
    1.0
    """
    return _measure_pair(first, second, "error_consistency")


def _measure_pair(first: np.ndarray, second: np.ndarray, measure: str) -> float:
    """Measure two observers in one condition."""
    a, b = (np.asarray(x)[None] for x in (first, second))
    pairs = np.zeros((1, 2), dtype=np.int64)
    groups = np.zeros(a.shape[-1], dtype=np.int64)
    return float(pair_measures(a, b, pairs, groups)[measure][0, 0])


def all_pairs(first: int, second: int | None = None) -> np.ndarray:
    """Pair observers, the numbers of two a row: `first` with `second`, or all among themselves.

    >>> all_pairs(3).tolist(), all_pairs(1, 2).tolist()
    ([[0, 1], [0, 2], [1, 2]], [[0, 0], [0, 1]])
    """
    if second is None:
        return np.argwhere(np.triu(np.ones((first, first)), 1))
    return np.argwhere(np.ones((first, second)))


def pair_measures(
    first: np.ndarray,
    second: np.ndarray,
    pairs: np.ndarray,
    groups: np.ndarray,
    counts: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Compute the measures of `MEASURES` for pairs of observers, each a mean over conditions.

    Args:
        first: (A, T) boolean, whether each decision is right.
        second: (B, T).
        pairs: (P, 2), which of `first` is compared with which of `second`.
        groups: (T,) number of each image's condition, from 0.
        counts: (S, T), how often each image is in each resample; default once.

    Returns:
        (S, P) by measure.

    Raises:
        InputError: shapes that do not fit, values other than 0 and 1.
    """
    a, b = _check_binary(first, "first"), _check_binary(second, "second")
    groups = np.asarray(groups)
    if a.shape[1] != b.shape[1] or groups.shape != (a.shape[1],):
        raise InputError(
            f"observers with {a.shape[1]} and {b.shape[1]} trials and conditions of shape "
            f"{groups.shape}: all must be of the same images."
        )
    weights = _make_weights(counts, a.shape[1])
    sums = {m: np.zeros((len(weights), len(pairs))) for m in MEASURES}
    conditions = np.unique(groups)
    for condition in conditions:
        images = np.flatnonzero(groups == condition)
        w = weights[:, images]
        n = w.sum(axis=1, keepdims=True)
        a_pairs, b_pairs = a[pairs[:, 0]][:, images], b[pairs[:, 1]][:, images]
        # whole numbers, so the sums are exact
        x, y, both = w @ a_pairs.T, w @ b_pairs.T, w @ (a_pairs * b_pairs).T
        same = n - x - y + 2 * both
        px, py = x / n, y / n
        chance = px * py + (1 - px) * (1 - py)
        kappa = np.ones_like(same)
        np.divide(same / n - chance, 1 - chance, out=kappa, where=same < n)
        sums["accuracy_difference"] += (px - py) ** 2
        sums["observed_consistency"] += same / n
        sums["error_consistency"] += kappa
    return {m: values / len(conditions) for m, values in sums.items()}


def _check_binary(values: np.ndarray, name: str) -> np.ndarray:
    """Check decisions (observers, images) and return them as 0 and 1."""
    values = np.asarray(values)
    if values.ndim != 2 or not values.shape[1]:
        raise InputError(f"{name}: expected (observers, images), found shape {values.shape}.")
    if values.dtype != bool and not np.isin(values, (0, 1)).all():
        raise InputError(f"{name}: decisions are right (1) or wrong (0), found other values.")
    return values.astype(np.float64)


def _make_weights(counts: np.ndarray | None, n: int) -> np.ndarray:
    """Return how often each of `n` images counts in each resample, (samples, n)."""
    weights = np.ones((1, n)) if counts is None else np.asarray(counts, dtype=np.float64)
    if weights.ndim != 2 or weights.shape[1] != n:
        raise InputError(f"counts: expected (samples, {n}), found shape {weights.shape}.")
    return weights
