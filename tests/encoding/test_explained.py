"""The pooled share of explainable variance on SIMULATED units whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import hyp2f1
from scipy.stats import t

from striate.data.responses.noise_ceilings import reliability
from striate.encoding import (
    explained_variance,
    mean_interval,
    pearson_r,
    pooled_share,
    squared_correlation,
)


def simulate(rng, n, share, repeats, units, *, uneven=False, movies=False):
    """Signals (n, units) and trials; `share` of the variance of full averages is signal."""
    signal = rng.normal(size=(n, units))
    if movies:
        whole = rng.normal(size=(6, units))[np.arange(n) * 6 // n]
        signal = np.sqrt(0.9) * whole + np.sqrt(0.1) * signal
    noise = np.sqrt((1 - share) / share * repeats) * rng.normal(size=(n, repeats, units))
    trials = signal[:, None] + noise
    if uneven:
        trials[np.arange(repeats) >= rng.integers(1, repeats + 1, n)[:, None]] = np.nan
    return signal, trials


def share_of(predicted, trials):
    """Pooled share and its standard error over 20 batches of units."""
    r, reliabilities = pearson_r(np.nanmean(trials, axis=1), predicted), reliability(trials)
    variances = [
        explained_variance(a, b, len(trials) - 1)
        for a, b in zip(np.split(r, 20), np.split(reliabilities, 20), strict=True)
    ]
    pooled = pooled_share(
        np.array([f.explained for f in variances]), np.array([f.explainable for f in variances])
    )
    return pooled.value, (pooled.high - pooled.low) / 2 / t.ppf(0.975, 19)


@pytest.mark.parametrize(
    ("share", "n", "repeats", "uneven", "movies"),
    [
        (0.05, 20, 3, False, False), (0.05, 1000, 2, False, False), (0.153, 20, 2, False, False),
        (0.153, 200, 10, False, False), (0.5, 20, 4, True, False), (0.5, 132, 5, True, True),
        (0.9, 20, 2, False, True), (0.9, 300, 10, True, False),
    ],
)  # fmt: skip
def test_a_perfect_model_has_1_and_chance_0(rng, share, n, repeats, uneven, movies):
    units = 20_000 if n <= 20 else 2_000
    signal, trials = simulate(rng, n, share, repeats, units, uneven=uneven, movies=movies)
    for predicted, truth in (
        (signal, 1.0),
        (-2 * signal + 1, -1.0),
        (rng.normal(size=signal.shape), 0.0),
        (signal + rng.normal(size=signal.shape) * signal.std(axis=0), 0.5),
    ):
        value, error = share_of(predicted, trials)
        # half of the variance of the last is noise of its own; within-movie signals vary its half
        limit = 0.1 if truth == 0.5 and movies else 0.02
        assert abs(value - truth) < max(4 * error, limit), (truth, value, error)


def test_signs_of_units_cancel(rng):
    """Upside down in half of the units is no explanation."""
    signal, trials = simulate(rng, 200, 0.5, 4, 400)
    value, _ = share_of(signal * np.where(np.arange(400) % 2, 1, -1), trials)
    assert abs(value) < 0.2


def test_squared_correlation_is_that_of_scipy_and_unbiased(rng):
    r = np.linspace(-1, 1, 21)
    for n in (12, 20, 100):
        exact = 1 - (n - 3) / (n - 2) * (1 - r**2) * hyp2f1(1, 1, n / 2, 1 - r**2)
        np.testing.assert_allclose(squared_correlation(r, n - 1), exact, atol=1e-4)
    assert np.isfinite(squared_correlation(r, 5000)).all()
    assert np.isnan(squared_correlation(r, 2)).all()
    a = rng.normal(size=(15, 40_000))
    for rho in (0.0, 0.3, 0.8):
        b = rho * a + np.sqrt(1 - rho**2) * rng.normal(size=a.shape)
        squared = squared_correlation(pearson_r(a, b), 14)
        assert squared.mean() == pytest.approx(rho**2, abs=4 * squared.std() / 200 + 1e-4)


def test_units_without_a_score_or_a_ceiling_are_left_out():
    r = np.array([0.5, np.nan, 0.4, 0.3])
    reliabilities = np.array([0.5, 0.5, np.nan, -0.1])
    variance = explained_variance(r, reliabilities, 99)
    assert variance.units == 2 and variance.explainable == pytest.approx(0.2)
    nothing = explained_variance(np.array([np.nan]), np.array([0.4]), 99)
    assert nothing.units == 0 and np.isnan(nothing.share)
    constant = explained_variance(np.zeros(3), np.full(3, 0.4), 99)
    assert constant.share == 0 and constant.units == 3
    # where hardly anything is explainable there is no share of it
    assert np.isnan(explained_variance(r, np.full(4, 0.005), 99).share)
    assert np.isnan(explained_variance(r, np.full(4, -0.2), 99).share)


def test_pooled_share_by_hand():
    pooled = pooled_share(np.array([0.1, 0.3, np.nan]), np.array([0.2, 0.4, 0.5]))
    assert pooled.value == pytest.approx(0.4 / 0.6)
    # residuals -1/30 and 1/30; sqrt(2 / 1 * 2 / 900) / 0.6 = 1/9
    assert pooled.high - pooled.value == pytest.approx(t.ppf(0.975, 1) / 9)
    # equal denominators: Student's t of the ratios
    values = np.array([0.2, 0.25, 0.4])
    same, mean = pooled_share(values, np.full(3, 0.5)), mean_interval(values / 0.5)
    assert (same.low, same.high) == pytest.approx((mean.low, mean.high))
    single = pooled_share(np.array([0.2]), np.array([0.5]))
    assert single.value == pytest.approx(0.4) and np.isnan(single.low)


def test_the_interval_over_subjects_covers(rng):
    """Subjects whose reliabilities and scores differ: 95 % of intervals hold the truth."""
    hits = []
    for _ in range(400):
        size = rng.uniform(0.05, 0.6, size=8)
        share = rng.normal(0.5, 0.1, size=8)
        explained = share * size + 0.02 * rng.normal(size=8)
        pooled = pooled_share(explained, size + 0.02 * rng.normal(size=8))
        hits.append(pooled.low <= 0.5 <= pooled.high)
    assert 0.91 <= np.mean(hits) <= 0.98


@given(
    st.lists(st.floats(-1, 1), min_size=1, max_size=8),
    st.floats(0.02, 1),
    st.integers(6, 2000),
)
def test_opposite_predictions_have_the_opposite_value(r, share, freedom):
    r, reliabilities = np.array(r), np.full(len(r), share)
    variance, turned = (explained_variance(x, reliabilities, freedom) for x in (r, -r))
    assert variance.explained == pytest.approx(-turned.explained, abs=1e-12)
    assert -1 <= variance.explained <= 1
