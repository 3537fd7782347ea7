"""Responses of units to stimuli, as a labeled array that may stay on disk."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from striate.core.errors import InputError, unknown_name
from striate.core.hashing import hash_json
from striate.core.names import check_names, clean_hemisphere, clean_name
from striate.data.responses.labels import NAME_LABELS, label_name, plain, read_labels
from striate.data.responses.numbers import as_counted, converted, counted_dtype

SHOWN_ROIS = 5
"""ROIs that the representation of responses names."""
BLOCK_BYTES = 2**26
"""Bytes of the trials that are averaged at once."""


@dataclass(frozen=True)
class Target:
    """The units of one ROI of one hemisphere, to which one model is tuned.

    Attributes:
        subject: name of the subject (a recording session is a subject where units differ).
        hemisphere: `lh`, `rh`, or `` where there is none.
        roi: the ROI's name.
        units: positions along the unit dimension, int64.
    """

    subject: str
    hemisphere: str
    roi: str
    units: np.ndarray

    @property
    def name(self) -> str:
        """A short name that can be a folder, such as `subj01_lh_V1v`."""
        return file_name(self.subject, self.hemisphere, self.roi)


def file_name(*parts: str) -> str:
    """Join names to one that can be the name of a folder; different names stay different.

    >>> file_name("subj01", "lh", "V1v"), file_name("s", "", "V1/2")
    ('subj01_lh_V1v', 's_V1-2-d221')
    """
    whole = "_".join(p for p in parts if p)
    safe = re.sub(r"[^\w.+-]", "-", whole)
    return safe if safe == whole else f"{safe}-{hash_json(list(parts))[:4]}"


def _check_ceilings(ceiling: np.ndarray, unit_ids: np.ndarray) -> None:
    """Refuse ceilings that are no correlations; most often they are percentages."""
    outside = np.flatnonzero((ceiling < 0) | (ceiling > 1))
    if outside.size:
        unit = unit_ids[outside[0]]
        raise InputError(
            f"noise ceiling of unit {unit}: {ceiling[outside[0]]:.9g} ({outside.size} units "
            "outside 0 to 1). A ceiling is the largest correlation a perfect model could reach: "
            "divide percentages by 100, and take the root of a share of explained variance."
        )


class Responses:
    """Responses of one subject, dims `(stimulus, unit)` or `(stimulus, repeat, unit)`.

    A thin wrapper of `data`, an `xarray.DataArray` with coordinates `stimulus_id` on stimulus and
    `unit_id`, `subject`, `session`, `hemisphere`, `noise_ceiling` and boolean `roi_NAME` on unit;
    `attrs["simulated"]` says whether the numbers are simulated. NaN in `repeat` means no trial.

    Data of all formats pass through this class. Numbers are float32 or wider in the machine's byte
    order (`striate.data.responses.numbers`; arrays on disk are converted when they are read), names
    are cleaned (`striate.core.names`), ids are unique and not empty, and labels hold valid values
    (`striate.data.responses.labels`).

    Build one with `Responses.build`.

    Raises:
        InputError: anything else, with the subject, the label and the unit or stimulus.
    """

    def __init__(self, data: xr.DataArray) -> None:
        check_dims(data)
        absent = [n for n in ("stimulus_id", "unit_id") if n not in data.coords]
        if absent:
            raise InputError(
                f"responses lack the coordinates {', '.join(absent)} (stimulus_id on stimulus, "
                "unit_id on unit). Further ones, on unit, are optional: subject, session, "
                "hemisphere, noise_ceiling, and roi_NAME (true or false)."
            )
        n_units = data.sizes["unit"]
        owner = _describe_owner(data)
        dtype = counted_dtype(data.dtype, owner)
        if data.dtype != dtype:
            data = data.copy(data=converted(data.variable, dtype))
        written_ids = plain(_read_coordinate(data, "stimulus_id", "stimulus", owner))
        ids = [clean_name(i) for i in written_ids]
        advice = "Average the rows of a stimulus, or put them into the dim `repeat`."
        check_names(ids, "stimulus id", owner, lambda i: f"row {i + 1}", written_ids, advice)
        columns = {
            n: _read_coordinate(data, n, "unit", owner)
            for n in map(str, data.coords)
            if is_label(n)
        }
        labels = read_labels(columns, owner, lambda i: f"unit {i + 1} of {n_units}")
        empty_names = [""] * n_units
        coords: dict[str, tuple[str, np.ndarray]] = {
            "stimulus_id": ("stimulus", _make_object_array(ids))
        }
        for name in NAME_LABELS:
            coords[name] = ("unit", _make_object_array(labels.names.get(name, empty_names)))
        ceiling = labels.noise_ceiling
        ceiling = np.full(n_units, np.nan) if ceiling is None else ceiling
        _check_ceilings(ceiling, coords["unit_id"][1])
        coords["noise_ceiling"] = ("unit", ceiling)
        coords |= {f"roi_{roi}": ("unit", mask) for roi, mask in labels.rois.items()}
        self.data = data.drop_vars([n for n in columns if n not in coords]).assign_coords(coords)

    @classmethod
    def build(
        cls,
        values: np.ndarray,
        stimulus_ids: Sequence[str],
        *,
        subject: str,
        session: str = "",
        unit_ids: Sequence[str] | None = None,
        hemisphere: str | Sequence[str] = "",
        rois: Mapping[str, np.ndarray] | None = None,
        noise_ceiling: np.ndarray | None = None,
        simulated: bool = False,
        attrs: Mapping[str, Any] | None = None,
    ) -> Responses:
        """Label an array of shape (n_stimuli, n_units) or (n_stimuli, n_repeats, n_units).

        Args:
            values: the responses; a memory map stays one.
            stimulus_ids: unique id of each row.
            subject, session: the subject and the session of the responses.
            unit_ids: unique names; default `u00000 …`.
            hemisphere: one name for all units, or one for each.
            rois: boolean mask of shape (n_units,) by ROI name; overlap is allowed.
            noise_ceiling: largest correlation a perfect model could reach, per unit; NaN unknown.
            simulated: whether the numbers come from a simulation.
            attrs: further facts to keep with the array.

        Raises:
            InputError: shapes or ids do not fit; the message says what was expected and found.
        """
        owner = f"responses of subject {subject}"
        if values.ndim not in (2, 3):
            raise InputError(f"{owner}: expected 2 or 3 dims, found shape {values.shape}.")
        if len(stimulus_ids) != values.shape[0]:
            raise InputError(
                f"{owner}: {values.shape[0]} rows for {len(stimulus_ids)} stimulus ids. Each row "
                "needs the id of its image."
            )
        n_units = values.shape[-1]
        if unit_ids is None:
            unit_ids = unit_names(n_units)
        if len(unit_ids) != n_units or len(set(unit_ids)) < n_units:
            raise InputError(
                f"{owner}: {n_units} units need as many unique unit ids, found {len(unit_ids)} "
                f"({len(set(unit_ids))} unique)."
            )
        ceiling = np.full(n_units, np.nan) if noise_ceiling is None else np.asarray(noise_ceiling)
        sides = [hemisphere] * n_units if isinstance(hemisphere, str) else list(hemisphere)
        masks = {f"roi_{name}": np.asarray(mask) for name, mask in (rois or {}).items()}
        shapes = {
            "noise ceilings": ceiling.shape,
            "hemispheres": (len(sides),),
            **{f"labels of ROI {clean_name(n[4:])}": mask.shape for n, mask in masks.items()},
        }
        for what, shape in shapes.items():
            if shape != (n_units,):
                raise InputError(
                    f"{owner}: {what} have shape {shape}, expected one a unit, ({n_units},)."
                )
        coords: dict[str, Any] = {
            "stimulus_id": ("stimulus", _make_object_array(stimulus_ids)),
            "unit_id": ("unit", _make_object_array(unit_ids)),
            "subject": ("unit", _make_object_array([subject] * n_units)),
            "session": ("unit", _make_object_array([session] * n_units)),
            "hemisphere": ("unit", _make_object_array(sides)),
            "noise_ceiling": ("unit", ceiling),
            **{name: ("unit", mask) for name, mask in masks.items()},
        }
        dims = ("stimulus", "unit") if values.ndim == 2 else ("stimulus", "repeat", "unit")
        facts = {"simulated": int(simulated), **(attrs or {})}
        numbers = as_counted(values, owner)
        return cls(xr.DataArray(numbers, dims=dims, coords=coords, attrs=facts, name="response"))

    def __repr__(self) -> str:
        """Say in one line what is here, without reading a response.

        >>> Responses.build(np.zeros((4, 2)), list("abcd"), subject="ann", simulated=True)
        Responses(ann, SIMULATED: 4 stimuli x 2 units, float64; no ROIs; ceilings of 0 units)
        """
        sizes = " x ".join(f"{n} {self._plural(str(dim), n)}" for dim, n in self.data.sizes.items())
        rois = [f"{r} ({int(self.data.coords[f'roi_{r}'].sum())})" for r in self.rois[:SHOWN_ROIS]]
        if len(self.rois) > SHOWN_ROIS:
            rois.append(f"{len(self.rois) - SHOWN_ROIS} more")
        simulated = ", SIMULATED" if self.simulated else ""
        n_ceilings = int(np.isfinite(self.noise_ceiling).sum())
        return (
            f"Responses({self.subject}{simulated}: {sizes}, {self.data.dtype}; "
            f"{'ROIs ' + ', '.join(rois) if rois else 'no ROIs'}; ceilings of {n_ceilings} units)"
        )

    @staticmethod
    def _plural(dim: str, n: int) -> str:
        return dim if n == 1 else {"stimulus": "stimuli"}.get(dim, f"{dim}s")

    @property
    def stimulus_ids(self) -> list[str]:
        """Id of each row."""
        return [str(i) for i in self.data.coords["stimulus_id"].values]

    @property
    def unit_ids(self) -> list[str]:
        """Id of each unit."""
        return [str(i) for i in self.data.coords["unit_id"].values]

    @property
    def subject(self) -> str:
        """Name of the subject."""
        return str(self.data.coords["subject"].values[0]) if self.data.sizes["unit"] else ""

    @property
    def simulated(self) -> bool:
        """Whether the numbers come from a simulation."""
        return bool(self.data.attrs.get("simulated", 0))

    @property
    def noise_ceiling(self) -> np.ndarray:
        """Largest reachable correlation per unit, shape (n_units,); NaN where unknown."""
        return np.asarray(self.data.coords["noise_ceiling"].values)

    @property
    def rois(self) -> list[str]:
        """Names of all ROIs, also of ROIs without a unit here."""
        return [str(c)[4:] for c in self.data.coords if str(c).startswith("roi_")]

    @property
    def hemispheres(self) -> list[str]:
        """Names of the hemispheres, sorted."""
        return sorted({str(h) for h in self.data.coords["hemisphere"].values})

    def mean(self) -> np.ndarray:
        """Return responses averaged over repeats, shape (n_stimuli, n_units).

        NaN trials are left out; a stimulus without any trial is NaN. Sums are float64, and trials
        are read from disk in blocks. Responses without repeats are returned as they are (a memory
        map of float32 or float64 stays one).
        """
        if self.data.ndim == 2:
            return np.asarray(self.data.values)
        out = np.empty((self.data.sizes["stimulus"], self.data.sizes["unit"]))
        for rows in blocks(self.data):
            out[rows] = _average_trials(self.data[rows].values)
        return out

    def targets(
        self, rois: Sequence[str] | None = None, hemispheres: Sequence[str] | None = None
    ) -> list[Target]:
        """Return the non-empty (hemisphere, ROI) groups of units.

        Args:
            rois: names to keep; default all. Without ROI coordinates all units form the ROI `all`.
            hemispheres: names to keep; default all.

        Raises:
            InputError: a name that does not exist here; the nearest names are offered.
        """
        names = self.rois or ["all"]
        rois = None if rois is None else [clean_name(roi) for roi in rois]
        hemispheres = None if hemispheres is None else [clean_hemisphere(h) for h in hemispheres]
        for roi in rois or ():
            if roi not in names:
                raise unknown_name("ROI", roi, names, f"Subject {self.subject}.")
        for side in hemispheres or ():
            if side not in self.hemispheres:
                raise unknown_name("hemisphere", side, self.hemispheres)
        sides = np.asarray(self.data.coords["hemisphere"].values, dtype=str)
        targets = []
        for side in hemispheres or self.hemispheres:
            for roi in rois or names:
                name = f"roi_{roi}"
                in_roi = (
                    self.data.coords[name].values
                    if name in self.data.coords
                    else np.ones(len(sides), dtype=bool)
                )
                units = np.flatnonzero(in_roi & (sides == side))
                if units.size:
                    targets.append(Target(self.subject, side, roi, units))
        return targets


def check_dims(data: xr.DataArray, owner: str = "responses") -> None:
    """Refuse an array whose dims are not those of responses."""
    if data.dims not in (("stimulus", "unit"), ("stimulus", "repeat", "unit")):
        raise InputError(
            f"{owner}: expected dims (stimulus, unit) or (stimulus, repeat, unit), found "
            f"{data.dims}."
        )


def unit_names(n_units: int) -> list[str]:
    """Make default names of units, `u00000` and so on."""
    return [f"u{i:05d}" for i in range(n_units)]


def blocks(data: xr.DataArray) -> Iterator[slice]:
    """Yield slices over the stimuli of about `BLOCK_BYTES` as float64."""
    row = 8 * max(1, data.size // max(1, data.shape[0]))
    step = max(1, BLOCK_BYTES // row)
    for start in range(0, data.shape[0], step):
        yield slice(start, start + step)


def is_label(name: str) -> bool:
    """Whether a coordinate is a label of units."""
    return label_name(name) is not None


def _average_trials(trials: np.ndarray) -> np.ndarray:
    """Average (n_stimuli, n_repeats, n_units) over the trials that are not NaN, float64."""
    # One order in memory, so that the sum does not depend on the order of the array.
    trials = np.ascontiguousarray(trials, dtype=np.float64)
    present = ~np.isnan(trials)
    count = present.sum(axis=1)
    total = np.where(present, trials, 0.0).sum(axis=1)
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)


def _describe_owner(data: xr.DataArray) -> str:
    """Say in messages whose responses these are."""
    names = data.coords["subject"].values.ravel() if "subject" in data.coords else []
    return f"responses of subject {clean_name(names[0])}" if len(names) else "responses"


def _read_coordinate(data: xr.DataArray, name: str, dim: str, owner: str) -> np.ndarray:
    """Return the values of a coordinate along a dimension; a scalar is repeated."""
    label = data.coords[name]
    if label.ndim == 0:
        return np.full(data.sizes[dim], label.values[()], dtype=label.dtype)
    if label.dims != (dim,):
        raise InputError(f"{owner}: {name} lies on {label.dims}, expected on ({dim},).")
    return np.asarray(label.values)


def _make_object_array(names: Sequence[Any]) -> np.ndarray:
    """Make a one-dimensional array of objects, whatever the objects are."""
    out = np.empty(len(names), dtype=object)
    out[:] = names
    return out
