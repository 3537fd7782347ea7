"""The two standard figures of a behavioral comparison, from its tables alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from striate.evaluate.behavior.config import HUMANS
from striate.evaluate.behavior.summary import mean_over_groups, shown_as
from striate.report.figures.common import colors, label

RED = "#b2182b"
"""Humans, in every figure."""


def shape_bias_plot(
    categories: pd.DataFrame,
    overall: pd.DataFrame,
    humans: pd.DataFrame,
    groups: Mapping[str, str | None],
) -> Figure | None:
    """Shape bias of each category and observer, and over all categories as lines.

    Args:
        categories: `observer`, `category`, `value` of the measure shape bias.
        overall: `observer`, `value` over all images.
        humans: `observer`, `category`, `shape_bias` of each human.
        groups: of the models that are drawn, in order; means over a group, its models as dots.
    """
    order = sorted(set(categories["category"]))
    if not order:
        return None
    overall = overall[np.isfinite(overall["value"])]
    categories = categories[categories["observer"].isin(overall["observer"])]
    shown = {HUMANS: HUMANS, **groups}
    line = mean_over_groups(overall, shown).set_index("shown")["value"]
    means = mean_over_groups(categories, shown, ["category"])
    mark = means.set_index(["shown", "category"])["value"]
    value = categories.set_index(["observer", "category"])["value"]
    figure = Figure(figsize=(7.4, 0.9 + 0.31 * len(order)), layout="constrained")
    axes = figure.add_subplot()
    rows = np.arange(len(order))
    axes.hlines(rows, 0, 1, color="#e6e6e6", lw=0.8, zorder=0)
    dots = humans[humans["category"].isin(order)]
    at = [order.index(c) for c in dots["category"]]
    axes.scatter(dots["shape_bias"], at, s=9, color=RED, alpha=0.25, linewidths=0)
    drawn = shown_as(shown)
    color = {HUMANS: RED, **colors(n for n in drawn if n != HUMANS)}
    places = np.linspace(-0.2, 0.2, len(drawn))
    for (name, models), shift in zip(drawn.items(), places, strict=True):
        if name not in line.index:
            continue
        axes.scatter([mark.get((name, c), np.nan) for c in order], rows + shift, s=26,
                     marker="o" if name == HUMANS else "D", color=color[name], label=label(name),
                     zorder=3, linewidths=0)  # fmt: skip
        members = [m for m in models if m in set(overall["observer"])]
        if len(members) > 1:
            points = np.array([[value.get((m, c), np.nan) for c in order] for m in members])
            axes.scatter(points.ravel(), np.tile(rows + shift, len(members)), s=5,
                         color=color[name], alpha=0.4, linewidths=0)  # fmt: skip
        axes.axvline(line[name], color=color[name], lw=1.3, alpha=0.8, zorder=1)
    axes.set_yticks(rows, order, fontsize=8)
    axes.set_ylim(len(order) - 0.5, -0.5)
    axes.set_xlim(1.01, -0.01)
    axes.set_xlabel("shape bias: shape among shape and texture decisions", fontsize=9)
    above = axes.secondary_xaxis("top", functions=(_subtract_from_1, _subtract_from_1))
    above.set_xlabel("1 - shape bias", fontsize=9)
    above.tick_params(labelsize=8)
    axes.tick_params(labelsize=8)
    axes.spines[["right"]].set_visible(False)
    axes.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def _subtract_from_1(share: Any) -> Any:
    return 1 - share


def consistency_plot(
    benchmark: pd.DataFrame,
    humans: pd.DataFrame,
    groups: Mapping[str, str | None],
    experiments: Sequence[str],
) -> Figure | None:
    """Error consistency with humans against accuracy, one panel an experiment.

    Args:
        benchmark: `experiment`, `observer`, `measure`, `value`, `low`, `high`.
        humans: `experiment`, `observer`, `accuracy`, `error_consistency` of each human.
        groups: of the models that are drawn, in order; means over a group, its models as dots.
        experiments: one panel each.
    """
    if not experiments:
        return None
    columns = min(3, len(experiments))
    rows = -(-len(experiments) // columns)
    figure = Figure(figsize=(2.9 * columns + 1.5, 3.0 * rows), layout="constrained")
    drawn = shown_as(groups)
    color = colors(drawn)
    panels = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
    for axes in panels[len(experiments) :]:
        axes.set_visible(False)
    for axes, experiment in zip(panels, experiments, strict=False):
        measured = benchmark[benchmark["experiment"] == experiment]
        dots = humans[humans["experiment"] == experiment]
        axes.scatter(dots["accuracy"], dots["error_consistency"], s=10, color=RED, alpha=0.4,
                     linewidths=0, label="each human")  # fmt: skip
        _draw_point(axes, measured, HUMANS, [HUMANS], RED, "humans with each other", "o")
        for name, models in drawn.items():
            _draw_point(axes, measured, name, models, color[name], label(name), "D")
        axes.axhline(0, color="black", lw=0.6)
        axes.set_title(experiment, fontsize=9)
        axes.set_xlabel("accuracy", fontsize=9)
        axes.tick_params(labelsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    for axes in panels[::columns]:
        axes.set_ylabel("error consistency (kappa)", fontsize=9)
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, fontsize=8, frameon=False, loc="outside right center")
    return figure


def _draw_point(
    axes: Axes,
    measured: pd.DataFrame,
    shown: str,
    models: Sequence[str],
    color: str,
    words: str,
    mark: str,
) -> None:
    """One observer with its intervals, or the mean of a group with its models as dots."""
    wide = measured[measured["observer"].isin(models)].pivot(
        index="observer", columns="measure", values=["value", "low", "high"]
    )
    needed = [("value", "accuracy"), ("value", "error_consistency")]
    if wide.empty or wide[needed].isna().any().any():
        return
    x, y = (wide[column].to_numpy(dtype=float) for column in needed)
    if len(wide) > 1:
        groups = dict.fromkeys(models, shown)
        mean = mean_over_groups(measured, groups, ["measure"]).set_index("measure")["value"]
        axes.scatter(x, y, s=8, color=color, alpha=0.5, linewidths=0)
        axes.plot(mean["accuracy"], mean["error_consistency"], mark, ms=6, color=color,
                  label=words, lw=0)  # fmt: skip
        return
    reach = []
    for at, (_, measure) in zip((x, y), needed, strict=True):
        low, high = (wide[side, measure].to_numpy(dtype=float) for side in ("low", "high"))
        reach.append(np.clip([at - low, high - at], 0, None))
    axes.errorbar(x, y, xerr=reach[0], yerr=reach[1], fmt=mark, ms=6, lw=0.9, color=color,
                  label=words)  # fmt: skip
