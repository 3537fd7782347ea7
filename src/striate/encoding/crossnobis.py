"""Cross-validated Mahalanobis distances (crossnobis) that noise does not move.

For stimuli i and j, with fold means `a` and `b` and their differences `d_k = a_k - b_k`,

    crossnobis_ij = mean over folds k != l of d_k' P d_l / U        (Walther et al. 2016, eq. 8)

with U units and P the inverse of the noise covariance. Noise of different folds is independent,
so for a *given* P it adds nothing on average. P from the trials that are weighed is not given:
with residuals r_k = d_k - d (d the mean over R folds) and d independent of them (Gaussian noise),

    sum over k != l of d_k' P d_l = R (R - 1) d' P d - sum_k r_k' P r_k,

and P is fitted to exactly these residuals: on average `tr(P S) = U` for the sample covariance S
that P inverts, while the noise S0 in d gives `tr(P S0) > U`. The distance of two equal stimuli is
then 2 (E tr(P S0) - E tr(P S)) / (R U), well above 0 where there are few trials. So here the pair
(i, j) is weighed by the noise of all *other* stimuli, whose trials are independent of theirs. Then

    E crossnobis_ij = (mu_i - mu_j)' E[P] (mu_i - mu_j) / U,

0 for equal stimuli, whatever the noise's distribution, with two repeats or more. The metric is
that of the estimate: shrinkage (`covariance`) draws P towards the sphere, and without any the
inverse of a covariance with v degrees of freedom is v / (v - U - 1) times too large on average
(v / (v - 2) for `diagonal`); both are the same for all pairs of a balanced design.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import linalg
from scipy.spatial.distance import squareform
from sklearn.covariance import ledoit_wolf

from striate.core.errors import InputError, unknown_name
from striate.encoding.rdm import ROUNDINGS
from striate.encoding.ties import merge_ties, precision

NOISE = ("covariance", "diagonal", "none")
BLOCK_BYTES = 2**26
"""Memory for the pairs that are handled at once."""

Weighing = Callable[[int, slice, np.ndarray], np.ndarray]
"""Of stimulus i, a range of stimuli j and differences of fold means (J, K, U): sum over k != l of
d_k' P_ij d_l, (J,)."""


def rdm_crossnobis(
    trials: np.ndarray, *, noise: str | np.ndarray = "covariance", folds: int | None = None
) -> np.ndarray:
    """Cross-validated Mahalanobis distance between patterns, per unit (Walther et al. 2016).

    Unbiased: 0 on average for two equal stimuli, so single values may be negative. See the head of
    this file for what is estimated.

    Args:
        trials: (n_stimuli, n_repeats, n_units), NaN = no trial.
        noise: what patterns are whitened by. `covariance`: of all units, shrunk (Ledoit & Wolf
            2004); `diagonal`: each unit's variance; both from the trials of all stimuli but the
            pair that is weighed. `none`: nothing. Or a covariance (n_units, n_units) that was
            measured apart from these trials, such as from a baseline (`noise_covariance`).
        folds: number of folds, see `fold_means`.

    Returns:
        (n_stimuli, n_stimuli).

    Raises:
        InputError: no repeats, a unit without trials in two folds or without noise in three
            stimuli, too few trials for a covariance, unknown `noise`.
    """
    eps = precision(np.asarray(trials))
    trials = _check_trials(trials)
    means = fold_means(trials, folds)
    # A shift of all patterns changes no difference, and large numbers round.
    size = np.sqrt(np.square(means).sum(axis=(1, 2)))
    means = means - means.mean(axis=(0, 1))
    if not isinstance(noise, str):
        means = linalg.solve_triangular(
            _lower_root(noise, trials.shape[2]), means.reshape(-1, trials.shape[2]).T, lower=True
        ).T.reshape(means.shape)
        weigh: Weighing = _weigh_equally
    elif noise == "none":
        weigh = _weigh_equally
    elif noise == "diagonal":
        weigh = _diagonal_weighing(trials)
    elif noise == "covariance":
        means, weigh = _covariance_weighing(trials, means)
    else:
        raise unknown_name("noise", noise, NOISE)
    n, n_folds, n_units = means.shape
    scale = n_folds * (n_folds - 1) * n_units
    rows = max(1, BLOCK_BYTES // (8 * n_units * (3 * n_folds + 2 * trials.shape[1])))
    out = []
    for i in range(n - 1):
        for start in range(i + 1, n, rows):
            others = slice(start, min(start + rows, n))
            out.append(weigh(i, others, means[i] - means[others]) / scale)
    distances = np.concatenate(out)
    if weigh is _weigh_equally:
        distances = _merge_rounded(distances, means, size if isinstance(noise, str) else None, eps)
    return np.asarray(squareform(distances))


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


def noise_covariance(trials: np.ndarray, noise: str = "covariance") -> np.ndarray:
    """Covariance of the noise between units, (n_units, n_units).

    The noise is what is left of the trials after each stimulus's mean, corrected for the degree of
    freedom that the mean takes. Do not weigh the same trials by it (see the head of this file);
    `rdm_crossnobis` does this for each pair without the pair's own trials.

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
    trials = _check_trials(trials, least=1)
    if noise == "none":
        return np.eye(trials.shape[2])
    residuals = _residuals(trials)
    _check_noise(trials, residuals, stimuli=1)
    recorded = ~np.isnan(residuals)
    if noise == "diagonal":
        squares = np.where(recorded, residuals, 0.0) ** 2
        return np.diag(squares.sum(axis=(0, 1)) / recorded.sum(axis=(0, 1)))
    complete = residuals[recorded.all(axis=2)]
    _check_complete(len(complete), trials.shape[2])
    return np.asarray(ledoit_wolf(complete, assume_centered=True)[0])


def _residuals(trials: np.ndarray) -> np.ndarray:
    """Trials less their stimulus's mean, scaled to the noise's variance; NaN where not known."""
    seen = ~np.isnan(trials)
    count = seen.sum(axis=1, keepdims=True)
    means = np.where(seen, trials, 0.0).sum(axis=1, keepdims=True) / np.maximum(count, 1)
    freedom = np.sqrt(count / np.maximum(count - 1, 1))
    return np.where(count > 1, (trials - means) * freedom, np.nan)


def _check_noise(trials: np.ndarray, residuals: np.ndarray, stimuli: int) -> None:
    """Refuse units whose trials differ for fewer than so many stimuli, but for rounding."""
    squares = np.nansum(np.square(residuals), axis=1)
    rounding = (1e-12 * np.abs(np.nan_to_num(trials)).max(axis=(0, 1), initial=0.0)) ** 2
    noisy = (squares > rounding * trials.shape[1]).sum(axis=0)
    silent = np.flatnonzero(noisy < stimuli)
    if silent.size:
        raise InputError(
            f"{silent.size} of {trials.shape[2]} units have no noise variance or no repeats in "
            f"{stimuli} stimuli or more (first: unit {silent[0]}, {noisy[silent[0]]} stimuli), so "
            f'nothing can be divided by it. Leave them out, or use noise="none".'
        )


def _check_complete(count: int, n_units: int) -> None:
    if count < 3:
        raise InputError(
            f"the noise covariance needs repeats in which all {n_units} units have a trial; found "
            f'{count} of other stimuli than the pair that is weighed. Use noise="diagonal", or '
            "units that were recorded together."
        )


def _weigh_equally(i: int, others: slice, apart: np.ndarray) -> np.ndarray:
    total = apart.sum(axis=1)
    return np.asarray(np.einsum("ju,ju->j", total, total) - np.einsum("jku,jku->j", apart, apart))


def _diagonal_weighing(trials: np.ndarray) -> Weighing:
    """Divide by each unit's variance over the other stimuli."""
    residuals = _residuals(trials)
    _check_others(trials)
    _check_noise(trials, residuals, stimuli=3)
    squares = np.nansum(np.square(residuals), axis=1)  # (n, units)
    number = (~np.isnan(residuals)).sum(axis=1)
    all_squares, all_numbers = squares.sum(axis=0), number.sum(axis=0)

    def weigh(i: int, others: slice, apart: np.ndarray) -> np.ndarray:
        count = all_numbers - number[i] - number[others]
        variance = (all_squares - squares[i] - squares[others]) / count
        total = apart.sum(axis=1)
        products = total**2 - np.einsum("jku,jku->ju", apart, apart)
        return np.asarray((products / variance).sum(axis=1))

    return weigh


def _covariance_weighing(trials: np.ndarray, means: np.ndarray) -> tuple[np.ndarray, Weighing]:
    """Divide by Ledoit & Wolf's covariance of the other stimuli.

    With Z the residuals of all stimuli and T = Z'Z = V diag(t) V', the covariance without stimuli
    i and j is a (T - Zij' Zij) + b I, where a and b are their own shrinkage (Ledoit & Wolf 2004,
    lemma 3.3, from sums that leave the pair out). In the basis V all but the rank of Zij is
    diagonal, and Woodbury's identity gives the inverse.

    Returns:
        The means in the basis V, and how differences of them are weighed.
    """
    residuals = _residuals(trials)
    _check_others(trials)
    _check_noise(trials, residuals, stimuli=3)
    n, n_repeats, n_units = residuals.shape
    complete = ~np.isnan(residuals).any(axis=2)
    number = complete.sum(axis=1)
    fewest = int(number.sum() - np.sort(number)[-2:].sum())
    _check_complete(fewest, n_units)
    rows = np.where(complete[..., None], residuals, 0.0)
    unit = np.abs(rows).max()  # so that no fourth power is too large or small
    rows = rows / unit
    values, basis = linalg.eigh(np.einsum("iru,irv->uv", rows, rows, optimize=True))
    values = np.maximum(values, 0.0)
    rows, means = rows @ basis, means @ basis / unit
    flat = rows.reshape(-1, n_units)
    lengths = np.einsum("iru,iru->ir", rows, rows)
    seconds, fourths = lengths.sum(axis=1), np.square(lengths).sum(axis=1)
    # <Si, Sj>, the inner products of the scatter matrices of single stimuli
    inner = np.array(
        [
            np.square(stimulus @ flat.T).reshape(n_repeats, n, n_repeats).sum(axis=(0, 2))
            for stimulus in rows
        ]
    )

    def shrinkage(i: int, others: slice) -> tuple[np.ndarray, np.ndarray]:
        """Factors a and b for the pairs of stimulus i and others, (J,)."""
        count = number.sum() - number[i] - number[others]
        trace = (seconds.sum() - seconds[i] - seconds[others]) / count
        fourth = (fourths.sum() - fourths[i] - fourths[others]) / count
        norm = inner.sum() + inner[i, i] + inner.diagonal()[others]
        norm += 2 * (inner[i, others] - inner[i].sum() - inner[others].sum(axis=1))
        norm = norm / count**2
        mean = trace / n_units
        spread = np.maximum(norm - n_units * mean**2, 0.0)
        error = np.clip((fourth - norm) / count, 0.0, spread)
        share = np.divide(error, spread, out=np.ones_like(error), where=spread > 0)
        return (1 - share) / count, share * mean

    def weigh(i: int, others: slice, apart: np.ndarray) -> np.ndarray:
        a, b = shrinkage(i, others)
        inverse = 1 / (a[:, None] * values + b[:, None])
        stimulus = np.broadcast_to(rows[i], (len(apart), n_repeats, n_units))
        left = np.concatenate([stimulus, rows[others]], axis=1)  # (J, 2 R, U)
        scaled = left * inverse[:, None]
        across = scaled @ apart.transpose(0, 2, 1)  # (J, 2 R, K)
        inside = np.eye(2 * n_repeats) - a[:, None, None] * (scaled @ left.transpose(0, 2, 1))
        back = np.linalg.solve(inside, across)
        total = apart.sum(axis=1)
        off = np.einsum("ju,ju->j", total**2, inverse) - np.einsum(
            "jku,ju->j", apart**2, inverse, optimize=True
        )
        off += a * np.einsum("jm,jm->j", across.sum(axis=2), back.sum(axis=2))
        off -= a * np.einsum("jmk,jmk->j", across, back)
        return np.asarray(off)

    return means, weigh


def _lower_root(noise: np.ndarray, n_units: int) -> np.ndarray:
    """Cholesky factor of a covariance that was given."""
    noise = np.asarray(noise, dtype=np.float64)
    if noise.shape != (n_units, n_units) or not np.allclose(noise, noise.T, rtol=1e-6):
        raise InputError(
            f"noise: expected a symmetric covariance of shape ({n_units}, {n_units}), found shape "
            f"{noise.shape}. Or name one of {', '.join(NOISE)}."
        )
    try:
        return np.asarray(linalg.cholesky(noise, lower=True))
    except (linalg.LinAlgError, ValueError) as error:
        raise InputError(
            f"noise: the covariance cannot be inverted ({error}). Shrink it, or leave out units."
        ) from error


def _merge_rounded(
    values: np.ndarray, means: np.ndarray, size: np.ndarray | None, eps: float
) -> np.ndarray:
    """Make distances equal that only rounding parts.

    A difference of folds is rounded by eps times the size of both patterns, before and after they
    were whitened; sums over k != l multiply it by twice the length of what is summed.
    """
    n, n_folds, n_units = means.shape
    white = np.sqrt(np.square(means).sum(axis=(1, 2)))
    largest = white if size is None else np.maximum(white, size)
    i, j = np.triu_indices(n, 1)
    moved = ROUNDINGS * eps * (largest[i] + largest[j])
    length = np.sqrt(n_folds) * (white[i] + white[j])
    return merge_ties(values, 4 * moved * length / ((n_folds - 1) * n_units))


def _check_others(trials: np.ndarray) -> None:
    if len(trials) < 3:
        raise InputError(
            f"{len(trials)} stimuli: a pair is weighed by the noise of other stimuli, so 3 or more "
            'are needed. Use noise="none", or give a covariance.'
        )


def _check_trials(trials: np.ndarray, least: int = 2) -> np.ndarray:
    trials = np.asarray(trials, dtype=np.float64)
    if trials.ndim != 3 or trials.shape[0] < least or trials.shape[1] < 2 or trials.shape[2] < 1:
        raise InputError(
            f"crossnobis needs single trials (n_stimuli, n_repeats, n_units), {least} stimuli and "
            f"2 repeats or more, found {trials.shape}. Without repeats use rdm_squared_euclidean."
        )
    if np.isinf(trials).any():
        raise InputError("trials have infinite values. NaN says that there was no trial.")
    return trials
