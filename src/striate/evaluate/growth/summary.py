"""What a page tells of grown units in few numbers, from the tables of the run."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd


def summarize_taps(tuning: pd.DataFrame) -> pd.DataFrame:
    """How the units of each tap respond to gratings: one row a tap.

    `units` counts all; `responds` and `orientation_selective` are shares of them;
    `circular_variance` is the median of those that have one.

    Args:
        tuning: `tables/tuning.parquet`, one row a unit.
    """
    by_tap = tuning.groupby("tap", sort=False)
    summary = by_tap.agg(
        units=("responds", "size"),
        responds=("responds", "mean"),
        orientation_selective=("orientation_selective", "mean"),
        circular_variance=("circular_variance", "median"),
    )
    return summary.reset_index()


def quartiles(tuning: pd.DataFrame, properties: Sequence[str]) -> pd.DataFrame:
    """Quartiles of properties over the units of each tap that have them.

    Args:
        tuning: one row a unit, with a column `tap`.
        properties: columns of it.

    Returns:
        One row a tap x property: `tap`, `property`, `low`, `median`, `high`.
    """
    rows = []
    for tap, units in tuning.groupby("tap", sort=False):
        for name in properties:
            low, median, high = units[name].quantile([0.25, 0.5, 0.75])
            rows.append({"tap": tap, "property": name, "low": low, "median": median, "high": high})
    return pd.DataFrame(rows, columns=["tap", "property", "low", "median", "high"])


def median_chromatic(gabors: pd.DataFrame) -> float:
    """Median share of chromatic energy over the kernels of a first stage.

    Args:
        gabors: `tables/gabors.parquet`, one row a kernel.
    """
    return float(gabors["chromatic"].median())
