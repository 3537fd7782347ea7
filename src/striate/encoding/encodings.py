"""Scores of a model's features on the ROIs of a subject, and the folder they are kept in."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import pandas as pd

from striate.core.errors import InputError
from striate.core.files import atomic_path, write_arrays
from striate.core.hashing import hash_array
from striate.encoding.scores import ceiling_normalized, mean_r

TAP_COLUMNS = ["roi", "tap", "score", "chosen"]
ARRAYS = ("units", "alpha", "r", "r2", "predictions", "observed", "null_r")


@dataclass(frozen=True)
class Choice:
    """What was chosen for one ROI: its tap, and one alpha, or NaN where each unit has its own."""

    tap: str
    alpha: float


@dataclass(frozen=True)
class RoiEncoding:
    """Scores of one ROI, V units.

    Attributes:
        roi: its name.
        tap: the chosen tap.
        units: (V,) positions of its units in the responses given.
        alpha, r, r2: (V,) penalty and scores; NaN for units that could not be used.
        predictions, observed: (n, V) float32, at the stimuli of `Encoding.stimuli`.
        null_r: (at most `permutations`,) ROI-mean r with stimuli, or groups of them, shuffled.
    """

    roi: str
    tap: str
    units: np.ndarray
    alpha: np.ndarray
    r: np.ndarray
    r2: np.ndarray
    predictions: np.ndarray
    observed: np.ndarray
    null_r: np.ndarray

    @property
    def mean_r(self) -> float:
        """Mean r over units where it is defined."""
        return mean_r(self.r)

    def normalized(self, ceiling: np.ndarray) -> np.ndarray:
        """Return r divided by the units' noise ceiling, (V,); NaN where that is unknown or low."""
        return ceiling_normalized(self.r, ceiling)


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
        labels = facts.get("groups")  # scores kept by earlier versions have none
        groups = None if labels is None else tuple(labels)
        return cls(rois, taps, stimuli, facts["protocol"], tuple(facts["caveats"]), groups)
