"""The null of predictions over several rounds: fits are repeated, so that it holds."""

from __future__ import annotations

import numpy as np
import pytest

from striate.core.errors import InputError
from striate.encoding import (
    ReadoutConfig,
    grouped_rounds,
    mean_r,
    null_means,
    permutation_p,
    predict,
)
from striate.encoding.groups import shuffled_orders
from striate.encoding.scores import score_r

READOUTS = {"best": ["a", "b"]}


def movies(rng, sizes, k, within=0.9):
    """Values (n, k) of movies whose frames share `within` of their variance, and their labels."""
    member = np.repeat(np.arange(len(sizes)), sizes)
    movie, frame = rng.normal(size=(len(sizes), k)), rng.normal(size=(len(member), k))
    return np.sqrt(within) * movie[member] + np.sqrt(1 - within) * frame, [f"m{i}" for i in member]


def scored(predicted, kind):
    y, x = (
        predicted.centered(v) for v in (predicted.observed, predicted.predictions["best", kind])
    )
    return mean_r(score_r(y, x))


@pytest.mark.parametrize("kind", ["ridge", "pls"])
def test_it_is_the_score_of_responses_that_were_shuffled_and_predicted_again(rng, kind):
    """With one penalty and one tap nothing is chosen, and the two are the same number."""
    x, labels = movies(rng, [3, 4, 5, 4, 3, 5], 30)
    y = np.column_stack([movies(rng, [3, 4, 5, 4, 3, 5], 4)[0], np.full(24, np.nan)])
    config = ReadoutConfig(kinds=(kind,), alphas=(0.3,), components=3, folds=2, permutations=8)
    rounds = grouped_rounds(labels, 3, 2)
    taps = {"best": ["a"]}
    predicted = predict({"a": x}, y, rounds, taps, config)
    null = null_means(predicted, "best", kind, config, labels, features={"a": x}, rounds=rounds)
    orders = shuffled_orders(24, 8, config.seed, labels)
    again = [scored(predict({"a": x}, y[order], rounds, taps, config), kind) for order in orders]
    np.testing.assert_allclose(null, again, atol=1e-6)


@pytest.mark.parametrize(
    ("sizes", "rounds", "divide", "kind"),
    [
        ([8] * 10, 10, "groups", "ridge"),
        ([3, 5, 7, 9, 11, 13], 2, "groups", "ridge"),
        ([6] * 8, 3, "groups", "pls"),
        ([1] * 30, 5, "groups", "ridge"),
        ([12] * 6, 4, "stimuli", "ridge"),
        ([8, 10, 12, 14, 16, 18], 3, "stimuli", "pls"),
    ],
)
def test_a_model_of_nothing_is_above_its_null_in_five_percent(sizes, rounds, divide, kind):
    """Also where it knows a movie by its other frames: predictions shuffled then fired always."""
    config = ReadoutConfig(
        kinds=(kind,), folds=3, permutations=39, alphas=(0.01, 1.0, 100.0), components=3
    )
    p, n = [], 120
    for seed in range(n):
        rng = np.random.default_rng(seed)
        x, labels = movies(rng, sizes, 8)
        y = movies(rng, sizes, 6)[0] + movies(rng, sizes, 1)[0]
        held = labels if divide == "groups" else [""] * len(labels)
        fits = grouped_rounds(held, rounds, 3, seed=seed)
        features = {"a": x[:, :3], "b": x}
        predicted = predict(features, y, fits, READOUTS, config)
        null = null_means(predicted, "best", kind, config, labels, features=features, rounds=fits)
        p.append(permutation_p(scored(predicted, kind), null))
    assert np.mean(np.array(p) <= 0.05) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / n)
    assert np.mean(np.array(p) <= 0.5) >= 0.5 - 3 * np.sqrt(0.25 / n)  # and it is no empty test


def test_a_model_of_something_is_above_it(rng):
    x, labels = movies(rng, [6] * 8, 8)
    y = x @ rng.normal(size=(8, 5)) + movies(rng, [6] * 8, 5)[0]
    config = ReadoutConfig(kinds=("ridge",), folds=3, permutations=39)
    for held in (labels, [""] * 48):
        rounds = grouped_rounds(held, 4, 3)
        predicted = predict({"a": x[:, :3], "b": x}, y, rounds, READOUTS, config)
        null = null_means(
            predicted,
            "best",
            "ridge",
            config,
            labels,
            features={"a": x[:, :3], "b": x},
            rounds=rounds,
        )
        assert permutation_p(scored(predicted, "ridge"), null) == 1 / 40


def test_it_asks_for_what_it_needs(rng):
    x, labels = movies(rng, [4] * 5, 3)
    config = ReadoutConfig(kinds=("ridge",), folds=2)
    predicted = predict({"a": x, "b": x}, x, grouped_rounds(labels, 3, 2), READOUTS, config)
    with pytest.raises(InputError, match="give null_means the features and rounds"):
        null_means(predicted, "best", "ridge", config, labels)
