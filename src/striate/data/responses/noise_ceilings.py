"""Noise ceilings: the largest correlation a perfect model could reach, from repeats or as given.

All functions of trials take (n_stimuli, n_repeats, n_units), NaN where there was no trial, of any
number type; they compute in float64 and leave out stimuli with fewer than two trials where they
need a pair.

The variance of a unit's averages over stimuli is signal and noise: V = S + E, with E the mean over
stimuli of the noise variance over the number of trials. The reliability S / V is the share that a
perfect model explains, and its root the ceiling of a correlation.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import xarray as xr

from striate.data.responses.responses import Responses

REPEATS, GIVEN, NONE = "repeats", "given", "none"
"""Where a ceiling is from: the repeats of what is scored, the data set's own statement, nowhere."""
BLOCK = 1024
"""Units handled at once, which bounds memory."""


@dataclass(frozen=True)
class Variances:
    """What the variance of averaged responses is made of, each (n_units,); NaN where not known.

    Attributes:
        averages: V, unbiased variance of the averages over stimuli.
        noise: E, the share of the noise that is left in them, in the same units.
        trial: noise variance of a single trial.
        freedom: degrees of freedom of `averages`: stimuli less rounds.
        spread: mean square over squared mean of the stimuli's own variances, S and the noise in
            the average of each; 1 where all have as many trials. `averages` varies from sample to
            sample as if it had freedom / spread degrees of freedom (Satterthwaite 1946).
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
        rounds: (n_stimuli,) numbers; averages vary within each round only, as where scores are of
            responses less their mean in the round. Default one round.
    """
    trials = np.asarray(trials, dtype=np.float64)
    endless = np.isinf(trials).any(axis=(0, 1))  # such a unit has no variance to divide
    trials = np.where(endless, np.nan, trials) if endless.any() else trials
    seen = ~np.isnan(trials)
    count = seen.sum(axis=1)
    means = _ratio(np.where(seen, trials, 0.0).sum(axis=1), count)
    squares = np.where(seen, trials - means[:, None], 0.0) ** 2
    noise = _mean_where(_ratio(squares.sum(axis=1), count - 1), count >= 2)
    left = _mean_where(_ratio(1.0, count), count >= 1)
    # Equal trials have an average that is off by rounding; that much variance is none.
    largest = np.abs(np.where(seen, trials, 0.0)).max(axis=(0, 1), initial=0.0)
    noise = np.where(noise > (1e-12 * largest) ** 2, noise, np.where(np.isnan(noise), np.nan, 0.0))
    total, freedom = np.zeros(trials.shape[2]), np.zeros(trials.shape[2])
    numbers = np.zeros(len(trials)) if rounds is None else np.asarray(rounds)
    for number in np.unique(numbers):
        here = (numbers == number)[:, None] & (count >= 1)
        total += (np.where(here, means - _mean_where(means, here), 0.0) ** 2).sum(axis=0)
        freedom += np.maximum(here.sum(axis=0) - 1, 0)
    averages = _ratio(total, freedom)
    averages = np.where(averages > (1e-12 * largest) ** 2, averages, 0.0 * averages)
    own = _ratio(noise, count) + np.clip(averages - noise * left, 0, None)
    spread = _ratio(_mean_where(own**2, count >= 1), _mean_where(own, count >= 1) ** 2)
    return Variances(averages, noise * left, noise, freedom, spread)


def ncsnr(trials: np.ndarray) -> np.ndarray:
    """Noise-ceiling signal-to-noise ratio per unit, shape (n_units,).

    As in NSD (see `variances`): the signal variance is the variance of the averages less the noise
    left in them, not below zero; the ratio is of standard deviations. NSD has the total variance
    as 1 after z-scoring; here it is taken from the data. NaN for a unit without two trials of any
    stimulus or without variance.
    """
    found = variances(trials)
    signal = np.clip(found.averages - found.noise, 0, None)
    ratio = np.sqrt(_ratio(signal, found.trial))
    return np.where(found.trial == 0, np.where(signal > 0, np.inf, np.nan), ratio)


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
        trials, rounds: as for `variances`; trials may lie on disk, some units are read at a time.
    """
    out = np.full(trials.shape[-1], np.nan)
    for units in unit_blocks(len(out)):
        out[units] = _root_of_share(variances(np.asarray(trials[..., units]), rounds))
    return out


def reliability(trials: np.ndarray, rounds: np.ndarray | None = None) -> np.ndarray:
    """Share of the variance of averages that is signal, unbiased and not clipped, (n_units,).

    1 - (E / V) (f - 2) / f with f degrees of freedom of V. The factor is that of Kristof (1963,
    Psychometrika 28, p. 221), (2 + (n - 3) a) / (n - 1) for a reliability a of n stimuli; without
    it E / V is too large on average, as V stands in the denominator. Uneven numbers of trials make
    V vary more, as with f / `Variances.spread` degrees of freedom. Single units can be far below
    zero, so this is for means over units (`encoding.explained`); for one unit see `split_half`.
    NaN where f < 3, or where there are no repeats or no variance.

    Args:
        trials, rounds: as for `variances`.
    """
    return _unbiased_share(variances(trials, rounds))


def split_half(trials: np.ndarray, splits: int = 100, seed: int = 0) -> np.ndarray:
    """Split-half reliability of the averages over all trials, (n_units,), within -1 and 1.

    Trials of each stimulus are divided at random into two halves `splits` times. The covariance of
    the half means over stimuli estimates the signal variance S whatever the sizes of the halves,
    so odd numbers of trials need no correction of their own; its mean over divisions is compared
    with the variance V of the averages *before* a ratio is taken. With E = V - S the result is
    (V - E') / max(V, E'), E' = E (n - 2) / (n - 1) for n stimuli.

    For even halves and S above zero, 1 - E / V is Spearman's and Brown's 2 r / (1 + r) (1910). That
    has no lower bound: a covariance that is negative by chance gives r near -1 and any number. So
    the larger of total and noise variance is the denominator (ours), which bounds it. The factor
    makes up for V in the denominator; it is halfway to the unbiased (n - 3) / (n - 1) of
    `reliability`, which after bounding is too much for weak units.

    It estimates the squared ceiling: the correlation of the averages with a second measurement
    like it. Stimuli with one trial are left out, unit by unit; a unit without three stimuli to
    compare is NaN.

    Args:
        trials: shape (n_stimuli, n_repeats, n_units).
        splits: number of random divisions.
        seed: of the divisions.
    """
    trials = np.asarray(trials, dtype=np.float64)
    present = ~np.isnan(trials)
    if (present == present[..., :1]).all():
        present = present[..., :1]  # one division for all units, so one sort
    present = present & (present.sum(axis=1, keepdims=True) >= 2)
    count = present.sum(axis=1, keepdims=True)
    used = count[:, 0] > 0
    # Less one of its own values, so that a unit that never changes is exactly 0, not rounding.
    largest = np.where(present, trials, -np.inf).max(axis=(0, 1), initial=-np.inf)
    origin = np.where(np.isfinite(largest), largest, 0.0)
    values = np.where(present, trials - origin, 0.0)
    average = _centerd_where(_ratio(values.sum(axis=1), count[:, 0]), used)
    total = (average**2).sum(axis=0)
    generator = np.random.default_rng(seed)
    shared = np.zeros(trials.shape[2])
    for _ in range(splits):
        order = generator.random(trials.shape[:2])[..., None]
        rank = np.where(present, order, np.inf).argsort(axis=1).argsort(axis=1)
        first = present & (rank < count // 2)
        halves = (first, present & ~first)
        a, b = (
            _centerd_where(_ratio((values * half).sum(axis=1), half.sum(axis=1)), used)
            for half in halves
        )
        shared += (a * b).sum(axis=0) / splits
    n = np.broadcast_to(used.sum(axis=0), total.shape)
    noise = (total - shared) * np.maximum(n - 2, 0) / np.maximum(n - 1, 1)
    found = np.clip(_ratio(total - noise, np.maximum(total, noise)), -1.0, 1.0)
    return np.where(n >= 3, found, np.nan)


def ceiling_after_averaging(ceiling: np.ndarray, left: np.ndarray | float) -> np.ndarray:
    """Correct ceilings of single rows for rows of a stimulus that were averaged, (n_units,).

    Of a row's variance the share c^2 is signal; the noise share, 1 - c^2, is divided by the number
    of rows that each stimulus is the mean of.

    Args:
        ceiling: (n_units,) correlations.
        left: share of the noise that is left, the mean over stimuli of 1 / rows, (n_units,).

    >>> ceiling_after_averaging(np.array([0.5**0.5]), 1 / 2).round(4)
    array([0.8165])
    """
    signal = np.asarray(ceiling, dtype=np.float64) ** 2
    return np.sqrt(_ratio(signal, signal + (1 - signal) * left))


@dataclass(frozen=True)
class Ceilings:
    """What noise allows the scores of some units, each (n_units,).

    Attributes:
        ceiling: largest correlation of a perfect model; NaN where unknown.
        reliability: its square where that is given; from repeats unbiased and not clipped, so that
            means over units are right and one unit can be below zero.
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
    """Ceilings of what is scored: the one function that every table takes them from.

    Where units have repeats in the stimuli that are scored, these decide. Where they have none
    there, the data set's own ceiling stands (`Responses.noise_ceiling`, over all its stimuli).

    Args:
        responses: of one subject. Only the rows and units asked for are read.
        rows: (n,) positions of the stimuli that are scored.
        units: (n_units,) positions; default all.
        rounds: (n,) number of the round that scores each, where scores are of responses less their
            means within rounds.
    """
    chosen = np.arange(responses.data.sizes["unit"]) if units is None else np.asarray(units)
    given = responses.noise_ceiling[chosen].astype(np.float64)
    ceiling, share = np.full(len(chosen), np.nan), np.full(len(chosen), np.nan)
    if "repeat" in responses.data.dims:
        for here in unit_blocks(len(chosen)):
            trials = responses.data.isel(stimulus=np.asarray(rows), unit=chosen[here]).values
            found = variances(trials, rounds)
            ceiling[here], share[here] = _root_of_share(found), _unbiased_share(found)
    source = np.where(np.isnan(given), NONE, GIVEN).astype(object)
    source[~np.isnan(ceiling)] = REPEATS
    own = source == REPEATS
    return Ceilings(np.where(own, ceiling, given), np.where(own, share, given**2), source)


def sources(source: np.ndarray) -> str:
    """Say in words where the ceilings of several units are from.

    >>> sources(np.array(["repeats", "none"])), sources(np.array(["none"]))
    ('repeats', 'none')
    """
    known = {name for one in set(source) for name in str(one).split(" and ")} - {NONE}
    return " and ".join(sorted(known)) or NONE


def unit_blocks(n_units: int) -> Iterator[slice]:
    """Yield the units some at a time: trials of many in float64 would not fit into memory."""
    for start in range(0, n_units, BLOCK):
        yield slice(start, start + BLOCK)


def _root_of_share(found: Variances) -> np.ndarray:
    return np.sqrt(np.clip(1 - _ratio(found.noise, found.averages), 0, None))


def _unbiased_share(found: Variances) -> np.ndarray:
    factor = 1 - _ratio(2 * found.spread, found.freedom)
    noise = _ratio(found.noise * np.clip(factor, 0, None), found.averages)
    return np.where((found.freedom >= 3) & (found.averages > 0), 1 - noise, np.nan)


def _ratio(a: np.ndarray | float, b: np.ndarray | float) -> np.ndarray:
    """Divide; what has no value is NaN, without a warning."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.true_divide(a, b))


def _mean_where(values: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Mean over the kept of (n_stimuli, n_units), shape (n_units,); NaN if none is kept."""
    return _ratio(np.where(kept, values, 0.0).sum(axis=0), kept.sum(axis=0))


def _centerd_where(values: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Values less their mean over the kept stimuli, (n_stimuli, n_units); 0 where not kept."""
    return np.where(kept, values - _mean_where(values, kept), 0.0)
