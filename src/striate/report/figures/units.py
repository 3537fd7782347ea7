"""Figures of a probing run: texture modulation by stage, distributions, example textures."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.figure import Figure

from striate.evaluate.units.properties import PROPERTIES
from striate.evaluate.units.published_histograms import Histogram, binned
from striate.report.figures.common import bare
from striate.report.figures.filters import GRAY, LINES

NAMES = {"mean": "texture against noise", "control": "noise against noise"}
"""What the points of a tap are, by the beginning of their columns."""


def modulation_by_tap(taps: pd.DataFrame) -> Figure:
    """Mean texture modulation of each tap, shallow to deep, a panel a model.

    The thick line is the 95 % interval over families, the thin one over units; gray is the control
    of noise against noise.
    """
    models = list(dict.fromkeys(taps["model"]))
    figure = Figure(figsize=(2.6 * len(models) + 0.8, 3.0), layout="constrained")
    panels = figure.subplots(1, len(models), sharey=True, squeeze=False)[0]
    for axes, model in zip(panels, models, strict=True):
        rows = taps[taps["model"] == model].reset_index(drop=True)
        for name, color, shift in (("mean", LINES[0], -0.08), ("control", GRAY, 0.14)):
            x = np.arange(len(rows)) + shift
            for kind, width in (("units", 1.0), ("families", 3.0)):
                low, high = rows[f"{name}_{kind}_low"], rows[f"{name}_{kind}_high"]
                axes.vlines(x, low, high, color=color, lw=width, alpha=0.8)
            axes.plot(x, rows[name], "o", color=color, ms=5, label=NAMES[name])
        axes.axhline(0, color="#999999", lw=0.7, zorder=0)
        axes.set_xticks(range(len(rows)), rows["tap"], rotation=30, ha="right")
        axes.set_xlim(-0.5, len(rows) - 0.5)
        axes.set_title(model, fontsize=9)
        bare(axes).tick_params(labelsize=7)
    panels[0].set_ylabel("texture modulation index", fontsize=8)
    panels[0].legend(fontsize=7, frameon=False)
    return figure


def modulation_by_family(families: pd.DataFrame) -> Figure:
    """Mean index of each family at each tap, a panel a model; a line is a family."""
    models = list(dict.fromkeys(families["model"]))
    figure = Figure(figsize=(2.6 * len(models) + 1.6, 3.0), layout="constrained")
    panels = figure.subplots(1, len(models), sharey=True, squeeze=False)[0]
    names = list(dict.fromkeys(families["family"]))
    for axes, model in zip(panels, models, strict=True):
        rows = families[families["model"] == model]
        taps = list(dict.fromkeys(rows["tap"]))
        for i, name in enumerate(names):
            line = rows[rows["family"] == name].set_index("tap").reindex(taps)["index"]
            axes.plot(range(len(taps)), line, "o-", ms=3, lw=1, color=_pick_color(i), label=name)
        axes.axhline(0, color="#999999", lw=0.7, zorder=0)
        axes.set_xticks(range(len(taps)), taps, rotation=30, ha="right")
        axes.set_title(model, fontsize=9)
        bare(axes).tick_params(labelsize=7)
    panels[0].set_ylabel("texture modulation index", fontsize=8)
    panels[-1].legend(fontsize=6, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def distributions(
    units: pd.DataFrame,
    names: list[str],
    counted: str,
    published: Mapping[str, Histogram] | None = None,
) -> Figure:
    """How properties are spread over the units of each tap of one model, a panel a property.

    Args:
        units: one row a unit, with a column `tap`.
        names: the properties.
        counted: the column that says which units count.
        published: histograms of neurons, drawn as gray bars, whose bins are then used.
    """
    columns = min(4, len(names))
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(2.3 * columns, 1.75 * rows), layout="constrained")
    taps = list(dict.fromkeys(units["tap"]))
    handles: dict[str, Artist] = {}
    for i, name in enumerate(names):
        axes = figure.add_subplot(rows, columns, i + 1)
        shown = PROPERTIES[name]
        histogram = (published or {}).get(name)
        edges = np.array(shown.edges) if histogram is None else histogram.edges
        if histogram is not None:
            shares = histogram.counts / histogram.counts.sum()
            axes.stairs(shares, edges, fill=True, color="#d0d0d0", label="neurons")
        drawn = False
        for k, tap in enumerate(taps):
            members = units[(units["tap"] == tap) & units[counted]]
            counts = binned(members[name].to_numpy(dtype=float), edges)
            if counts.sum() > 0:
                axes.stairs(counts / counts.sum(), edges, color=_pick_color(k), lw=1.2, label=tap)
                drawn = True
        if not drawn:
            axes.text(0.5, 0.5, "no unit has it", fontsize=6.5, color="#6b6b6b", ha="center",
                      va="center", transform=axes.transAxes)  # fmt: skip
        if shown.log and edges[0] > 0:
            axes.set_xscale("log")
        axes.set_xlabel(shown.label, fontsize=6.5)
        bare(axes).tick_params(labelsize=6)
        handles |= dict(zip(*axes.get_legend_handles_labels()[::-1], strict=True))
    if handles:  # no panel alone has all of them where a property is not defined for a tap
        figure.legend(
            handles.values(), handles, fontsize=6, frameon=False, ncols=4,
            loc="outside upper left",
        )  # fmt: skip
    return figure


def example_textures(images: np.ndarray, families: list[str], most: int = 15) -> Figure:
    """A texture of each family above its spectrally matched noise.

    Args:
        images: (types, n_families, side, side), contrast around 0.
        families: their names.
        most: families shown at most.
    """
    n = min(len(families), most)
    figure = Figure(figsize=(1.15 * n + 0.2, 2.6), layout="constrained")
    panels = figure.subplots(2, n, squeeze=False)
    for row, kind in enumerate(("texture", "noise")):
        for k in range(n):
            axes = panels[row, k]
            axes.imshow(images[row, k], cmap="gray", vmin=-0.6, vmax=0.6)
            axes.set_xticks([])
            axes.set_yticks([])
            if row == 0:
                axes.set_title(families[k], fontsize=7)
        panels[row, 0].set_ylabel(kind, fontsize=7)
    return figure


def _pick_color(i: int) -> str:
    return LINES[i % len(LINES)]
