"""The one readout: fit responses from a tap's features, choose the tap, predict test stimuli.

Both ways to a score go through here: `encode`, ROI by ROI and by a protocol, and `predict`, named
readouts over all units. What is fitted and what is tested is a list of rounds
(`striate.encoding.rounds`), each with test stimuli of its own and, within its training stimuli,
folds by which tap and penalties are chosen:

- by a split (`split_rounds`): one round, fitted on `fit` and `select`, chosen on folds of
  `select`, scored on `test`;
- by groups (`grouped_rounds`), for few stimuli: every group, such as a movie, is in the test
  stimuli of one round, and the folds within a round keep groups whole as well.

A unit's penalty is the one with the highest mean r over folds; a readout takes the tap for which
the mean over its units of that r is highest, also for PLS. Only chosen taps are fitted to all
training stimuli and predict. Test stimuli play no part in either choice.

Scores over several rounds are of responses and predictions less their means within each round. A
readout's level in a round is the mean of the other rounds' responses, which is low just where the
round's own responses are high; pooled as they are, even predictions that follow nothing would
correlate negatively, and a level that is right by chance positively. What is left is whether the
differences between test stimuli are predicted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal

import numpy as np

from striate.core.errors import InputError, unknown_name
from striate.encoding.base import unusable_units
from striate.encoding.config import Kind, ReadoutConfig
from striate.encoding.folds import Fold, mean_over_folds
from striate.encoding.groups import centered
from striate.encoding.pls import predict_pls
from striate.encoding.ridge import check_alphas, choose_alpha
from striate.encoding.rounds import Round
from striate.encoding.scores import mean_r, r_squared, score_r
from striate.encoding.solver import Design, fold_scores, solve


@dataclass(frozen=True)
class Readout:
    """Units that are predicted from one tap.

    Attributes:
        name: of a ROI, or what a user calls it.
        taps: to choose from; of equals the first is taken, so shallow to deep.
        units: (V,) positions of the units that it chooses by and predicts.
    """

    name: str
    taps: tuple[str, ...]
    units: np.ndarray


@dataclass(frozen=True)
class Chosen:
    """What a readout was given or has chosen.

    Attributes:
        tap: its tap.
        penalties: (V,) of ridge; NaN for units that cannot be used.
        tap_scores: what the tap was chosen by, for each tap; NaN where it was given.
    """

    tap: str
    penalties: np.ndarray
    tap_scores: Mapping[str, float]


@dataclass(frozen=True)
class Job:
    """Features and responses, and how the one is read out of the other.

    Attributes:
        features: (N, k) by tap.
        responses: (N, V).
        readouts: what is predicted.
        usable: (V,) boolean, the units that can be fitted and scored.
        alphas: penalties of ridge to choose from, ascending.
        factors: what each tap's features are multiplied by, 1 where it is not named. None: in
            every round by what brings the training stimuli to unit size (`unit_factor`).
        kinds: ways to predict.
        components: of PLS.
        precision: of fold scores (`solver.fold_scores`).
        device: where to compute.
        observed_type: of the responses that are kept beside predictions.
    """

    features: Mapping[str, np.ndarray]
    responses: np.ndarray
    readouts: Sequence[Readout]
    usable: np.ndarray
    alphas: tuple[float, ...]
    factors: Mapping[str, float] | None = None
    kinds: tuple[Kind, ...] = ("ridge",)
    components: int = 1
    precision: Literal["float64", "float32"] = "float64"
    device: str = "cpu"
    observed_type: type[np.floating] = np.float64

    @property
    def units(self) -> np.ndarray:
        """Positions of usable units that any readout predicts, ascending."""
        asked = np.unique(np.concatenate([readout.units for readout in self.readouts]))
        return asked[self.usable[asked]]

    def design(self, tap: str, train: np.ndarray) -> tuple[Design, float]:
        """Training features of a tap, and what they were multiplied by."""
        factor = None if self.factors is None else self.factors.get(tap, 1.0)
        return scaled_design(self.features[tap], train, factor, self.device)

    def score_folds(self, tap: str, train: np.ndarray, folds: Sequence[Fold]) -> np.ndarray:
        """Pearson r of ridge in each fold of `train`, (n_folds, n_alphas, V)."""
        return fold_scores(
            self.design(tap, train)[0],
            np.asarray(self.responses[train]),
            folds,
            self.alphas,
            dtype=self.precision,
            units=self.units,
        )


@dataclass(frozen=True)
class Predicted:
    """Responses and what was predicted of them, at the n test stimuli of one or several rounds.

    Attributes:
        rows: (n,) positions of these stimuli, ascending where rounds were joined.
        round: (n,) number of the round that tested each.
        observed: (n, V) responses.
        units: positions of the units by readout; all V in order with `predict`.
        predictions: (n, n_units) by (readout, kind); NaN for units that cannot be used.
        taps: what each readout chose in each round.
        penalties: (n_rounds, n_units) of ridge by readout; NaN for units that cannot be used.
        tap_scores: (n_rounds,) by readout and tap: mean r over folds and units, by which taps are
            chosen.
    """

    rows: np.ndarray
    round: np.ndarray
    observed: np.ndarray
    units: dict[str, np.ndarray]
    predictions: dict[tuple[str, str], np.ndarray]
    taps: dict[str, tuple[str, ...]]
    penalties: dict[str, np.ndarray]
    tap_scores: dict[str, dict[str, np.ndarray]]

    def centered(self, values: np.ndarray) -> np.ndarray:
        """Values (n, …) less their mean within each round; those of one round stay as they are."""
        return centered(values, self.round)

    def observed_by(self, readout: str) -> np.ndarray:
        """Responses of a readout's units, (n, n_units), as its predictions are."""
        units = self.units[readout]
        if np.array_equal(units, np.arange(self.observed.shape[1])):
            return self.observed
        return self.observed[:, units]

    def score(self, readout: str, kind: str) -> tuple[np.ndarray, np.ndarray]:
        """Pearson r and r2 of each unit, (n_units,) each; NaN for units that cannot be used.

        `r` is of responses and predictions less their means within rounds where there are several;
        `r2` is 1 - errors of the predictions as they are over the variation of the responses within
        rounds, so that a wrong level counts.
        """
        y, values = self.observed_by(readout), self.predictions[readout, kind]
        if len(np.unique(self.round)) < 2:
            return score_r(y, values), r_squared(y, values)
        within = self.centered(y)
        return score_r(within, self.centered(values)), r_squared(within, values - (y - within))


def predict(
    features: Mapping[str, np.ndarray],
    responses: np.ndarray,
    rounds: Sequence[Round],
    readouts: Mapping[str, Sequence[str]],
    config: ReadoutConfig | None = None,
) -> Predicted:
    """Let each readout choose its tap in every round, and predict the test stimuli of all units.

    Args:
        features: (N, k) by tap; they are brought to unit size in each round's training stimuli.
        responses: (N, V), averaged over repeats.
        rounds: what is fitted and tested.
        readouts: taps to choose from, by name, such as `{"stage 1": ["stage1"]}`.
        config: the settings.

    Raises:
        InputError: a readout without taps or with a tap that has no features, other numbers of
            stimuli, features that are not finite, more PLS components than training stimuli.
    """
    config = config or ReadoutConfig()
    if not rounds or not readouts:
        raise InputError("a prediction needs a round and a readout or more.")
    for name, taps in readouts.items():
        if not taps:
            raise InputError(f"readout {name!r} has no taps to choose from.")
        for tap in taps:
            if tap not in features:
                raise unknown_name("tap", tap, features, f"Readout {name!r} asks for it.")
    wanted = {tap: features[tap] for taps in readouts.values() for tap in taps}
    alphas = check_alphas(config.alphas)
    check_arrays(wanted, responses)
    check_components(rounds, config)
    read = np.unique(np.concatenate([rows for r in rounds for rows in (r.train, r.test)]))
    check_finite(wanted, read)
    every = np.arange(responses.shape[1])
    bad = unusable_units(responses[np.concatenate([r.test for r in rounds])])
    for each in rounds:
        bad |= unusable_units(responses[each.train])
    job = Job(
        wanted,
        responses,
        [Readout(name, tuple(taps), every) for name, taps in readouts.items()],
        ~bad,
        alphas,
        kinds=config.kinds,
        components=config.components,
    )
    parts = [predict_round(job, r, choose(job, r.train, r.folds)) for r in rounds]
    return join_rounds(parts)


def choose(job: Job, train: np.ndarray, folds: Sequence[Fold]) -> dict[str, Chosen]:
    """Choose each readout's tap and its units' penalties by folds of the training stimuli.

    Args:
        job: what to work on.
        train: positions of stimuli.
        folds: positions within `train`.
    """
    penalties, best = {}, {}
    for tap in dict.fromkeys(tap for readout in job.readouts for tap in readout.taps):
        scores = mean_over_folds(job.score_folds(tap, train, folds))
        penalties[tap] = np.where(job.usable, choose_alpha(scores, job.alphas), np.nan)
        best[tap] = best_r(scores)
    chosen = {}
    for readout in job.readouts:
        means = {tap: mean_r(best[tap][readout.units]) for tap in readout.taps}
        tap = best_tap(means)
        chosen[readout.name] = Chosen(tap, penalties[tap][readout.units], means)
    return chosen


def best_r(scores: np.ndarray) -> np.ndarray:
    """Largest of (n_alphas, V) along alphas, (V,); NaN where all are."""
    largest = np.where(np.isnan(scores), -np.inf, scores).max(axis=0)
    return np.where(np.isfinite(largest), largest, np.nan)


def best_tap(means: Mapping[str, float]) -> str:
    """Tap with the highest score; the first of equals, or where all are NaN."""
    return max(means, key=lambda tap: -np.inf if np.isnan(means[tap]) else means[tap])


def predict_round(job: Job, fitted: Round, chosen: Mapping[str, Chosen]) -> Predicted:
    """Fit each readout to a round's training stimuli and predict its test stimuli, in their order.

    Readouts of one tap share its factorization, and those of the same units the fit itself.
    """
    responses = job.responses[fitted.train]
    predictions: dict[tuple[str, str], np.ndarray] = {}
    for tap in dict.fromkeys(choice.tap for choice in chosen.values()):
        design, factor = job.design(tap, fitted.train)
        test = take(job.features[tap], fitted.test) * factor
        fits: dict[tuple[bytes, bytes], dict[Kind, np.ndarray]] = {}
        for readout in (r for r in job.readouts if chosen[r.name].tap == tap):
            penalties = chosen[readout.name].penalties
            key = readout.units.tobytes(), penalties.tobytes()
            if key not in fits:
                y = responses[:, readout.units]
                fits[key] = _fit_and_predict(job, design, test, y, penalties)
            predictions |= {(readout.name, kind): fits[key][kind] for kind in job.kinds}
    return Predicted(
        rows=fitted.test,
        round=np.zeros(len(fitted.test), dtype=np.int64),
        observed=np.asarray(job.responses[fitted.test], dtype=job.observed_type),
        units={r.name: r.units for r in job.readouts},
        predictions={(r.name, k): predictions[r.name, k] for r in job.readouts for k in job.kinds},
        taps={r.name: (chosen[r.name].tap,) for r in job.readouts},
        penalties={r.name: chosen[r.name].penalties[None] for r in job.readouts},
        tap_scores={
            r.name: {tap: np.array([s]) for tap, s in chosen[r.name].tap_scores.items()}
            for r in job.readouts
        },
    )


def _fit_and_predict(
    job: Job, design: Design, test: np.ndarray, y: np.ndarray, penalties: np.ndarray
) -> dict[Kind, np.ndarray]:
    """Predictions (n_test, n_units), float32, of responses (n_train, n_units) by kind."""
    good = np.flatnonzero(np.isfinite(penalties))  # units that can be used
    predictions: dict[Kind, np.ndarray] = {}
    y = np.asarray(y[:, good], dtype=np.float64)
    for kind in job.kinds:
        predictions[kind] = np.full((len(test), len(penalties)), np.nan, dtype=np.float32)
        if good.size and kind == "ridge":
            weights, intercept = solve(design, y, penalties[good])
            predictions[kind][:, good] = test @ weights + intercept
        elif good.size:
            predictions[kind][:, good] = predict_pls(design, y, test, job.components)
    return predictions


def join_rounds(parts: Sequence[Predicted]) -> Predicted:
    """Put what several rounds predicted together, in order of stimuli."""
    join, first = np.concatenate, parts[0]
    rows = join([part.rows for part in parts])
    order = np.argsort(rows)
    number = np.repeat(np.arange(len(parts)), [len(part.rows) for part in parts])
    predictions, scores = first.predictions, first.tap_scores
    return Predicted(
        rows=rows[order],
        round=number[order],
        observed=join([part.observed for part in parts])[order],
        units=first.units,
        predictions={k: join([part.predictions[k] for part in parts])[order] for k in predictions},
        taps={name: tuple(part.taps[name][0] for part in parts) for name in first.taps},
        penalties={name: join([part.penalties[name] for part in parts]) for name in first.taps},
        tap_scores={
            name: {tap: join([part.tap_scores[name][tap] for part in parts]) for tap in taps}
            for name, taps in scores.items()
        },
    )


def take(features: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Read some rows of features that may lie on disk, as float64."""
    return np.asarray(features[rows], dtype=np.float64)


def unit_factor(x: np.ndarray) -> float:
    """Return what makes the mean squared distance of rows from their mean 1; 1 if it is 0."""
    size = float(np.square(x - x.mean(axis=0)).sum()) / max(len(x), 1)
    return 1.0 / np.sqrt(size) if size > 0 else 1.0


def scaled_design(
    features: np.ndarray, train: np.ndarray, factor: float | None = None, device: str = "cpu"
) -> tuple[Design, float]:
    """Design of some rows of features, and the factor that they were multiplied by.

    Args:
        features: (N, k); may lie on disk.
        train: positions of rows.
        factor: None: what brings these rows to unit size (`unit_factor`).
        device: where to compute.
    """
    x = take(features, train)
    factor = unit_factor(x) if factor is None else factor
    return Design(x * factor, device), factor


def check_arrays(features: Mapping[str, np.ndarray], responses: np.ndarray) -> None:
    """Refuse features (N, k) and responses (N, V) whose shapes do not fit."""
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


def check_finite(features: Mapping[str, np.ndarray], rows: np.ndarray) -> None:
    """Refuse features that are not finite in some rows, naming the first."""
    for tap, start in product(features, range(0, len(rows), 1024)):
        block = np.sort(rows[start : start + 1024])
        finite = np.isfinite(features[tap][block])
        if not finite.all():
            row, column = np.argwhere(~finite)[0]
            raise InputError(
                f"tap {tap}: features are not finite, first at stimulus {block[row]}, component "
                f"{column}. Look for NaN weights or broken images."
            )


def check_components(rounds: Sequence[Round], config: ReadoutConfig, where: str = "") -> None:
    """Refuse as many PLS components as training stimuli, or more; `where` begins the message."""
    fewest = min(len(each.train) for each in rounds)
    if "pls" in config.kinds and config.components >= fewest:
        raise InputError(
            f"{where}{config.components} PLS components of {fewest} training stimuli: use fewer "
            "(readout.components), or more stimuli."
        )
