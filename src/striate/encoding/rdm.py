"""Representational dissimilarity matrices: how different the patterns of two stimuli are.

An RDM is (n_stimuli, n_stimuli), symmetric, with 0 on the diagonal; NaN means 'not defined'.
Patterns are (n_stimuli, n_units), where units may be features of a model.
"""

from __future__ import annotations

import numpy as np
from scipy import linalg
from sklearn.covariance import ledoit_wolf

from striate.core.errors import InputError, unknown_name
from striate.encoding.scores import standardize, usable

NOISE = ("covariance", "diagonal", "none")


def rdm_correlation(patterns: np.ndarray) -> np.ndarray:
    """1 - Pearson r between the patterns of two stimuli, over units (Kriegeskorte et al. 2008).

    Args:
        patterns: (n_stimuli, n_units), finite.

    Returns:
        (n_stimuli, n_stimuli), 0 to 2; NaN for a stimulus whose pattern is constant.

    >>> rdm_correlation(np.array([[1.0, 2.0, 3.0], [2.0, 4.0, 6.0], [3.0, 2.0, 1.0]])).round(6)
    array([[0., 0., 2.],
           [0., 0., 2.],
           [2., 2., 0.]])
    """
    patterns = _check_patterns(patterns)
    varies = usable(patterns.T)
    out = np.full((len(patterns), len(patterns)), np.nan)
    columns = standardize(patterns[varies].T)
    out[np.ix_(varies, varies)] = 1.0 - np.clip(columns.T @ columns, -1.0, 1.0)
    np.fill_diagonal(out, np.where(varies, 0.0, np.nan))
    return out


def rdm_euclidean(patterns: np.ndarray) -> np.ndarray:
    """Squared Euclidean distance between patterns, divided by the number of units.

    Args:
        patterns: (n_stimuli, n_units), finite.

    >>> rdm_euclidean(np.array([[0.0, 0.0], [3.0, 4.0]]))
    array([[ 0. , 12.5],
           [12.5,  0. ]])
    """
    patterns = _check_patterns(patterns)
    centred = patterns - patterns.mean(axis=0)  # so that no large mean rounds the distances away
    return np.clip(_distances(centred @ centred.T / patterns.shape[1]), 0.0, None)


def rdm_crossnobis(
    trials: np.ndarray, *, noise: str = "covariance", folds: int | None = None
) -> np.ndarray:
    """Cross-validated Mahalanobis distance between patterns, per unit (Walther et al. 2016).

    The mean, over all pairs of different folds k and l, of `(a_k - b_k)' S^-1 (a_l - b_l) / U`
    with the noise covariance S and U units. Noise of different folds is independent, so it adds
    nothing on average: the distance of two equal stimuli is 0 on average, and may be negative.

    Args:
        trials: (n_stimuli, n_repeats, n_units), NaN = no trial.
        noise: which S; see `noise_whitener`.
        folds: number of folds, see `fold_means`.

    Raises:
        InputError: no repeats, a unit without trials in two folds, unknown `noise`.
    """
    means = fold_means(trials, folds)
    white = means @ noise_whitener(trials, noise)
    white -= white.mean(axis=(0, 1))  # a shift of all patterns changes no difference
    n_folds = white.shape[1]
    total = white.sum(axis=1)
    same = np.einsum("iku,jku->ij", white, white, optimize=True)
    products = (total @ total.T - same) / (n_folds * (n_folds - 1))
    return _distances(products / white.shape[2])


def fold_means(trials: np.ndarray, folds: int | None = None) -> np.ndarray:
    """Average trials within folds: repeat r goes to fold r modulo the number of folds.

    Args:
        trials: (n_stimuli, n_repeats, n_units), NaN = no trial.
        folds: how many, at least 2; default the most, up to one a repeat, that leave every
            stimulus and unit with a trial in every fold.

    Returns:
        (n_stimuli, folds, n_units).

    Raises:
        InputError: a stimulus and unit without a trial in some fold, named.
    """
    trials = _check_trials(trials)
    n_repeats = trials.shape[1]
    if folds is not None and not 2 <= folds <= n_repeats:
        raise InputError(f"{folds} folds of {n_repeats} repeats: 2 to {n_repeats} are possible.")
    seen = ~np.isnan(trials)
    for count in [folds] if folds else range(n_repeats, 1, -1):
        members = np.arange(n_repeats) % count == np.arange(count)[:, None]
        number = np.stack([seen[:, m].sum(axis=1) for m in members], axis=1)
        if number.all():
            filled = np.where(seen, trials, 0.0)
            return np.stack([filled[:, m].sum(axis=1) for m in members], axis=1) / number
    stimulus, fold, unit = (int(i) for i in np.argwhere(number == 0)[0])
    raise InputError(
        f"crossnobis: unit {unit} has no trial of stimulus {stimulus} in fold {fold} of {count}. "
        "Use fewer folds, or leave out units and stimuli with few trials."
    )


def noise_whitener(trials: np.ndarray, noise: str = "covariance") -> np.ndarray:
    """Matrix that makes noise white: patterns times it have unit noise covariance, (U, U).

    The noise is what is left of the trials after each stimulus's mean, corrected for the degree of
    freedom that the mean takes.

    Args:
        trials: (n_stimuli, n_repeats, n_units), NaN = no trial.
        noise: `covariance`: of all units, shrunk (Ledoit & Wolf 2004), from those repeats in which
            every unit has a trial, taken to be simultaneous; `diagonal`: each unit's variance,
            from all its trials; `none`: the identity.

    Raises:
        InputError: unknown `noise`, too few complete repeats, a unit without noise variance.
    """
    if noise not in NOISE:
        raise unknown_name("noise", noise, NOISE)
    trials = _check_trials(trials)
    n_units = trials.shape[2]
    if noise == "none":
        return np.eye(n_units)
    seen = ~np.isnan(trials)
    count = seen.sum(axis=1, keepdims=True)
    means = np.where(seen, trials, 0.0).sum(axis=1, keepdims=True) / np.maximum(count, 1)
    freedom = np.sqrt(count / np.maximum(count - 1, 1))
    apart = np.where(count > 1, (trials - means) * freedom, np.nan)
    residuals = apart.reshape(-1, n_units)
    known = ~np.isnan(residuals)
    squares = np.where(known, residuals, 0.0) ** 2
    variance = squares.sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    rounding = (1e-12 * np.abs(np.where(seen, trials, 0.0)).max(axis=(0, 1), initial=0.0)) ** 2
    silent = np.flatnonzero(variance <= rounding)
    if silent.size:
        raise InputError(
            f"{silent.size} of {n_units} units have no noise variance or no repeats (first: unit "
            f'{silent[0]}), so nothing can be divided by it. Leave them out, or use noise="none".'
        )
    if noise == "diagonal":
        return np.diag(1.0 / np.sqrt(variance))
    complete = residuals[known.all(axis=1)]
    if len(complete) < 3:
        raise InputError(
            f"the noise covariance needs repeats in which all {n_units} units have a trial; found "
            f'{len(complete)}. Use noise="diagonal", or units that were recorded together.'
        )
    covariance, _ = ledoit_wolf(complete, assume_centered=True)
    triangle = linalg.cholesky(covariance, lower=True)
    return np.asarray(linalg.solve_triangular(triangle, np.eye(n_units), lower=True).T)


def _distances(products: np.ndarray) -> np.ndarray:
    """Squared distances from inner products, (n, n); symmetric, exactly 0 on the diagonal."""
    products = (products + products.T) / 2
    own = products.diagonal()
    out = own[:, None] + own[None, :] - 2 * products
    np.fill_diagonal(out, 0.0)
    return np.asarray(out)


def _check_patterns(patterns: np.ndarray) -> np.ndarray:
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
    return patterns


def _check_trials(trials: np.ndarray) -> np.ndarray:
    trials = np.asarray(trials, dtype=np.float64)
    if trials.ndim != 3 or trials.shape[0] < 2 or trials.shape[1] < 2 or trials.shape[2] < 1:
        raise InputError(
            "crossnobis needs single trials (n_stimuli, n_repeats, n_units), 2 stimuli and 2 "
            f"repeats or more, found {trials.shape}. Without repeats use rdm_euclidean."
        )
    if np.isinf(trials).any():
        raise InputError("trials have infinite values. NaN says that there was no trial.")
    return trials
