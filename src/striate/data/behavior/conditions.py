"""Conditions of behavioral experiments: their standard spelling, and the excluded ones."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import pandas as pd

from striate.core.errors import InputError, unknown_name

EXCLUDED: dict[str, tuple[str, ...]] = {
    "colour": ("cr",),
    "contrast": ("c100", "c03", "c01"),
    "high-pass": ("inf", "0.55", "0.45", "0.4"),
    "low-pass": ("0", "15", "40"),
    "phase-scrambling": ("0", "150", "180"),
    "power-equalisation": ("0",),
    "false-colour": ("true",),
    "rotation": ("0",),
    "eidolonI": ("1-10-10", "64-10-10", "128-10-10"),
    "eidolonII": ("1-3-10", "32-3-10", "64-3-10", "128-3-10"),
    "eidolonIII": ("1-0-10", "16-0-10", "32-0-10", "64-0-10", "128-0-10"),
    "uniform-noise": ("0", "0.6", "0.9"),
}
"""Conditions that do not test generalization: undistorted controls, and conditions in which humans
are right in a fifth of the trials or less (Geirhos et al. 2021, arXiv 2106.07411, settings of their
benchmark model-vs-human)."""

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def condition_label(value: object) -> str:
    """Return the standard spelling of a condition.

    Tables hold `0.90`, `0.9` or the number 0.9 for one condition, and `true`, `True` or the
    boolean. If these were compared as written, control conditions would go unnoticed.

    >>> [condition_label(c) for c in ("0.90", 0.9, " 0 ", 0.0, True, "TRUE", "inf", "4-10-10")]
    ['0.9', '0.9', '0', '0', 'true', 'true', 'inf', '4-10-10']
    """
    text = str(value).strip()
    if text.lower() in ("true", "false", "inf"):
        return text.lower()
    return f"{float(text):g}" if _NUMBER.fullmatch(text) else text


def exclude(
    trials: pd.DataFrame, excluded: Mapping[str, Sequence[object]] | None = None
) -> pd.DataFrame:
    """Leave out the trials of excluded conditions.

    Args:
        trials: tidy trials (`striate.data.behavior.trials.read_trials`).
        excluded: conditions by experiment; default `EXCLUDED`. Experiments without trials are
            ignored.

    Raises:
        InputError: the experiment does not have a condition (the nearest names are offered), or
            all its conditions are excluded.
    """
    keep = pd.Series(True, index=trials.index)
    for experiment, conditions in (EXCLUDED if excluded is None else excluded).items():
        in_experiment = trials["experiment"] == experiment
        if not in_experiment.any():
            continue
        labels = sorted(trials.loc[in_experiment, "condition"].unique())
        for condition in conditions:
            label = condition_label(condition)
            if label not in labels:
                hint = f"It is to be left out; say which are: exclude.{experiment}=[…], or none: "
                hint += "exclude={}"
                raise unknown_name(f"condition of experiment {experiment}", label, labels, hint)
            keep &= ~(in_experiment & (trials["condition"] == label))
        if not keep[in_experiment].any():
            raise InputError(
                f"experiment {experiment}: all its conditions ({', '.join(labels)}) are excluded. "
                "Keep at least one, or leave the experiment out."
            )
    return trials[keep].reset_index(drop=True)
