"""The page of a behavioral comparison: do models decide like humans? No science here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from striate.core.config import read_yaml
from striate.core.files import read_json, read_parquet, write_text
from striate.evaluate.behavior.config import HUMANS
from striate.evaluate.behavior.summary import mean_over_groups
from striate.report.figures import behavior as draw
from striate.report.figures.common import label
from striate.report.html.page import Picture, Table, make_picture, make_table, render
from striate.report.html.run import read_provenance

MEASURES = {
    "accuracy": "accuracy",
    "accuracy_difference": "accuracy difference",
    "observed_consistency": "observed consistency",
    "error_consistency": "error consistency",
}
BIAS = {
    "shape_bias": "shape bias",
    "shape": "shape decisions, of all images",
    "texture": "texture decisions, of all images",
    "congruent_accuracy": "accuracy where shape and texture agree",
}
TABLES = (
    "humans", "each_human", "each_human_bias", "benchmark", "means", "categories", "differences",
    "groups",
)  # fmt: skip


@dataclass(frozen=True)
class Comparison:
    """A figure and the numbers in it; no figure where nothing could be drawn."""

    figure: Picture | None
    table: Table


def build_behavior(run: Path) -> Path:
    """Write `report.html` into the folder of a behavioral comparison and return its path."""
    record = read_json(run / "behavior.json")
    data = {name: read_parquet(run / "tables" / f"{name}.parquet") for name in TABLES}
    models = [o for o in dict.fromkeys(data["means"]["observer"]) if o != HUMANS]
    groups = {m: record["models"].get(m, {}).get("group") for m in models}
    simulated = any(model["simulated"] for model in record["models"].values())
    experiments = data["humans"].iloc[:-1]
    html = render(
        "behavior.html.j2",
        title="Striate: behavior",
        trials=f"{int((experiments['observers'] * experiments['trials']).sum()):,}",
        experiments=len(experiments),
        answers=_write_bias_answers(data, groups) + _write_consistency_answers(data, groups),
        notes=record["notes"],
        bias=_compare_bias(data, groups, simulated),
        consistency=_compare_consistency(data, groups, simulated),
        group_changes=_tabulate_changes(data["groups"], "group", "models"),
        model_changes=_tabulate_changes(data["differences"], "model", "reference"),
        by_experiment=_tabulate_experiments(data["benchmark"], models),
        by_category=_tabulate_categories(data["categories"], models),
        humans=_tabulate_humans(data["humans"]),
        models=_tabulate_models(record["models"]),
        provenance=read_provenance(run, read_yaml(run / "config.yaml")),
    )
    write_text(run / "report.html", html)
    return run / "report.html"


def cell(row: Any) -> str:
    """A value with its interval, or what is missing."""
    if row is None or row["status"] != "measured":
        return "not measured" if row is None else str(row["status"])
    if pd.isna(row["value"]):
        return "–"
    return f"{row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"


def _write_bias_answers(data: dict[str, pd.DataFrame], groups: dict[str, str | None]) -> list[str]:
    bias = _select_measured(data["benchmark"], "shape_bias")
    humans = bias.loc[bias["observer"] == HUMANS, "value"]
    if humans.empty:
        return []
    lines = []
    for _, mean in mean_over_groups(bias, groups).iterrows():
        models = f" (mean of {mean['models']} models)" if mean["models"] > 1 else ""
        lines.append(
            f"{label(mean['shown'])}{models}: shape bias {mean['value']:.3f}; humans "
            f"{humans.iloc[0]:.3f}."
        )
    return lines


def _write_consistency_answers(
    data: dict[str, pd.DataFrame], groups: dict[str, str | None]
) -> list[str]:
    kappa = _select_measured(data["means"], "error_consistency")
    lines = []
    for _, mean in mean_over_groups(kappa, groups).iterrows():
        members = [m for m, group in groups.items() if (group or m) == mean["shown"]]
        first = kappa[kappa["observer"].isin(members)].iloc[0]
        humans = "not measured" if pd.isna(first["humans"]) else f"{first['humans']:.3f}"
        lines.append(
            f"{label(mean['shown'])}: error consistency with humans {mean['value']:.3f}, humans "
            f"with each other {humans} ({first['experiments']})."
        )
    return lines


def _select_measured(table: pd.DataFrame, measure: str) -> pd.DataFrame:
    return table[(table["measure"] == measure) & (table["status"] == "measured")]


def _compare_bias(
    data: dict[str, pd.DataFrame], groups: dict[str, str | None], simulated: bool
) -> Comparison | None:
    benchmark, categories = data["benchmark"], data["categories"]
    bias = benchmark[benchmark["measure"].isin(BIAS)]
    if bias.empty:
        return None
    figure = draw.shape_bias_plot(
        categories[categories["measure"] == "shape_bias"],
        bias[bias["measure"] == "shape_bias"],
        data["each_human_bias"],
        groups,
    )
    rows = []
    for observer, values in bias.groupby("observer", sort=False):
        by_measure = values.set_index("measure")
        cells = (cell(by_measure.loc[m] if m in by_measure.index else None) for m in BIAS)
        rows.append([label(str(observer)), *cells])
    picture = make_picture(figure, "shape bias by category", simulated) if figure else None
    return Comparison(picture, Table(["", *BIAS.values()], rows))


def _compare_consistency(
    data: dict[str, pd.DataFrame], groups: dict[str, str | None], simulated: bool
) -> Comparison:
    benchmark = data["benchmark"]
    measured = benchmark[(benchmark["status"] == "measured") & benchmark["observer"].isin(groups)]
    experiments = (
        list(dict.fromkeys(measured["experiment"])) or list(data["humans"]["experiment"])[:-1]
    )
    figure = draw.consistency_plot(benchmark, data["each_human"], groups, experiments)
    rows = []
    for observer, means in data["means"].groupby("observer", sort=False):
        by_measure = means.set_index("measure")
        rank, over = means["mean_rank"].iloc[0], means["n_experiments"].iloc[0]
        rows.append(
            [label(str(observer)), f"{over}" if over else "none",
             *(cell(by_measure.loc[m]) for m in MEASURES),
             "–" if pd.isna(rank) else f"{rank:.1f}"]
        )  # fmt: skip
    columns = ["mean over experiments", "experiments", *MEASURES.values(), "mean rank"]
    words = "error consistency against accuracy"
    picture = make_picture(figure, words, simulated) if figure else None
    return Comparison(picture, Table(columns, rows))


def _tabulate_changes(changes: pd.DataFrame, who: str, beside: str) -> Table | None:
    """What tuning changed, a row a model or group, experiment and measure."""
    if changes.empty:
        return None
    names = {**MEASURES, **BIAS}
    limits = zip(changes["low"], changes["high"], strict=True)
    shown = changes[[who, beside, "experiment", "measure"]].assign(
        measure=changes["measure"].map(names), change=[f"{d:+.3f}" for d in changes["delta"]]
    )
    shown["95 %"] = ["–" if pd.isna(a) else f"[{a:+.3f}, {b:+.3f}]" for a, b in limits]
    shown["p"] = changes["p"]
    return make_table(shown, names=4)


def _tabulate_experiments(benchmark: pd.DataFrame, models: list[str]) -> list[tuple[str, Table]]:
    """A table for each measure: experiments x observers."""
    tables = []
    for measure, name in MEASURES.items() if models else ():
        values = benchmark[benchmark["measure"] == measure]
        by_place = {(row["experiment"], row["observer"]): row for _, row in values.iterrows()}
        rows = [
            [e, *(cell(by_place.get((e, o))) for o in (HUMANS, *models))]
            for e in dict.fromkeys(values["experiment"])
        ]
        tables.append((name, Table(["", HUMANS, *(label(m) for m in models)], rows)))
    return tables


def _tabulate_categories(categories: pd.DataFrame, models: list[str]) -> list[tuple[str, Table]]:
    """Accuracy in each experiment that a model was measured in: categories x observers."""
    tables = []
    accuracy = categories[categories["measure"] == "accuracy"]
    for experiment in dict.fromkeys(accuracy.loc[accuracy["observer"].isin(models), "experiment"]):
        values = accuracy[accuracy["experiment"] == experiment]
        wide = values.pivot(index="category", columns="observer", values="value")
        order = [o for o in (HUMANS, *models) if o in wide.columns]
        rows = [[c, *(float(wide.loc[c, o]) for o in order)] for c in wide.index]
        tables.append((experiment, Table(["", *(label(o) for o in order)], rows)))
    return tables


def _tabulate_humans(humans: pd.DataFrame) -> Table:
    rows = []
    for _, row in humans.iterrows():
        cells = [
            "not measured" if pd.isna(row[m])
            else f"{row[m]:.4f} [{row[f'{m}_low']:.3f}, {row[f'{m}_high']:.3f}]"
            for m in MEASURES
        ]  # fmt: skip
        rows.append(
            [*(row[c] for c in ("experiment", "observers", "conditions", "trials")), *cells]
        )
    columns = ["experiment", "observers", "conditions", "images", *MEASURES.values()]
    return Table(columns, rows)


def _tabulate_models(models: dict[str, dict[str, Any]]) -> Table | None:
    rows = [
        [label(name), model["id"], model["source"], model["image_size"],
         "; ".join(model["tuned"]) or "–", model["status"]]
        for name, model in models.items()
    ]  # fmt: skip
    columns = ["model", "network", "weights", "image size", "tuned", "status"]
    return Table(columns, rows, names=6) if rows else None
