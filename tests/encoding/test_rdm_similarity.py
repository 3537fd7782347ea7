"""Comparison of RDMs: scipy's measures, ties at random, weights as copies, noise ceilings."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from striate.core.errors import InputError
from striate.encoding import compare_rdms, noise_ceiling_rdms
from striate.encoding.rdm_similarity import (
    METHODS,
    mid_ranks,
    pair_values,
    pair_weights,
    prepared,
    similarity,
)


def symmetric(n, rng, levels=None):
    """A random RDM; with `levels` its entries are few whole numbers, so that they tie."""
    half = rng.integers(1, levels + 1, (n, n)) if levels else rng.random((n, n))
    upper = np.triu(half.astype(float), 1)
    return upper + upper.T


@pytest.mark.parametrize("levels", [None, 4])
def test_equal_scipy(rng, levels):
    a, b = symmetric(9, rng, levels), symmetric(9, rng, levels)
    x, y = pair_values(a), pair_values(b)
    assert compare_rdms(a, b, "spearman") == pytest.approx(stats.spearmanr(x, y).statistic)
    cosine = x @ y / np.sqrt((x @ x) * (y @ y))
    assert compare_rdms(a, b, "cosine") == pytest.approx(cosine)
    if levels is None:
        assert compare_rdms(a, b) == pytest.approx(stats.spearmanr(x, y).statistic)


def test_rho_a_is_spearman_with_ties_broken_at_random(rng):
    a, b = symmetric(5, rng, 3), symmetric(5, rng, 2)
    x, y = pair_values(a), pair_values(b)
    broken = [
        stats.spearmanr(x + 0.1 * rng.random(10), y + 0.1 * rng.random(10)).statistic
        for _ in range(4000)
    ]
    error = np.std(broken) / np.sqrt(len(broken))
    assert compare_rdms(a, b, "rho_a") == pytest.approx(np.mean(broken), abs=4 * error)
    assert abs(compare_rdms(a, b, "rho_a")) < abs(compare_rdms(a, b, "spearman"))


def test_stacks():
    rng = np.random.default_rng(0)
    models, subjects = ([symmetric(6, rng) for _ in range(k)] for k in (2, 3))
    for method in METHODS:
        stacked = compare_rdms(np.array(models), np.array(subjects), method)
        singly = [[compare_rdms(m, s, method) for s in subjects] for m in models]
        np.testing.assert_allclose(stacked, singly)
        assert compare_rdms(models[0], np.array(subjects), method).shape == (3,)
        np.testing.assert_allclose(compare_rdms(models[0], models[0], method), 1.0)


def test_undefined_pairs_are_left_out_of_both(rng):
    """Each side's own pairs must stay paired: they are not left out one by one."""
    a, b = symmetric(7, rng), symmetric(7, rng)
    defined = [0, 1, 2, 4, 5, 6]
    a[3], a[:, 3] = np.nan, np.nan
    for method in METHODS:
        expected = compare_rdms(a[np.ix_(defined, defined)], b[np.ix_(defined, defined)], method)
        assert compare_rdms(a, b, method) == pytest.approx(expected)
        assert compare_rdms(b, a, method) == pytest.approx(expected)


def test_undefined_measures(rng):
    a, flat = symmetric(5, rng), np.ones((5, 5)) - np.eye(5)
    assert np.isnan(compare_rdms(a, flat, "spearman"))
    assert compare_rdms(a, flat, "rho_a") == 0
    assert np.isnan(compare_rdms(a, 0 * flat, "cosine"))
    assert np.isnan(compare_rdms(a, np.full((5, 5), np.nan), "rho_a"))


@given(
    values=st.lists(st.integers(0, 5), min_size=1, max_size=12),
    other=st.lists(st.integers(0, 5), min_size=12, max_size=12),
    counts=st.lists(st.integers(0, 4), min_size=12, max_size=12),
)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_a_weight_is_a_number_of_copies(values, other, counts):
    x = np.array(values, dtype=float)
    y, weights = np.array(other[: len(x)], dtype=float), np.array(counts[: len(x)])
    copies = np.repeat(np.arange(len(x)), weights)
    ranks = mid_ranks(x, weights.astype(float))
    np.testing.assert_allclose(ranks[copies], stats.rankdata(x[copies]))
    for method in METHODS:
        weighted = [prepared(v, method, weights[None])[0] for v in (x, y)]
        plain = [prepared(v[copies], method) for v in (x, y)]
        if len(copies) > 1:
            np.testing.assert_allclose(weighted[0] @ weighted[1], plain[0] @ plain[1], atol=1e-12)


def test_weights_are_the_pairs_of_a_resample_without_self_pairs(rng):
    n = 6
    a, b = symmetric(n, rng, 9), symmetric(n, rng, 9)
    drawn = rng.integers(0, n, n)
    i, j = np.triu_indices(n, 1)
    apart = drawn[i] != drawn[j]
    x, y = (m[drawn[i], drawn[j]][apart] for m in (a, b))
    weights = pair_weights(np.bincount(drawn, minlength=n).astype(float))
    assert weights.sum() == apart.sum()
    weighted = similarity(*(prepared(pair_values(m), "spearman", weights)[None] for m in (a, b)))
    assert weighted == pytest.approx(stats.spearmanr(x, y).statistic)


def test_groups_are_drawn_whole():
    groups = np.array([0, 0, 1, 2])
    weights = pair_weights(np.array([[3.0, 3, 2, 0], [1, 1, 1, 1]]), groups)
    np.testing.assert_array_equal(weights, [[3, 6, 0, 6, 0, 0], [1] * 6])


@pytest.mark.parametrize("method", METHODS)
def test_no_rdm_exceeds_the_upper_bound(method):
    rng = np.random.default_rng(1)
    common = symmetric(8, rng)
    subjects = np.array([common + 0.5 * symmetric(8, rng) for _ in range(5)])
    lower, upper = noise_ceiling_rdms(subjects, method)
    assert lower < upper <= 1
    for candidate in [
        common,
        subjects.mean(axis=0),
        *subjects,
        *map(symmetric, [8] * 20, [rng] * 20),
    ]:
        assert compare_rdms(candidate, subjects, method).mean() <= upper + 1e-12


def test_ceiling_by_hand():
    rng = np.random.default_rng(2)
    subjects = np.array([symmetric(6, rng) for _ in range(3)])
    unit = subjects / np.sqrt((pair_values(subjects) ** 2).sum(axis=1))[:, None, None]
    lower = [
        compare_rdms(subjects[i], np.delete(unit, i, axis=0).mean(axis=0), "cosine")
        for i in range(3)
    ]
    upper = compare_rdms(subjects, unit.mean(axis=0), "cosine")
    ceiling = noise_ceiling_rdms(subjects, "cosine")
    np.testing.assert_allclose(ceiling, [np.mean(lower), np.mean(upper)])
    np.testing.assert_allclose(noise_ceiling_rdms(subjects[[0, 0]]), 1.0)
    assert np.isnan(noise_ceiling_rdms(subjects[:1])).all()


def test_bad_input(rng):
    a = symmetric(5, rng)
    with pytest.raises(InputError, match=r"\(\.\.\., n, n\).*found shape \(5, 4\)"):
        compare_rdms(a[:, :4], a)
    with pytest.raises(InputError, match="RDMs of 5 and 4 stimuli"):
        compare_rdms(a, a[:4, :4])
    with pytest.raises(InputError, match=r"unknown method 'rho-a'. Did you mean rho_a"):
        compare_rdms(a, a, "rho-a")
    with pytest.raises(InputError, match=r"\(n_subjects, n, n\), found \(5, 5\)"):
        noise_ceiling_rdms(a)
