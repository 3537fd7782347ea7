"""RDMs: closed forms, scipy's distances, and distances that noise does not move."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import pdist, squareform
from sklearn.covariance import LedoitWolf

from striate.core.errors import InputError
from striate.encoding import (
    fold_means,
    noise_whitener,
    rdm_correlation,
    rdm_crossnobis,
    rdm_euclidean,
)


def trials_of(means, repeats, noise, rng):
    """Trials of shape (n_stimuli, n_repeats, n_units) with noise of the given covariance root."""
    size = (len(means), repeats, means.shape[1])
    return means[:, None] + rng.normal(size=size) @ noise


@given(n=st.integers(2, 12), units=st.integers(2, 30), seed=st.integers(0, 10**6))
@settings(max_examples=30, deadline=None, derandomize=True)
def test_equal_scipy(n, units, seed):
    X = np.random.default_rng(seed).normal(size=(n, units)) + 7
    np.testing.assert_allclose(rdm_correlation(X), squareform(pdist(X, "correlation")), atol=1e-10)
    euclidean = squareform(pdist(X, "sqeuclidean")) / units
    np.testing.assert_allclose(rdm_euclidean(X), euclidean, atol=1e-10)


def test_a_large_mean_does_not_round_distances_away(rng):
    X = rng.normal(size=(6, 9))
    np.testing.assert_allclose(rdm_euclidean(X + 1e7), rdm_euclidean(X), atol=1e-6)


def test_a_constant_pattern_is_undefined(rng):
    X = rng.normal(size=(4, 9))
    X[2] = 0.1
    found = rdm_correlation(X)
    assert np.isnan(found[2]).all()
    assert np.isnan(found[:, 2]).all()
    kept = [0, 1, 3]
    np.testing.assert_array_equal(found[np.ix_(kept, kept)], rdm_correlation(X[kept]))


def test_crossnobis_by_its_definition(rng):
    trials = rng.normal(size=(5, 4, 6)) + rng.normal(size=(5, 1, 6))
    whitener = noise_whitener(trials)
    precision = whitener @ whitener.T
    expected = np.zeros((5, 5))
    for i in range(5):
        for j in range(5):
            apart = trials[i] - trials[j]
            products = apart @ precision @ apart.T
            expected[i, j] = products[~np.eye(4, dtype=bool)].mean() / 6
    np.testing.assert_allclose(rdm_crossnobis(trials), expected, atol=1e-12)


def test_crossnobis_of_noiseless_trials_is_the_euclidean_distance(rng):
    means = rng.normal(size=(6, 8))
    trials = np.repeat(means[:, None], 3, axis=1)
    np.testing.assert_allclose(
        rdm_crossnobis(trials, noise="none"), rdm_euclidean(means), atol=1e-12
    )


def test_crossnobis_is_right_on_average_where_the_plain_distance_is_not(rng):
    """Two equal stimuli and one apart, noise correlated between units."""
    units = 10
    root = np.linalg.cholesky(0.5 * np.eye(units) + 0.5).T
    means = np.zeros((3, units))
    means[2] = rng.normal(size=units)
    true = rdm_euclidean(means)
    draws = [trials_of(means, 4, root, rng) for _ in range(800)]
    ours = np.array([rdm_crossnobis(t, noise="none") for t in draws])
    error = ours.std(axis=0) / np.sqrt(len(draws))
    assert (np.abs(ours.mean(axis=0) - true) <= 4 * error + 1e-12).all()
    assert (ours[:, 0, 1] < 0).any()  # so that it can be 0 on average
    plain = np.mean([rdm_euclidean(t.mean(axis=1)) for t in draws], axis=0)
    assert plain[0, 1] > 0.3


def test_whitened_noise_is_white(rng):
    units = 6
    root = np.linalg.cholesky(0.3 * np.eye(units) + 0.7).T * np.geomspace(0.5, 5, units)
    trials = trials_of(rng.normal(size=(40, units)), 60, root, rng)
    covariance = root.T @ root
    for kind, expected in (
        ("covariance", np.eye(units)),
        ("diagonal", covariance / np.sqrt(np.outer(covariance.diagonal(), covariance.diagonal()))),
        ("none", covariance),
    ):
        white = noise_whitener(trials, kind)
        found = white.T @ covariance @ white
        np.testing.assert_allclose(found, expected, atol=0.1 * np.abs(expected).max())


def test_the_covariance_is_ledoit_and_wolf_s(rng):
    trials = rng.normal(size=(12, 5, 7))
    residuals = (trials - trials.mean(axis=1, keepdims=True)).reshape(-1, 7) * np.sqrt(5 / 4)
    precision = LedoitWolf(assume_centered=True).fit(residuals).precision_
    whitener = noise_whitener(trials)
    np.testing.assert_allclose(whitener @ whitener.T, precision, atol=1e-10)


def test_folds_where_trials_are_missing(rng):
    trials = rng.normal(size=(3, 6, 2))
    np.testing.assert_array_equal(fold_means(trials), trials)
    np.testing.assert_allclose(fold_means(trials, 2)[:, 1], trials[:, 1::2].mean(axis=1))
    trials[1, 3, 0] = np.nan
    found = fold_means(trials)  # 6, 5 and 4 folds would leave one empty, as 3 has no other trial
    assert found.shape == (3, 3, 2)
    assert found[1, 0, 0] == trials[1, 0, 0]
    np.testing.assert_allclose(found[0, 0], trials[0, [0, 3]].mean(axis=0))
    assert np.isfinite(rdm_crossnobis(trials)).all()
    assert np.isfinite(rdm_crossnobis(trials, noise="diagonal")).all()
    with pytest.raises(InputError, match="unit 0 has no trial of stimulus 1 in fold 3 of 6"):
        fold_means(trials, 6)


def test_missing_trials_of_single_units(rng):
    """The diagonal uses all trials; the covariance only repeats that are complete."""
    trials = rng.normal(size=(4, 6, 3)) * [1.0, 2.0, 3.0]
    holes = trials.copy()
    holes[:, ::2, 0] = np.nan
    complete = noise_whitener(holes[:, 1::2])
    assert noise_whitener(holes).shape == complete.shape
    several = np.nanvar(holes[:, :, 0], axis=1, ddof=1).mean()
    np.testing.assert_allclose(noise_whitener(holes, "diagonal")[0, 0], several**-0.5)
    holes[:, 1::2, 1] = np.nan
    with pytest.raises(
        InputError, match=r'all 3 units have a trial; found 0. Use noise="diagonal"'
    ):
        noise_whitener(holes)


def test_bad_input(rng):
    X = rng.normal(size=(4, 5))
    trials = rng.normal(size=(4, 3, 5))
    with pytest.raises(InputError, match=r"\(n_stimuli, n_units\).*found \(4, 3, 5\)"):
        rdm_euclidean(trials)
    spoiled = X.copy()
    spoiled[1, 2] = np.nan
    with pytest.raises(InputError, match=r"1 values .* stimulus 1, unit 2"):
        rdm_correlation(spoiled)
    with pytest.raises(InputError, match=r"needs single trials.*found \(4, 5\)"):
        rdm_crossnobis(X)
    with pytest.raises(InputError, match=r"2 repeats or more, found \(4, 1, 5\)"):
        rdm_crossnobis(trials[:, :1])
    with pytest.raises(InputError, match=r"unknown noise 'cov'.*covariance"):
        rdm_crossnobis(trials, noise="cov")
    with pytest.raises(InputError, match="1 folds of 3 repeats"):
        rdm_crossnobis(trials, folds=1)
    trials[..., 4] = 2.0
    with pytest.raises(InputError, match=r"1 of 5 units have no noise variance .*unit 4"):
        rdm_crossnobis(trials)
    trials[0, 0, 0] = np.inf
    with pytest.raises(InputError, match="infinite"):
        rdm_crossnobis(trials)


@pytest.mark.filterwarnings("ignore")  # of the other library
def test_beside_rsatoolbox(rng):
    rsatoolbox = pytest.importorskip("rsatoolbox", reason="rsatoolbox is not installed")
    trials = rng.normal(size=(20, 5, 12)) + rng.normal(size=(20, 1, 12))
    whitener = noise_whitener(trials)
    means = rsatoolbox.data.Dataset(trials.mean(axis=1))
    single = rsatoolbox.data.Dataset(
        trials.reshape(100, 12),
        obs_descriptors={"s": np.repeat(np.arange(20), 5), "r": np.tile(np.arange(5), 20)},
    )
    of = {"descriptor": "s", "cv_descriptor": "r"}
    for theirs, ours in (
        (rsatoolbox.rdm.calc_rdm(means, "correlation"), rdm_correlation(trials.mean(axis=1))),
        (rsatoolbox.rdm.calc_rdm(means, "euclidean"), rdm_euclidean(trials.mean(axis=1))),
        (
            rsatoolbox.rdm.calc_rdm(single, "crossnobis", **of, noise=whitener @ whitener.T),
            rdm_crossnobis(trials),
        ),
    ):
        np.testing.assert_allclose(ours, theirs.get_matrices()[0], atol=1e-12)
