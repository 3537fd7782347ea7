"""The two standard figures of a behavioral comparison, from its tables alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from striate.report.figures.common import colors, label

HUMANS = "humans"
RED = "#b2182b"
"""Humans, in every figure."""


def shown_as(groups: Mapping[str, str | None]) -> dict[str, list[str]]:
    """What is drawn: a group of models as one, every other model by itself.

    >>> shown_as({"untuned": None, "tuned/1": "tuned", "tuned/2": "tuned"})
    {'untuned': ['untuned'], 'tuned': ['tuned/1', 'tuned/2']}
    """
    out: dict[str, list[str]] = {}
    for model, group in groups.items():
        out.setdefault(group or model, []).append(model)
    return out


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
    value = categories.set_index(["observer", "category"])["value"]
    mean = overall.set_index("observer")["value"]
    figure = Figure(figsize=(7.4, 0.9 + 0.31 * len(order)), layout="constrained")
    axes = figure.add_subplot()
    rows = np.arange(len(order))
    axes.hlines(rows, 0, 1, color="#e6e6e6", lw=0.8, zorder=0)
    own = humans[humans["category"].isin(order)]
    at = [order.index(c) for c in own["category"]]
    axes.scatter(own["shape_bias"], at, s=9, color=RED, alpha=0.25, linewidths=0)
    drawn = {HUMANS: [HUMANS], **shown_as(groups)}
    color = {HUMANS: RED, **colors(n for n in drawn if n != HUMANS)}
    places = np.linspace(-0.2, 0.2, len(drawn))
    for (name, models), shift in zip(drawn.items(), places, strict=True):
        known = [m for m in models if m in mean.index and np.isfinite(mean[m])]
        if not known:
            continue
        points = np.array([[value.get((m, c), np.nan) for c in order] for m in known])
        middle = [_mean(points[:, i]) for i in range(len(order))]
        axes.scatter(middle, rows + shift, s=26, marker="o" if name == HUMANS else "D",
                     color=color[name], label=label(name), zorder=3, linewidths=0)  # fmt: skip
        if len(known) > 1:
            axes.scatter(points.ravel(), np.tile(rows + shift, len(known)), s=5,
                         color=color[name], alpha=0.4, linewidths=0)  # fmt: skip
        axes.axvline(float(mean[known].mean()), color=color[name], lw=1.3, alpha=0.8, zorder=1)
    axes.set_yticks(rows, order, fontsize=8)
    axes.set_ylim(len(order) - 0.5, -0.5)
    axes.set_xlim(1.01, -0.01)
    axes.set_xlabel("shape bias: shape among shape and texture decisions", fontsize=9)
    above = axes.secondary_xaxis("top", functions=(_rest, _rest))
    above.set_xlabel("1 - shape bias", fontsize=9)
    above.tick_params(labelsize=8)
    axes.tick_params(labelsize=8)
    axes.spines[["right"]].set_visible(False)
    axes.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def _rest(share: Any) -> Any:
    return 1 - share


def _mean(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else float("nan")


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
        own = benchmark[benchmark["experiment"] == experiment]
        dots = humans[humans["experiment"] == experiment]
        axes.scatter(dots["accuracy"], dots["error_consistency"], s=10, color=RED, alpha=0.4,
                     linewidths=0, label="each human")  # fmt: skip
        _point(axes, own, [HUMANS], RED, "humans with each other", "o")
        for name, models in drawn.items():
            _point(axes, own, models, color[name], label(name), "D")
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


def _point(
    axes: Axes, own: pd.DataFrame, models: Sequence[str], color: str, name: str, mark: str
) -> None:
    """One observer with its intervals, or the mean of a group with its models as dots."""
    wide = own[own["observer"].isin(models)].pivot(
        index="observer", columns="measure", values=["value", "low", "high"]
    )
    needed = [("value", "accuracy"), ("value", "error_consistency")]
    if wide.empty or wide[needed].isna().any().any():
        return
    x, y = (wide[column].to_numpy(dtype=float) for column in needed)
    if len(wide) > 1:
        axes.scatter(x, y, s=8, color=color, alpha=0.5, linewidths=0)
        axes.plot(x.mean(), y.mean(), mark, ms=6, color=color, label=name, lw=0)
        return
    reach = []
    for at, (_, measure) in zip((x, y), needed, strict=True):
        low, high = (wide[side, measure].to_numpy(dtype=float) for side in ("low", "high"))
        reach.append(np.clip([at - low, high - at], 0, None))
    axes.errorbar(x, y, xerr=reach[0], yerr=reach[1], fmt=mark, ms=6, lw=0.9, color=color,
                  label=name)  # fmt: skip
