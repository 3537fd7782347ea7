"""Macaque V1: a small stand-in of the published layout, and the real recordings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from striate.core.errors import InputError, LeakError
from striate.data import Split, SplitConfig, StimulusSet, diagnose, make_split, read
from striate.data.images.lookalikes import near_duplicates
from striate.data.responses.noise_ceilings import noise_ceiling, split_half
from tests.data.layouts import write_henaff

COUNTS = "v1_spike_counts.npz"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_henaff(tmp_path)
    return tmp_path


def change(root: Path, **arrays: np.ndarray | None) -> None:
    """Replace arrays of the counts, or remove them where None is given."""
    with np.load(root / COUNTS) as file:
        whole = {name: file[name] for name in file.files}
    np.savez(root / COUNTS, **{k: v for k, v in {**whole, **arrays}.items() if v is not None})


def test_sessions_are_subjects_with_single_trials(root):
    data = read("henaff_v1", root)
    assert list(data) == ["ay1_u001", "ay2_u003"]
    responses = data["ay1_u001"].responses
    assert responses.data.dims == ("stimulus", "repeat", "unit")
    assert responses.data.shape == (220, 6, 4)
    assert responses.unit_ids[:2] == ["ay1_u001-000", "ay1_u001-001"]
    assert [t.name for t in responses.targets()] == ["ay1_u001_V1"]
    np.testing.assert_allclose(responses.noise_ceiling, noise_ceiling(responses.data.values))
    assert not data.simulated


def test_each_image_has_its_own_counts(root):
    data = read("henaff_v1", root)["ay2_u003"]
    with np.load(root / COUNTS) as file:
        counts = file["ay2_u003_counts"]
    for name, zoom, movie, frame in (
        ("zoom1x/movie1/natural01", 0, 0, 0),
        ("zoom2x/movie10/natural03", 1, 9, 2),
    ):
        row = data.stimuli.ids.index(name)
        assert data.stimuli.sources[row] == root / f"stimSelected-{name}.png"
        stored = counts[zoom, 0, movie, frame].T.astype(float)
        stored[stored == 255] = np.nan
        np.testing.assert_array_equal(data.responses.data.values[row], stored)


def test_averages(root):
    trials = read("henaff_v1", root)["ay1_u001"].responses
    means = read("henaff_v1", root, repeats=False)["ay1_u001"].responses
    assert means.data.dims == ("stimulus", "unit")
    np.testing.assert_array_equal(means.data.values, trials.mean())
    np.testing.assert_array_equal(means.noise_ceiling, trials.noise_ceiling)


def test_chosen_zooms_and_movies(root):
    chosen = read("henaff_v1", root, zooms=[2], movies=["10", 3])["ay1_u001"]
    assert len(chosen.stimuli) == 22
    assert chosen.stimuli.ids[0] == "zoom2x/movie3/natural01"
    whole = read("henaff_v1", root)["ay1_u001"]
    rows = whole.stimuli.indices(chosen.stimuli.ids)
    np.testing.assert_array_equal(chosen.responses.data.values, whole.responses.data.values[rows])


def test_units_that_are_reliable(root):
    whole = read("henaff_v1", root, subjects=["ay1_u001"])["ay1_u001"].responses
    reliability = split_half(whole.data.values)
    limit = float(np.sort(reliability)[1:3].mean())
    reliable = read("henaff_v1", root, subjects=["ay1_u001"], min_reliability=limit)
    names = np.array(whole.unit_ids)[reliability >= limit]
    assert reliable["ay1_u001"].responses.unit_ids == names.tolist()
    assert len(names) == 2
    with pytest.raises(InputError, match=r"no unit of session ay1_u001 .* the best has 0\."):
        read("henaff_v1", root, min_reliability=1.01)


def test_a_movie_is_in_one_part(root):
    data = read("henaff_v1", root)
    split = next_split(data)
    assert (split.table.groupby("group")["part"].nunique() == 1).all()
    assert set(split.table["group"]) == {f"movie{m}" for m in range(1, 11)}
    # both sessions, both zooms
    assert (split.table.groupby("group").size() == 2 * 2 * 11).all()
    # the split of one session agrees with that of both
    alone = make_split(read("henaff_v1", root, subjects=["ay2_u003"]), SplitConfig(seed=split_seed))
    both = dict(zip(split.table["group"], split.table["part"], strict=True))
    assert dict(zip(alone.table["group"], alone.table["part"], strict=True)) == both


split_seed = 4


def next_split(data) -> Split:
    """Make a split; with ten groups most seeds leave some part empty."""
    global split_seed
    for split_seed in range(200):
        try:
            return make_split(data, SplitConfig(seed=split_seed))
        except InputError as error:
            assert "10 that can be divided" in str(error)
    raise AssertionError("no seed fills all parts")


def test_a_group_in_two_parts_is_a_leak(root, tmp_path):
    table = next_split(read("henaff_v1", root)).table
    Split(table).save(tmp_path / "splits.parquet")
    assert Split.load(tmp_path / "splits.parquet").table.equals(table)
    frame = (table["stimulus_id"] == "zoom1x/movie2/natural05").to_numpy()
    table.loc[frame, "part"] = "fit" if table.loc[frame, "part"].iloc[0] != "fit" else "test"
    with pytest.raises(LeakError, match=r"1 groups of images .* ay1_u001/zoom1x/movie2/natural"):
        Split.from_table(table)


def test_doctor_knows_the_layout_and_takes_frames_of_a_movie_for_what_they_are(root):
    diagnosis = diagnose(root)
    assert (diagnosis.dataset, diagnosis.ok) == ("henaff_v1", True)
    thumbnails = read("henaff_v1", root)["ay1_u001"].stimuli.thumbnails
    assert len(near_duplicates(thumbnails))  # so there would be something to warn of
    assert not [f for f in diagnosis.findings if f.level == "warning"]


def test_doctor_sees_past_the_first_problem(root):
    (root / "stimSelected-zoom1x" / "movie3" / "natural04.png").unlink()
    (root / "stimSelected-zoom2x" / "movie3" / "natural04.png").write_bytes(b"no image")
    change(root, ay1_u001_counts=np.zeros((2, 3, 10, 11, 4), np.uint8))
    diagnosis = diagnose(root)
    text = "\n".join(f.found for f in diagnosis.findings if f.level == "error")
    assert (diagnosis.dataset, diagnosis.ok) == ("henaff_v1", False)
    assert "1 of 220 natural frames have no image (zoom1x/movie3/natural04)" in text
    assert "natural04.png" in text
    assert "ay1_u001_counts should be" in text
    (root / COUNTS).unlink()
    assert diagnose(root).dataset == "henaff_v1"


def test_wrong_names_offer_the_nearest(root):
    with pytest.raises(InputError, match=r"V1 session 'ay1_u002'. Did you mean ay1_u001"):
        read("henaff_v1", root, subjects=["ay1_u002"])
    with pytest.raises(InputError, match=r"unknown zoom '3'.*Known: 1, 2"):
        read("henaff_v1", root, zooms=[3])
    with pytest.raises(InputError, match=r"unknown movie '11'"):
        read("henaff_v1", root, movies=[1, 11])
    with pytest.raises(InputError, match=r"no movie is asked for"):
        read("henaff_v1", root, movies=[])


def test_missing_and_damaged_files(root):
    (root / "stimSelected-zoom2x" / "movie7" / "natural11.png").unlink()
    with pytest.raises(InputError, match=r"1 of 220 images are missing .*movie7/natural11\.png"):
        read("henaff_v1", root)
    assert len(read("henaff_v1", root, zooms=[1])["ay1_u001"].stimuli) == 110


def test_damaged_counts(root):
    whole = (root / COUNTS).read_bytes()
    (root / COUNTS).write_bytes(whole[:1000])
    with pytest.raises(InputError, match=r"v1_spike_counts\.npz cannot be read"):
        read("henaff_v1", root)
    broken = bytearray(whole)
    broken[2000:3000] = bytes(1000)
    (root / COUNTS).write_bytes(bytes(broken))
    with pytest.raises(InputError, match=r"npz cannot be read: .*Copy or"):
        read("henaff_v1", root)
    np.save(root / "one.npy", np.zeros(3))
    (root / "one.npy").replace(root / COUNTS)
    with pytest.raises(InputError, match=r"npz cannot be read"):
        read("henaff_v1", root)
    (root / COUNTS).unlink()
    with pytest.raises(InputError, match=r"has no v1_spike_counts\.npz"):
        read("henaff_v1", root)


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        (np.zeros((2, 3, 10, 11, 4), np.uint8), r"found \(2, 3, 10, 11, 4\)"),
        (np.zeros((2, 3, 9, 11, 4, 5), np.uint8), r"10 movies, 11 frames, units, repeats\), found"),
        (np.zeros((2, 3, 10, 11, 0, 5), np.uint8), r"found \(2, 3, 10, 11, 0, 5\)"),
        (np.zeros((2, 3, 10, 11, 4, 5)), r"uint8 with 255 for no trial, found float64"),
        (np.array([{}], dtype=object), r"cannot be read"),
    ],
)
def test_counts_of_another_form(root, counts, message):
    change(root, ay1_u001_counts=counts)
    with pytest.raises(InputError, match=message):
        read("henaff_v1", root)
    assert len(read("henaff_v1", root, subjects=["ay2_u003"])) == 1


def test_no_sessions(root):
    change(root, ay1_u001_counts=None, ay2_u003_counts=None)
    with pytest.raises(InputError, match="has no array SESSION_counts"):
        read("henaff_v1", root)


def test_groups_of_a_stimulus_set():
    images = [np.zeros((2, 2, 3), np.uint8)] * 3
    stimuli = StimulusSet(["a", "b", "c"], images, ["m1", "", "m1"])
    assert stimuli.subset([2, 1]).groups == ("m1", "")
    assert StimulusSet(["a", "b", "c"], images).groups == ("", "", "")
    with pytest.raises(InputError, match="2 groups for 3 stimuli"):
        StimulusSet(["a", "b", "c"], images, ["m1", "m2"])


def test_the_real_recordings(shared_data):
    root = shared_data / "data" / "macaque_v1_henaff2021"
    data = read("henaff_v1", root)
    shapes = {name: recording.responses.data.shape for name, recording in data.items()}
    assert len(shapes) == 7
    assert sum(shape[2] for shape in shapes.values()) == 298
    assert all(shape[0] == 220 for shape in shapes.values())
    responses = data["ay3_u001"].responses
    trials = responses.data.values
    count = (~np.isnan(trials)).sum(axis=1)
    assert (count.min(), count.max()) == (38, 50)
    assert np.nanmax(trials) == 57
    reliability = split_half(trials, 10)
    assert 0.85 < np.median(reliability) < 0.89
    np.testing.assert_allclose(responses.noise_ceiling, np.sqrt(reliability), atol=0.05)
    assert data["ay3_u001"].stimuli.image(0).shape == (256, 256, 3)
    reliable = read("henaff_v1", root, subjects=["ay2_u007"], min_reliability=0.5)
    assert len(reliable["ay2_u007"].responses.unit_ids) < 16
    data = read("henaff_v1", root, subjects=["ay2_u007", "ay5_u002"])
    assert (next_split(data).table.groupby("group")["part"].nunique() == 1).all()
    diagnosis = diagnose(root)
    assert diagnosis.ok
    assert not [f for f in diagnosis.findings if f.level == "warning"]
