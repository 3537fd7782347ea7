"""Intervals, nulls and tests against simulation with known truth and worked examples."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from striate.core.errors import InputError
from striate.encoding import inference
from striate.encoding.inference import (
    bootstrap_counts,
    fdr,
    mean_interval,
    percentile_interval,
    permutation_p,
    resampled_means,
    shuffled_means,
    sign_flip_p,
)
from striate.encoding.resampling import make_resampling, resample_models
from striate.encoding.scores import mean_r, pearson_r


def pair(rng, n, units, rho):
    """Observed and predicted with a known correlation."""
    a = rng.normal(size=(n, units))
    return a, rho * a + np.sqrt(1 - rho**2) * rng.normal(size=(n, units))


def test_resampled_means_equal_resampling_the_rows(rng, monkeypatch):
    a, b = pair(rng, 30, 7, 0.5)
    a += 100
    a[:, 3], b[2, 5] = 4.0, np.nan
    counts = bootstrap_counts(30, 20, seed=1)
    expected = []
    for row in counts.astype(int):
        picked = np.repeat(np.arange(30), row)
        expected.append(pearson_r(a[picked], b[picked])[[0, 1, 2, 4, 6]].mean())
    np.testing.assert_allclose(resampled_means(a, b, counts), expected, atol=1e-10)
    monkeypatch.setattr(inference, "BLOCK", 2)
    np.testing.assert_allclose(resampled_means(a, b, counts), expected, atol=1e-10)


def test_a_unit_that_does_not_vary_in_a_resample_is_left_out_there():
    a = np.array([[0.0, 1.0], [0.0, 2.0], [1.0, 4.0], [2.0, 3.0]])
    counts = np.array([[2.0, 2.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0], [4.0, 0.0, 0.0, 0.0]])
    np.testing.assert_allclose(resampled_means(a, a, counts), [1.0, 1.0, np.nan])


def test_no_unit_defined():
    a = np.ones((5, 2))
    assert np.isnan(resampled_means(a, a, np.ones((3, 5)))).all()
    assert np.isnan(shuffled_means(a, a, 3)).all()
    interval = percentile_interval(np.nan, np.full(3, np.nan))
    assert np.isnan([interval.value, interval.low, interval.high]).all()


def test_models_share_their_resamples(rng):
    observed, good = pair(rng, 200, 5, 0.7)
    almost = good + 1e-3 * rng.normal(size=good.shape)
    resampling = make_resampling(200, samples=200)
    samples = resample_models(observed, {"a": good, "b": almost, "c": good}, resampling)
    np.testing.assert_array_equal(samples["a"], samples["c"])
    # Paired, the difference is a thousand times steadier than either.
    assert (samples["a"] - samples["b"]).std() < 0.01 * samples["a"].std()


def test_bootstrap_covers_the_truth_about_as_often_as_it_says():
    hits = 0
    for seed in range(200):
        observed, predicted = pair(np.random.default_rng(seed), 200, 6, 0.4)
        resampling = make_resampling(200, samples=300, seed=seed)
        samples = resample_models(observed, {"m": predicted}, resampling)["m"]
        interval = percentile_interval(mean_r(pearson_r(observed, predicted)), samples)
        hits += interval.low <= 0.4 <= interval.high
        assert interval.low < interval.value < interval.high
    assert 0.89 <= hits / 200 <= 0.99


def test_bootstrap_refuses_what_does_not_fit(rng):
    with pytest.raises(InputError, match=r"model tuned: .*\(9, 2\), responses \(10, 2\)"):
        resample_models(
            rng.normal(size=(10, 2)), {"tuned": rng.normal(size=(9, 2))}, make_resampling(10)
        )
    with pytest.raises(InputError, match="bootstrap of 1 stimuli"):
        bootstrap_counts(1)


def test_shuffled_means_equal_shuffling_the_rows(rng, monkeypatch):
    a, b = pair(rng, 25, 4, 0.9)
    a[:, 2] = 1.0
    monkeypatch.setattr(inference, "BLOCK", 10)
    got = shuffled_means(a, b, 5, seed=3)
    generator = np.random.default_rng(3)
    expected = [mean_r(pearson_r(a, b[generator.permutation(25)])) for _ in range(5)]
    np.testing.assert_allclose(got, expected, atol=1e-12)


def test_null_is_near_zero_and_the_truth_far_from_it(rng):
    observed, predicted = pair(rng, 300, 20, 0.3)
    null = shuffled_means(observed, predicted, 200)
    assert abs(null.mean()) < 0.01
    # Independent units: the spread of a mean of 20 correlations of 300 stimuli.
    assert null.std() == pytest.approx(1 / np.sqrt(300 * 20), rel=0.25)
    assert permutation_p(mean_r(pearson_r(observed, predicted)), null) == 1 / 201


def test_null_keeps_the_correlation_between_units(rng):
    a, b = pair(rng, 300, 1, 0.3)
    null = shuffled_means(np.repeat(a, 20, 1), np.repeat(b, 20, 1), 200)
    assert null.std() == pytest.approx(1 / np.sqrt(300), rel=0.25)


def test_p_without_an_effect_is_uniform():
    p = []
    for seed in range(300):
        a, b = pair(np.random.default_rng(seed), 40, 3, 0.0)
        p.append(permutation_p(mean_r(pearson_r(a, b)), shuffled_means(a, b, 99, seed)))
    assert 0.02 <= np.mean(np.array(p) <= 0.05) <= 0.09
    assert np.mean(p) == pytest.approx(0.5, abs=0.05)


def test_permutation_p_by_hand():
    assert permutation_p(0.5, np.array([0.5, 0.1, np.nan, 0.9])) == 3 / 4
    assert np.isnan(permutation_p(np.nan, np.zeros(3)))
    assert np.isnan(permutation_p(0.1, np.array([])))


def test_sign_flips_are_exact():
    d = np.array([0.3, -0.1, 0.25, 0.4, 0.05])
    hits = [
        abs(sum(s * x for s, x in zip(signs, d, strict=True))) >= abs(d.sum()) - 1e-12
        for signs in itertools.product((1, -1), repeat=5)
    ]
    assert sign_flip_p(d) == sum(hits) / 32
    assert sign_flip_p(np.array([0.1] * 8)) == 2 / 256  # the least p that 8 subjects allow
    assert sign_flip_p(-d) == sign_flip_p(d)
    assert sign_flip_p(np.append(d, np.nan)) == sign_flip_p(d)
    assert sign_flip_p(np.zeros(5)) == 1.0
    assert np.isnan(sign_flip_p(np.array([0.1])))


def test_random_flips_agree_with_the_exact_test(rng, monkeypatch):
    d = rng.normal(0.4, 1, size=12)
    exact = sign_flip_p(d)
    monkeypatch.setattr(inference, "EXACT_UP_TO", 4)
    drawn = sign_flip_p(d, seed=1)
    assert drawn != exact
    assert drawn == pytest.approx(exact, abs=0.02)


def test_fdr_by_hand():
    # Benjamini & Hochberg: p * m / rank, made monotone from the largest down.
    p = np.array([0.01, 0.04, np.nan, 0.03, 0.5])
    np.testing.assert_allclose(fdr(p), [0.04, 0.16 / 3, np.nan, 0.16 / 3, 0.5])
    assert np.isnan(fdr(np.array([np.nan]))).all()
    with pytest.raises(InputError, match="one-dimensional"):
        fdr(np.zeros((2, 2)))


def test_mean_interval_by_hand():
    got = mean_interval(np.array([1.0, 2.0, 3.0, np.nan]))
    reach = 4.302652729911275 / np.sqrt(3)  # t(0.975, 2) * sd / sqrt(n), sd = 1
    np.testing.assert_allclose([got.value, got.low, got.high], [2, 2 - reach, 2 + reach])
    single = mean_interval(np.array([0.5]))
    assert single.value == 0.5
    assert np.isnan(single.low)
    assert np.isnan(mean_interval(np.array([])).value)


def test_a_constant_prediction_counts_as_zero_in_every_resample_and_null(rng):
    observed = rng.normal(size=(40, 4))
    predicted = observed + 0.5 * rng.normal(size=(40, 4))
    drawn = make_resampling(40, samples=50)
    whole = resample_models(observed, {"m": predicted}, drawn)["m"]
    null = shuffled_means(observed, predicted, 30)
    wide = np.column_stack([predicted, np.full(40, 3.0)])
    more = np.column_stack([observed, rng.normal(size=40)])
    np.testing.assert_allclose(resample_models(more, {"m": wide}, drawn)["m"], whole * 4 / 5)
    np.testing.assert_allclose(shuffled_means(more, wide, 30), null * 4 / 5)
    flat = np.full((40, 4), 3.0)
    np.testing.assert_array_equal(shuffled_means(observed, flat, 5), np.zeros(5))
