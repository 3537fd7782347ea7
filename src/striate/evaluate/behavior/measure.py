"""Everything measured of the observers of one experiment, with its bootstrap draws.

Images are resampled within each condition and humans as a whole, both at once (Owen 2007, "The
pigeonhole bootstrap", arXiv 0712.1111), the same draws for every model, so that differences between
models are paired. A pair of a human with itself, when it is drawn twice, does not count.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from striate.core.hashing import hash_json
from striate.data.behavior.observers import Observers
from striate.encoding.inference import Interval, bootstrap_counts
from striate.evaluate.behavior.consistency import MEASURES, accuracy, all_pairs, pair_measures
from striate.evaluate.behavior.shape_bias import shape_bias, texture_categories

HUMANS = "humans"
"""The observer that stands for all humans."""
CUE_CONFLICT = "cue-conflict"
"""The experiment whose images have a shape and a texture."""
BIAS = ("shape_bias", "shape", "texture")
CONGRUENT = "congruent_accuracy"
"""Accuracy on cue-conflict images whose shape and texture agree: whether a classifier works."""
ALL = "all"
"""Stands for all categories together."""


@dataclass(frozen=True)
class Measured:
    """A number and what it is in each resample.

    Attributes:
        value: of the data.
        draws: (S,).
    """

    value: float
    draws: np.ndarray

    def less(self, other: Measured) -> Measured:
        """One number less another, on the same resamples."""
        return Measured(self.value - other.value, self.draws - other.draws)


Key = tuple[str, str, str]
"""Observer, measure and category (`ALL`, or one)."""


def mean_measured(values: Sequence[Measured]) -> Measured:
    """Mean of numbers with their draws."""
    return Measured(
        float(np.mean([m.value for m in values])), np.mean([m.draws for m in values], axis=0)
    )


def centered_interval(measured: Measured, lowest: float = -np.inf) -> Interval:
    """95 % percentile interval less the bootstrap's bias.

    The noise of resampling adds to every square, so that draws of an accuracy difference lie above
    its value; they are moved back by their mean distance (Efron & Tibshirani 1993, chapter 10).

    Args:
        measured: a number with its draws.
        lowest: below which there are no values.

    >>> draws = np.arange(5.0) + 1  # one too high on average
    >>> found = centered_interval(Measured(2.0, draws))
    >>> round(found.low, 3), round(found.high, 3)
    (0.1, 3.9)
    """
    known = measured.draws[np.isfinite(measured.draws)]
    if known.size < 2:
        return Interval(measured.value, float("nan"), float("nan"))
    bias = known.mean() - measured.value
    low, high = np.percentile(known, [2.5, 97.5]) - bias
    return Interval(measured.value, max(float(low), lowest), max(float(high), lowest))


def image_counts(groups: np.ndarray, samples: int, seed: int) -> np.ndarray:
    """How often each image is in each resample, (samples, T): drawn within each condition.

    Args:
        groups: (T,) number of each image's condition.
        samples: number of resamples.
        seed: of the draws.
    """
    out = np.zeros((samples, len(groups)))
    for condition in np.unique(groups):
        here = groups == condition
        size = int(here.sum())
        out[:, here] = 1 if size < 2 else bootstrap_counts(size, samples, seed + int(condition))
    return out


def seed_of(*place: object) -> int:
    """A seed of its own for each place, so that experiments of one size differ in their draws."""
    return int(hash_json(list(place))[:12], 16)


def measure(
    humans: Observers, models: Mapping[str, Observers], samples: int = 1000, seed: int = 0
) -> dict[Key, Measured]:
    """Measure humans and models in one experiment.

    Args:
        humans: at least one; between humans nothing is measured of fewer than two.
        models: one observer each, who judged the same images (`line_up(…, like=humans)`).
        samples: number of resamples.
        seed: of the draws.

    Returns:
        By observer (`HUMANS` or a model's name), measure and category. Accuracy is over all
        images; the measures of `consistency.MEASURES` are means over conditions, then over the
        humans a model is compared with (over pairs, for humans); `shape_bias` and its parts are
        means over humans of each human's own, in the experiment `CUE_CONFLICT` alone.
    """
    n_humans, groups = len(humans.names), humans.groups
    counts = image_counts(groups, samples, seed_of(seed, humans.experiment, "images"))
    drawn = np.ones((samples, n_humans))
    if n_humans > 1:
        drawn = bootstrap_counts(n_humans, samples, seed_of(seed, humans.experiment, "humans"))
    names = [HUMANS, *models]
    ends = range(n_humans, n_humans + len(models) + 1)
    whose = [slice(0, n_humans), *map(slice, ends, ends[1:])]
    response = np.concatenate([humans.response, *(m.response for m in models.values())])
    correct = response == humans.category
    out: dict[Key, Measured] = {}

    def keep(measure: str, category: str, value: np.ndarray, draws: np.ndarray) -> None:
        """Of all observers: (O,) and (samples, O); humans become their mean."""
        for name, rows in zip(names, whose, strict=True):
            weights = drawn if name == HUMANS else np.ones((samples, 1))
            out[name, measure, category] = Measured(
                float(_mean(value[rows][None], np.ones((1, weights.shape[1])))[0]),
                _mean(draws[:, rows], weights),
            )

    for category, here in parts(humans):
        draws = accuracy(correct[:, here], counts[:, here])
        keep("accuracy", category, accuracy(correct[:, here])[0], draws)
    right = humans.correct
    compared = [(HUMANS, right, all_pairs(n_humans))] if n_humans > 1 else []
    compared += [(name, one.correct, all_pairs(1, n_humans)) for name, one in models.items()]
    for name, first, pairs in compared:
        weights = drawn[:, pairs[:, 1]] * (drawn[:, pairs[:, 0]] if name == HUMANS else 1)
        plain = pair_measures(first, right, pairs, groups)
        found = pair_measures(first, right, pairs, groups, counts)
        for kind in MEASURES:
            draws = _mean(found[kind], weights)
            out[name, kind, ALL] = Measured(float(plain[kind].mean()), draws)
    if humans.experiment == CUE_CONFLICT:
        texture = texture_categories(humans.images.tolist(), humans.categories)
        for category, here in parts(humans):
            args = (response[:, here], humans.category[here], texture[here])
            value, draws_of = shape_bias(*args), shape_bias(*args, counts[:, here])
            for name in BIAS:
                keep(name, category, value[name][0], draws_of[name])
        same = humans.category == texture
        if same.any():
            resampled = accuracy(correct[:, same], counts[:, same])
            keep(CONGRUENT, ALL, accuracy(correct[:, same])[0], resampled)
    return out


def parts(humans: Observers) -> Iterator[tuple[str, np.ndarray]]:
    """All images, then those of each category."""
    yield ALL, np.ones(len(humans.images), dtype=bool)
    for k in np.unique(humans.category):
        yield humans.categories[k], humans.category == k


def _mean(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted mean of each row, (S, O) to (S,), over what is known; NaN where nothing is."""
    known = np.isfinite(values)
    weights = np.where(known, weights, 0.0)
    total = weights.sum(axis=1)
    summed = (np.where(known, values, 0.0) * weights).sum(axis=1)
    return np.divide(summed, total, out=np.full(len(total), np.nan), where=total > 0)
