"""One door for all formats: the same data give the same `Responses`, or are refused by all."""

from __future__ import annotations

import re
import tempfile
import tracemalloc
import unicodedata
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from striate.core.errors import InputError
from striate.data import Responses, diagnose, read, tidy
from striate.data.readers.folder import read_responses
from striate.data.responses.noise_ceilings import noise_ceiling
from tests.data.layouts import save_picture, write_images

FORMATS = ("npy", "csv", "parquet", "nc")
WHOLE = [
    f"{order}{kind}" for order in "<>" for kind in ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8")
]
DTYPES = ["?", *WHOLE, *(f"{order}f{size}" for order in "<>" for size in (2, 4, 8)), "g"]
PLAIN = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def write(
    folder: Path, kind: str, values: np.ndarray, ids: list[str], labels: pd.DataFrame
) -> Path:
    """Write responses in one format, with their labels beside them or, of netCDF, within."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"responses.{kind}"
    if kind == "nc":
        coords = {"stimulus_id": ("stimulus", np.array(ids, object))}
        coords |= {str(c): ("unit", np.asarray(labels[c])) for c in labels}
        dims = ("stimulus", "unit") if values.ndim == 2 else ("stimulus", "repeat", "unit")
        with warnings.catch_warnings():  # of a blank in a name, which makes it a variable
            warnings.simplefilter("ignore", xr.SerializationWarning)
            xr.DataArray(values, dims=dims, coords=coords).to_netcdf(file, engine="h5netcdf")
        return file
    labels.to_csv(folder / "units.csv", index=False)
    if kind == "npy":
        np.save(file, values)
        (folder / "stimulus_ids.txt").write_bytes("\n".join(ids).encode())
        return file
    table = pd.DataFrame(values, columns=pd.Index(labels["unit_id"]))
    table.insert(0, "stimulus_id", np.array(ids, object))
    if kind == "csv":
        table.to_csv(file, index=False)
    else:
        table.to_parquet(file, index=False)
    return file


def plain_labels(n: int, **more: object) -> pd.DataFrame:
    return pd.DataFrame({"unit_id": [f"u{i}" for i in range(n)], **more})


def with_images(folder: Path, kind: str, values: np.ndarray) -> Path:
    ids = write_images(folder / "images", range(len(values)))
    return write(folder, kind, values, ids, plain_labels(values.shape[-1]))


# Numbers


def test_averages_of_whole_numbers_with_copies_are_exact(tmp_path: Path) -> None:
    values = np.array([[10, 12], [15, 17], [100, 102], [50, 52]])[..., None]
    for name, seed in zip("abcd", (1, 1, 2, 3), strict=True):
        save_picture(tmp_path / "images" / f"{name}.png", seed)
    for dtype in DTYPES[1:]:
        np.save(tmp_path / "responses.npy", values.astype(dtype))
        (tmp_path / "stimulus_ids.txt").write_text("a\nb\nc\nd\n")
        data, _ = tidy(read("folder", tmp_path))
        means = next(iter(data.values())).responses.mean()
        assert means.ravel().tolist() == [13.5, 101, 51], dtype


def test_many_half_precision_trials_do_not_overflow(tmp_path: Path) -> None:
    np.save(tmp_path / "responses.npy", np.full((2, 120, 3), 3000, np.float16))
    (tmp_path / "stimulus_ids.txt").write_text("a\nb\n")
    responses = read_responses(tmp_path / "responses.npy", "ann")
    assert responses.mean().tolist() == [[3000] * 3] * 2


def test_single_precision_trials_are_added_up_in_double() -> None:
    trials = np.random.default_rng(0).normal(1000, 1, (3, 4000, 2)).astype(np.float32)
    means = Responses.build(trials, list("abc"), subject="ann").mean()
    np.testing.assert_array_equal(means, trials.astype(np.float64).mean(axis=1))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("repeats", [0, 3])
def test_the_type_of_a_file_changes_nothing(tmp_path: Path, dtype: str, repeats: int) -> None:
    most = 2 if dtype == "?" else 100
    shape = (7, repeats, 4) if repeats else (7, 4)
    values = np.random.default_rng(3).integers(0, most, shape)
    kinds = ["npy", "nc"] if repeats else list(FORMATS)
    if np.dtype(dtype).kind == "f" and np.dtype(dtype).itemsize in (2, 16):
        kinds.remove("nc")  # netCDF has neither half nor extended precision
    wanted = tmp_path / "wanted"
    with_images(wanted, "npy", values.astype(np.float64))
    expected = read("folder", wanted)["wanted"].responses
    findings = said(wanted)
    for kind in kinds:
        for order in "CF" if kind == "npy" else "C":
            stored = values.astype(dtype, order=order)
            if kind == "parquet":  # arrow has the machine's byte order alone
                stored = stored.astype(stored.dtype.newbyteorder("="))
                stored = stored.astype(np.float64) if dtype == "g" else stored
            folder = tmp_path / f"{kind}-{order}"
            with_images(folder, kind, stored)
            got = read("folder", folder)[folder.name].responses
            assert got.data.dtype in (np.float32, np.float64)
            assert got.data.dtype.isnative
            np.testing.assert_array_equal(got.data.values, expected.data.values)
            np.testing.assert_array_equal(got.mean(), expected.mean())
            np.testing.assert_array_equal(got.noise_ceiling, expected.noise_ceiling)
        assert said(folder) == findings


def said(folder: Path) -> list[tuple[str, str, str]]:
    """What doctor finds, less the names of files and types."""
    return [
        (
            f.level,
            re.sub(rf"{folder.name}|responses\.\w+", "X", f.place),
            re.sub(r"float\d\d|columns|units", "X", f.found),
        )
        for f in diagnose(folder, deep=False).findings
    ]


@pytest.mark.parametrize("dtype", ["c8", "M8[s]", "m8[ms]", "U3", "S3", "V4"])
def test_what_is_no_number_is_refused_with_the_mend(tmp_path: Path, dtype: str) -> None:
    np.save(tmp_path / "responses.npy", np.zeros((2, 2), dtype))
    (tmp_path / "stimulus_ids.txt").write_text("a\nb\n")
    with pytest.raises(InputError, match=r"responses\.npy: expected numbers, found dtype .*\. \w+"):
        read_responses(tmp_path / "responses.npy", "ann")


@pytest.mark.parametrize("dtype", ["u1", "<f2", ">f4", ">i2", "<i8"])
def test_what_lies_on_disk_is_converted_when_it_is_taken(tmp_path: Path, dtype: str) -> None:
    n, size = 2000, 1000
    values = np.lib.format.open_memmap(tmp_path / "responses.npy", "w+", dtype, (n, size))
    values[:] = np.arange(n)[:, None] % 100
    values.flush()
    del values
    (tmp_path / "stimulus_ids.txt").write_text("\n".join(f"s{i}" for i in range(n)))
    tracemalloc.start()
    responses = read_responses(tmp_path / "responses.npy", "ann")
    part = responses.data.isel(stimulus=[1999, 7], unit=np.array([5, 1])).values
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert part.tolist() == [[99, 99], [7, 7]]
    assert peak < n * size  # less than a byte a value


def test_trials_on_disk_are_averaged_in_blocks(tmp_path: Path, monkeypatch) -> None:
    trials = np.random.default_rng(0).integers(0, 200, (50, 4, 30)).astype(np.uint8)
    np.save(tmp_path / "responses.npy", trials)
    (tmp_path / "stimulus_ids.txt").write_text("\n".join(f"s{i}" for i in range(50)))
    whole = read_responses(tmp_path / "responses.npy", "ann")
    wanted = whole.mean()
    np.testing.assert_array_equal(wanted, trials.mean(axis=1))
    monkeypatch.setattr("striate.data.responses.responses.BLOCK_BYTES", 3000)
    again = read_responses(tmp_path / "responses.npy", "ann")
    np.testing.assert_array_equal(again.mean(), wanted)
    np.testing.assert_array_equal(again.noise_ceiling, noise_ceiling(trials.astype(float)))


def test_masked_values_are_missing() -> None:
    values = np.ma.MaskedArray(np.array([[1, 255]], np.uint8), [[False, True]])
    np.testing.assert_array_equal(
        Responses.build(values, ["a"], subject="ann").data.values, [[1, np.nan]]
    )


# The same data in four formats

ODD = ["NA", "null", "None", "nan", "NaN", "N/A", "1e5", "007", "1", "1.0", "True", "inf", "-", "é"]
NAMES = st.one_of(st.sampled_from(ODD), st.text("abcXYZ089_-é.", min_size=1, max_size=6))
SIDES = st.sampled_from(["lh", "LH", "lh ", "Left", "rh", "R", ""])


@st.composite
def recordings(draw: st.DrawFn) -> tuple[np.ndarray, list[str], pd.DataFrame]:
    """Values, ids and labels that a study might have."""
    ids = draw(st.lists(NAMES, min_size=2, max_size=5, unique=True))
    units = draw(st.lists(NAMES.map(lambda n: f"{n}-c"), min_size=1, max_size=4, unique=True))
    n = len(units)
    number = st.one_of(st.floats(allow_nan=True, allow_infinity=True), st.just(-0.0))
    values = np.array(
        draw(
            st.lists(st.lists(number, min_size=n, max_size=n), min_size=len(ids), max_size=len(ids))
        )
    )
    labels = {
        "unit_id": units,
        "hemisphere": draw(st.lists(SIDES, min_size=n, max_size=n)),
        "session": draw(st.lists(st.sampled_from(ODD), min_size=n, max_size=n)),
        "roi_V1 ": draw(st.lists(st.sampled_from([0.0, 1.0, np.nan]), min_size=n, max_size=n)),
        "roi_é": draw(st.lists(st.booleans(), min_size=n, max_size=n)),
        "noise_ceiling": draw(
            st.lists(st.one_of(st.floats(0, 1), st.just(np.nan)), min_size=n, max_size=n)
        ),
    }
    return values, ids, pd.DataFrame(labels)


@PLAIN
@given(recordings())
def test_four_formats_give_one_recording(made: tuple[np.ndarray, list[str], pd.DataFrame]) -> None:
    values, ids, labels = made
    with tempfile.TemporaryDirectory() as place:
        by_format = [
            read_responses(write(Path(place) / kind, kind, values, ids, labels), "ann")
            for kind in FORMATS
        ]
        for responses in by_format:
            xr.testing.assert_identical(responses.data.load(), by_format[0].data.load())
        responses = by_format[0]
        np.testing.assert_array_equal(responses.data.values, values)
        assert responses.stimulus_ids == ids
        assert responses.unit_ids == list(labels["unit_id"])
        assert set(responses.hemispheres) <= {"lh", "rh", ""}
        assert responses.rois == ["V1", "é"]
        inside = responses.data.coords["roi_V1"].values
        assert inside.dtype == bool
        assert inside.tolist() == [v == 1 for v in labels["roi_V1 "]]


BAD = {
    "a flag of 2": {"roi_V1": [1, 2, 0]},
    "a word for a flag": {"roi_V1": ["1", "yes", "0"]},
    "a ceiling in percent": {"noise_ceiling": [0.5, 50.0, 0.5]},
    "a ceiling without end": {"noise_ceiling": [0.5, np.inf, 0.5]},
    "a ceiling below zero": {"noise_ceiling": [0.5, -0.1, 0.5]},
    "a word for a ceiling": {"noise_ceiling": ["0.5", "high", "0.5"]},
    "a unit twice": {"unit_id": ["x", "y", "x"]},
    "a unit twice but for a blank": {"unit_id": ["x", "y", "x "]},
    "a unit without a name": {"unit_id": ["x", "", "z"]},
    "a unit in two Unicode forms": {"unit_id": ["\u00e9", "y", "e\u0301"]},
    "a ROI twice but for a blank": {"roi_V1": [1, 0, 0], "roi_V1 ": [0, 1, 0]},
    "a ROI twice but for the case of the label": {"roi_V1": [1, 0, 0], "ROI_V1": [0, 1, 0]},
    "a ROI without a name": {"roi_ ": [1, 0, 0]},
    "a ROI without roi_": {"V1": [1, 0, 0]},
}


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("what", BAD)
def test_four_formats_refuse_the_same_labels(tmp_path: Path, kind: str, what: str) -> None:
    labels = pd.DataFrame({"unit_id": list("xyz")}).assign(**BAD[what])
    values = np.random.default_rng(0).normal(size=(2, 3))
    try:
        file = write(tmp_path, kind, values, ["a", "b"], labels)
    except ValueError:
        assert kind == "parquet" and what == "a unit twice"  # pandas does not write it
        return
    with pytest.raises(InputError, match=r"responses\.|units\.csv"):
        read_responses(file, "ann")


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize(
    ("ids", "named"),
    [
        (["a", "b", "a"], r"1 stimulus ids occur .*'a' in (row|line) \d and (row|line) \d"),
        (["a", "b", "a "], r"'a' in .*as 'a' and 'a '"),
        (["e\u0301", "b", "\u00e9"], "occur more than once: \u00e9"),
        (["a", "", "c"], r"stimulus id in (row|line) \d is empty"),
        (["a", " ", "c"], r"stimulus id in (row|line) \d is empty"),
    ],
)
def test_four_formats_refuse_the_same_ids(
    tmp_path: Path, kind: str, ids: list[str], named: str
) -> None:
    file = write(tmp_path, kind, np.eye(3), ids, plain_labels(3))
    with pytest.raises(InputError, match=named):
        read_responses(file, "ann")


@pytest.mark.parametrize("kind", FORMATS)
def test_unknown_labels_are_named_and_the_nearest_offered(tmp_path: Path, kind: str) -> None:
    labels = plain_labels(2, noise_celing=[0.5, 0.25], depth=[100.0, 200.0], roi_V1=[1, 0])
    values = np.random.default_rng(0).normal(size=(3, 2))
    file = write(tmp_path, kind, values, write_images(tmp_path / "images", range(3)), labels)
    data = read("folder", tmp_path)
    responses = next(iter(data.values())).responses
    notes = "\n".join(responses.data.attrs["notes"])
    assert "'noise_celing' is no label" in notes and "Did you mean noise_ceiling?" in notes
    assert "'depth' is no label" in notes
    assert not {"noise_celing", "depth"} & set(responses.data.coords)
    assert any("noise_celing" in note for note in tidy(data)[1])
    said = [f for f in diagnose(tmp_path).findings if "noise_celing" in f.found]
    assert [f.level for f in said] == ["warning"] and file.name in said[0].place


@pytest.mark.parametrize("kind", FORMATS)
def test_order_of_stimuli_and_units_changes_nothing(tmp_path: Path, kind: str) -> None:
    draw = np.random.default_rng(5)
    values, ids = draw.normal(size=(9, 4)), [f"s{i}" for i in range(9)]
    labels = plain_labels(4, hemisphere=["lh", "rh", "LH", ""], roi_V1=[1, 0, np.nan, 1])
    original = read_responses(write(tmp_path / "a", kind, values, ids, labels), "ann").data
    for seed in range(3):
        order = np.random.default_rng(seed)
        rows, units = order.permutation(9), order.permutation(4)
        moved = labels.iloc[units]
        file = write(
            tmp_path / f"{seed}", kind, values[rows][:, units], [ids[i] for i in rows], moved
        )
        if kind in ("csv", "parquet"):  # the table of units is matched by name
            labels.iloc[order.permutation(4)].to_csv(file.with_name("units.csv"), index=False)
        other = read_responses(file, "ann").data
        xr.testing.assert_identical(other.load(), original.isel(stimulus=rows, unit=units).load())


# netCDF


def test_sessions_merged_by_xarray(tmp_path: Path) -> None:
    """A unit of a session without a ROI has NaN for a flag, and is not in it."""
    ids = {"a": ["s1", "s2", "s3"], "b": ["s2", "s3", "s4"]}
    parts = []
    for session, rois in (("a", ["V1", "V4"]), ("b", ["V4"])):
        made = Responses.build(
            np.random.default_rng(0).normal(size=(3, 2)),
            ids[session],
            subject="ann",
            session=session,
            unit_ids=[f"{session}0", f"{session}1"],
            rois={roi: np.array([True, False]) for roi in rois},
        ).data
        table = made.rename("r").set_index(stimulus="stimulus_id", unit="unit_id").to_dataset()
        parts.append(table.reset_coords(["roi_V1"] if "V1" in rois else []))
    merged = xr.merge([p.reset_coords() for p in parts], join="outer", compat="no_conflicts")
    assert np.isnan(merged["roi_V1"].values.astype(float)).any()
    labels = [c for c in merged.data_vars if c != "r"]
    array = merged.set_coords(labels)["r"].rename(stimulus="s", unit="u")
    array = array.assign_coords(
        stimulus_id=("s", array["s"].values), unit_id=("u", array["u"].values)
    )
    array = array.drop_vars(["s", "u"]).rename(s="stimulus", u="unit")
    array.to_netcdf(tmp_path / "responses.nc", engine="h5netcdf")
    responses = read_responses(tmp_path / "responses.nc", "ann")
    assert responses.data.shape == (4, 4)
    units = dict(
        zip(responses.unit_ids, responses.data.coords["roi_V1"].values.tolist(), strict=True)
    )
    assert units == {"a0": True, "a1": False, "b0": False, "b1": False}
    assert [t.name for t in responses.targets()] == ["ann_V1", "ann_V4"]


def nc(place: Path, values: np.ndarray, engine: str = "h5netcdf", **coords: object) -> Path:
    labels = {"stimulus_id": np.array(["a", "b"]), "unit_id": np.array(["x", "y"]), **coords}
    on = {k: ("stimulus" if k == "stimulus_id" else "unit", v) for k, v in labels.items()}
    data = xr.DataArray(values, dims=("stimulus", "unit"), coords=on)
    data.to_netcdf(place / "responses.nc", engine=engine)
    return place / "responses.nc"


@pytest.mark.parametrize("engine", ["h5netcdf", "scipy"])
def test_bytes_are_decoded(tmp_path: Path, engine: str) -> None:
    file = nc(
        tmp_path, np.eye(2), engine,
        hemisphere=np.array([b"lh", b"RH "]), unit_id=np.array([b"x", "é".encode()]),
    )  # fmt: skip
    responses = read_responses(file, "ann")
    assert responses.hemispheres == ["lh", "rh"]
    assert responses.unit_ids == ["x", "é"]


def test_flags_as_text_are_flags(tmp_path: Path) -> None:
    file = nc(tmp_path, np.eye(2), roi_V1=np.array(["0", "1"]), roi_V4=np.array(["True", ""]))
    coords = read_responses(file, "ann").data.coords
    assert coords["roi_V1"].values.tolist() == [False, True]
    assert coords["roi_V4"].values.tolist() == [True, False]


def test_texts_are_no_responses(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"responses\.nc: .*expected numbers, found dtype"):
        read_responses(nc(tmp_path, np.array([["1", "2"], ["3", "4"]])), "ann")


def test_latencies_stay_numbers_and_dates_are_refused(tmp_path: Path) -> None:
    file = nc(tmp_path, np.eye(2))
    data = xr.load_dataarray(file).assign_attrs(units="milliseconds")
    data.to_netcdf(file)
    np.testing.assert_array_equal(read_responses(file, "ann").data.values, np.eye(2))
    for dtype in ("M8[ns]", "m8[ns]"):
        data.drop_attrs().astype(int).astype(dtype).to_netcdf(file)
        with pytest.raises(InputError, match=r"responses\.nc: expected numbers, found dates or"):
            read_responses(file, "ann")


def test_labels_on_another_dim_are_refused(tmp_path: Path) -> None:
    data = xr.load_dataarray(nc(tmp_path, np.eye(2)))
    data.assign_coords(roi_V1=("stimulus", [1, 0])).to_netcdf(tmp_path / "responses.nc")
    with pytest.raises(InputError, match=r"roi_V1 lies on .*expected on \(unit,\)"):
        read_responses(tmp_path / "responses.nc", "ann")


def test_a_file_of_two_subjects_says_so(tmp_path: Path) -> None:
    responses = read_responses(nc(tmp_path, np.eye(2), subject=np.array(["a", "b"])), "ann")
    assert "names the subjects 'a', 'b'; all are ann here" in responses.data.attrs["notes"][0]
    assert responses.subject == "ann"


# Columns that are no units

DESCRIBING = (
    "index", "level_0", "session", "trial", "Trials", "repeat", "run", "subject", "subject_id",
    "image", "filename", "condition", "block_number", "onset",
)  # fmt: skip


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("name", DESCRIBING)
def test_columns_that_describe_are_no_units(tmp_path: Path, kind: str, name: str) -> None:
    values = np.random.default_rng(0).normal(size=(6, 3))
    labels = pd.DataFrame({"unit_id": ["u1", name, "u2"]})
    file = write(tmp_path, kind, values, list("abcdef"), labels)
    assert read_responses(file, "ann").unit_ids == ["u1", name, "u2"] if kind != "nc" else True
    file.with_name("units.csv").unlink(missing_ok=True)  # else it says that they are units
    if kind == "npy":  # its units have no names
        assert read_responses(file, "ann").data.shape == (6, 3)
        return
    place = "column 3" if kind != "nc" else "unit 2"
    with pytest.raises(InputError, match=rf"as units: '{name}' \({place}\).*units\.csv"):
        read_responses(file, "ann")
    findings = diagnose_with_images(tmp_path)
    assert any(f.level == "error" and repr(name) in f.found for f in findings)


def diagnose_with_images(folder: Path) -> list:
    for i, name in enumerate("abcdef"):
        save_picture(folder / "images" / f"{name}.png", i)
    return diagnose(folder).findings


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("shuffled", [False, True])
def test_row_numbers_under_any_name_are_no_unit(
    tmp_path: Path, kind: str, first: int, shuffled: bool
) -> None:
    draw = np.random.default_rng(0)
    n = 24 if shuffled else 6
    values = draw.normal(size=(n, 3))
    values[:, 1] = np.arange(first, first + n)
    if shuffled:
        values = draw.permutation(values)
    ids = [f"s{i}" for i in range(n)]
    file = write(tmp_path, kind, values, ids, pd.DataFrame({"unit_id": ["x", "q", "y"]}))
    assert read_responses(file, "ann").data.shape == (n, 3) if kind != "nc" else True
    file.with_name("units.csv").unlink(missing_ok=True)
    with pytest.raises(InputError, match=rf"(column 3|unit 2), whose values are {first}"):
        read_responses(file, "ann")


def test_ranks_are_responses(tmp_path: Path) -> None:
    ranks = np.argsort(np.random.default_rng(0).normal(size=(30, 4)), axis=0).argsort(axis=0)
    file = write(tmp_path, "csv", ranks, [f"s{i}" for i in range(30)], plain_labels(4))
    file.with_name("units.csv").unlink()
    assert read_responses(file, "ann").data.shape == (30, 4)


def test_a_table_of_units_says_which_columns_are_none(tmp_path: Path) -> None:
    file = write(tmp_path, "csv", np.eye(3), list("abc"), plain_labels(3))
    table = pd.read_csv(file)
    table.assign(session=190925).to_csv(file, index=False)
    with pytest.raises(InputError, match=r"units\.csv: .*Without a row: 'session'"):
        read_responses(file, "ann")


def test_doctor_lists_the_columns_that_it_takes_for_units(tmp_path: Path) -> None:
    with_images(tmp_path, "csv", np.random.default_rng(0).normal(size=(6, 3)))
    findings = [f for f in diagnose(tmp_path).findings if "taken for units" in f.found]
    assert [(f.level, f.found) for f in findings] == [
        ("ok", "3 columns are taken for units: u0, u1, u2.")
    ]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_column_twice_is_named(tmp_path: Path, kind: str) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    for second in ("u1", "u1 "):
        names = ["stimulus_id", "u1", "u2", second]
        if kind == "csv":
            (tmp_path / "responses.csv").write_text(f"{','.join(names)}\na,1,2,3\nb,4,5,6\n")
        else:
            arrays = [pa.array(["a", "b"]), *(pa.array([1.0, 2.0]) for _ in range(3))]
            pq.write_table(pa.Table.from_arrays(arrays, names), tmp_path / "responses.parquet")
        with pytest.raises(InputError, match=r"occur .*'u1' in column 2 and column 4"):
            read_responses(tmp_path / f"responses.{kind}", "ann")


def test_an_index_of_parquet_is_a_column_as_in_csv(tmp_path: Path) -> None:
    table = pd.DataFrame(
        {"u1": [1.0, 2.0], "u2": [3.0, 5.0]}, index=pd.Index(["NA", "007"], name="stimulus_id")
    )
    table.to_parquet(tmp_path / "responses.parquet")
    table.to_csv(tmp_path / "responses.csv")
    for kind in ("csv", "parquet"):
        responses = read_responses(tmp_path / f"responses.{kind}", "ann")
        assert (responses.stimulus_ids, responses.unit_ids) == (["NA", "007"], ["u1", "u2"])


# Names


def forms(text: str) -> Iterator[str]:
    for form in ("NFC", "NFD"):
        yield unicodedata.normalize(form, text)


@pytest.mark.parametrize("kind", FORMATS)
def test_unicode_forms_pair(tmp_path: Path, kind: str) -> None:
    for i, of_file in enumerate(forms("é")):
        for j, of_table in enumerate(forms("é")):
            folder = tmp_path / f"{i}{j}"
            save_picture(folder / "images" / f"{of_file}.png", 1)
            save_picture(folder / "images" / "b.png", 2)
            write(folder, kind, np.eye(2), [of_table, "b"], plain_labels(2))
            recording = read("folder", folder)[folder.name]
            assert recording.stimuli.ids == ("é", "b")


@pytest.mark.parametrize("kind", FORMATS)
def test_pictures_called_like_nothing_or_like_numbers(tmp_path: Path, kind: str) -> None:
    ids = ["NA", "null", "None", "nan", "1e5", "007", "True", "1.0"]
    for i, name in enumerate(ids):
        save_picture(tmp_path / "images" / f"{name}.png", i)
    values = np.random.default_rng(0).normal(size=(8, 8))
    write(tmp_path, kind, values, ids, pd.DataFrame({"unit_id": ids}))
    recording = next(iter(read("folder", tmp_path).values()))
    assert recording.stimuli.ids == tuple(ids)
    assert recording.responses.unit_ids == ids
    np.testing.assert_array_equal(recording.responses.data.values, values)


def test_selectors_are_cleaned_as_names_are() -> None:
    responses = Responses.build(
        np.eye(2), ["a", "b"], subject="ann", hemisphere=["LH", "lh "],
        rois={"V1 ": np.array([1, 0]), "é": np.array([0, 1])},
    )  # fmt: skip
    assert responses.hemispheres == ["lh"]
    (target,) = responses.targets(["V1  "], ["Left"])
    assert (target.name, target.units.tolist()) == ("ann_lh_V1", [0])
    assert len(responses.targets(["e\u0301"])) == 1
    with pytest.raises(InputError, match="ROI roi_V1 is there twice, as 'roi_V1' and 'roi_V1 '"):
        Responses.build(
            np.eye(2), ["a", "b"], subject="ann",
            rois={"V1": np.array([1, 0]), "V1 ": np.array([0, 1])},
        )  # fmt: skip


def test_labels_of_netcdf_in_another_case(tmp_path: Path) -> None:
    data = xr.load_dataarray(nc(tmp_path, np.eye(2), hemisphere=np.array(["lh", "rh"])))
    data = data.rename(unit_id="Unit_ID", hemisphere="Hemisphere").assign_coords(
        Subject=("unit", ["a", "a"]), ROI_V1=("unit", [1, 0])
    )
    data.to_netcdf(tmp_path / "responses.nc")
    responses = read_responses(tmp_path / "responses.nc", "ann")
    assert (responses.unit_ids, responses.hemispheres, responses.rois) == (
        ["x", "y"],
        ["lh", "rh"],
        ["V1"],
    )
    assert responses.subject == "ann"


def test_subjects_whose_folders_are_named_in_another_unicode_form(tmp_path: Path) -> None:
    write_images(tmp_path / "images", range(2))
    for name in ("Jose\u0301", "Ann"):
        write(tmp_path / name, "npy", np.eye(2), ["a0000", "a0001"], plain_labels(2))
    assert list(read("folder", tmp_path, subjects=["Jos\u00e9"])) == ["Jos\u00e9"]
    assert list(read("folder", tmp_path)) == ["Ann", "Jos\u00e9"]


@pytest.mark.parametrize("kind", ["csv", "parquet", "nc"])
def test_a_column_twice_that_pandas_renamed(tmp_path: Path, kind: str) -> None:
    values = np.random.default_rng(0).normal(size=(4, 3))
    labels = pd.DataFrame({"unit_id": ["u1", "u2", "u1.1"]})
    file = write(tmp_path, kind, values, list("abcd"), labels)
    file.with_name("units.csv").unlink(missing_ok=True)
    assert read_responses(file, "ann").unit_ids[2] == "u1.1"  # a unit of channel 1, say
    file = write(tmp_path, kind, values[:, [0, 1, 0]], list("abcd"), labels)
    file.with_name("units.csv").unlink(missing_ok=True)
    with pytest.raises(InputError, match=r"'u1\.1' \(\w+ \d\) has the values of 'u1'"):
        read_responses(file, "ann")
