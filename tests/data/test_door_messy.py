"""Messy files at the door: stand-ins for no value, odd headers, labels that nobody reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from striate.core.errors import InputError
from striate.data import diagnose
from striate.data.readers.folder import read_responses
from striate.data.responses.noise_ceilings import noise_ceiling
from tests.data.test_door import with_images


@pytest.mark.parametrize("shape", [(4, 0), (4, 0, 2), (4, 2, 0)])
def test_arrays_without_a_value_are_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    np.save(tmp_path / "responses.npy", np.zeros(shape))
    (tmp_path / "stimulus_ids.txt").write_text("a\nb\nc\nd\n")
    with pytest.raises(InputError, match="holds no value: shape"):
        read_responses(tmp_path / "responses.npy", "ann")


def test_tables_without_a_unit_are_refused(tmp_path: Path) -> None:
    (tmp_path / "responses.csv").write_text("stimulus_id\na\nb\n")
    with pytest.raises(InputError, match=r"responses.csv holds no value"):
        read_responses(tmp_path / "responses.csv", "ann")


@pytest.mark.parametrize("name", ["group", "movie", "session_of"])
def test_what_netcdf_says_of_stimuli_and_is_not_used_is_named(tmp_path: Path, name: str) -> None:
    coords = {"stimulus_id": ("stimulus", list("abcd")), "unit_id": ("unit", list("wxyz"))}
    coords[name] = ("stimulus", list("aabb"))
    data = xr.DataArray(np.eye(4), dims=("stimulus", "unit"), coords=coords)
    data.to_netcdf(tmp_path / "responses.nc")
    (note,) = read_responses(tmp_path / "responses.nc", "ann").data.attrs["notes"]
    assert repr(name) in note and "not kept together" in note


def test_units_named_by_the_dim_itself_keep_their_names(tmp_path: Path) -> None:
    """By position they would get the labels of others, where units.csv has another order."""
    data = xr.DataArray(
        np.random.default_rng(0).normal(size=(4, 3)),
        dims=("stimulus", "unit"),
        coords={"stimulus": list("abcd"), "unit": ["p", "q", "r"]},
    )
    data.to_netcdf(tmp_path / "responses.nc")
    (tmp_path / "units.csv").write_text("unit_id,noise_ceiling\nr,.3\nq,.2\np,.1\n")
    responses = read_responses(tmp_path / "responses.nc", "ann")
    assert responses.unit_ids == ["p", "q", "r"] and responses.stimulus_ids == list("abcd")
    np.testing.assert_allclose(responses.noise_ceiling, [0.1, 0.2, 0.3])


def test_packed_netcdf_is_unpacked_and_its_fill_value_is_missing(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(4, 3, 2))
    values[1, 2, 0] = values[2, :, 1] = np.nan
    data = xr.DataArray(
        values,
        dims=("stimulus", "repeat", "unit"),
        coords={"stimulus_id": ("stimulus", list("abcd")), "unit_id": ("unit", ["p", "q"])},
        name="betas",
    )
    packed = {"dtype": "int16", "scale_factor": 1 / 300, "add_offset": 2.0, "_FillValue": -32768}
    data.to_netcdf(tmp_path / "responses.nc", encoding={"betas": packed})
    means = read_responses(tmp_path / "responses.nc", "ann").mean()
    count = (~np.isnan(values)).sum(axis=1)
    wanted = np.where(count, np.nansum(values, axis=1) / np.maximum(count, 1), np.nan)
    np.testing.assert_allclose(means, wanted, atol=1 / 600 + 1e-6)


@pytest.mark.parametrize(
    ("value", "dtype"),
    [(-999, "i2"), (-32768, "i2"), (np.iinfo("i8").min, "i8"), (9.969209968386869e36, "f4"),
     (-9999, "f8"), (1e20, "f4"), (65535, "u2")],
)  # fmt: skip
@pytest.mark.parametrize("repeats", [0, 3])
def test_numbers_that_stand_for_no_value_are_named(
    tmp_path: Path, value: float, dtype: str, repeats: int
) -> None:
    shape = (12, repeats, 2) if repeats else (12, 2)
    values = np.random.default_rng(0).integers(0, 50, shape).astype(dtype)
    assert not _stand_ins(tmp_path / "good", values)
    values[3, ..., 1] = value
    (finding,) = _stand_ins(tmp_path / "bad", values)
    assert "unit u1," in finding


def test_values_beside_others_stand_for_themselves(tmp_path: Path) -> None:
    values = np.linspace(-999, 999, 24).reshape(12, 2)
    assert not _stand_ins(tmp_path, values)


def _stand_ins(folder: Path, values: np.ndarray) -> list[str]:
    folder.mkdir(exist_ok=True)
    with_images(folder, "npy", values)
    return [f.found for f in diagnose(folder).findings if "stand for no value" in f.found]


def test_an_index_of_which_rows_were_left_out_is_no_unit(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    index = np.sort(rng.choice(500, 40, replace=False))
    for name, column in (("X", index), ("sample", index + 1000)):
        table = pd.DataFrame({"stimulus_id": [f"s{i}" for i in range(40)], name: column})
        table["u1"] = rng.integers(0, 9, 40)
        table.to_csv(tmp_path / "responses.csv", index=False)
        with pytest.raises(InputError, match=f"{name!r}.*rise from row to row"):
            read_responses(tmp_path / "responses.csv", "ann")


def test_responses_that_rise_with_a_parameter_are_a_unit(tmp_path: Path) -> None:
    table = pd.DataFrame({"stimulus_id": [f"c{i:02d}" for i in range(30)]})
    table["u1"], table["u2"] = np.linspace(0, 7.3, 30), np.arange(30) % 7
    table.to_csv(tmp_path / "responses.csv", index=False)
    assert read_responses(tmp_path / "responses.csv", "ann").unit_ids == ["u1", "u2"]


@pytest.mark.parametrize(
    "header",
    [
        "unit id,noise ceiling,roi V1",
        "Unit.ID,Noise.Ceiling,ROI.V1",
        "unit-id,noise-ceiling,roi-V1",
    ],
)
def test_labels_are_known_however_their_words_are_joined(tmp_path: Path, header: str) -> None:
    np.save(tmp_path / "responses.npy", np.eye(3))
    (tmp_path / "stimulus_ids.txt").write_text("a\nb\nc\n")
    (tmp_path / "units.csv").write_text(f"{header}\np,.5,1\nq,.4,0\nr,.3,1\n")
    responses = read_responses(tmp_path / "responses.npy", "ann")
    assert responses.unit_ids == ["p", "q", "r"] and responses.rois == ["V1"]
    np.testing.assert_allclose(responses.noise_ceiling, [0.5, 0.4, 0.3])


def test_rois_that_differ_in_case_alone_are_named(tmp_path: Path) -> None:
    np.save(tmp_path / "responses.npy", np.eye(3))
    (tmp_path / "stimulus_ids.txt").write_text("a\nb\nc\n")
    (tmp_path / "units.csv").write_text("unit_id,roi_V1,roi_v1\np,1,0\nq,0,1\nr,1,1\n")
    responses = read_responses(tmp_path / "responses.npy", "ann")
    assert responses.rois == ["V1", "v1"]
    (note,) = responses.data.attrs["notes"]
    assert "roi_V1 and roi_v1 differ in their case alone" in note


def test_a_quote_that_is_not_closed_is_named_where_it_opens(tmp_path: Path) -> None:
    (tmp_path / "responses.csv").write_text('stimulus_id,u1\na,1\n"b,2\nc,3\n')
    with pytest.raises(InputError, match="line 3: a quote opens here"):
        read_responses(tmp_path / "responses.csv", "ann")


def test_one_endless_trial_takes_the_ceiling_of_its_unit_only() -> None:
    trials = np.random.default_rng(0).normal(size=(10, 3, 2)) + np.arange(10)[:, None, None]
    wanted = noise_ceiling(trials)
    trials[4, 1, 0] = np.inf
    ceilings = noise_ceiling(trials)  # warnings are errors here
    assert np.isnan(ceilings[0]) and ceilings[1] == wanted[1]
