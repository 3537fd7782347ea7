"""The page of a grown model: how it learned and what its units are like. No science here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from striate.core.config import read_yaml
from striate.core.files import read_json, read_json_lines, read_table, write_text
from striate.report.figures import filters as draw
from striate.report.figures.common import png
from striate.report.html.page import (
    Raw,
    bullets,
    frame,
    image,
    page,
    paragraph,
    section,
    text,
)
from striate.report.html.run import assert_finished, provenance_section

QUANTITIES = {
    "loss": "loss",
    "held_out": "loss on photographs held out",
    "off_diagonal": "mean square correlation\nof features",
    "rank": "effective rank of features",
    "dead": "share of dead channels",
}
PROPERTIES = {
    "circular_variance": "circular variance",
    "orientation_bandwidth": "orientation bandwidth (half width, degrees)",
    "peak_frequency": "peak spatial frequency (cycles/degree)",
    "frequency_bandwidth": "frequency bandwidth (octaves)",
    "modulation_ratio": "modulation ratio F1/F0",
    "suppression_index": "surround suppression",
}


def is_growth(run: Path) -> bool:
    """Whether a run folder is that of `striate grow`."""
    return (run / "model" / "grow.yaml").exists()


def build_growth(run: Path) -> Path:
    """Write `report.html` into the folder of a growing run and return its path.

    Raises:
        InputError: the run was stopped before its end.
    """
    assert_finished(run, "units.json")
    config = read_yaml(run / "config.yaml")
    metrics = pd.DataFrame(read_json_lines(run / "model" / "metrics.jsonl"))
    units = read_json(run / "units.json")
    tuning = read_table(run / "tables" / "tuning.parquet")
    with np.load(run / "units.npz") as arrays:
        kept = dict(arrays)
    stages = len(units["taps"])
    title = f"Striate: a model of {stages} stage{'s' if stages > 1 else ''}, grown"
    parts = [
        Raw(f"<h1>{text(title)}</h1>"),
        paragraph(_subtitle(config, metrics), "quiet"),
        _answer(run, metrics, units, tuning),
        _first_stage(run, kept),
        _tuning(tuning),
        _second_stage(kept),
        _learning(metrics, units["taps"]),
        _pairs(run),
        provenance_section(run, config),
    ]
    write_text(run / "report.html", page(title, parts))
    return run / "report.html"


def _subtitle(config: dict[str, Any], metrics: pd.DataFrame) -> str:
    return (
        f"{config['credit'].replace('_', ' ')} learning without labels, deformation "
        f"{config['deformation']}, a = {config['a']:g}, {len(metrics):,} steps of "
        f"{config['batch_size']} patches in {metrics['seconds'].sum() / 60:.1f} minutes. "
        "The method is that of Parthasarathy, Hénaff & Simoncelli 2024 as far as their abstract "
        "tells it; all settings are Striate's own."
    )


def _answer(run: Path, metrics: pd.DataFrame, units: dict[str, Any], tuning: pd.DataFrame) -> Raw:
    lines = []
    if "gabors" in units:
        fits = read_table(run / "tables" / "gabors.parquet")
        lines.append(
            f"{units['gabors']:.0%} of the {len(fits)} kernels of the first stage are fitted by a "
            f"Gabor with R² above .7; median share of chromatic energy "
            f"{fits['chromatic'].median():.2f}."
        )
    for tap, own in tuning.groupby("tap", sort=False):
        selective = own["orientation_selective"].mean()
        lines.append(
            f"{tap}: {own['responds'].mean():.0%} of {len(own)} units respond to gratings, "
            f"{selective:.0%} are selective for orientation; median circular variance "
            f"{own['circular_variance'].median():.2f}."
        )
    gone = [tap for tap in units["taps"] if _collapsed_at_end(metrics, tap)]
    if gone:
        lines.append(f"COLLAPSED at the end: {', '.join(gone)}.")
    return bullets(lines, "answer")


def _collapsed_at_end(metrics: pd.DataFrame, tap: str) -> bool:
    """By its last measure: of stages that learn one after another, not all have one at the end."""
    column = f"{tap}_collapsed"
    measured = metrics[column].dropna() if column in metrics else pd.Series(dtype=bool)
    return bool(len(measured) and measured.iloc[-1])


def _figure(figure: Figure, describes: str) -> Raw:
    return image(png(figure), describes)


def _first_stage(run: Path, kept: dict[str, np.ndarray]) -> Raw:
    if "kernels" not in kept:
        return Raw("")
    parts: list[Any] = []
    order, path = None, run / "tables" / "gabors.parquet"
    if path.exists():
        fits = read_table(path)
        order = fits.sort_values("r2", ascending=False)["unit"].to_numpy()
        parts.append(
            paragraph("Kernels, best Gabor fit first, each on its own scale; gray is 0.", "quiet")
        )
    parts.append(_figure(draw.filter_grid(kept["kernels"], order), "kernels of the first stage"))
    if path.exists():
        parts.append(
            _figure(draw.fit_histogram({"stage 1": fits["r2"].to_numpy()}), "R² of Gabor fits")
        )
    return section("First stage: kernels", *parts)


def _tuning(tuning: pd.DataFrame) -> Raw:
    parts: list[Any] = []
    for tap, own in tuning.groupby("tap", sort=False):
        shown = own[own["responds"]]
        parts.append(paragraph(f"{tap}: {len(shown)} of {len(own)} units respond."))
        parts.append(
            _figure(
                draw.preferences(
                    shown["preferred_orientation"].to_numpy(), shown["peak_frequency"].to_numpy()
                ),
                f"preferred orientations and frequencies of {tap}",
            )
        )
    rows = []
    for tap, own in tuning.groupby("tap", sort=False):
        for column, name in PROPERTIES.items():
            low, mid, high = own[column].quantile([0.25, 0.5, 0.75])
            rows.append({"tap": tap, "property": name, "25 %": low, "median": mid, "75 %": high})
    return section("Tuning to gratings", *parts, frame(pd.DataFrame(rows), names=2))


def _second_stage(kept: dict[str, np.ndarray]) -> Raw:
    if "plane" not in kept:
        return Raw("")
    figure = draw.pooling_panels(
        kept["plane"], kept["spatial"], kept["orientations"], kept["frequencies"]
    )
    note = (
        "For each unit: the squared weights on first-stage units by what these prefer (left), and "
        "by place (right)."
    )
    return section("Second stage: what units pool", paragraph(note, "quiet"), _figure(figure, note))


def _learning(metrics: pd.DataFrame, taps: list[str]) -> Raw:
    panels = {}
    for column, name in QUANTITIES.items():
        lines = {t: metrics[f"{t}_{column}"] for t in taps if f"{t}_{column}" in metrics}
        if lines:
            panels[name] = lines
    return section(
        "Learning", _figure(draw.progress_curves(panels, metrics["step"].to_numpy()), "learning")
    )


def _pairs(run: Path) -> Raw:
    with np.load(run / "model" / "pairs.npz") as arrays:
        plain = {k: v for k, v in arrays.items() if not k.endswith("_lit")}
        lit = {k.removesuffix("_lit"): v for k, v in arrays.items() if k.endswith("_lit")}
    return section(
        "Pairs of patches",
        paragraph(
            "What the two views of a patch are: deformations alone, then as they are learned "
            "from, with changes of light and noise.",
            "quiet",
        ),
        _figure(draw.pairs_gallery(plain), "deformed pairs"),
        _figure(draw.pairs_gallery(lit), "pairs with changes of light"),
    )
