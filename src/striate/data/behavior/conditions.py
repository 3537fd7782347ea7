"""Conditions of behavioral experiments: one spelling each, and those that are left out."""

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
"""Conditions that are no test of generalization: undistorted controls, and those in which humans
themselves are right in a fifth of the trials or less (Geirhos et al. 2021, arXiv 2106.07411, the
settings of their benchmark model-vs-human)."""

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def condition_label(value: object) -> str:
    """Spell a condition in one way, whatever a file or a library made of it.

    Tables come with `0.90`, `0.9` or the number 0.9 for one condition, and with `true`, `True` or
    the boolean: compared as they stand, control conditions stay in unnoticed.

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
    """Leave out the trials of conditions that do not count.

    Args:
        trials: tidy trials (`striate.data.behavior.trials.read_trials`).
        excluded: conditions by experiment; default `EXCLUDED`. An experiment that is not among
            the trials does not matter.

    Raises:
        InputError: a condition that the experiment does not have (nearest offered), or nothing
            would be left of it.
    """
    keep = pd.Series(True, index=trials.index)
    for experiment, conditions in (EXCLUDED if excluded is None else excluded).items():
        here = trials["experiment"] == experiment
        if not here.any():
            continue
        known = sorted(trials.loc[here, "condition"].unique())
        for condition in conditions:
            label = condition_label(condition)
            if label not in known:
                hint = f"It is to be left out; say which are: exclude.{experiment}=[…], or none: "
                hint += "exclude={}"
                raise unknown_name(f"condition of experiment {experiment}", label, known, hint)
            keep &= ~(here & (trials["condition"] == label))
        if not keep[here].any():
            raise InputError(
                f"experiment {experiment}: all its conditions ({', '.join(known)}) are excluded. "
                "Keep at least one, or leave the experiment out."
            )
    return trials[keep].reset_index(drop=True)
