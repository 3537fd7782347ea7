"""Responses: what units did to stimuli, as a labelled array that may stay on disk."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from striate.core.errors import InputError, unknown_name
from striate.core.hashing import hash_json


@dataclass(frozen=True)
class Target:
    """The units of one ROI of one hemisphere: what one model is tuned to.

    Attributes:
        subject: whose brain (a recording session counts as a subject where units differ).
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
    """Join names to one that can be a folder; different names stay different.

    >>> file_name("subj01", "lh", "V1v"), file_name("s", "", "V1/2")
    ('subj01_lh_V1v', 's_V1-2-d221')
    """
    whole = "_".join(p for p in parts if p)
    safe = re.sub(r"[^\w.+-]", "-", whole)
    return safe if safe == whole else f"{safe}-{hash_json(list(parts))[:4]}"


def _check_ceilings(ceiling: np.ndarray, unit_ids: np.ndarray) -> None:
    """Refuse ceilings that are no correlations; percentages are the usual mistake."""
    wrong = np.flatnonzero((ceiling < 0) | (ceiling > 1))
    if wrong.size:
        unit = unit_ids[wrong[0]]
        raise InputError(
            f"noise ceiling of unit {unit}: {ceiling[wrong[0]]:g} ({wrong.size} units outside 0 to "
            "1). A ceiling is the largest correlation a perfect model could reach: divide "
            "percentages by 100, and take the root of a share of explained variance."
        )


class Responses:
    """Responses of one subject, dims `(stimulus, unit)` or `(stimulus, repeat, unit)`.

    A thin wrapper of `data`, an `xarray.DataArray` with coordinates `stimulus_id` on stimulus and
    `unit_id`, `subject`, `session`, `hemisphere`, `noise_ceiling` and boolean `roi_NAME` on unit;
    `attrs["simulated"]` says whether the numbers are simulated. NaN in `repeat` means no trial.

    Build one with `Responses.build`.
    """

    def __init__(self, data: xr.DataArray) -> None:
        if data.dims not in (("stimulus", "unit"), ("stimulus", "repeat", "unit")):
            raise InputError(
                "responses need dims (stimulus, unit) or (stimulus, repeat, unit), "
                f"found {data.dims}."
            )
        absent = [n for n in ("stimulus_id", "unit_id") if n not in data.coords]
        if absent:
            raise InputError(
                f"responses lack the coordinates {', '.join(absent)} (stimulus_id on stimulus, "
                "unit_id on unit). Further ones, on unit, are optional: subject, session, "
                "hemisphere, noise_ceiling, and roi_NAME (true or false)."
            )
        n_units = data.sizes["unit"]
        for name, value in (("subject", ""), ("session", ""), ("hemisphere", "")):
            if name not in data.coords:
                filled = np.array([value] * n_units, dtype=object)
                data = data.assign_coords({name: ("unit", filled)})
        if "noise_ceiling" not in data.coords:
            data = data.assign_coords(noise_ceiling=("unit", np.full(n_units, np.nan)))
        _check_ceilings(data.coords["noise_ceiling"].values, data.coords["unit_id"].values)
        self.data = data

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
            subject, session: whose responses these are.
            unit_ids: unique names; default `u00000 …`.
            hemisphere: one name, or one a unit.
            rois: boolean mask of shape (n_units,) by ROI name; overlap is allowed.
            noise_ceiling: largest correlation a perfect model could reach, per unit; NaN unknown.
            simulated: whether the numbers come from a simulation.
            attrs: further facts to keep with the array.

        Raises:
            InputError: shapes or ids that do not fit, each with what was expected and found.
        """
        if values.ndim not in (2, 3):
            raise InputError(
                f"responses of subject {subject}: expected 2 or 3 dims, found shape {values.shape}."
            )
        if values.dtype.kind not in "fiu":
            raise InputError(
                f"responses of subject {subject}: expected numbers, found dtype {values.dtype}."
            )
        if len(stimulus_ids) != values.shape[0]:
            raise InputError(
                f"responses of subject {subject}: {values.shape[0]} rows for {len(stimulus_ids)} "
                "stimulus ids. Each row needs the id of its image."
            )
        if len(set(stimulus_ids)) < len(stimulus_ids):
            twice = [i for i, n in Counter(stimulus_ids).items() if n > 1]
            raise InputError(
                f"responses of subject {subject}: {len(twice)} stimulus ids have more than one "
                f"row: {', '.join(map(str, twice[:5]))}. Average the rows of a stimulus, or put "
                "them into the dim `repeat`."
            )
        n_units = values.shape[-1]
        if unit_ids is None:
            unit_ids = [f"u{i:05d}" for i in range(n_units)]
        if len(unit_ids) != n_units or len(set(unit_ids)) < n_units:
            raise InputError(
                f"responses of subject {subject}: {n_units} units need as many unique unit ids, "
                f"found {len(unit_ids)} ({len(set(unit_ids))} unique)."
            )
        ceiling = np.full(n_units, np.nan) if noise_ceiling is None else np.asarray(noise_ceiling)
        sides = [hemisphere] * n_units if isinstance(hemisphere, str) else list(hemisphere)
        masks = {name.strip(): np.asarray(mask, dtype=bool) for name, mask in (rois or {}).items()}
        shapes = {
            "noise ceilings": ceiling.shape,
            "hemispheres": (len(sides),),
            **{f"labels of ROI {name}": mask.shape for name, mask in masks.items()},
        }
        for what, shape in shapes.items():
            if shape != (n_units,):
                raise InputError(
                    f"responses of subject {subject}: {what} have shape {shape}, "
                    f"expected one a unit, ({n_units},)."
                )
        coords: dict[str, Any] = {
            "stimulus_id": ("stimulus", np.array(stimulus_ids, dtype=object)),
            "unit_id": ("unit", np.array(unit_ids, dtype=object)),
            "subject": ("unit", np.array([subject] * n_units, dtype=object)),
            "session": ("unit", np.array([session] * n_units, dtype=object)),
            "hemisphere": ("unit", np.array(sides, dtype=object)),
            "noise_ceiling": ("unit", ceiling.astype(np.float64)),
        }
        for name, mask in masks.items():
            coords[f"roi_{name}"] = ("unit", mask)
        dims = ("stimulus", "unit") if values.ndim == 2 else ("stimulus", "repeat", "unit")
        facts = {"simulated": int(simulated), **(attrs or {})}
        return cls(xr.DataArray(values, dims=dims, coords=coords, attrs=facts, name="response"))

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
        """Whose responses these are."""
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
        """Names of all ROIs, also those without a unit here."""
        return [str(c)[4:] for c in self.data.coords if str(c).startswith("roi_")]

    @property
    def hemispheres(self) -> list[str]:
        """Names of the hemispheres, sorted."""
        return sorted({str(h) for h in self.data.coords["hemisphere"].values})

    def mean(self) -> np.ndarray:
        """Return responses averaged over repeats, shape (n_stimuli, n_units).

        NaN trials are left out; a stimulus without any trial is NaN.
        """
        values = self.data.values
        if values.ndim == 2:
            return values
        seen = ~np.isnan(values)
        count = seen.sum(axis=1)
        total = np.where(seen, values, 0.0).sum(axis=1)
        return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)

    def targets(
        self, rois: Sequence[str] | None = None, hemispheres: Sequence[str] | None = None
    ) -> list[Target]:
        """Return the non-empty (hemisphere, ROI) groups of units.

        Args:
            rois: names to keep; default all. Without any ROI coordinate all units form `all`.
            hemispheres: names to keep; default all.

        Raises:
            InputError: a name that does not exist here, nearest names offered.
        """
        known = self.rois or ["all"]
        for roi in rois or ():
            if roi not in known:
                raise unknown_name("ROI", roi, known, f"Subject {self.subject}.")
        for side in hemispheres or ():
            if side not in self.hemispheres:
                raise unknown_name("hemisphere", side, self.hemispheres)
        sides = np.asarray(self.data.coords["hemisphere"].values, dtype=str)
        out = []
        for side in hemispheres or self.hemispheres:
            for roi in rois or known:
                name = f"roi_{roi}"
                inside = (
                    self.data.coords[name].values
                    if name in self.data.coords
                    else np.ones(len(sides), dtype=bool)
                )
                units = np.flatnonzero(inside & (sides == side))
                if units.size:
                    out.append(Target(self.subject, side, roi, units))
        return out
