"""Noise ceilings: the largest correlation a perfect model could reach, from repeats or as stated.

All functions of trials take (n_stimuli, n_repeats, n_units) of any number type, NaN where there
was no trial. They compute in float64 and leave out stimuli with fewer than two trials where they
need a pair.

The variance over stimuli of a unit's averages is signal plus noise: V = S + E, with E the mean over
stimuli of the noise variance divided by the number of trials. The reliability S / V is the share
that a perfect model explains, and its root is the ceiling of a correlation.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import xarray as xr

from striate.data.responses.responses import Responses

REPEATS, GIVEN, NONE = "repeats", "given", "none"
"""Sources of a ceiling: repeats of the scored stimuli, the data set's own statement, or none."""
BLOCK = 1024
"""Number of units handled at once, to bound memory."""


@dataclass(frozen=True)
class Variances:
    """Parts of the variance of averaged responses, each (n_units,); NaN where unknown.

    Attributes:
        averages: V, unbiased variance of the averages over stimuli.
        noise: E, the noise variance that is left in the averages.
        trial: noise variance of a single trial.
        freedom: degrees of freedom of `averages`: stimuli less rounds.
        spread: mean square over squared mean of the stimuli's variances, each S plus the noise in
            its average; 1 where all stimuli have equally many trials. `averages` varies from sample
            to sample as if it had freedom / spread degrees of freedom (Satterthwaite 1946).
    """

    averages: np.ndarray
    noise: np.ndarray
    trial: np.ndarray
    freedom: np.ndarray
    spread: np.ndarray


def variances(trials: np.ndarray, rounds: np.ndarray | None = None) -> Variances:
    """Divide the variance of averages into signal and noise (one-way analysis of variance).

    The noise of a trial is the mean over stimuli of the variance across repeats (n - 1 in the
    denominator), as in NSD (Allen et al. 2022, Nature Neuroscience 25, Methods, 'Noise ceiling
    estimation'); the mean of 1/n over stimuli is the share of it that is left in the averages.

    Args:
        trials: (n_stimuli, n_repeats, n_units).
        rounds: (n_stimuli,) numbers; only variance within rounds counts, as in scores of responses
            less their mean in each round. Default one round.
    """
    trials = np.asarray(trials, dtype=np.float64)
    has_infinite = np.isinf(trials).any(axis=(0, 1))  # such units have no variance to divide
    trials = np.where(has_infinite, np.nan, trials) if has_infinite.any() else trials
    present = ~np.isnan(trials)
    count = present.sum(axis=1)
    means = _divide(np.where(present, trials, 0.0).sum(axis=1), count)
    squares = np.where(present, trials - means[:, None], 0.0) ** 2
    noise = _average_where(_divide(squares.sum(axis=1), count - 1), count >= 2)
    noise_share = _average_where(_divide(1.0, count), count >= 1)
    # The average of equal trials is off by rounding; variance of that size counts as none.
    largest = np.abs(np.where(present, trials, 0.0)).max(axis=(0, 1), initial=0.0)
    noise = np.where(noise > (1e-12 * largest) ** 2, noise, np.where(np.isnan(noise), np.nan, 0.0))
    total, freedom = np.zeros(trials.shape[2]), np.zeros(trials.shape[2])
    round_numbers = np.zeros(len(trials)) if rounds is None else np.asarray(rounds)
    for number in np.unique(round_numbers):
        in_round = (round_numbers == number)[:, None] & (count >= 1)
        total += (np.where(in_round, means - _average_where(means, in_round), 0.0) ** 2).sum(axis=0)
        freedom += np.maximum(in_round.sum(axis=0) - 1, 0)
    averages = _divide(total, freedom)
    averages = np.where(averages > (1e-12 * largest) ** 2, averages, 0.0 * averages)
    stimulus_variances = _divide(noise, count) + np.clip(averages - noise * noise_share, 0, None)
    spread = _divide(
        _average_where(stimulus_variances**2, count >= 1),
        _average_where(stimulus_variances, count >= 1) ** 2,
    )
    return Variances(averages, noise * noise_share, noise, freedom, spread)


def ncsnr(trials: np.ndarray) -> np.ndarray:
    """Noise-ceiling signal-to-noise ratio per unit, shape (n_units,).

    The ratio is one of standard deviations. As in NSD (see `variances`), the signal variance is the
    variance of the averages less the noise left in them, not below zero. NSD takes the total
    variance as 1 after z-scoring; here it is computed from the data. NaN for a unit without two
    trials of any stimulus or without variance.
    """
    parts = variances(trials)
    signal = np.clip(parts.averages - parts.noise, 0, None)
    ratio = np.sqrt(_divide(signal, parts.trial))
    return np.where(parts.trial == 0, np.where(signal > 0, np.inf, np.nan), ratio)


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


def noise_ceiling(
    trials: np.ndarray | xr.DataArray, rounds: np.ndarray | None = None
) -> np.ndarray:
    """Ceiling as a correlation with the trial-averaged responses, shape (n_units,).

    The root of (V - E) / V, not below zero: `ceiling_from_ncsnr` of `ncsnr`, where 1/n is the mean
    of 1/n over stimuli.

    Args:
        trials, rounds: as for `variances`; trials may be on disk, as units are read in blocks.
    """
    out = np.full(trials.shape[-1], np.nan)
    for units in unit_blocks(len(out)):
        out[units] = _compute_ceiling(variances(np.asarray(trials[..., units]), rounds))
    return out


def reliability(trials: np.ndarray, rounds: np.ndarray | None = None) -> np.ndarray:
    """Share of the variance of averages that is signal, unbiased and not clipped, (n_units,).

    The estimate is 1 - (E / V) (f - 2) / f with f degrees of freedom of V. The factor is that of
    Kristof (1963, Psychometrika 28, p. 221), (2 + (n - 3) a) / (n - 1) for a reliability a of n
    stimuli. Without it E / V is too large on average, as V is the denominator. Uneven numbers of
    trials make V vary more, as with f / `Variances.spread` degrees of freedom. Single units can be
    far below zero, so this estimate is for means over units (`encoding.explained`); for one unit
    see `split_half`. NaN where f < 3, or where there are no repeats or no variance.

    Args:
        trials, rounds: as for `variances`.
    """
    return _estimate_reliability(variances(trials, rounds))


def split_half(trials: np.ndarray, splits: int = 100, seed: int = 0) -> np.ndarray:
    """Split-half reliability of the averages over all trials, (n_units,), within -1 and 1.

    Trials of each stimulus are divided at random into two halves `splits` times. The covariance of
    the half means over stimuli estimates the signal variance S for halves of any sizes, so odd
    numbers of trials need no correction. Its mean over divisions is compared with the variance V of
    the averages *before* a ratio is taken. With E = V - S the result is (V - E') / max(V, E'),
    where E' = E (n - 2) / (n - 1) for n stimuli.

    For even halves and S above zero, 1 - E / V is Spearman's and Brown's 2 r / (1 + r) (1910). That
    formula has no lower bound: a covariance that is negative by chance gives r near -1 and any
    number. The larger of total and noise variance is therefore the denominator (ours), which bounds
    the result. The factor corrects for V in the denominator; it is halfway to the unbiased
    (n - 3) / (n - 1) of `reliability`, which is too much for weak units after bounding.

    The result estimates the squared ceiling: the correlation of the averages with a second
    measurement of the same kind. Stimuli with one trial are left out, unit by unit; a unit without
    three stimuli to compare is NaN.

    Args:
        trials: shape (n_stimuli, n_repeats, n_units).
        splits: number of random divisions.
        seed: seed of the divisions.
    """
    trials = np.asarray(trials, dtype=np.float64)
    present = ~np.isnan(trials)
    if (present == present[..., :1]).all():
        present = present[..., :1]  # one division for all units, so one sort
    present = present & (present.sum(axis=1, keepdims=True) >= 2)
    count = present.sum(axis=1, keepdims=True)
    has_trials = count[:, 0] > 0
    # One of its values is subtracted from each unit, so that a constant unit is exactly 0.
    largest = np.where(present, trials, -np.inf).max(axis=(0, 1), initial=-np.inf)
    origin = np.where(np.isfinite(largest), largest, 0.0)
    values = np.where(present, trials - origin, 0.0)
    average = _center_where(_divide(values.sum(axis=1), count[:, 0]), has_trials)
    total = (average**2).sum(axis=0)
    generator = np.random.default_rng(seed)
    shared = np.zeros(trials.shape[2])
    for _ in range(splits):
        order = generator.random(trials.shape[:2])[..., None]
        rank = np.where(present, order, np.inf).argsort(axis=1).argsort(axis=1)
        first = present & (rank < count // 2)
        halves = (first, present & ~first)
        a, b = (
            _center_where(_divide((values * half).sum(axis=1), half.sum(axis=1)), has_trials)
            for half in halves
        )
        shared += (a * b).sum(axis=0) / splits
    n = np.broadcast_to(has_trials.sum(axis=0), total.shape)
    noise = (total - shared) * np.maximum(n - 2, 0) / np.maximum(n - 1, 1)
    estimate = np.clip(_divide(total - noise, np.maximum(total, noise)), -1.0, 1.0)
    return np.where(n >= 3, estimate, np.nan)


def ceiling_after_averaging(ceiling: np.ndarray, noise_share: np.ndarray | float) -> np.ndarray:
    """Correct ceilings of single rows for averaging the rows of each stimulus, (n_units,).

    The share c^2 of a row's variance is signal. Averaging divides the rest, 1 - c^2, by the number
    of rows of a stimulus.

    Args:
        ceiling: (n_units,) correlations.
        noise_share: share of the noise that is left, the mean over stimuli of 1 / rows, (n_units,).

    >>> ceiling_after_averaging(np.array([0.5**0.5]), 1 / 2).round(4)
    array([0.8165])
    """
    signal = np.asarray(ceiling, dtype=np.float64) ** 2
    return np.sqrt(_divide(signal, signal + (1 - signal) * noise_share))


@dataclass(frozen=True)
class Ceilings:
    """The scores that noise allows for some units, each (n_units,).

    Attributes:
        ceiling: largest correlation of a perfect model; NaN where unknown.
        reliability: square of a stated ceiling. From repeats it is unbiased and not clipped, so
            that means over units are right although one unit can be below zero.
        source: `repeats`, `given` or `none`.
    """

    ceiling: np.ndarray
    reliability: np.ndarray
    source: np.ndarray


def scored_ceilings(
    responses: Responses,
    rows: np.ndarray,
    units: np.ndarray | None = None,
    rounds: np.ndarray | None = None,
) -> Ceilings:
    """Compute the ceilings of scores; every table takes its ceilings from this function.

    Repeats of the scored stimuli decide where a unit has them. Other units have the data set's own
    ceiling (`Responses.noise_ceiling`, over all its stimuli).

    Args:
        responses: responses of one subject. Only the rows and units asked for are read.
        rows: (n,) positions of the stimuli that are scored.
        units: (n_units,) positions; default all.
        rounds: (n,) number of the round in which each stimulus is scored, where scores are of
            responses less their means within rounds.
    """
    chosen = np.arange(responses.data.sizes["unit"]) if units is None else np.asarray(units)
    stated = responses.noise_ceiling[chosen].astype(np.float64)
    ceiling, unbiased = np.full(len(chosen), np.nan), np.full(len(chosen), np.nan)
    if "repeat" in responses.data.dims:
        for block in unit_blocks(len(chosen)):
            trials = responses.data.isel(stimulus=np.asarray(rows), unit=chosen[block]).values
            parts = variances(trials, rounds)
            ceiling[block], unbiased[block] = _compute_ceiling(parts), _estimate_reliability(parts)
    source = np.where(np.isnan(stated), NONE, GIVEN).astype(object)
    source[~np.isnan(ceiling)] = REPEATS
    from_repeats = source == REPEATS
    return Ceilings(
        np.where(from_repeats, ceiling, stated), np.where(from_repeats, unbiased, stated**2), source
    )


def sources(source: np.ndarray) -> str:
    """Say in words where the ceilings of several units come from.

    >>> sources(np.array(["repeats", "none"])), sources(np.array(["none"]))
    ('repeats', 'none')
    """
    names = {name for text in set(source) for name in str(text).split(" and ")} - {NONE}
    return " and ".join(sorted(names)) or NONE


def unit_blocks(n_units: int) -> Iterator[slice]:
    """Yield blocks of units, as trials of many units in float64 would not fit into memory."""
    for start in range(0, n_units, BLOCK):
        yield slice(start, start + BLOCK)


def _compute_ceiling(parts: Variances) -> np.ndarray:
    """Root of (V - E) / V, not below zero, (n_units,)."""
    return np.sqrt(np.clip(1 - _divide(parts.noise, parts.averages), 0, None))


def _estimate_reliability(parts: Variances) -> np.ndarray:
    """Unbiased share of signal in the variance of averages, (n_units,); see `reliability`."""
    factor = 1 - _divide(2 * parts.spread, parts.freedom)
    noise = _divide(parts.noise * np.clip(factor, 0, None), parts.averages)
    return np.where((parts.freedom >= 3) & (parts.averages > 0), 1 - noise, np.nan)


def _divide(a: np.ndarray | float, b: np.ndarray | float) -> np.ndarray:
    """Divide without warnings; a quotient without a value is NaN."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.true_divide(a, b))


def _average_where(values: np.ndarray, included: np.ndarray) -> np.ndarray:
    """Average (n_stimuli, n_units) over the included stimuli, (n_units,); NaN if there are none."""
    return _divide(np.where(included, values, 0.0).sum(axis=0), included.sum(axis=0))


def _center_where(values: np.ndarray, included: np.ndarray) -> np.ndarray:
    """Subtract the mean over the included stimuli, (n_stimuli, n_units); 0 for all others."""
    return np.where(included, values - _average_where(values, included), 0.0)
