"""Texture properties on responses whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from striate.core.errors import InputError
from striate.evaluate.units.firing_rates import PEAK, SPONTANEOUS, rate_scale
from striate.evaluate.units.texture_indices import (
    mean_of,
    modulation_index,
    sparseness,
    stabilized,
    texture_modulation_index,
    variance_ratio,
)


def test_the_index_of_each_family():
    texture = np.array([[[2.0, 4.0], [1.0, 1.0], [0.0, 0.0]]])
    noise = np.array([[[1.0, 1.0], [3.0, 3.0], [0.0, 0.0]]])
    index = texture_modulation_index(texture, noise)
    np.testing.assert_allclose(index, [[0.5, -0.5, np.nan]])
    assert mean_of(index)[0] == 0


def test_negative_responses_are_refused():
    with pytest.raises(InputError, match=r"negative response \(-2\)"):
        modulation_index(np.array([1.0]), np.array([-2.0]))
    with pytest.raises(InputError, match="not negative"):
        sparseness(np.array([[1.0, -1.0]]))
    with pytest.raises(InputError, match="must not be negative"):
        variance_ratio(np.full((1, 2, 2), -1.0))


def test_sparseness_leaves_out_what_was_not_measured():
    got = sparseness(np.array([[1.0, 3.0, np.nan], [0.0, 0.0, 0.0], [np.nan, np.nan, 1.0]]))
    np.testing.assert_allclose(got, [(1 - 4 / 5) / (1 - 1 / 2), np.nan, np.nan])


def test_variance_ratio_of_units_that_tell_families_or_samples_apart(rng):
    families = np.repeat(rng.uniform(0, 30, (1, 15, 1)), 15, axis=2)
    samples = rng.uniform(0, 30, (1, 15, 15))
    ratio, within, between = variance_ratio(np.concatenate([families, samples, 0 * samples]))
    assert ratio[0] == pytest.approx(1.02 / 0.02) and between[0] == pytest.approx(1)
    assert ratio[1] < 0.1 and within[1] == pytest.approx(1, abs=0.1)
    assert np.isnan([ratio[2], within[2], between[2]]).all()


def test_variance_shares_are_those_that_were_planted(rng):
    a, b = rng.normal(0, 3, (400, 15, 1)), rng.normal(0, 1.5, (400, 15, 15))
    values = 20 + a + b  # counts of which the stabilized values are these
    counts = ((values**2 - 1) / (2 * values)) ** 2
    np.testing.assert_allclose(stabilized(counts), values)
    _, within, between = variance_ratio(counts)
    assert np.median(within) == pytest.approx(0.2, abs=0.03)  # few families: skewed
    np.testing.assert_allclose(within + between, 1)


def test_variance_ratio_needs_two_families_and_samples():
    assert np.isnan(variance_ratio(np.ones((2, 1, 5)))[0]).all()
    assert np.isnan(variance_ratio(np.ones((2, 5, 1)))[0]).all()


def test_rates_of_the_median_unit():
    scale = rate_scale(np.array([1.0, 2.0, 9.0, np.nan]), np.array([0.0, 0.5, 1.0, 0.0]))
    assert scale(np.array(2.0)) == pytest.approx(PEAK)
    assert scale(np.array(0.5)) == pytest.approx(SPONTANEOUS)
    assert scale(np.array(-5.0)) == 0
    assert np.isnan(rate_scale(np.zeros(3), np.zeros(3)).slope)
    assert np.isnan(rate_scale(np.full(3, np.nan), np.zeros(3)).slope)
