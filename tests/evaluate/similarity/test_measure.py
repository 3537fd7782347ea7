"""RSA: scores, intervals that contain what they should, and the IT RDMs of 92 images."""

from __future__ import annotations

from importlib import import_module

import numpy as np
import pytest

from striate.core.errors import InputError
from striate.data import read, read_rdms_92images
from striate.encoding import (
    bootstrap_p,
    compare_rdms,
    noise_ceiling_rdms,
    permutation_p,
    rdm_correlation,
    rdm_crossnobis,
    rdm_euclidean,
    rdm_squared_euclidean,
)
from striate.encoding.rdm_similarity import METHODS
from striate.evaluate.similarity.measure import rsa
from striate.evaluate.similarity.models import rsa_table, shuffled_similarity


def simulate(n=20, subjects=4, noise=1.0, seed=0):
    """RDMs of subjects that share a code, of a model near to it and of one of nothing."""
    rng = np.random.default_rng(seed)
    code = rng.normal(size=(n, 15))
    data = [rdm_correlation(code + noise * rng.normal(size=code.shape)) for _ in range(subjects)]
    near = rdm_correlation(code + 0.5 * rng.normal(size=code.shape))
    return {"near": near, "nothing": rdm_correlation(rng.normal(size=(n, 15)))}, np.array(data)


@pytest.mark.parametrize("method", METHODS)
def test_scores_and_ceiling(method):
    models, data = simulate(n=30)
    result = rsa(models, data, method=method, samples=200)
    for name, rdm in models.items():
        similarity = compare_rdms(rdm, data, method)
        np.testing.assert_allclose(result.by_subject[name], similarity)
        score = result.scores[name]
        assert score.value == pytest.approx(similarity.mean())
        assert score.low < score.value < score.high
    assert result.ceiling == noise_ceiling_rdms(data, method)
    assert result.ceiling[0] < result.ceiling[1]
    assert result.n_pairs == 435
    difference = result.differences["near", "nothing"]
    assert difference.interval.low > 0
    assert 0 < difference.p == difference.p_fdr < 0.05
    if method != "cosine":  # positive numbers have a cosine far above 0
        assert result.scores["nothing"].low < 0.1


def test_resamples_by_hand(monkeypatch):
    """The weights give what indexing and dropping self-pairs gives, model by model."""
    monkeypatch.setattr("striate.encoding.resampling.FEW", 30)  # else one is left out at a time
    models, data = simulate(n=30)
    result = rsa(models, data, samples=20, seed=3)
    shares = np.full(30, 1 / 30)
    counts = np.random.default_rng(3).multinomial(30, shares, size=20)
    for sample, count in enumerate(counts):
        drawn = np.repeat(np.arange(30), count)
        same = drawn[:, None] == drawn
        for name, rdm in models.items():
            a = np.where(same, np.nan, rdm[np.ix_(drawn, drawn)])
            b = np.array([np.where(same, np.nan, d[np.ix_(drawn, drawn)]) for d in data])
            assert result.samples[name][sample] == pytest.approx(compare_rdms(a, b).mean())


def test_blocks_do_not_matter(monkeypatch):
    models, data = simulate(n=10)
    whole = rsa(models, data, samples=50)
    monkeypatch.setattr(import_module("striate.evaluate.similarity.measure"), "BLOCK_BYTES", 10_000)
    parts = rsa(models, data, samples=50)
    np.testing.assert_array_equal(whole.samples["near"], parts.samples["near"])


def test_the_same_model_twice_does_not_differ():
    models, data = simulate(n=10)
    result = rsa({"a": models["near"], "b": models["near"]}, data, samples=50)
    assert result.differences["a", "b"].p == 1
    assert result.differences["a", "b"].interval.value == 0


def test_one_subject_has_no_ceiling():
    models, data = simulate(n=10)
    result = rsa(models, data[0], samples=20)
    assert np.isnan(result.ceiling).all()
    assert result.by_subject["near"].shape == (1,)


def test_undefined_pairs_are_left_out_of_all():
    models, data = simulate(n=12)
    defined = np.arange(1, 12)
    data[2, 0, :] = data[2, :, 0] = np.nan
    result = rsa(models, data, samples=20)
    smaller = {name: rdm[np.ix_(defined, defined)] for name, rdm in models.items()}
    np.testing.assert_allclose(
        result.by_subject["near"], rsa(smaller, data[:, 1:, 1:], samples=20).by_subject["near"]
    )
    assert result.n_pairs == 55
    with pytest.raises(InputError, match="0 pairs of stimuli are defined in every RDM"):
        rsa({"nan": np.full((12, 12), np.nan)}, data)


def test_groups_widen_intervals_where_stimuli_are_copies():
    """Each stimulus five times: resampling copies singly pretends to five times the stimuli."""
    models, data = simulate(n=12)
    copies = np.repeat(np.arange(12), 5)
    jitter = 0.01 * np.random.default_rng(0).random((60, 60))
    np.fill_diagonal(jitter, 0)
    many = {k: m[np.ix_(copies, copies)] + jitter + jitter.T for k, m in models.items()}
    subjects = data[:, copies][:, :, copies] + jitter + jitter.T
    singly = rsa(many, subjects, method="cosine", samples=200).scores["nothing"]
    whole = rsa(many, subjects, method="cosine", samples=200, groups=[f"m{c}" for c in copies])
    grouped = whole.scores["nothing"]
    assert grouped.value == singly.value
    assert grouped.high - grouped.low > 1.3 * (singly.high - singly.low)


def test_intervals_hold_what_they_promise():
    """Coverage over new stimuli: models' scores on a large population of stimuli are the truth."""
    rng = np.random.default_rng(5)
    code = rng.normal(size=(400, 10))
    brain = code + rng.normal(size=code.shape)
    model = code + rng.normal(size=code.shape)
    truth = float(compare_rdms(rdm_correlation(model), rdm_correlation(brain)))
    inside = 0
    for _ in range(60):
        rows = rng.choice(400, 25, replace=False)
        score = rsa(
            {"m": rdm_correlation(model[rows])}, rdm_correlation(brain[rows]), samples=150
        ).scores["m"]
        inside += score.low <= truth <= score.high
    assert inside >= 52


@pytest.mark.parametrize("method", METHODS)
def test_a_perfect_model_lies_between_the_bounds(method):
    """On average over noise: no better than the upper bound, no worse than the lower."""
    rng = np.random.default_rng(6)
    similarities = np.zeros((60, 3))
    for row in similarities:
        code = rng.normal(size=(12, 20))
        single = code[:, None] + 2 * rng.normal(size=(4, 12, 3, 20))
        subjects = np.array([rdm_crossnobis(trials, noise="none") for trials in single])
        perfect = compare_rdms(rdm_squared_euclidean(code), subjects, method).mean()
        row[:] = (*noise_ceiling_rdms(subjects, method), perfect)
    lower, upper, perfect = similarities.T
    for gap in (perfect - lower, upper - perfect):
        assert gap.mean() > 4 * gap.std() / np.sqrt(len(gap))


def test_a_model_of_nothing_fires_in_5_percent_where_stimuli_are_grouped():
    """Eight movies of four frames: shuffled singly, frames of two movies look like one code."""
    rng = np.random.default_rng(7)
    labels = [f"m{i}" for i in range(8) for _ in range(4)]

    def code():
        movies = np.repeat(rng.normal(size=(8, 10)), 4, axis=0)
        return rdm_correlation(np.sqrt(0.9) * movies + np.sqrt(0.1) * rng.normal(size=(32, 10)))

    fired = np.zeros((2, 150), dtype=bool)
    for i in range(150):
        model, brain = code(), code()
        value = float(compare_rdms(model, brain))
        for row, groups in zip(fired, (labels, None), strict=True):
            null = shuffled_similarity(model, brain, permutations=39, groups=groups)
            row[i] = permutation_p(value, null) <= 0.05
    assert fired[0].mean() < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 150)
    assert fired[1].mean() > 0.5


def test_few_groups_have_a_null_of_few_and_no_p():
    models, data = simulate(n=10)
    for groups, ways in ((["a"] * 4 + ["b"] * 6, 2), (list("aaabbbcccc"), 6), (["a"] * 10, 1)):
        null = shuffled_similarity(models["near"], data, groups=groups)
        assert null.shape == (ways - 1,)  # groups change places, also longer with shorter ones
    table, _ = rsa_table(models, data, groups=list("aaabbbcccc"), samples=50)
    assert table["p"].isna().all() and table["null"].notna().all()


@pytest.mark.parametrize("sizes", [[3, 5, 7, 9, 11, 13], [2, 12] * 4, [4] + [1] * 25])
def test_a_model_of_nothing_is_above_its_null_in_five_percent_where_movies_differ(sizes):
    """A shorter movie in the place of a longer one has frames twice, 0 apart; so it holds."""
    member = np.repeat(np.arange(len(sizes)), sizes)
    groups = [f"m{i}" if sizes[i] > 1 else "" for i in member]
    rng, p = np.random.default_rng(4), []

    def code():
        movies = rng.normal(size=(len(sizes), 8))[member]
        frames = np.sqrt(0.9) * movies + np.sqrt(0.1) * rng.normal(size=(len(member), 8))
        return rdm_squared_euclidean(frames)

    for _ in range(150):
        model, brain = code(), code()
        null = shuffled_similarity(model, brain, permutations=39, groups=groups)
        p.append(permutation_p(float(compare_rdms(model, brain)), null))
    assert np.mean(np.array(p) <= 0.05) < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 150)
    assert np.mean(p) == pytest.approx(0.5, abs=0.09)


def test_shuffled_singly_it_is_the_mantel_test():
    models, data = simulate(n=9)
    order = np.random.default_rng(4).permutation(9)
    expected = compare_rdms(models["near"][np.ix_(order, order)], data).mean()
    shuffled = shuffled_similarity(models["near"], data, permutations=1, seed=4)
    assert shuffled == pytest.approx(expected)


def test_neither_scale_nor_precision_nor_order_change_what_ties_give():
    rng = np.random.default_rng(8)
    categories = np.eye(4)[np.repeat(np.arange(4), 4)]
    data = rdm_correlation(categories @ rng.normal(size=(4, 9)) + rng.normal(size=(16, 9)))
    order = rng.permutation(16)
    whole = rsa({"m": rdm_euclidean(categories)}, data, samples=30).scores["m"]
    for changed in (categories / 3, (categories - 0.25) * 0.7, (categories / 7).astype(np.float32)):
        again = rsa({"m": rdm_euclidean(changed)}, data, samples=30).scores["m"]
        assert again == whole
    moved = rsa({"m": rdm_euclidean(categories[order] / 3)}, data[np.ix_(order, order)], samples=30)
    assert moved.scores["m"].value == pytest.approx(whole.value, abs=1e-12)


def test_bootstrap_p():
    assert bootstrap_p(np.linspace(-1, 1, 100)) == 1
    assert bootstrap_p(np.full(99, 1e-16)) == 1  # rounding of no difference
    assert bootstrap_p(np.full(99, 0.2)) == pytest.approx(2 / 100)
    assert np.isnan(bootstrap_p(np.array([np.nan])))


def test_bad_input():
    models, data = simulate(n=10)
    with pytest.raises(InputError, match=r"model small: RDM of shape \(9, 9\), the data's"):
        rsa({"small": models["near"][:9, :9]}, data)
    with pytest.raises(InputError, match="needs a model"):
        rsa({}, data)
    with pytest.raises(InputError, match="unknown method 'pearson'"):
        rsa(models, data, method="pearson")
    with pytest.raises(InputError, match="3 groups for 10 stimuli"):
        rsa(models, data, groups=["a", "b", "c"])


def test_it_of_92_images(shared_data):
    """Monkey IT is like human IT, and both part animate from inanimate (Kriegeskorte 2008)."""
    rdms = read_rdms_92images(shared_data / "data" / "rdms_92images")
    # one RDM a person: the mean of two sessions
    sessions = np.array([rdms.starting(f"human_{s}_") for s in ("BE", "KO", "SN", "TI")])
    people = sessions.mean(axis=1)
    animate = rdms.categories["animate"]
    pixels = np.stack([rdms.stimuli.image(i).mean(axis=2).ravel() for i in range(92)])
    models = {
        "monkey": rdms["monkey_IT"],
        "animacy": (animate[:, None] != animate).astype(float),
        "pixels": rdm_correlation(pixels[:, ::16]),
    }
    result = rsa(models, people, samples=200)
    assert result.ceiling == pytest.approx((0.372, 0.666), abs=0.001)
    assert result.scores["monkey"].value == pytest.approx(0.296, abs=0.001)
    assert result.scores["animacy"].low > 0.2
    assert result.differences["monkey", "pixels"].p_fdr < 0.05
    spearman = compare_rdms(rdms["monkey_IT"], rdms["human_IT"], "spearman")
    assert spearman == pytest.approx(0.439, abs=0.001)


def test_v1_of_natural_frames(shared_data):
    root = shared_data / "data" / "macaque_v1_henaff2021"
    data = read("henaff_v1", root, subjects=["ay3_u001", "ay3_u002", "ay4_u005"], zooms=[1])
    rdms = np.array([rdm_crossnobis(r.responses.data.values) for r in data.values()])
    stimuli = data["ay3_u001"].stimuli
    assert (rdms < 0).any()
    movies = np.array(stimuli.groups)
    apart = (movies[:, None] != movies).astype(float)
    result = rsa({"movies": apart}, rdms, groups=stimuli.groups, samples=100)
    assert result.scores["movies"].low > 0
    assert 0 < result.ceiling[0] < result.ceiling[1] < 1


@pytest.mark.filterwarnings("ignore")  # of the other library
def test_beside_rsatoolbox():
    rsatoolbox = pytest.importorskip("rsatoolbox", reason="rsatoolbox is not installed")
    models, data = simulate(n=15)
    stack = np.array([*models.values(), np.round(models["near"], 1)])
    for ours, theirs in (("rho_a", "rho-a"), ("spearman", "spearman"), ("cosine", "cosine")):
        a, b = (rsatoolbox.rdm.RDMs(x) for x in (stack, data))
        np.testing.assert_allclose(
            compare_rdms(stack, data, ours), rsatoolbox.rdm.compare(a, b, theirs), atol=1e-12
        )
        np.testing.assert_allclose(
            noise_ceiling_rdms(data, ours),
            rsatoolbox.inference.boot_noise_ceiling(b, method=theirs),
            atol=1e-4,
        )
