"""What units prefer: `striate probe`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from striate.evaluate.measurement import Measurement
from striate.report.contributions.tables import Config, comparable, rows_of, table_of


def modulation(run: Path, config: Config) -> Iterator[Measurement]:
    """`striate probe`: texture modulation of each stage, and of a stage less the one before."""
    table = table_of(run, "texture_modulation")
    parts = ("textures", "pixels_per_degree", "negative", "baseline")
    protocol = {k: comparable(config[k]) for k in parts}
    stage: dict[tuple[str, str], int] = {}
    for name, own in table.groupby("model", sort=False):
        stage |= {(str(name), tap): i for i, tap in enumerate(own["tap"], 1)}
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
    order = {m: list(dict.fromkeys(own["tap"])) for m, own in table.groupby("model", sort=False)}
    parts = ("pixels_per_degree", "negative", "baseline", "textures", "contrast")
    protocol = {k: comparable(config[k]) for k in parts}
    for row in rows_of(table):
        place = order[row["model"]].index(row["tap"]) + 1
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
