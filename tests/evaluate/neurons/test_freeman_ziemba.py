"""The FreemanZiemba2013 protocol on SIMULATED neurons whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import pearsonr
from sklearn.cross_decomposition import PLSRegression as SklearnPls

from striate.core.cache import Cache
from striate.core.errors import InputError, LeakError
from striate.data import Recording, StimulusSet, read
from striate.data.readers.freeman_ziemba import public_textures
from striate.data.readers.freeman_ziemba_files import all_textures
from striate.data.responses.responses import Responses
from striate.encoding import percentile_interval, permutation_p
from striate.evaluate.neurons import (
    FreemanZiembaConfig,
    Population,
    choose_taps,
    freeman_ziemba,
    half_consistency,
    parts_of,
    score_row,
    score_splits,
    shuffled_scores,
    stratified_splits,
)
from striate.evaluate.neurons.brain_score import (
    SplitScores,
    group_orders,
    neuron_interval,
    same_products,
    stimulus_draws,
)
from striate.models import load
from tests.data.layouts import write_freeman_ziemba

NAMES = sorted(texture.name for texture in all_textures())
TYPES = [name.split("-")[0] for name in NAMES]
FAMILIES = tuple(name.split("-")[2] for name in NAMES)
QUICK = {"bootstrap": 100, "permutations": 20, "device": "cpu", "batch_size": 64}


def neurons(noise: float = 0.5, latent: int = 12, units: int = 103, seed: int = 0):
    """What drives SIMULATED neurons, (450, latent), and trials (450, 20, units) of known noise."""
    rng = np.random.default_rng(seed)
    causes = rng.normal(size=(450, latent))
    signal = causes @ rng.normal(size=(latent, units)) / np.sqrt(latent)
    return causes, signal[:, None] + noise * np.sqrt(20) * rng.normal(size=(450, 20, units))


def population(trials: np.ndarray) -> Population:
    picture = np.zeros((2, 2, 3), np.uint8)
    stimuli = StimulusSet(NAMES, [picture] * 450)
    return Population("V2", stimuli, trials.mean(axis=1), trials, tuple(TYPES), FAMILIES, True)


def test_splits_have_the_published_sizes():
    public = {texture.name for texture in public_textures()}
    inside = np.array([name in public for name in NAMES])
    for rows, sizes in ((inside, (121, 14)), (~inside, (283, 32))):
        labels = [TYPES[i] for i in np.flatnonzero(rows)]
        splits = stratified_splits(labels)
        assert [(len(a), len(b)) for a, b in splits] == [sizes] * 10
        for _, test in splits:  # stratified: as many of a type as there can be
            assert abs([labels[i] for i in test].count("tex") - len(test) / 2) <= 0.5
    again = stratified_splits(labels)
    assert all((a[1] == b[1]).all() for a, b in zip(splits, again, strict=True))
    with pytest.raises(InputError, match="3 stimuli of 3 types cannot be split"):
        stratified_splits(["a", "b", "c"])


def test_the_score_is_that_of_scikit_learn_and_scipy():
    """r by split, median over neurons, mean and standard error over splits; wide features."""
    rng = np.random.default_rng(0)
    causes, trials = neurons(units=9)
    features = (causes @ rng.normal(size=(12, 700)) + rng.normal(size=(450, 700))).astype("f4")
    y = trials.mean(axis=1)
    splits = stratified_splits(TYPES, splits=3)
    scores = score_splits(features, y, splits)
    expected = np.empty((3, 9))
    for i, (train, test) in enumerate(splits):
        model = SklearnPls(25, scale=False).fit(features[train].astype("f8"), y[train])
        predicted = model.predict(features[test].astype("f8"))
        np.testing.assert_allclose(scores.predicted[i], predicted, atol=1e-6)
        expected[i] = [pearsonr(y[test][:, j], predicted[:, j])[0] for j in range(9)]
    np.testing.assert_allclose(scores.r, expected, atol=1e-6)
    by_split = np.median(expected, axis=1)
    assert scores.value == pytest.approx(by_split.mean(), abs=1e-6)
    assert scores.sem == pytest.approx(by_split.std() / np.sqrt(3), abs=1e-6)
    rows = same_products(features)
    assert rows.shape == (450, 449)  # of the n rows less their mean
    whole = features - features.mean(axis=0, dtype="f8")
    np.testing.assert_allclose(rows @ rows.T, whole @ whole.T, atol=1e-6 * np.abs(whole).max() ** 2)


def test_ceiling_is_the_reliability_that_was_planted():
    _, trials = neurons(noise=0.5)
    planted = 1 / (1 + 0.5**2)  # share of the variance of averages that is signal
    halves = half_consistency(trials)
    assert halves.shape == (10, 103)
    assert np.median(halves, axis=1).mean() == pytest.approx(planted, abs=0.02)
    with pytest.raises(InputError, match="a ceiling needs"):
        half_consistency(trials[:, :1])
    gone = trials.copy()
    gone[3, 2:5, 1] = np.nan
    assert np.isfinite(half_consistency(gone)).all()


def test_generators_of_the_neurons_reach_the_ceiling():
    causes, trials = neurons(noise=0.5)
    cells = population(trials)
    splits = stratified_splits(cells.types)
    right = score_splits(causes, cells.responses, splits, components=12)
    config = FreemanZiembaConfig(components=12, **QUICK)
    row = score_row(right, cells, config)
    # a perfect model correlates as the root of the reliability
    assert row["r"] == pytest.approx(np.sqrt(0.8), abs=0.02)
    assert row["r_squared_over_c"] == pytest.approx(1, abs=0.04)
    assert row["r_over_c_squared"] == pytest.approx(1 / 0.8, abs=0.06)
    assert row["low"] < row["r"] < row["high"]
    assert row["neurons_low"] < row["r"] < row["neurons_high"]
    assert abs(row["null"]) < 0.05
    assert row["p"] == pytest.approx(1 / 21)
    assert row["simulated"]
    # something else says nothing of them
    other = np.random.default_rng(9).normal(size=causes.shape)
    wrong = score_splits(other, cells.responses, splits, components=12)
    assert abs(wrong.value) < 0.06
    against = score_row(right, cells, config, wrong)
    assert against["over_random_low"] > 0.7


def test_neurons_predict_themselves():
    """Noise-free neurons of 12 causes are all that 12 components need; noisy ones fall short."""
    _, clean = neurons(noise=0.0, units=60)
    y = clean.mean(axis=1)
    splits = stratified_splits(TYPES)
    assert score_splits(y, y, splits, components=12).value == pytest.approx(1, abs=1e-6)
    _, noisy = neurons(noise=1.0, latent=60, units=103)
    y = noisy.mean(axis=1)
    scores = score_splits(y, y, splits)
    assert 0.6 < scores.value < 0.999


def of_families(rng, share, units=12, related=True):
    """SIMULATED responses and predictions, (450, units), with family x type effects of a share."""
    family = np.unique(FAMILIES, return_inverse=True)[1]
    kind = np.unique(TYPES, return_inverse=True)[1]

    def field():
        common = rng.normal(size=(15, 2, units))[family, kind]
        return np.sqrt(share) * common + np.sqrt(1 - share) * rng.normal(size=common.shape)

    both = field() if related else 0.0
    return both + field(), both + field()


def scored_as(responses, predicted, splits):
    pairs = [(responses[test], predicted[test]) for _, test in splits]
    r = np.array([[pearsonr(a, b)[0] for a, b in zip(y.T, x.T, strict=True)] for y, x in pairs])
    observed, expected = zip(*pairs, strict=True)
    return SplitScores(tuple(splits), observed, expected, r, responses)


def test_intervals_over_families_cover_and_over_stimuli_do_not():
    """Half of the variance is common to a family and type: 15 families are the sample."""
    rng = np.random.default_rng(3)
    splits = stratified_splits(TYPES, 4)
    simulations = [scored_as(*of_families(rng, 0.7), splits) for _ in range(120)]
    truth = np.mean([scores.value for scores in simulations])
    covered = {}
    for name, groups in (("families", FAMILIES), ("stimuli", None)):
        intervals = [
            percentile_interval(scores.value, stimulus_draws(scores, 400, groups=groups))
            for scores in simulations
        ]
        covered[name] = np.mean([i.low <= truth <= i.high for i in intervals])
    assert covered["families"] > 0.86  # fifteen families; the simulation's own error is 0.02
    assert covered["stimuli"] < covered["families"] - 0.1


def test_the_null_of_families_fires_as_rarely_as_it_should():
    rng = np.random.default_rng(4)
    splits = stratified_splits(TYPES, 4)
    fired = {"families": 0, "stimuli": 0}
    for i in range(150):
        scores = scored_as(*of_families(rng, 0.7, units=6, related=False), splits)
        for name in fired:
            groups, kinds = (FAMILIES, TYPES) if name == "families" else (None, None)
            null = shuffled_scores(scores, 19, seed=i, groups=groups, kinds=kinds)
            fired[name] += permutation_p(scores.value, null) <= 0.05
    assert fired["families"] / 150 < 0.05 + 2.5 * np.sqrt(0.05 * 0.95 / 150)
    assert fired["stimuli"] / 150 > 0.12


def test_families_take_each_others_places_as_a_whole():
    groups, kinds = ["a"] * 4 + ["b"] * 4 + ["c"] * 3, list("xxyyxxyyxyy")
    orders = group_orders(11, 50, 0, groups, kinds)
    labels, types = np.array(groups), np.array(kinds)
    for order in orders:
        for group in "abc":
            taken = order[labels == group]
            assert len(set(labels[taken])) == 1
            for kind in "xy":
                assert len(set(types[order[(labels == group) & (types == kind)]])) == 1
    assert len({tuple(order) for order in orders}) > 20
    plain = group_orders(11, 3)
    assert all(sorted(order) == list(range(11)) for order in plain)


def test_a_ceiling_below_zero_gives_no_ratio():
    """Squared, a negative ceiling would look like a score."""
    rng = np.random.default_rng(0)
    causes, _ = neurons(units=9)
    cells = population(rng.normal(size=(450, 20, 9)))
    scores = score_splits(causes, cells.responses, stratified_splits(TYPES, 2), components=5)
    row = score_row(scores, cells, FreemanZiembaConfig(components=5, splits=2, **QUICK))
    if row["ceiling"] <= 0:
        assert np.isnan(row["r_over_c_squared"]) and np.isnan(row["r_squared_over_c"])
    assert row["over"] == "families" and row["families"] == 15
    stimuli = FreemanZiembaConfig(components=5, splits=2, intervals="stimuli", **QUICK)
    assert score_row(scores, cells, stimuli)["over"] == "stimuli"


def test_silent_neurons_and_bad_input():
    causes, trials = neurons(units=4)
    y = trials.mean(axis=1)
    y[:, 1] = 2.0
    splits = stratified_splits(TYPES, 2)
    scores = score_splits(causes, y, splits, components=5)
    assert np.isnan(scores.r[:, 1]).all()
    assert np.isfinite(
        [scores.value, *stimulus_draws(scores, 20), *shuffled_scores(scores, 5)]
    ).all()
    assert np.isfinite(neuron_interval(scores, 50).low)
    with pytest.raises(InputError, match="split 0: a stimulus is fitted and tested"):
        score_splits(causes, y, [(np.arange(400), np.arange(399, 450))])
    with pytest.raises(InputError, match="features are not finite"):
        score_splits(np.full((450, 3), np.nan), y, splits)
    with pytest.raises(InputError, match="of the same N"):
        score_splits(causes[:9], y, splits)
    silent = score_splits(causes, np.full((450, 2), 1.0), splits, 5)
    assert np.isnan(silent.value)


@pytest.fixture(scope="module")
def setting(tmp_path_factory):
    """A model, and SIMULATED V1 cells linear in its stage 1, V2 cells in its stage 2."""
    root = tmp_path_factory.mktemp("textures")
    write_freeman_ziemba(root, "netcdf", cells=(1, 1), bins=201, side=16)
    cache = Cache(tmp_path_factory.mktemp("cache"))
    model = load("lcl_v2@random", image_size=64)
    data = read("freeman_ziemba", root)
    macaques = data["macaques"]
    rng = np.random.default_rng(0)
    from striate.evaluate.neurons.freeman_ziemba import presented

    whole = Population.of(macaques, "V1")
    features, aperture = presented(
        model, whole, ["stage1", "stage2"], FreemanZiembaConfig(**QUICK), cache=cache
    )
    assert aperture == "added"
    parts = []
    for tap in ("stage1", "stage2"):
        x = features[tap] - features[tap].mean(axis=0)
        left, size, _ = np.linalg.svd(x, full_matrices=False)
        signal = (left * size)[:, :8] @ rng.normal(size=(8, 6))
        signal /= signal.std(axis=0)
        parts.append(signal[:, None] + rng.normal(size=(450, 8, 6)))
    trials = np.concatenate(parts, axis=-1)
    rois = {"V1": np.arange(12) < 6, "V2": np.arange(12) >= 6}
    responses = Responses.build(
        trials, whole.stimuli.ids, subject="macaques", rois=rois, simulated=True
    )
    recording = Recording("macaques", whole.stimuli, responses)
    return model, type(data)("freeman_ziemba", {"macaques": recording}, data.facts), cache


def test_taps_are_chosen_on_public_and_scored_on_private(setting):
    model, data, cache = setting
    scored, choosing = parts_of(data)
    assert (len(scored.stimuli), len(choosing.stimuli)) == (315, 135)
    config = FreemanZiembaConfig(components=8, **QUICK)
    taps, table = choose_taps(model, choosing, config=config, cache=cache)
    assert taps == {"V1": "stage1", "V2": "stage2"}
    assert len(table) == 4 and table["pca_components"].eq(0).all()
    scores = freeman_ziemba(
        model, scored, taps, config, name="right", chosen_on=choosing, cache=cache
    )
    assert scores["stimuli"].eq(315).all() and scores["simulated"].all()
    net = scores[scores["weights"] == "own"].set_index("region")
    twin = scores[scores["weights"] == "random"].set_index("region")
    assert (net["r"] > twin["r"]).all()
    assert (net["r_squared_over_c"] > 0.6).all()
    np.testing.assert_allclose(net["r_over_c_squared"], (net["r"] / net["ceiling"]) ** 2)
    np.testing.assert_allclose(net["r_squared_over_c"], net["r"] ** 2 / net["ceiling"])
    assert (net["r"] > net["null_95"]).all()
    assert net["tap_chosen"].eq("on other stimuli").all()


def test_private_stimuli_play_no_part_in_the_choice(setting):
    """A trap: whatever the scored responses are, the choice stays; overlap is refused."""
    model, data, cache = setting
    config = FreemanZiembaConfig(components=8, **QUICK)
    macaques = data["macaques"]
    public = {texture.name for texture in public_textures()}
    spoilt = macaques.responses.data.copy(deep=True)
    inside = np.array([name in public for name in macaques.stimuli.ids])
    spoilt.values[~inside] = np.random.default_rng(1).normal(size=spoilt.values[~inside].shape)
    trap = Recording("macaques", macaques.stimuli, Responses(spoilt))
    before = choose_taps(model, parts_of(data)[1], config=config, cache=cache)
    after = choose_taps(
        model, parts_of(type(data)("x", {"m": trap}, data.facts))[1], config=config, cache=cache
    )
    assert before[0] == after[0]
    assert before[1].equals(after[1])
    with pytest.raises(LeakError, match="450 stimuli would be scored on which taps were chosen"):
        freeman_ziemba(model, macaques, before[0], config, chosen_on=macaques, cache=cache)
    seen = model.copy()
    seen.provenance["seen"] = [macaques.stimuli.hashes[5]]
    with pytest.raises(LeakError, match="on FreemanZiemba2013"):
        freeman_ziemba(seen, macaques, before[0], config, cache=cache)


def test_pca_of_other_images_and_fixed_models(setting):
    model, data, cache = setting
    config = FreemanZiembaConfig(components=8, regions=("V1",), **QUICK)
    scored, choosing = parts_of(data)
    rng = np.random.default_rng(5)
    others = [rng.integers(0, 256, (64, 64, 3), dtype=np.uint8) for _ in range(30)]
    pca = StimulusSet([f"o{i}" for i in range(30)], others)
    _, table = choose_taps(model, choosing, config=config, pca=pca, pca_components=20, cache=cache)
    assert table["pca_components"].eq(20).all()
    gabor = load("gabor_energy", image_size=64)
    scores = freeman_ziemba(gabor, scored, {"V1": gabor.taps[0]}, config, cache=cache)
    assert scores["weights"].tolist() == ["own"]  # fixed filters have no random twin
    assert scores["over_random"].isna().all()
    with pytest.raises(InputError, match="no tap is given for V1"):
        freeman_ziemba(gabor, scored, {}, config, cache=cache)
    with pytest.raises(InputError, match="unknown ROI 'V2'"):
        only = Recording("m", scored.stimuli, Responses(scored.responses.data.drop_vars("roi_V2")))
        Population.of(only, "V2")
