"""How tap and alpha are chosen and where a score comes from: three protocols.

`nested` is ours: choice on `select`, one score on `test`. `paper_a` and `paper_b` repeat the two
protocols found for the contrastive-tuning paper (papers/contrastive-tuning 3.2, 3.3), with their
leaks, which `caveats` spell out. Its 85 % are our parts tune + fit + select, its 15 % our test.

In the paper the PCA is fitted anew for each set of training images; here features arrive
projected, by a PCA that never saw `test`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import pandas as pd
from pydantic import Field

from striate.core.config import Config
from striate.core.errors import InputError, unknown_name
from striate.encoding.inference import shuffled_means
from striate.encoding.projection import ProjectionConfig
from striate.encoding.ridge import (
    ALPHAS,
    check_alphas,
    choose_alpha,
    edge_text,
    make_folds,
    mean_over_folds,
)
from striate.encoding.scores import ceiling_normalized, mean_r, r_squared, score_r
from striate.encoding.solver import Design, Fold, fold_scores, solve

Protocol = Literal["nested", "paper_a", "paper_b"]

UNIT_ALPHAS = tuple(10.0**i for i in range(-6, 5))
"""Penalties for features of unit size: 1 is the mean eigenvalue of their Gram matrix (ours)."""

TUNE_CAVEAT = (
    "Readouts are fitted also on images that networks were tuned on (readout_parts), where their "
    "features fit too well; this works against networks that over-fitted."
)
PAPER_A_CAVEATS = (
    "Protocol paper_a: the readout is fitted also on images the network was tuned on (part "
    "`tune`), where its features fit too well; this works against networks that over-fitted.",
    "Protocol paper_a: tap and alpha are those of the untuned network for every method, chosen "
    "within tune + fit + select; this favours the untuned network.",
)
PAPER_B_CAVEATS = (
    "Protocol paper_b: tap and alpha were chosen on the same folds that are reported, so every "
    "score is too high (a maximum over alphas for each unit and over taps for each ROI). No "
    "interval over stimuli is given: it would not know of that choice.",
    "Protocol paper_b: readouts are fitted on four fifths of `test` only, far fewer images than "
    "in the other protocols. Do not compare its numbers with theirs.",
)


class EncodeConfig(Config):
    """How a model's features are turned into scores."""

    protocol: Protocol = "nested"
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
        null_r: (permutations,) ROI-mean r with shuffled stimuli.
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


def nested(job: Job) -> Outcome:
    """Choose by folds of `select`, score once on `test`.

    Each fold fits on `readout_parts` and the other folds of `select`. The mean r over folds
    chooses an alpha for each unit; the mean over units of that r chooses a tap for each ROI. Then
    the readout is fitted on `readout_parts` and `select` and scored on `test`.
    """
    rows = job.rows(*job.config.readout_parts, "select")
    select = np.flatnonzero(np.isin(rows, job.parts["select"]))
    folds = []
    for _, held in job.folds(rows[select]):
        held = np.sort(select[held])
        folds.append((np.setdiff1d(np.arange(len(rows)), held), held))
    alpha, best = {}, {}
    for tap in job.features:
        scores = mean_over_folds(job.scores(tap, rows, folds))
        alpha[tap] = choose_alpha(scores, job.config.penalties)
        best[tap] = _best(scores)
    taps = {roi: _best_tap(best, units) for roi, units in job.rois.items()}
    test = job.parts["test"]
    outcome = Outcome(
        _score_on(job, rows, test, taps, alpha), _tap_table(job.rois, best, taps), test
    )
    if "tune" in job.config.readout_parts:
        outcome.caveats.append(TUNE_CAVEAT)
    outcome.caveats += _edge(outcome, job.config.penalties)
    return outcome


def _best(scores: np.ndarray) -> np.ndarray:
    """Largest of (n_alphas, V) along alphas, (V,); NaN where all are."""
    largest = np.where(np.isnan(scores), -np.inf, scores).max(axis=0)
    return np.where(np.isfinite(largest), largest, np.nan)


def _best_tap(best: Mapping[str, np.ndarray], units: np.ndarray) -> str:
    """Tap with the highest mean over units; the shallowest of equals, or if nothing is known."""
    means = {tap: mean_r(values[units]) for tap, values in best.items()}
    return max(means, key=lambda tap: -np.inf if np.isnan(means[tap]) else means[tap])


def _tap_table(
    rois: Mapping[str, np.ndarray], best: Mapping[str, np.ndarray], taps: Mapping[str, str]
) -> pd.DataFrame:
    rows = [
        (roi, tap, mean_r(values[units]), tap == taps[roi])
        for roi, units in rois.items()
        for tap, values in best.items()
    ]
    return pd.DataFrame(rows, columns=["roi", "tap", "score", "chosen"])


def _edge(outcome: Outcome, alphas: Sequence[float]) -> list[str]:
    text = edge_text(np.concatenate([r.alpha for r in outcome.rois.values()]), alphas)
    return [text] if text else []


def _score_on(
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
            out[roi] = _roi(job, roi, tap, test, predicted[:, job.rois[roi]], alpha[tap])
    return {roi: out[roi] for roi in job.rois}


def _roi(
    job: Job, roi: str, tap: str, test: np.ndarray, predicted: np.ndarray, alpha: np.ndarray
) -> RoiEncoding:
    units = job.rois[roi]
    observed = np.asarray(job.responses[test][:, units], dtype=np.float32)
    return RoiEncoding(
        roi=roi,
        tap=tap,
        units=units,
        alpha=np.where(job.usable[units], alpha[units], np.nan),
        r=score_r(observed, predicted),
        r2=r_squared(observed, predicted),
        predictions=predicted,
        observed=observed,
        null_r=shuffled_means(observed, predicted, job.config.permutations, job.config.seed),
    )


def paper_a(job: Job, chosen: Mapping[str, Choice] | None = None) -> Outcome:
    """Repeat papers/contrastive-tuning 3.2: fit on tune + fit + select, score on test.

    Without `chosen` (for the untuned network) tap and one alpha for each ROI come from folds
    within tune + fit + select: the tap with the highest mean over folds of the ROI-mean r at the
    fold's best alpha, and the alpha most often best. Of equally frequent alphas the smallest wins
    (ours). With `chosen` those settings are used and nothing is selected.

    Raises:
        InputError: `chosen` lacks a ROI, or names a tap that has no features.
    """
    rows = job.rows("tune", "fit", "select")
    if chosen is None:
        chosen, table = _choose_paper_a(job, rows)
    else:
        chosen = {roi: _chosen(chosen, roi, job.features) for roi in job.rois}
        table = pd.DataFrame(
            [(roi, c.tap, np.nan, True) for roi, c in chosen.items()],
            columns=["roi", "tap", "score", "chosen"],
        )
    outcome = Outcome({}, table, job.parts["test"], list(PAPER_A_CAVEATS))
    n_units = job.responses.shape[1]
    for roi, choice in chosen.items():
        alpha = {choice.tap: np.full(n_units, choice.alpha)}
        one = replace(job, rois={roi: job.rois[roi]})
        outcome.rois |= _score_on(one, rows, job.parts["test"], {roi: choice.tap}, alpha)
    return outcome


def _chosen(chosen: Mapping[str, Choice], roi: str, taps: Mapping[str, np.ndarray]) -> Choice:
    if roi not in chosen:
        raise unknown_name("ROI", roi, chosen, "The chosen settings do not have it.")
    if chosen[roi].tap not in taps:
        raise unknown_name("tap", chosen[roi].tap, taps, f"It was chosen for ROI {roi}.")
    if not np.isfinite(chosen[roi].alpha):
        raise InputError(
            f"ROI {roi}: the chosen settings have no single alpha. Take them from an encoding of "
            "the untuned network with protocol paper_a."
        )
    return chosen[roi]


def _choose_paper_a(job: Job, rows: np.ndarray) -> tuple[dict[str, Choice], pd.DataFrame]:
    folds = job.folds(rows)
    means: dict[str, dict[str, np.ndarray]] = {roi: {} for roi in job.rois}
    for tap in job.features:
        scores = job.scores(tap, rows, folds)
        for roi, units in job.rois.items():
            # (n_folds, n_alphas): the ROI mean; 0 where no unit is defined
            inside = np.moveaxis(scores[:, :, units], 2, 0)
            means[roi][tap] = np.nan_to_num(mean_over_folds(inside))
    chosen, table = {}, []
    for roi, by_tap in means.items():
        accuracy = {tap: float(m.max(axis=1).mean()) for tap, m in by_tap.items()}
        tap = max(accuracy, key=lambda t: accuracy[t])
        votes = np.bincount(by_tap[tap].argmax(axis=1), minlength=len(job.config.penalties))
        chosen[roi] = Choice(tap, float(job.config.penalties[int(votes.argmax())]))
        table += [(roi, t, a, t == tap) for t, a in accuracy.items()]
    return chosen, pd.DataFrame(table, columns=["roi", "tap", "score", "chosen"])


def paper_b(job: Job) -> Outcome:
    """Repeat papers/contrastive-tuning 3.3: everything by folds within test.

    `test` is shuffled and cut into consecutive folds of floor(n / folds) stimuli; what remains is
    never validated, only fitted on. For each tap and alpha r is averaged over folds; each unit
    takes its best alpha, each ROI the tap with the highest mean. Those same means are reported.
    Predictions are those of each fold's readout for the stimuli it held out.
    """
    order = np.random.default_rng(job.config.seed).permutation(job.parts["test"])
    size = len(order) // job.config.folds
    if size < 2:
        raise InputError(
            f"paper_b: {len(order)} test stimuli in {job.config.folds} folds; each fold needs 2."
        )
    every = np.arange(len(order))
    held = [every[i * size : (i + 1) * size] for i in range(job.config.folds)]
    folds = [(np.setdiff1d(every, h), h) for h in held]
    alpha, best = {}, {}
    for tap in job.features:
        scores = mean_over_folds(job.scores(tap, order, folds))
        alpha[tap], best[tap] = choose_alpha(scores, job.config.penalties), _best(scores)
    taps = {roi: _best_tap(best, units) for roi, units in job.rois.items()}
    by_fold = [_score_on(job, order[a], order[b], taps, alpha) for a, b in folds]
    stimuli = np.concatenate([order[b] for _, b in folds])
    rois = {roi: _join_folds([f[roi] for f in by_fold], stimuli) for roi in job.rois}
    outcome = Outcome(
        rois, _tap_table(job.rois, best, taps), np.sort(stimuli), list(PAPER_B_CAVEATS)
    )
    outcome.caveats += _edge(outcome, job.config.penalties)
    return outcome


def _join_folds(folds: Sequence[RoiEncoding], stimuli: np.ndarray) -> RoiEncoding:
    """Join a ROI's folds: predictions in order of stimuli; scores and nulls averaged over folds."""
    order = np.argsort(stimuli)
    predicted = np.concatenate([f.predictions for f in folds])[order]
    observed = np.concatenate([f.observed for f in folds])[order]
    first = folds[0]
    return RoiEncoding(
        roi=first.roi,
        tap=first.tap,
        units=first.units,
        alpha=first.alpha,
        r=mean_over_folds(np.stack([f.r for f in folds])),
        r2=mean_over_folds(np.stack([f.r2 for f in folds])),
        predictions=predicted,
        observed=observed,
        null_r=mean_over_folds(np.stack([f.null_r for f in folds])),
    )


PROTOCOLS: dict[str, Callable[..., Outcome]] = {
    "nested": nested,
    "paper_a": paper_a,
    "paper_b": paper_b,
}
