"""Crossnobis: its definition, and distances that noise does not move."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import pdist, squareform
from sklearn.covariance import LedoitWolf

from striate.core.errors import InputError
from striate.encoding import (
    fold_means,
    noise_covariance,
    rdm_crossnobis,
    rdm_squared_euclidean,
)


def trials_of(means, repeats, root, rng):
    """Trials of shape (n_stimuli, n_repeats, n_units) with noise of the given covariance root."""
    size = (len(means), repeats, means.shape[1])
    return means[:, None] + rng.normal(size=size) @ root


def correlated(units, r=0.5, spread=1.0):
    """A root of a noise covariance: correlation r of all units, sizes over a range."""
    return np.linalg.cholesky((1 - r) * np.eye(units) + r).T * np.geomspace(1, spread, units)


def by_definition(trials, precision_without):
    """The mean of d_k' P d_l over folds k != l, with P a function of the pair."""
    n, repeats, units = trials.shape
    out = np.zeros((n, n))
    for i in range(n):
        for j in range(i):
            apart = trials[i] - trials[j]
            products = apart @ precision_without(i, j) @ apart.T
            out[i, j] = products[~np.eye(repeats, dtype=bool)].mean() / units
    return out + out.T


@pytest.mark.parametrize("noise", ["covariance", "diagonal", "none"])
@pytest.mark.parametrize(
    ("n", "repeats", "units"), [(5, 4, 6), (6, 2, 20), (3, 4, 7), (9, 3, 1), (8, 5, 5)]
)
def test_a_pair_is_weighed_by_the_noise_of_all_others(rng, n, repeats, units, noise):
    trials = trials_of(
        5 * rng.normal(size=(n, units)) + 100, repeats, correlated(units, 0.3, 9), rng
    )
    expected = by_definition(
        trials,
        lambda i, j: np.linalg.inv(noise_covariance(np.delete(trials, [i, j], axis=0), noise)),
    )
    np.testing.assert_allclose(rdm_crossnobis(trials, noise=noise), expected, rtol=1e-8, atol=1e-11)


def test_few_pairs_at_a_time_give_the_same(rng, monkeypatch):
    trials = rng.normal(size=(7, 3, 5))
    whole = {noise: rdm_crossnobis(trials, noise=noise) for noise in ("covariance", "diagonal")}
    monkeypatch.setattr("striate.encoding.crossnobis.BLOCK_BYTES", 1)
    for noise, expected in whole.items():
        np.testing.assert_allclose(rdm_crossnobis(trials, noise=noise), expected, atol=1e-13)


def test_a_covariance_that_was_measured_elsewhere(rng):
    trials = trials_of(rng.normal(size=(5, 6)), 4, correlated(6), rng)
    covariance = noise_covariance(trials_of(np.zeros((9, 6)), 8, correlated(6), rng))
    precision = np.linalg.inv(covariance)
    expected = by_definition(trials, lambda i, j: precision)
    np.testing.assert_allclose(rdm_crossnobis(trials, noise=covariance), expected, atol=1e-12)
    with pytest.raises(InputError, match=r"covariance of shape \(6, 6\), found shape \(5, 5\)"):
        rdm_crossnobis(trials, noise=covariance[:5, :5])
    with pytest.raises(InputError, match="cannot be inverted"):
        rdm_crossnobis(trials, noise=-covariance)


def test_crossnobis_of_noiseless_trials_is_the_squared_euclidean_distance(rng):
    means = rng.normal(size=(6, 8))
    trials = np.repeat(means[:, None], 3, axis=1)
    np.testing.assert_allclose(
        rdm_crossnobis(trials, noise="none"), rdm_squared_euclidean(means), atol=1e-12
    )


@pytest.mark.parametrize("noise", ["covariance", "diagonal", "none"])
@pytest.mark.parametrize(
    ("n", "repeats", "units", "samples"),
    [(40, 4, 60, 30), (60, 2, 40, 40), (10, 2, 8, 300), (6, 3, 20, 200), (12, 8, 10, 100)],
)
def test_equal_stimuli_are_0_apart_on_average(rng, noise, n, repeats, units, samples):
    """With the covariance of all trials the second is 0.2 and the first 0.12 apart."""
    root = correlated(units, 0.5, 3)
    above = np.triu_indices(n, 1)
    means = np.array(
        [
            rdm_crossnobis(trials_of(np.zeros((n, units)), repeats, root, rng), noise=noise)[
                above
            ].mean()
            for _ in range(samples)
        ]
    )
    error = means.std() / np.sqrt(samples)
    assert abs(means.mean()) < 4 * error
    scale = np.square(root).sum() / units if noise == "none" else 1.0
    assert error < 0.06 * scale  # so that the bias would be seen


def test_skewed_noise_moves_nothing_either(rng):
    means = np.array(
        [
            rdm_crossnobis(rng.exponential(size=(20, 2, 15)) ** 2)[np.triu_indices(20, 1)].mean()
            for _ in range(300)
        ]
    )
    assert abs(means.mean()) < 4 * means.std() / np.sqrt(len(means))


@pytest.mark.parametrize("repeats", [2, 5])
@pytest.mark.parametrize("noise", ["covariance", "diagonal"])
def test_distances_are_the_true_ones_in_the_metric_of_the_estimate(rng, noise, repeats):
    n, units, samples = 5, 6, 250
    root = correlated(units, 0.4, 4)
    means = 2 * rng.normal(size=(n, units))
    estimated, expected = np.zeros((2, samples, n, n))
    for k in range(samples):
        trials = trials_of(means, repeats, root, rng)
        estimated[k] = rdm_crossnobis(trials, noise=noise)
        expected[k] = by_definition(
            np.repeat(means[:, None], 2, axis=1),
            lambda i, j, t=trials: np.linalg.inv(noise_covariance(np.delete(t, [i, j], 0), noise)),
        )
    gap = estimated - expected
    error = gap.std(axis=0) / np.sqrt(samples)
    assert (np.abs(gap.mean(axis=0)) <= 4.5 * error + 1e-12).all()


def test_with_many_trials_it_is_the_mahalanobis_distance(rng):
    units = 5
    root = correlated(units, 0.4, 2)
    means = 3 * rng.normal(size=(30, units))
    estimated = np.mean(
        [rdm_crossnobis(trials_of(means, 40, root, rng)) for _ in range(20)], axis=0
    )
    true = squareform(pdist(means, "mahalanobis", VI=np.linalg.inv(root.T @ root)) ** 2) / units
    above = np.triu_indices(30, 1)
    ratio = estimated[above].sum() / true[above].sum()
    assert ratio == pytest.approx(1.0, abs=0.02)  # what is left is shrinkage
    assert np.corrcoef(estimated[above], true[above])[0, 1] > 0.99


def test_neither_scale_nor_order_matter(rng):
    trials = trials_of(rng.normal(size=(8, 6)), 3, correlated(6, 0.5, 5), rng)
    for noise in ("covariance", "diagonal"):
        rdm = rdm_crossnobis(trials, noise=noise)
        for scale in (1e-30, 1 / 3, 1e20):
            np.testing.assert_allclose(
                rdm_crossnobis(trials * scale, noise=noise), rdm, rtol=1e-9, atol=1e-12
            )
        order = rng.permutation(8)
        np.testing.assert_allclose(
            rdm_crossnobis(trials[order][:, :, ::-1], noise=noise),
            rdm[np.ix_(order, order)],
            rtol=1e-9,
            atol=1e-12,
        )


def test_crossnobis_is_right_on_average_where_the_plain_distance_is_not(rng):
    """Two equal stimuli and one apart, noise correlated between units."""
    units = 10
    root = correlated(units)
    means = np.zeros((3, units))
    means[2] = rng.normal(size=units)
    true = rdm_squared_euclidean(means)
    draws = [trials_of(means, 4, root, rng) for _ in range(800)]
    ours = np.array([rdm_crossnobis(t, noise="none") for t in draws])
    error = ours.std(axis=0) / np.sqrt(len(draws))
    assert (np.abs(ours.mean(axis=0) - true) <= 4 * error + 1e-12).all()
    assert (ours[:, 0, 1] < 0).any()  # so that it can be 0 on average
    plain = np.mean([rdm_squared_euclidean(t.mean(axis=1)) for t in draws], axis=0)
    assert plain[0, 1] > 0.3


def test_the_covariance_is_that_of_the_noise(rng):
    units = 6
    root = correlated(units, 0.7, 10)
    trials = trials_of(rng.normal(size=(40, units)), 60, root, rng)
    covariance = root.T @ root
    for kind, expected in (
        ("covariance", covariance),
        ("diagonal", np.diag(covariance.diagonal())),
        ("none", np.eye(units)),
    ):
        estimated = noise_covariance(trials, kind)
        np.testing.assert_allclose(estimated, expected, atol=0.1 * np.abs(expected).max())


def test_the_covariance_is_ledoit_and_wolf_s(rng):
    trials = rng.normal(size=(12, 5, 7))
    residuals = (trials - trials.mean(axis=1, keepdims=True)).reshape(-1, 7) * np.sqrt(5 / 4)
    expected = LedoitWolf(assume_centered=True).fit(residuals).covariance_
    np.testing.assert_allclose(noise_covariance(trials), expected, atol=1e-10)


def test_folds_where_trials_are_missing(rng):
    trials = rng.normal(size=(3, 6, 2))
    np.testing.assert_array_equal(fold_means(trials), trials)
    np.testing.assert_allclose(fold_means(trials, 2)[:, 1], trials[:, 1::2].mean(axis=1))
    trials[1, 3, 0] = np.nan
    means = fold_means(trials)  # 6, 5 and 4 folds would leave one empty, as 3 has no other trial
    assert means.shape == (3, 3, 2)
    assert means[1, 0, 0] == trials[1, 0, 0]
    np.testing.assert_allclose(means[0, 0], trials[0, [0, 3]].mean(axis=0))
    assert np.isfinite(rdm_crossnobis(trials)).all()
    assert np.isfinite(rdm_crossnobis(trials, noise="diagonal")).all()
    with pytest.raises(InputError, match="unit 0 has no trial of stimulus 1 in fold 3 of 6"):
        fold_means(trials, 6)


def test_missing_trials_of_single_units(rng):
    """The diagonal uses all trials; the covariance only repeats that are complete."""
    trials = rng.normal(size=(4, 6, 3)) * [1.0, 2.0, 3.0]
    holes = trials.copy()
    holes[:, ::2, 0] = np.nan
    complete = noise_covariance(trials[:, 1::2])
    assert noise_covariance(holes).shape == complete.shape
    several = np.nanvar(holes[:, :, 0], axis=1, ddof=1).mean()
    np.testing.assert_allclose(noise_covariance(holes, "diagonal")[0, 0], several)
    holes[:, 1::2, 1] = np.nan
    for weigh in (noise_covariance, rdm_crossnobis):
        with pytest.raises(InputError, match=r'all 3 units have a trial; found 0.*"diagonal"'):
            weigh(holes)


@pytest.mark.parametrize("noise", ["covariance", "diagonal"])
def test_missing_trials_by_definition(rng, noise):
    """Whole trials and single units' trials are missing; folds are means of what is there."""
    trials = rng.normal(size=(6, 6, 3)) * [1.0, 2.0, 3.0]
    trials[2, 4] = np.nan
    trials[0, 1, 2] = trials[4, 5, 0] = np.nan
    means = fold_means(trials, 3)
    expected = by_definition(
        means,
        lambda i, j: np.linalg.inv(noise_covariance(np.delete(trials, [i, j], axis=0), noise)),
    )
    np.testing.assert_allclose(rdm_crossnobis(trials, noise=noise, folds=3), expected, atol=1e-12)


def test_bad_input(rng):
    X = rng.normal(size=(4, 5))
    trials = rng.normal(size=(4, 3, 5))
    with pytest.raises(InputError, match=r"needs single trials.*found \(4, 5\)"):
        rdm_crossnobis(X)
    with pytest.raises(InputError, match=r"2 repeats or more, found \(4, 1, 5\)"):
        rdm_crossnobis(trials[:, :1])
    with pytest.raises(InputError, match=r"unknown noise 'cov'.*covariance"):
        rdm_crossnobis(trials, noise="cov")
    with pytest.raises(InputError, match="1 folds of 3 repeats"):
        rdm_crossnobis(trials, folds=1)
    for noise in ("covariance", "diagonal"):
        with pytest.raises(InputError, match=r'2 stimuli: .* 3 or more are needed.*"none"'):
            rdm_crossnobis(trials[:2], noise=noise)
    assert np.isfinite(rdm_crossnobis(trials[:2], noise="none")).all()
    trials[:2, ..., 3] = 1.0
    with pytest.raises(InputError, match=r"1 of 5 units .* 3 stimuli or more .*unit 3, 2 stimuli"):
        rdm_crossnobis(trials)
    trials[..., 4] = 2.0
    with pytest.raises(InputError, match=r"2 of 5 units have no noise variance"):
        rdm_crossnobis(trials, noise="diagonal")
    trials[0, 0, 0] = np.inf
    with pytest.raises(InputError, match="infinite"):
        rdm_crossnobis(trials)


@pytest.mark.filterwarnings("ignore")  # of the other library
def test_beside_rsatoolbox(rng):
    rsatoolbox = pytest.importorskip("rsatoolbox", reason="rsatoolbox is not installed")
    trials = rng.normal(size=(20, 5, 12)) + rng.normal(size=(20, 1, 12))
    covariance = noise_covariance(rng.normal(size=(10, 5, 12)))
    single = rsatoolbox.data.Dataset(
        trials.reshape(100, 12),
        obs_descriptors={"s": np.repeat(np.arange(20), 5), "r": np.tile(np.arange(5), 20)},
    )
    for ours, theirs in ((covariance, np.linalg.inv(covariance)), ("none", None)):
        rdms = rsatoolbox.rdm.calc_rdm(
            single, "crossnobis", descriptor="s", cv_descriptor="r", noise=theirs
        )
        np.testing.assert_allclose(
            rdm_crossnobis(trials, noise=ours), rdms.get_matrices()[0], atol=1e-12
        )
