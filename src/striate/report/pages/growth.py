"""The page of a grown model: how it learned and what its units are like. No science here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from striate.core.config import read_yaml
from striate.core.files import read_json, read_json_lines, read_parquet, write_text
from striate.evaluate.growth.summary import median_chromatic, quartiles, summarize_taps
from striate.report.figures import filters as draw
from striate.report.html.page import Picture, Table, make_picture, make_table, render
from striate.report.html.run import read_provenance

QUANTITIES = {
    "loss": "loss",
    "held_out": "loss on photographs held out",
    "off_diagonal": "mean square correlation\nof features",
    "rank": "effective rank of features",
    "dead": "share of dead channels",
}
HEADS = {"tap": "tap", "property": "property", "low": "25 %", "median": "median", "high": "75 %"}
PROPERTIES = {
    "circular_variance": "circular variance",
    "orientation_bandwidth": "orientation bandwidth (half width, degrees)",
    "peak_frequency": "peak spatial frequency (cycles/degree)",
    "frequency_bandwidth": "frequency bandwidth (octaves)",
    "modulation_ratio": "modulation ratio F1/F0",
    "suppression_index": "surround suppression",
}
POOLING = (
    "For each unit: the squared weights on first-stage units by what these prefer (left), and by "
    "place (right)."
)


def build_growth(run: Path) -> Path:
    """Write `report.html` into the folder of a growing run and return its path."""
    config = read_yaml(run / "config.yaml")
    metrics = pd.DataFrame(read_json_lines(run / "model" / "metrics.jsonl"))
    units = read_json(run / "units.json")
    tuning = read_parquet(run / "tables" / "tuning.parquet")
    gabors = read_parquet(path) if (path := run / "tables" / "gabors.parquet").exists() else None
    with np.load(run / "units.npz") as arrays:
        drawn = dict(arrays)
    stages = len(units["taps"])
    deformed, lit = _draw_pairs(run)
    html = render(
        "growth.html.j2",
        title=f"Striate: a model of {stages} stage{'s' if stages > 1 else ''}, grown",
        subtitle=_write_subtitle(config, metrics),
        answers=_write_answers(metrics, units, tuning, gabors),
        kernels=_draw_kernels(drawn, gabors),
        fits=_draw_fits(gabors) if gabors is not None and "kernels" in drawn else None,
        taps=_draw_taps(tuning),
        quartiles=_tabulate_quartiles(tuning),
        pooling=_draw_pooling(drawn),
        learning=_draw_learning(metrics, units["taps"]),
        deformed=deformed,
        lit=lit,
        provenance=read_provenance(run, config),
    )
    write_text(run / "report.html", html)
    return run / "report.html"


def _write_subtitle(config: dict[str, Any], metrics: pd.DataFrame) -> str:
    return (
        f"{config['credit'].replace('_', ' ')} learning without labels, deformation "
        f"{config['deformation']}, a = {config['a']:g}, {len(metrics):,} steps of "
        f"{config['batch_size']} patches in {metrics['seconds'].sum() / 60:.1f} minutes."
    )


def _write_answers(
    metrics: pd.DataFrame,
    units: dict[str, Any],
    tuning: pd.DataFrame,
    gabors: pd.DataFrame | None,
) -> list[str]:
    lines = []
    if "gabors" in units and gabors is not None:
        lines.append(
            f"{units['gabors']:.0%} of the {len(gabors)} kernels of the first stage are fitted by "
            "a Gabor with R² above .7; median share of chromatic energy "
            f"{median_chromatic(gabors):.2f}."
        )
    lines += [
        f"{tap['tap']}: {tap['responds']:.0%} of {tap['units']} units respond to gratings, "
        f"{tap['orientation_selective']:.0%} are selective for orientation; median circular "
        f"variance {tap['circular_variance']:.2f}."
        for _, tap in summarize_taps(tuning).iterrows()
    ]
    collapsed = [tap for tap in units["taps"] if _collapsed_at_end(metrics, tap)]
    if collapsed:
        lines.append(f"COLLAPSED at the end: {', '.join(collapsed)}.")
    return lines


def _collapsed_at_end(metrics: pd.DataFrame, tap: str) -> bool:
    """By its last measure: of stages that learn one after another, not all have one at the end."""
    column = f"{tap}_collapsed"
    measured = metrics[column].dropna() if column in metrics else pd.Series(dtype=bool)
    return bool(len(measured) and measured.iloc[-1])


def _draw_kernels(arrays: dict[str, np.ndarray], gabors: pd.DataFrame | None) -> Picture | None:
    """Kernels of the first stage, best Gabor fit first where there are fits."""
    if "kernels" not in arrays:
        return None
    order = None
    if gabors is not None:
        order = gabors.sort_values("r2", ascending=False)["unit"].to_numpy()
    grid = draw.filter_grid(arrays["kernels"], order)
    return make_picture(grid, "kernels of the first stage")


def _draw_fits(gabors: pd.DataFrame) -> Picture:
    histogram = draw.fit_histogram({"stage 1": gabors["r2"].to_numpy()})
    return make_picture(histogram, "R² of Gabor fits")


def _draw_taps(tuning: pd.DataFrame) -> list[tuple[str, Picture]]:
    """How many units of each tap respond, and what those prefer."""
    shown = []
    for tap, units in tuning.groupby("tap", sort=False):
        responding = units[units["responds"]]
        text = f"{tap}: {len(responding)} of {len(units)} units respond."
        figure = draw.preferences(
            responding["preferred_orientation"].to_numpy(), responding["peak_frequency"].to_numpy()
        )
        words = f"preferred orientations and frequencies of {tap}"
        shown.append((text, make_picture(figure, words)))
    return shown


def _tabulate_quartiles(tuning: pd.DataFrame) -> Table:
    table = quartiles(tuning, list(PROPERTIES))
    named = table.assign(property=table["property"].map(PROPERTIES))
    return make_table(named[list(HEADS)].rename(columns=HEADS), names=2)


def _draw_pooling(arrays: dict[str, np.ndarray]) -> Picture | None:
    if "plane" not in arrays:
        return None
    figure = draw.pooling_panels(
        arrays["plane"], arrays["spatial"], arrays["orientations"], arrays["frequencies"]
    )
    return make_picture(figure, POOLING)


def _draw_learning(metrics: pd.DataFrame, taps: list[str]) -> Picture:
    panels = {}
    for column, name in QUANTITIES.items():
        lines = {t: metrics[f"{t}_{column}"] for t in taps if f"{t}_{column}" in metrics}
        if lines:
            panels[name] = lines
    figure = draw.progress_curves(panels, metrics["step"].to_numpy())
    return make_picture(figure, "learning")


def _draw_pairs(run: Path) -> tuple[Picture, Picture]:
    """Pairs of patches: deformations alone, then with changes of light."""
    with np.load(run / "model" / "pairs.npz") as arrays:
        plain = {k: v for k, v in arrays.items() if not k.endswith("_lit")}
        lit = {k.removesuffix("_lit"): v for k, v in arrays.items() if k.endswith("_lit")}
    return (
        make_picture(draw.pairs_gallery(plain), "deformed pairs"),
        make_picture(draw.pairs_gallery(lit), "pairs with changes of light"),
    )
