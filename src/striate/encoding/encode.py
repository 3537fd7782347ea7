"""`encode`: from features and responses to scores, by one of the protocols."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import pandas as pd

from striate.core.errors import InputError, LeakError, unknown_name
from striate.core.files import atomic_path, write_arrays
from striate.core.hashing import hash_array
from striate.data.splits.bundles import group_numbers
from striate.encoding.job import Choice, EncodeConfig, Job, RoiEncoding, take, unit_factor
from striate.encoding.protocols import PROTOCOLS
from striate.encoding.ridge import unusable_units, warn_unusable

TAP_COLUMNS = ["roi", "tap", "score", "chosen"]
ARRAYS = ("units", "alpha", "r", "r2", "predictions", "observed", "null_r")


@dataclass(frozen=True)
class Encoding:
    """How well a model's features predict responses.

    Attributes:
        rois: scores by ROI name; a unit in two ROIs is in both, as each has its own tap.
        tap_scores: columns `roi, tap, score, chosen`: mean r of each tap where taps were chosen.
        stimuli: positions of the stimuli that were predicted, ascending: rows of `predictions`.
        protocol: how tap and alpha were chosen.
        caveats: what a reader must be told about these scores.
        groups: one label a stimulus of `stimuli`, which are resampled and shuffled together; ``
            for one that stands alone, None where all do.
    """

    rois: dict[str, RoiEncoding]
    tap_scores: pd.DataFrame
    stimuli: np.ndarray
    protocol: str
    caveats: tuple[str, ...] = ()
    groups: tuple[str, ...] | None = None

    @property
    def table(self) -> pd.DataFrame:
        """One row a unit and ROI: `roi, unit` (position), `tap, alpha, r, r2`."""
        columns = ["roi", "unit", "tap", "alpha", "r", "r2"]
        parts = [
            pd.DataFrame(
                {
                    "roi": e.roi,
                    "unit": e.units,
                    "tap": e.tap,
                    "alpha": e.alpha,
                    "r": e.r,
                    "r2": e.r2,
                }
            )
            for e in self.rois.values()
        ]
        return pd.concat(parts, ignore_index=True)[columns]

    @property
    def choices(self) -> dict[str, Choice]:
        """What was chosen for each ROI; alpha is NaN unless all its units share one."""
        out = {}
        for roi, scores in self.rois.items():
            alpha = np.unique(scores.alpha[np.isfinite(scores.alpha)])
            out[roi] = Choice(scores.tap, float(alpha[0]) if len(alpha) == 1 else float("nan"))
        return out

    def settings_key(self) -> dict[str, list[str]]:
        """Return tap and hash of the alphas by ROI: what a score with these settings depends on."""
        return {roi: [e.tap, hash_array(e.alpha)] for roi, e in self.rois.items()}

    def save(self, folder: str | Path) -> Path:
        """Write a folder of `encoding.json` and `arrays.npz`, each atomically."""
        folder = Path(folder)
        arrays: dict[str, Any] = {"stimuli": self.stimuli}
        for i, scores in enumerate(self.rois.values()):
            arrays |= {f"{i}.{name}": getattr(scores, name) for name in ARRAYS}
        write_arrays(folder / "arrays.npz", arrays, compressed=False)
        facts = {
            "protocol": self.protocol,
            "caveats": list(self.caveats),
            "groups": None if self.groups is None else list(self.groups),
            "rois": [[e.roi, e.tap] for e in self.rois.values()],
            "tap_scores": [
                [roi, tap, None if np.isnan(score) else float(score), bool(chosen)]
                for roi, tap, score, chosen in self.tap_scores[TAP_COLUMNS].to_numpy()
            ],
        }
        with atomic_path(folder / "encoding.json") as temporary:
            temporary.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
        return folder

    @classmethod
    def load(cls, folder: str | Path) -> Encoding:
        """Read what `save` wrote.

        Raises:
            InputError: when it is not there, or broken.
        """
        folder = Path(folder)
        try:
            facts = json.loads((folder / "encoding.json").read_text(encoding="utf-8"))
            taps = pd.DataFrame(facts["tap_scores"], columns=TAP_COLUMNS)
            taps = taps.astype({"score": np.float64, "chosen": bool})
            with (
                (folder / "arrays.npz").open("rb") as file,  # closed also when it is broken
                np.load(file, allow_pickle=False) as arrays,
            ):
                rois = {
                    roi: RoiEncoding(roi, tap, **{a: arrays[f"{i}.{a}"] for a in ARRAYS})
                    for i, (roi, tap) in enumerate(facts["rois"])
                }
                stimuli = arrays["stimuli"]
        except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
            raise InputError(
                f"encoding in {folder} cannot be read: {error}. Delete the folder and run again."
            ) from error
        groups = facts.get("groups")  # scores kept by earlier versions have none
        kept = None if groups is None else tuple(groups)
        return cls(rois, taps, stimuli, facts["protocol"], tuple(facts["caveats"]), kept)


def encode(
    features: Mapping[str, np.ndarray],
    responses: np.ndarray,
    rois: Mapping[str, np.ndarray],
    parts: Mapping[str, np.ndarray],
    config: EncodeConfig | None = None,
    *,
    unit_ids: Sequence[str] | None = None,
    chosen: Encoding | Mapping[str, Choice] | None = None,
    groups: Sequence[str] | None = None,
) -> Encoding:
    """Choose tap and alpha, fit readouts and score them, by `config.protocol`.

    Args:
        features: (N, k) by tap, shallow to deep; may lie on disk. k may differ between taps.
        responses: (N, V).
        rois: boolean masks (V,) or positions of units, by ROI name; ROIs may overlap.
        parts: positions of stimuli: `fit`, `select`, `test`, and `tune` where it is used.
        config: the settings.
        unit_ids: names of units for the warning about those that cannot be used.
        chosen: settings of the untuned network's encoding, for protocol `paper_a` of others.
        groups: one label a stimulus (`StimulusSet.groups`), `` for one that stands alone. A group,
            such as the frames of a movie, stays whole in every fold, in the null and in
            intervals; not with `paper_b`.

    Returns:
        The encoding. Units with NaN, infinite or constant responses, in the stimuli that are
        used, get NaN and change nothing for the others.

    Raises:
        InputError: shapes, names or positions that do not fit, features that are not finite,
            an empty ROI, too few stimuli.
        LeakError: a stimulus, or a group of them, is in `test` and in another part.

    Warns:
        UserWarning: once, naming units that cannot be used.
    """
    config = config or EncodeConfig()
    _check_arrays(features, responses)
    positions = {roi: _positions(roi, v, responses.shape[1]) for roi, v in rois.items()}
    if not positions:
        raise InputError("no ROI was given.")
    parts = _check_parts(parts, config, len(responses))
    if chosen is not None and config.protocol != "paper_a":
        raise InputError(
            f"chosen settings are for protocol paper_a; protocol {config.protocol} chooses its own."
        )
    groups = _check_groups(groups, parts, config, len(responses))
    bad = _unusable(responses, parts, config)
    inside = np.unique(np.concatenate(list(positions.values())))
    caveats = []
    if bad[inside].any():
        names = None if unit_ids is None else [unit_ids[i] for i in inside]
        caveats.append(warn_unusable(bad[inside], names if names else inside.astype(str).tolist()))
    for tap, values in features.items():
        _check_finite(tap, values, np.concatenate([parts[p] for p in config.parts]))
    factors = _factors(features, parts, config)
    job = Job(features, responses, positions, parts, ~bad, config, factors, groups)
    protocol = PROTOCOLS[config.protocol]
    if config.protocol == "paper_a":
        outcome = protocol(job, chosen.choices if isinstance(chosen, Encoding) else chosen)
    else:
        outcome = protocol(job)
    return Encoding(
        outcome.rois,
        outcome.tap_scores,
        outcome.stimuli,
        config.protocol,
        (*outcome.caveats, *caveats),
        None if groups is None else tuple(groups[row] for row in outcome.stimuli),
    )


def _factors(
    features: Mapping[str, np.ndarray], parts: Mapping[str, np.ndarray], config: EncodeConfig
) -> dict[str, float]:
    """Scale of each tap, from the stimuli that readouts may be fitted on."""
    if not config.unit_scale:
        return {}
    rows = np.sort(np.concatenate([parts[p] for p in config.fitted_parts]))
    return {tap: unit_factor(values, rows) for tap, values in features.items()}


def _check_arrays(features: Mapping[str, np.ndarray], responses: np.ndarray) -> None:
    if not features:
        raise InputError("features of no tap were given.")
    if responses.ndim != 2:
        raise InputError(f"responses must be (stimuli, units), found shape {responses.shape}.")
    for tap, values in features.items():
        if values.ndim != 2 or len(values) != len(responses):
            raise InputError(
                f"tap {tap}: features have shape {values.shape}; expected (stimuli, components) "
                f"with {len(responses)} stimuli, as the responses have."
            )


def _check_finite(tap: str, features: np.ndarray, rows: np.ndarray) -> None:
    for start in range(0, len(rows), 1024):
        some = np.sort(rows[start : start + 1024])
        finite = np.isfinite(take(features, some))
        if not finite.all():
            row, column = np.argwhere(~finite)[0]
            raise InputError(
                f"tap {tap}: features are not finite, first at stimulus {some[row]}, component "
                f"{column}. Look for NaN weights or broken images."
            )


def _positions(roi: str, units: np.ndarray, n_units: int) -> np.ndarray:
    units = np.asarray(units)
    if units.dtype == bool:
        if units.shape != (n_units,):
            raise InputError(f"ROI {roi}: a mask of {units.shape} for {n_units} units.")
        units = np.flatnonzero(units)
    if units.size == 0:
        raise InputError(f"ROI {roi} has no units. Leave it out.")
    if units.ndim != 1 or units.dtype.kind not in "iu":
        raise InputError(f"ROI {roi}: expected a mask or positions of units, found {units.dtype}.")
    if units.min() < 0 or units.max() >= n_units:
        raise InputError(f"ROI {roi}: positions outside 0..{n_units - 1}.")
    if len(np.unique(units)) < len(units):
        raise InputError(f"ROI {roi}: a unit is listed twice.")
    return units.astype(np.int64)


def _check_parts(
    parts: Mapping[str, np.ndarray], config: EncodeConfig, n: int
) -> dict[str, np.ndarray]:
    """Return parts with sorted positions; each stimulus in one part."""
    out = {}
    for part in config.parts:
        if part not in parts and part == "tune":
            out[part] = np.empty(0, dtype=np.int64)  # subjects that were never tuned on
            continue
        if part not in parts:
            raise unknown_name("part", part, parts, f"Protocol {config.protocol} needs it.")
        out[part] = np.sort(np.asarray(parts[part], dtype=np.int64))
        if part in ("select", "test") and len(out[part]) < 3:
            raise InputError(f"part {part!r} has {len(out[part])} stimuli; 3 or more are needed.")
        if len(out[part]) and (out[part][0] < 0 or out[part][-1] >= n):
            raise InputError(f"part {part!r} has positions outside 0..{n - 1}.")
    for part, rows in out.items():
        both = np.intersect1d(rows, out["test"])
        if part != "test" and both.size:
            raise LeakError(
                f"{both.size} stimuli are in part {part!r} and in 'test' (first: row {both[0]}). "
                "Make the split again."
            )
    every = np.concatenate(list(out.values()))
    values, counts = np.unique(every, return_counts=True)
    if (counts > 1).any():
        raise InputError(f"stimulus {values[counts > 1][0]} is twice among the parts.")
    return out


def _check_groups(
    groups: Sequence[str] | None, parts: Mapping[str, np.ndarray], config: EncodeConfig, n: int
) -> Sequence[str] | None:
    """Return the groups, or None where every stimulus stands alone; none is in two parts."""
    members = group_numbers(groups, n)
    if groups is None or len(np.unique(members)) == n:
        return None
    if config.protocol == "paper_b":
        raise InputError("protocol paper_b has folds that do not keep groups of stimuli together.")
    for part, rows in parts.items():
        both = np.intersect1d(members[rows], members[parts["test"]])
        if part != "test" and both.size:
            name = groups[int(np.flatnonzero(members == both[0])[0])]
            raise LeakError(
                f"{both.size} groups of stimuli are in part {part!r} and in 'test' (first: "
                f"{name}). Make the split again."
            )
    return groups


def _unusable(
    responses: np.ndarray, parts: Mapping[str, np.ndarray], config: EncodeConfig
) -> np.ndarray:
    """Units that cannot be fitted on the stimuli before test, or not scored on test."""
    before = [parts[p] for p in config.parts if p != "test"]
    bad = unusable_units(responses[parts["test"]])
    if before:
        bad |= unusable_units(responses[np.sort(np.concatenate(before))])
    return bad
