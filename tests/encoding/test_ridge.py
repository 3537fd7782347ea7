"""Ridge: equal to scikit-learn's, whatever the shape; bad units spoil nobody."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold
from sklearn.utils.estimator_checks import parametrize_with_checks

from striate.core.errors import InputError
from striate.data.splits.bundles import group_numbers
from striate.encoding import solver
from striate.encoding.folds import make_folds, mean_over_folds
from striate.encoding.ridge import ALPHAS, RidgeCV, choose_alpha, edge_text
from striate.encoding.scores import pearson_r, r_squared
from striate.encoding.solver import Design, fold_scores, solve

pytestmark = pytest.mark.usefixtures("one_thread")

SHAPES = [(60, 7), (40, 90), (30, 30), (25, 24)]


def simulate(n, p, units=6, seed=0):
    """Features away from zero, units from nearly noiseless to nearly noise."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p)) * np.geomspace(10, 0.1, p) + 3
    signal = X @ rng.normal(size=(p, units))
    Y = signal / signal.std(0) + np.geomspace(0.01, 5, units) * rng.normal(size=(n, units)) + 2
    return X, Y


def reference(X, Y, folds, alphas, score):
    """The loop a reader would write: one scikit-learn fit a fold and alpha."""
    out = np.empty((len(folds), len(alphas), Y.shape[1]))
    for k, (train, held) in enumerate(folds):
        for i, alpha in enumerate(alphas):
            predicted = Ridge(alpha=alpha, solver="svd").fit(X[train], Y[train]).predict(X[held])
            out[k, i] = score(Y[held], predicted)
    return out


def overlapping(n):
    """Folds that overlap, leave rows out of both sides, and have little to train on."""
    rows = np.random.default_rng(3).permutation(n)
    a, b, c = rows[: n // 5], rows[n // 5 : n // 2], rows[n // 2 :]
    return [(c, a), (b, np.concatenate([a, c[:4]])), (np.concatenate([a, b]), c)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", ["partition", "overlapping"])
@pytest.mark.parametrize(("scoring", "score"), [("r", pearson_r), ("r2", r_squared)])
def test_fold_scores_equal_scikit_learn(shape, kind, scoring, score):
    X, Y = simulate(*shape)
    folds = make_folds(len(X), 4 if kind == "partition" else overlapping(len(X)))
    ours = fold_scores(Design(X), Y, folds, ALPHAS, scoring=scoring)
    np.testing.assert_allclose(ours, reference(X, Y, folds, ALPHAS, score), rtol=0, atol=1e-8)


@pytest.mark.parametrize("shape", SHAPES)
def test_refit_equals_scikit_learn_with_an_alpha_a_unit(shape):
    X, Y = simulate(*shape)
    alpha = np.array([0.1, 1e7, 10, 1e3, 0.1, 1])
    coef, intercept = solve(Design(X), Y, alpha)
    theirs = Ridge(alpha=alpha, solver="svd").fit(X, Y)
    np.testing.assert_allclose(coef, theirs.coef_.T, rtol=0, atol=1e-8)
    np.testing.assert_allclose(intercept, theirs.intercept_, rtol=0, atol=1e-8)


@pytest.mark.parametrize("shape", SHAPES[:2])
@pytest.mark.filterwarnings("ignore:More than 10% of the units chose")
def test_whole_estimator_equals_the_loop(shape):
    X, Y = simulate(*shape)
    folds = list(KFold(4, shuffle=True, random_state=2).split(X))
    model = RidgeCV(folds=folds).fit(X, Y)
    scores = reference(X, Y, folds, ALPHAS, pearson_r).mean(axis=0)
    best = np.array(ALPHAS)[scores.argmax(axis=0)]
    np.testing.assert_array_equal(model.alpha_, best)
    np.testing.assert_allclose(model.cv_scores_, scores, rtol=0, atol=1e-8)
    theirs = Ridge(alpha=best, solver="svd").fit(X, Y).predict(X)
    np.testing.assert_allclose(model.predict(X), theirs, rtol=0, atol=1e-8)
    np.testing.assert_allclose(model.score(X, Y), pearson_r(Y, theirs), rtol=0, atol=1e-8)


def test_single_precision_scores_are_near():
    X, Y = simulate(80, 20)
    folds = make_folds(80, 4)
    double = fold_scores(Design(X), Y, folds, ALPHAS)
    single = fold_scores(Design(X), Y, folds, ALPHAS, dtype="float32")
    assert 0 < np.abs(single - double).max() < 1e-5


def test_blocks_change_nothing(monkeypatch):
    X, Y = simulate(50, 8, units=11)
    folds, units = make_folds(50, 5), np.array([0, 2, 3, 7, 8, 9, 10])
    whole = fold_scores(Design(X), Y, folds, ALPHAS, units=units)
    monkeypatch.setattr(solver, "BLOCK", 3)
    monkeypatch.setattr(solver, "TRIANGLE_BLOCK", 3)
    parts = fold_scores(Design(X), Y, folds, ALPHAS, units=units)
    np.testing.assert_allclose(parts, whole, rtol=0, atol=1e-12)
    assert np.isnan(parts[:, :, [1, 4, 5, 6]]).all()
    assert np.isfinite(parts[:, :, units]).all()


def test_same_seed_same_bits():
    X, Y = simulate(50, 8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        a, b, c = (RidgeCV(seed=s).fit(X, Y) for s in (1, 1, 2))
    assert a.cv_scores_.tobytes() == b.cv_scores_.tobytes()
    assert a.coef_.tobytes() == b.coef_.tobytes()
    assert a.cv_scores_.tobytes() != c.cv_scores_.tobytes()


def test_inputs_are_left_as_they_were():
    X, Y = simulate(40, 5)
    x, y = X.copy(), Y.copy()
    fold_scores(Design(X), Y, make_folds(40, 4), ALPHAS)
    solve(Design(X), Y, np.ones(6))
    np.testing.assert_array_equal(X, x)
    np.testing.assert_array_equal(Y, y)


@pytest.mark.filterwarnings("ignore:More than 10% of the units chose")
def test_bad_units_are_named_once_and_spoil_nobody():
    X, Y = simulate(60, 7, units=8)
    clean = RidgeCV().fit(X, Y)
    Y = Y.copy()
    Y[5, 1], Y[7, 4], Y[:, 6] = np.nan, np.inf, 0.1
    names = [f"vertex{i}" for i in range(8)]
    with pytest.warns(UserWarning) as caught:
        model = RidgeCV().fit(X, Y, unit_ids=names)
    said = [str(w.message) for w in caught if "constant" in str(w.message)]
    assert said == [
        "3 of 8 units have NaN, infinite or constant responses and get NaN: "
        "vertex1, vertex4, vertex6."
    ]
    np.testing.assert_array_equal(model.left_out_, [1, 4, 6])
    good = [0, 2, 3, 5, 7]
    np.testing.assert_array_equal(model.alpha_[good], clean.alpha_[good])
    np.testing.assert_allclose(model.coef_[:, good], clean.coef_[:, good], rtol=0, atol=1e-12)
    for values in (model.alpha_, model.coef_, model.intercept_, model.cv_scores_):
        assert np.isnan(values[..., [1, 4, 6]]).all()
    assert np.isnan(model.score(X, Y)[[1, 4, 6]]).all()


def test_only_bad_units():
    X, Y = simulate(30, 4, units=2)
    with pytest.warns(UserWarning, match="2 of 2 units"):
        model = RidgeCV().fit(X, np.ones_like(Y))
    assert np.isnan(model.predict(X)).all()


def test_constant_features_predict_the_mean_and_score_nothing():
    _, Y = simulate(40, 5)
    X = np.full((40, 3), 0.1)
    scores = fold_scores(Design(X), Y, make_folds(40, 4), ALPHAS)
    np.testing.assert_array_equal(scores, 0.0)
    coef, intercept = solve(Design(X), Y, np.ones(6))
    np.testing.assert_allclose(X @ coef + intercept, np.tile(Y.mean(0), (40, 1)), atol=1e-12)


def test_a_unit_that_varies_in_one_fold_only_is_scored_there():
    X, Y = simulate(40, 5, units=2)
    folds = make_folds(40, 4)
    Y[:, 1] = 0
    Y[folds[2][1], 1] = X[folds[2][1], 0]
    scores = fold_scores(Design(X), Y, folds, ALPHAS)
    assert np.isnan(scores[[0, 1, 3], :, 1]).all()
    np.testing.assert_array_equal(scores[2, :, 1], 0.0)  # trained on a constant
    np.testing.assert_array_equal(mean_over_folds(scores)[:, 1], 0.0)


def test_tiny_predictions_still_have_a_correlation():
    X, Y = simulate(60, 7)
    folds = make_folds(60, 3)
    tiny = fold_scores(Design(X * 1e-5), Y, folds, (1e7,))
    expected = fold_scores(Design(X * 1e-5), Y, folds, (1e4,))  # both are far past the largest s
    np.testing.assert_allclose(tiny, expected, atol=1e-6)
    assert np.abs(tiny).max() > 0.5


def test_more_units_do_not_change_a_unit():
    X, Y = simulate(60, 7)
    folds = make_folds(60, 3)
    alone = fold_scores(Design(X), Y[:, 2:3], folds, ALPHAS)
    among = fold_scores(Design(X), Y, folds, ALPHAS)[:, :, 2:3]
    np.testing.assert_allclose(alone, among, rtol=0, atol=1e-13)


def test_alpha_at_the_edge_is_said_once():
    X, _ = simulate(60, 7)
    words = r"More than 10% of the units chose the largest alpha, 1e-05"
    with pytest.warns(UserWarning, match=words) as said:
        RidgeCV(alphas=(1e-6, 1e-5)).fit(X[:, :3], np.random.default_rng(0).normal(size=(60, 1)))
    assert len(said) == 1
    assert edge_text(np.array([0.1] + [1.0] * 10), (0.1, 1.0, 10.0)) == ""
    assert "More than 10% of the units chose the smallest alpha, 0.1" in edge_text(
        np.array([0.1] * 2 + [1.0] * 9), (0.1, 1.0, 10.0)
    )
    assert edge_text(np.full(3, np.nan), ALPHAS) == ""


def test_choose_alpha():
    scores = np.array([[0.1, np.nan, 0.3], [0.2, np.nan, 0.3], [np.nan, np.nan, 0.1]])
    np.testing.assert_array_equal(choose_alpha(scores, (1.0, 10.0, 100.0)), [10.0, 100.0, 1.0])


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"alphas": ()}, "alphas must be finite"),
        ({"alphas": (0.0, 1.0)}, "alphas must be finite and > 0"),
        ({"folds": 1}, "1 folds of 20 rows"),
        ({"folds": 11}, "Use fewer folds or more stimuli"),
        ({"folds": []}, "folds is empty"),
        ({"folds": [(np.arange(5), np.arange(4, 9))]}, "a row is twice"),
        ({"folds": [(np.arange(5), np.array([20, 21]))]}, "outside 0..19"),
        ({"folds": [(np.arange(5), np.array([7]))]}, "1 validation rows"),
        ({"scoring": "r3"}, "Did you mean"),
        ({"dtype": "float46"}, "Did you mean float64"),
    ],
)
def test_bad_settings(settings, text):
    X, Y = simulate(20, 3)
    with pytest.raises(InputError, match=text):
        RidgeCV(**settings).fit(X, Y)


def test_bad_arrays():
    X, Y = simulate(20, 3)
    with pytest.raises(InputError, match=r"\(20, 3\) and \(19, 6\)"):
        RidgeCV().fit(X, Y[:19])
    broken = X.copy()
    broken[3, 1] = np.nan
    with pytest.raises(InputError, match="contains NaN"):
        RidgeCV().fit(broken, Y)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = RidgeCV(folds=3).fit(X, Y)
    with pytest.raises(InputError, match="expecting 3 features"):
        model.predict(X[:, :2])
    with pytest.raises(InputError, match="predictions"):
        model.score(X, Y[:, :2])


@pytest.mark.filterwarnings("ignore")
def test_one_response_gives_plain_shapes():
    X, Y = simulate(30, 4, units=1)
    flat, table = RidgeCV().fit(X, Y[:, 0]), RidgeCV().fit(X, Y)
    assert flat.coef_.shape == (4,)
    assert flat.predict(X).shape == (30,)
    assert isinstance(flat.score(X, Y[:, 0]), float)
    np.testing.assert_array_equal(flat.predict(X), table.predict(X)[:, 0])


def test_clone_keeps_settings():
    model = RidgeCV(alphas=(1.0, 2.0), folds=3, scoring="r2", seed=4, dtype="float32")
    assert clone(model).get_params() == model.get_params()


@pytest.mark.filterwarnings("ignore")
@parametrize_with_checks(
    [RidgeCV(folds=2)],
    expected_failed_checks=lambda _: {
        "check_supervised_y_no_nan": "units with NaN are named and left out, not refused"
    },
)
def test_scikit_learn_accepts_it(estimator, check):
    check(estimator)


def test_folds_keep_groups_whole():
    groups = np.array([f"movie{i // 4}" for i in range(24)] + [""] * 6)
    folds = make_folds(30, 3, 1, groups.tolist())
    np.testing.assert_array_equal(np.sort(np.concatenate([b for _, b in folds])), np.arange(30))
    for train, held in folds:
        assert not set(groups[train]) & set(groups[held]) - {""}
    for (a, b), (c, d) in zip(make_folds(9, 3, 1), make_folds(9, 3, 1, [""] * 9), strict=True):
        np.testing.assert_array_equal(a, c)  # stimuli that stand alone are divided as ever
        np.testing.assert_array_equal(b, d)
    with pytest.raises(InputError, match="4 folds of 2 groups"):
        make_folds(8, 4, groups=["a", "b"] * 4)
    with pytest.raises(InputError, match="fold 0 divides a group"):
        make_folds(4, [([0, 1], [2, 3])], groups=["", "a", "a", ""])
    with pytest.raises(InputError, match="3 groups for 4 stimuli"):
        group_numbers(["a"] * 3, 4)
