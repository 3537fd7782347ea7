"""Ties of computed numbers: those that rounding parts are joined, no others, in no new order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from striate.encoding.ties import merge_relative_ties, merge_ties, precision


@given(
    levels=st.lists(st.integers(0, 40), min_size=1, max_size=40),
    seed=st.integers(0, 10**6),
    scale=st.integers(-60, 60),
)
@settings(max_examples=100, deadline=None, derandomize=True)
def test_rounded_levels_are_found_again(levels, seed, scale):
    rng = np.random.default_rng(seed)
    exact = np.array(levels, dtype=float) / 3 * 2.0**scale
    rounded = exact * (1 + 1e-13 * rng.uniform(-1, 1, len(levels)))
    merged = merge_relative_ties(rounded)
    np.testing.assert_array_equal(stats.rankdata(merged), stats.rankdata(levels))
    np.testing.assert_allclose(merged, exact, rtol=1e-12)
    order = rng.permutation(len(levels))
    np.testing.assert_array_equal(merge_relative_ties(rounded[order]), merged[order])


@given(
    values=st.lists(st.floats(-1, 1), min_size=1, max_size=60),
    tolerance=st.floats(0, 0.5),
)
@settings(max_examples=100, deadline=None, derandomize=True)
def test_order_stays_and_nothing_moves_far(values, tolerance):
    values = np.array(values)
    merged = merge_ties(values, tolerance)
    order = np.argsort(values, kind="stable")
    assert (np.diff(merged[order]) >= 0).all()
    assert (merged <= values).all()
    assert np.abs(merged - values).max() <= 2 * tolerance
    if tolerance == 0:
        np.testing.assert_array_equal(merged, values)


def test_dense_values_do_not_become_one():
    """A chain of close values is cut: half a million distances of single precision stay ordered."""
    values = np.linspace(1, 2, 500_000)
    merged = merge_relative_ties(values, eps=precision(np.zeros(1, np.float32)))
    assert len(np.unique(merged)) > 100_000
    assert np.abs(merged - values).max() < 1e-5


def test_a_few_large_values_do_not_join_the_small():
    values = np.array([1.0, 2.0, 3.0, 1e12, 1e14])
    np.testing.assert_array_equal(merge_relative_ties(values), values)


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64, np.int16, bool])
def test_precision(kind):
    floating = np.issubdtype(kind, np.floating)
    expected = np.finfo(kind).eps if floating else np.finfo(float).eps
    assert precision(np.zeros(1, kind)) == expected
