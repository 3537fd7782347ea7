"""Scores of predictions, per unit. Arrays are (n_stimuli, n_units); NaN means 'not defined'.

What is NaN is left out of every mean. A unit whose responses are constant or not finite, or whose
prediction is not finite, is NaN in every score. A prediction that is constant:

- `score_r`: 0. The score of compare, encode and predict, of their nulls, resamples, shares and
  differences: a model must not gain by units that it cannot predict at all being left out;
- `pearson_r`: NaN, as a correlation is not defined. Of half-data reliabilities, and of
  FreemanZiemba2013, whose median leaves such neurons out as Brain-Score does;
- folds by which penalties and taps are chosen (`solver.fold_scores`): 0, for the same reason;
- `r_squared`: as any other prediction, at most 0.

In single resamples (`inference.resampled_means`) a unit that happens not to vary there, though it
does over all stimuli, is left out of that resample.
"""

from __future__ import annotations

import numpy as np

from striate.data.responses.noise_ceilings import Ceilings

ROUNDING = 1e-12
"""Correlations nearer to each other than this differ by rounding alone."""
SMALLEST_CEILING = 0.1
"""Below this ceiling (ours) a unit carries too little signal for a ratio to mean anything."""


def pearson_r(observed: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Pearson correlation of each unit, shape (n_units,) (docs/papers/contrastive-tuning.md 3.1).

    NaN where either is constant or not finite.

    >>> a, b = np.array([[1.0], [2.0], [3.0]]), np.array([[1.0], [2.0], [4.0]])
    >>> pearson_r(a, b).round(4)
    array([0.982])
    >>> pearson_r(a, np.array([[2.0], [2.0], [2.0]]))
    array([nan])
    """
    return _pearson(*_doubles(observed, predicted))


def score_r(observed: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Pearson correlation as a score, shape (n_units,): 0 where the prediction is constant.

    A model that predicts nothing of a unit must not gain by having that unit left out of a mean.
    NaN where the responses are constant or not finite, or the prediction is not finite.

    >>> a = np.array([[1.0], [2.0], [3.0]])
    >>> score_r(a, np.array([[2.0], [2.0], [2.0]])), score_r(np.full((3, 1), 2.0), a)
    (array([0.]), array([nan]))
    """
    observed, predicted = _doubles(observed, predicted)
    return np.where(constant_predictions(observed, predicted), 0.0, _pearson(observed, predicted))


def constant_predictions(observed: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Units, (n_units,) boolean, whose responses vary and whose finite prediction does not."""
    finite = np.isfinite(predicted).all(axis=0)
    return np.asarray(usable(observed) & finite & ~usable(predicted))


def _doubles(observed: np.ndarray, predicted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.asarray(observed, dtype=np.float64), np.asarray(predicted, dtype=np.float64)


def _pearson(observed: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    defined = usable(observed) & usable(predicted)
    out = np.full(defined.shape, np.nan)
    a, b = standardize(observed[:, defined]), standardize(predicted[:, defined])
    out[defined] = np.clip((a * b).sum(axis=0), -1.0, 1.0)
    return out


def standardize(values: np.ndarray) -> np.ndarray:
    """Center columns and scale them to size 1, float64; each must vary."""
    centered = np.asarray(values, dtype=np.float64) - values.mean(axis=0, dtype=np.float64)
    centered /= np.abs(centered).max(axis=0, initial=0.0)  # so that no square is too small or large
    centered /= np.sqrt((centered * centered).sum(axis=0))
    return np.asarray(centered)


def usable(values: np.ndarray) -> np.ndarray:
    """Units, (n_units,) boolean, that are finite and vary by more than rounding can make them."""
    finite = np.isfinite(values).all(axis=0)
    out = np.zeros(values.shape[1:], dtype=bool)
    columns = values[:, finite]
    size = np.abs(columns).max(axis=0, initial=0.0)
    out[finite] = np.ptp(columns, axis=0) > 16 * np.finfo(np.float64).eps * size
    return out


def r_squared(observed: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Coefficient of determination of each unit, 1 - SSE / SST, shape (n_units,).

    Negative where the prediction is worse than the mean of `observed`; NaN where the responses
    are constant, or anything is not finite. A constant prediction is defined here.

    >>> r_squared(np.array([[1.0], [2.0], [3.0]]), np.array([[2.0], [2.0], [2.0]]))
    array([0.])
    """
    observed, predicted = _doubles(observed, predicted)
    defined = usable(observed) & np.isfinite(predicted).all(axis=0)
    out = np.full(defined.shape, np.nan)
    a = observed[:, defined]
    errors = ((a - predicted[:, defined]) ** 2).sum(axis=0)
    out[defined] = 1.0 - errors / ((a - a.mean(axis=0)) ** 2).sum(axis=0)
    return out


def ceiling_normalized(r: np.ndarray, ceiling: np.ndarray) -> np.ndarray:
    """Divide correlations by the largest that noise allows; NaN where unknown or below 0.1 (ours).

    >>> ceiling_normalized(np.array([0.3, 0.3, 0.3]), np.array([0.6, np.nan, 0.01]))
    array([0.5, nan, nan])
    """
    ceiling = np.asarray(ceiling, dtype=np.float64)
    large = np.nan_to_num(ceiling, nan=0.0) >= SMALLEST_CEILING
    return np.divide(r, ceiling, out=np.full(np.shape(r), np.nan), where=large)


def score_columns(r: np.ndarray, r2: np.ndarray, limits: Ceilings) -> dict[str, np.ndarray]:
    """Columns that the unit tables of all verbs share, from scores and ceilings, (n_units,) each.

    `r_normalized` is r over the ceiling, NaN where that is unknown or low; `ceiling_source` says
    where the ceiling is from.
    """
    return {
        "r": r,
        "r2": r2,
        "ceiling": limits.ceiling,
        "ceiling_source": limits.source,
        "reliability": limits.reliability,
        "r_normalized": ceiling_normalized(r, limits.ceiling),
    }


def mean_r(r: np.ndarray) -> float:
    """Mean over the units whose correlation is defined; NaN if there is none."""
    return float(np.nanmean(r)) if np.isfinite(r).any() else float("nan")


def share_improved(r: np.ndarray, baseline: np.ndarray) -> float:
    """Share of units with r above the baseline's, of those defined in both; NaN if there is none.

    After Mulrooney & Brockmeier 2024; docs/papers/contrastive-tuning.md 3.1. A tie is no
    improvement.

    >>> share_improved(np.array([0.3, 0.2, np.nan]), np.array([0.1, 0.2, 0.1]))
    0.5
    """
    both = np.isfinite(r) & np.isfinite(baseline)
    return float(np.mean(r[both] > baseline[both] + ROUNDING)) if both.any() else float("nan")
