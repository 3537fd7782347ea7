"""Figures of filters and their tuning, each from arrays and tables that were computed elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.projections.polar import PolarAxes
from matplotlib.ticker import MaxNLocator

from striate.core.errors import InputError
from striate.report.figures.common import FURTHER, bare

BLUE, GRAY, RED = "#0072b2", "#6b6b6b", "#d55e00"
LINES = (BLUE, "#e69f00", "#009e73", RED, *FURTHER)


def filter_grid(
    kernels: np.ndarray,
    order: Sequence[int] | np.ndarray | None = None,
    labels: Sequence[str] | None = None,
    columns: int = 16,
) -> Figure:
    """Draw the kernels of a first stage, each scaled by its own largest absolute value.

    Args:
        kernels: (C, channels, k, k) or (C, k, k); three channels are shown in color, where gray
            is 0.
        order: kernels to show, in this order, such as sorted by orientation or by R2.
        labels: a short text under each shown kernel, in the order shown.
        columns: kernels a row.
    """
    kernels = np.asarray(kernels, dtype=float)
    kernels = kernels[:, None] if kernels.ndim == 3 else kernels
    if kernels.ndim != 4 or kernels.shape[1] not in (1, 3):
        raise InputError(f"kernels must be (C, 1 or 3, k, k) or (C, k, k), found {kernels.shape}.")
    shown = np.arange(len(kernels)) if order is None else np.asarray(order, dtype=int)
    if labels is not None and len(labels) != len(shown):
        raise InputError(f"{len(labels)} labels for {len(shown)} kernels.")
    columns = max(1, min(columns, len(shown)))
    rows = max(1, -(-len(shown) // columns))
    each = 0.52 if labels is None else 0.68
    figure = Figure(figsize=(0.52 * columns, each * rows), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.015, h_pad=0.015, wspace=0.02, hspace=0.02)  # type: ignore[union-attr, call-arg]
    for i, unit in enumerate(shown):
        axes = _strip_axes(figure.add_subplot(rows, columns, i + 1))
        axes.imshow(own_scale(kernels[unit]), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        if labels is not None:
            axes.set_xlabel(labels[i], fontsize=5.5, labelpad=1)
    return figure


def own_scale(kernel: np.ndarray) -> np.ndarray:
    """Map a kernel (channels, k, k) to 0..1 for display, 0 to middle gray; (k, k) or (k, k, 3)."""
    top = float(np.nanmax(np.abs(kernel), initial=0.0))
    shown = np.nan_to_num(kernel / (2 * top) if top > 0 else 0 * kernel) + 0.5
    return shown[0] if len(shown) == 1 else np.moveaxis(shown, 0, -1)


def preferences(
    orientation: np.ndarray,
    frequency: np.ndarray,
    per_degree: bool = True,
    weights: np.ndarray | None = None,
) -> Figure:
    """Show how preferred orientations (0 to 180 degrees) and spatial frequencies are spread.

    Args:
        orientation: (n_units,), degrees of the bars, anticlockwise from horizontal; NaN left out.
        frequency: (n_units,), above 0; NaN left out.
        per_degree: frequencies are in cycles per degree, otherwise per pixel.
        weights: (n_units,), such as 1 - circular variance, to weigh units; default all alike.
    """
    angles, f = np.asarray(orientation, float), np.asarray(frequency, float)
    figure = Figure(figsize=(7.6, 2.9), layout="constrained")
    polar = figure.add_subplot(1, 3, 1, projection="polar")
    assert isinstance(polar, PolarAxes)
    oriented = np.isfinite(angles)
    share = None if weights is None else np.asarray(weights, float)[oriented]
    width = 180 / 12
    bins = np.rint(angles[oriented] / width).astype(int) % 12
    counts = np.bincount(bins, weights=share, minlength=12)
    # the bin of horizontal bars lies half at 0 and half at 180 degrees
    middles = np.deg2rad([width / 4, *width * np.arange(1, 12), 180 - width / 4])
    widths = np.deg2rad([width / 2, *[width] * 11, width / 2])
    polar.bar(middles, np.append(counts, counts[0]), widths, color=BLUE, ec="white", lw=0.8)
    polar.set_thetalim(0, np.pi)
    polar.set_thetagrids([0, 45, 90, 135, 180], fontsize=8)
    polar.tick_params(axis="y", labelsize=7)
    polar.yaxis.set_major_locator(MaxNLocator(3, integer=weights is None))
    polar.set_title(f"preferred orientation (n = {int(oriented.sum())})", fontsize=8.5)
    axes = bare(figure.add_subplot(1, 3, 2))
    positive = f[np.isfinite(f) & (f > 0)]
    unit = "cycles / degree" if per_degree else "cycles / pixel"
    if positive.size:
        low = np.floor(np.log2(positive.min()) * 2) / 2
        high = np.ceil(np.log2(positive.max()) * 2) / 2
        edges = 2 ** np.arange(low, max(high, low + 0.5) + 0.25, 0.5)
        axes.hist(positive, bins=edges.tolist(), color=BLUE, alpha=0.8)
        _scale_log2(axes, edges)
    axes.set_xlabel(f"preferred frequency ({unit})", fontsize=9)
    axes.set_ylabel("units", fontsize=9)
    axes = bare(figure.add_subplot(1, 3, 3))
    both = oriented & np.isfinite(f) & (f > 0)
    axes.scatter(angles[both], f[both], s=10, color=BLUE, alpha=0.7, linewidths=0)
    axes.set_xlim(-5, 185)
    axes.set_xticks([0, 45, 90, 135, 180])
    if both.any():
        axes.set_yscale("log", base=2)
        axes.yaxis.set_major_formatter("{x:.3g}")
    axes.set_xlabel("preferred orientation (degrees)", fontsize=9)
    axes.set_ylabel(unit, fontsize=9)
    return figure


def fit_histogram(r2: Mapping[str, np.ndarray], threshold: float = 0.7) -> Figure:
    """Histogram of the R2 of Gabor fits by name, with the line above which a unit counts.

    Units without a fit (NaN) are counted in the legend as below the line.
    """
    figure = Figure(figsize=(4.4, 2.8), layout="constrained")
    axes = bare(figure.add_subplot())
    edges = np.linspace(0, 1, 21).tolist()
    for color, (name, values) in zip(_pick_colors(len(r2)), r2.items(), strict=True):
        values = np.asarray(values, dtype=float)
        above = int((values > threshold).sum())
        share = above / len(values) if len(values) else float("nan")
        text = f"{name}: {share:.0%} of {len(values)} above"
        fitted = values[np.isfinite(values)].clip(0, 1)
        axes.hist(fitted, bins=edges, color=color, alpha=0.5, label=text)
    axes.axvline(threshold, color="black", lw=0.8, ls="--")
    axes.set_xlim(0, 1)
    axes.set_xlabel("R² of the Gabor fit", fontsize=9)
    axes.set_ylabel("units", fontsize=9)
    axes.legend(fontsize=7.5, frameon=False, loc="upper left")
    return figure


def pooling_panels(
    plane: np.ndarray,
    spatial: np.ndarray,
    orientations: np.ndarray,
    frequencies: np.ndarray,
    units: Sequence[int] | np.ndarray | None = None,
    columns: int = 6,
) -> Figure:
    """Show for second-stage units what they pool: by preferred orientation and frequency, by place.

    Args:
        plane: (C2, n_frequencies, n_orientations), share or enrichment; NaN is left white.
        spatial: (C2, k, k), share of each place.
        orientations: (n_orientations,), middles of the bins in degrees.
        frequencies: (n_frequencies + 1,), edges of the bins.
        units: second-stage units to show; default the first 24.
        columns: units a row.
    """
    shown = np.arange(min(24, len(plane))) if units is None else np.asarray(units, dtype=int)
    columns = max(1, min(columns, len(shown)))
    rows = max(1, -(-len(shown) // columns))
    figure = Figure(figsize=(1.75 * columns + 0.5, 1.05 * rows + 0.5), layout="constrained")
    grid = figure.add_gridspec(rows, 2 * columns, width_ratios=[1.5, 1] * columns)
    for i, unit in enumerate(shown):
        row, column = divmod(i, columns)
        axes = figure.add_subplot(grid[row, 2 * column])
        top = float(np.nanmax(plane[unit], initial=0.0)) or 1.0
        axes.imshow(
            plane[unit], vmin=0, vmax=top, cmap="viridis", aspect="auto", origin="lower",
            interpolation="nearest",
        )  # fmt: skip
        axes.set_title(f"unit {unit}", fontsize=6.5, pad=2)
        axes.tick_params(labelsize=6, length=2, pad=1)
        ticks = [0, len(orientations) // 2]
        axes.set_xticks(ticks, [f"{orientations[t]:.0f}°" for t in ticks])
        last = len(frequencies) - 1
        axes.set_yticks(
            [-0.5, last - 0.5],
            [f"{frequencies[0]:.2g}", f"{frequencies[-1]:.2g}"] if column == 0 else ["", ""],
        )
        place = _strip_axes(figure.add_subplot(grid[row, 2 * column + 1]))
        place.imshow(spatial[unit], vmin=0, cmap="gray", interpolation="nearest")
    figure.supxlabel("preferred orientation of the pooled units, and where they lie", fontsize=8)
    figure.supylabel("their preferred frequency", fontsize=8)
    return figure


def pairs_gallery(pairs: Mapping[str, np.ndarray], columns: int = 8) -> Figure:
    """Show pairs of views by stage: a row of first views above one of second views.

    Args:
        pairs: uint8 (n, 2, H, W, 3) by the stage's name; the first `columns` pairs are shown.
        columns: pairs a stage.
    """
    for name, views in pairs.items():
        if views.dtype != np.uint8 or views.ndim != 5 or views.shape[1] != 2:
            raise InputError(
                f"pairs of {name} must be uint8 (n, 2, H, W, 3), found {views.dtype} {views.shape}."
            )
    figure = Figure(figsize=(0.8 * columns + 0.5, 1.75 * len(pairs)), layout="constrained")
    for part, (name, views) in zip(
        np.ravel(figure.subfigures(len(pairs), 1, squeeze=False)), pairs.items(), strict=True
    ):
        part.suptitle(f"{name} ({views.shape[2]} × {views.shape[3]} pixels)", fontsize=8)
        grid = part.subplots(2, columns, squeeze=False)
        for axes in grid.flat:
            _strip_axes(axes).set_visible(False)
        for i, pair in enumerate(views[:columns]):
            for axes, view in zip(grid[:, i], pair, strict=True):
                axes.set_visible(True)
                axes.imshow(view, interpolation="nearest")
    return figure


def progress_curves(
    panels: Mapping[str, Mapping[str, Sequence[float] | np.ndarray | pd.Series]],
    x: Sequence[float] | np.ndarray | None = None,
    xlabel: str = "step",
) -> Figure:
    """Draw series such as the loss and the rank of each stage, one panel a quantity.

    Args:
        panels: by the quantity's name, a series (n_steps,) by the line's name; NaN leaves a gap
            bridged, as where a quantity is only measured now and then.
        x: (n_steps,), default 1 to n_steps of each series.
        xlabel: what `x` counts.
    """
    names = list(dict.fromkeys(name for lines in panels.values() for name in lines))
    color = dict(zip(names, _pick_colors(len(names)), strict=True))
    columns = max(1, min(3, len(panels)))
    rows = max(1, -(-len(panels) // columns))
    figure = Figure(figsize=(2.9 * columns, 2.3 * rows), layout="constrained")
    for i, (quantity, lines) in enumerate(panels.items()):
        axes = bare(figure.add_subplot(rows, columns, i + 1))
        for name, series in lines.items():
            y = np.asarray(series, dtype=float)
            at = np.arange(1, len(y) + 1) if x is None else np.asarray(x, dtype=float)
            if len(at) != len(y):
                raise InputError(f"{quantity}, {name}: {len(y)} values for {len(at)} steps.")
            measured = np.isfinite(y)
            mark = "o" if measured.sum() == 1 else None
            axes.plot(
                at[measured], y[measured], color=color[name], lw=1, alpha=0.85, marker=mark, ms=3,
                label=name,
            )  # fmt: skip
        axes.set_xlabel(xlabel, fontsize=8)
        axes.set_ylabel(quantity, fontsize=9)
        if i == 0 and len(names) > 1:
            axes.legend(fontsize=7.5, frameon=False)
    return figure


def _pick_colors(n: int) -> list[str]:
    return [LINES[i % len(LINES)] for i in range(n)]


def _strip_axes(axes: Axes) -> Axes:
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
    return axes


def _scale_log2(axes: Axes, edges: np.ndarray) -> None:
    axes.set_xscale("log", base=2)
    axes.set_xlim(edges[0], edges[-1])
    axes.xaxis.set_major_formatter("{x:.3g}")
