"""Doctor: names every bad thing at once, never raises, and calls good data good."""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from striate.core.errors import InputError
from striate.data import diagnose
from striate.data.doctor import findings as checks
from striate.data.doctor.diagnose import Diagnosis
from tests.data.layouts import (
    mark_simulated,
    picture,
    png_bytes,
    save_picture,
    write_algonauts,
    write_cowley,
    write_images,
)


def has(diagnosis: Diagnosis, level: str, place: str, pattern: str) -> bool:
    return any(
        f.level == level and re.search(place, f.place) and re.search(pattern, f.found)
        for f in diagnosis.findings
    )


def errors(diagnosis: Diagnosis) -> list[str]:
    return [f"{f.place}: {f.found}" for f in diagnosis.findings if f.level == "error"]


def rewrite(file: Path, change) -> None:
    """Load, change and save a `.npy` file."""
    values = np.array(np.load(file))
    np.save(file, change(values))


def truncate(file: Path, share: float = 0.6) -> int:
    size = file.stat().st_size
    file.write_bytes(file.read_bytes()[: int(share * size)])
    return size


# Algonauts 2023


@pytest.fixture
def fmri(algonauts: Path) -> Path:
    return algonauts / "subj06" / "training_split" / "training_fmri" / "lh_training_fmri.npy"


@pytest.fixture
def images(algonauts: Path) -> Path:
    return algonauts / "subj06" / "training_split" / "training_images"


def test_good_algonauts(algonauts):
    diagnosis = diagnose(algonauts)
    assert (diagnosis.dataset, diagnosis.ok, errors(diagnosis)) == ("algonauts2023", True, [])
    assert has(diagnosis, "ok", "subj01/training_images", r"8 images decoded \(12 x 12 pixels\)")
    assert has(diagnosis, "ok", "subj06/rh_training_fmri", r"7 x 7 \(stimuli x units\), float32")
    assert has(diagnosis, "ok", "subj01/roi_masks lh", "5 ROIs, 1 of them empty: mTL-faces")
    assert has(diagnosis, "ok", "subj08/roi_masks lh", "2 of them empty: hV4, mTL-faces")
    assert has(diagnosis, "warning", "subj08", "no single trials and no ceilings")
    assert has(diagnosis, "warning", "roi_masks rh", "no masks of floc-bodies, floc-places")
    assert has(diagnosis, "warning", "subj08/training_images", "6 training images; 8,779 are distr")
    assert has(diagnosis, "ok", "subj01, subj06, subj08", "7 pictures were seen by more than one")
    assert not any("SIMULATED" in f.found for f in diagnosis.findings)


def test_a_subject_folder_itself(algonauts):
    diagnosis = diagnose(str(algonauts / "subj06"))
    assert (diagnosis.dataset, diagnosis.ok) == ("algonauts2023", True)
    assert {f.place.split("/")[0].split()[0] for f in diagnosis.findings} == {"subj06"}


def test_simulated_is_said(algonauts):
    mark_simulated(algonauts / "subj06")
    diagnosis = diagnose(algonauts)
    assert diagnosis.ok
    assert has(diagnosis, "warning", "subj06", "SIMULATED, not measured")
    assert not has(diagnosis, "warning", "^subj01", "SIMULATED")
    assert not has(diagnosis, "warning", "subj06/training_images", "are distributed")


def test_a_broken_note_of_simulation_is_an_error(algonauts):
    (algonauts / "subj06" / "SIMULATED.json").write_text("{")
    assert has(diagnose(algonauts), "error", "subj06", r"SIMULATED\.json is not valid JSON")


def test_it_goes_on_past_the_first_problem(algonauts):
    """One bad thing in every subject, and a whole list of them in one."""
    first = algonauts / "subj01"
    images = first / "training_split" / "training_images"
    (images / "train-0001_nsd-00000.png").write_bytes(b"")
    truncate(images / "train-0002_nsd-00001.png")
    (images / "train-0003_nsd-00002.png").unlink()
    truncate(first / "training_split" / "training_fmri" / "lh_training_fmri.npy")
    (first / "training_split" / "training_fmri" / "rh_training_fmri.npy").write_bytes(b"")
    six = algonauts / "subj06" / "training_split" / "training_fmri"
    rewrite(six / "rh_training_fmri.npy", lambda v: v[:-1])
    eight = algonauts / "subj08" / "roi_masks"
    np.save(eight / "lh.floc-faces_challenge_space.npy", np.zeros(99, dtype=int))
    diagnosis = diagnose(algonauts)
    assert not diagnosis.ok
    assert has(diagnosis, "error", "subj01/training_images", "train-0001.* has zero bytes")
    assert has(diagnosis, "error", "subj01/training_images", "train-0002.* damaged or truncated")
    assert has(diagnosis, "error", "subj01/lh_training_fmri", "is truncated: shape")
    assert has(diagnosis, "error", "subj01/rh_training_fmri", r"is not a \.npy file .*; 0 bytes")
    assert has(diagnosis, "error", "subj06/rh_training_fmri", "6 rows and 7 images do not pair")
    assert has(
        diagnosis, "error", "subj08/roi_masks lh floc-faces", r"\(99,\) labels for 4 vertices"
    )
    assert has(diagnosis, "ok", "subj08/rh_training_fmri", "complete")
    assert has(diagnosis, "ok", "subj08/roi_masks rh", "ROIs")
    assert len(errors(diagnosis)) == 6


def test_a_truncated_image_needs_a_deep_look(algonauts, images):
    truncate(next(images.iterdir()), 0.9)
    assert not diagnose(algonauts).ok
    shallow = diagnose(algonauts, deep=False)
    assert shallow.ok
    assert has(shallow, "ok", "subj06/training_images", "7 images opened, not decoded")
    assert not has(shallow, "ok", "", "seen by more than one")


@pytest.mark.parametrize("deep", [True, False])
@pytest.mark.parametrize("junk", [b"", b"<html>404</html>"])
def test_a_file_that_is_no_image(algonauts, images, junk, deep):
    (images / "train-0001_nsd-00004.png").write_bytes(junk)
    diagnosis = diagnose(algonauts, deep=deep)
    assert has(diagnosis, "error", "subj06/training_images", "zero bytes|is not an image")
    assert has(diagnosis, "ok", "subj06/training_images", "^6 images")


def test_many_broken_images_are_counted(algonauts, images, monkeypatch):
    monkeypatch.setattr(checks, "SHOWN", 2)
    for file in images.iterdir():
        file.write_bytes(b"")
    diagnosis = diagnose(algonauts)
    assert len([e for e in errors(diagnosis) if "zero bytes" in e]) == 2
    assert has(diagnosis, "error", "subj06/training_images", "7 images in all cannot be decoded")


def test_missing_and_extra_images_are_named(algonauts, images):
    (images / "train-0002_nsd-00005.png").unlink()
    save_picture(images / "train-0009_nsd-00777.png", 777)
    diagnosis = diagnose(algonauts)
    named = r"1 rows without an image \(2\), 1 images without a row \(train-0009_nsd-00777"
    assert has(diagnosis, "error", "subj06/lh_training_fmri", named)
    assert has(diagnosis, "error", "subj06/rh_training_fmri", named)


def test_stray_and_double_images(algonauts, images):
    save_picture(images / "aaa.png", 0)
    diagnosis = diagnose(algonauts)
    assert diagnosis.ok
    assert has(diagnosis, "ok", "subj06/training_images", r"1 other files \(aaa\.png\)")
    save_picture(images / "train-0001_nsd-00778.png", 778)
    diagnosis = diagnose(algonauts)
    assert has(
        diagnosis, "error", "subj06/training_images", "row 1 has two images, train-0001_nsd-00"
    )


def test_non_finite_values_are_counted(algonauts, fmri):
    def spoil(values):
        values[2, 3] = np.nan
        values[4, 3] = np.inf
        values[5, 1] = -np.inf
        return values

    rewrite(fmri, spoil)
    diagnosis = diagnose(algonauts)
    assert diagnosis.ok  # usable: three of five units are
    assert has(
        diagnosis,
        "warning",
        "subj06/lh_training_fmri",
        r"2 of 5 units \(first: unit lh-00001, in 1 stimuli\) and 3 of 7 stimuli "
        r"\(first: train-0003_nsd-00006\)",
    )


def test_a_row_of_nan_leaves_no_unit(algonauts, fmri):
    def spoil(values):
        values[2] = np.nan
        return values

    rewrite(fmri, spoil)
    assert has(diagnose(algonauts), "error", "subj06/lh", "5 of 5 units .* 1 of 7 stimuli")


def test_constant_units(algonauts, fmri):
    def spoil(values):
        values[:, [0, 4]] = 3
        return values

    rewrite(fmri, spoil)
    diagnosis = diagnose(algonauts)
    assert diagnosis.ok
    named = r"2 of 5 units never change \(lh-00000, lh-00004\)"
    assert has(diagnosis, "warning", "subj06/lh_training_fmri", named)
    rewrite(fmri, np.zeros_like)
    assert not diagnose(algonauts).ok


def test_values_are_read_in_blocks(algonauts, fmri, monkeypatch):
    def spoil(values):
        values[[1, 6], 2] = np.nan
        values[:, 0] = 1
        return values

    rewrite(fmri, spoil)
    whole = diagnose(algonauts).to_dict()
    monkeypatch.setattr(checks, "BLOCK_BYTES", 1)
    assert diagnose(algonauts).to_dict() == whole


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (np.zeros((7, 5), dtype=object), "holds Python objects"),
        (np.full((7, 5), "a"), "dtype <U1"),
        (np.zeros((7, 5, 2)), r"shape \(7, 5, 2\)"),
        (np.zeros((7, 0)), "holds no value"),
        (np.float64(3), r"shape \(\)"),
    ],
)
def test_responses_of_another_kind(algonauts, fmri, content, named):
    np.save(fmri, content, allow_pickle=True)
    assert has(diagnose(algonauts), "error", "subj06/lh_training_fmri", named)


def test_truncated_responses_say_bytes_found_and_needed(algonauts, fmri):
    size = truncate(fmri)
    sizes = rf"needs {size} bytes, the file has {fmri.stat().st_size}"
    assert has(diagnose(algonauts), "error", "subj06/lh_training_fmri", sizes)


def test_missing_files(algonauts, fmri):
    fmri.unlink()
    masks = algonauts / "subj08" / "roi_masks"
    (masks / "mapping_floc-faces.npy").unlink()
    diagnosis = diagnose(algonauts)
    assert has(diagnosis, "error", "subj06/lh_training_fmri", "does not exist")
    assert has(
        diagnosis, "error", "subj08/roi_masks lh floc-faces", "mapping_floc-faces.* not exist"
    )
    assert has(diagnosis, "ok", "subj08/roi_masks lh", "3 ROIs")  # the other class is still listed


class Evil:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


def test_a_malicious_mapping_is_not_run(algonauts, tmp_path):
    file = algonauts / "subj08" / "roi_masks" / "mapping_floc-faces.npy"
    np.save(file, np.array({1: Evil(tmp_path / "it-ran")}, dtype=object), allow_pickle=True)
    assert has(diagnose(algonauts), "error", "subj08/roi_masks rh floc-faces", "Refused")
    assert not (tmp_path / "it-ran").exists()


def test_labels_without_a_name(algonauts):
    masks = algonauts / "subj06" / "roi_masks"
    rewrite(masks / "lh.floc-faces_challenge_space.npy", lambda v: v * 9)
    diagnosis = diagnose(algonauts)
    assert has(diagnosis, "warning", "subj06/roi_masks lh floc-faces", "labels without a name: 9")


def test_an_interrupted_download(algonauts):
    (algonauts / "subj02").mkdir()
    (algonauts / "subj03" / "roi_masks").mkdir(parents=True)
    diagnosis = diagnose(algonauts)
    for subject in ("subj02", "subj03"):
        assert has(diagnosis, "error", f"{subject}/training_images", "no images")
        assert has(diagnosis, "error", f"{subject}/rh_training_fmri", "does not exist")


def test_subject_folders_of_another_name(tmp_path):
    write_algonauts(tmp_path, "Subj1")
    diagnosis = diagnose(tmp_path)
    assert (diagnosis.dataset, diagnosis.ok) == ("algonauts2023", False)
    assert has(diagnosis, "error", "", "no folders subj01")


def test_copies_within_a_subject(tmp_path):
    write_algonauts(tmp_path, seeds=[0, 1, 2, 3, 1])
    copies = r"1 pictures occur under more than one .*train-0002_nsd-00001, train-0005_nsd-00001"
    assert has(diagnose(tmp_path), "warning", "subj01", copies)


# Macaque V4


@pytest.fixture
def sessions(tmp_path: Path) -> Path:
    root = tmp_path / "v4"
    write_cowley(root, "190925", seeds=[0, 1, 2, 0, 4, 5])
    write_cowley(root, "210325", seeds=[4, 5, 6, 7], neurons=3, repeats=4)
    return root


def test_good_v4(sessions):
    diagnosis = diagnose(sessions)
    assert (diagnosis.dataset, diagnosis.ok, errors(diagnosis)) == ("cowley_v4", True, [])
    assert has(diagnosis, "ok", "210325/responses_raw", r"4 x 4 x 3 \(stimuli x repeats x units\)")
    assert has(diagnosis, "warning", "^190925$", "no single trials and no ceilings")
    assert not has(diagnosis, "warning", "210325", "no single trials")
    assert has(diagnosis, "warning", "190925", r"1 pictures .*image0001, image0004")
    assert has(diagnosis, "ok", "190925, 210325", "2 pictures were seen by more than one")


def test_v4_sessions_lacking_a_file(sessions):
    (sessions / "images" / "images_190925.zip").unlink()
    (sessions / "responses_repeat_averaged" / "responses_210325.npy").unlink()
    diagnosis = diagnose(sessions)
    assert has(diagnosis, "error", "190925/images", r"images_190925\.zip does not exist")
    assert has(diagnosis, "ok", "190925/responses_repeat_averaged", "complete")
    assert has(diagnosis, "error", "210325/responses_repeat_averaged", "does not exist")
    assert has(diagnosis, "ok", "210325/images", "4 images decoded")


def test_v4_damage(sessions):
    truncate(sessions / "images" / "images_190925.zip")
    truncate(sessions / "responses_raw" / "responses_210325.npy")
    with zipfile.ZipFile(sessions / "images" / "images_210325.zip", "a") as archive:
        archive.writestr("image0005.png", png_bytes(9)[:90])
        archive.writestr("image0006.png", b"")
    diagnosis = diagnose(sessions)
    assert has(diagnosis, "error", "190925/images", "is damaged")
    assert has(diagnosis, "error", "210325/responses_raw", "is truncated")
    assert has(diagnosis, "error", "210325/images", r"zip:image0005\.png is damaged")
    assert has(diagnosis, "error", "210325/images", r"zip:image0006\.png has zero bytes")
    assert has(diagnosis, "error", "210325/responses_repeat_averaged", "4 columns for 6 images")


def test_v4_columns_in_another_order(sessions):
    rewrite(sessions / "responses_raw" / "responses_210325.npy", lambda v: v[:, [1, 0, 2, 3]])
    diagnosis = diagnose(sessions)
    assert has(diagnosis, "error", "210325/responses_raw", "not the average in 2 of 4 images")


def test_v4_trials_of_another_shape(sessions):
    rewrite(sessions / "responses_raw" / "responses_210325.npy", lambda v: v[..., 0])
    assert has(diagnose(sessions), "error", "210325/responses_raw", r"shape \(3, 4\)")


def test_v4_stimulus_without_any_trial(sessions):
    def spoil(values):
        values[1, 2] = np.nan
        return values

    rewrite(sessions / "responses_raw" / "responses_210325.npy", spoil)
    diagnosis = diagnose(sessions)
    lost = r"no trial in 1 of 3 units \(first: unit neuron 1, in 1 stimuli\) .*first: image0003"
    assert has(diagnosis, "warning", "210325/responses_raw", lost)


def test_v4_infinite_trial(sessions):
    def spoil(values):
        values[2, 3, 0] = np.inf
        return values

    rewrite(sessions / "responses_raw" / "responses_210325.npy", spoil)
    rewrite(sessions / "responses_repeat_averaged" / "responses_210325.npy", spoil_average)
    lost = r"1 of 3 units \(first: unit neuron 2, in 1 stimuli\) .*first: image0004"
    diagnosis = diagnose(sessions)
    assert has(diagnosis, "warning", "210325/responses_raw", lost)
    assert has(diagnosis, "warning", "210325/responses_repeat_averaged", lost)


def spoil_average(values):
    values[2, 3] = np.inf
    return values


@pytest.mark.parametrize("layout", ["algonauts", "sessions", "mine"])
def test_what_the_reader_refuses_is_never_called_good(request, monkeypatch, layout):
    def refuse(*_: object, **__: object) -> None:
        raise InputError("the reader knows better")

    for reader in ("algonauts2023.read_algonauts2023", "cowley_v4.read_cowley_v4",
                   "folder.examination.read_folder"):  # fmt: skip
        monkeypatch.setattr(f"striate.data.readers.{reader}", refuse)
    diagnosis = diagnose(request.getfixturevalue(layout))
    assert has(diagnosis, "error", "", "the reader knows better")


def test_re_encoded_copies_are_named_across_subjects(tmp_path):
    for subject, form in (("ann", "png"), ("bob", "jpg")):
        (tmp_path / subject / "images").mkdir(parents=True)
        for seed in range(4 if form == "png" else 2):
            file = tmp_path / subject / "images" / f"im{seed}.{form}"
            Image.fromarray(picture(seed, 64)).save(file)
        ids = [p.stem for p in sorted((tmp_path / subject / "images").iterdir())]
        np.save(tmp_path / subject / "responses.npy", np.random.rand(len(ids), 2))
        (tmp_path / subject / "stimulus_ids.txt").write_text("\n".join(ids))
    diagnosis = diagnose(tmp_path)
    assert diagnosis.ok
    named = "2 pairs of images look like one .*: ann/im0 and bob/im0, ann/im1 and bob/im1"
    assert has(diagnosis, "warning", "images", named)
    assert not has(diagnose(tmp_path, deep=False), "warning", "images", "look like one")


def test_v4_real(shared_data):
    diagnosis = diagnose(shared_data / "data" / "macaque_v4_cowley2023", deep=False)
    assert (diagnosis.dataset, diagnosis.ok) == ("cowley_v4", True)
    assert has(diagnosis, "ok", "210325/responses_raw", "640 x 10 x 50")
    assert has(diagnosis, "warning", "190925", "no single trials")


# Anybody's folder


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    root = tmp_path / "mine"
    ids = write_images(root / "images", range(6))
    table = pd.DataFrame(np.random.default_rng(0).normal(size=(6, 3)), columns=list("xyz"))
    table.insert(0, "stimulus_id", ids)
    table.to_csv(root / "responses.csv", index=False)
    return root


def edit(root: Path, change, name: str = "responses.csv") -> None:
    table = pd.read_csv(root / name)
    change(table).to_csv(root / name, index=False)


def test_ids_that_lost_their_zeros(mine):
    edit(mine, lambda t: t.assign(stimulus_id=[i.replace("a000", "a") for i in t["stimulus_id"]]))
    diagnosis = diagnose(mine)
    assert has(diagnosis, "error", "mine/responses.csv", "6 of 6 rows have no image")
    assert any("Is 'a0' the image 'a0000'?" in f.advice for f in diagnosis.findings)


def test_good_folder(mine):
    (mine / "units.csv").write_text(
        "unit_id,roi_V1,roi_V4,noise_ceiling\nx,1,0,.5\ny,1,0,.5\nz,0,0,.5"
    )
    diagnosis = diagnose(mine)
    assert (diagnosis.dataset, diagnosis.ok) == ("folder", True)
    assert {f.level for f in diagnosis.findings} == {"ok"}
    assert has(diagnosis, "ok", "mine/responses.csv", r"6 x 3 \(stimuli x units\)")
    assert has(diagnosis, "ok", "mine ROIs", "2 ROIs, 1 of them empty: V4")


def test_folder_without_repeats(mine):
    assert has(diagnose(mine), "warning", "mine", "no single trials and no ceilings")


def test_folder_with_repeats_has_a_ceiling(tmp_path):
    ids = write_images(tmp_path / "images", range(6))
    np.save(tmp_path / "responses.npy", np.random.default_rng(0).normal(size=(6, 2, 3)))
    (tmp_path / "stimulus_ids.txt").write_text("\n".join(ids))
    assert {f.level for f in diagnose(tmp_path).findings} == {"ok"}


def test_folder_mispaired(mine):
    edit(mine, lambda t: t.assign(stimulus_id=["q1", "q2", *t["stimulus_id"][2:]]))
    diagnosis = diagnose(mine)
    assert has(diagnosis, "error", "mine/responses.csv", r"2 of 6 rows have no image \(q1, q2\)")
    assert has(
        diagnosis, "error", "mine/responses.csv", r"2 of 6 images have no row \(a0000, a0001\)"
    )


def test_folder_duplicate_ids(mine):
    edit(mine, lambda t: pd.concat([t, t[:1]]))
    assert has(diagnose(mine), "error", "mine/responses.csv", "1 stimulus ids .*: a0000")


def test_folder_shuffled_rows_are_fine(mine):
    edit(mine, lambda t: t[::-1])
    assert diagnose(mine).ok


@pytest.mark.parametrize("name", ["responses.csv", "units.csv"])
def test_folder_files_of_zero_bytes(mine, name):
    (mine / name).write_bytes(b"")
    assert has(diagnose(mine), "error", "mine/responses.csv", rf"{name} cannot be read")


def test_folder_without_responses(mine):
    (mine / "responses.csv").unlink()
    diagnosis = diagnose(mine)
    assert (diagnosis.dataset, diagnosis.ok) == ("folder", False)
    assert has(diagnosis, "error", "mine", "images, but no responses")
    assert has(diagnosis, "ok", "images", "6 images decoded")


def test_folder_without_images(mine):
    for file in (mine / "images").iterdir():
        file.unlink()
    diagnosis = diagnose(mine)
    assert has(diagnosis, "error", "images", "no images in")
    assert has(diagnosis, "ok", "mine/responses.csv", "complete")
    (mine / "images").rmdir()
    assert has(diagnose(mine), "error", "images", "does not exist")


def test_folder_with_two_response_files(mine):
    pd.read_csv(mine / "responses.csv").to_parquet(mine / "responses.parquet")
    assert has(diagnose(mine), "error", "mine", r"responses in responses\.csv, responses\.parquet")


def test_folder_with_several_subjects(mine):
    for name, rows in (("anna", slice(0, 4)), ("bert", slice(2, 6))):
        (mine / name).mkdir()
        pd.read_csv(mine / "responses.csv")[rows].to_csv(mine / name / "responses.csv", index=False)
    (mine / "responses.csv").unlink()
    truncate(mine / "images" / "a0005.png")  # only bert saw it
    diagnosis = diagnose(mine)
    assert has(diagnosis, "error", "images", r"a0005\.png is damaged")
    assert has(diagnosis, "ok", "anna/responses.csv", r"2 of 6 shared images have no row")
    assert has(diagnosis, "ok", "anna, bert", "2 pictures were seen by more than one")


def test_folder_simulated(mine, tmp_path):
    from striate.data import Responses

    table = pd.read_csv(mine / "responses.csv")
    made = Responses.build(
        table[["x", "y", "z"]].to_numpy(), list(table["stimulus_id"]), subject="s", simulated=True
    )
    (mine / "responses.csv").unlink()
    made.data.to_netcdf(mine / "responses.nc", engine="h5netcdf")
    diagnosis = diagnose(mine)
    assert diagnosis.ok
    assert has(diagnosis, "warning", "mine", "SIMULATED")
    truncate(mine / "responses.nc")
    assert has(diagnose(mine), "error", "mine/responses.nc", "cannot be read as netCDF")


# Nothing of these


def test_paths_that_are_no_data(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    diagnosis = diagnose(tmp_path)
    assert (diagnosis.dataset, diagnosis.ok) == (None, False)
    assert has(diagnosis, "error", "", r"no data set is recognized; it holds notes\.txt")
    assert "algonauts2023" in diagnosis.findings[0].advice
    diagnosis = diagnose(tmp_path / "notes.txt")
    assert has(diagnosis, "error", "notes", "a file, not a folder")
    (tmp_path / "empty").mkdir()
    assert has(diagnose(tmp_path / "empty"), "error", "empty", "it holds nothing")
    with pytest.raises(InputError, match=r"nowhere does not exist"):
        diagnose(tmp_path / "nowhere")


def test_what_a_check_raises_becomes_a_finding(algonauts, monkeypatch):
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr("striate.data.readers.algonauts2023.check_values", broken)
    diagnosis = diagnose(algonauts)
    assert has(diagnosis, "error", "subj01 lh", r"cannot be examined: ZeroDivisionError\('oh'\)")
    assert has(diagnosis, "ok", "subj08/training_images", "decoded")


def test_to_dict_is_json(algonauts, fmri):
    truncate(fmri)
    diagnosis = diagnose(algonauts)
    values = json.loads(json.dumps(diagnosis.to_dict()))
    assert values["dataset"] == "algonauts2023"
    assert values["ok"] is False
    assert values["path"] == str(algonauts)
    assert len(values["findings"]) == len(diagnosis.findings)
    assert set(values["findings"][0]) == {"level", "place", "found", "advice"}
