"""What the command line says of a run that has ended, a function a kind of result.

Each takes what the run returned, the run folder and what says a line to the user, and returns what
`--json` tells besides the folder and the report.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from striate.cli.common import records
from striate.encoding.inference import ALPHA

if TYPE_CHECKING:
    import pandas as pd

    from striate.evaluate import Result

Say = Callable[[str], None]


def tell_folder(result: object, folder: Path, say: Say) -> dict[str, Any]:
    """Say where the tables of a run lie."""
    say(f"tables: {folder / 'tables'}")
    return {}


def tell_tables(result: object, folder: Path, say: Say) -> dict[str, Any]:
    """Say where the tables of a run lie; all of them as JSON."""
    from striate.core.files import read_parquet

    say(f"tables: {folder / 'tables'}")
    files = sorted((folder / "tables").glob("*.parquet"))
    return {"tables": {file.stem: records(read_parquet(file)) for file in files}}


def tell_scores(result: Result, folder: Path, say: Say) -> dict[str, Any]:
    """Say the mean r of each ROI and method, and what a reader must be told."""
    say(summary(result.group))
    for warning in result.warnings:
        say(f"note: {warning}")
    return {"group": records(result.group), "warnings": result.warnings}


def tell_models(result: list[Path], folder: Path, say: Say) -> dict[str, Any]:
    """Say where the models that were tuned lie."""
    for model in result:
        say(f"model: {model}")
    return {"models": [str(model) for model in result]}


def tell_growth(result: object, folder: Path, say: Say) -> dict[str, Any]:
    """Say where the model that was grown lies."""
    say(f"model: {folder / 'model'}")
    return {}


def tell_training(result: object, folder: Path, say: Say) -> dict[str, Any]:
    """Say the accuracy of a trained model, and its means over conditions of each experiment."""
    from striate.evaluate.recognition.tables import read_results

    facts, accuracy, means = read_results(folder)
    clean = facts["accuracy"]
    say(f"accuracy: {clean['accuracy']:.3f} [{clean['low']:.3f}, {clean['high']:.3f}]")
    for row in means.to_dict("records"):
        say(f"  {row['experiment']:<20} {row['accuracy']:.3f}")
    return {"summary": facts, "means": records(means), "accuracy": records(accuracy)}


def human_lines(table: pd.DataFrame) -> str:
    """How alike humans decide, for a terminal: one line an experiment, 95 % intervals below."""
    names = {
        "accuracy": "accuracy",
        "accuracy_difference": "acc. diff.",
        "observed_consistency": "observed",
        "error_consistency": "error cons.",
    }
    head = ["experiment", "observers", "conditions", "trials", *names.values()]
    rows = []
    for row in table.to_dict("records"):
        cells = [
            f"{row[m]:.4f} [{row[f'{m}_low']:.3f}, {row[f'{m}_high']:.3f}]"
            if row[m] == row[m]
            else "not measured"
            for m in names
        ]
        rows.append([str(row[c]) for c in head[:4]] + cells)
    title = "humans with each other (mean and 95 % interval over images and humans):"
    return "\n".join([title, *_align_columns([head, *rows])])


def summary(group: pd.DataFrame) -> str:
    """The ROI x method table for a terminal: mean r, and the gain over `untuned` in brackets."""
    from striate.report.figures.common import label, place

    lines = []
    for kind, part in group.groupby("generalization", sort=False):
        models = list(dict.fromkeys(part["model"]))
        rows = [["ROI", *(label(m) for m in models)]]
        for (hemisphere, roi), methods in part.groupby(["hemisphere", "roi"], sort=False):
            by_model = methods.set_index("model")
            scores = [_format_score(by_model, model) for model in models]
            rows.append([place(str(hemisphere), str(roi)), *scores])
        mark = ", SIMULATED responses" if part["simulated"].any() else ""
        lines.append(f"{os.linesep}mean r on test stimuli, {kind}{mark}:")
        lines += _align_columns(rows)
    return "\n".join(lines)


def _align_columns(rows: list[list[str]]) -> list[str]:
    """One indented line a row, columns as wide as their widest cell."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    padded = ("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) for row in rows)
    return ["  " + line.rstrip() for line in padded]


def _format_score(by_model: pd.DataFrame, model: str) -> str:
    if model not in by_model.index:
        return "-"
    row = by_model.loc[model].to_dict()
    if model == "untuned":
        return f"{row['r']:.3f}"
    star = "*" if row["q"] < ALPHA else ""
    return f"{row['r']:.3f} ({row['delta']:+.3f}{star})"
