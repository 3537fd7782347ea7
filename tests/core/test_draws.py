"""Draws depend on their place alone."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from striate.core.draws import generator_at, share_of


def test_the_same_place_gives_the_same_numbers():
    first, repeated = (generator_at(3, 7, 1, 2).random(5) for _ in range(2))
    np.testing.assert_array_equal(first, repeated)


def test_other_places_give_other_numbers():
    seen = {
        tuple(generator_at(*place).random(2)) for place in itertools.product(range(3), repeat=4)
    }
    assert len(seen) == 3**4


def test_fewer_samples_are_the_first_of_more():
    more, fewer = (generator_at(0, 0).random((n, 4)) for n in (10, 6))
    np.testing.assert_array_equal(more[:6], fewer)


@pytest.mark.parametrize(("total", "world"), [(7, 3), (8, 1), (2, 3), (9, 3)])
def test_shares_are_all_of_it_and_nearly_equal(total, world):
    parts = [range(total)[share_of(total, rank, world)] for rank in range(world)]
    assert [i for part in parts for i in part] == list(range(total))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
