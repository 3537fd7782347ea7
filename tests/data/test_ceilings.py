"""Noise ceilings against simulation, where the truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from striate.data.ceilings import ceiling_from_ncsnr, ncsnr, noise_ceiling, split_half

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
    found = ncsnr(trials)
    # The error of a variance from n independent values is var * sqrt(2 / n). To first order that
    # of ratio = sqrt(signal / noise) is then the root of the sum of squares below, halved.
    share = ratio**2 + 1 / repeats
    error = np.sqrt(2 / STIMULI * (share**2 + (share**2) / (repeats - 1))) / (2 * ratio)
    assert np.abs(found - ratio).max() < 5 * error
    assert abs(found.mean() - ratio) < 4 * error / np.sqrt(UNITS) + error**2


@pytest.mark.parametrize("ratio", [0.3, 1.0, 2.5])
@pytest.mark.parametrize("repeats", [2, 3, 6])
def test_the_ceiling_is_what_a_perfect_model_reaches(rng, ratio, repeats):
    signal, trials = simulate(rng, repeats, ratio)
    truth = np.sqrt(ratio**2 / (ratio**2 + 1 / repeats))
    reached = correlation(signal, trials.mean(axis=1))
    found = noise_ceiling(trials)
    # The error of a correlation from n pairs is about (1 - r^2) / sqrt(n) (Fisher 1915).
    error = 1 / np.sqrt(STIMULI * UNITS)
    assert abs(reached.mean() - truth) < 4 * error
    # The ceiling squared comes from variances, with error <= sqrt(2 / n) each; over 2 r in r.
    assert abs(found.mean() - truth) < 4 * 2 * error / (2 * truth) + 2e-3
    assert np.abs(found - truth).max() < 5 * 2 / np.sqrt(STIMULI) / (2 * truth)


@pytest.mark.parametrize("ratio", [0.5, 1.5])
@pytest.mark.parametrize("repeats", [2, 4])
def test_split_half_is_the_ceiling_squared(rng, ratio, repeats):
    _, trials = simulate(rng, repeats, ratio)
    truth = ratio**2 / (ratio**2 + 1 / repeats)
    found = split_half(trials, splits=10)
    # Spearman-Brown's slope is at most 2 at r = 0, so an error of r at most doubles.
    assert abs(found.mean() - truth) < 4 * 2 / np.sqrt(STIMULI * UNITS)
    assert np.abs(found - truth).max() < 5 * 2 / np.sqrt(STIMULI)


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
    found = split_half(trials, splits=10).mean()
    assert 0.8 < found < 6 / 7
    # Pooled over the stimuli, the noise left is the mean of 1/4 and 1/6.
    assert abs(found - 1 / (1 + (1 / 4 + 1 / 6) / 2)) < 5e-3


def test_no_signal_is_no_ceiling(rng):
    _, trials = simulate(rng, 4, 0.0)
    assert (ncsnr(trials) < 0.35).all()  # (2 / n)^(1/4) of chance, and some
    assert np.median(noise_ceiling(trials)) < 0.2
    assert np.abs(split_half(trials, 20)).max() < 0.2


def test_without_repeats_there_is_no_ceiling(rng):
    trials = rng.normal(size=(50, 1, 3))
    for found in (ncsnr(trials), noise_ceiling(trials), split_half(trials, 3)):
        assert np.isnan(found).all()
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
