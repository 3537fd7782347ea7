"""Neural predictivity: how well taps of a model predict responses, by ridge and by PLS.

One model at a time; `striate.evaluate.neurons.tables` puts many side by side. What is fitted
and what is scored is a list of rounds, each with test stimuli of its own and, within its training
stimuli, folds by which tap and penalty are chosen:

- by a split (`split_rounds`): one round, fitted on `fit` and `select`, chosen on folds of
  `select`, scored on `test`;
- by groups (`grouped_rounds`), for few stimuli: every group, such as a movie, is in the test
  stimuli of one round, and the folds within a round keep groups whole as well.

Scores over several rounds are of responses and predictions less their means within each round. A
readout's level in a round is the mean of the other rounds' responses, which is low just where the
round's own responses are high; pooled as they are, even predictions that follow nothing would
correlate negatively, and a level that is right by chance positively. What is left is whether the
differences between test stimuli are predicted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from pydantic import Field

from striate.core.config import Config
from striate.core.errors import InputError, unknown_name
from striate.data import Responses
from striate.data.responses.noise_ceilings import NONE, Ceilings, scored_ceilings
from striate.encoding.groups import centered, count_groups
from striate.encoding.job import UNIT_ALPHAS, take, unit_factor
from striate.encoding.pls import components_of
from striate.encoding.ridge import (
    check_alphas,
    choose_alpha,
    mean_over_folds,
    unusable_units,
)
from striate.encoding.scores import ceiling_normalized, mean_r, r_squared, score_r
from striate.encoding.solver import Design, fold_scores, solve
from striate.evaluate.neurons.rounds import Round, check_rounds, grouped_rounds, split_rounds
from striate.models import Model, receptive_field

__all__ = [
    "Predicted",
    "ReadoutConfig",
    "Round",
    "ceilings",
    "centered",
    "check_components",
    "check_rounds",
    "grouped_rounds",
    "matched_taps",
    "predict",
    "split_rounds",
    "unit_table",
]

Kind = Literal["ridge", "pls"]
DEPTH = 2
"""Parts of a module path up to which modules are offered to `matched_taps`: blocks and layers."""


class ReadoutConfig(Config):
    """How responses are predicted from features."""

    kinds: tuple[Kind, ...] = ("ridge", "pls")
    alphas: tuple[float, ...] = UNIT_ALPHAS
    """Penalties of ridge, for features of unit size (`encoding.job.EncodeConfig.scale`)."""
    components: int = Field(25, gt=0)
    """Of PLS; Brain-Score's number (docs/papers/lcl-v2.md 5.1)."""
    folds: int = Field(5, ge=2)
    """Folds within the training stimuli, by which tap and penalty are chosen."""
    permutations: int = Field(100, ge=1)
    """Of predictions over stimuli, groups whole, for the null."""
    seed: int = 0


@dataclass(frozen=True)
class Predicted:
    """Responses and what was predicted of them, at the n test stimuli of all rounds, V units.

    Attributes:
        rows: (n,) positions of these stimuli, ascending.
        round: (n,) number of the round that tested each.
        observed: (n, V).
        predictions: (n, V) by (readout, kind); NaN for units that cannot be used.
        taps: what each readout chose in each round.
        tap_scores: (n_rounds,) mean r over folds and units, by tap: what taps were chosen by.
        penalties: (n_rounds, V) of ridge, by tap; NaN for units that cannot be used.
    """

    rows: np.ndarray
    round: np.ndarray
    observed: np.ndarray
    predictions: dict[tuple[str, str], np.ndarray]
    taps: dict[str, tuple[str, ...]]
    tap_scores: dict[str, np.ndarray]
    penalties: dict[str, np.ndarray]

    def centered(self, values: np.ndarray) -> np.ndarray:
        """Values (n, V) less their mean within each round; those of one round stay as they are."""
        return centered(values, self.round)


def predict(
    features: Mapping[str, np.ndarray],
    responses: np.ndarray,
    rounds: Sequence[Round],
    readouts: Mapping[str, Sequence[str]],
    config: ReadoutConfig | None = None,
) -> Predicted:
    """Fit every tap in every round, let each readout choose its tap, and predict test stimuli.

    A unit's penalty is the one with the highest mean r over the round's folds; a readout takes the
    tap for which the mean over units of that r is highest, also for PLS. Test stimuli play no part
    in either.

    Args:
        features: (N, k) by tap.
        responses: (N, V), averaged over repeats.
        rounds: what is fitted and tested.
        readouts: taps to choose from, by name, such as `{"stage 1": ["stage1"]}`.
        config: the settings.

    Raises:
        InputError: a readout without taps or with a tap that has no features, other numbers of
            stimuli, features that are not finite, more PLS components than training stimuli.
    """
    config = config or ReadoutConfig()
    alphas = check_alphas(config.alphas)
    _check(features, responses, rounds, readouts, config)
    good = np.flatnonzero(~_unusable(responses, rounds))
    tested = np.concatenate([one.test for one in rounds])
    order = np.argsort(tested)
    number = np.repeat(np.arange(len(rounds)), [len(one.test) for one in rounds])
    shape = (len(tested), responses.shape[1])
    out = {(r, k): np.full(shape, np.nan, np.float32) for r in readouts for k in config.kinds}
    taps: dict[str, list[str]] = {readout: [] for readout in readouts}
    wanted = list(dict.fromkeys(tap for own in readouts.values() for tap in own))
    scores = {tap: np.full(len(rounds), np.nan) for tap in wanted}
    penalties = {tap: np.full((len(rounds), responses.shape[1]), np.nan) for tap in wanted}
    for i, one in enumerate(rounds):
        fits = {}
        for tap in wanted:
            fits[tap], scores[tap][i], penalties[tap][i, good] = _one(
                features[tap], responses, one, good, alphas, config
            )
        for readout, own in readouts.items():
            best = max(own, key=lambda tap: np.nan_to_num(scores[tap][i], nan=-np.inf))
            taps[readout].append(best)
            for kind in config.kinds:
                out[readout, kind][np.ix_(number == i, good)] = fits[best][kind]
    return Predicted(
        tested[order],
        number[order],
        np.asarray(responses[tested[order]], dtype=np.float64),
        {key: values[order] for key, values in out.items()},
        {readout: tuple(own) for readout, own in taps.items()},
        scores,
        penalties,
    )


def _one(
    features: np.ndarray,
    responses: np.ndarray,
    one: Round,
    units: np.ndarray,
    alphas: Sequence[float],
    config: ReadoutConfig,
) -> tuple[dict[str, np.ndarray], float, np.ndarray]:
    """Predictions (n_test, n_units) of one tap in one round by kind, its score over folds, and
    the penalties of ridge, (n_units,).
    """
    factor = unit_factor(features, one.train)
    design = Design(take(features, one.train) * factor)
    test = take(features, one.test) * factor
    if not (torch.isfinite(design.rows).all() and np.isfinite(test).all()):
        raise InputError("features are not finite. Look for NaN weights or broken images.")
    y = np.asarray(responses[one.train][:, units], dtype=np.float64)
    by_fold = mean_over_folds(fold_scores(design, y, one.folds, alphas))
    best = np.where(np.isnan(by_fold), -np.inf, by_fold).max(axis=0)
    out = {}
    penalties = choose_alpha(by_fold, alphas)
    if "ridge" in config.kinds:
        weights, intercept = solve(design, y, penalties)
        out["ridge"] = test @ weights + intercept
    if "pls" in config.kinds:
        out["pls"] = _pls(design, y, test, config.components)
    return out, mean_r(np.where(np.isfinite(best), best, np.nan)), penalties


def _pls(design: Design, y: np.ndarray, test: np.ndarray, components: int) -> np.ndarray:
    """As `encoding.PLSRegression`, on a design that is there already: (n_test, n_units)."""
    mean = y.mean(axis=0)
    cross = design.rows.T @ torch.from_numpy(y - mean)
    found = components_of(design.gram, cross, components, algorithm="svd")
    rotations = design.to_features(found.rotations).numpy()
    scores = (test - design.mean.numpy()) @ rotations
    return np.asarray(scores @ found.loadings.numpy().T + mean)


def _unusable(responses: np.ndarray, rounds: Sequence[Round]) -> np.ndarray:
    """Units, (V,) boolean, that cannot be fitted in some round or have no variance to predict."""
    bad = unusable_units(responses[np.concatenate([one.test for one in rounds])])
    for one in rounds:
        bad |= unusable_units(responses[one.train])
    return bad


def _check(
    features: Mapping[str, np.ndarray],
    responses: np.ndarray,
    rounds: Sequence[Round],
    readouts: Mapping[str, Sequence[str]],
    config: ReadoutConfig,
) -> None:
    if responses.ndim != 2:
        raise InputError(f"responses must be (stimuli, units), found shape {responses.shape}.")
    if not rounds or not readouts:
        raise InputError("predictivity needs a round and a readout or more.")
    for readout, taps in readouts.items():
        if not taps:
            raise InputError(f"readout {readout!r} has no taps to choose from.")
        for tap in taps:
            if tap not in features:
                raise unknown_name("tap", tap, features, f"Readout {readout!r} asks for it.")
            if features[tap].ndim != 2 or len(features[tap]) != len(responses):
                raise InputError(
                    f"tap {tap}: features of shape {features[tap].shape} for {len(responses)} "
                    "stimuli."
                )
    check_components(rounds, config)


def check_components(rounds: Sequence[Round], config: ReadoutConfig, where: str = "") -> None:
    """Refuse as many PLS components as training stimuli, or more; `where` begins the message."""
    fewest = min(len(one.train) for one in rounds)
    if "pls" in config.kinds and config.components >= fewest:
        raise InputError(
            f"{where}{config.components} PLS components of {fewest} training stimuli: use fewer "
            "(readout.components), or more stimuli."
        )


def ceilings(responses: Responses, predicted: Predicted) -> Ceilings:
    """Noise ceilings of what is scored (`data.responses.noise_ceilings.scored_ceilings`).

    Where scores are of responses less their means within rounds, so is the ceiling: differences
    between rounds are signal that no prediction is asked for.

    Args:
        responses: what the predictions are of.
        predicted: what is scored.
    """
    return scored_ceilings(responses, predicted.rows, rounds=predicted.round)


def unit_table(
    predicted: Predicted,
    unit_ids: Sequence[str],
    limits: Ceilings | None = None,
    groups: Sequence[str] | None = None,
    **facts: Any,
) -> pd.DataFrame:
    """One row a unit x readout x kind.

    Columns: `facts`; unit_id, readout, tap (those chosen, `+` between), kind, r, r2, ceiling,
    ceiling_source, reliability, r_normalized, n (test stimuli), freedom (n less the number of
    rounds), n_groups (each of `groups` counted once). `r` is of responses and predictions less
    their means within rounds where there are several; `r2` is 1 - errors of the predictions as
    they are over the variation of the responses within rounds, so that a wrong level counts.

    Args:
        predicted: responses and predictions.
        unit_ids: names of the units.
        limits: their noise ceilings (`ceilings`); default none.
        groups: one label a tested stimulus, `` for one that stands alone.
        facts: further columns.
    """
    tables = []
    unknown = np.full(len(unit_ids), np.nan)
    limits = limits or Ceilings(unknown, unknown, np.full(len(unit_ids), NONE, dtype=object))
    y = predicted.centered(predicted.observed)
    level = predicted.observed - y
    for (readout, kind), values in predicted.predictions.items():
        r = score_r(y, predicted.centered(values))
        columns: dict[str, Any] = {
            **facts,
            "unit_id": list(unit_ids),
            "readout": readout,
            "tap": "+".join(dict.fromkeys(predicted.taps[readout])),
            "kind": kind,
            "r": r,
            "r2": r_squared(y, values - level if level.any() else values),
            "ceiling": limits.ceiling,
            "ceiling_source": limits.source,
            "reliability": limits.reliability,
            "r_normalized": ceiling_normalized(r, limits.ceiling),
            "n": len(predicted.rows),
            "freedom": len(predicted.rows) - len(np.unique(predicted.round)),
            "n_groups": count_groups(groups, len(predicted.rows)),
        }
        tables.append(pd.DataFrame(columns))
    return pd.concat(tables, ignore_index=True)


def matched_taps(
    model: Model, sizes: Sequence[float], taps: Sequence[str] | None = None
) -> list[str]:
    """Taps whose receptive fields are nearest to some sizes in pixels, one a size.

    Args:
        model: at the input size that it will have.
        sizes: receptive fields to match, such as 19 and 67 pixels.
        taps: to choose from; default all modules at most `DEPTH` deep that Striate can follow.

    Returns:
        One tap a size; of equally near ones that with the larger field, then the deeper one, so
        that what it is matched to has no advantage.

    Raises:
        InputError: no tap can be followed.
    """
    names = taps or [n for n, _ in model.network.named_modules() if n and n.count(".") < DEPTH]
    fields = {}
    for name in names:
        try:
            fields[name] = receptive_field(model, name).size
        except InputError:  # a container, or behind global pooling
            continue
    if not fields:
        raise InputError(f"{model.id}: no tap has a receptive field that can be computed.")
    deep_first = list(fields)[::-1]
    ordered = sorted(deep_first, key=lambda name: -fields[name])
    return [
        min(ordered, key=lambda name, size=size: abs(fields[name] - size))  # type: ignore[misc]
        for size in sizes
    ]
