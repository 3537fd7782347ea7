"""Figures of a run, each from its tables alone. Every one says so where responses are simulated."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Okabe & Ito's colors, told apart also by readers who see few colors.
COLORS = {
    "untuned": "#6b6b6b",
    "random": "#b9b9b9",
    "contrastive": "#0072b2",
    "regression": "#e69f00",
    "pooled_contrastive": "#009e73",
    "pooled_regression": "#d55e00",
}
FURTHER = ("#cc79a7", "#56b4e9", "#8c6d31", "#7b4173")


def colors(models: Iterable[str]) -> dict[str, str]:
    """A color for each model: a fixed one for the methods, others in turn."""
    color_of: dict[str, str] = {}
    for model in models:
        others = len([m for m in color_of if m not in COLORS])
        color_of[model] = COLORS.get(model, FURTHER[others % len(FURTHER)])
    return color_of


def label(model: str) -> str:
    """A model's name for people."""
    return model.replace("_", " ")


def place(hemisphere: str, roi: str) -> str:
    """A ROI's name for people: `lh V1v`."""
    return f"{hemisphere} {roi}".strip()


def png(figure: Figure, simulated: bool = False) -> str:
    """Return a figure as a `data:` address, marked where the responses are simulated."""
    if simulated:
        figure.text(
            0.5, 0.5, "SIMULATED", fontsize=44, color="#d55e00", alpha=0.10, rotation=20,
            ha="center", va="center", zorder=0, weight="bold",
        )  # fmt: skip
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=140, bbox_inches="tight", facecolor="white")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def bare(axes: Axes) -> Axes:
    """Take the frame above and to the right from axes; return them."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
    return axes


def roi_bars(group: pd.DataFrame, rois: pd.DataFrame) -> Figure:
    """Mean r of each model by ROI: a dot a subject, a bar for the mean, 95 % intervals."""
    models = list(dict.fromkeys(group["model"]))
    places = list(dict.fromkeys(zip(group["hemisphere"], group["roi"], strict=True)))
    color = colors(models)
    figure = Figure(figsize=(max(4.5, 1.2 + len(places) * (0.35 + 0.22 * len(models))), 3.2))
    axes = bare(figure.add_subplot())
    width = 0.8 / len(models)
    for i, model in enumerate(models):
        for x, (hemisphere, roi) in enumerate(places):
            bar = _select_place(group[group["model"] == model], hemisphere, roi)
            if bar.empty:
                continue
            at = x - 0.4 + (i + 0.5) * width
            name = label(model) if x == 0 else None
            height = bar.iloc[0]["r"]
            axes.bar(at, height, width * 0.9, color=color[model], alpha=0.55, label=name)
            dots = _select_place(rois[rois["model"] == model], hemisphere, roi)
            spread = np.linspace(-0.25, 0.25, len(dots)) * width if len(dots) > 1 else [0.0]
            low = np.clip(dots["r"] - dots["r_low"], 0, None)
            high = np.clip(dots["r_high"] - dots["r"], 0, None)
            axes.errorbar(
                at + np.asarray(spread), dots["r"], yerr=[low, high], fmt="o", ms=3,
                lw=0.8, color=color[model],
            )  # fmt: skip
    axes.set_xticks(range(len(places)), [place(*p) for p in places], rotation=0)
    axes.axhline(0, color="black", lw=0.6)
    axes.set_ylabel("Pearson r, mean over units", fontsize=9)
    axes.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


def _select_place(table: pd.DataFrame, hemisphere: str, roi: str) -> pd.DataFrame:
    return table[(table["hemisphere"] == hemisphere) & (table["roi"] == roi)]


def unit_scatter(scores: pd.DataFrame) -> Figure | None:
    """Each unit's r with every other model against its r with the untuned one."""
    keys = ["subject", "hemisphere", "roi", "unit_id"]
    wide = scores.pivot(index=keys, columns="model", values="r")
    models = [m for m in dict.fromkeys(scores["model"]) if m != "untuned"]
    if "untuned" not in wide or not models:
        return None
    columns = min(3, len(models))
    rows = -(-len(models) // columns)
    figure = Figure(figsize=(2.9 * columns, 2.9 * rows), layout="constrained")
    low = float(np.nanmin(wide.to_numpy(), initial=0.0)) - 0.02
    high = float(np.nanmax(wide.to_numpy(), initial=0.1)) + 0.02
    color = colors(dict.fromkeys(scores["model"]))
    size = float(np.clip(3000 / max(len(wide), 1), 1.0, 12.0))
    for i, model in enumerate(models):
        axes = bare(figure.add_subplot(rows, columns, i + 1))
        both = wide[["untuned", model]].dropna()
        axes.plot([low, high], [low, high], color="black", lw=0.6)
        axes.scatter(
            both["untuned"], both[model], s=size, color=color[model], alpha=0.6, linewidths=0,
            rasterized=True,
        )  # fmt: skip
        above = int((both[model] > both["untuned"]).sum())
        share = above / len(both) if len(both) else float("nan")
        axes.set_title(f"{label(model)}: {share:.0%} of {len(both)} above", fontsize=8.5)
        axes.set_xlim(low, high)
        axes.set_ylim(low, high)
        axes.set_aspect("equal")
        axes.set_xlabel("r untuned", fontsize=8)
        axes.set_ylabel(f"r {label(model)}", fontsize=8)
    return figure


def tap_heat(taps: pd.DataFrame) -> Figure | None:
    """Score of each tap by ROI, one panel a model; the best is framed.

    Args:
        taps: `model`, `hemisphere`, `roi`, `tap` and `score`, a mean over subjects.
    """
    scored = taps.dropna(subset="score")
    if scored.empty:
        return None
    models = list(dict.fromkeys(scored["model"]))
    order = list(dict.fromkeys(scored["tap"]))
    places = list(dict.fromkeys(zip(scored["hemisphere"], scored["roi"], strict=True)))
    score = scored.set_index(["model", "hemisphere", "roi", "tap"])["score"]
    columns = min(3, len(models))
    rows = -(-len(models) // columns)
    figure = Figure(
        figsize=((1.6 + 0.5 * len(places)) * columns, (0.7 + 0.3 * len(order)) * rows),
        layout="constrained",
    )
    low, high = min(0.0, float(score.min())), float(score.max())
    for i, model in enumerate(models):
        axes = figure.add_subplot(rows, columns, i + 1)
        values = np.array([[score.get((model, *p, t), np.nan) for p in places] for t in order])
        shown = axes.imshow(values, vmin=low, vmax=high, aspect="auto")
        for x, column in enumerate(values.T):
            if np.isfinite(column).any():
                best = int(np.nanargmax(column))
                axes.plot(x, best, "s", ms=9, mfc="none", mec="white")
        axes.set_xticks(range(len(places)), [place(*p) for p in places], rotation=60, fontsize=7)
        axes.set_yticks(range(len(order)), order, fontsize=7)
        axes.set_title(label(model), fontsize=8.5)
    bar = figure.colorbar(shown, ax=figure.axes, shrink=0.7)
    bar.set_label("r on select", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    return figure


def ceilings(scores: pd.DataFrame) -> Figure | None:
    """How units' noise ceilings are spread, and each model's r against them."""
    limited = scores.dropna(subset=["ceiling", "r"])
    if limited.empty:
        return None
    figure = Figure(figsize=(7.2, 3.0), layout="constrained")
    axes = bare(figure.add_subplot(1, 2, 1))
    units = limited.drop_duplicates(["subject", "hemisphere", "roi", "unit_id"])
    axes.hist(units["ceiling"], bins=np.linspace(0, 1, 26).tolist(), color="#6b6b6b")
    axes.set_xlabel("noise ceiling (correlation)", fontsize=9)
    axes.set_ylabel("units", fontsize=9)
    axes = bare(figure.add_subplot(1, 2, 2))
    axes.plot([0, 1], [0, 1], color="black", lw=0.6)
    color = colors(dict.fromkeys(scores["model"]))
    size = float(np.clip(3000 / len(limited), 1.0, 12.0))
    for model, points in limited.groupby("model", sort=False):
        axes.scatter(
            points["ceiling"], points["r"], s=size, alpha=0.5, linewidths=0,
            color=color[str(model)], label=label(str(model)), rasterized=True,
        )  # fmt: skip
    axes.set_xlabel("noise ceiling (correlation)", fontsize=9)
    axes.set_ylabel("r", fontsize=9)
    axes.legend(fontsize=7, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


def training_curves(curves: Mapping[str, pd.DataFrame]) -> Figure | None:
    """Loss of each epoch and the score on `select`, by method; one line a model.

    Args:
        curves: columns `epoch`, `epoch_loss` and one of `select_*`, by `METHOD/TARGET`.
    """
    if not curves:
        return None
    methods = list(dict.fromkeys(name.split("/")[0] for name in curves))
    figure = Figure(figsize=(7.6, 2.2 * len(methods)), layout="constrained")
    color = colors(methods)
    for i, method in enumerate(methods):
        left = bare(figure.add_subplot(len(methods), 2, 2 * i + 1))
        right = bare(figure.add_subplot(len(methods), 2, 2 * i + 2))
        measure = "score"
        for name, curve in curves.items():
            if name.split("/")[0] != method:
                continue
            mark = "o" if len(curve) == 1 else None
            left.plot(
                curve["epoch"], curve["epoch_loss"], color=color[method], lw=1, alpha=0.7,
                marker=mark, ms=3,
            )  # fmt: skip
            column = score_column(curve.columns)
            if column:
                measure = column.removeprefix("select_").replace("top1", "top-1 matching")
                right.plot(
                    curve["epoch"], curve[column], color=color[method], lw=1, alpha=0.7,
                    marker=mark, ms=3,
                )  # fmt: skip
        left.set_ylabel(f"{label(method)}\nloss", fontsize=9)
        right.set_ylabel(f"{measure} on select", fontsize=9)
        left.set_xlabel("epoch", fontsize=8)
        right.set_xlabel("epoch", fontsize=8)
    return figure


def score_column(columns: Sequence[str] | pd.Index) -> str | None:
    """The column of a training curve that holds a score on `select`."""
    scores = [str(c) for c in columns if str(c).startswith("select_") and c != "select_loss"]
    return scores[0] if scores else None
