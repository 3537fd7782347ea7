"""Scores against their textbook definitions, and where they are not defined."""

from __future__ import annotations

import numpy as np
from scipy.stats import pearsonr
from sklearn.metrics import r2_score

from striate.encoding.scores import (
    ceiling_normalized,
    mean_r,
    pearson_r,
    r_squared,
    score_r,
    share_improved,
)


def test_against_scipy_and_scikit_learn(rng):
    a = rng.normal(size=(50, 4)) * 1e3 + 1e5
    b = a + rng.normal(size=(50, 4)) * [1, 100, 1e3, 1e5]
    np.testing.assert_allclose(pearson_r(a, b), [pearsonr(a[:, i], b[:, i])[0] for i in range(4)])
    np.testing.assert_allclose(r_squared(a, b), r2_score(a, b, multioutput="raw_values"))


def test_single_precision_is_scored_in_double(rng):
    a = rng.normal(size=(50, 3)).astype(np.float32) + np.float32(1000)
    assert pearson_r(a, a).dtype == np.float64
    np.testing.assert_allclose(pearson_r(a, a), 1.0, atol=1e-12)


def test_not_defined_is_nan_and_stays_with_its_unit(rng):
    a, b = rng.normal(size=(20, 5)), rng.normal(size=(20, 5))
    whole = pearson_r(a, b)
    a[:, 1], b[:, 2], a[3, 3] = 0.1, 0.1, np.nan
    r = pearson_r(a, b)
    assert np.isnan(r[[1, 2, 3]]).all()
    np.testing.assert_array_equal(r[[0, 4]], whole[[0, 4]])
    r2 = r_squared(a, b)
    assert np.isnan(r2[[1, 3]]).all()
    assert np.isfinite(r2[2])  # a constant prediction is a prediction


def test_rounding_is_no_variance():
    noise = 0.1 + np.array([0, 1, 0, -1])[:, None] * 1e-17
    assert np.isnan(pearson_r(np.arange(4.0)[:, None], noise)).all()


def test_scale_does_not_matter(rng):
    a, b = rng.normal(size=(20, 2)), rng.normal(size=(20, 2))
    np.testing.assert_allclose(pearson_r(a * 1e-200, b), pearson_r(a, b))


def test_ceiling():
    got = ceiling_normalized(
        np.array([0.3, 0.3, 0.3, 0.3, np.nan]), np.array([0.6, np.nan, 0.0, 0.05, 0.5])
    )
    np.testing.assert_array_equal(got, [0.5, np.nan, np.nan, np.nan, np.nan])


def test_means_leave_out_what_is_not_defined():
    assert mean_r(np.array([0.2, np.nan, 0.4])) == 0.30000000000000004
    assert np.isnan(mean_r(np.array([np.nan])))
    assert (
        share_improved(np.array([0.2, 0.2, np.nan, 0.5]), np.array([0.1, 0.2, 0.0, np.nan])) == 0.5
    )
    assert np.isnan(share_improved(np.array([np.nan]), np.array([0.1])))


def test_a_constant_prediction_scores_zero_and_a_constant_response_nothing(rng):
    observed = rng.normal(size=(20, 3))
    predicted = observed + rng.normal(size=(20, 3))
    predicted[:, 0] = 4.0
    observed[:, 1] = 2.0
    got = score_r(observed, predicted)
    assert got[0] == 0.0 and np.isnan(got[1])
    np.testing.assert_allclose(got[2], pearsonr(observed[:, 2], predicted[:, 2])[0])
    predicted[3, 2] = np.nan
    assert np.isnan(score_r(observed, predicted)[2])
