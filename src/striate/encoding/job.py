"""What a protocol works on and what it gives: features, responses, parts; tap, alpha and scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pandas as pd
from pydantic import Field

from striate.core.config import Config
from striate.encoding.inference import shuffled_means
from striate.encoding.projection import ProjectionConfig
from striate.encoding.ridge import ALPHAS, check_alphas, edge_text, make_folds
from striate.encoding.scores import ceiling_normalized, mean_r, r_squared, score_r
from striate.encoding.solver import Design, Fold, fold_scores, solve

ProtocolName = Literal["nested", "paper_a", "paper_b"]

UNIT_ALPHAS = tuple(10.0**i for i in range(-6, 5))
"""Penalties for features of unit size: 1 is the mean eigenvalue of their Gram matrix (ours)."""


class EncodeConfig(Config):
    """How a model's features are turned into scores."""

    protocol: ProtocolName = "nested"
    alphas: tuple[float, ...] | None = None
    """Penalties; None: 10^-6 to 10^4 with features of unit size, else the paper's 10^-1 to 10^7."""
    scale: Literal["unit", "none"] | None = None
    """`unit`: divide each tap's features by one number, so that the mean over stimuli of their
    squared distance from the mean is 1 and a penalty means the same for every network and tap.
    None: `unit` for `nested` (ours), `none` for the paper's protocols."""
    folds: int = Field(5, ge=2)
    taps: tuple[str, ...] | None = None
    """Taps to choose from; default the model's own list."""
    projection: ProjectionConfig = ProjectionConfig()
    readout_parts: tuple[Literal["tune", "fit"], ...] = ("fit",)
    """Parts the readout is fitted on besides `select` (protocol nested)."""
    bootstrap: int = Field(1000, ge=1)
    permutations: int = Field(100, ge=0)
    precision: Literal["float64", "float32"] = "float64"
    """Of the fold scores that alpha and tap are chosen by (see `solver.fold_scores`)."""
    device: str = "cpu"
    """Where the ridge is computed."""
    seed: int = 0

    @property
    def unit_scale(self) -> bool:
        """Whether features are brought to unit size."""
        return self.scale == "unit" or (self.scale is None and self.protocol == "nested")

    @property
    def penalties(self) -> tuple[float, ...]:
        """The penalties to choose from, ascending."""
        return check_alphas(self.alphas or (UNIT_ALPHAS if self.unit_scale else ALPHAS))

    @property
    def parts(self) -> tuple[str, ...]:
        """Parts of a split that the protocol reads."""
        if self.protocol == "paper_b":
            return ("test",)
        if self.protocol == "paper_a":
            return ("tune", "fit", "select", "test")
        return (*dict.fromkeys(self.readout_parts), "select", "test")

    @property
    def fitted_parts(self) -> tuple[str, ...]:
        """Parts that a projection or scale is fitted on: all before `test`, where there are any."""
        return tuple(p for p in self.parts if p != "test") or ("test",)


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
class Job:
    """What a protocol works on.

    Attributes:
        features: (N, k) by tap, shallow to deep.
        responses: (N, V).
        rois: positions of units by ROI name.
        parts: positions of stimuli by part.
        usable: (V,) boolean.
        config: the settings.
        factors: what each tap's features are multiplied by.
        groups: one label a stimulus: folds keep a group together; None where all stand alone.
    """

    features: Mapping[str, np.ndarray]
    responses: np.ndarray
    rois: Mapping[str, np.ndarray]
    parts: Mapping[str, np.ndarray]
    usable: np.ndarray
    config: EncodeConfig
    factors: Mapping[str, float] = field(default_factory=dict)
    groups: Sequence[str] | None = None

    def folds(self, rows: np.ndarray) -> list[Fold]:
        """Divide some stimuli into the folds asked for; positions are within `rows`."""
        own = None if self.groups is None else [self.groups[row] for row in rows]
        return make_folds(len(rows), self.config.folds, self.config.seed, own)

    def take(self, tap: str, rows: np.ndarray) -> np.ndarray:
        """Read some rows of a tap's features, as float64 and at the size penalties are for."""
        return take(self.features[tap], rows) * self.factors.get(tap, 1.0)

    @property
    def units(self) -> np.ndarray:
        """Positions of usable units that are in any ROI, ascending."""
        inside = np.unique(np.concatenate(list(self.rois.values())))
        return inside[self.usable[inside]]

    def rows(self, *parts: str) -> np.ndarray:
        """Positions of the stimuli in some parts, ascending."""
        return np.sort(np.concatenate([self.parts[p] for p in parts]))

    def scores(self, tap: str, rows: np.ndarray, folds: Sequence[Fold]) -> np.ndarray:
        """Pearson r of a tap's readouts, (n_folds, n_alphas, V); `folds` index into `rows`."""
        return fold_scores(
            Design(self.take(tap, rows), self.config.device),
            np.asarray(self.responses[rows]),
            folds,
            self.config.penalties,
            dtype=self.config.precision,
            units=self.units,
        )

    def predict(
        self, tap: str, train: np.ndarray, test: np.ndarray, alpha: np.ndarray, units: np.ndarray
    ) -> np.ndarray:
        """Fit on some stimuli with an alpha a unit and predict others, (n_test, len(units))."""
        y = np.asarray(self.responses[train][:, units])
        design = Design(self.take(tap, train), self.config.device)
        coef, intercept = solve(design, y, alpha)
        return np.asarray(self.take(tap, test) @ coef + intercept)


@dataclass
class Outcome:
    """What a protocol found.

    Attributes:
        rois: the scores by ROI.
        tap_scores: columns `roi, tap, score, chosen`.
        stimuli: positions of the stimuli that were predicted.
        caveats: what a reader must know about these scores.
    """

    rois: dict[str, RoiEncoding]
    tap_scores: pd.DataFrame
    stimuli: np.ndarray
    caveats: list[str] = field(default_factory=list)


def unit_factor(features: np.ndarray, rows: np.ndarray) -> float:
    """Return what makes the mean squared distance from the mean 1 over `rows`; 1 if it is 0."""
    x = take(features, rows)
    size = float(np.square(x - x.mean(axis=0)).sum()) / max(len(rows), 1)
    return 1.0 / np.sqrt(size) if size > 0 else 1.0


def take(features: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Read some rows of features that may lie on disk, as float64."""
    return np.asarray(features[rows], dtype=np.float64)


def best_r(scores: np.ndarray) -> np.ndarray:
    """Largest of (n_alphas, V) along alphas, (V,); NaN where all are."""
    largest = np.where(np.isnan(scores), -np.inf, scores).max(axis=0)
    return np.where(np.isfinite(largest), largest, np.nan)


def best_tap(best: Mapping[str, np.ndarray], units: np.ndarray) -> str:
    """Tap with the highest mean over units; the shallowest of equals, or if nothing is known."""
    means = {tap: mean_r(values[units]) for tap, values in best.items()}
    return max(means, key=lambda tap: -np.inf if np.isnan(means[tap]) else means[tap])


def tap_table(
    rois: Mapping[str, np.ndarray], best: Mapping[str, np.ndarray], taps: Mapping[str, str]
) -> pd.DataFrame:
    """Mean of the best scores by ROI and tap, and what was chosen: roi, tap, score, chosen."""
    rows = [
        (roi, tap, mean_r(values[units]), tap == taps[roi])
        for roi, units in rois.items()
        for tap, values in best.items()
    ]
    return pd.DataFrame(rows, columns=["roi", "tap", "score", "chosen"])


def edge_caveats(outcome: Outcome, alphas: Sequence[float]) -> list[str]:
    """Say if many chosen penalties lie at the edge of the grid."""
    text = edge_text(np.concatenate([r.alpha for r in outcome.rois.values()]), alphas)
    return [text] if text else []


def score_on(
    job: Job,
    train: np.ndarray,
    test: np.ndarray,
    taps: Mapping[str, str],
    alpha: Mapping[str, np.ndarray],
) -> dict[str, RoiEncoding]:
    """Fit each ROI's units from its tap, all ROIs of a tap at once, and score them on `test`.

    Args:
        job: what to work on.
        train, test: positions of stimuli.
        taps: the tap of each ROI.
        alpha: (V,) penalties by tap.
    """
    out = {}
    for tap in dict.fromkeys(taps.values()):
        here = [roi for roi in job.rois if taps[roi] == tap]
        units = np.intersect1d(job.units, np.concatenate([job.rois[roi] for roi in here]))
        predicted = np.full((len(test), job.responses.shape[1]), np.nan, dtype=np.float32)
        if units.size:
            predicted[:, units] = job.predict(tap, train, test, alpha[tap][units], units)
        for roi in here:
            out[roi] = _score_roi(job, roi, tap, test, predicted[:, job.rois[roi]], alpha[tap])
    return {roi: out[roi] for roi in job.rois}


def _score_roi(
    job: Job, roi: str, tap: str, test: np.ndarray, predicted: np.ndarray, alpha: np.ndarray
) -> RoiEncoding:
    units, config = job.rois[roi], job.config
    observed = np.asarray(job.responses[test][:, units], dtype=np.float32)
    groups = None if job.groups is None else [job.groups[row] for row in test]
    return RoiEncoding(
        roi=roi,
        tap=tap,
        units=units,
        alpha=np.where(job.usable[units], alpha[units], np.nan),
        r=score_r(observed, predicted),
        r2=r_squared(observed, predicted),
        predictions=predicted,
        observed=observed,
        null_r=shuffled_means(observed, predicted, config.permutations, config.seed, groups),
    )
