"""Macaque V4: small sessions in the published layout, and one real session."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from striate.core.errors import InputError
from striate.core.hashing import hash_image
from striate.data import SplitConfig, diagnose, make_split, read
from striate.data.responses.noise_ceilings import noise_ceiling, split_half
from tests.data.layouts import picture, write_cowley


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_cowley(tmp_path, "190925", seeds=[0, 1, 2, 0, 4, 5], neurons=5)
    write_cowley(tmp_path, "210325", seeds=[4, 5, 6, 7], neurons=3, repeats=4)
    return tmp_path


def test_sessions_are_subjects(root):
    data = read("cowley_v4", root)
    assert list(data) == ["190925", "210325"]
    responses = data["190925"].responses
    stored = np.load(root / "responses_repeat_averaged" / "responses_190925.npy")
    np.testing.assert_array_equal(responses.data.values, stored.T)
    assert responses.unit_ids[:2] == ["190925-000", "190925-001"]
    assert set(responses.data.coords["session"].values) == {"190925"}
    assert [t.name for t in responses.targets()] == ["190925_V4"]
    assert np.isnan(responses.noise_ceiling).all()
    assert not data.simulated


def test_images_by_sorted_name_whatever_the_order_in_the_archive(root):
    stimuli = read("cowley_v4", root)["190925"].stimuli
    assert stimuli.ids[:2] == ("image0001", "image0002")
    assert stimuli.hashes == tuple(hash_image(picture(s)) for s in [0, 1, 2, 0, 4, 5])


def test_single_trials_and_their_ceiling(root):
    trials = np.load(root / "responses_raw" / "responses_210325.npy").transpose(1, 2, 0)
    averaged = read("cowley_v4", root, subjects=["210325"])["210325"].responses
    single = read("cowley_v4", root, subjects=["210325"], repeats=True)["210325"].responses
    assert averaged.data.dims == ("stimulus", "unit")
    assert single.data.dims == ("stimulus", "repeat", "unit")
    np.testing.assert_array_equal(single.data.values, trials)
    np.testing.assert_allclose(single.mean(), averaged.mean())
    for responses in (averaged, single):
        np.testing.assert_allclose(responses.noise_ceiling, noise_ceiling(trials))
        assert np.isfinite(responses.noise_ceiling).all()


def test_asking_for_repeats_where_there_are_none_gives_averages(root):
    responses = read("cowley_v4", root, subjects=["190925"], repeats=True)["190925"].responses
    assert responses.data.dims == ("stimulus", "unit")


def test_images_that_recur_within_and_across_sessions_are_in_one_part(tmp_path):
    write_cowley(tmp_path, "190925", seeds=[*range(40), *range(20)])
    write_cowley(tmp_path, "210325", seeds=range(30, 90))
    table = make_split(read("cowley_v4", tmp_path), SplitConfig(held_out=("210325",))).table
    parts = table.groupby("hash")["part"].agg(["nunique", "size"])
    assert (parts["nunique"] == 1).all()
    assert (parts["size"] == 2).sum() == 30


def test_numbers_for_sessions(root):
    assert list(read("cowley_v4", root, subjects=[210325])) == ["210325"]


def test_wrong_names_offer_the_nearest(root):
    with pytest.raises(InputError, match=r"V4 session '190926'. Did you mean 190925"):
        read("cowley_v4", root, subjects=["190926"])
    with pytest.raises(InputError, match=r"selector of cowley_v4 'repeat'. Did you mean repeats"):
        read("cowley_v4", root, repeat=True)
    with pytest.raises(InputError, match=r"data set 'cowley'. Did you mean cowley_v4"):
        read("cowley", root)


def test_another_folder(tmp_path):
    with pytest.raises(InputError, match=r"no images/images_SESSION\.zip"):
        read("cowley_v4", tmp_path)


@pytest.mark.parametrize("images", [5, 7])
def test_more_or_fewer_images_than_responses(root, images):
    file = root / "responses_repeat_averaged" / "responses_190925.npy"
    np.save(file, np.zeros((5, images)))
    with pytest.raises(InputError, match=rf"expected \(neurons, 6 images\), found \(5, {images}\)"):
        read("cowley_v4", root)


def test_trials_of_another_session(root):
    np.save(root / "responses_raw" / "responses_210325.npy", np.zeros((3, 5, 4)))
    with pytest.raises(InputError, match=r"expected \(3, 4\) .* found \(3, 5, 4\)"):
        read("cowley_v4", root)


def test_trials_without_the_dim_of_repeats(root):
    np.save(root / "responses_raw" / "responses_210325.npy", np.zeros((3, 4)))
    with pytest.raises(InputError, match=r"responses_raw.*found \(3, 4\)"):
        read("cowley_v4", root)


def test_truncated_files_are_named(root):
    file = root / "responses_repeat_averaged" / "responses_190925.npy"
    whole = file.read_bytes()
    file.write_bytes(whole[:-8])
    with pytest.raises(InputError, match=rf"is truncated.* needs {len(whole)} bytes"):
        read("cowley_v4", root)
    file.write_bytes(whole)
    archive = root / "images" / "images_190925.zip"
    archive.write_bytes(archive.read_bytes()[:200])
    with pytest.raises(InputError, match=r"images_190925\.zip is damaged"):
        read("cowley_v4", root)


def test_responses_missing(root):
    (root / "responses_repeat_averaged" / "responses_190925.npy").unlink()
    with pytest.raises(InputError, match=r"responses_190925\.npy does not exist"):
        read("cowley_v4", root)


def test_hidden_files_of_an_archive_do_not_count(root):
    with zipfile.ZipFile(root / "images" / "images_190925.zip", "a") as archive:
        archive.writestr("__MACOSX/._image0001.png", b"x")
    assert len(read("cowley_v4", root)["190925"].stimuli) == 6


def test_a_real_session(shared_data):
    root = shared_data / "data" / "macaque_v4_cowley2023"
    data = read("cowley_v4", root, subjects=["210325"], repeats=True)
    recording = data["210325"]
    assert recording.responses.data.shape == (640, 10, 50)
    assert (recording.stimuli.ids[0], recording.stimuli.ids[-1]) == ("image0001", "image0640")
    assert recording.stimuli.image(0).shape == (112, 112, 3)
    # The averages that are distributed beside the trials are theirs.
    averaged = read("cowley_v4", root, subjects=["210325"])["210325"].responses.mean()
    np.testing.assert_allclose(recording.responses.mean(), averaged, atol=1e-6)
    trials = recording.responses.data.values
    ceiling = recording.responses.noise_ceiling
    assert ((ceiling > 0.2) & (ceiling < 1)).all()
    np.testing.assert_allclose(ceiling, np.sqrt(split_half(trials, 10)), atol=0.03)
    assert not data.simulated
    split = make_split(data)
    assert split.counts().to_numpy().sum() == 640


@pytest.mark.parametrize("dtype", ["<f2", ">f4", ">f8", "<u1", ">i4", "<i8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_the_type_of_the_files_changes_nothing(tmp_path, dtype, order):
    generator = np.random.default_rng(0)
    trials = 2 * generator.integers(0, 60, (3, 6, 4))
    trials[..., 2:] = trials[..., :2]  # so that averages are whole numbers
    pairs = []
    for name, kind in (("wanted", "f8"), ("given", dtype)):
        root = tmp_path / name
        write_cowley(root, "190925", seeds=range(6), neurons=3, repeats=4)
        for part, values in (("raw", trials), ("repeat_averaged", trials.mean(axis=2))):
            file = root / f"responses_{part}" / "responses_190925.npy"
            np.save(file, np.asarray(values.astype(kind), order=order))
        assert diagnose(root).ok
        pairs.append([read("cowley_v4", root, repeats=r)["190925"].responses for r in (0, 1)])
    for wanted, given in zip(*pairs, strict=True):
        assert given.data.dtype.isnative and given.data.dtype in (np.float32, np.float64)
        np.testing.assert_array_equal(given.mean(), wanted.mean())
        np.testing.assert_array_equal(given.noise_ceiling, wanted.noise_ceiling)
    rolled = np.roll(trials, 1, axis=1).astype(dtype)
    np.save(tmp_path / "given" / "responses_raw" / "responses_190925.npy", rolled)
    assert not diagnose(tmp_path / "given").ok
