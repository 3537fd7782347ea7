"""One tester for all scores of predictions: against a reference, and what every score must keep."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import r2_score

from striate.encoding import pearson_r, r_squared, score_r

Score = Callable[[np.ndarray, np.ndarray], np.ndarray]
N_STIMULI, N_UNITS = 40, 6
NAN = float("nan")


def correlate(observed: np.ndarray, predicted: np.ndarray) -> float:
    return float(stats.pearsonr(observed, predicted).statistic)


SCORES: dict[str, tuple[Score, Callable[[np.ndarray, np.ndarray], float], float, bool]] = {
    # score, reference of one unit, value of a constant prediction, whether scale matters
    "pearson_r": (pearson_r, correlate, NAN, False),
    "score_r": (score_r, correlate, 0.0, False),
    "r_squared": (r_squared, r2_score, 0.0, True),
}


@pytest.fixture(params=list(SCORES))
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def pair(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    observed = rng.normal(size=(N_STIMULI, N_UNITS)) * np.geomspace(0.01, 100, N_UNITS) + 3
    return observed, observed + rng.normal(size=observed.shape) * observed.std(axis=0)


def test_each_unit_has_the_score_of_the_reference(name: str, pair) -> None:
    score, reference, _, _ = SCORES[name]
    observed, predicted = pair
    expected = [reference(a, b) for a, b in zip(observed.T, predicted.T, strict=True)]
    np.testing.assert_allclose(score(observed, predicted), expected, rtol=1e-10)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, ">f8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_type_and_layout_do_not_matter(name: str, pair, dtype, order) -> None:
    score = SCORES[name][0]
    observed, predicted = (np.array(v, dtype=dtype, order=order) for v in pair)
    copies = observed.copy(), predicted.copy()
    scores = score(observed, predicted)
    assert scores.shape == (N_UNITS,) and scores.dtype == np.float64
    doubles = (np.asarray(v, dtype=np.float64) for v in (observed, predicted))
    np.testing.assert_allclose(scores, score(*doubles), rtol=1e-12)
    for before, after in zip(copies, (observed, predicted), strict=True):
        np.testing.assert_array_equal(before, after)  # inputs are left as they were


def test_order_of_stimuli_does_not_matter_and_units_carry_their_score(name, pair, rng) -> None:
    score = SCORES[name][0]
    observed, predicted = pair
    rows, units = rng.permutation(N_STIMULI), rng.permutation(N_UNITS)
    expected = score(observed, predicted)
    np.testing.assert_allclose(score(observed[rows], predicted[rows]), expected, rtol=1e-10)
    np.testing.assert_array_equal(score(observed[:, units], predicted[:, units]), expected[units])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("side", [0, 1])
def test_a_bad_unit_spoils_no_other(name: str, pair, bad: float, side: int) -> None:
    score = SCORES[name][0]
    expected = score(*pair)
    pair[side][5, 2] = bad
    expected[2] = np.nan
    np.testing.assert_array_equal(score(*pair), expected)


def test_constant_responses_and_predictions(name: str, pair) -> None:
    score, _, of_constant, _ = SCORES[name]
    observed, predicted = pair
    observed[:, 0] = 7.0
    predicted[:, 1] = observed[:, 1].mean()
    scores = score(observed, predicted)
    assert np.isnan(scores[0])
    np.testing.assert_allclose(scores[1], of_constant, atol=1e-12)


def test_a_perfect_prediction_scores_one_and_scale_matters_where_it_should(name, pair) -> None:
    score, _, _, scale_matters = SCORES[name]
    observed, predicted = pair
    np.testing.assert_allclose(score(observed, observed), 1.0)
    scaled = score(observed, 2 * predicted + 1)
    assert np.allclose(scaled, score(observed, predicted)) != scale_matters


@pytest.mark.parametrize("n_units", [0, 1])
def test_few_units(name: str, pair, n_units: int) -> None:
    observed, predicted = (v[:, :n_units] for v in pair)
    assert SCORES[name][0](observed, predicted).shape == (n_units,)
