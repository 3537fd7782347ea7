"""The page of a probing run: what the units of models prefer. No science here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from striate.core.config import read_yaml
from striate.core.files import read_json, read_table, write_text
from striate.evaluate.units.properties import PROPERTIES, of
from striate.evaluate.units.published_histograms import Histogram, read_histograms
from striate.report.figures import units as draw
from striate.report.figures.common import png
from striate.report.html.page import (
    Raw,
    bullets,
    folded,
    frame,
    image,
    number,
    page,
    paragraph,
    section,
    table,
    text,
)
from striate.report.html.run import assert_finished, provenance_section

ALPHA = 0.05
TABLES = (
    "tuning", "textures", "texture_modulation", "texture_differences", "texture_families",
    "synthesis", "similarity",
)  # fmt: skip


def is_probe(config: dict[str, Any]) -> bool:
    """Whether a run's config is that of `striate probe`."""
    return "stimuli" in config and "textures" in config


def build_probe(run: Path) -> Path:
    """Write `report.html` into the folder of a probing run and return its path.

    Raises:
        InputError: the run was stopped before its end.
    """
    assert_finished(run, "probe.json")
    config = read_yaml(run / "config.yaml")
    done = read_json(run / "probe.json")
    there = {
        name: read_table(run / f"tables/{name}.parquet")
        for name in TABLES
        if (run / f"tables/{name}.parquet").exists()
    }
    path = config["histograms"]
    published = read_histograms(path) if path and Path(path).exists() else {}
    title = (
        f"Striate: units of {len(done['models'])} model{'s' * (len(done['models']) > 1)}, probed"
    )
    parts = [
        Raw(f"<h1>{text(title)}</h1>"),
        paragraph(
            "In-silico physiology: the units of a tap are its channels at the center of the "
            f"image, at {config['pixels_per_degree']:g} pixels per degree. Definitions follow "
            "Marques, Schrimpf & DiCarlo 2021.",
            "quiet",
        ),
        _answer(there),
        bullets(done["notes"], "warn") if done["notes"] else Raw(""),
        _modulation(there),
        _stimuli(run, there),
        *_units(there, published),
        _similarity(there, bool(path)),
        _provenance(run, config, done),
    ]
    write_text(run / "report.html", page(title, parts))
    return run / "report.html"


def span(row: pd.Series | dict[str, Any], name: str) -> str:
    """A 95 % interval for people; a dash where there is none."""
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    return "–" if pd.isna(low) else f"[{low:+.3f}, {high:+.3f}]"


def _answer(there: dict[str, pd.DataFrame]) -> Raw:
    lines = []
    for _, row in there.get("texture_differences", pd.DataFrame()).iterrows():
        sure = _verdict(row)
        lines.append(
            f"{row['model']}: texture modulation of {row['later']} less that of {row['earlier']} "
            f"{row['difference']:+.3f}, 95 % over families {span(row, 'difference_families')}, "
            f"over units {span(row, 'difference_units')}; larger in {row['larger_families']} of "
            f"{row['families']} families: {sure}."
        )
    return bullets(lines, "answer") if lines else Raw("")


def _verdict(row: pd.Series) -> str:
    """Whether a difference is sure: by its interval and by the test, as few families bound both."""
    p = row["p_families"]
    if pd.isna(p):
        return "too few families for a test"
    low, high = row["difference_families_low"], row["difference_families_high"]
    if p < ALPHA and (low > 0 or high < 0):
        return f"{'larger' if low > 0 else 'smaller'} (sign flips over families, p = {number(p)})"
    return f"not sure (sign flips over families, p = {number(p)})"


def _modulation(there: dict[str, pd.DataFrame]) -> Raw:
    if "texture_modulation" not in there:
        return Raw("")
    taps, families = there["texture_modulation"], there["texture_families"]
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
    return section(
        "Texture modulation by stage",
        paragraph(
            "(t - n) / (t + n) of responses to textures and to noise of the same spectrum, after "
            "negative responses were set to 0; means over families, then over active units. The "
            "signature of V2 is that it exceeds V1's. The control takes noise for the texture and "
            "should be 0. Thick lines: 95 % over families; thin: over units.",
            "quiet",
        ),
        image(png(draw.modulation_by_tap(taps)), "Texture modulation by tap"),
        table(columns, rows, names=2),
        image(png(draw.modulation_by_family(families)), "Texture modulation by family"),
    )


def _stimuli(run: Path, there: dict[str, pd.DataFrame]) -> Raw:
    if "synthesis" not in there:
        return Raw("")
    with np.load(run / "examples.npz") as kept:
        images, families = kept["images"], [str(f) for f in kept["families"]]
    own = there["synthesis"].groupby("family", sort=False)
    rows = pd.DataFrame(
        {
            "samples": own.size(),
            "first error": own["start"].median(),
            "last error": own["end"].median(),
            "last / first": own["remaining"].median(),
            "worst": own["remaining"].max(),
            "evaluations": own["evaluations"].median().astype(int),
            "seconds": own["seconds"].median(),
            "clipped pixels": own["clipped"].mean(),
        }
    ).reset_index()
    return section(
        "Textures",
        image(png(draw.example_textures(images, families)), "Textures and their noise"),
        paragraph(
            "Synthesis (Portilla & Simoncelli 2000): relative error of the statistics at the start "
            "and at the end, medians over samples.",
            "quiet",
        ),
        frame(rows),
    )


def _units(there: dict[str, pd.DataFrame], published: dict[str, Histogram]) -> list[Raw]:
    parts = []
    for kind, name, there_is in (
        ("gratings", "tuning", "responds"),
        ("textures", "textures", "active"),
    ):
        if name not in there:
            continue
        units = there[name]
        names = of(kind, units.columns)  # type: ignore[arg-type]
        pieces: list[Any] = []
        for model, own in units.groupby("model", sort=False):
            figure = draw.distributions(own, names, there_is, published)
            pieces += [paragraph(str(model)), image(png(figure), f"{model}: units, {kind}")]
        pieces.append(folded("Medians by tap", _medians(units, names, there_is)))
        parts.append(section(f"Units: {kind}", *pieces))
    return parts


def _medians(units: pd.DataFrame, names: list[str], there_is: str) -> Raw:
    places = list(units.groupby(["model", "tap"], sort=False))
    rows: list[list[Any]] = [
        ["units that respond", *(f"{int(o[there_is].sum())} of {len(o)}" for _, o in places)]
    ]
    for name in names:
        own = [o.loc[o[there_is], name].astype(float) for _, o in places]
        flag = units[name].dtype == bool
        rows.append([PROPERTIES[name].label, *((v.mean() if flag else v.median()) for v in own)])
    return table(["property", *(f"{m}, {t}" for (m, t), _ in places)], rows)


def _similarity(there: dict[str, pd.DataFrame], asked: bool) -> Raw:
    if not asked:
        return section(
            "Comparison with neurons",
            paragraph(
                "No published histograms were given, so there is nothing to compare with: "
                "histograms=FILE (CSV with property, low, high, count)."
            ),
        )
    return section(
        "Comparison with neurons",
        paragraph(
            "1 - normalized Kolmogorov-Smirnov distance of binned distributions, mean and 95 % "
            "over bootstrap samples of as many units as neurons; the ceiling is that of the "
            "neurons with themselves.",
            "quiet",
        ),
        frame(there["similarity"], names=3),
    )


def _provenance(run: Path, config: dict[str, Any], done: dict[str, Any]) -> Raw:
    models = [
        [name, own["id"], ", ".join(own["taps"]), own["fingerprint"][:12]]
        for name, own in done["models"].items()
    ]
    return provenance_section(
        run,
        config,
        table(["model", "id", "taps", "fingerprint"], models, names=4),
        further={"seconds": done["seconds"]},
    )
