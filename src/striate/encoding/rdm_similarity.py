"""Comparing RDMs: one number for how alike two of them are, with any weights of the pairs.

The entries above the diagonal are compared, one for each pair of stimuli, by

- `rho_a`: Spearman's rank correlation as it is expected when ties are broken at random,
  `12 / (N^3 - N) * sum (r_a - m)(r_b - m)` with mid-ranks r, their mean m and N pairs (Schütt et
  al. 2023, eLife 12:e82566). A model that predicts ties gains nothing by them;
- `spearman`: Pearson correlation of mid-ranks, the usual correction for ties. It favors models
  that predict ties, such as categories;
- `cosine`: of the dissimilarities themselves, whose zero must mean something (crossnobis).

Dissimilarities that differ by no more than rounding tie (`striate.encoding.ties`): ranks are of
what was measured, not of the last bit. What is no RDM is refused
(`striate.data.responses.rdm_checks`).

A bootstrap over stimuli draws stimulus i c_i times. Pairs of a stimulus with itself say nothing
and are excluded (Nili et al. 2014), so the pair (i, j) simply counts c_i c_j times: weights.
"""

from __future__ import annotations

import numpy as np

from striate.core.errors import InputError, unknown_name
from striate.data.responses.rdm_checks import check_rdms
from striate.encoding.ties import merge_relative_ties, merge_ties, precision

METHODS = ("rho_a", "spearman", "cosine")


def pair_values(rdms: np.ndarray) -> np.ndarray:
    """Entries above the diagonal, row by row: (..., n, n) to (..., n (n - 1) / 2)."""
    rdms = np.asarray(rdms, dtype=np.float64)
    if rdms.ndim < 2 or rdms.shape[-1] != rdms.shape[-2] or rdms.shape[-1] < 3:
        raise InputError(f"RDMs must be (..., n, n), 3 stimuli or more, found shape {rdms.shape}.")
    return rdms[(..., *np.triu_indices(rdms.shape[-1], 1))]


def checked_pairs(rdms: np.ndarray, what: str = "RDM") -> np.ndarray:
    """Dissimilarities of pairs, ready to be ranked: (..., n, n) to (..., n (n - 1) / 2).

    Raises:
        InputError: what is no RDM (`striate.data.responses.rdm_checks`), named `what`.
    """
    values = pair_values(check_rdms(rdms, what))
    eps = precision(np.asarray(rdms))
    for row in values.reshape(-1, values.shape[-1]):  # views
        defined = ~np.isnan(row)
        row[defined] = merge_relative_ties(row[defined], eps)
    return values


def pair_weights(counts: np.ndarray, groups: np.ndarray | None = None) -> np.ndarray:
    """How often each pair occurs when stimulus i was drawn c_i times: (..., n) to (..., n_pairs).

    Args:
        counts: (..., n); equal within a group, as groups are drawn whole.
        groups: (n,) number of each stimulus's group; default each is its own. A pair within a
            group occurs once for each draw of the group: two draws of one movie are no two
            movies, and pairs across them are excluded like those of a stimulus with itself.

    >>> pair_weights(np.array([2.0, 1.0, 3.0])), pair_weights(np.array([2.0, 2, 3]), np.r_[0, 0, 1])
    (array([2., 6., 3.]), array([2., 6., 6.]))
    """
    i, j = np.triu_indices(counts.shape[-1], 1)
    weights = counts[..., i] * counts[..., j]
    if groups is not None:
        weights = np.where(groups[i] == groups[j], counts[..., i], weights)
    return np.asarray(weights)


def compare_rdms(first: np.ndarray, second: np.ndarray, method: str = "rho_a") -> np.ndarray:
    """Compare every RDM of one stack with every RDM of another.

    Args:
        first, second: (n, n) or (k, n, n). Pairs of stimuli that are NaN in any of them are left
            out of all.
        method: `rho_a`, `spearman` or `cosine`; see the head of this file.

    Returns:
        Shape of the first stack and then the second: () for two matrices, (k1, k2) for two stacks.
        NaN where the measure is not defined: fewer than 2 pairs, constant RDMs for `spearman`,
        zeros for `cosine`.

    Raises:
        InputError: shapes that do not fit, what is no RDM, unknown method.

    Examples:
        >>> a = np.array([[0.0, 1, 2], [1, 0, 3], [2, 3, 0]])
        >>> b = np.array([[0.0, 3, 2], [3, 0, 1], [2, 1, 0]])
        >>> float(compare_rdms(a, a)), float(compare_rdms(a, b))
        (1.0, -1.0)
        >>> compare_rdms(np.tril(a), a)
        Traceback (most recent call last):
        striate.core.errors.InputError: first is only the lower half of an RDM. Use rdm + rdm.T.
    """
    a, b = checked_pairs(first, "first"), checked_pairs(second, "second")
    if a.shape[-1] != b.shape[-1]:
        raise InputError(
            f"RDMs of {np.shape(first)[-1]} and {np.shape(second)[-1]} stimuli cannot be compared: "
            "both must be of the same stimuli, in one order."
        )
    rows = a.reshape(-1, a.shape[-1]), b.reshape(-1, b.shape[-1])
    return compare_pairs(*rows, method).reshape((*a.shape[:-1], *b.shape[:-1]))


def compare_pairs(first: np.ndarray, second: np.ndarray, method: str = "rho_a") -> np.ndarray:
    """Compare RDMs as `checked_pairs` gives them: (k1, n_pairs), (k2, n_pairs) to (k1, k2)."""
    both = np.concatenate([first, second])
    defined = ~np.isnan(both).any(axis=0)
    ready = np.array([prepared(values, method) for values in both[:, defined]])
    if defined.sum() < 2:
        return np.full((len(first), len(second)), np.nan)
    return similarity(ready[: len(first)], ready[len(first) :])


def prepared(values: np.ndarray, method: str, weights: np.ndarray | None = None) -> np.ndarray:
    """Turn an RDM's pairs into numbers whose weighted inner products are the measure.

    Args:
        values: (n_pairs,), finite; ties are exactly equal (`checked_pairs`).
        method: see the head of this file.
        weights: (..., n_pairs) whole numbers >= 0; default 1 each.

    Returns:
        (..., n_pairs), NaN where the measure is not defined. Multiplied by the roots of the
        weights, so `similarity` needs none.
    """
    if method not in METHODS:
        raise unknown_name("method", method, METHODS)
    weights = np.ones(len(values)) if weights is None else np.asarray(weights, dtype=np.float64)
    root = np.sqrt(weights)
    if method == "cosine":
        return _unit(root * values)
    number = weights.sum(axis=-1, keepdims=True)
    ranks = root * (mid_ranks(values, weights) - (number + 1) / 2)
    if method == "spearman":
        return _unit(ranks)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(ranks * np.sqrt(12 / (number**3 - number)))


def mid_ranks(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Ranks from 1 of values that occur `weights` times each, the mean rank where they tie.

    Args:
        values: (n,); weights: (..., n).

    Returns:
        (..., n).

    >>> mid_ranks(np.array([5.0, 1.0, 5.0]), np.array([1.0, 2.0, 1.0]))
    array([3.5, 1.5, 3.5])
    """
    if not len(values):
        return np.zeros(weights.shape)
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    size = np.add.reduceat(weights[..., order], starts, axis=-1)
    rank = np.cumsum(size, axis=-1) - (size - 1) / 2
    tie = np.empty(len(values), dtype=np.int64)
    tie[order] = np.repeat(np.arange(len(starts)), np.diff(np.r_[starts, len(values)]))
    return np.asarray(rank[..., tie])


def similarity(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Inner products of `prepared` RDMs over the last axis: (k1, n), (k2, n) to (k1, k2)."""
    return np.clip(first @ second.T, -1.0, 1.0)


def noise_ceiling_rdms(rdms: np.ndarray, method: str = "rho_a") -> tuple[float, float]:
    """Bounds on the mean similarity that the best possible model reaches (Nili et al. 2014).

    Every RDM is compared with the mean of all, its own included (upper: no RDM can be nearer to
    all of them), and with the mean of the others (lower). Ranks are averaged for rank measures,
    and RDMs of length 1 for `cosine`.

    Args:
        rdms: (n_subjects, n, n). Pairs that are NaN in any are left out.
        method: as for `compare_rdms`.

    Returns:
        Lower and upper bound; NaN for a single subject.
    """
    values = checked_pairs(rdms, "RDM of the subjects")
    if values.ndim != 2:
        raise InputError(f"a noise ceiling needs RDMs (n_subjects, n, n), found {np.shape(rdms)}.")
    return noise_ceiling_pairs(values, method)


def noise_ceiling_pairs(values: np.ndarray, method: str = "rho_a") -> tuple[float, float]:
    """`noise_ceiling_rdms` of RDMs as `checked_pairs` gives them, (n_subjects, n_pairs)."""
    if len(values) < 2:
        return float("nan"), float("nan")
    subjects = np.array([prepared(v, method) for v in values[:, ~np.isnan(values).any(axis=0)]])
    total = subjects.sum(axis=0)
    upper = subjects @ _prepare_sum(total, method)
    lower = [v @ _prepare_sum(total - v, method) for v in subjects]
    return float(np.mean(lower)), float(np.mean(upper))


def _prepare_sum(values: np.ndarray, method: str) -> np.ndarray:
    """Prepare a sum of prepared RDMs; sums of equal terms may round apart, which is no order."""
    if method == "cosine":
        return prepared(values, method)
    return prepared(merge_ties(values, 1e-12 * np.abs(values).max(initial=0.0)), method)


def _unit(values: np.ndarray) -> np.ndarray:
    """Scale the last axis to length 1; NaN where there is nothing to scale."""
    size = np.sqrt((values**2).sum(axis=-1, keepdims=True))
    return np.divide(values, size, out=np.full(values.shape, np.nan), where=size > 0)
