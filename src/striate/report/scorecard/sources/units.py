"""What units prefer: `striate probe`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from striate.evaluate.common.measurement import Measurement
from striate.evaluate.units.properties import PROPERTIES, median_table
from striate.report.scorecard.sources.common import Config, comparable, rows_of, table_of


def modulation(run: Path, config: Config) -> Iterator[Measurement]:
    """`striate probe`: texture modulation of each stage, and of a stage less the one before."""
    table = table_of(run, "texture_modulation")
    parts = ("textures", "pixels_per_degree", "negative", "baseline")
    protocol = {k: comparable(config[k]) for k in parts}
    stage = _number_taps(table)
    shared: dict[str, Any] = {"over": "families", "better": "neither", "protocol": protocol}
    for row in rows_of(table):
        yield Measurement(
            measure="texture modulation",
            row=f"mean index, tap {stage[row['model'], row['tap']]} of those probed",
            model=row["model"],
            value=row["mean"],
            low=row["mean_families_low"],
            high=row["mean_families_high"],
            null=row["control"],
            null_is="noise for the texture",
            detail=row["tap"],
            **shared,
        )
    if (run / "tables/texture_differences.parquet").exists():
        for row in rows_of(table_of(run, "texture_differences")):
            later, earlier = (stage[row["model"], row[k]] for k in ("later", "earlier"))
            yield Measurement(
                measure="texture modulation",
                row=f"mean index, tap {later} less tap {earlier}",
                model=row["model"],
                value=row["difference"],
                low=row["difference_families_low"],
                high=row["difference_families_high"],
                detail=f"{row['later']} less {row['earlier']}",
                **shared,
            )


def properties(run: Path, config: Config) -> Iterator[Measurement]:
    """`striate probe`: how alike distributions of properties are to those of neurons."""
    table = table_of(run, "similarity")
    stage = _number_taps(table)
    parts = ("pixels_per_degree", "negative", "baseline", "textures", "contrast")
    protocol = {k: comparable(config[k]) for k in parts}
    for row in rows_of(table):
        place = stage[row["model"], row["tap"]]
        yield Measurement(
            measure="properties",
            row=f"{row['property'].replace('_', ' ')}, tap {place} of those probed",
            model=row["model"],
            value=row["mean"],
            low=row["low"],
            high=row["high"],
            over="units",
            ceiling=row["ceiling"],
            ceiling_is="neurons with themselves",
            detail=row["tap"],
            protocol={**protocol, "neurons": int(row["neurons"])},
        )


def medians(run: Path, config: Config) -> Iterator[Measurement]:
    """`striate probe`: medians of what gratings tell, over the units that respond to them."""
    table = table_of(run, "tuning")
    protocol = {"pixels_per_degree": config["pixels_per_degree"]}
    stage = _number_taps(table)
    for row in rows_of(median_table(table)):
        place = stage[row["model"], row["tap"]]
        yield Measurement(
            measure="properties",
            row=f"{PROPERTIES[row['property']].label}, median, tap {place} of those probed",
            model=row["model"],
            value=row["median"],
            low=row["low"],
            high=row["high"],
            over="units",
            better="neither",
            detail=row["tap"],
            protocol=protocol,
        )


def _number_taps(table: pd.DataFrame) -> dict[tuple[str, str], int]:
    """Which of a model's taps each one is, by model and tap, from 1."""
    return {
        (str(model), str(tap)): number
        for model, units in table.groupby("model", sort=False)
        for number, tap in enumerate(units["tap"].unique(), 1)
    }
