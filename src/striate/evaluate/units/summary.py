"""What a page tells of probed units in few numbers, from the tables of the run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd

from striate.encoding.inference import ALPHA


def typical_properties(
    units: pd.DataFrame, properties: Sequence[str], counted: str
) -> pd.DataFrame:
    """Medians of properties over the units of each tap; of what is true or false, the share.

    Args:
        units: one row a unit, with columns `model` and `tap`.
        properties: columns of it.
        counted: the column that says which units count.

    Returns:
        One row a model x tap: `model`, `tap`, `units`, how many are `counted`, the properties.
    """
    rows = []
    for (model, tap), group in units.groupby(["model", "tap"], sort=False):
        members = group[group[counted]]
        row = {"model": model, "tap": tap, "units": len(group), "counted": len(members)}
        for name in properties:
            values = members[name].astype(float)
            row[name] = values.mean() if units[name].dtype == bool else values.median()
        rows.append(row)
    return pd.DataFrame(rows)


def summarize_synthesis(synthesis: pd.DataFrame) -> pd.DataFrame:
    """How well textures were synthesized: one row a family.

    `samples` are counted; `start`, `end`, `remaining`, `evaluations` and `seconds` are medians over
    them, `worst` the largest `remaining`, `clipped` the mean share of clipped pixels.

    Args:
        synthesis: `tables/synthesis.parquet`, one row a sample.
    """
    families = synthesis.groupby("family", sort=False)
    summary = families.agg(
        samples=("start", "size"),
        start=("start", "median"),
        end=("end", "median"),
        remaining=("remaining", "median"),
        worst=("remaining", "max"),
        evaluations=("evaluations", "median"),
        seconds=("seconds", "median"),
        clipped=("clipped", "mean"),
    )
    return summary.astype({"evaluations": int}).reset_index()


def judge_difference(
    p: float, low: float, high: float
) -> Literal["untested", "larger", "smaller", "not sure"]:
    """Whether a difference is sure: by the test and by the interval, as few families bound both.

    Args:
        p: of the test over families; NaN where they are too few for one.
        low: of the 95 % interval over families.
        high: of it.
    """
    if np.isnan(p):
        return "untested"
    if p < ALPHA and (low > 0 or high < 0):
        return "larger" if low > 0 else "smaller"
    return "not sure"
