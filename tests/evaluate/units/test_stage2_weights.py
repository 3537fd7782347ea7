"""Pooling maps of second-stage units whose weights were planted."""

from __future__ import annotations

import numpy as np
import pytest

from striate.core.errors import InputError
from striate.evaluate.units.stage2_weights import pooling_maps

ORIENTATION = np.array([0.0, 2.0, 45.0, 90.0, 178.0, np.nan])
FREQUENCY = np.array([1.0, 8.0, 1.0, 4.0, 1.0, 1.0])
EDGES = np.array([0.5, 2.0, 16.0])


def test_energy_lands_in_the_bins_of_the_units_below():
    weights = np.zeros((3, 6, 3, 3))
    weights[0, 0, 0, 1] = weights[0, 4, 0, 1] = 2.0  # 0 and 178 degrees, low frequency
    weights[1, 3, 2, 2], weights[1, 5] = 3.0, 1.0  # half onto a unit without a preference
    maps = pooling_maps(weights, ORIENTATION, FREQUENCY, n_orientations=4, frequencies=EDGES)
    assert maps.orientations.tolist() == [0, 45, 90, 135]
    assert maps.plane[0, 0, 0] == 1 and maps.plane[0].sum() == 1
    assert maps.plane[1, 1, 2] == pytest.approx(0.5) and maps.unassigned[1] == pytest.approx(0.5)
    np.testing.assert_allclose(maps.plane.sum((1, 2)) + maps.unassigned, [1, 1, 0])
    assert maps.spatial[0, 0, 1] == 1 and maps.spatial[1].sum() == pytest.approx(1)
    np.testing.assert_array_equal(maps.units, [[2, 1, 0, 0], [1, 0, 1, 0]])


def test_equal_weights_pool_every_unit_alike(rng):
    angles, f = rng.uniform(0, 180, 64), rng.uniform(1, 8, 64)
    maps = pooling_maps(rng.choice([-1.0, 1.0], size=(2, 64, 5, 5)), angles, f)
    expected = np.broadcast_to(maps.units / maps.units.sum(), maps.plane.shape)
    np.testing.assert_allclose(maps.plane, expected)
    assert maps.plane.shape == (2, 4, 8) and maps.units.sum() == 64
    np.testing.assert_allclose(maps.spatial, 1 / 25)


def test_scale_weighs_units_by_the_size_of_their_responses():
    weights = np.ones((1, 6, 1, 1))
    scale = np.array([0, 0, 0, 5.0, 0, 0])
    maps = pooling_maps(weights, ORIENTATION, FREQUENCY, frequencies=EDGES, scale=scale)
    assert maps.plane[0, 1, 4] == 1


def test_one_frequency_for_all_and_values_outside_the_edges_are_fine():
    weights = np.ones((1, 6, 1, 1))
    assert pooling_maps(weights, ORIENTATION, np.ones(6)).units.sum() == 5
    outside = pooling_maps(weights, ORIENTATION, FREQUENCY, frequencies=np.array([2.0, 3.0, 4.0]))
    assert outside.units.sum(axis=1).tolist() == [3, 2]


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match="6 orientations"):
        pooling_maps(np.ones((2, 5, 3, 3)), ORIENTATION, FREQUENCY)
    with pytest.raises(InputError, match="rise"):
        pooling_maps(np.ones((2, 6, 3, 3)), ORIENTATION, FREQUENCY, frequencies=EDGES[::-1])
    with pytest.raises(InputError, match="no first-stage unit"):
        pooling_maps(np.ones((2, 6, 3, 3)), ORIENTATION * np.nan, FREQUENCY)
