"""Decisions about objects: `striate behave`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from striate.core.files import read_json
from striate.evaluate.behavior.config import HUMANS
from striate.evaluate.common.measurement import NAN, Measurement
from striate.report.scorecard.sources.common import Config, rows_of, table_of

BEHAVIOR = {
    "accuracy": ("OOD accuracy", "accuracy", "higher"),
    "error_consistency": ("error consistency", "Cohen's kappa of errors", "higher"),
    "shape_bias": ("shape bias", "shape among shape and texture decisions", "neither"),
}


def behavior(run: Path, config: Config) -> Iterator[Measurement]:
    """`striate behave`: accuracy, error consistency, shape bias; the ceiling are humans."""
    means, benchmark = table_of(run, "means"), table_of(run, "benchmark")
    bias = benchmark[benchmark["measure"] == "shape_bias"].assign(experiments="cue-conflict")
    human = bias.loc[bias["observer"] == HUMANS, "value"]
    bias = bias.assign(humans=float(human.iloc[0]) if len(human) else NAN)
    categories = table_of(run, "categories")["category"].nunique()
    chance = {"accuracy": 1 / max(categories, 1), "error_consistency": 0.0}
    sizes = {n: m["image_size"] for n, m in read_json(run / "behavior.json")["models"].items()}
    for row in rows_of(pd.concat([means, bias], ignore_index=True)):
        if row["observer"] == HUMANS or row["status"] != "measured" or pd.isna(row["value"]):
            continue
        if row["measure"] not in BEHAVIOR:
            continue
        measure, what, better = BEHAVIOR[row["measure"]]
        yield Measurement(
            measure=measure,
            row=f"{what}: {_shorten(row['experiments'].split(', '))}",
            model=row["observer"],
            value=row["value"],
            low=row["low"],
            high=row["high"],
            over="images and humans",
            ceiling=row["humans"],
            ceiling_is="humans",
            null=chance.get(row["measure"], NAN),
            null_is="chance",
            better=better,
            protocol={
                "experiments": row["experiments"],
                "exclude": config["exclude"],
                "image_size": sizes.get(row["observer"]),
            },
        )


def _shorten(names: list[str]) -> str:
    return ", ".join(names) if len(names) < 5 else f"mean of {len(names)} experiments"
