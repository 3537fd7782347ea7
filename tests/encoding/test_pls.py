"""PLS: scikit-learn's predictions, whatever the shape; bad units spoil nobody."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.cross_decomposition import PLSRegression as Reference
from sklearn.linear_model import LinearRegression
from sklearn.utils.estimator_checks import parametrize_with_checks

from striate.core.errors import InputError
from striate.encoding import PLSRegression
from striate.encoding.pls import components_of
from striate.encoding.scores import pearson_r

pytestmark = pytest.mark.usefixtures("one_thread")


def simulate(n, p, units, seed=0, noise=1.0, new=20):
    """Features away from zero and units; then features to predict from."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n + new, p)) * np.geomspace(10, 0.1, p) + 3
    signal = X @ rng.normal(size=(p, units))
    Y = signal / signal.std(0) + noise * rng.normal(size=signal.shape) + 2
    return X[:n], Y[:n], X[n:]


def reference(components, X, Y, new, **settings):
    """Predictions of scikit-learn, and how often it iterated."""
    model = Reference(components, scale=False, **settings).fit(X, Y)
    return model.predict(new).reshape(len(new), -1), list(model.n_iter_)


SHAPES = [
    (60, 7, 6, 5),  # more stimuli than features
    (60, 200, 100, 25),  # more features and units than stimuli
    (40, 90, 6, 25),  # more features than stimuli than units
    (60, 20, 100, 20),  # as many components as features
    (30, 31, 50, 29),  # as many components as the rank
    (100, 300, 1, 25),  # one unit
    (12, 1, 3, 1),
]


@pytest.mark.parametrize(("n", "p", "units", "components"), SHAPES)
@pytest.mark.parametrize("noise", [1.0, 1e-3, 0.0])
def test_predictions_and_iterations_equal_scikit_learn(n, p, units, components, noise):
    X, Y, new = simulate(n, p, units, noise=noise)
    theirs, iterations = reference(components, X, Y, new)
    model = PLSRegression(components).fit(X, Y)
    np.testing.assert_allclose(model.predict(new), theirs, rtol=0, atol=1e-9 * np.abs(theirs).max())
    assert model.n_iter_ == iterations
    assert model.n_components_ == components


@pytest.mark.parametrize(("n", "p", "units", "components"), SHAPES[:-1])
def test_exact_vectors_are_what_scikit_learn_converges_to(n, p, units, components):
    X, Y, new = simulate(n, p, units)
    theirs, _ = reference(components, X, Y, new, tol=1e-24, max_iter=10**5)
    ours = PLSRegression(components, algorithm="svd").fit(X, Y).predict(new)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-9 * np.abs(theirs).max())


@given(
    n=st.integers(6, 40),
    p=st.integers(1, 60),
    units=st.integers(1, 30),
    components=st.integers(1, 8),
    decay=st.floats(0, 4),
    seed=st.integers(0, 10**6),
)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_any_shape_equals_scikit_learn(n, p, units, components, decay, seed):
    components = min(components, n - 1, p)
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n + 5, p)) * np.logspace(0, -decay, p)
    Y = X[:n] @ rng.normal(size=(p, units)) + rng.normal(size=(n, units))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # both may fail to converge
        theirs, _ = reference(components, X[:n], Y, X[n:])
        ours = PLSRegression(components).fit(X[:n], Y).predict(X[n:])
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6 * np.abs(theirs).max())


@given(seed=st.integers(0, 10**6), units=st.integers(1, 12))
@settings(max_examples=20, deadline=None, derandomize=True)
def test_properties(seed, units):
    X, Y, new = simulate(25, 40, units, seed=seed)
    model = PLSRegression(6, algorithm="svd").fit(X, Y)
    ours = model.predict(new)
    # scores are uncorrelated with each other
    scores = (X - X.mean(0)) @ model.x_rotations_
    products = scores.T @ scores
    off = products - np.diag(products.diagonal())
    assert np.abs(off).max() < 1e-8 * products.diagonal().max()
    # a rotation of the features, a shift of either side and the order of units change nothing
    turn, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(40, 40)))
    other = PLSRegression(6, algorithm="svd").fit(X @ turn + 5, Y - 3)
    np.testing.assert_allclose(other.predict(new @ turn + 5) + 3, ours, atol=1e-7)
    order = np.random.default_rng(seed).permutation(units)
    other = PLSRegression(6, algorithm="svd").fit(X, Y[:, order])
    np.testing.assert_allclose(other.predict(new), ours[:, order], atol=1e-7)
    # more components never fit the rows worse
    errors = [
        np.square(PLSRegression(k, algorithm="svd").fit(X, Y).predict(X) - Y).sum()
        for k in (1, 3, 6)
    ]
    assert errors[0] >= errors[1] >= errors[2]


@pytest.mark.parametrize("algorithm", ["nipals", "svd"])
def test_all_components_are_least_squares(algorithm):
    X, Y, new = simulate(60, 7, 6)
    ours = PLSRegression(7, algorithm=algorithm).fit(X, Y)
    theirs = LinearRegression().fit(X, Y)
    np.testing.assert_allclose(ours.predict(new), theirs.predict(new), atol=1e-8)
    np.testing.assert_allclose(ours.coef_, theirs.coef_.T, atol=1e-8)


def test_more_components_than_rank_stop_there():
    X, Y, new = simulate(30, 4, 5)
    twice = np.concatenate([X, X], axis=1)
    with pytest.warns(UserWarning, match="used up after 4 of 8 components"):
        model = PLSRegression(8).fit(twice, Y)
    theirs, _ = reference(4, twice, Y, np.concatenate([new, new], axis=1))
    np.testing.assert_allclose(model.predict(np.concatenate([new, new], 1)), theirs, atol=1e-9)
    # centering takes a dimension
    X, Y, _ = simulate(10, 50, 3)
    with pytest.warns(UserWarning, match="used up after 9 of 10"):
        model = PLSRegression(10).fit(X, Y)
    np.testing.assert_allclose(model.predict(X), Y, atol=1e-8)


@pytest.mark.parametrize("features", [np.full((20, 30), 0.1), np.zeros((20, 3))])
def test_constant_features_predict_the_mean(features):
    Y = np.random.default_rng(0).normal(size=(20, 4)) + 5
    with pytest.warns(UserWarning, match="used up after 0 of 2"):
        model = PLSRegression(2).fit(features, Y)
    np.testing.assert_allclose(model.predict(features), np.tile(Y.mean(0), (20, 1)))


def test_unusable_units_are_named_and_spoil_nobody():
    X, Y, new = simulate(40, 60, 6)
    spoiled = np.insert(Y, [0, 2, 4], 0.0, axis=1)
    spoiled[3, 0] = np.nan
    spoiled[5, 3] = np.inf
    names = [f"unit-{i}" for i in range(9)]
    with pytest.warns(UserWarning, match="3 of 9 units .* unit-0, unit-3, unit-6"):
        model = PLSRegression(5).fit(X, spoiled, unit_ids=names)
    predicted = model.predict(new)
    good = [1, 2, 4, 5, 7, 8]
    np.testing.assert_array_equal(predicted[:, good], PLSRegression(5).fit(X, Y).predict(new))
    assert np.isnan(predicted[:, [0, 3, 6]]).all()
    np.testing.assert_array_equal(model.left_out_, [0, 3, 6])
    scores = model.score(X, spoiled)
    np.testing.assert_array_equal(np.isnan(scores), np.isnan(predicted).any(axis=0))


def test_no_usable_unit():
    X, _, new = simulate(20, 30, 1)
    with pytest.warns(UserWarning, match="2 of 2 units"):
        model = PLSRegression(3).fit(X, np.ones((20, 2)))
    assert np.isnan(model.predict(new)).all()


def test_one_unit_as_a_vector():
    X, Y, new = simulate(40, 60, 1)
    whole, flat = PLSRegression(5).fit(X, Y), PLSRegression(5).fit(X, Y[:, 0])
    assert flat.predict(new).shape == (20,)
    np.testing.assert_array_equal(flat.predict(new), whole.predict(new)[:, 0])
    assert flat.coef_.shape == (60,)
    assert flat.score(X, Y[:, 0]) == pytest.approx(pearson_r(Y, whole.predict(X))[0])


def test_stops_like_scikit_learn_where_nothing_converges():
    X, Y, new = simulate(60, 200, 100)
    with pytest.warns(UserWarning, match="Maximum number of iterations"):
        theirs, _ = reference(5, X, Y, new, max_iter=7)
    with pytest.warns(UserWarning, match="no convergence of a component in 7 iterations"):
        model = PLSRegression(5, max_iter=7).fit(X, Y)
    np.testing.assert_allclose(model.predict(new), theirs, atol=1e-9)


def test_single_precision_features_are_computed_in_double():
    X, Y, new = simulate(40, 90, 6)
    single = PLSRegression(5).fit(X.astype(np.float32), Y)
    double = PLSRegression(5).fit(X.astype(np.float32).astype(np.float64), Y)
    np.testing.assert_array_equal(single.predict(new), double.predict(new))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"components": 0}, "components must be a number of 1 or more, found 0"),
        ({"components": 2.5}, "found 2.5"),
        ({"components": 13}, "13 components of 12 stimuli and 30 features: at most 12"),
        ({"algorithm": "nipal"}, "unknown algorithm 'nipal'. Did you mean nipals"),
        ({"components": 2, "max_iter": 0}, "max_iter must be 1 or more"),
        ({"components": 2, "tol": -1}, "tol 0 or more"),
    ],
)
def test_bad_settings(settings, message):
    X, Y, _ = simulate(12, 30, 2)
    with pytest.raises(InputError, match=message):
        PLSRegression(**settings).fit(X, Y)


def test_bad_arrays():
    X, Y, new = simulate(12, 30, 2)
    model = PLSRegression(2)
    with pytest.raises(InputError, match=r"PLS needs .* found \(12, 30\) and \(11, 2\)"):
        model.fit(X, Y[:-1])
    spoiled = X.copy()
    spoiled[0, 0] = np.nan
    with pytest.raises(InputError, match="PLS: Input X contains NaN"):
        model.fit(spoiled, Y)
    model.fit(X, Y)
    with pytest.raises(InputError, match="features: X has 29 features"):
        model.predict(new[:, :-1])
    with pytest.raises(InputError, match=r"responses have shape \(12, 1\)"):
        model.score(X, Y[:, :1])


def test_cloned_and_pickled_settings():
    model = PLSRegression(3, algorithm="svd", tol=1e-3)
    assert clone(model).get_params() == model.get_params()


def test_nothing_to_extract():
    components = components_of(torch.eye(3), torch.zeros(3, 2), 2)
    assert components.rotations.shape == (3, 0)
    assert components.loadings.shape == (2, 0)


@parametrize_with_checks(
    [PLSRegression(components=1)],
    expected_failed_checks=lambda _: {
        "check_supervised_y_no_nan": "units with NaN are named and left out, not refused",
        "check_regressors_train": "given two units for the estimator's name; the score is one each",
    },
)
def test_scikit_learn_accepts_it(estimator, check):
    check(estimator)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_the_same_on_a_gpu():
    X, Y, new = simulate(60, 200, 100)
    gpu = PLSRegression(10, device="cuda").fit(X, Y)
    np.testing.assert_allclose(
        gpu.predict(new), PLSRegression(10).fit(X, Y).predict(new), atol=1e-9
    )
