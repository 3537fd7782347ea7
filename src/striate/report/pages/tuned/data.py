"""What a run tells of its data: noise ceilings, split and leaks, look-alikes, training, weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from striate.core.files import read_json, read_json_lines, read_parquet
from striate.data.splits.split import SPLIT_FILE
from striate.evaluate.common.model_records import FILE as MODELS
from striate.evaluate.tuned.summary import CeilingSummary, summarize_ceilings
from striate.report.figures import common as figures
from striate.report.figures.common import label
from striate.report.html.page import Picture, Table, make_picture, make_table
from striate.report.pages.tuned.scores import write_intervals, write_places

PARTS = ("tune", "fit", "select", "test", "unused")
SOURCES = {
    "repeats": "from repeats of the stimuli that are scored",
    "given": "given with the data, over all its stimuli",
}
"""Where ceilings are from, in words."""


@dataclass(frozen=True)
class ShownCeilings:
    """Noise ceilings: of how many units, how they are spread, what share of them is reached."""

    text: str
    figure: Picture
    shares: Table | None


@dataclass(frozen=True)
class ShownTraining:
    """Training curves of the models of a run, and how long they took."""

    text: str
    figure: Picture


@dataclass(frozen=True)
class ShownSplit:
    """Parts of the split by subject, what was checked for leaks, and images that look alike."""

    text: str
    lookalikes: str
    lookalike_scores: Table | None
    parts: Table
    checks: Table


def describe_ceilings(
    scores: pd.DataFrame, group: pd.DataFrame, simulated: bool
) -> ShownCeilings | None:
    """Noise ceilings of the units; None where no unit has one."""
    figure = figures.ceilings(scores)
    if figure is None:
        return None
    summary = summarize_ceilings(scores)
    text = (
        f"Known for {summary.known:,} of {summary.units:,} units; median {summary.median:.3f}. A "
        "ceiling is the largest correlation that a perfect model could reach with the averaged "
        f"responses.{_write_sources(summary)}"
    )
    picture = make_picture(figure, "Noise ceilings and scores", simulated)
    return ShownCeilings(text, picture, _tabulate_shares(group))


def _write_sources(summary: CeilingSummary) -> str:
    """Where ceilings are from; runs of earlier versions do not tell."""
    parts = [
        f"of {summary.sources[source]:,} units {words}"
        for source, words in SOURCES.items()
        if source in summary.sources
    ]
    return f" They are: {'; '.join(parts)}." if parts else ""


def _tabulate_shares(group: pd.DataFrame) -> Table | None:
    if "share_explained" not in group:
        return None
    reliable = group[group["n_reliable"] > 0]
    columns = {
        "ROI": write_places(reliable),
        "to": reliable["generalization"],
        "model": [label(m) for m in reliable["model"]],
        "r": reliable["r"],
        "r / ceiling": reliable["r_normalized"],
        "of explainable variance": reliable["share_explained"],
        "95 % over subjects": write_intervals(reliable, "share"),
        "units": reliable["n_reliable"],
        "ceiling from": reliable["ceiling_source"],
    }
    return make_table(pd.DataFrame(columns), names=3)


def describe_training(run: Path, simulated: bool) -> ShownTraining | None:
    """Curves of the models that were scored; None where none of them was tuned here."""
    curves = {}
    names = dict.fromkeys(check["model"] for check in read_json(run / "leaks.json")["checks"])
    for path in [run / "models" / name / "metrics.jsonl" for name in names]:
        epochs = pd.DataFrame([entry for entry in _read_log(path) if "epoch_loss" in entry])
        if not epochs.empty:
            curves[f"{path.parent.parent.name}/{path.parent.name}"] = epochs
    figure = figures.training_curves(curves)
    if figure is None:
        return None
    seconds = {
        entry["model"]: entry["seconds"]
        for entry in _read_log(run / "metrics.jsonl")
        if entry["what"] == "tuned" and entry["seconds"] > 1
    }
    minutes = sum(seconds.values()) / 60
    text = f"{len(curves)} model{'s' if len(curves) > 1 else ''}, {minutes:.1f} minutes in all."
    return ShownTraining(text, make_picture(figure, "Training curves", simulated))


def _read_log(path: Path) -> list[dict[str, Any]]:
    """The entries of a log; none where there is no log."""
    return read_json_lines(path) if path.exists() else []


def describe_split(run: Path) -> ShownSplit:
    """The split of a run, and the comparisons of models with test images."""
    leaks = read_json(run / "leaks.json")
    assigned = read_parquet(run / SPLIT_FILE)
    counts = pd.crosstab(assigned["subject"], assigned["part"]).reset_index()
    order = ["subject", *(part for part in PARTS if part in counts)]
    checks = [[c["model"], c["subject"], c["seen"], c["test"]] for c in leaks["checks"]]
    text = (
        f"{leaks['images']:,} different images by content; {leaks['images_in_two_parts']} in "
        f"two parts; {leaks['images_of_several_subjects']:,} shown to several subjects (the same "
        "part for all). Before each score the test images were compared with all images that its "
        "model had seen; an image in both would have ended the run. "
        f"{len(checks)} such checks, none found one."
    )
    effect = _read_lookalike_scores(run)
    return ShownSplit(
        text=text,
        lookalikes=_write_lookalikes(leaks, scored=effect is not None),
        lookalike_scores=effect,
        parts=make_table(counts[order]),
        checks=Table(["model", "subject", "images seen", "test images"], checks, names=2),
    )


def _write_lookalikes(leaks: dict[str, Any], *, scored: bool) -> str:
    """How many images look like another one, and where they stand."""
    lookalikes = leaks.get("lookalikes")
    if lookalikes is None:  # runs of version 0.1 do not tell
        return ""
    if lookalikes["mode"] == "ignore":
        return "Look-alikes were not looked for (split.lookalikes=ignore)."
    if not lookalikes["pictures"]:
        return f"No two images look alike ({lookalikes['how']})."
    text = (
        f"{lookalikes['pictures']:,} images look like another one, in {lookalikes['classes']:,} "
        f"groups ({lookalikes['how']}). {lookalikes['test']:,} of them are test images, of which "
        f"{lookalikes['crossing']:,} look like an image outside of test."
    )
    return f"{text} Scores with and without these:" if scored else text


def _read_lookalike_scores(run: Path) -> Table | None:
    """Scores with and without test images that look like one outside; None without any."""
    path = run / "tables/lookalikes.parquet"
    effect = read_parquet(path) if path.exists() else pd.DataFrame()
    if effect.empty:
        return None
    columns = (
        "subject", "hemisphere", "ROI", "model", "test images", "r", "without those", "r without",
    )  # fmt: skip
    shown = effect.assign(model=[label(m) for m in effect["model"]])
    return make_table(shown.set_axis(columns, axis="columns"), names=4)


def list_weights(run: Path) -> Table | None:
    """What the weights of each model are, as its record says; None where no record does."""
    records = read_json(run / MODELS)["models"] if (run / MODELS).exists() else []
    rows = [[r["name"], r["id"], r["description"]] for r in records if r.get("description")]
    return Table(["model", "network", "weights"], rows, names=3) if rows else None
