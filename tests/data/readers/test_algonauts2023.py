"""The Algonauts 2023 layout: rows by file name, ROIs of all classes, nothing run from pickles."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from striate.core.errors import InputError
from striate.core.hashing import hash_image
from striate.data import make_split, read
from tests.data.layouts import mark_simulated, picture, save_picture, write_algonauts


def images_of(root: Path, subject: str = "subj01") -> Path:
    return root / subject / "training_split" / "training_images"


def fmri_of(root: Path, side: str = "lh", subject: str = "subj01") -> Path:
    return root / subject / "training_split" / "training_fmri" / f"{side}_training_fmri.npy"


def test_everything(algonauts):
    data = read("algonauts2023", algonauts)
    assert list(data) == ["subj01", "subj06", "subj08"]
    responses = data["subj01"].responses
    left, right = np.load(fmri_of(algonauts)), np.load(fmri_of(algonauts, "rh"))
    np.testing.assert_array_equal(responses.data.values, np.hstack([left, right]))
    assert responses.unit_ids[5:7] == ["lh-00005", "rh-00000"]
    assert responses.stimulus_ids[0] == "train-0001_nsd-00000"
    assert np.isnan(responses.noise_ceiling).all()
    assert not data.simulated
    assert "NSD" in data.facts["source"]


def test_rois_overlap_are_empty_and_have_no_trailing_blanks(algonauts):
    responses = read("algonauts2023", algonauts, subjects=["subj01"])["subj01"].responses
    assert responses.rois == ["V1v", "V1d", "hV4", "OFA", "mTL-faces"]
    left = {t.roi: t.units.tolist() for t in responses.targets(hemispheres=["lh"])}
    assert left == {"V1v": [0, 1, 2], "V1d": [3], "hV4": [4], "OFA": [2, 3, 4]}
    right = {t.roi: t.units.tolist() for t in responses.targets(hemispheres=["rh"])}
    assert right["V1v"] == [6, 7, 8, 12, 13, 14]  # labels repeat after six of nine vertices
    assert responses.targets(["mTL-faces"]) == []


def test_subjects_have_their_own_vertex_counts(algonauts):
    data = read("algonauts2023", algonauts)
    assert {s: r.responses.data.shape for s, r in data.items()} == {
        "subj01": (8, 15),
        "subj06": (7, 12),
        "subj08": (6, 12),
    }
    sides = data["subj06"].responses.data.coords["hemisphere"].values
    assert (list(sides).count("lh"), list(sides).count("rh")) == (5, 7)


def test_selectors(algonauts):
    data = read("algonauts2023", algonauts, subjects=[8, 1], hemispheres=["rh"], rois=["V1d"])
    assert list(data) == ["subj08", "subj01"]
    responses = data["subj01"].responses
    assert responses.unit_ids == ["rh-00003"]
    np.testing.assert_array_equal(responses.data.values, np.load(fmri_of(algonauts, "rh"))[:, [3]])
    assert "OFA" in responses.rois  # that vertex is in both
    union = read("algonauts2023", algonauts, subjects=[1], hemispheres="lh", rois=["hV4", "OFA"])
    assert union["subj01"].responses.unit_ids == ["lh-00002", "lh-00003", "lh-00004"]


def test_one_hemisphere_stays_on_disk(algonauts):
    recording = read("algonauts2023", algonauts, subjects=[1], hemispheres=["lh"])["subj01"]
    values = recording.responses.data.values
    assert not values.flags.writeable  # a view of the read-only map
    assert isinstance(values.base, np.memmap)


def test_an_empty_roi_has_no_units_and_no_targets(algonauts):
    recording = read("algonauts2023", algonauts, subjects=[1], rois=["mTL-faces"])["subj01"]
    assert recording.responses.data.shape == (8, 0)
    assert recording.responses.targets() == []


def test_a_subject_folder_itself(algonauts):
    assert list(read("algonauts2023", algonauts / "subj06")) == ["subj06"]


def test_stray_files_and_missing_numbers_of_other_kinds_do_no_harm(algonauts):
    before = read("algonauts2023", algonauts, subjects=[1])["subj01"]
    folder = images_of(algonauts)
    save_picture(folder / "aaa.png", 99)
    save_picture(folder / "train-0001_nsd-00000 copy.png", 99)
    (folder / "._train-0001_nsd-00000.png").write_bytes(b"x")
    (folder / "Thumbs.db").write_bytes(b"x")
    after = read("algonauts2023", algonauts, subjects=[1])["subj01"]
    assert after.stimuli.ids == before.stimuli.ids
    assert after.stimuli.hashes == before.stimuli.hashes


def test_rows_go_by_the_number_in_the_name_not_by_sort_order(algonauts):
    folder = images_of(algonauts)
    for file in folder.iterdir():  # 1 … 8 without leading zeros, 8 becomes 10 of ten
        file.rename(file.with_name(file.name.replace("train-000", "train-")))
    for row, seed in ((9, 20), (10, 21)):
        save_picture(folder / f"train-{row}_nsd-{seed:05d}.png", seed)
    for side in ("lh", "rh"):
        values = np.load(fmri_of(algonauts, side))
        np.save(fmri_of(algonauts, side), np.vstack([values, values[:2]]))
    recording = read("algonauts2023", algonauts, subjects=[1])["subj01"]
    assert [i.split("_")[0] for i in recording.stimuli.ids] == [f"train-{r}" for r in range(1, 11)]
    assert recording.stimuli.hashes[9] == hash_image(picture(21))


def test_images_shared_by_subjects_are_in_one_part(algonauts):
    write_algonauts(algonauts, "subj02", seeds=range(40))
    write_algonauts(algonauts, "subj03", seeds=range(20, 60))
    data = read("algonauts2023", algonauts, subjects=["subj02", "subj03"])
    split = make_split(data)
    parts = split.table.groupby("hash")["part"].agg(["nunique", "size"])
    assert (parts["nunique"] == 1).all()
    assert (parts["size"] == 2).sum() == 20


def test_an_image_missing_in_the_middle(algonauts):
    (images_of(algonauts) / "train-0003_nsd-00002.png").unlink()
    with pytest.raises(InputError, match=r"images of 1 rows are missing, first train-0003"):
        read("algonauts2023", algonauts)


def test_fewer_images_than_rows(algonauts):
    (images_of(algonauts) / "train-0008_nsd-00007.png").unlink()
    with pytest.raises(InputError, match=r"lh_training_fmri\.npy: \(8, 6\) .* for 7 training"):
        read("algonauts2023", algonauts)


def test_more_images_than_rows(algonauts):
    save_picture(images_of(algonauts) / "train-0009_nsd-00099.png", 99)
    with pytest.raises(InputError, match=r"\(8, 6\) .* for 9 training images of subject subj01"):
        read("algonauts2023", algonauts)


def test_two_images_for_a_row(algonauts):
    save_picture(images_of(algonauts) / "train-0003_nsd-00099.png", 99)
    with pytest.raises(InputError, match=r"row 3 has two images, train-0003_nsd-"):
        read("algonauts2023", algonauts)


def test_no_images(algonauts):
    for file in images_of(algonauts).iterdir():
        file.unlink()
    with pytest.raises(InputError, match=r"no images named like train-0001_nsd-00013\.png"):
        read("algonauts2023", algonauts)


def test_truncated_responses_say_how_many_bytes(algonauts):
    file = fmri_of(algonauts, "rh")
    size = file.stat().st_size
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(InputError, match=rf"rh_training_fmri\.npy is truncated.* {size} bytes"):
        read("algonauts2023", algonauts)


@pytest.mark.parametrize("junk", [b"", b"\x93NUM", b"<html>not found</html>"])
def test_responses_that_are_no_npy(algonauts, junk):
    fmri_of(algonauts).write_bytes(junk)
    with pytest.raises(InputError, match=r"lh_training_fmri\.npy is not a \.npy file"):
        read("algonauts2023", algonauts)


def test_object_dtype_is_refused(algonauts):
    np.save(fmri_of(algonauts), np.zeros((8, 6), dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match=r"holds Python objects, which could run code"):
        read("algonauts2023", algonauts)


def test_missing_responses(algonauts):
    fmri_of(algonauts).unlink()
    with pytest.raises(InputError, match=r"lh_training_fmri\.npy does not exist"):
        read("algonauts2023", algonauts)


def test_nan_rows_stay_nan(algonauts):
    values = np.load(fmri_of(algonauts))
    values[3] = np.nan
    np.save(fmri_of(algonauts), values)
    means = read("algonauts2023", algonauts, subjects=[1])["subj01"].responses.mean()
    assert np.isnan(means[3, :6]).all()
    assert np.isfinite(np.delete(means, 3, axis=0)).all()


class Evil:
    """Makes a file where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("wrapped", [True, False])
def test_a_malicious_mapping_is_refused_and_not_run(algonauts, tmp_path, wrapped):
    mark = tmp_path / "it-ran"
    file = algonauts / "subj01" / "roi_masks" / "mapping_floc-faces.npy"
    value = {0: "Unknown", 1: Evil(mark)} if wrapped else Evil(mark)
    np.save(file, np.array(value, dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match=r"mapping_floc-faces\.npy is no plain mapping.*Refused"):
        read("algonauts2023", algonauts)
    assert not mark.exists()
    np.load(file, allow_pickle=True)  # the file does run code where it is let
    assert mark.exists()


@pytest.mark.parametrize("cut", [1, 20, 60])
def test_truncated_mapping(algonauts, cut):
    file = algonauts / "subj01" / "roi_masks" / "mapping_floc-faces.npy"
    file.write_bytes(file.read_bytes()[:-cut])
    with pytest.raises(InputError, match=r"mapping_floc-faces\.npy is no plain mapping"):
        read("algonauts2023", algonauts)


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (np.array([{0: "a"}, {1: "b"}], dtype=object), "should hold a dict, found ndarray"),
        (np.array(["V1v"], dtype=object), "should hold a dict, found str"),
        (np.arange(3), "should hold a mapping of ROI labels, found an array of int64"),
        (np.array({"V1v": 1}), "label 'V1v' is no whole number"),
    ],
)
def test_mappings_that_are_none(algonauts, content, named):
    file = algonauts / "subj01" / "roi_masks" / "mapping_floc-faces.npy"
    np.save(file, content, allow_pickle=True)
    with pytest.raises(InputError, match=named):
        read("algonauts2023", algonauts)


def test_mapping_with_numpy_labels_and_an_older_pickle(algonauts):
    file = algonauts / "subj01" / "roi_masks" / "mapping_floc-faces.npy"
    mapping = {np.int64(0): "Unknown", np.int64(1): np.str_("OFA")}
    np.save(file, np.array(mapping), allow_pickle=True)
    whole = file.read_bytes()
    for protocol in (3, 4):
        header = whole[: whole.index(b"\n") + 1]
        file.write_bytes(header + pickle.dumps(np.array(mapping, dtype=object), protocol))
        responses = read("algonauts2023", algonauts, subjects=[1])["subj01"].responses
        assert responses.rois == ["V1v", "V1d", "hV4", "OFA"]


def test_a_mask_of_another_subject(algonauts):
    masks = algonauts / "subj01" / "roi_masks"
    np.save(masks / "rh.floc-faces_challenge_space.npy", np.zeros(7, dtype=int))
    with pytest.raises(InputError, match=r"rh\.floc-faces.*\(7,\) labels for 9 vertices of rh"):
        read("algonauts2023", algonauts)


def test_a_class_that_only_one_hemisphere_has(algonauts):
    for side, kind in (("rh", "floc-faces"), ("lh", "prf-visualrois")):
        (algonauts / "subj01" / "roi_masks" / f"{side}.{kind}_challenge_space.npy").unlink()
    responses = read("algonauts2023", algonauts, subjects=[1])["subj01"].responses
    assert {(t.hemisphere, t.roi) for t in responses.targets()} == {
        ("lh", "OFA"),
        ("rh", "V1v"),
        ("rh", "V1d"),
        ("rh", "hV4"),
    }


def test_wrong_names_offer_the_nearest(algonauts):
    with pytest.raises(InputError, match=r"ROI 'V1vv'. Did you mean V1v.*Subject subj01"):
        read("algonauts2023", algonauts, rois=["V1vv"])
    with pytest.raises(InputError, match=r"hemisphere 'middle'. Known: lh, rh"):
        read("algonauts2023", algonauts, hemispheres=["middle"])
    sides = [read("algonauts2023", algonauts, hemispheres=[s])["subj01"] for s in ("LH", "Left ")]
    assert all(side.responses.hemispheres == ["lh"] for side in sides)
    with pytest.raises(InputError, match=r"subject 'subj1'. Did you mean subj01"):
        read("algonauts2023", algonauts, subjects=["subj1"])
    with pytest.raises(InputError, match=r"subject 'subj02'"):
        read("algonauts2023", algonauts, subjects=[2])
    with pytest.raises(InputError, match=r"selector of algonauts2023 'roi'. Did you mean rois"):
        read("algonauts2023", algonauts, roi=["V1v"])
    with pytest.raises(InputError, match=r"data set 'algonauts'. Did you mean algonauts2023"):
        read("algonauts", algonauts)


def test_another_folder(tmp_path):
    with pytest.raises(InputError, match=r"no subj01 … folders"):
        read("algonauts2023", tmp_path)


def test_simulated_data_says_so(algonauts):
    mark_simulated(algonauts / "subj06")
    data = read("algonauts2023", algonauts)
    assert data.simulated
    assert [r.responses.simulated for r in data.values()] == [False, True, False]
    responses = data["subj06"].responses
    np.testing.assert_array_equal(responses.noise_ceiling, 0.5)
    assert "simulated" in responses.data.attrs["source"]
    part = read("algonauts2023", algonauts, subjects=[6], rois=["V1d"])["subj06"].responses
    assert part.noise_ceiling.shape == (2,)


@pytest.mark.parametrize("truth", [{}, {"noise_ceiling": {"lh": [0.5], "rh": [0.5]}}])
def test_a_simulation_without_its_ceilings(algonauts, truth):
    (algonauts / "subj01" / "SIMULATED.json").write_text(json.dumps(truth))
    with pytest.raises(InputError, match=r"SIMULATED\.json: expected noise_ceiling\.lh with 6"):
        read("algonauts2023", algonauts)


def test_a_half_written_simulation_note(algonauts):
    (algonauts / "subj01" / "SIMULATED.json").write_text('{"noise_')
    with pytest.raises(InputError, match=r"SIMULATED\.json is not valid JSON"):
        read("algonauts2023", algonauts)


def test_hemispheres_of_different_types_are_joined_as_numbers(algonauts):
    fmri = algonauts / "subj01" / "training_split" / "training_fmri"
    values = np.arange(8 * 6).reshape(8, 6) * 1000
    np.save(fmri / "lh_training_fmri.npy", values.astype(">i2"))
    np.save(fmri / "rh_training_fmri.npy", np.full((8, 9), 60000, np.float16))
    responses = read("algonauts2023", algonauts, subjects=["subj01"])["subj01"].responses
    assert responses.data.dtype == np.float32
    expected = np.hstack([values.astype(">i2"), np.full((8, 9), 60000, np.float16)], dtype=float)
    np.testing.assert_array_equal(responses.mean(), expected)
    left = read("algonauts2023", algonauts, subjects=["subj01"], hemispheres=["lh"])["subj01"]
    np.testing.assert_array_equal(left.responses.mean(), expected[:, :6])


def test_two_labels_of_one_name_are_refused(algonauts):
    masks = algonauts / "subj01" / "roi_masks"
    for mapping in ({0: "Unknown", 1: "V1v", 2: "V1v "}, {1: "V1v", 2: "  "}):
        np.save(masks / "mapping_prf-visualrois.npy", np.array(mapping), allow_pickle=True)
        with pytest.raises(InputError, match=r"mapping_prf-visualrois\.npy: label 2 is called"):
            read("algonauts2023", algonauts, subjects=["subj01"])


def test_labels_as_text_are_refused(algonauts):
    file = algonauts / "subj01" / "roi_masks" / "lh.floc-faces_challenge_space.npy"
    np.save(file, np.load(file).astype(str))
    with pytest.raises(InputError, match=r"floc-faces_challenge.*expected numbers of labels"):
        read("algonauts2023", algonauts, subjects=["subj01"])
