"""Representational dissimilarity matrices: how different the patterns of two stimuli are.

An RDM is (n_stimuli, n_stimuli), symmetric, with 0 on the diagonal; NaN means 'not defined'.
Patterns are (n_stimuli, n_units), where units may be features of a model.

Distances are sums of squared differences, not differences of inner products, so small distances
between large patterns are right. Two distances that rounding of the patterns alone could part are
the same number (`striate.encoding.ties`): ranks of distances do not depend on the scale of
features, nor on the order of stimuli or units.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial.distance import pdist, squareform

from striate.core.errors import InputError
from striate.data.responses.rdm_checks import unmask
from striate.encoding.scores import standardize
from striate.encoding.ties import merge_ties, precision

ROUNDINGS = 4
"""Times that each value of a pattern may have been rounded before it came here."""
EPS = float(np.finfo(np.float64).eps)


def rdm_correlation(patterns: np.ndarray) -> np.ndarray:
    """1 - Pearson r between the patterns of two stimuli, over units (Kriegeskorte et al. 2008).

    Computed as half the squared distance between patterns of mean 0 and length 1, which is the
    same.

    Args:
        patterns: (n_stimuli, n_units), finite.

    Returns:
        (n_stimuli, n_stimuli), 0 to 2; NaN for a stimulus whose pattern is constant.

    >>> rdm_correlation(np.array([[1.0, 2.0, 3.0], [2.0, 4.0, 6.0], [3.0, 2.0, 1.0]])).round(6)
    array([[0., 0., 2.],
           [0., 0., 2.],
           [2., 2., 0.]])
    """
    patterns, eps = _check_patterns(patterns)
    largest = np.abs(patterns).max(axis=1)
    varies = np.ptp(patterns, axis=1) > 16 * eps * largest
    out = np.full((len(patterns), len(patterns)), np.nan)
    scaled = patterns[varies] / largest[varies, None]  # so that no square is too small or large
    centered = scaled - scaled.mean(axis=1, keepdims=True)
    error = eps * _length(scaled) / _length(centered)  # as a share of the length, which becomes 1
    distances = squared_distances(np.ascontiguousarray(standardize(centered.T).T), error) / 2
    out[np.ix_(varies, varies)] = squareform(np.minimum(distances, 2.0))
    return out


def rdm_squared_euclidean(patterns: np.ndarray) -> np.ndarray:
    """Squared Euclidean distance between patterns, divided by the number of units.

    That is the mean over units of the squared difference, as crossnobis has it, so that models of
    different width can be set side by side.

    Args:
        patterns: (n_stimuli, n_units), finite.

    >>> rdm_squared_euclidean(np.array([[0.0, 0.0], [3.0, 4.0]]))
    array([[ 0. , 12.5],
           [12.5,  0. ]])
    """
    patterns, eps = _check_patterns(patterns)
    error = eps * _length(patterns)
    return np.asarray(squareform(squared_distances(patterns, error) / patterns.shape[1]))


def rdm_euclidean(patterns: np.ndarray) -> np.ndarray:
    """Euclidean distance between patterns, divided by the root of the number of units.

    The root of `rdm_squared_euclidean`: ranks of the two are the same, their cosines are not.

    Args:
        patterns: (n_stimuli, n_units), finite.

    >>> rdm_euclidean(np.array([[0.0, 0.0], [3.0, 4.0]])).round(4)
    array([[0.    , 3.5355],
           [3.5355, 0.    ]])
    """
    return np.asarray(np.sqrt(rdm_squared_euclidean(patterns)))


def squared_distances(patterns: np.ndarray, error: np.ndarray) -> np.ndarray:
    """Squared distances of all pairs, equal ones made equal, (n_pairs,) in the order of pdist.

    Args:
        patterns: (n_stimuli, n_units) float64.
        error: (n_stimuli,) length by which one rounding of its values can move a pattern. A
            distance d then moves by no more than the sum t of both errors, and its square by
            2 d t + t^2.
    """
    squared = pdist(patterns, "sqeuclidean")
    i, j = np.triu_indices(len(patterns), 1)
    moved = ROUNDINGS * (error[i] + error[j])
    sums = EPS * patterns.shape[1] * squared
    return merge_ties(squared, 2 * np.sqrt(squared) * moved + moved**2 + sums)


def _length(patterns: np.ndarray) -> np.ndarray:
    return np.asarray(np.sqrt(np.einsum("iu,iu->i", patterns, patterns)))


def _check_patterns(patterns: np.ndarray) -> tuple[np.ndarray, float]:
    """Patterns as float64, and the precision that they came in."""
    patterns = unmask(patterns)
    eps = precision(patterns)
    patterns = np.asarray(patterns, dtype=np.float64)
    if patterns.ndim != 2 or patterns.shape[0] < 2 or patterns.shape[1] < 1:
        raise InputError(
            f"patterns must be (n_stimuli, n_units), 2 stimuli or more, found {patterns.shape}. "
            "Average single trials, or use rdm_crossnobis."
        )
    bad = np.argwhere(~np.isfinite(patterns))
    if len(bad):
        raise InputError(
            f"patterns have {len(bad)} values that are not finite (first: stimulus {bad[0][0]}, "
            f"unit {bad[0][1]}). Leave out these units or stimuli."
        )
    return patterns, eps
