"""`encode`: from features and responses to scores, by one of the protocols."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from striate.core.errors import InputError, LeakError, unknown_name
from striate.data.splits.bundles import group_numbers
from striate.encoding.base import unusable_units, warn_unusable
from striate.encoding.config import EncodeConfig
from striate.encoding.encodings import TAP_COLUMNS, Choice, Encoding, RoiEncoding
from striate.encoding.folds import mean_over_folds
from striate.encoding.null import null_means
from striate.encoding.protocols import PROTOCOLS
from striate.encoding.readout import (
    Chosen,
    Job,
    Predicted,
    Readout,
    check_arrays,
    check_finite,
    join_rounds,
    predict_round,
    take,
    unit_factor,
)
from striate.encoding.rounds import labels_of


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
    check_arrays(features, responses)
    positions = {roi: _find_positions(roi, v, responses.shape[1]) for roi, v in rois.items()}
    if not positions:
        raise InputError("no ROI was given.")
    parts = _check_parts(parts, config, len(responses))
    if chosen is not None and config.protocol != "paper_a":
        raise InputError(
            f"chosen settings are for protocol paper_a; protocol {config.protocol} chooses its own."
        )
    groups = _check_groups(groups, parts, config, len(responses))
    bad = _find_unusable(responses, parts, config)
    inside = np.unique(np.concatenate(list(positions.values())))
    caveats = []
    if bad[inside].any():
        names = None if unit_ids is None else [unit_ids[i] for i in inside]
        caveats.append(warn_unusable(bad[inside], names if names else inside.astype(str).tolist()))
    check_finite(features, np.concatenate([parts[p] for p in config.parts]))
    job = Job(
        features,
        responses,
        [Readout(roi, tuple(features), units) for roi, units in positions.items()],
        ~bad,
        config.penalties,
        _measure_factors(features, parts, config),
        precision=config.precision,
        device=config.device,
        observed_type=np.float32,
    )
    given = chosen.choices if isinstance(chosen, Encoding) else chosen
    plan = PROTOCOLS[config.protocol](job, parts, config, groups, given)
    rounds = [predict_round(job, fitted, plan.chosen) for fitted in plan.rounds]
    joined = join_rounds(rounds)
    return Encoding(
        {roi: _score_roi(roi, rounds, joined, config, groups) for roi in positions},
        _tap_table(plan.chosen),
        joined.rows,
        config.protocol,
        (*plan.caveats, *caveats),
        None if groups is None else tuple(groups[row] for row in joined.rows),
    )


def _score_roi(
    roi: str,
    rounds: Sequence[Predicted],
    joined: Predicted,
    config: EncodeConfig,
    groups: Sequence[str] | None,
) -> RoiEncoding:
    """Score a ROI in every round; of several, scores and nulls are averaged."""
    scores = [part.score(roi, "ridge") for part in rounds]
    nulls = [
        null_means(part, roi, "ridge", config, labels_of(groups, part.rows)) for part in rounds
    ]
    return RoiEncoding(
        roi=roi,
        tap=joined.taps[roi][0],
        units=joined.units[roi],
        alpha=joined.penalties[roi][0],
        r=mean_over_folds(np.stack([r for r, _ in scores])),
        r2=mean_over_folds(np.stack([r2 for _, r2 in scores])),
        predictions=joined.predictions[roi, "ridge"],
        observed=joined.observed_by(roi),
        null_r=mean_over_folds(np.stack(nulls)),
    )


def _tap_table(chosen: Mapping[str, Chosen]) -> pd.DataFrame:
    """What taps were chosen by, ROI by ROI: the columns of `Encoding.tap_scores`."""
    rows = [
        (roi, tap, score, tap == choice.tap)
        for roi, choice in chosen.items()
        for tap, score in choice.tap_scores.items()
    ]
    return pd.DataFrame(rows, columns=TAP_COLUMNS)


def _measure_factors(
    features: Mapping[str, np.ndarray], parts: Mapping[str, np.ndarray], config: EncodeConfig
) -> dict[str, float]:
    """Scale of each tap, from the stimuli that readouts may be fitted on."""
    if not config.unit_scale:
        return {}
    rows = np.sort(np.concatenate([parts[p] for p in config.fitted_parts]))
    return {tap: unit_factor(take(values, rows)) for tap, values in features.items()}


def _find_positions(roi: str, units: np.ndarray, n_units: int) -> np.ndarray:
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


def _find_unusable(
    responses: np.ndarray, parts: Mapping[str, np.ndarray], config: EncodeConfig
) -> np.ndarray:
    """Units that cannot be fitted on the stimuli before test, or not scored on test."""
    before = [parts[p] for p in config.parts if p != "test"]
    bad = unusable_units(responses[parts["test"]])
    if before:
        bad |= unusable_units(responses[np.sort(np.concatenate(before))])
    return bad
