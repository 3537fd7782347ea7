"""The page of a probing run: what the units of models prefer. No science here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from striate.core.config import read_yaml
from striate.core.files import read_json, read_parquet, write_text
from striate.evaluate.units.properties import PROPERTIES, of
from striate.evaluate.units.published_histograms import Histogram, read_histograms
from striate.evaluate.units.summary import (
    judge_difference,
    summarize_synthesis,
    typical_properties,
)
from striate.report.figures import units as draw
from striate.report.html.page import Picture, Table, make_picture, make_table, number, render
from striate.report.html.run import read_provenance

TABLES = (
    "tuning", "textures", "texture_modulation", "texture_differences", "texture_families",
    "synthesis", "similarity",
)  # fmt: skip


@dataclass(frozen=True)
class Modulation:
    """Texture modulation of each stage, and of each family."""

    by_tap: Picture
    table: Table
    by_family: Picture


@dataclass(frozen=True)
class ShownTextures:
    """Textures and their noise, and how well they were synthesized."""

    examples: Picture
    synthesis: Table


@dataclass(frozen=True)
class Units:
    """Properties read from one kind of stimuli: how they are spread in each model, and medians."""

    kind: str
    models: list[tuple[str, Picture]]
    medians: Table


def build_probe(run: Path) -> Path:
    """Write `report.html` into the folder of a probing run and return its path."""
    config = read_yaml(run / "config.yaml")
    record = read_json(run / "probe.json")
    paths = {name: run / f"tables/{name}.parquet" for name in TABLES}
    tables = {name: read_parquet(path) for name, path in paths.items() if path.exists()}
    histograms = config["histograms"]
    published = read_histograms(histograms) if histograms and Path(histograms).exists() else {}
    number_of_models = len(record["models"])
    html = render(
        "units.html.j2",
        title=(f"Striate: units of {number_of_models} model{'s' * (number_of_models > 1)}, probed"),
        pixels_per_degree=f"{config['pixels_per_degree']:g}",
        answers=_write_answers(tables),
        notes=record["notes"],
        modulation=_describe_modulation(tables),
        textures=_describe_textures(run, tables),
        units=_describe_units(tables, published),
        similarity=make_table(tables["similarity"], names=3) if histograms else None,
        provenance=read_provenance(run, config, {"seconds": record["seconds"]}),
        models=_tabulate_models(record["models"]),
    )
    write_text(run / "report.html", html)
    return run / "report.html"


def span(row: pd.Series | dict[str, Any], name: str) -> str:
    """A 95 % interval for people; a dash where there is none."""
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    return "–" if pd.isna(low) else f"[{low:+.3f}, {high:+.3f}]"


def _write_answers(tables: dict[str, pd.DataFrame]) -> list[str]:
    differences = tables.get("texture_differences", pd.DataFrame())
    return [
        f"{row['model']}: texture modulation of {row['later']} less that of {row['earlier']} "
        f"{row['difference']:+.3f}, 95 % over families {span(row, 'difference_families')}, "
        f"over units {span(row, 'difference_units')}; larger in {row['larger_families']} of "
        f"{row['families']} families: {_write_verdict(row)}."
        for _, row in differences.iterrows()
    ]


def _write_verdict(row: pd.Series) -> str:
    verdict = judge_difference(
        row["p_families"], row["difference_families_low"], row["difference_families_high"]
    )
    if verdict == "untested":
        return "too few families for a test"
    return f"{verdict} (sign flips over families, p = {number(row['p_families'])})"


def _describe_modulation(tables: dict[str, pd.DataFrame]) -> Modulation | None:
    if "texture_modulation" not in tables:
        return None
    taps, families = tables["texture_modulation"], tables["texture_families"]
    rows = [
        [row["model"], row["tap"], f"{row['active']} of {row['units']}", int(row["families"]),
         f"{row['mean']:+.3f}", span(row, "mean_families"), span(row, "mean_units"),
         f"{row['control']:+.3f}", span(row, "control_families"),
         f"{row['positive']:.0%}" if pd.notna(row["positive"]) else "–",
         f"{row['negative_share']:.1%}"]
        for _, row in taps.iterrows()
    ]  # fmt: skip
    columns = ["model", "tap", "active units", "families", "mean index", "95 % over families",
               "95 % over units", "control", "its 95 % over families", "units above 0",
               "negative responses"]  # fmt: skip
    return Modulation(
        make_picture(draw.modulation_by_tap(taps), "Texture modulation by tap"),
        Table(columns, rows, names=2),
        make_picture(draw.modulation_by_family(families), "Texture modulation by family"),
    )


def _describe_textures(run: Path, tables: dict[str, pd.DataFrame]) -> ShownTextures | None:
    if "synthesis" not in tables:
        return None
    with np.load(run / "examples.npz") as arrays:
        images, families = arrays["images"], [str(f) for f in arrays["families"]]
    heads = {
        "start": "first error",
        "end": "last error",
        "remaining": "last / first",
        "clipped": "clipped pixels",
    }
    examples = draw.example_textures(images, families)
    return ShownTextures(
        make_picture(examples, "Textures and their noise"),
        make_table(summarize_synthesis(tables["synthesis"]).rename(columns=heads)),
    )


def _describe_units(
    tables: dict[str, pd.DataFrame], published: dict[str, Histogram]
) -> list[Units]:
    shown = []
    kinds: tuple[tuple[Literal["gratings", "textures"], str, str], ...] = (
        ("gratings", "tuning", "responds"),
        ("textures", "textures", "active"),
    )
    for kind, name, counted in kinds:
        if name not in tables:
            continue
        units = tables[name]
        properties = of(kind, units.columns)
        models = []
        for model, members in units.groupby("model", sort=False):
            figure = draw.distributions(members, properties, counted, published)
            models.append((str(model), make_picture(figure, f"{model}: units, {kind}")))
        shown.append(Units(kind, models, _tabulate_medians(units, properties, counted)))
    return shown


def _tabulate_medians(units: pd.DataFrame, properties: list[str], counted: str) -> Table:
    taps = typical_properties(units, properties, counted).to_dict("records")
    rows: list[list[Any]] = [
        ["units that respond", *(f"{tap['counted']} of {tap['units']}" for tap in taps)]
    ]
    rows += [[PROPERTIES[name].label, *(tap[name] for tap in taps)] for name in properties]
    return Table(["property", *(f"{tap['model']}, {tap['tap']}" for tap in taps)], rows)


def _tabulate_models(models: dict[str, dict[str, Any]]) -> Table:
    rows = [
        [name, model["id"], ", ".join(model["taps"]), model["fingerprint"][:12]]
        for name, model in models.items()
    ]
    return Table(["model", "id", "taps", "fingerprint"], rows, names=4)
