"""Pairing checked by pixels: a hint that finds shuffled rows and is quiet where it should be."""

import numpy as np
import pytest

from striate.data import read
from striate.data.doctor import pairing
from striate.data.doctor.findings import Look, Notes
from striate.data.doctor.pairing import check_pairing, describe_pixels, pair_by_pixels
from striate.data.responses.responses import Responses


def pictures(n, seed=0):
    rng = np.random.default_rng(seed)
    coarse = rng.random((n, 4, 4, 3))
    return (np.kron(coarse, np.ones((1, 4, 4, 1))) * 255).astype(np.uint8)


def recorded(values, ids):
    return Responses.build(values, list(ids), subject="ann")


def visual(thumbnails, n_units=12, noise=1.0, seed=1):
    rng = np.random.default_rng(seed)
    x = describe_pixels(thumbnails)
    x = (x - x.mean(axis=0)) / x.std()
    y = x @ rng.standard_normal((x.shape[1], n_units))
    return y / y.std(axis=0) + noise * rng.standard_normal(y.shape)


def test_a_true_pairing_is_seen_and_a_shuffled_one_is_not():
    thumbs = pictures(150)
    y, ids = visual(thumbs), [f"im{i}" for i in range(150)]
    true = pair_by_pixels(thumbs, recorded(y, ids))
    assert true.related and true.r > 0.2 and true.better == ""
    order = np.random.default_rng(3).permutation(150)
    wrong = pair_by_pixels(thumbs, recorded(y[order], ids))
    assert not wrong.related and abs(wrong.r) < 0.1


@pytest.mark.parametrize("truth", ["number", "name", "reverse", "later"])
def test_the_order_that_fits_is_named(truth):
    """Rows lie in one usual order, their ids in another."""
    names = [f"im{i}" for i in range(150)]
    thumbs = pictures(150)
    y = visual(thumbs)
    by_name = sorted(names)
    place = {s: i for i, s in enumerate(names)}
    said, true = {
        "number": (by_name, names),
        "name": (names, by_name),
        "reverse": (names, names[::-1]),
        "later": (names, [names[-1], *names[:-1]]),
    }[truth]
    rows = y[[place[s] for s in true]]
    shown = thumbs[[place[s] for s in said]]
    paired = pair_by_pixels(shown, recorded(rows, said))
    assert truth in paired.better and paired.better_r > 0.2


def test_unrelated_responses_are_called_related_in_five_percent():
    fired = []
    thumbs = pictures(40)
    ids = [f"{i:02d}" for i in range(40)]
    for seed in range(200):
        y = np.random.default_rng(100 + seed).standard_normal((40, 3))
        fired.append(pair_by_pixels(thumbs, recorded(y, ids), seed=seed).related)
    assert 0.01 <= np.mean(fired) <= 0.09  # 5 % within 2.6 standard errors


def test_frames_of_a_movie_are_no_evidence_of_their_own():
    """Responses that go on within a movie, paired with other movies: no relation is claimed."""
    fired = []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        scenes = pictures(8, seed)
        thumbs = np.repeat(scenes, 10, axis=0)
        thumbs = (thumbs * (1 - 0.02 * rng.random((80, 1, 1, 1)))).astype(np.uint8)
        level = np.repeat(rng.standard_normal((8, 5)), 10, axis=0)
        y = level + 0.3 * rng.standard_normal((80, 5))
        groups = [f"movie{i // 10}" for i in range(80)]
        paired = pair_by_pixels(thumbs, recorded(y, [str(i) for i in range(80)]), groups, seed=seed)
        fired.append(paired.related)
    assert np.mean(fired) <= 0.12


def test_nothing_is_said_where_nothing_can_be():
    thumbs, ids = pictures(30), [str(i) for i in range(30)]
    y = visual(thumbs)
    assert pair_by_pixels(thumbs, recorded(np.full_like(y, 2.0), ids)) is None
    assert pair_by_pixels(thumbs, recorded(y, ids), ["a"] * 15 + ["b"] * 15) is None
    assert pair_by_pixels(thumbs[:4], recorded(y[:4], ids[:4])) is None


def test_units_with_gaps_and_wide_arrays_do_no_harm():
    thumbs, ids = pictures(120), [str(i) for i in range(120)]
    y = visual(thumbs, n_units=700)
    y[3, 5] = np.nan
    y[:, 6] = 1.0
    assert pair_by_pixels(thumbs, recorded(y, ids)).related


def test_macaque_v4_is_paired_and_says_so(shared_data):
    data = read("cowley_v4", shared_data / "data/macaque_v4_cowley2023", subjects=["210325"])
    stimuli, responses = data["210325"].stimuli, data["210325"].responses
    paired = pair_by_pixels(stimuli.thumbnails, responses)
    assert paired.related and paired.r > 0.3 and not paired.better
    order = np.random.default_rng(0).permutation(len(stimuli))
    shuffled = recorded(responses.mean()[order], stimuli.ids)
    assert not pair_by_pixels(stimuli.thumbnails, shuffled).related


@pytest.mark.parametrize("wrong", [False, True])
def test_doctor_tells_it_as_a_hint(wrong):
    thumbs = pictures(150)
    y, ids = visual(thumbs), [f"im{i}" for i in range(150)]
    order = np.random.default_rng(3).permutation(150) if wrong else slice(None)
    notes = Notes()
    looks = {name: Look("", thumb) for name, thumb in zip(ids, thumbs, strict=True)}
    check_pairing(notes, recorded(y[order], ids), looks, "ann")
    (finding,) = notes.findings
    assert finding.level == ("warning" if wrong else "ok")
    assert ("no proof" in finding.advice) == wrong
    check_pairing(notes, recorded(y, ids), dict(list(looks.items())[1:]), "ann")
    assert len(notes.findings) == 1


def test_a_row_left_out_in_the_middle_is_seen():
    thumbs = pictures(240)
    y, ids = visual(thumbs, n_units=20, noise=0.5), [f"im{i}" for i in range(240)]
    assert pair_by_pixels(thumbs, recorded(y, ids)).lost == ""
    y[120:] = np.roll(y[120:], 1, axis=0)
    paired = pair_by_pixels(thumbs, recorded(y, ids))
    assert paired.related and paired.lost == "second" and paired.halves[0] > 0.2
    notes = Notes()
    looks = {i: Look(i, t) for i, t in zip(ids, thumbs, strict=True)}
    check_pairing(notes, recorded(y, ids), looks, "ann")
    assert notes.findings[0].level == "warning" and "second half" in notes.findings[0].found


def test_halves_of_unrelated_responses_are_not_told_apart():
    thumbs, ids = pictures(80), [f"im{i}" for i in range(80)]
    for seed in range(40):
        y = np.random.default_rng(seed).standard_normal((80, 6))
        assert pair_by_pixels(thumbs, recorded(y, ids)).lost == ""


def test_a_stimulus_without_a_response_hides_nothing():
    thumbs = pictures(150)
    y, ids = visual(thumbs), [f"im{i}" for i in range(150)]
    y[7] = np.nan
    paired = pair_by_pixels(thumbs, recorded(y, ids))
    assert paired.related and paired.stimuli == 149


def test_of_few_groups_it_is_no_warning_that_nothing_is_found():
    thumbs, ids = pictures(12), [f"im{i}" for i in range(12)]
    notes = Notes()
    looks = {i: Look(i, t) for i, t in zip(ids, thumbs, strict=True)}
    noise = np.random.default_rng(2).standard_normal((12, 5))
    check_pairing(notes, recorded(noise, ids), looks, "ann")
    assert [f.level for f in notes.findings] == ["ok"]
    assert "do not show" in notes.findings[0].found


def test_groups_are_left_out_as_by_fitting_anew():
    rng = np.random.default_rng(0)
    features, y = rng.standard_normal((30, 5)), rng.standard_normal((30, 2))
    labels = np.repeat(np.arange(10), 3)
    distances = ((features[:, None] - features) ** 2).sum(axis=2)
    kernel = np.exp(-distances / np.median(distances[distances > 0]))
    center = np.eye(30) - 1 / 30
    kernel = center @ kernel @ center
    penalty = pairing.SMOOTHING * np.trace(kernel) / 30
    wanted = np.empty_like(y)
    for group in range(10):
        inside = labels == group
        # ridge with an unpenalized constant, by its normal equations
        rest = kernel[np.ix_(~inside, ~inside)] + penalty * np.eye(27)
        border = np.block([[rest, np.ones((27, 1))], [np.ones((1, 27)), np.zeros((1, 1))]])
        solved = np.linalg.solve(border, np.vstack([y[~inside], np.zeros((1, 2))]))
        wanted[inside] = kernel[np.ix_(inside, ~inside)] @ solved[:-1] + solved[-1]
    np.testing.assert_allclose(pairing._make_readout(features, labels) @ y, wanted, atol=1e-10)
