"""Noise ceilings against simulation, where the truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from striate.data import Responses
from striate.data.responses.noise_ceilings import (
    ceiling_after_averaging,
    ceiling_from_ncsnr,
    ncsnr,
    noise_ceiling,
    reliability,
    scored_ceilings,
    sources,
    split_half,
    variances,
)

STIMULI, UNITS = 2000, 60


def simulate(rng, repeats, ratio, stimuli=STIMULI, units=UNITS, offset=3.0, scale=2.0):
    """Signal (stimuli, units) with standard deviation ratio * scale, and trials with noise."""
    signal = ratio * scale * rng.normal(size=(stimuli, units))
    noise = scale * rng.normal(size=(stimuli, repeats, units))
    return signal, offset + signal[:, None] + noise


def correlation(a, b):
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    return (a * b).sum(axis=0) / np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0))


def thin_out(rng, trials):
    """Leave each stimulus between 1 trial and all, the same for every unit; return 1/n's mean."""
    n = rng.integers(1, trials.shape[1] + 1, size=len(trials))
    trials[np.arange(trials.shape[1]) >= n[:, None]] = np.nan
    return (1 / n).mean()


@pytest.mark.parametrize("ratio", [0.3, 1.0, 2.5])
@pytest.mark.parametrize("repeats", [2, 5])
def test_ncsnr_finds_the_planted_ratio(rng, ratio, repeats):
    _, trials = simulate(rng, repeats, ratio)
    estimate = ncsnr(trials)
    # The error of a variance from n independent values is var * sqrt(2 / n). To first order that
    # of ratio = sqrt(signal / noise) is then the root of the sum of squares below, halved.
    share = ratio**2 + 1 / repeats
    error = np.sqrt(2 / STIMULI * (share**2 + (share**2) / (repeats - 1))) / (2 * ratio)
    assert np.abs(estimate - ratio).max() < 5 * error
    assert abs(estimate.mean() - ratio) < 4 * error / np.sqrt(UNITS) + error**2


@pytest.mark.parametrize("ratio", [0.3, 1.0, 2.5])
@pytest.mark.parametrize("repeats", [2, 3, 6])
def test_the_ceiling_is_what_a_perfect_model_reaches(rng, ratio, repeats):
    signal, trials = simulate(rng, repeats, ratio)
    truth = np.sqrt(ratio**2 / (ratio**2 + 1 / repeats))
    reached = correlation(signal, trials.mean(axis=1))
    estimate = noise_ceiling(trials)
    # The error of a correlation from n pairs is about (1 - r^2) / sqrt(n) (Fisher 1915).
    error = 1 / np.sqrt(STIMULI * UNITS)
    assert abs(reached.mean() - truth) < 4 * error
    # The ceiling squared comes from variances, with error <= sqrt(2 / n) each; over 2 r in r.
    assert abs(estimate.mean() - truth) < 4 * 2 * error / (2 * truth) + 2e-3
    assert np.abs(estimate - truth).max() < 5 * 2 / np.sqrt(STIMULI) / (2 * truth)


@pytest.mark.parametrize("ratio", [0.5, 1.5])
@pytest.mark.parametrize("repeats", [2, 4])
def test_split_half_is_the_ceiling_squared(rng, ratio, repeats):
    _, trials = simulate(rng, repeats, ratio)
    truth = ratio**2 / (ratio**2 + 1 / repeats)
    estimate = split_half(trials, splits=10)
    # Spearman-Brown's slope is at most 2 at r = 0, so an error of r at most doubles.
    assert abs(estimate.mean() - truth) < 4 * 2 / np.sqrt(STIMULI * UNITS)
    assert np.abs(estimate - truth).max() < 5 * 2 / np.sqrt(STIMULI)


def test_the_two_ways_agree_unit_by_unit(rng):
    ratio = np.linspace(0.2, 3, UNITS)
    _, trials = simulate(rng, 6, ratio)
    np.testing.assert_allclose(np.sqrt(split_half(trials, 20)), noise_ceiling(trials), atol=0.05)


def test_uneven_numbers_of_trials(rng):
    signal, trials = simulate(rng, 6, 1.0, stimuli=4000)
    share = thin_out(rng, trials)
    assert 0.3 < share < 0.5  # a good part of the stimuli has one trial only
    np.testing.assert_allclose(ncsnr(trials), 1.0, atol=0.12)
    reached = correlation(signal, np.nanmean(trials, axis=1))
    assert abs(noise_ceiling(trials).mean() - reached.mean()) < 5e-3
    assert abs(reached.mean() - np.sqrt(1 / (1 + share))) < 5e-3


def test_uneven_trials_do_not_bias_split_half(rng):
    _, trials = simulate(rng, 6, 1.0, stimuli=4000)
    trials[::2, 4:] = np.nan  # 4 and 6 trials: reliabilities 0.8 and 0.857
    estimate = split_half(trials, splits=10).mean()
    assert 0.8 < estimate < 6 / 7
    # Pooled over the stimuli, the noise left is the mean of 1/4 and 1/6.
    assert abs(estimate - 1 / (1 + (1 / 4 + 1 / 6) / 2)) < 5e-3


def test_no_signal_is_no_ceiling(rng):
    _, trials = simulate(rng, 4, 0.0)
    assert (ncsnr(trials) < 0.35).all()  # (2 / n)^(1/4) of chance, and some
    assert np.median(noise_ceiling(trials)) < 0.2
    assert np.abs(split_half(trials, 20)).max() < 0.2


def test_without_repeats_there_is_no_ceiling(rng):
    trials = rng.normal(size=(50, 1, 3))
    for estimate in (ncsnr(trials), noise_ceiling(trials), split_half(trials, 3)):
        assert np.isnan(estimate).all()
    once = np.full((50, 4, 3), np.nan)
    once[:, 2] = trials[:, 0]
    assert np.isnan(noise_ceiling(once)).all()
    assert np.isnan(split_half(once, 3)).all()


def test_a_bad_unit_spoils_nobody_else(rng):
    _, trials = simulate(rng, 4, 1.0, stimuli=200, units=6)
    trials[::3, 3] = np.nan
    spoilt = trials.copy()
    spoilt[:, :, 1] = np.nan  # never recorded
    spoilt[:, :, 2] = 0.1  # never changes
    spoilt[40:, :, 3] = np.nan  # lost after forty stimuli
    good = [0, 4, 5]
    for function in (ncsnr, noise_ceiling):
        np.testing.assert_allclose(function(spoilt)[good], function(trials)[good], rtol=1e-12)
        assert np.isnan(function(spoilt)[[1, 2]]).all()
        np.testing.assert_allclose(function(spoilt)[3], function(trials[:40])[3])
    np.testing.assert_allclose(split_half(spoilt, 5)[good], split_half(trials, 5)[good])
    assert np.isnan(split_half(spoilt, 5)[[1, 2]]).all()


def test_trials_missing_in_one_unit_only(rng):
    _, trials = simulate(rng, 3, 1.0, stimuli=3000, units=2)
    trials[:, 0, 0] = np.nan
    trials[:, 1, 1] = np.nan  # together the units have one trial in common
    np.testing.assert_allclose(split_half(trials, 10), 2 / 3, atol=0.05)
    np.testing.assert_allclose(noise_ceiling(trials), np.sqrt(2 / 3), atol=0.05)


def test_without_noise_the_ceiling_is_one(rng):
    trials = np.repeat(rng.normal(size=(50, 1, 2)), 3, axis=1)
    assert np.isinf(ncsnr(trials)).all()
    np.testing.assert_allclose(noise_ceiling(trials), 1.0)
    np.testing.assert_allclose(split_half(trials, 3), 1.0)


def test_ceiling_from_ncsnr_by_hand():
    # ncsnr^2 / (ncsnr^2 + 1 / n): 1 / (1 + 1/3) = 3/4 and 4 / (4 + 1) = 4/5
    np.testing.assert_allclose(
        ceiling_from_ncsnr(np.array([1.0, 2.0]), np.array([3, 1])) ** 2, [0.75, 0.8]
    )
    np.testing.assert_allclose(ceiling_from_ncsnr(np.array([0.0]), 3), 0.0, atol=1e-100)
    assert np.isnan(ceiling_from_ncsnr(np.array([np.nan]), 3))


def test_scale_and_offset_do_not_matter(rng):
    _, trials = simulate(rng, 3, 1.0, stimuli=100)
    for function in (ncsnr, noise_ceiling, split_half):
        np.testing.assert_allclose(function(1e3 * trials - 1e4), function(trials), rtol=1e-6)


def test_split_half_is_seeded(rng):
    _, trials = simulate(rng, 4, 1.0, stimuli=50)
    np.testing.assert_array_equal(split_half(trials, 4, seed=1), split_half(trials, 4, seed=1))
    assert (split_half(trials, 4, seed=1) != split_half(trials, 4, seed=2)).any()


def of_reliability(rng, stimuli, repeats, share, units):
    """Trials whose averages have this share of signal in their variance."""
    noise = np.sqrt((1 - share) * repeats) * rng.normal(size=(stimuli, repeats, units))
    return np.sqrt(share) * rng.normal(size=(stimuli, 1, units)) + noise


@pytest.mark.parametrize("stimuli", [6, 10, 20, 100])
@pytest.mark.parametrize("repeats", [2, 3, 5, 10])
def test_small_sets_are_near_the_truth(rng, stimuli, repeats):
    """Reliability .5 with 6 stimuli came out at .06, and noise at any number."""
    for share in (0.0, 0.1, 0.5, 0.9):
        trials = of_reliability(rng, stimuli, repeats, share, 2000)
        estimate = split_half(trials, splits=6)
        assert estimate.min() >= -1 and estimate.max() <= 1
        assert abs(estimate.mean() - share) < 0.8 / stimuli + 0.02, (share, estimate.mean())
        unbiased = reliability(trials)
        error = unbiased.std() / np.sqrt(2000)
        assert abs(unbiased.mean() - share) < 5 * error
        # one clipped, one not: the same variances
        ceiling = np.clip(1 - (1 - unbiased) * (stimuli - 1) / (stimuli - 3), 0, None)
        np.testing.assert_allclose(noise_ceiling(trials) ** 2, ceiling, atol=1e-9)


def test_noise_of_four_stimuli_is_bounded(rng):
    estimate = split_half(rng.normal(size=(4, 4, 2000)))
    assert estimate.min() >= -1 and estimate.max() <= 1
    assert abs(np.mean(estimate)) < 0.2
    assert np.isnan(split_half(rng.normal(size=(2, 4, 3)))).all()  # two stimuli tell nothing


@pytest.mark.parametrize("repeats", [3, 5, 7])
def test_halves_of_other_sizes_are_corrected_for_what_they_are(rng, repeats):
    """One trial of three against two: 2 r / (1 + r) is for halves of one size."""
    trials = of_reliability(rng, 3000, repeats, 0.6, 40)
    assert split_half(trials, splits=20).mean() == pytest.approx(0.6, abs=0.01)


def test_uneven_trials_and_unbiased_reliability(rng):
    for stimuli in (20, 300):
        _, trials = simulate(rng, 6, 0.4, stimuli=stimuli, units=4000)
        left = thin_out(rng, trials)
        estimate = reliability(trials)
        truth = 0.16 / (0.16 + left)
        assert abs(estimate.mean() - truth) < 5 * estimate.std() / np.sqrt(4000) + 0.003


@given(
    hnp.arrays(
        np.float64,
        st.tuples(st.integers(1, 7), st.integers(1, 5), st.integers(1, 4)),
        elements=st.one_of(st.floats(-1e6, 1e6), st.just(np.nan)),
    )
)
def test_whatever_the_trials_are_numbers_are_possible(trials):
    for values, low in ((split_half(trials, 3), -1), (noise_ceiling(trials), 0)):
        present = values[~np.isnan(values)]
        assert ((present >= low) & (present <= 1)).all()
    assert not (reliability(trials) > 1 + 1e-9).any()


@pytest.mark.parametrize("dtype", ["uint8", "int32", ">i2", "float16", ">f4"])
def test_the_type_of_the_numbers_does_not_matter(rng, dtype):
    counts = rng.poisson(rng.gamma(2, 20, size=(40, 1, 5)), size=(40, 4, 5)).clip(0, 255)
    for function in (ncsnr, noise_ceiling, reliability, split_half):
        np.testing.assert_array_equal(
            function(counts.astype(dtype)), function(counts.astype(np.float64))
        )


def test_differences_between_rounds_are_no_signal(rng):
    rounds = np.arange(300) % 6
    trials = of_reliability(rng, 300, 3, 0.5, 400)
    apart = trials + 10 * rounds[:, None, None]
    np.testing.assert_allclose(reliability(apart, rounds), reliability(trials, rounds))
    assert reliability(trials, rounds).mean() == pytest.approx(0.5, abs=0.01)
    assert reliability(apart).mean() > 0.95
    assert (variances(trials, rounds).freedom == 294).all()
    assert noise_ceiling(trials, rounds).mean() == pytest.approx(np.sqrt(0.5), abs=0.02)


@pytest.mark.parametrize("copies", [[2, 2, 2, 2], [1, 1, 2, 3]])
def test_given_ceilings_of_averaged_rows(rng, copies):
    """Rows of reliability .57; stimuli that are means of some of them are more reliable."""
    n = np.repeat(copies, 1000)
    signal = np.sqrt(0.57) * rng.normal(size=(len(n), 30))
    averages = signal + np.sqrt(0.43 / n)[:, None] * rng.normal(size=signal.shape)
    noise_share = (1 / n).mean()
    corrected = ceiling_after_averaging(np.full(30, np.sqrt(0.57)), noise_share)
    assert correlation(signal, averages).mean() == pytest.approx(corrected[0], abs=2e-3)
    np.testing.assert_allclose(ceiling_after_averaging(np.array([0, 1.0]), noise_share), [0, 1])
    assert np.isnan(ceiling_after_averaging(np.array([np.nan]), noise_share)).all()


def test_ceilings_of_what_is_scored(rng):
    trials = of_reliability(rng, 60, 3, 0.5, 5)
    trials[:30] *= 4
    trials[:, 1:, 3] = np.nan  # a unit without repeats
    trials[:, 1:, 4] = np.nan
    given = np.array([0.1, 0.2, np.nan, 0.6, np.nan])
    ids = [f"s{i}" for i in range(60)]
    responses = Responses.build(trials, ids, subject="ann", noise_ceiling=given)
    rows = np.arange(30, 60)
    ceilings = scored_ceilings(responses, rows)
    assert ceilings.source.tolist() == ["repeats"] * 3 + ["given", "none"]
    np.testing.assert_allclose(ceilings.ceiling[:3], noise_ceiling(trials[rows])[:3])
    np.testing.assert_allclose(ceilings.reliability[:3], reliability(trials[rows])[:3])
    assert ceilings.ceiling[3] == 0.6 and ceilings.reliability[3] == pytest.approx(0.36)
    assert np.isnan(ceilings.ceiling[4]) and np.isnan(ceilings.reliability[4])
    two_units = scored_ceilings(responses, rows, np.array([3, 1]))
    np.testing.assert_array_equal(two_units.ceiling, ceilings.ceiling[[3, 1]])
    assert sources(ceilings.source) == "given and repeats"
    assert sources(np.array(["given and repeats", "none"])) == "given and repeats"
    averaged = Responses.build(responses.mean(), ids, subject="ann", noise_ceiling=given)
    assert scored_ceilings(averaged, rows).source.tolist() == [
        "given", "given", "none", "given", "none"
    ]  # fmt: skip


def test_many_units_are_read_some_at_a_time(rng, monkeypatch):
    trials = of_reliability(rng, 20, 2, 0.5, 11)
    responses = Responses.build(trials, [f"s{i}" for i in range(20)], subject="ann")
    whole = scored_ceilings(responses, np.arange(5, 20))
    monkeypatch.setattr("striate.data.responses.noise_ceilings.BLOCK", 4)
    parts = scored_ceilings(responses, np.arange(5, 20))
    np.testing.assert_array_equal(whole.reliability, parts.reliability)
    np.testing.assert_array_equal(whole.ceiling, parts.ceiling)
