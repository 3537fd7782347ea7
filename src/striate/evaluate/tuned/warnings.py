"""What must stand beside the scores of a run: few stimuli, subjects or groups, no ceiling."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from striate.core.files import read_json
from striate.encoding.inference import ENOUGH_SUBJECTS
from striate.encoding.null import describe_unresolved
from striate.evaluate.tuned.measure import Bench
from striate.evaluate.tuned.tables import ScoredTarget

FEW_STIMULI = 50
"""Test stimuli of a subject, groups counted once, below which a reader is warned (ours)."""


def find_warnings(
    bench: Bench, scored: Sequence[ScoredTarget], rois: pd.DataFrame, null: pd.DataFrame
) -> list[str]:
    """Say what must stand beside the scores, most important first, naming whom it is about."""
    warnings = []
    if bench.dataset.simulated:
        warnings.append("The responses are SIMULATED: nothing here is about a brain.")
    no_ceiling = sorted(set(rois.loc[rois["ceiling"].isna(), "subject"]))
    if no_ceiling:
        warnings.append(
            f"No noise ceiling for {', '.join(no_ceiling)}: the data have no repeats there, so r "
            "cannot be compared with what noise allows."
        )
    for kind, group in rois.groupby("generalization"):
        n = group["subject"].nunique()
        if n < ENOUGH_SUBJECTS:
            warnings.append(
                f"{kind}: with {n} subject{'s' if n > 1 else ''} the sign-flip test over subjects "
                + ("does not exist." if n < 2 else f"cannot give a p below {2 / 2**n:.3g}.")
            )
    warnings += few_stimuli(rois) + unresolved_nulls(null)
    warnings += bench.notes
    scores_by_caveat: dict[str, dict[str, None]] = {}
    scores = {f"{s.method}/{s.target.name}": s for s in scored}
    for score, scored_target in scores.items():
        for caveat in read_json(scored_target.folder / "encoding.json")["caveats"]:
            scores_by_caveat.setdefault(caveat, {})[score] = None
    for caveat, concerned in scores_by_caveat.items():
        if len(concerned) == len(scores):
            warnings.append(caveat)
            continue
        names = ", ".join(list(concerned)[:3]) + (" …" if len(concerned) > 3 else "")
        warnings.append(f"{len(concerned)} of {len(scores)} scores ({names}): {caveat}")
    return list(dict.fromkeys(warnings))


def few_stimuli(rois: pd.DataFrame) -> list[str]:
    """Say where test stimuli are few; the frames of a movie count as one."""
    few = rois[rois["n_groups"] < FEW_STIMULI]
    if few.empty:
        return []
    least, most = few["n_groups"].min(), few["n_groups"].max()
    frames = ""
    if (few["n_stimuli"] > few["n_groups"]).any():
        frames = (
            f", counting each group of stimuli, such as the frames of a movie, once; they are "
            f"{few['n_stimuli'].min()} to {few['n_stimuli'].max()} single stimuli"
        )
    return [
        f"Few test stimuli ({least} to {most} for {few['subject'].nunique()} subjects{frames}): "
        "differences between models are uncertain."
    ]


def unresolved_nulls(null: pd.DataFrame) -> list[str]:
    """Say where groups are too few to be shuffled into a null."""
    return [
        f"{line} A larger share of test gives more groups."
        for line in describe_unresolved(null[null["permutations"] > 0])
    ]
