"""Reading of a folder in the layout of `striate.data.readers.folder`."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from striate.core.arrays import load_npy
from striate.core.errors import InputError, unknown_name
from striate.core.names import check_names, clean_name
from striate.core.tables import read_lines, read_table
from striate.core.walk import check_links
from striate.data.images.stimuli import StimulusSet
from striate.data.responses.dataset import Dataset, Recording
from striate.data.responses.labels import (
    Place,
    UnitLabels,
    describe_unknown,
    label_name,
    plain,
    read_labels,
    refuse_descriptive,
)
from striate.data.responses.noise_ceilings import noise_ceiling
from striate.data.responses.numbers import as_counted
from striate.data.responses.responses import Responses, check_dims, is_label, unit_names

SUFFIXES = (".npy", ".csv", ".parquet", ".nc")
COPIES = "Average the rows of a stimulus, or put them into the dim `repeat` (.npy, .nc)."
_DATA = re.compile(r"(responses?|units?|stim(ulus|uli)?_?ids?)([._-].*)?$", re.IGNORECASE)
"""Names of files that look as if they held responses, units or ids."""
Opened = tuple[xr.DataArray, list[str], Place]
"""An array with the labels that its file has, what else the file has that is not used, and what
says where a unit stands in it."""


def read_folder(path: Path, *, subjects: Sequence[str] | None = None) -> Dataset:
    """Read a folder in that layout; call it through `striate.data.read("folder", path)`.

    Args:
        path: the folder.
        subjects: names of subject folders to read; default all.

    Raises:
        InputError: nothing to read, more than one response file, ids that do not pair.
    """
    for folder in (path, *(p for p in path.iterdir() if p.is_dir())):
        check_links(folder)  # a subject or file that is not there would not be missed
    folders = [p for p in sorted(path.iterdir()) if p.is_dir() and response_files(p)]
    if response_files(path):
        folders = [path]
    given = [p.resolve().name if p == path else p.name for p in folders]
    by_name = dict(zip(map(clean_name, given), folders, strict=True))
    check_names([*map(clean_name, given)], "subject", str(path), lambda i: given[i], given)
    if not by_name:
        raise InputError(
            f"{path} has no responses ({', '.join('responses' + s for s in SUFFIXES)}), neither "
            "itself nor in a folder below it."
        )
    names = [clean_name(s) for s in subjects or by_name]
    for name in names:
        if name not in by_name:
            raise unknown_name("subject", name, by_name)
    recordings = {name: _read_recording(by_name[name], name, path) for name in names}
    unused = find_unused(path)
    if unused and names:
        attrs = recordings[names[0]].responses.data.attrs
        attrs["notes"] = [*attrs.get("notes", ()), *unused]
    return Dataset("folder", recordings, {"source": path.resolve().name})


def response_files(folder: Path) -> list[Path]:
    """The files of a folder that can hold responses."""
    return [f for s in SUFFIXES if (f := folder / f"responses{s}").is_file()]


def images_of(folder: Path, root: Path) -> Path:
    """Where the images of a subject's folder lie: in it, or shared by all."""
    images = folder / "images"
    return images if images.is_dir() else root / "images"


def find_unused(path: Path) -> list[str]:
    """Say which files and folders are named as if they held data, and are not read.

    A subject whose file is called `response.npy` would not be missed otherwise, nor would a table
    of units that lies a folder higher than it should.
    """
    below = [p for p in sorted(path.iterdir()) if p.is_dir() and not p.name.startswith(".")]
    subjects = [] if response_files(path) else [p for p in below if response_files(p)]
    lines = [
        f"folder {folder.name} is not read: {why}."
        for folder in below
        if folder not in subjects
        and folder.name != "images"
        and (why := _explain_unread(folder, path))
    ]
    for folder in (path, *subjects):
        files = response_files(folder)
        read = {f.name for f in files} | ({"units.csv"} if files else set())
        read |= {"stimulus_ids.txt"} if any(f.suffix == ".npy" for f in files) else set()
        for file in sorted(folder.iterdir()):
            if file.name in read or not _DATA.match(file.name) or file.is_dir():
                continue
            lines.append(
                f"{file.relative_to(path).as_posix()} is not read: units.csv, and stimulus_ids.txt "
                "of .npy, are read by these names beside the responses that they belong to."
            )
    return lines


def _explain_unread(folder: Path, root: Path) -> str:
    """Why a folder that looks like a subject's is none; `` where it does not look like one."""
    files = sorted(p.name for p in folder.iterdir()) if os.access(folder, os.R_OK) else []
    if not any(_DATA.match(name) for name in files):
        return ""
    if response_files(folder):
        return f"{root.name} has responses of its own, and so is the only subject"
    wanted = ", ".join(f"responses{s}" for s in SUFFIXES)
    return f"it holds {_list_some(files)}, but none of {wanted}"


def _read_recording(folder: Path, subject: str, root: Path) -> Recording:
    files = response_files(folder)
    if len(files) > 1:
        raise InputError(f"{folder}: which responses? Found {', '.join(f.name for f in files)}.")
    images = images_of(folder, root)
    stimuli = StimulusSet.from_folder(images)
    responses = read_responses(files[0], subject)
    rows, names = set(responses.stimulus_ids), set(stimuli.ids)
    if (
        rows < names and images.parent != folder
    ):  # shared images: a subject need not have seen them all
        stimuli = stimuli.subset([i for i, s in enumerate(stimuli.ids) if s in rows])
    return Recording.pair(subject, stimuli, responses)


def read_responses(file: Path, subject: str) -> Responses:
    """Read one file of responses, with what lies beside it; see `read_folder` for errors.

    Whatever the format, the same data give the same `Responses`, or are refused. What was read and
    is not used is said in `data.attrs["notes"]`.
    """
    openers = {".npy": _open_npy, ".nc": _open_netcdf}
    data, notes, places = openers.get(file.suffix, _open_table)(file, subject)
    if data.size == 0:
        raise InputError(
            f"{file} holds no value: shape {data.shape} of {', '.join(map(str, data.dims))}. Each "
            "row needs a stimulus id, and beside it the responses of at least one unit."
        )
    units = file.with_name("units.csv")
    ceilings_given = False
    if units.is_file():
        data, more, ceilings_given = _label_units(data, units)
        notes += more
    notes += _name_subjects(data, file, subject)
    coords = {"subject": ("unit", np.full(data.sizes["unit"], subject, object))}
    if "unit_id" not in data.coords:
        coords["unit_id"] = ("unit", np.array(unit_names(data.sizes["unit"]), object))
    try:
        responses = Responses(data.assign_coords(coords).rename("response"))
    except InputError as error:
        raise InputError(f"{file}: {error}") from error
    if not units.is_file():
        refuse_descriptive(responses.data, str(file), places)
    if data.ndim == 3 and not ceilings_given and np.isnan(responses.noise_ceiling).all():
        ceiling = ("unit", noise_ceiling(responses.data))
        responses = Responses(responses.data.assign_coords(noise_ceiling=ceiling))
    responses.data.attrs = {"simulated": 0, **responses.data.attrs}
    if notes:
        responses.data.attrs["notes"] = notes
    return responses


def _name_subjects(data: xr.DataArray, file: Path, subject: str) -> list[str]:
    """Say where a file names several subjects; all are one here, by the name of the folder."""
    if "subject" not in data.coords:
        return []
    names = sorted({clean_name(s) for s in plain(data.coords["subject"].values.ravel())} - {""})
    if len(names) < 2:
        return []
    return [f"{file.name} names the subjects {_list_some(names)}; all are {subject} here."]


def _open_npy(file: Path, subject: str) -> Opened:
    values = load_npy(file)
    if values.ndim not in (2, 3):
        raise InputError(
            f"{file}: expected (stimuli, units) or (stimuli, repeats, units), found shape "
            f"{values.shape}."
        )
    ids = _read_row_ids(file, subject)
    if len(ids) != values.shape[0]:
        raise InputError(
            f"{file} has {values.shape[0]} rows, {file.with_name('stimulus_ids.txt')} has "
            f"{len(ids)} ids. Each row needs the id of its image, in order."
        )
    data = _make_array(as_counted(values, str(file)), ids, None)
    return data, [], lambda i: f"unit {i + 1}"


def _open_table(file: Path, subject: str) -> Opened:
    table = read_table(file, text=["stimulus_id"])
    ids = table.ids("stimulus_id", f"{file}, subject {subject}", COPIES)
    units = [c for c in table.columns if c != "stimulus_id"]
    data = _make_array(table.numbers(units, "a unit's responses"), ids, units)
    return data, [], lambda i: f"column {table.columns.index(units[i]) + 1}"


def _make_array(values: Any, ids: list[str], units: list[str] | None) -> xr.DataArray:
    """Put names on an array; `unit_id` only where units have names."""
    dims = ("stimulus", "unit") if values.ndim == 2 else ("stimulus", "repeat", "unit")
    coords: dict[str, Any] = {"stimulus_id": ("stimulus", np.array(ids, dtype=object))}
    if units is not None:
        coords["unit_id"] = ("unit", np.array(units, dtype=object))
    return xr.DataArray(values, dims=dims, coords=coords)


def _read_row_ids(file: Path, subject: str) -> list[str]:
    names = file.with_name("stimulus_ids.txt")
    if not names.is_file():
        raise InputError(
            f"{file} needs {names.name} beside it: one stimulus id a line, in the order of the "
            "rows. Pairing by sort order is how responses get mixed up."
        )
    given = read_lines(names)
    while given and not clean_name(given[-1]):
        given.pop()  # empty lines at the end name nothing
    ids = [clean_name(line) for line in given]
    owner = f"{names}, subject {subject}"
    check_names(ids, "stimulus id", owner, lambda i: f"line {i + 1}", given, COPIES)
    return ids


def _open_netcdf(file: Path, subject: str) -> Opened:
    try:
        with file.open("rb") as stream:
            engine: Any = "scipy" if stream.read(3) == b"CDF" else "h5netcdf"
        # Latencies "in milliseconds" are numbers; xarray would make them durations.
        options: Any = {"phony_dims": "access"} if engine == "h5netcdf" else {}  # or it warns
        whole = xr.open_dataset(
            file, engine=engine, decode_times=False, decode_timedelta=False, cache=False, **options
        )
    except (OSError, ValueError, TypeError, KeyError, IndexError) as error:
        raise InputError(f"{file} cannot be read as netCDF: {error}") from error
    # Coordinates with a blank in their name are stored as variables.
    labels_of = [n for n in whole.data_vars if whole[n].ndim < 2]
    whole = whole.set_coords(labels_of)
    if len(whole.data_vars) != 1:
        found = ", ".join(f"{n} {v.dims}" for n, v in whole.data_vars.items()) or "none"
        raise InputError(
            f"{file}: expected one array of dims (stimulus, unit) or (stimulus, repeat, unit), "
            f"found {found}."
        )
    (data,) = whole.data_vars.values()
    data.attrs = {**whole.attrs, **data.attrs}
    spelt = {str(n): label_name(n) for n in data.coords}
    for given, name in spelt.items():
        if name is not None and name not in data.coords:
            data = data.rename({given: name})
    stored = f"{data.attrs.get('units', '')} {data.attrs.get('dtype', '')}"
    if " since " in stored or "timedelta64" in stored:
        raise InputError(f"{file}: expected numbers, found dates or durations ({stored.strip()}).")
    check_dims(data, str(file))
    for dim in ("stimulus", "unit"):  # names that xarray keeps with the dim itself
        index = data.coords.get(dim)
        if index is not None and f"{dim}_id" not in data.coords and not _are_numbers(index.values):
            data = data.assign_coords({f"{dim}_id": (dim, index.values)})
    other = [str(n) for n in data.coords if n != "stimulus_id" and not is_label(str(n))]
    columns = {n: data.coords[n].values for n in other if data.coords[n].dims == ("unit",)}
    labels = UnitLabels(
        rois={str(n)[4:]: np.empty(0) for n in data.coords if str(n).startswith("roi_")},
        unknown=tuple(n for n in columns if n != "unit"),
    )
    notes = describe_unknown(labels, columns, file.name)
    notes += [
        f"{file.name}: {n!r} is not used."
        + " Stimuli that share it, such as the frames of a movie, are not kept together."
        * (data.coords[n].dims == ("stimulus",))
        for n in other
        if n not in columns and n not in data.dims
    ]
    return data.drop_vars(other), notes, lambda i: f"unit {i + 1}"


def _are_numbers(values: np.ndarray) -> bool:
    """Whether values are the numbers that xarray or pandas give to rows without names."""
    return values.dtype.kind in "iuf" and np.array_equal(values, np.arange(len(values)))


def _label_units(data: xr.DataArray, file: Path) -> tuple[xr.DataArray, list[str], bool]:
    """Put the labels of the table of units on responses; say whether it gives ceilings.

    Where the units have names the table is matched by them, and it decides what is a unit.
    """
    table = read_table(file)
    columns = {c: table.given(c) for c in table.columns}
    labels = read_labels(columns, str(file), table.place)
    ids, n_units = labels.names.get("unit_id"), data.sizes["unit"]
    names = None
    if "unit_id" in data.coords:
        names = [clean_name(u) for u in plain(data.coords["unit_id"].values)]
    if ids is None or (names is None and len(ids) != n_units):
        raise InputError(
            f"{file}: expected a column unit_id and {n_units} rows, found columns "
            f"{table.columns} and {len(table)} rows."
        )
    order: Any = slice(None)
    if names is not None:
        missing = [n for n in names if n not in set(ids)]
        extra = [i for i in ids if i not in set(names)]
        if missing or extra:
            raise InputError(
                f"{file}: its unit ids are not the columns of the responses (expected {n_units} "
                f"rows, found {len(table)}). Without a row: {_list_some(missing)}; not among the "
                f"responses: {_list_some(extra)}. A column of the responses that is no unit has to "
                "go; every unit needs its row."
            )
        place = {name: i for i, name in enumerate(ids)}
        order = np.array([place[name] for name in names], dtype=np.int64)
    coords: dict[str, Any] = {
        name: ("unit", np.array(texts, dtype=object)[order])
        for name, texts in labels.names.items()
        if name != "subject"
    }
    coords |= {f"roi_{roi}": ("unit", mask[order]) for roi, mask in labels.rois.items()}
    if labels.noise_ceiling is not None:
        coords["noise_ceiling"] = ("unit", labels.noise_ceiling[order])
    notes = describe_unknown(labels, columns, file.name)
    return data.assign_coords(coords), notes, labels.noise_ceiling is not None


def _list_some(names: list[str]) -> str:
    more = f", … ({len(names)} in all)" if len(names) > 5 else ""
    return (", ".join(map(repr, names[:5])) or "none") + more
