"""Groups of stimuli: what changes places with what, and how many ways there are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.core.errors import InputError
from striate.encoding.groups import (
    centered,
    count_arrangements,
    count_groups,
    group_numbers,
    shuffled_orders,
)

LABELS = st.lists(st.sampled_from(["", "a", "b", "c", "d"]), min_size=1, max_size=24)


@settings(max_examples=60, deadline=None)
@given(LABELS, st.integers(0, 30))
def test_groups_change_places_as_a_whole_and_with_their_like(labels, permutations):
    n = len(labels)
    members = group_numbers(labels, n)
    sizes = np.bincount(members)
    orders = shuffled_orders(n, permutations, 1, labels)
    assert orders.shape == (min(permutations, count_arrangements(n, labels) - 1), n)
    for order in orders:
        taken = [members[order[members == k]] for k in range(len(sizes))]
        assert all(len(np.unique(t)) == 1 for t in taken)  # one group in the place of each
        assert sorted(t[0] for t in taken) == list(range(len(sizes)))
        assert all((sizes[t[0]] > 1) == (sizes[k] > 1) for k, t in enumerate(taken))
        for k in range(len(sizes)):  # in their order, so the time within a movie stays
            assert (np.diff(order[members == k]) >= 0).all()


@settings(max_examples=40, deadline=None)
@given(LABELS)
def test_few_arrangements_are_each_taken_once_without_the_one_that_is_there(labels):
    n, many = len(labels), count_arrangements(len(labels), labels)
    if many > 500:
        return
    orders = shuffled_orders(n, 500, 0, labels)
    assert len(orders) == many - 1
    assert len({tuple(o) for o in orders}) == many - 1
    assert not (orders == np.arange(n)).all(axis=1).any()


def test_stimuli_that_stand_alone_are_drawn_as_ever():
    generator = np.random.default_rng(3)
    expected = [generator.permutation(25) for _ in range(6)]
    np.testing.assert_array_equal(shuffled_orders(25, 6, 3), expected)
    np.testing.assert_array_equal(shuffled_orders(25, 6, 3, [""] * 25), expected)


def test_a_group_in_a_longer_place_is_stretched():
    (order,) = shuffled_orders(7, 5, groups=list("aabbbbb"))
    assert order.tolist() == [3, 5, 0, 0, 1, 1, 1]


def test_counting_and_centering():
    assert count_groups(None, 3) == 3
    assert count_groups(["a", "a", ""], 3) == 2
    with pytest.raises(InputError, match="2 groups for 3 stimuli"):
        count_groups(["a", "b"], 3)
    x = np.array([[1.0], [3.0], [10.0], [20.0]])
    np.testing.assert_array_equal(centered(x, np.zeros(4)), x)
    np.testing.assert_array_equal(centered(x, np.r_[0, 0, 1, 1])[:, 0], [-1, 1, -5, 5])
    x = np.column_stack([x, np.full(4, np.nan), [1.0, np.nan, 2, 4]])  # without a warning
    expected = [[-1, np.nan, 0], [1, np.nan, np.nan], [-5, np.nan, -1], [5, np.nan, 1]]
    np.testing.assert_array_equal(centered(x, np.r_[0, 0, 1, 1]), expected)
