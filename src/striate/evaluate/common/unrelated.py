"""Is anything predicted at all? Said first, because without it no other number means anything."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats

from striate.encoding import fdr
from striate.encoding.inference import ALPHA

WHAT_TO_CHECK = (
    "Check first that each row of responses stands beside the id of its own picture (striate "
    "doctor looks for it, and for orders in which rows often lie by mistake). If it does, these "
    "units may not answer to these pictures, or the test pictures are too few to see it."
)


def find_unrelated(null: pd.DataFrame) -> list[str]:
    """Name the subjects whose responses no model predicts better than with stimuli shuffled.

    A subject counts as predicted where any score of any model is above its own null at a false
    discovery rate of 5 % over all scores of the subject (Benjamini & Hochberg 1995): that one of
    many scores is above by chance shows nothing.

    Args:
        null: one row a score: `subject`, `model`, `r`, and of the shuffled stimuli `null_mean`,
            `null_95` (95th percentile), `permutations` and `p` (NaN where there is no null).
            Models with random weights count as models: where they alone predict, rows and
            pictures do belong together.

    Returns:
        At most one sentence, to stand before all others; none where no score has a null.
    """
    tested = null[null["p"].notna() & null["r"].notna()]
    unpredicted = {
        str(subject): scores
        for subject, scores in tested.groupby("subject", sort=False)
        if not (fdr(refine_p(scores)) < ALPHA).any()
    }
    if not unpredicted:
        return []
    r = np.concatenate([scores["r"].to_numpy() for scores in unpredicted.values()])
    everyone = len(unpredicted) == tested["subject"].nunique()
    who = "any subject" if everyone else ", ".join(unpredicted)
    return [
        f"NO MODEL PREDICTS {who}: none of {len(r)} scores (mean r {r.min():.2f} to {r.max():.2f}) "
        f"is above what the same predictions reach with the stimuli shuffled. {WHAT_TO_CHECK}"
    ]


def refine_p(null: pd.DataFrame) -> np.ndarray:
    """Give p values of a table of nulls a tail beyond the number of permutations.

    A p at its floor, 1 / (permutations + 1), says only that no shuffle reached r. There the upper
    tail of a normal distribution with the null's mean and 95th percentile takes its place; a mean
    over units and stimuli is near normal.
    """
    p = null["p"].to_numpy(dtype=np.float64)
    spread = (null["null_95"] - null["null_mean"]).to_numpy(dtype=np.float64) / stats.norm.ppf(0.95)
    excess = (null["r"] - null["null_mean"]).to_numpy(dtype=np.float64)
    z = np.divide(excess, spread, out=np.zeros(len(p)), where=spread > 0)
    at_floor = p <= (1 + 1e-9) / (null["permutations"].to_numpy(dtype=np.float64) + 1)
    return np.where(at_floor, np.minimum(p, stats.norm.sf(z)), p)
