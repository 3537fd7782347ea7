"""The page of a behavioral comparison: do models decide like humans? No science here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from striate.core.files import read_json, read_table, write_text
from striate.report.figures import behavior as draw
from striate.report.figures.common import label, png
from striate.report.html.page import (
    Raw,
    bullets,
    folded,
    frame,
    image,
    page,
    paragraph,
    section,
    table,
)
from striate.report.html.run import assert_finished, provenance_section

HUMANS = "humans"
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


def is_behavior(config: dict[str, Any]) -> bool:
    """Whether the config of a run is that of `striate behave`."""
    return "humans" in config and "stimuli" in config


def build_behavior(run: Path, config: dict[str, Any]) -> Path:
    """Write `report.html` into the folder of a behavioral comparison and return its path.

    Raises:
        InputError: the run was stopped before its end.
    """
    assert_finished(run, "behavior.json")
    known = read_json(run / "behavior.json")
    data = {name: read_table(run / "tables" / f"{name}.parquet") for name in TABLES}
    models = [o for o in dict.fromkeys(data["means"]["observer"]) if o != HUMANS]
    groups = {m: known["models"].get(m, {}).get("group") for m in models}
    simulated = any(f["simulated"] for f in known["models"].values())
    parts = [
        Raw("<h1>Striate: do models decide like humans?</h1>"),
        paragraph(_subtitle(data["humans"]), "quiet"),
        _answer(data, groups),
        bullets(known["notes"], "warn") if known["notes"] else Raw(""),
        _shape_bias(data, groups, simulated),
        _consistency(data, groups, simulated),
        _differences(data),
        _experiments(data, models),
        _categories(data["categories"], models),
        _humans(data["humans"]),
        _models(known["models"]),
        provenance_section(run, config),
    ]
    write_text(run / "report.html", page("Striate: behavior", [str(p) for p in parts]))
    return run / "report.html"


def _subtitle(humans: pd.DataFrame) -> str:
    own = humans.iloc[:-1]
    trials = int((own["observers"] * own["trials"]).sum())
    return (
        f"{trials:,} trials of humans in {len(own)} experiments. Measures of Geirhos et al. 2021 "
        "(model-vs-human): accuracy over all images of an experiment; accuracy difference "
        "(squared), observed consistency and error consistency (Cohen's kappa of being right) with "
        "each human, means over conditions, then humans. Shape bias: shape decisions among those "
        "that name shape or texture. 95 % bootstrap intervals over images and humans at once."
    )


def cell(row: Any) -> str:
    """A value with its interval, or what is missing."""
    if row is None or row["status"] != "measured":
        return "not measured" if row is None else str(row["status"])
    if pd.isna(row["value"]):
        return "–"
    return f"{row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"


def _answer(data: dict[str, pd.DataFrame], groups: dict[str, str | None]) -> Raw:
    lines = []
    bias = data["benchmark"]
    bias = bias[(bias["measure"] == "shape_bias") & (bias["status"] == "measured")]
    human = bias.loc[bias["observer"] == HUMANS, "value"]
    for name, members in draw.shown_as(groups).items():
        own = bias[bias["observer"].isin(members)]
        if len(own) and len(human):
            more = f" (mean of {len(own)} models)" if len(own) > 1 else ""
            lines.append(
                f"{label(name)}{more}: shape bias {own['value'].mean():.3f}; humans "
                f"{human.iloc[0]:.3f}."
            )
    means = data["means"]
    kappa = means[(means["measure"] == "error_consistency") & (means["status"] == "measured")]
    for name, members in draw.shown_as(groups).items():
        own = kappa[kappa["observer"].isin(members)]
        if len(own):
            first = own.iloc[0]
            alone = "not measured" if pd.isna(first["humans"]) else f"{first['humans']:.3f}"
            lines.append(
                f"{label(name)}: error consistency with humans {own['value'].mean():.3f}, humans "
                f"with each other {alone} ({first['experiments']})."
            )
    return bullets(lines, "answer") if lines else Raw("")


def _shape_bias(
    data: dict[str, pd.DataFrame], groups: dict[str, str | None], simulated: bool
) -> Raw:
    benchmark, categories = data["benchmark"], data["categories"]
    own = benchmark[benchmark["measure"].isin(BIAS)]
    if own.empty:
        return section("Shape bias", paragraph("not measured: no cue-conflict experiment."))
    overall = own[own["measure"] == "shape_bias"]
    figure = draw.shape_bias_plot(
        categories[categories["measure"] == "shape_bias"], overall, data["each_human_bias"], groups
    )
    rows = []
    for observer in dict.fromkeys(own["observer"]):
        by = own[own["observer"] == observer].set_index("measure")
        rows.append([label(observer), *(cell(by.loc[m] if m in by.index else None) for m in BIAS)])
    note = (
        "Of each category of the shape; large marks are means over humans or over a group of "
        "models, small dots its members, lines the value over all images."
    )
    return section(
        "Shape bias",
        image(png(figure, simulated), "shape bias by category") if figure is not None else "",
        paragraph(note, "quiet"),
        table(["", *BIAS.values()], rows),
    )


def _consistency(
    data: dict[str, pd.DataFrame], groups: dict[str, str | None], simulated: bool
) -> Raw:
    benchmark = data["benchmark"]
    known = benchmark[(benchmark["status"] == "measured") & benchmark["observer"].isin(groups)]
    experiments = (
        list(dict.fromkeys(known["experiment"])) or list(data["humans"]["experiment"])[:-1]
    )
    figure = draw.consistency_plot(benchmark, data["each_human"], groups, experiments)
    rows = []
    for observer, own in data["means"].groupby("observer", sort=False):
        by = own.set_index("measure")
        first = own.iloc[0]
        rank = first["mean_rank"]
        over = f"{first['n_experiments']}" if first["n_experiments"] else "none"
        rows.append(
            [label(str(observer)), over, *(cell(by.loc[m]) for m in MEASURES),
             "–" if pd.isna(rank) else f"{rank:.1f}"]
        )  # fmt: skip
    columns = ["mean over experiments", "experiments", *MEASURES.values(), "mean rank"]
    note = (
        "A model's mean is over the experiments it was measured in: compare it with humans in the "
        "same ones, in the table of experiments below."
    )
    return section(
        "Consistency with humans",
        image(png(figure, simulated), "error consistency against accuracy") if figure else "",
        table(columns, rows),
        paragraph(note, "quiet"),
    )


def _differences(data: dict[str, pd.DataFrame]) -> Raw:
    names = {**MEASURES, **BIAS}
    parts: list[Any] = []
    for which, who in (("groups", "group"), ("differences", "model")):
        own = data[which]
        if own.empty:
            continue
        limits = zip(own["low"], own["high"], strict=True)
        columns = [who, "models" if which == "groups" else "reference", "experiment", "measure"]
        shown = own[columns].assign(measure=own["measure"].map(names))
        shown["change"] = [f"{d:+.3f}" for d in own["delta"]]
        shown["95 %"] = ["–" if pd.isna(a) else f"[{a:+.3f}, {b:+.3f}]" for a, b in limits]
        shown["p"] = own["p"]
        rows = frame(shown, names=4)
        if which == "groups":
            parts += [
                paragraph("Groups: mean over models, Student's t and sign flips over models."),
                rows,
            ]
        else:
            parts.append(folded("Each model less its reference, on the same resamples", rows))
    return section("What tuning changed", *parts)


def _experiments(data: dict[str, pd.DataFrame], models: list[str]) -> Raw:
    if not models:
        return Raw("")
    benchmark = data["benchmark"]
    blocks = []
    for measure, name in MEASURES.items():
        own = benchmark[benchmark["measure"] == measure]
        wide = {(row["experiment"], row["observer"]): row for _, row in own.iterrows()}
        rows = [
            [e, *(cell(wide.get((e, o))) for o in (HUMANS, *models))]
            for e in dict.fromkeys(own["experiment"])
        ]
        blocks.append(folded(name, table(["", HUMANS, *(label(m) for m in models)], rows)))
    return section("Each experiment", *blocks)


def _categories(categories: pd.DataFrame, models: list[str]) -> Raw:
    if not models:
        return Raw("")
    blocks = []
    own = categories[(categories["measure"] == "accuracy") & categories["observer"].isin(models)]
    for experiment in dict.fromkeys(own["experiment"]):
        here = categories[
            (categories["experiment"] == experiment) & (categories["measure"] == "accuracy")
        ]
        wide = here.pivot(index="category", columns="observer", values="value")
        order = [o for o in (HUMANS, *models) if o in wide.columns]
        rows = [[c, *(float(wide.loc[c, o]) for o in order)] for c in wide.index]
        blocks.append(folded(experiment, table(["", *(label(o) for o in order)], rows)))
    return section("Accuracy of each category", *blocks)


def _humans(humans: pd.DataFrame) -> Raw:
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
    note = "Counts of the last row are sums. With four or five humans, intervals are too narrow."
    return section("Humans with each other", table(columns, rows), paragraph(note, "quiet"))


def _models(models: dict[str, dict[str, Any]]) -> Raw:
    rows = [
        [label(n), f["id"], f["source"], f["image_size"], "; ".join(f["tuned"]) or "–", f["status"]]
        for n, f in models.items()
    ]
    columns = ["model", "network", "weights", "image size", "tuned", "status"]
    return section("Models", table(columns, rows, names=6)) if rows else Raw("")
