"""A perfect model scores 1 of what can be explained and chance 0, in the tables of every verb.

SIMULATED units are linear in three causes; a model that has the causes is perfect up to the error
of its readout. Data have movies, copies of pictures, and even or uneven numbers of trials.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from striate.data import Dataset, Recording, Responses, StimulusSet, Target, tidy
from striate.data.responses.noise_ceilings import scored_ceilings
from striate.encoding import (
    EncodeConfig,
    ReadoutConfig,
    encode,
    grouped_rounds,
    make_resampling,
    predict,
    score_r,
    split_rounds,
)
from striate.evaluate.neurons.resampled import Key
from striate.evaluate.neurons.resampled import ResampledScore as Resampled
from striate.evaluate.neurons.tables import ceilings, score_table
from striate.evaluate.neurons.tables import unit_table as predicted_units
from striate.evaluate.tuned.tables import ScoredTarget, group_table, roi_table, unit_table

SUBJECTS, UNITS, FRAMES, CAUSES = 6, 80, 10, 3


def recordings(rng, n, reliability, repeats, *, movies, copies, uneven):
    """SIMULATED subjects and the causes of their units at each stimulus of the tidied data.

    `reliability` is of the average of `repeats` trials.
    """
    groups = [f"movie{i // FRAMES}" if movies else "" for i in range(n)]
    causes = rng.normal(size=(n, CAUSES))
    if movies:  # most of a cause is the same in all frames
        shared = rng.normal(size=(-(-n // FRAMES), CAUSES)).repeat(FRAMES, axis=0)[:n]
        causes = np.sqrt(0.8) * shared + np.sqrt(0.2) * causes
    picture = np.r_[np.arange(n), np.arange(0, n, 3)] if copies else np.arange(n)
    ids = [f"s{i:05d}" for i in range(len(picture))]
    images = [np.full((1, 1, 3), (p // 65536, p // 256 % 256, p % 256), np.uint8) for p in picture]
    stimuli = StimulusSet(ids, images, [groups[p] for p in picture])
    out = {}
    for name in [f"subject{i}" for i in range(SUBJECTS)]:
        weights = rng.normal(size=(CAUSES, UNITS))
        signal = (causes @ (weights / np.linalg.norm(weights, axis=0)))[picture]
        scale = np.sqrt((1 - reliability) / reliability * repeats)
        trials = signal[:, None] + scale * rng.normal(size=(len(picture), repeats, UNITS))
        if uneven:
            n_trials = rng.integers(1, repeats + 1, len(picture))
            trials[np.arange(repeats) >= n_trials[:, None]] = np.nan
        responses = Responses.build(trials, ids, subject=name, simulated=True)
        out[name] = Recording(name, stimuli, responses)
    dataset, _ = tidy(Dataset("simulated", out))
    assert len(dataset["subject0"].stimuli) == n
    return dataset, causes


def compared(dataset, causes, test, folder):
    """ROI and group tables of `compare` and `encode` for the causes and for other features."""
    n, unit_ids = len(causes), np.arange(UNITS)
    parts = {"fit": np.arange(n - test - 40), "select": np.arange(n - test - 40, n - test)}
    parts["test"] = np.arange(n - test, n)
    config = EncodeConfig(alphas=(1e-6, 1e-4), folds=2, permutations=0, bootstrap=10)
    scored = []
    for i, (name, recording) in enumerate(dataset.items()):
        other = np.random.default_rng(i).normal(size=causes.shape)
        for method, features in (("untuned", other), ("perfect", causes)):
            encoding = encode(
                {"tap": features}, recording.responses.mean(), {"all": unit_ids}, parts, config
            )
            encoding.save(folder / method / name)
            target = Target(name, "", "all", unit_ids)
            scored.append(ScoredTarget(method, "new images", target, folder / method / name))
    rows = {name: np.arange(n) for name in dataset}
    units = unit_table(scored, dataset, rows)
    rois = roi_table(scored, units, samples=10, seed=0)
    return units, rois, group_table(rois, seed=0).set_index("model")


def predicted(dataset, causes, rounds):
    """The table of `predict` for the causes and for other features."""
    config = ReadoutConfig(kinds=("ridge",), alphas=(1e-6, 1e-4), folds=2)
    units, means = [], {"perfect": [], "chance": []}
    for i, (name, recording) in enumerate(dataset.items()):
        other = np.random.default_rng(i).normal(size=causes.shape)
        for model, features in (("perfect", causes), ("chance", other)):
            readouts = predict(
                {"tap": features}, recording.responses.mean(), rounds, {"r": ["tap"]}, config
            )
            limits = ceilings(recording.responses, readouts)
            place = {"model": model, "seed": 0, "subject": name}
            table = predicted_units(readouts, recording.responses.unit_ids, limits, **place)
            units.append(table)
            means[model].append(table["r"].mean())
    scored = {
        Key(model, 0, "r", "ridge"): Resampled(
            np.array(r), np.zeros(5), make_resampling(30, None, 5)
        )
        for model, r in means.items()
    }
    nulls = pd.DataFrame(
        {"readout": "r", "kind": "ridge", "model": list(means), "null": 0.0, "null_95": 0.0}
    )
    return pd.concat(units), score_table(scored, pd.concat(units), nulls).set_index("model")


def off(row, truth):
    """How many standard errors over subjects a share is from the truth."""
    error = (row["share_high"] - row["share_low"]) / 2 / stats.t.ppf(0.975, SUBJECTS - 1)
    return abs(row["share_explained"] - truth) / error


CASES = [
    # reliability, test stimuli, repeats, movies, copies, uneven
    (0.05, 200, 5, False, False, False),
    (0.15, 20, 2, False, False, False),
    (0.15, 200, 3, False, True, True),
    (0.5, 20, 4, False, True, False),
    (0.5, 200, 6, True, False, True),
    (0.5, 1000, 2, True, True, True),
    (0.9, 20, 10, True, True, True),
]


@pytest.mark.parametrize(("reliability", "test", "repeats", "movies", "copies", "uneven"), CASES)
def test_a_perfect_model_explains_all_and_chance_nothing(
    rng, tmp_path, reliability, test, repeats, movies, copies, uneven
):
    n = 1500 + test
    data, causes = recordings(
        rng, n, reliability, repeats, movies=movies, copies=copies, uneven=uneven
    )
    _, rois, group = compared(data, causes, test, tmp_path)
    one_round = split_rounds(
        {"fit": np.arange(1460), "select": np.arange(1460, 1500), "test": np.arange(1500, n)}, 2
    )
    units, table = predicted(data, causes, one_round)
    for perfect, chance in (
        (group.loc["perfect"], group.loc["untuned"]),
        (table.loc["perfect"], table.loc["chance"]),
    ):
        # the readout's own error takes 3 causes / 1500 stimuli / signal-to-noise: 4 % at worst
        assert perfect["share_explained"] == pytest.approx(1, abs=0.06) or off(perfect, 1) < 3
        assert abs(chance["share_explained"]) < 0.02 or off(chance, 0) < 3
        assert perfect["ceiling_source"] == "repeats"
        assert perfect["n_reliable"] == SUBJECTS * UNITS
    # one function: the two verbs have the same ceilings, and nearly the same scores
    limits = units[units["model"] == "perfect"].groupby("subject")["ceiling"].mean()
    np.testing.assert_allclose(
        rois[rois["model"] == "perfect"].set_index("subject")["ceiling"], limits, rtol=1e-12
    )
    for column in ("r", "r_normalized", "share_explained"):
        a, b = group.loc["perfect", column], table.loc["perfect", column]
        assert a == pytest.approx(b, abs=2e-3), column


@pytest.mark.parametrize(("reliability", "copies"), [(0.15, False), (0.5, True)])
def test_within_rounds_of_movies(rng, reliability, copies):
    """Scores of several rounds leave out differences between them, and so does what they can be."""
    data, causes = recordings(rng, 1200, reliability, 4, movies=True, copies=copies, uneven=True)
    groups = data["subject0"].stimuli.groups
    _, table = predicted(data, causes, grouped_rounds(groups, 30, 2))
    perfect, chance = table.loc["perfect"], table.loc["chance"]
    assert perfect["share_explained"] == pytest.approx(1, abs=0.06) or off(perfect, 1) < 3
    # a readout that follows nothing predicts its round a little backwards (see `readout`)
    assert abs(chance["share_explained"]) < 0.05
    recording = data["subject0"]
    rounds = grouped_rounds(groups, 30, 2)
    config = ReadoutConfig(kinds=("ridge",), alphas=(1e-4,), folds=2)
    readouts = predict({"tap": causes}, recording.responses.mean(), rounds, {"r": ["tap"]}, config)
    within = ceilings(recording.responses, readouts)
    whole = scored_ceilings(recording.responses, readouts.rows)
    assert within.ceiling.mean() < whole.ceiling.mean() - 0.01  # movies differ, which is not asked


def test_copies_that_are_joined_have_the_ceiling_of_the_joined_trials(rng):
    """.754 kept where .853 was true: a perfect model scored 1.13 of it."""
    data, causes = recordings(rng, 900, 0.57, 2, movies=False, copies=False, uneven=False)
    recording = data["subject0"]
    ids = [f"s{i}" for i in range(900)]
    images = [np.full((1, 1, 3), (0, i % 450 // 250, i % 450 % 250), np.uint8) for i in range(900)]
    # 450 pictures, each twice: the second rows hold two more trials of the same signal
    first = recording.responses.data.values[:450]
    clean = causes[:450]
    weights = np.linalg.lstsq(causes, recording.responses.mean(), rcond=None)[0]
    signal = clean @ weights
    noise = np.sqrt(0.43 / 0.57 * 2) * rng.normal(size=first.shape)
    trials = np.concatenate([first, signal[:, None] + noise])
    responses = Responses.build(trials, ids, subject="ann", simulated=True)
    joined, notes = tidy(
        Dataset("x", {"ann": Recording("ann", StimulusSet(ids, images), responses)})
    )
    after = joined["ann"].responses
    reached = score_r(after.mean(), signal).mean()
    assert after.noise_ceiling.mean() == pytest.approx(reached, abs=0.01)
    assert reached == pytest.approx(np.sqrt(4 / (4 + 2 * 0.43 / 0.57)), abs=0.02)
    assert "Noise ceilings are of the joined trials" in notes[0]


def test_a_given_ceiling_stands_where_there_are_no_trials_and_says_so(rng, tmp_path):
    data, causes = recordings(rng, 800, 0.5, 2, movies=False, copies=False, uneven=False)
    truth = np.full(UNITS, np.sqrt(0.5))
    truth[0] = np.nan
    averaged = {}
    for name, recording in data.items():
        responses = Responses.build(
            recording.responses.mean(), recording.stimuli.ids, subject=name, noise_ceiling=truth
        )
        averaged[name] = Recording(name, recording.stimuli, responses)
    units, rois, group = compared(Dataset("x", averaged), causes, 200, tmp_path)
    assert set(units["ceiling_source"]) == {"given", "none"}
    assert rois["ceiling_source"].eq("given").all() and rois["n_reliable"].eq(UNITS - 1).all()
    assert group.loc["perfect", "share_explained"] == pytest.approx(1, abs=0.03)
    _, table = predicted(Dataset("x", averaged), causes, split_rounds(
        {"fit": np.arange(560), "select": np.arange(560, 600), "test": np.arange(600, 800)}, 2
    ))  # fmt: skip
    assert table.loc["perfect", "ceiling_source"] == "given"
    assert table.loc["perfect", "ceiling"] == pytest.approx(group.loc["perfect", "r"], abs=0.02)


def test_only_the_scored_rows_decide(rng, tmp_path):
    """What other stimuli are like, or how noisy, changes no ceiling of a score."""
    data, causes = recordings(rng, 400, 0.5, 3, movies=False, copies=False, uneven=False)
    before, _, _ = compared(data, causes, 100, tmp_path / "a")
    noisier = {}
    for name, recording in data.items():
        values = recording.responses.data.copy(deep=True)
        values.values[:300] += 5 * rng.normal(size=values.values[:300].shape)
        noisier[name] = Recording(name, recording.stimuli, Responses(values))
    after, _, _ = compared(Dataset("x", noisier), causes, 100, tmp_path / "b")
    np.testing.assert_array_equal(before["ceiling"], after["ceiling"])
    np.testing.assert_array_equal(before["reliability"], after["reliability"])


def test_the_mean_over_units_is_biased_where_the_pooled_share_is_not(rng, tmp_path):
    """Reliability .153: the mean of r / ceiling was .876 with 20 stimuli and 1.093 with 200."""
    perfect = {}
    for test in (20, 200):
        data, causes = recordings(
            rng, 1500 + test, 0.153, 2, movies=False, copies=False, uneven=False
        )
        _, _, group = compared(data, causes, test, tmp_path / str(test))
        perfect[test] = group.loc["perfect"]
    assert perfect[20]["r_normalized"] < 0.96
    assert perfect[200]["r_normalized"] > 1.03
    for row in perfect.values():
        assert off(row, 1) < 3
