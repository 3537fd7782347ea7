"""RDMs of patterns: closed forms, scipy's distances, and rounding that is no order."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import pdist, squareform

from striate.core.errors import InputError
from striate.encoding import compare_rdms, rdm_correlation, rdm_euclidean, rdm_squared_euclidean

KINDS = {
    "correlation": rdm_correlation,
    "euclidean": rdm_euclidean,
    "squared_euclidean": rdm_squared_euclidean,
}


@given(n=st.integers(2, 12), units=st.integers(2, 30), seed=st.integers(0, 10**6))
@settings(max_examples=30, deadline=None, derandomize=True)
def test_equal_scipy(n, units, seed):
    X = np.random.default_rng(seed).normal(size=(n, units)) + 7
    np.testing.assert_allclose(rdm_correlation(X), squareform(pdist(X, "correlation")), atol=1e-10)
    squared = squareform(pdist(X, "sqeuclidean")) / units
    np.testing.assert_allclose(rdm_squared_euclidean(X), squared, atol=1e-10)
    euclidean = squareform(pdist(X)) / np.sqrt(units)
    np.testing.assert_allclose(rdm_euclidean(X), euclidean, atol=1e-10)


def test_a_large_mean_does_not_round_distances_away(rng):
    X = rng.normal(size=(6, 9))
    np.testing.assert_allclose(rdm_squared_euclidean(X + 1e7), rdm_squared_euclidean(X), atol=1e-6)


def test_small_distances_between_large_patterns(rng):
    """By inner products, distances of 1e-6 between patterns of 1e6 would all be rounding."""
    X = np.r_[1e-6 * rng.normal(size=(4, 9)), 1e6 * rng.normal(size=(2, 9))]
    np.testing.assert_allclose(
        rdm_squared_euclidean(X), squareform(pdist(X, "sqeuclidean")) / 9, rtol=1e-12
    )


def exact_ranks(X: np.ndarray, kind: str) -> np.ndarray:
    """Ranks of the distances of whole numbers, without rounding."""
    rows = [[Fraction(int(v)) for v in row] for row in X]
    i, j = np.triu_indices(len(X), 1)
    if kind != "correlation":
        exact = [
            sum((a - b) ** 2 for a, b in zip(rows[m], rows[k], strict=True))
            for m, k in zip(i, j, strict=True)
        ]
    else:
        rows = [[v - sum(row) / len(row) for v in row] for row in rows]
        exact = []
        for m, k in zip(i, j, strict=True):
            shared = sum(a * b for a, b in zip(rows[m], rows[k], strict=True))
            sizes = sum(a * a for a in rows[m]) * sum(b * b for b in rows[k])
            exact.append(-(1 if shared > 0 else -1) * shared**2 / sizes)  # -r |r| is in r's order
    order = {value: place for place, value in enumerate(sorted(set(exact)))}
    return stats.rankdata([order[value] for value in exact])


@given(
    seed=st.integers(0, 10**6),
    numerator=st.integers(1, 50),
    denominator=st.integers(1, 50),
    power=st.integers(-20, 20),
    dtype=st.sampled_from([np.float64, np.float32]),
    kind=st.sampled_from(list(KINDS)),
    copies=st.booleans(),
    levels=st.integers(1, 4),
)
@settings(max_examples=150, deadline=None, derandomize=True)
def test_equal_distances_are_equal(
    seed, numerator, denominator, power, dtype, kind, copies, levels
):
    """Whatever the scale, precision, order of stimuli and units, and copies among the stimuli."""
    rng = np.random.default_rng(seed)
    X = rng.integers(0, levels + 1, (10, 7))
    X[:, 0] = np.arange(10) % 2 + levels  # no pattern is constant
    X[np.ptp(X, axis=1) == 0, 1] += 1
    if copies:
        X[7:] = X[:3]
    scaled = (X.astype(dtype) * dtype(numerator) / dtype(denominator) * dtype(2.0) ** power).astype(
        dtype
    )
    expected = exact_ranks(X, kind)
    rdm = KINDS[kind](scaled)
    above = np.triu_indices(10, 1)
    np.testing.assert_array_equal(stats.rankdata(rdm[above]), expected)
    other = squareform(rng.random(45))
    truth = stats.spearmanr(expected, other[above]).statistic
    if np.ptp(expected):
        assert compare_rdms(rdm, other, "spearman") == pytest.approx(truth, abs=1e-12)
    stimuli, units = rng.permutation(10), rng.permutation(7)
    again = KINDS[kind](scaled[stimuli][:, units])
    np.testing.assert_array_equal(
        stats.rankdata(again[above]), stats.rankdata(rdm[np.ix_(stimuli, stimuli)][above])
    )
    for method in ("spearman", "rho_a"):
        moved = compare_rdms(again, other[np.ix_(stimuli, stimuli)], method)
        np.testing.assert_allclose(moved, compare_rdms(rdm, other, method), atol=1e-12)


@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_six_categories_of_one_hot_features(rng, kind, dtype):
    """Ten stimuli each, beside a noisy RDM of the same categories."""
    category = np.repeat(np.arange(6), 10)
    one_hot = np.eye(6)[category]
    other = rdm_squared_euclidean(one_hot + rng.normal(size=one_hot.shape))
    above = np.triu_indices(60, 1)
    apart = (category[:, None] != category)[above]
    truth = stats.spearmanr(apart, other[above]).statistic
    for scale in (1, 1 / 3, 0.1, 7e-5, 1e9):
        for shift in (0, one_hot.mean(axis=0), 5 / 7):
            features = ((one_hot - shift) * scale).astype(dtype)
            rdm = KINDS[kind](features)
            assert len(np.unique(rdm)) == 2
            assert compare_rdms(rdm, other, "spearman") == pytest.approx(truth, abs=1e-12)


def test_what_differs_stays_apart(rng):
    """Distances of continuous patterns do not tie, at single precision either."""
    X = rng.normal(size=(60, 30))
    for rdm in (rdm_correlation(X), rdm_squared_euclidean(X)):
        assert len(np.unique(rdm[np.triu_indices(60, 1)])) == 60 * 59 / 2
    exact, rounded = rdm_squared_euclidean(X), rdm_squared_euclidean(X.astype(np.float32))
    np.testing.assert_allclose(rounded, exact, rtol=1e-4)
    assert compare_rdms(exact, rounded, "spearman") > 0.999999


def test_a_constant_pattern_is_undefined(rng):
    X = rng.normal(size=(4, 9))
    X[2] = 0.1
    rdm = rdm_correlation(X)
    assert np.isnan(rdm[2]).all()
    assert np.isnan(rdm[:, 2]).all()
    varying = [0, 1, 3]
    np.testing.assert_array_equal(rdm[np.ix_(varying, varying)], rdm_correlation(X[varying]))
    single = X.astype(np.float32)
    single[2] = np.float32(0.1) + np.float32(1e-8) * np.arange(9, dtype=np.float32)  # rounding
    assert np.isnan(rdm_correlation(single)[2]).all()
    assert np.isnan(rdm_correlation(np.ones((3, 4)))).all()


def test_bad_input(rng):
    X = rng.normal(size=(4, 5))
    with pytest.raises(InputError, match=r"\(n_stimuli, n_units\).*found \(4, 3, 5\)"):
        rdm_squared_euclidean(rng.normal(size=(4, 3, 5)))
    X[1, 2] = np.nan
    for kind in KINDS.values():
        with pytest.raises(InputError, match=r"1 values .* stimulus 1, unit 2"):
            kind(X)


@pytest.mark.filterwarnings("ignore")  # of the other library
def test_beside_rsatoolbox(rng):
    rsatoolbox = pytest.importorskip("rsatoolbox", reason="rsatoolbox is not installed")
    patterns = rng.normal(size=(20, 12))
    means = rsatoolbox.data.Dataset(patterns)
    for name, ours in (("correlation", rdm_correlation), ("euclidean", rdm_squared_euclidean)):
        theirs = rsatoolbox.rdm.calc_rdm(means, name).get_matrices()[0]
        np.testing.assert_allclose(ours(patterns), theirs, atol=1e-12)
