"""The protocols on simulated units whose right tap is known; no look at test, and no spoiling."""

from __future__ import annotations

import re

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from striate.core.errors import InputError, LeakError
from striate.encoding import Choice, EncodeConfig, Encoding, encode
from striate.encoding.folds import make_folds
from striate.encoding.inference import permutation_p
from striate.encoding.scores import pearson_r, r_squared

pytestmark = pytest.mark.usefixtures("one_thread")

N, UNITS = 240, 10
CONFIG = EncodeConfig(
    scale="none", alphas=(0.1, 1.0, 10.0, 100.0, 1000.0), folds=4, permutations=50
)


@pytest.fixture
def world():
    """Simulated: `early` units read tap conv1, `late` ones conv3; unit 4 and 5 are in both."""
    rng = np.random.default_rng(0)
    features = {
        tap: rng.normal(size=(N, k)).astype(np.float32)
        for tap, k in (("conv1", 12), ("conv2", 8), ("conv3", 16))
    }
    early = features["conv1"] @ rng.normal(size=(12, 6))
    late = features["conv3"] @ rng.normal(size=(16, 4))
    responses = np.hstack([early, late]) + 1.5 * rng.normal(size=(N, UNITS))
    mask = np.zeros(UNITS, dtype=bool)
    mask[:6] = True
    rois = {"early": mask, "late": np.arange(4, UNITS)}
    order = rng.permutation(N)
    parts = {
        "tune": order[:80],
        "fit": order[80:120],
        "select": order[120:180],
        "test": order[180:],
    }
    return features, responses, rois, parts


def run(world, protocol="nested", **settings):
    features, responses, rois, parts = world
    config = CONFIG.model_copy(update={"protocol": protocol, **settings})
    return encode(features, responses, rois, parts, config)


@pytest.mark.parametrize("protocol", ["nested", "paper_a", "paper_b"])
def test_planted_taps_are_found(world, protocol):
    got = run(world, protocol)
    assert got.rois["early"].tap == "conv1"
    assert got.rois["late"].tap == "conv3"
    assert got.protocol == protocol
    assert (got.rois["early"].r[:4] > 0.5).all()
    table = got.tap_scores
    assert set(table["tap"]) == {"conv1", "conv2", "conv3"}
    chosen = table[table["chosen"]].set_index("roi")["tap"].to_dict()
    assert chosen == {"early": "conv1", "late": "conv3"}
    best = table.loc[table.groupby("roi")["score"].idxmax()].set_index("roi")["tap"].to_dict()
    assert best == chosen


def test_a_unit_in_two_rois_is_scored_from_the_tap_of_each(world):
    table = run(world).table
    assert len(table) == 12
    both = table[table["unit"] == 4].set_index("roi")
    assert both["tap"].to_dict() == {"early": "conv1", "late": "conv3"}
    assert both.loc["early", "r"] > both.loc["late", "r"] + 0.3


def test_nested_by_hand(world):
    features, responses, _, parts = world
    got = run(world).rois["late"]
    readout, select = np.sort(parts["fit"]), np.sort(parts["select"])
    X, Y = features["conv3"].astype(float), responses[:, 4:]
    scores = np.zeros((4, 5, 6))
    for k, (rest, held) in enumerate(make_folds(60, 4, CONFIG.seed)):
        train, held = np.concatenate([readout, select[rest]]), select[held]
        for i, alpha in enumerate(CONFIG.alphas):
            model = Ridge(alpha=alpha).fit(X[train], Y[train])
            scores[k, i] = pearson_r(Y[held], model.predict(X[held]))
    alpha = np.array(CONFIG.alphas)[scores.mean(0).argmax(0)]
    np.testing.assert_array_equal(got.alpha, alpha)
    train, test = np.concatenate([readout, select]), np.sort(parts["test"])
    predicted = Ridge(alpha=alpha).fit(X[train], Y[train]).predict(X[test])
    np.testing.assert_allclose(got.predictions, predicted, atol=1e-5)
    np.testing.assert_allclose(got.r, pearson_r(Y[test], predicted), atol=1e-6)
    np.testing.assert_allclose(got.r2, r_squared(Y[test], predicted), atol=1e-6)
    np.testing.assert_allclose(got.observed, Y[test], atol=1e-6)
    table = run(world).tap_scores.set_index(["roi", "tap"])
    assert table.loc[("late", "conv3"), "score"] == pytest.approx(scores.mean(0).max(0).mean())


def test_nested_choice_never_looks_at_test_or_tune(world):
    features, responses, rois, parts = world
    before = run(world)
    hidden = np.concatenate([parts["test"], parts["tune"]])
    rng = np.random.default_rng(9)
    responses = responses.copy()
    responses[hidden] = rng.normal(size=(len(hidden), UNITS))
    features = {t: v.copy() for t, v in features.items()}
    for values in features.values():
        values[hidden] = rng.normal(size=(len(hidden), values.shape[1]))
    after = run((features, responses, rois, parts))
    assert after.settings_key() == before.settings_key()
    assert abs(after.rois["early"].mean_r) < 0.2 < before.rois["early"].mean_r


def test_readout_parts_are_used(world):
    assert run(world, readout_parts=("tune", "fit")).rois["late"].mean_r > 0
    a, b = run(world).rois["late"], run(world, readout_parts=("tune", "fit")).rois["late"]
    assert not np.array_equal(a.predictions, b.predictions)


def test_paper_a_by_hand(world):
    features, responses, _, parts = world
    got = run(world, "paper_a")
    rows = np.sort(np.concatenate([parts["tune"], parts["fit"], parts["select"]]))
    X, Y = features["conv1"][rows].astype(float), responses[rows][:, :6]
    best = []
    for train, held in make_folds(len(rows), 4, CONFIG.seed):
        means = [
            pearson_r(Y[held], Ridge(alpha=a).fit(X[train], Y[train]).predict(X[held])).mean()
            for a in CONFIG.alphas
        ]
        best.append(int(np.argmax(means)))
    alpha = CONFIG.alphas[np.bincount(best).argmax()]
    early = got.rois["early"]
    np.testing.assert_array_equal(early.alpha, alpha)
    test = np.sort(parts["test"])
    predicted = Ridge(alpha=alpha).fit(X, Y).predict(features["conv1"][test].astype(float))
    np.testing.assert_allclose(early.predictions, predicted, atol=1e-5)
    assert any("fitted also on images the network was tuned on" in c for c in got.caveats)


def test_paper_a_takes_the_settings_of_the_untuned_network(world):
    features, responses, rois, parts = world
    config = CONFIG.model_copy(update={"protocol": "paper_a"})
    untuned = run(world, "paper_a")
    tuned = {tap: values[:, ::-1].copy() + 1 for tap, values in features.items()}
    got = encode(tuned, responses, rois, parts, config, chosen=untuned)
    assert got.choices == untuned.choices
    assert got.tap_scores["score"].isna().all()
    forced = {"early": Choice("conv2", 10.0), "late": Choice("conv3", 1.0)}
    got = encode(features, responses, rois, parts, config, chosen=forced)
    assert got.choices == forced
    assert abs(got.rois["early"].mean_r) < 0.3


def test_chosen_settings_that_do_not_fit(world):
    features, responses, rois, parts = world
    config = CONFIG.model_copy(update={"protocol": "paper_a"})
    for chosen, text in (
        ({"early": Choice("conv1", 1.0)}, "unknown ROI 'late'"),
        ({"early": Choice("conv11", 1.0), "late": Choice("conv3", 1.0)}, "Did you mean conv1"),
        ({"early": Choice("conv1", np.nan), "late": Choice("conv3", 1.0)}, "no single alpha"),
    ):
        with pytest.raises(InputError, match=text):
            encode(features, responses, rois, parts, config, chosen=chosen)
    with pytest.raises(InputError, match="protocol nested chooses its own"):
        encode(features, responses, rois, parts, CONFIG, chosen=run(world, "paper_a"))


def test_paper_b_by_hand(world):
    features, responses, _, parts = world
    got = run(world, "paper_b")
    order = np.random.default_rng(CONFIG.seed).permutation(np.sort(parts["test"]))
    X, Y = features["conv3"][order].astype(float), responses[order][:, 4:]
    scores = np.zeros((4, 5, 6))
    for k in range(4):
        held = np.arange(15 * k, 15 * (k + 1))
        train = np.setdiff1d(np.arange(60), held)
        for i, alpha in enumerate(CONFIG.alphas):
            model = Ridge(alpha=alpha).fit(X[train], Y[train])
            scores[k, i] = pearson_r(Y[held], model.predict(X[held]))
    late = got.rois["late"]
    np.testing.assert_allclose(late.r, scores.mean(0).max(0), atol=1e-6)
    np.testing.assert_array_equal(late.alpha, np.array(CONFIG.alphas)[scores.mean(0).argmax(0)])
    np.testing.assert_array_equal(got.stimuli, np.sort(parts["test"]))
    np.testing.assert_allclose(late.observed, responses[got.stimuli][:, 4:], atol=1e-6)
    assert pearson_r(late.observed, late.predictions).mean() > 0.3
    assert any("same folds that are reported" in c for c in got.caveats)


def test_paper_b_leaves_over_what_does_not_fill_a_fold(world):
    features, responses, rois, parts = world
    parts = {"test": parts["test"][:58]}
    got = run((features, responses, rois, parts), "paper_b")
    assert len(got.stimuli) == 56
    assert got.rois["late"].predictions.shape == (56, 6)
    with pytest.raises(InputError, match="7 test stimuli in 4 folds"):
        run((features, responses, rois, {"test": parts["test"][:7]}), "paper_b")


def test_paper_b_is_too_high_without_a_relation_and_nested_is_not():
    """The leak that its caveat tells of, shown on noise."""
    leaky, honest = [], []
    for seed in range(15):
        rng = np.random.default_rng(seed)
        features = {f"tap{i}": rng.normal(size=(240, 5)) for i in range(8)}
        rows = rng.permutation(240)
        parts = {"fit": rows[:40], "select": rows[40:120], "test": rows[120:]}
        world = features, rng.normal(size=(240, 6)), {"all": np.arange(6)}, parts
        leaky.append(run(world, "paper_b", permutations=0).rois["all"].mean_r)
        honest.append(run(world, permutations=0).rois["all"].mean_r)
    error = np.std(honest) / np.sqrt(15)
    assert abs(np.mean(honest)) < 3 * error
    assert np.mean(leaky) > 5 * error


def test_shuffled_null(world):
    got = run(world).rois["early"]
    assert got.null_r.shape == (50,)
    assert abs(got.null_r.mean()) < 0.05
    assert permutation_p(got.mean_r, got.null_r) == 1 / 51
    assert run(world, permutations=0).rois["early"].null_r.shape == (0,)


def test_bad_units_are_named_once_and_spoil_nobody(world):
    features, responses, rois, parts = world
    clean = run(world)
    broken = responses.copy()
    broken[parts["select"][0], 1] = np.nan
    broken[parts["test"], 8] = 3.0
    broken[parts["tune"][0], 2] = np.inf  # not used by protocol nested
    ids = [f"lh{i}" for i in range(UNITS)]
    with pytest.warns(UserWarning) as said:
        got = encode(features, broken, rois, parts, CONFIG, unit_ids=ids)
    assert [str(w.message).split(":")[1] for w in said] == [" lh1, lh8."]
    assert any("lh1, lh8" in c for c in got.caveats)
    early, late = got.rois["early"], got.rois["late"]
    for values in (early.r[1], early.r2[1], early.alpha[1], late.r[4], late.alpha[4]):
        assert np.isnan(values)
    keep = [0, 2, 3, 4, 5]
    np.testing.assert_allclose(early.r[keep], clean.rois["early"].r[keep], atol=1e-7)
    assert np.isfinite(early.null_r).all()


def test_a_roi_of_bad_units_is_nan(world):
    features, responses, _, parts = world
    responses = responses.copy()
    responses[:, :2] = 0.0
    with pytest.warns(UserWarning, match="2 of 6 units"):
        got = encode(
            features, responses, {"dead": np.array([0, 1]), "late": np.arange(6, 10)}, parts, CONFIG
        )
    assert np.isnan(got.rois["dead"].r).all()
    assert np.isnan(got.rois["dead"].mean_r)
    assert got.rois["dead"].tap == "conv1"
    assert got.rois["late"].mean_r > 0.5
    with pytest.warns(UserWarning, match="2 of 2 units"):
        alone = encode(features, responses, {"dead": np.array([0, 1])}, parts, CONFIG)
    assert np.isnan(alone.rois["dead"].predictions).all()


def test_one_unit_roi(world):
    features, responses, _, parts = world
    got = encode(features, responses, {"tiny": np.array([7])}, parts, CONFIG)
    assert got.rois["tiny"].r.shape == (1,)
    assert got.rois["tiny"].tap == "conv3"


def test_more_components_than_stimuli(world):
    features, responses, rois, parts = world
    wide = np.random.default_rng(5).normal(size=(12, 300)).astype(np.float32)
    features = {**features, "conv1": features["conv1"] @ wide}
    assert run((features, responses, rois, parts)).rois["early"].tap == "conv1"


def test_narrow_grid_is_a_caveat(world):
    got = run(world, alphas=(1e5, 1e6))
    assert any("grid may be too narrow" in c for c in got.caveats)


def test_normalized(world):
    roi = run(world).rois["late"]
    ceiling = np.array([0.5, np.nan, 0.8, 0.05, 1.0, 1.0])
    got = roi.normalized(ceiling)
    np.testing.assert_array_equal(np.isnan(got), [False, True, False, True, False, False])
    assert got[0] == roi.r[0] / 0.5


@pytest.mark.parametrize("protocol", ["nested", "paper_a", "paper_b"])
def test_saved_and_loaded_is_the_same(world, tmp_path, protocol):
    got = run(world, protocol)
    back = Encoding.load(got.save(tmp_path / "encoding"))
    assert back.protocol == protocol
    assert back.caveats == got.caveats
    assert back.settings_key() == got.settings_key()
    assert back.tap_scores.equals(got.tap_scores)
    assert back.table.equals(got.table)
    for roi in got.rois:
        for name in ("predictions", "observed", "null_r", "units"):
            np.testing.assert_array_equal(
                getattr(back.rois[roi], name), getattr(got.rois[roi], name)
            )


def test_broken_encoding_is_named(world, tmp_path):
    folder = run(world).save(tmp_path / "encoding")
    whole = (folder / "arrays.npz").read_bytes()
    (folder / "arrays.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"encoding in .* cannot be read"):
        Encoding.load(folder)
    with pytest.raises(InputError, match="cannot be read"):
        Encoding.load(tmp_path / "nowhere")


def test_same_seed_same_bits(world):
    a, b, c = run(world), run(world), run(world, seed=1)
    assert a.rois["early"].predictions.tobytes() == b.rois["early"].predictions.tobytes()
    assert a.tap_scores.equals(b.tap_scores)
    assert not a.tap_scores.equals(c.tap_scores)


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        (lambda f, y, r, p: f.clear(), InputError, "features of no tap"),
        (lambda f, y, r, p: f.update(conv2=f["conv2"][:9]), InputError, r"tap conv2: .*\(9, 8\)"),
        (lambda f, y, r, p: r.clear(), InputError, "no ROI"),
        (lambda f, y, r, p: r.update(V1=np.zeros(UNITS, bool)), InputError, "ROI V1 has no units"),
        (lambda f, y, r, p: r.update(V1=np.ones(3, bool)), InputError, "ROI V1: a mask"),
        (lambda f, y, r, p: r.update(V1=np.array([0, 10])), InputError, r"ROI V1: .* 0\.\.9"),
        (lambda f, y, r, p: r.update(V1=np.array([0, 0])), InputError, "listed twice"),
        (lambda f, y, r, p: r.update(V1=np.array([0.5])), InputError, "found float64"),
        (lambda f, y, r, p: p.pop("select"), InputError, "unknown part 'select'"),
        (lambda f, y, r, p: p.update(select=p["select"][:2]), InputError, "2 stimuli; 3 or more"),
        (lambda f, y, r, p: p.update(select=p["select"][:6]), InputError, "4 folds of 6 rows"),
        (lambda f, y, r, p: p.update(fit=np.array([500])), InputError, "positions outside"),
        (lambda f, y, r, p: p.update(fit=p["test"][:3]), LeakError, "3 stimuli are in part 'fit'"),
        (lambda f, y, r, p: p.update(fit=p["select"][:3]), InputError, "twice among the parts"),
    ],
)
def test_bad_input(world, change, error, text):
    features, responses, rois, parts = world
    change(features, responses, rois, parts)
    with pytest.raises(error, match=text):
        encode(features, responses, rois, parts, CONFIG)


def test_features_that_are_not_finite(world):
    features, _, _, parts = world
    features["conv2"][parts["tune"][0]] = np.nan  # not used by protocol nested
    run(world)
    features["conv2"][parts["test"][0], 3] = np.inf
    text = f"tap conv2: features are not finite, first at stimulus {parts['test'][0]}, component 3"
    with pytest.raises(InputError, match=text):
        run(world)


def test_unit_scale_makes_the_size_of_features_irrelevant(world):
    features, responses, rois, parts = world
    config = CONFIG.model_copy(update={"scale": "unit", "alphas": None})
    large = {tap: values * 1000.0 + 3.0 for tap, values in features.items()}
    encoding = encode(features, responses, rois, parts, config)
    rescaled = encode(large, responses, rois, parts, config)
    for roi in rois:
        assert encoding.rois[roi].tap == rescaled.rois[roi].tap
        np.testing.assert_array_equal(encoding.rois[roi].alpha, rescaled.rois[roi].alpha)
        np.testing.assert_allclose(encoding.rois[roi].r, rescaled.rois[roi].r, atol=1e-4)


def test_defaults_of_scale_and_penalties_follow_the_protocol():
    assert EncodeConfig().penalties == tuple(10.0**i for i in range(-6, 5))
    assert EncodeConfig(protocol="paper_a").penalties == tuple(10.0**i for i in range(-1, 8))
    assert not EncodeConfig(protocol="paper_b").unit_scale
    assert EncodeConfig(alphas=(3.0, 1.0)).penalties == (1.0, 3.0)


def test_groups_stay_together(world, monkeypatch):
    """Copies in other folds would choose the tap that knows pictures; whole groups do not."""
    features, responses, rois, parts = world
    groups = np.full(N, "", dtype=object)
    groups[parts["select"]] = [f"movie{i // 6}" for i in range(60)]
    seen = []

    def spy(n, folds, seed, labels):
        out = make_folds(n, folds, seed, labels)
        seen.extend((np.array(labels)[a], np.array(labels)[b]) for a, b in out)
        return out

    monkeypatch.setattr("striate.encoding.rounds.make_folds", spy)
    encode(features, responses, rois, parts, CONFIG, groups=groups.tolist())
    assert len(seen) == CONFIG.folds
    assert all(not set(a) & set(b) for a, b in seen)
    groups[parts["test"][0]] = "movie0"
    with pytest.raises(LeakError, match="1 groups of stimuli are in part 'select' and in 'test'"):
        encode(features, responses, rois, parts, CONFIG, groups=groups.tolist())
    config = CONFIG.model_copy(update={"protocol": "paper_b"})
    with pytest.raises(InputError, match="do not keep groups"):
        encode(
            features, responses, rois, {"test": parts["test"]}, config, groups=groups[:N].tolist()
        )


def test_an_encoding_says_in_a_few_lines_what_it_holds(world):
    features, responses, _, parts = world
    rois = {f"roi {i}": np.arange(2) for i in range(12)}
    encoding = encode(features, responses, rois, parts, EncodeConfig(permutations=0))
    lines = repr(encoding).splitlines()
    assert len(lines) == 12 and lines[-1] == "  and 2 more"
    assert re.fullmatch(r"  RoiEncoding\(roi 0, tap \w+: 2 units, mean r -?[01]\.\d{3}\)", lines[1])
    assert encoding == encoding and encoding != encode(
        features, responses, rois, parts, EncodeConfig(permutations=0)
    )
    assert len({encoding, *encoding.rois.values()}) == 13  # can be told apart, and be keys
