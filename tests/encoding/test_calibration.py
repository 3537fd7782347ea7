"""Intervals and nulls on simulated stimuli whose truth is known, with groups and without.

Bounds are what the binomial error of each simulation allows around the promise (95 % and 5 %), or
around what the docstrings say where they promise less.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from striate.data.splits.bundles import group_numbers
from striate.encoding.inference import (
    bootstrap_p,
    fdr,
    mean_interval,
    percentile_interval,
    permutation_p,
    resampled_means,
    share_over_subjects,
    shuffled_means,
    sign_flip_p,
)
from striate.encoding.resampling import FEW, make_resampling, resample_models, share_interval
from striate.encoding.scores import mean_r, score_r, share_improved

SIZES = {
    "6 movies": [22] * 6,
    "10 movies": [22] * 10,
    "20 movies": [8] * 20,
    "50 movies": [4] * 50,
    "6 unequal": [3, 4, 6, 9, 14, 20],
    "10 unequal": [2, 3, 3, 4, 5, 7, 9, 12, 16, 20],
    "20 unequal": [*range(2, 12)] * 2,
    "movies and images": [12] * 8 + [1] * 30,
    "pairs among images": [2] * 6 + [1] * 60,
    "a pair among images": [2] + [1] * 98,
    "30 images": [1] * 30,
    "45 images": [1] * 45,
    "images": [1] * 100,
    "many images": [1] * 220,
}
"""Stimuli of each group."""


def fields(rng, sizes, units, within=0.9, shared=0.5):
    """Values (n, units) that groups share by `within`, and units by `shared`; variance 1."""
    members = np.repeat(np.arange(len(sizes)), sizes)

    def noise(n):
        independent = np.sqrt(1 - shared) * rng.normal(size=(n, units))
        return np.sqrt(shared) * rng.normal(size=(n, 1)) + independent

    return np.sqrt(within) * noise(len(sizes))[members] + np.sqrt(1 - within) * noise(len(members))


def labels_of(sizes):
    return [f"m{i}" if size > 1 else "" for i, size in enumerate(sizes) for _ in range(size)]


def within_error(hits, promise, slack=0.0):
    """Whether a share agrees with a promise: three binomial errors, and what is said besides."""
    n, share = len(hits), float(np.mean(hits))
    reach = 3 * np.sqrt(promise * (1 - promise) / n)
    return promise - reach - slack <= share <= promise + reach + slack


@pytest.mark.parametrize("kind", SIZES)
def test_intervals_of_scores_and_differences_cover(kind):
    """Percentiles of single frames cover 26 % with 6 movies, of movies 88 %."""
    sizes, rho, units = SIZES[kind], 0.5, 6
    groups, inside, apart = labels_of(sizes), [], []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        y, e, other = (fields(rng, sizes, units) for _ in range(3))
        noises = {"a": e, "b": 0.8 * e + 0.6 * other}
        models = {k: rho * y + np.sqrt(1 - rho**2) * noise for k, noise in noises.items()}
        resampling = make_resampling(len(y), groups, samples=300, seed=seed)
        draws = resample_models(y, models, resampling)
        r = {k: mean_r(score_r(y, x)) for k, x in models.items()}
        interval = resampling.interval(r["a"], draws["a"])
        inside.append(interval.low <= rho <= interval.high)
        gap = resampling.interval(r["a"] - r["b"], draws["a"] - draws["b"])
        apart.append(gap.low <= 0 <= gap.high)
        p = resampling.p(r["a"] - r["b"], draws["a"] - draws["b"])
        assert (p >= 0.05) == apart[-1]  # the test and the interval agree
    assert within_error(inside, 0.95, 0.01), np.mean(inside)
    assert within_error(apart, 0.95, 0.03), np.mean(apart)  # few groups: up to 98 %


def test_single_frames_would_not_cover():
    """The case that groups are for: 6 movies of 22 frames."""
    hits = []
    for seed in range(150):
        rng = np.random.default_rng(seed)
        y = fields(rng, [22] * 6, 6)
        x = 0.5 * y + np.sqrt(0.75) * fields(rng, [22] * 6, 6)
        alone = make_resampling(len(y), None, 200, seed)
        interval = alone.interval(0.0, resampled_means(y, x, alone.counts))
        hits.append(interval.low <= 0.5 <= interval.high)
    assert np.mean(hits) < 0.5


@pytest.mark.parametrize("kind", SIZES)
def test_a_model_of_nothing_leaves_the_null_in_one_of_twenty(kind):
    """Of single frames it left it in 37 % with 6 movies."""
    sizes, units, p = SIZES[kind], 4, []
    groups = labels_of(sizes)
    for seed in range(200):
        rng = np.random.default_rng(seed)
        y, x = fields(rng, sizes, units), fields(rng, sizes, units)
        null = shuffled_means(y, x, 39, seed, groups)
        p.append(permutation_p(mean_r(score_r(y, x)), null))
    p = np.array(p)
    assert within_error(p <= 0.05, 0.05), (p <= 0.05).mean()
    assert np.mean(p) == pytest.approx(0.5, abs=0.07)


def test_few_groups_have_no_small_p():
    rng = np.random.default_rng(0)
    for n, least in ((2, 1 / 2), (3, 1 / 6), (4, 1 / 24), (5, 1 / 120), (6, 1 / 720)):
        y = fields(rng, [10] * n, 4)
        null = shuffled_means(y, y, 1000, 0, labels_of([10] * n))
        assert permutation_p(1.0, null) == pytest.approx(least)


def test_stimuli_without_groups_are_drawn_as_ever():
    """Bitwise: many that stand alone are bootstrapped by the same draws as before."""
    n = FEW
    counts = np.random.default_rng(5).multinomial(n, np.full(n, 1 / n), size=20)
    for groups in (None, [""] * n, [f"m{i}" for i in range(n)]):
        resampling = make_resampling(n, groups, 20, 5)
        assert not resampling.jackknife and resampling.over == "images"
        np.testing.assert_array_equal(resampling.counts, counts)
    few = make_resampling(FEW - 1)
    assert few.jackknife and few.over == "images by jackknife"


@pytest.mark.parametrize("n_groups", [1, 2])
def test_fewer_than_three_groups_have_no_interval(n_groups, rng):
    """With two, what one tells is of frames within it: intervals held 88 % and p fired in 11 %."""
    groups = [f"m{i % n_groups}" for i in range(8)]
    y, x = rng.normal(size=(2, 8, 3))
    resampling = make_resampling(8, groups)
    assert resampling.n_groups == n_groups
    draws = resampled_means(y, x, resampling.counts)
    score, share = resampling.interval(0.3, draws), share_interval(y, x, x + y, groups)
    assert np.isnan([score.low, score.high, share.low, share.high]).all()
    assert np.isnan(resampling.p(0.3, draws)) and share.value == 0.0


@settings(max_examples=100, deadline=None)
@given(st.integers(40, 400), st.integers(0, 2**31), st.floats(-3, 3), st.integers(1, 3))
def test_a_bootstrap_interval_holds_nought_where_its_p_is_not_below_five_percent(
    samples, seed, shift, digits
):
    draws = np.random.default_rng(seed).normal(shift, 1, samples).round(digits)
    interval = percentile_interval(shift, draws)
    assert (interval.low <= 0 <= interval.high) == (bootstrap_p(draws) >= 0.05)
    assert np.isnan(percentile_interval(shift, draws[:39]).low)  # whose p is at least 0.05


def test_what_does_not_vary_has_no_small_p():
    """A model that is exact beside one that is constant: no spread over stimuli, and no test."""
    y = np.random.default_rng(0).normal(size=(12, 3))
    resampling = make_resampling(12)
    draws = resample_models(y, {"a": y, "b": np.ones_like(y), "c": 2 * y}, resampling)
    assert np.isnan(resampling.p(1.0, draws["a"] - draws["b"]))
    assert resampling.p(0.0, draws["a"] - draws["c"]) == 1.0


def test_many_groups_are_left_out_in_sets(monkeypatch):
    monkeypatch.setattr("striate.encoding.resampling.LARGEST_JACKKNIFE", 40)
    groups = [f"m{i // 2}" for i in range(400)]
    resampling = make_resampling(400, groups)
    assert resampling.counts.shape == (40, 400)
    left = 1 - resampling.counts
    assert (left.sum(axis=0) == 1).all() and (left.sum(axis=1) == 10).all()
    members = group_numbers(groups, 400)
    assert all(len(np.unique(row[members == k])) == 1 for row in left for k in range(200))
    hits = []
    for seed in range(150):
        rng = np.random.default_rng(seed)
        y = fields(rng, [2] * 200, 3)
        x = 0.5 * y + np.sqrt(0.75) * fields(rng, [2] * 200, 3)
        r = mean_r(score_r(y, x))
        interval = resampling.interval(r, resampled_means(y, x, resampling.counts))
        hits.append(interval.low <= 0.5 <= interval.high)
    assert within_error(hits, 0.95)


@pytest.mark.parametrize(
    ("kind", "gain", "spread", "shared"),
    [
        ("images", 0.0, 0.0, 0.1),
        ("images", 0.0, 0.05, 0.6),
        ("images", 0.05, 0.05, 0.1),
        ("images", 0.05, 0.0, 0.6),
        ("10 movies", 0.0, 0.0, 0.1),
        ("10 movies", 0.05, 0.05, 0.6),
        ("10 movies", 0.12, 0.05, 0.1),
        ("20 unequal", 0.05, 0.05, 0.3),
    ],
)
def test_the_share_of_units_improved_is_covered(kind, gain, spread, shared):
    """What the share is on average over test sets of this size; percentiles cover 74 %."""
    sizes, units = SIZES[kind], 40
    within = 0.9 if max(sizes) > 1 else 0.0
    gains = gain + spread * np.linspace(-1.7, 1.7, units)
    base, tuned, groups = 0.4, np.clip(0.4 + gains, -0.9, 0.95), labels_of(sizes)
    shares, intervals = [], []
    for seed in range(160):
        rng = np.random.default_rng(seed)
        y, e, other = (fields(rng, sizes, units, within, shared) for _ in range(3))
        b = base * y + np.sqrt(1 - base**2) * e
        m = tuned * y + np.sqrt(1 - tuned**2) * (0.9 * e + np.sqrt(0.19) * other)
        intervals.append(share_interval(y, m, b, groups, samples=200, seed=seed))
        assert intervals[-1].value == share_improved(score_r(y, m), score_r(y, b))
        shares.append(intervals[-1].value)
    hits = [interval.low <= np.mean(shares) <= interval.high for interval in intervals]
    assert np.mean(hits) >= 0.95 - 3 * np.sqrt(0.95 * 0.05 / len(hits)), np.mean(hits)
    wide = np.mean([interval.high - interval.low for interval in intervals])
    assert wide < 8 * np.std(shares)  # and by more than being endless


def test_the_share_of_what_cannot_be_known(rng):
    y = rng.normal(size=(40, 5))
    same = share_interval(y, y, y)
    assert (same.value, same.low, same.high) == (0, 0, 0)  # a tie is no improvement
    flat = np.full_like(y, 2.0)
    better = share_interval(y, y + rng.normal(size=y.shape), flat)
    assert better.value == 1 and better.low == 1
    assert np.isnan(share_interval(y * np.nan, y, y).value)
    assert np.isnan(share_interval(y, y, y, ["m"] * 40).low)


def test_intervals_and_tests_over_subjects():
    rng = np.random.default_rng(0)
    d = rng.normal(size=(1500, 8))
    intervals = [mean_interval(row) for row in d]
    assert within_error([interval.low <= 0 <= interval.high for interval in intervals], 0.95)
    assert within_error([sign_flip_p(row) <= 0.05 for row in d[:600]], 0.05)
    assert within_error([sign_flip_p(row, i, 400) <= 0.05 for i, row in
                         enumerate(rng.normal(size=(400, 14)))], 0.05, 0.01)  # fmt: skip


def test_false_discoveries_are_one_in_twenty():
    """Half of 20 ROIs have an effect: of those that are found 5 % times half are false."""
    rng = np.random.default_rng(1)
    wrong = []
    for _ in range(400):
        z = np.abs(rng.normal(size=20) + np.repeat([0.0, 3.5], 10))
        significant = fdr(2 * norm.sf(z)) < 0.05
        wrong.append(significant[:10].sum() / max(significant.sum(), 1))
    assert np.mean(wrong) == pytest.approx(0.025, abs=0.008)


def test_order_type_and_scale_do_not_matter(rng):
    """Values and intervals of grouped stimuli, in any order, dtype, byte order and scale."""
    sizes = [5, 3, 8, 1, 1, 6, 4]
    groups = np.array(labels_of(sizes))
    y = fields(rng, sizes, 6).astype(np.float32)
    x = (y + fields(rng, sizes, 6)).astype(np.float32)
    rows, units = rng.permutation(len(y)), rng.permutation(6)

    def interval(y, x, groups):
        resampling = make_resampling(len(y), groups)
        value = mean_r(score_r(y, x))
        estimate = resampling.interval(value, resampled_means(y, x, resampling.counts))
        return [estimate.value, estimate.low, estimate.high]

    whole = interval(y, x, groups)
    for other in (
        interval(y[rows], x[rows], groups[rows]),
        interval(y[:, units], x[:, units], groups),
        interval(y.astype(np.float64), x.astype(">f4"), groups),
        interval(y * np.float32(1024), x * np.float32(2**-20), groups),
        interval(y + 64, x, groups),
    ):
        np.testing.assert_allclose(other, whole, rtol=1e-5)


@pytest.mark.parametrize(("subjects", "units"), [(3, 1), (4, 5), (6, 1), (6, 40), (12, 5)])
@pytest.mark.parametrize("share", [0.5, 0.8, 0.95])
def test_intervals_of_shares_over_subjects_cover(subjects, units, share):
    """Where all subjects have a share of 1, Student's t is one point, and held 14 to 90 %."""
    rng = np.random.default_rng(subjects)
    shares = rng.binomial(units, share, (400, subjects)) / units
    intervals = [share_over_subjects(by_subject, np.full(subjects, units)) for by_subject in shares]
    hits = np.mean([interval.low - 1e-9 <= share <= interval.high + 1e-9 for interval in intervals])
    assert hits >= 0.95 - 3 * np.sqrt(0.05 * 0.95 / 400), hits
    assert all(0 <= interval.low <= interval.value <= interval.high <= 1 for interval in intervals)
    assert np.isnan(share_over_subjects(shares[0, :1], np.array([units])).low)
