"""Scores end to end on simulated responses: the two ways to a score agree, and what they infer."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from striate.cli.common import records, tell_json
from striate.data import Recording, Responses, StimulusSet, Target
from striate.encoding import (
    EncodeConfig,
    ReadoutConfig,
    encode,
    grouped_rounds,
    make_resampling,
    mean_r,
    null_means,
    permutation_p,
    predict,
    split_rounds,
)
from striate.encoding.inference import resampled_means
from striate.encoding.rounds import labels_of
from striate.encoding.scores import score_r
from striate.evaluate.neurons.tables import ceilings
from striate.evaluate.neurons.tables import unit_table as predicted_units
from striate.evaluate.tuned.tables import ScoredTarget
from striate.evaluate.tuned.tables import unit_table as encoded_units
from striate.evaluate.tuned.warnings import few_stimuli, unresolved_nulls
from striate.report.html.page import number


def movies(rng, sizes, k, within=0.9):
    """Values (n, k) of movies whose frames share `within` of their variance, and their labels."""
    members = np.repeat(np.arange(len(sizes)), sizes)
    movie, frame = rng.normal(size=(len(sizes), k)), rng.normal(size=(len(members), k))
    labels = [f"m{i}" for i in members]
    return np.sqrt(within) * movie[members] + np.sqrt(1 - within) * frame, labels


def parts_of(labels):
    number = np.array([int(label[1:]) for label in labels])
    cut = {"fit": number < 12, "select": (number >= 12) & (number < 18), "test": number >= 18}
    return {part: np.flatnonzero(inside) for part, inside in cut.items()}


@pytest.fixture
def world(rng):
    x, labels = movies(rng, [6] * 28, 12)
    y = x @ rng.normal(size=(12, 7)) + movies(rng, [6] * 28, 7)[0]
    return {"a": x[:, :6], "b": x}, y, labels, parts_of(labels)


def by_encode(features, y, labels, parts, units=None):
    config = EncodeConfig(folds=3, permutations=30)
    roi = np.arange(y.shape[1]) if units is None else units
    return encode(features, y, {"V1": roi}, parts, config, groups=labels)


SHARED = ["r", "r2", "ceiling", "ceiling_source", "reliability", "r_normalized"]


@pytest.mark.parametrize("grouped", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_encode_and_predict_agree_on_one_round(seed, grouped, tmp_path):
    """Tap, penalties, predictions, scores, null and ceilings are the same to the last bit.

    Responses are in single precision, in which encodings keep them.
    """
    rng = np.random.default_rng(seed)
    x, labels = movies(rng, [6] * 28, 12)
    parts, ids = parts_of(labels), [f"im{i}" for i in range(len(x))]
    groups = labels if grouped else None
    features = {"a": x[:, :6], "b": x, "c": rng.normal(size=(len(x), 200))}
    signal = x @ rng.normal(size=(12, 7)) + movies(rng, [6] * 28, 7)[0]
    trials = (signal[:, None] + 2 * rng.normal(size=(len(x), 3, 7))).astype(np.float32)
    trials[:, :, 5] = 1.0
    recorded = Responses.build(trials, ids, subject="ann", simulated=True)
    y = recorded.mean().astype(np.float32)

    units = np.arange(7)
    settings = EncodeConfig(folds=3, permutations=30, seed=seed)
    with pytest.warns(UserWarning, match="1 of 7 units"):
        encoding = encode(features, y, {"V1": units}, parts, settings, groups=groups)
    roi = encoding.rois["V1"]
    rounds = split_rounds(parts, 3, seed, groups)
    config = ReadoutConfig(folds=3, permutations=30, seed=seed, components=4)
    predicted = predict(features, y, rounds, {"b": ["b"], "best": list(features)}, config)
    tested = labels_of(groups, predicted.rows)

    assert predicted.taps["best"] == (roi.tap,)
    by_tap = encoding.tap_scores.set_index("tap")["score"].to_dict()
    assert by_tap == {tap: score[0] for tap, score in predicted.tap_scores["best"].items()}
    np.testing.assert_array_equal(predicted.rows, encoding.stimuli)
    np.testing.assert_array_equal(predicted.penalties["best"][0], roi.alpha)
    np.testing.assert_array_equal(predicted.observed, roi.observed)
    np.testing.assert_array_equal(predicted.predictions["best", "ridge"], roi.predictions)
    np.testing.assert_array_equal(
        null_means(predicted, "best", "ridge", config, tested), roi.null_r
    )
    assert encoding.groups == (None if groups is None else tuple(tested))

    encoding.save(tmp_path)
    target = ScoredTarget("net", "new images", Target("ann", "", "V1", units), tmp_path)
    stimuli = StimulusSet(ids, [np.zeros((1, 1, 3), np.uint8)] * len(ids))
    recording = Recording("ann", stimuli, recorded)
    rows = {"ann": np.arange(len(x))}
    by_encode = encoded_units([target], {"ann": recording}, rows)
    by_predict = predicted_units(
        predicted, recorded.unit_ids, ceilings(recorded, predicted), tested
    )
    best = by_predict[(by_predict["readout"] == "best") & (by_predict["kind"] == "ridge")]
    assert best["r"].notna().sum() == 6 and best["ceiling"].notna().sum() == 6
    pd.testing.assert_frame_equal(
        best[SHARED].reset_index(drop=True), by_encode[SHARED], check_exact=True
    )


def test_scores_do_not_depend_on_order_type_or_scale(world, rng):
    features, y, labels, parts = world
    whole = by_encode(features, y, labels, parts).rois["V1"]
    units = rng.permutation(7)
    changed = {
        "responses times 1000": (features, y * 1000),
        "features times 1000": ({k: v * 1000 for k, v in features.items()}, y),
        "double to single, other bytes": (features, y.astype(">f4")),
    }
    for what, (x, values) in changed.items():
        got = by_encode(x, values, labels, parts).rois["V1"]
        np.testing.assert_allclose(got.r, whole.r, atol=1e-5, err_msg=what)
        assert got.tap == whole.tap
    got = by_encode(features, y[:, units], labels, parts).rois["V1"]
    np.testing.assert_allclose(got.r, whole.r[units], atol=1e-9)


def test_stimuli_of_test_in_another_order_give_the_same(world, rng):
    """Folds are drawn from the order of `select`, so only what is fitted and tested may change."""
    features, y, labels, parts = world
    rows = np.arange(len(y))
    for part in ("fit", "test"):
        rows[parts[part]] = rng.permutation(parts[part])
    moved = {k: v[rows] for k, v in features.items()}
    got = by_encode(moved, y[rows], [labels[i] for i in rows], parts).rois["V1"]
    np.testing.assert_allclose(got.r, by_encode(features, y, labels, parts).rois["V1"].r, atol=1e-6)


@pytest.mark.parametrize(("sizes", "n_rounds"), [([8] * 10, 5), ([3, 5, 7, 9, 11, 13] * 2, 4)])
def test_a_model_of_nothing_over_several_rounds(sizes, n_rounds):
    """Its p by shuffled movies, and by the interval over movies; single frames gave 30 to 40 %."""
    config = ReadoutConfig(kinds=("ridge",), folds=3, permutations=39, alphas=(0.01, 1.0, 100.0))
    p, inside = [], []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        x, labels = movies(rng, sizes, 10)
        y = movies(rng, sizes, 8)[0] + movies(rng, sizes, 1)[0]
        rounds = grouped_rounds(labels, n_rounds, 3, seed=seed)
        predicted = predict({"a": x}, y, rounds, {"s": ["a"]}, config)
        tested = [labels[row] for row in predicted.rows]
        value, guess = (
            predicted.centered(v) for v in (predicted.observed, predicted.predictions["s", "ridge"])
        )
        r = mean_r(score_r(value, guess))
        null = null_means(predicted, "s", "ridge", config, tested, features={"a": x}, rounds=rounds)
        p.append(permutation_p(r, null))
        resampling = make_resampling(len(value), tested, rounds=n_rounds)
        draws = resampled_means(value, guess, resampling.counts, predicted.round)
        inside.append(resampling.p(r, draws) > 0.05)
    assert np.mean(np.array(p) <= 0.05) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 100)
    assert np.mean(inside) >= 0.95 - 3 * np.sqrt(0.05 * 0.95 / 100)


def test_warnings_count_movies_and_not_frames():
    rois = pd.DataFrame({"subject": ["ann"], "n_stimuli": [132], "n_groups": [6]})
    (text,) = few_stimuli(rois)
    assert "Few test stimuli (6 to 6 for 1 subjects, counting each group" in text
    assert "132 to 132 single stimuli" in text
    assert not few_stimuli(rois.assign(n_groups=132))
    null = pd.DataFrame(
        {"subject": ["ann"], "n_groups": [3], "arrangements": [6.0], "permutations": [5]}
    )
    assert "No null of shuffled stimuli for ann: 3 test groups" in unresolved_nulls(null)[0]
    assert not unresolved_nulls(null.assign(arrangements=24.0))


def test_json_and_pages_hold_small_numbers(capsys):
    table = pd.DataFrame(
        {
            "p": [3e-12, np.nan, 0.1 + 0.2],
            "single": np.array([0.1, np.inf, 2], np.float32),
            "n": [1, 2, 3],
            "simulated": [True, False, True],
            "roi": ["V1", None, "V2"],
        }
    )
    tell_json({"group": records(table), "low": float("nan"), "value": np.float64(1e-300)})
    printed = json.loads(capsys.readouterr().out)
    assert [row["p"] for row in printed["group"]] == [3e-12, None, 0.1 + 0.2]
    assert printed["group"][1]["single"] is None and printed["group"][0]["simulated"] is True
    assert printed["low"] is None and printed["value"] == 1e-300
    assert number(3e-12) == "3e-12" and number(0.0) == "0.000"
