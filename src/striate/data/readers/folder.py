"""Anybody's data: a folder of images and a table or array of responses, paired by stimulus id.

    DATA/images/…                    any images; the id is the path below `images`, no suffix
    DATA/responses.csv|parquet       a column `stimulus_id`, one further column a unit
    DATA/responses.npy               (stimuli, units) or (stimuli, repeats, units), with
    DATA/stimulus_ids.txt            one id a line, the order of the rows of the `.npy`
    DATA/responses.nc                a DataArray as `Responses` describes it
    DATA/units.csv                   optional: unit_id, hemisphere, noise_ceiling, roi_NAME (0/1)

Several subjects: `DATA/SUBJECT/responses.*` (and `units.csv`, `stimulus_ids.txt`) each, with the
images in `DATA/SUBJECT/images`, or shared in `DATA/images`.
"""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from striate.core.errors import InputError, unknown_name
from striate.core.walk import check_links
from striate.data.ceilings import noise_ceiling
from striate.data.dataset import Dataset, Recording
from striate.data.readers.arrays import load_npy
from striate.data.responses import Responses
from striate.data.stimuli import StimulusSet

SUFFIXES = (".npy", ".csv", ".parquet", ".nc")
UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
"""How a file of UTF-16 begins, such as Excel's "Unicode text"."""


def read_folder(path: Path, *, subjects: Sequence[str] | None = None) -> Dataset:
    """Read a folder in the layout above; call it through `striate.data.read("folder", path)`.

    Args:
        path: the folder.
        subjects: names of subject folders to read; default all.

    Raises:
        InputError: nothing to read, more than one response file, ids that do not pair.
    """
    for folder in (path, *(p for p in path.iterdir() if p.is_dir())):
        check_links(folder)  # a subject or file that is not there would not be missed
    found = {p.name: p for p in sorted(path.iterdir()) if p.is_dir() and response_files(p)}
    if response_files(path):
        found = {path.resolve().name: path}
    if not found:
        raise InputError(
            f"{path} has no responses ({', '.join('responses' + s for s in SUFFIXES)}), neither "
            "itself nor in a folder below it."
        )
    names = [str(s) for s in subjects or found]
    for name in names:
        if name not in found:
            raise unknown_name("subject", name, found)
    recordings = {name: _recording(found[name], name, path) for name in names}
    return Dataset("folder", recordings, {"source": path.resolve().name})


def response_files(folder: Path) -> list[Path]:
    """The files of a folder that can hold responses."""
    return [f for s in SUFFIXES if (f := folder / f"responses{s}").is_file()]


def _recording(folder: Path, subject: str, root: Path) -> Recording:
    files = response_files(folder)
    if len(files) > 1:
        raise InputError(f"{folder}: which responses? Found {', '.join(f.name for f in files)}.")
    own = folder / "images"
    stimuli = StimulusSet.from_folder(own if own.is_dir() else root / "images")
    responses = read_responses(files[0], subject)
    rows, names = set(responses.stimulus_ids), set(stimuli.ids)
    if rows < names and not own.is_dir():  # shared images: a subject need not have seen them all
        stimuli = stimuli.subset([i for i, s in enumerate(stimuli.ids) if s in rows])
    return Recording.pair(subject, stimuli, responses)


def read_responses(file: Path, subject: str) -> Responses:
    """Read one file of responses, with what lies beside it; see `read_folder` for errors."""
    if file.suffix == ".nc":
        return _from_netcdf(file, subject)
    if file.suffix == ".npy":
        values, ids, units = load_npy(file), _row_ids(file), None
        if len(ids) != values.shape[0]:
            raise InputError(
                f"{file} has {values.shape[0]} rows, {file.with_name('stimulus_ids.txt')} has "
                f"{len(ids)} ids. Each row needs the id of its image, in order."
            )
    else:
        values, ids, units = _from_table(file)
    facts = _units(file.parent / "units.csv", values.shape[-1], units)
    if values.ndim == 3 and "noise_ceiling" not in facts:
        facts["noise_ceiling"] = noise_ceiling(np.asarray(values, dtype=np.float64))
    return Responses.build(values, ids, subject=subject, **facts)


def _row_ids(file: Path) -> list[str]:
    names = file.with_name("stimulus_ids.txt")
    if not names.is_file():
        raise InputError(
            f"{file} needs {names.name} beside it: one stimulus id a line, in the order of the "
            "rows. Pairing by sort order is how responses get mixed up."
        )
    try:
        text = names.read_text(encoding="utf-8-sig")  # Excel and Notepad put a mark before it
    except UnicodeDecodeError as error:
        raise _not_utf8(names, error) from error
    return [line.strip() for line in text.splitlines() if line.strip()]


def _read_table(file: Path, text: Sequence[str] = ()) -> pd.DataFrame:
    """Read a CSV or parquet table; the columns in `text` are not taken for numbers."""
    if file.suffix == ".csv":
        _check_separator(file)
    try:
        if file.suffix == ".csv":
            return pd.read_csv(file, dtype=dict.fromkeys(text, str))
        return pd.read_parquet(file)
    except UnicodeDecodeError as error:
        raise _not_utf8(file, error) from error
    except (ValueError, OSError, pd.errors.ParserError) as error:
        raise InputError(f"{file} cannot be read as a table: {error}") from error


def _check_separator(file: Path) -> None:
    """Refuse other separators than commas: with them goes the decimal comma, or does not."""
    with file.open("rb") as f:
        head = f.readline()
    if b"," in head or head.startswith(UTF16):
        return
    for mark, name in ((";", "semicolons"), ("\t", "tabs")):
        if mark.encode() in head:
            decimal = ", decimal=','" if mark == ";" else ""
            raise InputError(
                f"{file} is separated by {name}, expected commas. Save it anew, for example with "
                f"pandas: read_csv(file, sep={mark!r}{decimal}).to_csv(file, index=False)."
            )


def _not_utf8(file: Path, error: UnicodeDecodeError) -> InputError:
    with file.open("rb") as f:
        likely = "UTF-16" if f.read(2) in UTF16 else "Latin-1"
    return InputError(
        f"{file} is not UTF-8 text (byte {error.object[error.start]:#04x}); it looks like {likely}."
        " Save it as UTF-8 (in Excel: CSV UTF-8)."
    )


def _from_table(file: Path) -> tuple[np.ndarray, list[str], list[str]]:
    table = _read_table(file, text=["stimulus_id"])
    if "stimulus_id" not in table.columns:
        raise unknown_name(f"column of {file}", "stimulus_id", table.columns)
    numbers = table.drop(columns="stimulus_id")
    nameless = [str(c) for c in numbers.columns if str(c).startswith("Unnamed: ")]
    if nameless:
        raise InputError(
            f"{file} has a column without a name (pandas calls it {nameless[0]!r}); often it is a "
            "row number, not a unit. Give it a name or leave it out: to_csv(index=False)."
        )
    words = [c for c in numbers.columns if not pd.api.types.is_numeric_dtype(numbers[c])]
    if words:
        raise InputError(f"{file}: column {words[0]!r} holds words, expected a unit's responses.")
    return (
        numbers.to_numpy(dtype=np.float64),
        [str(s) for s in table["stimulus_id"]],
        [str(c) for c in numbers.columns],
    )


def _units(file: Path, n_units: int, names: list[str] | None) -> dict[str, Any]:
    """Read the optional table of units into arguments of `Responses.build`."""
    if not file.is_file():
        return {"unit_ids": names} if names else {}
    table = _read_table(file, text=["unit_id", "hemisphere"])
    if "unit_id" not in table.columns or len(table) != n_units:
        raise InputError(
            f"{file}: expected a column unit_id and {n_units} rows, found columns "
            f"{list(table.columns)} and {len(table)} rows."
        )
    if names is not None:
        if set(table["unit_id"]) != set(names):
            raise InputError(f"{file}: its unit ids are not the columns of the responses.")
        table = table.set_index("unit_id").loc[names].reset_index()
    known = ("unit_id", "hemisphere", "noise_ceiling")
    loose = [c for c in table.columns if c not in known and not c.startswith("roi_")]
    binary = [c for c in loose if table[c].isin([0, 1]).all()]
    if binary and not any(c.startswith("roi_") for c in table.columns):
        raise InputError(
            f"{file} has no roi_NAME column, but {binary[0]!r} holds 0 and 1. If it is a ROI, call "
            f"it roi_{binary[0]}; if not, add roi_ columns, or leave it out."
        )
    facts: dict[str, Any] = {"unit_ids": [str(u) for u in table["unit_id"]]}
    facts["rois"] = {
        c.removeprefix("roi_").strip(): _membership(table[c], file)
        for c in table.columns
        if c.startswith("roi_")
    }
    if "hemisphere" in table.columns:
        facts["hemisphere"] = [str(h) for h in table["hemisphere"].fillna("")]
    if "noise_ceiling" in table.columns:
        facts["noise_ceiling"] = table["noise_ceiling"].to_numpy(dtype=np.float64)
    return facts


def _membership(column: pd.Series, file: Path) -> np.ndarray:
    """Return whether each unit is in a ROI; an empty cell says that it is not."""
    filled = column.astype(object).where(column.notna(), 0)
    if not filled.isin([0, 1]).all():
        raise InputError(f"{file}: column {column.name!r} should hold 0 or 1, nothing else.")
    return filled.to_numpy(dtype=bool)


def _from_netcdf(file: Path, subject: str) -> Responses:
    try:
        data = xr.open_dataarray(file, engine="h5netcdf")
    except (OSError, ValueError) as error:
        raise InputError(f"{file} cannot be read as netCDF: {error}") from error
    for name in data.coords:
        if str(name).startswith("roi_"):
            data = data.assign_coords({name: data.coords[name].astype(bool)})
    data = Responses(data).data
    # One name a subject everywhere: the data set's, whatever the file calls it.
    names = np.array([subject] * data.sizes["unit"], dtype=object)
    data = data.assign_coords(subject=("unit", names))
    units = [str(u) for u in data.coords["unit_id"].values]
    facts = _units(file.parent / "units.csv", len(units), units)
    for name, mask in facts.get("rois", {}).items():
        data = data.assign_coords({f"roi_{name}": ("unit", mask)})
    if "hemisphere" in facts:
        data = data.assign_coords(hemisphere=("unit", np.array(facts["hemisphere"], dtype=object)))
    ceiling = facts.get("noise_ceiling")
    if ceiling is None and data.ndim == 3 and np.isnan(data.coords["noise_ceiling"].values).all():
        ceiling = noise_ceiling(np.asarray(data.values, dtype=np.float64))
    if ceiling is not None:
        data = data.assign_coords(noise_ceiling=("unit", ceiling))
    return Responses(data)
