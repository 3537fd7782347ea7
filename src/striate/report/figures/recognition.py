"""Figures of generalization: accuracy over severity, from tables alone."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from striate.data.images.distortions import UNITS
from striate.report.figures.common import FURTHER, bare, label

COLORS = ("#0072b2", "#e69f00", "#009e73", "#d55e00", FURTHER[0], "#6b6b6b", *FURTHER[1:])
COLUMNS = 4


def severity_curves(tables: Mapping[str, pd.DataFrame], chance: float) -> Figure | None:
    """Draw accuracy over the severity of each distortion, with intervals.

    Args:
        tables: by name of a model: rows with experiment, severity, level, excluded, accuracy, low,
            high; clean images in rows of the experiment `clean`.
        chance: drawn as a line.

    Returns:
        None where nothing but clean images was tested. Conditions that the benchmark leaves out
        have open marks.
    """
    every = pd.concat(tables.values(), ignore_index=True)
    experiments = [e for e in dict.fromkeys(every["experiment"]) if e != "clean"]
    if not experiments:
        return None
    columns = min(COLUMNS, len(experiments))
    rows = -(-len(experiments) // columns)
    figure = Figure(figsize=(2.7 * columns, 2.5 * rows + 0.5), layout="constrained")
    grid = figure.subplots(rows, columns, sharey=True, squeeze=False)
    for axes, experiment in zip(grid.flat, experiments, strict=False):
        bare(axes).set_title(experiment, fontsize=9)
        axes.axhline(chance, color="#b9b9b9", lw=0.8, ls=":")
        for i, (name, table) in enumerate(tables.items()):
            curve = table[table["experiment"] == experiment].sort_values("level")
            level, color = curve["level"], COLORS[i % len(COLORS)]
            axes.plot(level, curve["accuracy"], color=color, lw=1.2, label=label(name))
            axes.fill_between(level, curve["low"], curve["high"], color=color, alpha=0.25, lw=0)
            faces = np.where(curve["excluded"].to_numpy(bool), "white", color)
            axes.scatter(level, curve["accuracy"], s=10, c=faces, edgecolors=color, lw=0.8)
        ticks = every[every["experiment"] == experiment].drop_duplicates("level")
        axes.set_xticks(ticks["level"], ticks["severity"], rotation=60, fontsize=6.5)
        axes.set_xlabel(UNITS.get(experiment, "severity"), fontsize=6.5)
    for axes in grid.flat[len(experiments) :]:
        axes.set_axis_off()
    for row in grid:
        row[0].set_ylabel("accuracy", fontsize=8)
    if len(tables) > 1:
        handles, names = grid.flat[0].get_legend_handles_labels()
        figure.legend(
            handles, names, loc="outside lower center", ncols=4, fontsize=8, frameon=False
        )
    return figure


def learning_curves(metrics: pd.DataFrame, epochs: pd.DataFrame) -> Figure:
    """Draw loss and accuracy of the training batches over steps, and their means over epochs.

    Args:
        metrics: one row a step: `step`, `loss`, `accuracy`.
        epochs: the same of each epoch, at its last step.
    """
    figure = Figure(figsize=(7, 2.4), layout="constrained")
    for axes, column in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        bare(axes).plot(metrics["step"], metrics[column], color="#b9b9b9", lw=0.6)
        axes.plot(epochs["step"], epochs[column], color="#0072b2", lw=1.4, marker=".")
        axes.set_xlabel("step", fontsize=8)
        axes.set_ylabel(f"{column} while training", fontsize=8)
    return figure
