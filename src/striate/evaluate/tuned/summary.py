"""What a page tells of a run in few numbers, from the tables of the run."""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd

from striate.encoding.inference import ALPHA, ENOUGH_SUBJECTS
from striate.evaluate.tuned.tables import BASELINE


def summarize_gains(group: pd.DataFrame, rois: pd.DataFrame) -> pd.DataFrame:
    """How much each model differs from the untuned one, and in how many places that is sure.

    One row a generalization x model, without `untuned`: `r`, `delta` and `share_improved` are means
    over `n_rois` ROIs; `share_low` and `share_high`, the interval of the share, are known where it
    is of one ROI. `subjects` is the most of any ROI. `better` and `worse` count ROIs with
    q < `ALPHA`. `above` and `below` count the `pairs` of subject and ROI whose 95 % interval over
    test stimuli lies above or below 0. `tested` says whether there are enough subjects for a test
    over them (`encoding.inference.ENOUGH_SUBJECTS`).

    Args:
        group: `tables/group.parquet`.
        rois: `tables/rois.parquet`.
    """
    rows = []
    keys = ["generalization", "model"]
    for (kind, model), gains in group.groupby(keys, sort=False):
        if model == BASELINE:
            continue
        pairs = rois[(rois["generalization"] == kind) & (rois["model"] == model)]
        alone = len(gains) == 1 and "share_improved_low" in gains  # earlier versions have none
        sure = gains["q"] < ALPHA
        subjects = int(gains["n_subjects"].max())
        rows.append(
            {
                "generalization": kind,
                "model": model,
                "n_rois": len(gains),
                "r": gains["r"].mean(),
                "delta": gains["delta"].mean(),
                "share_improved": gains["share_improved"].mean(),
                "share_low": gains["share_improved_low"].iloc[0] if alone else float("nan"),
                "share_high": gains["share_improved_high"].iloc[0] if alone else float("nan"),
                "subjects": subjects,
                "tested": subjects >= ENOUGH_SUBJECTS,
                "better": int((sure & (gains["delta"] > 0)).sum()),
                "worse": int((sure & (gains["delta"] < 0)).sum()),
                "above": int((pairs["delta_low"] > 0).sum()),
                "below": int((pairs["delta_high"] < 0).sum()),
                "pairs": len(pairs),
            }
        )
    return pd.DataFrame(rows)


def summarize_null(null: pd.DataFrame) -> pd.DataFrame:
    """Scores beside those with shuffled stimuli: one row a model that was shuffled.

    `r`, `null_mean` and `null_95` are means over `targets` (subject x ROI), `largest_p` the largest
    p of any of them.

    Args:
        null: `tables/null.parquet`.
    """
    shuffled = null[null["permutations"] > 0]
    means = shuffled.groupby("model", sort=False).agg(
        r=("r", "mean"), null_mean=("null_mean", "mean"), null_95=("null_95", "mean"),
        largest_p=("p", "max"), targets=("p", "size"),
    )  # fmt: skip
    return means.reset_index()


def mean_tap_scores(taps: pd.DataFrame) -> pd.DataFrame:
    """Mean `score` over subjects of each model x hemisphere x ROI x tap that was scored.

    Args:
        taps: `tables/taps.parquet`.
    """
    keys = ["model", "hemisphere", "roi", "tap"]
    scored = taps.dropna(subset="score")
    return scored.groupby(keys, sort=False)["score"].mean().reset_index()


class CeilingSummary(NamedTuple):
    """Noise ceilings of the units of a run.

    Attributes:
        units: how many units were scored.
        known: how many of them have a ceiling.
        median: of those ceilings.
        sources: how many units have a ceiling from `repeats`, `given`, …; empty for runs of
            earlier versions, which do not tell.
    """

    units: int
    known: int
    median: float
    sources: dict[str, int]


def summarize_ceilings(scores: pd.DataFrame) -> CeilingSummary:
    """Count units with a noise ceiling, each once.

    Args:
        scores: `scores.parquet`.
    """
    units = scores.drop_duplicates(["subject", "hemisphere", "unit_id"])
    sources = units["ceiling_source"] if "ceiling_source" in units else pd.Series(dtype=object)
    return CeilingSummary(
        units=len(units),
        known=int(units["ceiling"].notna().sum()),
        median=float(units["ceiling"].median()),
        sources={str(source): int(count) for source, count in sources.value_counts().items()},
    )


def average_controls(rois: pd.DataFrame, null: pd.DataFrame) -> pd.DataFrame:
    """Mean over subjects of null and ceiling, one row a generalization x hemisphere x ROI x model.

    Args:
        rois: `tables/rois.parquet`.
        null: `tables/null.parquet`.

    Returns:
        `null` and `ceiling`, by these four; the ceiling is NaN unless all subjects have one, as it
        holds only for those that do.
    """
    keys = ["generalization", "hemisphere", "roi", "model"]
    ceilings = rois.groupby(keys)["ceiling"].agg(lambda c: c.mean(skipna=False))
    return pd.DataFrame({"null": null.groupby(keys)["null_mean"].mean(), "ceiling": ceilings})
