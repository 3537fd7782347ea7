"""The reader of anybody's folder: four formats, paired by id, errors that name the place."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from striate.core.errors import InputError
from striate.core.hashing import hash_image
from striate.data import Responses, read
from striate.data.responses.dataset import alike_ids
from striate.data.responses.noise_ceilings import noise_ceiling
from tests.data.layouts import picture, save_picture, write_images

SEEDS = list(range(6))


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "mine"
    write_images(folder / "images", SEEDS)
    return folder


@pytest.fixture
def values():
    return np.random.default_rng(1).normal(size=(len(SEEDS), 4))


def ids():
    return [f"a{s:04d}" for s in SEEDS]


def frame(values, names=None):
    table = pd.DataFrame(values, columns=list("wxyz"))
    table.insert(0, "stimulus_id", names or ids())
    return table


def write(root, values, kind, names=None):
    names = names or ids()
    root.mkdir(exist_ok=True)
    if kind == "npy":
        np.save(root / "responses.npy", values)
        (root / "stimulus_ids.txt").write_text("\n".join(names) + "\n")
    elif kind == "csv":
        frame(values, names).to_csv(root / "responses.csv", index=False)
    elif kind == "parquet":
        frame(values, names).to_parquet(root / "responses.parquet", index=False)
    else:
        made = Responses.build(
            values,
            names,
            subject="whoever",
            unit_ids=list("wxyz"),
            hemisphere=["lh", "lh", "rh", "rh"],
            rois={"V1": np.array([True, False, True, False]), "none": np.zeros(4, bool)},
            noise_ceiling=np.array([0.5, np.nan, 0.25, 1.0]),
            simulated=True,
        )
        made.data.to_netcdf(root / "responses.nc", engine="h5netcdf")


@pytest.mark.parametrize("kind", ["npy", "csv", "parquet", "nc"])
def test_round_trip_with_rows_in_another_order(root, values, kind):
    order = [3, 0, 5, 1, 4, 2]
    write(root, values[order], kind, [ids()[i] for i in order])
    data = read("folder", root)
    assert (data.name, list(data)) == ("folder", ["mine"])
    recording = data["mine"]
    assert recording.responses.subject == "mine"
    np.testing.assert_array_equal(recording.responses.data.values, values[order])
    assert list(recording.stimuli.ids) == [ids()[i] for i in order]
    assert recording.stimuli.hashes == tuple(hash_image(picture(i)) for i in order)
    if kind != "npy":
        assert recording.responses.unit_ids == list("wxyz")


def test_netcdf_keeps_its_labels(root, values):
    write(root, values, "nc")
    responses = read("folder", root)["mine"].responses
    assert (responses.rois, responses.hemispheres) == (["V1", "none"], ["lh", "rh"])
    assert [(t.name, t.units.tolist()) for t in responses.targets()] == [
        ("mine_lh_V1", [0]),
        ("mine_rh_V1", [2]),
    ]
    np.testing.assert_array_equal(responses.noise_ceiling, [0.5, np.nan, 0.25, 1.0])
    assert responses.simulated
    assert read("folder", root).simulated


def test_netcdf_with_ids_alone_takes_the_rest_from_units_csv_and_its_trials(root):
    trials = np.random.default_rng(0).normal(size=(len(SEEDS), 3, 4))
    coords = {"stimulus_id": ("stimulus", ids()), "unit_id": ("unit", list("wxyz"))}
    data = xr.DataArray(trials, dims=("stimulus", "repeat", "unit"), coords=coords)
    data.to_netcdf(root / "responses.nc", engine="h5netcdf")
    (root / "units.csv").write_text("unit_id,hemisphere,roi_V1\nz,rh,1\nw,lh,1\nx,lh,0\ny,lh,0\n")
    responses = read("folder", root)["mine"].responses
    np.testing.assert_allclose(responses.noise_ceiling, noise_ceiling(trials))
    units = {t.name: t.units.tolist() for t in responses.targets()}
    assert units == {"mine_lh_V1": [0], "mine_rh_V1": [3]}


def test_npy_stays_on_disk_and_keeps_repeats(root):
    trials = np.random.default_rng(0).normal(size=(len(SEEDS), 3, 4))
    trials[0, 2] = np.nan
    write(root, trials, "npy")
    responses = read("folder", root)["mine"].responses
    assert responses.data.dims == ("stimulus", "repeat", "unit")
    np.testing.assert_allclose(responses.noise_ceiling, noise_ceiling(trials))
    np.testing.assert_allclose(responses.mean()[0], trials[0, :2].mean(axis=0))


def test_units_table_is_matched_by_unit_id(root, values):
    write(root, values, "csv")
    pd.DataFrame(
        {
            "unit_id": list("zwxy"),
            "hemisphere": ["rh", "lh", "lh", None],
            "noise_ceiling": [0.9, 0.1, np.nan, 0.3],
            "roi_V1v ": [1, 0, 1, np.nan],
            "roi_V4": [True, True, False, False],
            "roi_IT": [0, 0, 0, 0],
        }
    ).to_csv(root / "units.csv", index=False)
    responses = read("folder", root)["mine"].responses
    assert responses.unit_ids == list("wxyz")
    np.testing.assert_array_equal(responses.noise_ceiling, [0.1, np.nan, 0.3, 0.9])
    assert responses.rois == ["V1v", "V4", "IT"]
    units = {t.name: t.units.tolist() for t in responses.targets()}
    assert units == {"mine_lh_V1v": [1], "mine_lh_V4": [0], "mine_rh_V1v": [3], "mine_rh_V4": [3]}


@pytest.mark.parametrize(
    ("table", "named"),
    [
        ("unit_id,roi_a\nw,1\nx,1\ny,1\n", "4 rows"),
        ("name,roi_a\nw,1\nx,1\ny,1\nz,1\n", "expected a column unit_id"),
        ("unit_id,roi_a\nw,1\nx,1\ny,1\nq,1\n", "not the columns"),
        ("unit_id,roi_a\nw,yes\nx,no\ny,no\nz,no\n", "column 'roi_a' should hold 0 or 1"),
        ("unit_id,roi_a\nw,1\nx,2\ny,0\nz,0\n", "column 'roi_a' should hold 0 or 1"),
        ("unit_id,V1\nw,1\nx,0\ny,0\nz,0\n", "If it is a ROI, call it roi_V1"),
        ("", "cannot be read as a table"),
    ],
)
def test_units_tables_that_do_not_fit(root, values, table, named):
    write(root, values, "csv")
    (root / "units.csv").write_text(table)
    with pytest.raises(InputError, match=rf"units\.csv.*{named}"):
        read("folder", root)


def test_several_subjects_share_images_and_need_not_have_seen_all(root, values):
    write(root / "anna", values[:3], "csv", ids()[:3])
    write(root / "bert", values[2:], "parquet", ids()[2:])
    data = read("folder", root)
    assert {s: list(r.stimuli.ids) for s, r in data.items()} == {
        "anna": ids()[:3],
        "bert": ids()[2:],
    }
    assert list(read("folder", root, subjects=["bert"])) == ["bert"]
    assert list(read("folder", root, subjects="bert")) == ["bert"]


def test_subjects_with_their_own_images(root, values):
    write(root / "anna", values[:2], "csv", ["p", "q"])
    for name, seed in (("p", 50), ("q", 51)):
        save_picture(root / "anna" / "images" / f"{name}.png", seed)
    np.testing.assert_array_equal(read("folder", root)["anna"].stimuli.image(1), picture(51))


def test_numbers_for_subjects(root, values):
    write(root / "1", values, "csv")
    assert list(read("folder", root, subjects=[1])) == ["1"]
    with pytest.raises(InputError, match=r"unknown subject '2'. Known: 1"):
        read("folder", root, subjects=[2])


def test_ids_that_look_like_numbers_stay_as_they_are(tmp_path, values):
    for i in range(2):
        save_picture(tmp_path / "images" / f"00{i}.png", i)
    write(tmp_path, values[:2], "csv", ["000", "001"])
    assert next(iter(read("folder", tmp_path).values())).responses.stimulus_ids == ["000", "001"]


@pytest.mark.parametrize("where", ["", "anna"])
@pytest.mark.parametrize(
    ("kind", "given", "named"),
    [
        ("csv", [0, 1, 2], "Is '0' the image '000'"),
        ("parquet", [0, 1, 2], "Is '0' the image '000'"),
        ("csv", ["000.png", "001.png", "002.png"], "Is '000.png' the image '000'"),
        ("csv", ["000", "001", "2.0"], r"Is '2\.0' the image '002'"),
    ],
)
def test_ids_that_lost_their_zeros_are_not_paired_but_told(
    tmp_path, values, kind, given, named, where
):
    for i in range(3):
        save_picture(tmp_path / "images" / f"00{i}.png", i)
    write(tmp_path / where, values[:3], kind, given)
    with pytest.raises(InputError, match=rf"{named}\? Write each id exactly as the image is"):
        read("folder", tmp_path)


@pytest.mark.parametrize(("mark", "decimal"), [(";", ","), (";", "."), ("\t", ".")])
@pytest.mark.parametrize("name", ["responses", "units"])
def test_other_separators_than_commas_are_told(root, values, mark, decimal, name):
    write(root, values, "csv")
    table = frame(values)
    if name == "units":
        table = pd.DataFrame({"unit_id": list("wxyz"), "noise_ceiling": 0.5})
    table.to_csv(root / f"{name}.csv", index=False, sep=mark, decimal=decimal)
    kind = {";": "semicolons", "\t": "tabs"}[mark]
    with pytest.raises(InputError, match=rf"{name}\.csv is separated by {kind}, expected commas"):
        read("folder", root)


def test_a_table_of_one_column_has_no_separator(root, values):
    write(root, values, "csv")
    (root / "units.csv").write_text("unit_id\nw\nx\ny\nz\n")
    assert read("folder", root)["mine"].responses.unit_ids == list("wxyz")


@pytest.mark.parametrize(
    ("encoding", "likely"), [("latin-1", "Latin-1"), ("cp1252", "Latin-1"), ("utf-16", "UTF-16")]
)
@pytest.mark.parametrize("mark", [",", "\t"])
def test_tables_in_another_encoding_are_told(root, values, encoding, likely, mark):
    if likely == "UTF-16" or mark == ",":
        table = frame(values).rename(columns={"w": "größe"})
        table.to_csv(root / "responses.csv", index=False, encoding=encoding, sep=mark)
        with pytest.raises(
            InputError, match=rf"responses\.csv is not UTF-8 text .* looks like {likely}. Save it"
        ):
            read("folder", root)


def test_a_mark_before_utf_8_does_no_harm(root, values):
    table = frame(values).rename(columns={"w": "größe"})
    table.to_csv(root / "responses.csv", index=False, encoding="utf-8-sig")
    assert read("folder", root)["mine"].responses.unit_ids == ["größe", *"xyz"]


def test_ids_in_another_encoding_are_told(root, values):
    write(root, values, "npy")
    (root / "stimulus_ids.txt").write_text("\n".join(ids()), encoding="utf-16")
    with pytest.raises(InputError, match=r"stimulus_ids\.txt is not UTF-8 text .*like UTF-16"):
        read("folder", root)


def test_more_and_fewer_rows_than_images(root, values):
    write(root, values[:4], "csv", ids()[:4])
    with pytest.raises(InputError, match=r"4 rows of responses and 6 images .*\(a0004, a0005\)"):
        read("folder", root)
    write(root, np.vstack([values, values[:1]]), "csv", [*ids(), "a9999"])
    with pytest.raises(InputError, match=r"1 without an image \(a9999\)"):
        read("folder", root)


def test_shared_images_lacking_one(root, values):
    write(root / "anna", values, "csv", [*ids()[:5], "lost"])
    with pytest.raises(InputError, match=r"subject anna: .* 1 without an image \(lost\)"):
        read("folder", root)


def test_fewer_ids_than_rows(root, values):
    write(root, values, "npy", ids()[:5])
    with pytest.raises(InputError, match=r"6 rows, .*stimulus_ids\.txt has 5 ids"):
        read("folder", root)


def test_npy_without_ids_is_not_paired_by_order(root, values):
    write(root, values, "npy")
    (root / "stimulus_ids.txt").unlink()
    with pytest.raises(InputError, match=r"needs stimulus_ids\.txt beside it"):
        read("folder", root)


def test_ids_saved_by_a_windows_editor(root, values):
    write(root, values, "npy")
    text = "\r\n".join(ids())
    (root / "stimulus_ids.txt").write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert read("folder", root)["mine"].responses.stimulus_ids == ids()


@pytest.mark.parametrize("kind", ["npy", "csv", "parquet"])
def test_duplicate_ids_are_named(root, values, kind):
    write(root, values, kind, [*ids()[:5], ids()[0]])
    with pytest.raises(InputError, match=r"subject mine: 1 stimulus ids .*: a0000"):
        read("folder", root)


@pytest.mark.parametrize("kind", ["npy", "parquet", "nc"])
def test_truncated_files_are_named(root, values, kind):
    write(root, values, kind)
    file = root / f"responses.{kind}"
    file.write_bytes(file.read_bytes()[: file.stat().st_size * 2 // 3])
    with pytest.raises(InputError, match=rf"responses\.{kind}"):
        read("folder", root)


@pytest.mark.parametrize("kind", ["npy", "csv", "parquet", "nc"])
def test_files_of_zero_bytes_are_named(root, values, kind):
    write(root, values, kind)
    (root / f"responses.{kind}").write_bytes(b"")
    with pytest.raises(InputError, match=rf"responses\.{kind}"):
        read("folder", root)


def test_object_arrays_are_refused(root, values):
    np.save(root / "responses.npy", values.astype(object), allow_pickle=True)
    (root / "stimulus_ids.txt").write_text("\n".join(ids()))
    with pytest.raises(InputError, match=r"responses\.npy holds Python objects.*Refused"):
        read("folder", root)


def test_nan_rows_are_read_as_they_are(root, values):
    values[2] = np.nan
    write(root, values, "csv")
    np.testing.assert_array_equal(read("folder", root)["mine"].responses.data.values, values)


def test_words_among_the_numbers(root, values):
    table = frame(values).astype({"x": object})
    table.loc[1, "x"] = "lost"
    table.to_csv(root / "responses.csv", index=False)
    with pytest.raises(InputError, match=r"responses\.csv: column 'x' holds words"):
        read("folder", root)


def test_a_row_number_is_no_unit(root, values):
    frame(values).to_csv(root / "responses.csv")
    with pytest.raises(InputError, match=r"column without a name.*index=False"):
        read("folder", root)


def test_no_column_of_ids(root, values):
    frame(values).rename(columns={"stimulus_id": "stimulus"}).to_csv(
        root / "responses.csv", index=False
    )
    with pytest.raises(InputError, match=r"'stimulus_id'. Did you mean stimulus"):
        read("folder", root)


def test_two_response_files(root, values):
    write(root, values, "csv")
    write(root, values, "npy")
    with pytest.raises(InputError, match=r"which responses. Found responses\.npy, responses\.csv"):
        read("folder", root)


def test_nothing_to_read(root):
    with pytest.raises(InputError, match=r"has no responses \(responses\.npy, responses\.csv"):
        read("folder", root)


def test_no_images(tmp_path, values):
    write(tmp_path, values, "csv")
    with pytest.raises(InputError, match=r"image folder .*images does not exist"):
        read("folder", tmp_path)


def test_unknown_names_offer_the_nearest(root, values):
    write(root / "anna", values, "csv")
    with pytest.raises(InputError, match=r"unknown subject 'ana'. Did you mean anna"):
        read("folder", root, subjects=["ana"])
    with pytest.raises(InputError, match=r"data set 'foldr'. Did you mean folder"):
        read("foldr", root)
    with pytest.raises(InputError, match=r"selector of folder 'subject'. Did you mean subjects"):
        read("folder", root, subject="anna")
    with pytest.raises(InputError, match=r"data folder .*nowhere does not exist"):
        read("folder", root / "nowhere")


@pytest.mark.parametrize(
    "row", ["cat", "a.PNG", "images/s/A", "s\\a", '"a"', "/data/s/a.png", "A.0"]
)
def test_ids_that_scripts_changed_are_hinted_at(row):
    image = "Cat" if row == "cat" else "s/a"
    assert f"the image {image!r}?" in alike_ids([row], [image])
    assert alike_ids([row], ["b", "s/c"]) == ""
