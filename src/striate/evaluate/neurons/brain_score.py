"""Scores over repeated splits as Brain-Score computes them, and our uncertainty beside them.

For one tap and one population: PLS is fitted and tested in each of several stratified splits
(their test stimuli overlap); a score is the median over neurons within a split, then the mean over
splits, its error the standard error over splits. The ceiling comes from halves of the repetitions
in the same way (docs/papers/lcl-v2.md 5.1). Intervals over neurons and over stimuli, and the null
of shuffled stimuli, are ours.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.model_selection import ShuffleSplit, StratifiedShuffleSplit

from striate.core.errors import InputError
from striate.data.splits.bundles import group_numbers
from striate.encoding import Interval, PLSRegression, pearson_r, percentile_interval
from striate.encoding.base import unusable_units
from striate.encoding.inference import bootstrap_counts, resampled_r
from striate.encoding.projection import row_blocks

Split = tuple[np.ndarray, np.ndarray]
"""Positions of the stimuli that are fitted, and of those that are tested."""


@dataclass(frozen=True)
class SplitScores:
    """What was predicted in each split.

    Attributes:
        splits: positions of stimuli.
        observed, predicted: (n_test, V) by split; NaN for a neuron that could not be fitted.
        r: (n_splits, V) Pearson r; NaN where it is not defined.
        responses: (N, V) of all stimuli.
    """

    splits: tuple[Split, ...]
    observed: tuple[np.ndarray, ...]
    predicted: tuple[np.ndarray, ...]
    r: np.ndarray
    responses: np.ndarray

    @property
    def by_split(self) -> np.ndarray:
        """Median over neurons in each split, (n_splits,)."""
        return median(self.r)

    @property
    def value(self) -> float:
        """Mean over splits of the median over neurons."""
        return float(self.by_split.mean())

    @property
    def sem(self) -> float:
        """Standard error over splits; they overlap, so it is no error of the estimate."""
        return standard_error(self.by_split)


def median(r: np.ndarray) -> np.ndarray:
    """Median over the last axis of what is defined; NaN where nothing is."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of rows that are all NaN
        return np.asarray(np.nanmedian(r, axis=-1))


def standard_error(by_split: np.ndarray) -> float:
    """Deviation over the root of their number, with n in both, as Brain-Score has it."""
    return float(by_split.std() / np.sqrt(len(by_split)))


def stratified_splits(
    labels: Sequence[str], splits: int = 10, train: float = 0.9, seed: int = 1
) -> tuple[Split, ...]:
    """Random splits that keep the shares of the labels (scikit-learn's stratified shuffle split).

    Args:
        labels: one a stimulus, such as its texture type.
        splits: number of splits; train: share that is fitted, rounded down; seed: of the draws.

    >>> [[len(part) for part in s] for s in stratified_splits(["a"] * 157 + ["b"] * 158, 1)]
    [[283, 32]]
    """
    drawn = StratifiedShuffleSplit(splits, train_size=train, random_state=seed)
    try:
        return tuple(drawn.split(np.zeros(len(labels)), np.asarray(labels)))
    except ValueError as error:
        raise InputError(
            f"{len(labels)} stimuli of {len(set(labels))} types cannot be split into {train:.0%} "
            f"and the rest: {error}"
        ) from error


def same_products(features: np.ndarray) -> np.ndarray:
    """Write features (n, p) in the basis of their n rows, (n, k), k <= n, where p > n.

    Inner products of rows less their mean stay, so PLS and ridge predict the same in any split,
    and ten splits of a tap with 200,000 features cost as much as of one with n.
    """
    n, p = features.shape
    if p <= n:
        return np.asarray(features, dtype=np.float64)
    gram = torch.zeros(n, n, dtype=torch.float64)
    for columns in row_blocks(p, n):
        block = np.asarray(features[:, columns], dtype=np.float64)
        centered = torch.from_numpy(block - block.mean(axis=0))
        gram.addmm_(centered, centered.T)
    values, vectors = torch.linalg.eigh(gram)
    keep = values > values[-1] * n * torch.finfo(torch.float64).eps
    keep[-1] = True
    return (vectors[:, keep] * values[keep].clamp(min=0).sqrt()).numpy()


def score_splits(
    features: np.ndarray,
    responses: np.ndarray,
    splits: Sequence[Split],
    components: int = 25,
) -> SplitScores:
    """Fit and test PLS without scaling in every split, all neurons together.

    Args:
        features: (N, p), finite.
        responses: (N, V), averaged over repetitions.
        splits: positions of stimuli.
        components: of PLS.

    Raises:
        InputError: shapes that do not fit, a stimulus that is fitted and tested, more components
            than stimuli or features.
    """
    if features.ndim != 2 or responses.ndim != 2 or len(features) != len(responses):
        raise InputError(
            f"features (N, p) and responses (N, V) of the same N are needed, found "
            f"{features.shape} and {responses.shape}."
        )
    if not np.isfinite(features).all():
        raise InputError("features are not finite. Look for NaN weights or broken images.")
    rows = same_products(features)
    observed, predicted, r = [], [], []
    for i, (train, test) in enumerate(splits):
        if np.intersect1d(train, test).size:
            raise InputError(f"split {i}: a stimulus is fitted and tested.")
        good = np.flatnonzero(~unusable_units(responses[train]))
        values = np.full((len(test), responses.shape[1]), np.nan)
        if good.size:
            model = PLSRegression(components).fit(rows[train], responses[train][:, good])
            values[:, good] = model.predict(rows[test])
        y = np.asarray(responses[test], dtype=np.float64)
        observed.append(y)
        predicted.append(values)
        r.append(pearson_r(y, values))
    whole = np.asarray(responses, dtype=np.float64)
    return SplitScores(tuple(splits), tuple(observed), tuple(predicted), np.array(r), whole)


def half_consistency(trials: np.ndarray, splits: int = 10, seed: int = 1) -> np.ndarray:
    """Correlate the means of two halves of the repetitions, corrected to all of them, (splits, V).

    The same repetitions make a half for all stimuli; Pearson r over stimuli; 2r / (1 + r)
    (Spearman 1910, Brown 1910). It estimates the correlation of the averages with a second
    measurement like it, which is the square of what a perfect model reaches
    (`striate.data.responses.noise_ceilings.noise_ceiling`); Brain-Score takes it as the ceiling
    itself.

    The protocol's own formula, kept as it is: for halves of one size, and without a lower bound for
    a neuron whose halves correlate negatively by chance. The median over neurons, which is what is
    reported, stands that; `striate.data.responses.noise_ceilings.split_half` is for single neurons.

    Args:
        trials: (N, repetitions, V), NaN = no trial.
        splits: number of divisions; seed: of them.
    """
    if trials.ndim != 3 or trials.shape[1] < 2:
        raise InputError(
            f"a ceiling needs (stimuli, repetitions, neurons), 2 repetitions or more, found "
            f"{trials.shape}. Read the data with repeats."
        )
    out = []
    drawn = ShuffleSplit(splits, train_size=0.5, random_state=seed)
    for halves in drawn.split(np.zeros(trials.shape[1])):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # no trial in a half: NaN
            a, b = (np.nanmean(trials[:, half], axis=1) for half in halves)
        r = pearson_r(a, b)
        with np.errstate(divide="ignore"):  # r = -1
            out.append(2 * r / (1 + r))
    return np.array(out)


def neuron_interval(scores: SplitScores, samples: int = 1000, seed: int = 0) -> Interval:
    """95 % over neurons (ours): neurons are drawn again, the same in every split; no new fits."""
    n = scores.r.shape[1]
    drawn = np.random.default_rng(seed).integers(0, n, (samples, n))
    values = np.mean([median(r[drawn]) for r in scores.r], axis=0)
    return percentile_interval(scores.value, values)


def stimulus_draws(
    scores: SplitScores,
    samples: int = 1000,
    seed: int = 0,
    groups: Sequence[str] | None = None,
) -> np.ndarray:
    """The score in resamples of the stimuli (ours), (samples,); fits are not repeated.

    A stimulus that is drawn twice counts twice in the tests of all splits. The draws depend on the
    number of stimuli, or groups, alone, so that two models' are paired.

    Args:
        scores: what was predicted.
        samples: number of resamples; seed: of the draws.
        groups: one label a stimulus, such as its texture family: groups are drawn whole, as their
            stimuli do not vary independently. Default every stimulus alone.
    """
    member = group_numbers(groups, len(scores.responses))
    counts = bootstrap_counts(int(member.max()) + 1, samples, seed)[:, member]
    by_split = []
    for (_, test), y, x in zip(scores.splits, scores.observed, scores.predicted, strict=True):
        drawn = counts[:, test]
        enough = (drawn > 0).sum(axis=1) > 2
        values = np.full(samples, np.nan)
        values[enough] = median(resampled_r(y, x, drawn[enough]))
        by_split.append(values)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # resamples that no split can score: NaN
        return np.asarray(np.nanmean(by_split, axis=0))


def shuffled_scores(
    scores: SplitScores,
    permutations: int = 100,
    seed: int = 0,
    groups: Sequence[str] | None = None,
    kinds: Sequence[str] | None = None,
) -> np.ndarray:
    """The score against responses to other stimuli (ours), (permutations,).

    One permutation of all stimuli holds for every split: tests overlap, so shuffles of their own
    would vary less than a score does by chance.

    Args:
        scores: what was predicted.
        permutations: how many; seed: of them.
        groups, kinds: as for `group_orders`.
    """
    orders = group_orders(len(scores.responses), permutations, seed, groups, kinds)
    out = np.full((len(scores.splits), permutations), np.nan)
    for i, ((_, test), x) in enumerate(zip(scores.splits, scores.predicted, strict=True)):
        for j, order in enumerate(orders):
            out[i, j] = median(pearson_r(scores.responses[order[test]], x))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # no neuron can be scored: NaN
        return np.asarray(np.nanmean(out, axis=0))


def group_orders(
    n: int,
    permutations: int,
    seed: int = 0,
    groups: Sequence[str] | None = None,
    kinds: Sequence[str] | None = None,
) -> np.ndarray:
    """Whose response stands at each stimulus when stimuli are shuffled, (permutations, n).

    Groups, such as texture families, take each other's places as a whole, as stimuli of a group
    have responses in common; within a group the kinds, such as texture and noise, take each
    other's places or stay, at random; within a kind stimuli are shuffled. Where a kind of the other
    group has fewer stimuli, some are used twice.

    Args:
        n: number of stimuli.
        permutations: how many; seed: of them.
        groups: one label a stimulus; default every stimulus alone.
        kinds: one label a stimulus; default all of one.
    """
    generator = np.random.default_rng(seed)
    if groups is None:
        return np.array([generator.permutation(n) for _ in range(permutations)])
    member = group_numbers(groups, n)
    kind = np.zeros(n, np.int64) if kinds is None else np.unique(kinds, return_inverse=True)[1]
    cells: list[dict[int, np.ndarray]] = [{} for _ in range(member.max() + 1)]
    for group, k in sorted(set(zip(member.tolist(), kind.tolist(), strict=True))):
        cells[group][k] = np.flatnonzero((member == group) & (kind == k))
    out = np.empty((permutations, n), dtype=np.int64)
    for row in out:
        for here, other in zip(cells, generator.permutation(len(cells)), strict=True):
            other_kinds = generator.permutation(np.array(list(cells[other])))
            for cell, k in zip(here.values(), np.resize(other_kinds, len(here)), strict=True):
                row[cell] = np.resize(generator.permutation(cells[other][k]), len(cell))
    return out
