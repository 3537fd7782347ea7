"""Scores of one kind of generalization: by ROI, by subject, of units, of taps, with controls."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from striate.evaluate.tuned.summary import ALPHA, mean_tap_scores, summarize_null
from striate.report.figures.common import label, place, roi_bars, tap_heat, unit_scatter
from striate.report.html.page import Picture, Table, make_picture, make_table


@dataclass(frozen=True)
class Scores:
    """What is shown of one kind of generalization.

    Attributes:
        kind: such as `new images`.
        methods: a row a ROI, a column a model after ROI, subjects and units; cells are `Gain` or
            None.
        bars: mean r by ROI.
        subjects: a row a subject, ROI and model.
        scatter: units, tuned against untuned, where there are both.
        heat: scores of taps by ROI, where there are any.
        controls: scores with shuffled stimuli, where there are any.
    """

    kind: str
    methods: Table
    bars: Picture
    subjects: Table
    scatter: Picture | None
    heat: Picture | None
    controls: Table | None


@dataclass(frozen=True)
class Gain:
    """A model in a ROI, in words; '' where there is nothing to say.

    Attributes:
        r: mean over units and subjects.
        best: whether that is the largest of the tuned models.
        delta: less the untuned one, with a star where it is sure.
        kind: `good` or `bad` where the interval of `delta` leaves out 0.
        interval: of `delta`.
        share: of units improved, with its interval.
    """

    r: str
    best: bool = False
    delta: str = ""
    kind: str = ""
    interval: str = ""
    share: str = ""


def describe_scores(
    kind: str,
    group: pd.DataFrame,
    rois: pd.DataFrame,
    scores: pd.DataFrame,
    taps: pd.DataFrame,
    null: pd.DataFrame,
    *,
    simulated: bool,
) -> Scores:
    """Tables and figures of one kind of generalization; the tables given hold nothing else."""
    scatter, heat = unit_scatter(scores), tap_heat(mean_tap_scores(taps))
    bars = roi_bars(group, rois)
    about_units = "r of each unit, tuned against untuned"
    return Scores(
        kind=kind,
        methods=_tabulate_methods(group),
        bars=make_picture(bars, f"Mean r by ROI, {kind}", simulated),
        subjects=_tabulate_subjects(rois),
        scatter=make_picture(scatter, about_units, simulated) if scatter else None,
        heat=make_picture(heat, "Score of each tap by ROI", simulated) if heat else None,
        controls=_tabulate_controls(null),
    )


def write_share(share: float, low: float, high: float) -> str:
    """A share of units improved, with its interval where it has one."""
    return f"{share:.0%}" if pd.isna(low) else f"{share:.0%} [{low:.0%}, {high:.0%}]"


def write_intervals(data: pd.DataFrame, name: str) -> list[str]:
    """The 95 % interval of a column in each row; runs of earlier versions may have none."""
    if f"{name}_low" not in data:
        return ["–"] * len(data)
    pairs = zip(data[f"{name}_low"], data[f"{name}_high"], strict=True)
    return ["–" if pd.isna(low) else f"[{low:.3f}, {high:.3f}]" for low, high in pairs]


def write_places(data: pd.DataFrame) -> list[str]:
    """The ROI of each row, for people."""
    return [place(h, r) for h, r in zip(data["hemisphere"], data["roi"], strict=True)]


def _tabulate_methods(group: pd.DataFrame) -> Table:
    models = list(dict.fromkeys(group["model"]))
    rows = []
    for (hemisphere, roi), cells in group.groupby(["hemisphere", "roi"], sort=False):
        by_model = {str(cell["model"]): cell for _, cell in cells.iterrows()}
        tuned = {m: c["r"] for m, c in by_model.items() if m not in ("untuned", "random")}
        best = max(tuned, key=lambda m: tuned[m]) if len(tuned) > 1 else ""
        first = cells.iloc[0]
        rows.append(
            [
                place(str(hemisphere), str(roi)),
                int(first["n_subjects"]),
                int(first["n_units"]),
                *(
                    _describe_gain(by_model[m], best=m == best) if m in by_model else None
                    for m in models
                ),
            ]
        )
    return Table(["ROI", "subjects", "units", *map(label, models)], rows)


def _describe_gain(row: pd.Series, *, best: bool) -> Gain:
    r, share = f"{row['r']:.3f}", row["share_improved"]
    if pd.isna(row["delta"]):
        return Gain(r, best)
    low, high = row["delta_low"], row["delta_high"]
    limits = (row.get(f"share_improved_{side}", float("nan")) for side in ("low", "high"))
    return Gain(
        r,
        best,
        delta=f"{row['delta']:+.4f}{'*' if row['q'] < ALPHA else ''}",
        kind="good" if low > 0 else "bad" if high < 0 else "",
        interval="" if pd.isna(low) else f"[{low:+.3f}, {high:+.3f}]",
        share="" if pd.isna(share) else write_share(share, *limits),
    )


def _tabulate_subjects(rois: pd.DataFrame) -> Table:
    columns = {
        "subject": rois["subject"],
        "ROI": write_places(rois),
        "model": [label(m) for m in rois["model"]],
        "tap": rois["tap"],
        "units": rois["n_units"],
        "stimuli": rois["n_stimuli"],
        "groups": rois["n_groups"] if "n_groups" in rois else rois["n_stimuli"],
        "r": rois["r"],
        "95 %": write_intervals(rois, "r"),
        "median r": rois["r_median"],
        "r / ceiling": rois["r_normalized"],
    }
    if "share_explained" in rois:  # runs of earlier versions have none
        columns["of explainable variance"] = rois["share_explained"]
    columns |= {
        "gain": rois["delta"],
        "gain 95 %": write_intervals(rois, "delta"),
        "improved": rois["share_improved"],
        "improved 95 %": write_intervals(rois, "share_improved"),
        "q": rois["q"],
    }
    return make_table(pd.DataFrame(columns), names=4)


def _tabulate_controls(null: pd.DataFrame) -> Table | None:
    summary = summarize_null(null)
    if summary.empty:
        return None
    summary = summary.assign(model=[label(str(m)) for m in summary["model"]])
    heads = {
        "model": "model",
        "r": "mean r",
        "null_mean": "mean r, stimuli shuffled",
        "null_95": "its 95th percentile",
        "largest_p": "largest p of a target",
        "targets": "targets",
    }
    return make_table(summary[list(heads)].rename(columns=heads))
