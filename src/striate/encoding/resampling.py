"""Resamples of stimuli, groups whole, and the intervals that follow from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from striate.core.errors import InputError
from striate.data.splits.bundles import group_numbers
from striate.encoding.inference import (
    Interval,
    bootstrap_counts,
    bootstrap_p,
    check_shapes,
    percentile_interval,
    resampled_means,
    resampled_r,
)
from striate.encoding.scores import ROUNDING, score_r, share_improved

FEW = 200
"""Stimuli below which one at a time is left out instead of a bootstrap (ours)."""
FEWEST_GROUPS = 3
"""With fewer there is no interval (ours): of two groups, what one tells is not what both do."""
LARGEST_JACKKNIFE = 1000
"""Groups above which several are left out at a time, which bounds time and memory (ours)."""


@dataclass(frozen=True)
class Resampling:
    """Which stimuli are in each resample, and how an interval follows from them.

    A percentile bootstrap (Efron 1979) where many stimuli stand alone. Where they come in groups,
    or are fewer than `FEW`, one group at a time is left out (jackknife, Tukey 1958): a bootstrap
    of ten movies holds about six different ones, and its percentiles cover 88 to 90 % at 6 to 10
    groups and 92 to 93 % at 30 to 100 groups or images, where the jackknife with Student's t
    covers 93 to 98 % (`tests/encoding/test_calibration.py`), with groups of one size or of many.
    Below `FEWEST_GROUPS` there is neither interval nor p.

    An interval holds 0 where `p` is not below 0.05, and only there.

    Attributes:
        counts: (samples, n_stimuli), how often each stimulus is in each resample.
        jackknife: whether resample i is all but the i-th group.
        n_groups: groups, and stimuli that stand alone.
        freedom: degrees of freedom of Student's t of the jackknife.
        several: whether any group holds several stimuli.
    """

    counts: np.ndarray
    jackknife: bool
    n_groups: int
    freedom: int = 0
    several: bool = False

    def interval(self, value: float, draws: np.ndarray) -> Interval:
        """95 % interval of a value, given what it is in each resample, (samples,)."""
        if not self.jackknife:
            return percentile_interval(value, draws)
        error = jackknife_error(draws)
        if not self.freedom > 0 or np.isnan(error):
            return Interval(float(value), float("nan"), float("nan"))
        reach = float(stats.t.ppf(0.975, self.freedom)) * error
        return Interval(float(value), value - reach, value + reach)

    def p(self, value: float, draws: np.ndarray) -> float:
        """Two-sided p of the value being 0; NaN where there is no interval."""
        if not self.jackknife:
            return bootstrap_p(draws)
        error = jackknife_error(draws)
        if not self.freedom > 0 or np.isnan(error) or np.isnan(value):
            return float("nan")
        if error <= ROUNDING:  # of what does not vary from group to group there is no test
            return 1.0 if abs(value) <= ROUNDING else float("nan")
        return float(2 * stats.t.sf(abs(value) / error, self.freedom))

    @property
    def over(self) -> str:
        """What its intervals are over, in words."""
        what = "groups of images" if self.several else "images"
        return f"{what} by jackknife" if self.jackknife else what

    def at(self, positions: np.ndarray) -> Resampling:
        """The same resamples of other stimuli, given the place of each among those here."""
        return replace(self, counts=self.counts[:, positions])


def make_resampling(
    n_stimuli: int,
    groups: Sequence[str] | None = None,
    samples: int = 1000,
    seed: int = 0,
    rounds: int = 1,
) -> Resampling:
    """Draw the resamples of n stimuli, groups whole.

    Args:
        n_stimuli: how many there are.
        groups: one label a stimulus, `` for one that stands alone; None: all do.
        samples: number of bootstrap resamples.
        seed: of the draws.
        rounds: fits that tested these stimuli. Rounds share most of what they are fitted on, so
            the jackknife over several has one degree of freedom less than rounds, not groups.

    Raises:
        InputError: no stimuli or no samples.
    """
    members = group_numbers(groups, n_stimuli)
    n_groups = int(members.max(initial=-1)) + 1
    by_group = resample_groups(n_groups, n_groups < n_stimuli, samples, seed, rounds)
    return by_group.at(members)


def resample_groups(
    n_groups: int, several: bool, samples: int = 1000, seed: int = 0, rounds: int = 1
) -> Resampling:
    """Draw the resamples of groups themselves, as `make_resampling` does for their stimuli.

    Args:
        n_groups: how many there are.
        several: whether any of them holds several stimuli.
        samples, seed, rounds: as there.
    """
    if n_groups < 1 or samples < 1:
        raise InputError(
            f"resampling of {n_groups} stimuli, {samples} samples: 1 or more of each are needed."
        )
    if n_groups >= FEW and not several:
        return Resampling(bootstrap_counts(n_groups, samples, seed), False, n_groups)
    left_out = resample_left_out(np.arange(n_groups), seed)
    freedom = min(left_out.freedom, rounds - 1) if rounds > 1 else left_out.freedom
    return replace(left_out, freedom=freedom, several=several)


def resample_left_out(members: np.ndarray, seed: int = 0) -> Resampling:
    """Leave out one group at a time, however many there are.

    Args:
        members: (n_stimuli,) number of each stimulus' group, from 0
            (`data.splits.bundles.group_numbers`).
        seed: see `leave_out`.
    """
    n_groups = int(members.max(initial=-1)) + 1
    left = leave_out(n_groups, seed)
    freedom = len(left) - 1 if n_groups >= FEWEST_GROUPS else 0
    return Resampling(left[:, members], True, n_groups, freedom, n_groups < len(members))


def leave_out(n_groups: int, seed: int = 0) -> np.ndarray:
    """Leave out each group in turn, (resamples, n_groups) of 0 and 1.

    Of more than `LARGEST_JACKKNIFE` groups that many sets, dealt at random, are left out (the
    delete-a-group jackknife, Kott 2001); `seed` is of the dealing.
    """
    if n_groups <= LARGEST_JACKKNIFE:
        return 1 - np.eye(n_groups)
    dealt = np.random.default_rng(seed).permutation(n_groups) % LARGEST_JACKKNIFE
    return (dealt != np.arange(LARGEST_JACKKNIFE)[:, None]).astype(np.float64)


def jackknife_error(draws: np.ndarray) -> float:
    """Standard error of a value from its leave-one-out values, (n,) (Tukey 1958); NaN below two.

    >>> round(jackknife_error(np.array([1.0, 2.0, 3.0])), 3)
    1.155
    """
    finite = draws[np.isfinite(draws)]
    n = len(finite)
    if n < 2:
        return float("nan")
    return float(np.sqrt((n - 1) / n * np.square(finite - finite.mean()).sum()))


def resample_models(
    observed: np.ndarray, predictions: Mapping[str, np.ndarray], resampling: Resampling
) -> dict[str, np.ndarray]:
    """ROI-mean correlation of several models in the *same* resamples of the stimuli.

    Because the resamples are shared, the difference of two models' values is paired.

    Args:
        observed: (n_stimuli, n_units).
        predictions: (n_stimuli, n_units) by model.
        resampling: of the stimuli.

    Returns:
        (samples,) by model.

    Raises:
        InputError: predictions of another shape than the responses, named by model.
    """
    for name, predicted in predictions.items():
        check_shapes(observed, predicted, f"model {name}")
    return {k: resampled_means(observed, p, resampling.counts) for k, p in predictions.items()}


def share_interval(
    observed: np.ndarray,
    predicted: np.ndarray,
    baseline: np.ndarray,
    groups: Sequence[str] | None = None,
    samples: int = 1000,
    seed: int = 0,
) -> Interval:
    """Share of units whose r is above the baseline's (`scores.share_improved`), with its interval.

    The interval is for what the share is on average over test sets of as many stimuli (groups),
    with these units and these fits: 0.5 where two models are equally good, whatever the noise. It
    is not for the share of units whose r would be higher with endless stimuli, which no test set
    tells without bias: noise in a unit's gain pulls every share of signs towards 0.5.

    Resampling would pull it there once more, on top of the noise that the gains hold already, so a
    plain bootstrap misses. Instead the noise of the units' gains is taken from the jackknife
    (gains with each group left out, noise that units share included), the gains are shrunk
    towards their mean by the noise that they do not share, and noise of normal distribution is
    added anew; percentiles of the shares of these, widened for few groups as Student's t is
    (Hesterberg 2015, "expanded percentile"). The construction is ours.

    Args:
        observed, predicted, baseline: (n_stimuli, n_units) responses, and two models' predictions.
        groups: one label a stimulus, `` for one that stands alone; None: all do.
        samples: number of draws; seed: of them.

    Returns:
        NaN where no unit is defined in both, or the groups are fewer than `FEWEST_GROUPS`.
    """
    check_shapes(observed, predicted, "model")
    check_shapes(observed, baseline, "baseline")
    r, other = score_r(observed, predicted), score_r(observed, baseline)
    value = share_improved(r, other)
    both = np.flatnonzero(np.isfinite(r) & np.isfinite(other))
    members = group_numbers(groups, len(observed))
    counts = leave_out(int(members.max(initial=-1)) + 1, seed)[:, members]
    n = len(counts)
    if not both.size or n < FEWEST_GROUPS:
        return Interval(value, float("nan"), float("nan"))
    gain = r[both] - other[both]
    left = np.nan_to_num(resampled_r(observed[:, both], predicted[:, both], counts))
    left -= np.nan_to_num(resampled_r(observed[:, both], baseline[:, both], counts))
    pull = np.sqrt((n - 1) / n) * (left - left.mean(axis=0))  # its squares add up to the variance
    unshared = pull - pull.mean(axis=1, keepdims=True)
    spread = float(np.var(gain))
    noise = float(np.square(unshared).sum(axis=0).mean())
    shrinkage = np.sqrt(max(0.0, 1 - noise / spread)) if spread > 0 else 0.0
    shrunk = gain.mean() + shrinkage * (gain - gain.mean())
    generator = np.random.default_rng(seed)
    drawn = np.concatenate(
        [
            (shrunk + generator.normal(size=(min(100, samples - start), n)) @ pull > 0).mean(axis=1)
            for start in range(0, samples, 100)
        ]
    )
    tail = 100 * float(stats.norm.cdf(stats.t.ppf(0.025, n - 1)))
    low, high = np.percentile(drawn, [tail, 100 - tail])
    return Interval(value, min(float(low), value), max(float(high), value))
