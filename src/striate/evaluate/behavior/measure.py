"""Everything measured of the observers of one experiment, with its bootstrap draws.

Images are resampled within each condition and humans as a whole, both at once (Owen 2007, "The
pigeonhole bootstrap", arXiv 0712.1111), the same draws for every model, so that differences between
models are paired. A pair of a human with itself, when it is drawn twice, does not count.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from striate.core.hashing import hash_json
from striate.data.behavior.observers import Observers
from striate.encoding.inference import Interval, bootstrap_counts
from striate.evaluate.behavior.config import HUMANS
from striate.evaluate.behavior.consistency import MEASURES, accuracy, all_pairs, pair_measures
from striate.evaluate.behavior.shape_bias import shape_bias, texture_categories

CUE_CONFLICT = "cue-conflict"
"""The experiment whose images have a shape and a texture."""
BIAS = ("shape_bias", "shape", "texture")
CONGRUENT = "congruent_accuracy"
"""Accuracy on cue-conflict images whose shape and texture agree; it says if a classifier works."""
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
        """Subtract another number, on the same resamples."""
        return Measured(self.value - other.value, self.draws - other.draws)


class Key(NamedTuple):
    """What was measured: the observer, the measure and the category (`ALL`, or one)."""

    observer: str
    measure: str
    category: str = ALL


def mean_measured(values: Sequence[Measured]) -> Measured:
    """Average numbers with their draws."""
    return Measured(
        float(np.mean([m.value for m in values])), np.mean([m.draws for m in values], axis=0)
    )


def centered_interval(measured: Measured, lowest: float = -np.inf) -> Interval:
    """Compute the 95 % percentile interval less the bootstrap's bias.

    The noise of resampling adds to every square, so that draws of an accuracy difference lie above
    its value; they are moved back by their mean distance (Efron & Tibshirani 1993, chapter 10).

    Args:
        measured: a number with its draws.
        lowest: the smallest value that the number can have.

    >>> draws = np.arange(5.0) + 1  # one too high on average
    >>> interval = centered_interval(Measured(2.0, draws))
    >>> round(interval.low, 3), round(interval.high, 3)
    (0.1, 3.9)
    """
    draws = measured.draws[np.isfinite(measured.draws)]
    if draws.size < 2:
        return Interval(measured.value, float("nan"), float("nan"))
    bias = draws.mean() - measured.value
    low, high = np.percentile(draws, [2.5, 97.5]) - bias
    return Interval(measured.value, max(float(low), lowest), max(float(high), lowest))


def image_counts(groups: np.ndarray, samples: int, seed: int) -> np.ndarray:
    """Draw how often each image is in each resample, (samples, T), within each condition.

    Args:
        groups: (T,) number of each image's condition.
        samples: number of resamples.
        seed: of the draws.
    """
    counts = np.zeros((samples, len(groups)))
    for condition in np.unique(groups):
        images = groups == condition
        size = int(images.sum())
        drawn = 1 if size < 2 else bootstrap_counts(size, samples, seed + int(condition))
        counts[:, images] = drawn
    return counts


def seed_of(*place: object) -> int:
    """Return a seed for each place, so that experiments of one size differ in their draws."""
    return int(hash_json(list(place))[:12], 16)


def measure(
    humans: Observers, models: Mapping[str, Observers], samples: int = 1000, seed: int = 0
) -> dict[Key, Measured]:
    """Measure humans and models in one experiment.

    Args:
        humans: at least one; humans are compared with each other only where there are two.
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
    human_counts = np.ones((samples, n_humans))
    if n_humans > 1:
        human_seed = seed_of(seed, humans.experiment, "humans")
        human_counts = bootstrap_counts(n_humans, samples, human_seed)
    names = [HUMANS, *models]
    ends = range(n_humans, n_humans + len(models) + 1)
    rows_of = [slice(0, n_humans), *map(slice, ends, ends[1:])]
    response = np.concatenate([humans.response, *(m.response for m in models.values())])
    correct = response == humans.category
    measured: dict[Key, Measured] = {}

    def keep(measure: str, category: str, values: np.ndarray, draws: np.ndarray) -> None:
        """Keep values (O,) and draws (samples, O) of all observers; humans become their mean."""
        for name, rows in zip(names, rows_of, strict=True):
            weights = human_counts if name == HUMANS else np.ones((samples, 1))
            measured[Key(name, measure, category)] = Measured(
                float(_average(values[rows][None], np.ones((1, weights.shape[1])))[0]),
                _average(draws[:, rows], weights),
            )

    for category, images in parts(humans):
        draws = accuracy(correct[:, images], counts[:, images])
        keep("accuracy", category, accuracy(correct[:, images])[0], draws)
    humans_correct = humans.correct
    compared = [(HUMANS, humans_correct, all_pairs(n_humans))] if n_humans > 1 else []
    compared += [(name, model.correct, all_pairs(1, n_humans)) for name, model in models.items()]
    for name, first, pairs in compared:
        weights = human_counts[:, pairs[:, 1]]
        weights = weights * (human_counts[:, pairs[:, 0]] if name == HUMANS else 1)
        values = pair_measures(first, humans_correct, pairs, groups)
        resampled = pair_measures(first, humans_correct, pairs, groups, counts)
        for kind in MEASURES:
            draws = _average(resampled[kind], weights)
            measured[Key(name, kind)] = Measured(float(values[kind].mean()), draws)
    if humans.experiment == CUE_CONFLICT:
        texture = texture_categories(humans.images.tolist(), humans.categories)
        for category, images in parts(humans):
            args = (response[:, images], humans.category[images], texture[images])
            bias, bias_draws = shape_bias(*args), shape_bias(*args, counts[:, images])
            for name in BIAS:
                keep(name, category, bias[name][0], bias_draws[name])
        congruent = humans.category == texture
        if congruent.any():
            draws = accuracy(correct[:, congruent], counts[:, congruent])
            keep(CONGRUENT, ALL, accuracy(correct[:, congruent])[0], draws)
    return measured


def parts(humans: Observers) -> Iterator[tuple[str, np.ndarray]]:
    """Yield all images, then those of each category, as boolean (T,)."""
    yield ALL, np.ones(len(humans.images), dtype=bool)
    for k in np.unique(humans.category):
        yield humans.categories[k], humans.category == k


def _average(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Average the finite values of each row by weights, (S, O) to (S,); NaN where none is."""
    finite = np.isfinite(values)
    weights = np.where(finite, weights, 0.0)
    total = weights.sum(axis=1)
    summed = (np.where(finite, values, 0.0) * weights).sum(axis=1)
    return np.divide(summed, total, out=np.full(len(total), np.nan), where=total > 0)
