"""Measures of behavior against hand-worked cases and a slow implementation of their text."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from striate.core.errors import InputError
from striate.data.behavior.observers import Observers
from striate.evaluate.behavior.consistency import (
    accuracy,
    accuracy_difference,
    all_pairs,
    error_consistency,
    observed_consistency,
    pair_measures,
)
from striate.evaluate.behavior.measure import (
    ALL,
    CONGRUENT,
    HUMANS,
    centered_interval,
    image_counts,
    measure,
)
from striate.evaluate.behavior.shape_bias import shape_bias, texture_categories


def slow(a: np.ndarray, b: np.ndarray) -> tuple[float, float, float]:
    """The three measures of one condition, trial by trial."""
    n = len(a)
    p, q = sum(a) / n, sum(b) / n
    same = sum(x == y for x, y in zip(a, b, strict=True)) / n
    chance = p * q + (1 - p) * (1 - q)
    kappa = 1.0 if same == 1 else (same - chance) / (1 - chance)
    return (p - q) ** 2, same, kappa


def test_hand_worked() -> None:
    a, b = np.array([1, 1, 1, 0, 0]), np.array([1, 1, 0, 1, 0])
    assert accuracy_difference(a, b) == 0 and observed_consistency(a, b) == 0.6
    # chance .6 * .6 + .4 * .4 = .52
    assert error_consistency(a, b) == pytest.approx(0.08 / 0.48)
    assert error_consistency(np.array([1, 0]), np.array([0, 1])) == -1.0
    assert error_consistency(np.zeros(3), np.ones(3)) == 0.0
    assert error_consistency(np.ones(3), np.ones(3)) == 1.0


def test_all_pairs_conditions_and_resamples_at_once(rng: np.random.Generator) -> None:
    right = rng.random((4, 60)) < 0.6
    groups = np.repeat([0, 1, 2], 20)
    counts = image_counts(groups, 5, 3)
    pairs = all_pairs(4)
    measures = pair_measures(right, right, pairs, groups, counts)
    for s in range(5):
        for k, (i, j) in enumerate(combinations(range(4), 2)):
            parts = []
            for g in range(3):
                here = np.repeat(np.arange(60), counts[s].astype(int))
                here = here[groups[here] == g]
                assert len(here) == 20  # drawn within conditions
                parts.append(slow(right[i, here], right[j, here]))
            want = np.mean(parts, axis=0)
            got = [v[s, k] for v in measures.values()]
            np.testing.assert_allclose(got, want, rtol=0, atol=1e-12)


def test_bad_shapes_are_refused() -> None:
    with pytest.raises(InputError, match="3 and 4 trials"):
        pair_measures(np.ones((1, 3)), np.ones((1, 4)), all_pairs(1, 1), np.zeros(3))
    with pytest.raises(InputError, match=r"right \(1\) or wrong \(0\)"):
        accuracy(np.full((1, 3), 2))
    with pytest.raises(InputError, match=r"expected \(samples, 3\)"):
        accuracy(np.ones((1, 3)), np.ones((2, 4)))
    with pytest.raises(InputError, match=r"\(observers, images\) and one category"):
        shape_bias(np.zeros((1, 3)), np.zeros(3), np.zeros(2))


def test_shape_bias_leaves_out_agreeing_images_and_third_categories() -> None:
    shape, texture = np.array([0, 0, 0, 1, 1, 2]), np.array([1, 1, 2, 1, 0, 0])
    response = np.array([[0, 1, 1, 1, 1, -1], [2, 2, 0, 0, 2, 1]])
    bias = shape_bias(response, shape, texture)
    assert bias["shape_bias"].tolist() == [[2 / 3, 1.0]]
    assert bias["shape"].tolist() == [[0.4, 0.2]] and bias["texture"].tolist() == [[0.2, 0.0]]
    nobody = shape_bias(np.full((1, 6), -1), shape, texture)
    assert np.isnan(nobody["shape_bias"]).all() and nobody["shape"].tolist() == [[0.0]]


def test_names_of_cue_conflict_images() -> None:
    with pytest.raises(InputError, match="image cat7: expected a name like cat7-dog2"):
        texture_categories(["cat7"], ["cat"])
    with pytest.raises(InputError, match=r"unknown category 'dogg'.*Texture of image cat7-dogg2"):
        texture_categories(["cat7-dogg2"], ["cat", "dog"])


def observers(response: np.ndarray, experiment: str = "cue-conflict") -> Observers:
    shape = np.arange(response.shape[1]) % 3
    names = ["cat", "dog", "car"]
    images = [f"{names[s]}{i}-{names[(s + (i % 4 > 0)) % 3]}{i}" for i, s in enumerate(shape)]
    return Observers(
        experiment,
        tuple(f"h{i}" for i in range(len(response))),
        np.full(response.shape[1], "0"),
        np.array(images),
        shape,
        response,
        tuple(names),
    )


def test_everything_of_an_experiment(rng: np.random.Generator) -> None:
    response = rng.integers(-1, 3, (5, 48))
    humans, model = observers(response[:4]), observers(response[4:])
    twin = observers(response[:1])
    measures = measure(humans, {"net": model, "twin": twin}, 200, 1)
    right = humans.correct
    want = np.mean([slow(right[i], right[j]) for i, j in combinations(range(4), 2)], axis=0)
    assert measures[HUMANS, "error_consistency", ALL].value == pytest.approx(want[2])
    net = np.mean([slow(model.correct[0], h) for h in right], axis=0)
    got = [measures["net", m, ALL].value for m in
           ("accuracy_difference", "observed_consistency", "error_consistency")]  # fmt: skip
    np.testing.assert_allclose(got, net)
    assert measures["net", "accuracy", "dog"].value == model.correct[0, model.category == 1].mean()
    agree = np.arange(48) % 4 == 0
    assert measures["net", CONGRUENT, ALL].value == model.correct[0, agree].mean()
    bias = [shape_bias(response[[i]], humans.category,
            texture_categories(humans.images.tolist(), humans.categories))["shape_bias"].item()
            for i in range(5)]  # fmt: skip
    assert measures["net", "shape_bias", ALL].value == bias[4]
    assert measures[HUMANS, "shape_bias", ALL].value == pytest.approx(np.mean(bias[:4]))
    again = measure(humans, {"net": model}, 200, 1)  # draws do not depend on the other models
    key = ("net", "error_consistency", ALL)
    np.testing.assert_array_equal(measures[key].draws, again[key].draws)
    for measured in measures.values():
        interval = centered_interval(measured)
        assert np.isnan(interval.low) or interval.low <= measured.value <= interval.high


def test_one_human_is_not_compared_with_itself(rng: np.random.Generator) -> None:
    alone = observers(rng.integers(0, 3, (1, 12)), "edge")
    measures = measure(alone, {"net": alone}, 20)
    assert (HUMANS, "error_consistency", ALL) not in measures
    assert measures["net", "error_consistency", ALL].value == 1.0
