"""What the verbs share: their options, how they speak, and the table at the end."""

from __future__ import annotations

import json
import math
import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from striate.core.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from striate.evaluate import Options, Result

Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[KEY=VALUE]...", help="Settings, such as model.id=alexnet; they win over --config."
    ),
]
ConfigFile = Annotated[
    Path | None, typer.Option("--config", "-c", help="YAML file with settings.", metavar="FILE")
]
Out = Annotated[Path, typer.Option("--out", "-o", help="Folder for the results.", metavar="FOLDER")]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Go on in a folder of a run with other settings.")
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bars, no messages.")]


def speak(as_json: bool, quiet: bool) -> Callable[[str], None]:
    """Return what says a line to the user; beside JSON it goes to standard error."""

    def say(line: str) -> None:
        if not quiet:
            print(line, file=sys.stderr if as_json else sys.stdout, flush=True)

    return say


def options(
    as_json: bool, quiet: bool, overwrite: bool = False, *, shared: bool = False
) -> Options:
    """How a run is carried out from the command line; `shared`: by torchrun's processes together.

    Raises:
        InputError: torchrun started several processes for a verb that runs in one.
    """
    import torch

    from striate.evaluate import Options
    from striate.learning.common.distributed import is_first_process, n_processes

    if n_processes() > 1 and not shared:
        # each would wait for the lock of the run folder that the first one holds
        raise InputError(
            f"torchrun started {n_processes()} processes, and this verb runs in one. grow and "
            "train share their batches, and striate.learning.tune does in a script of yours. Call "
            "other verbs without torchrun."
        )
    quiet = quiet or not is_first_process()
    # Weights that decay end near the smallest float, where a CPU computes many times slower.
    torch.set_flush_denormal(True)
    return Options(
        command=shlex.join(["striate", *sys.argv[1:]]),
        overwrite=overwrite,
        progress=not quiet and sys.stderr.isatty(),
        say=speak(as_json, quiet),
    )


def finish(result: Result, as_json: bool, say: Callable[[str], None]) -> None:
    """Build the report, then print the table and where things lie."""
    from striate.report import build

    page = build(result.folder)
    say(summary(result.group))
    for warning in result.warnings:
        say(f"note: {warning}")
    say(f"report: {page}")
    if as_json:
        tell_json(
            {
                "folder": str(result.folder),
                "report": str(page),
                "group": records(result.group),
                "warnings": result.warnings,
            }
        )


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """A table for JSON, one object a row, numbers in full; what is not finite becomes null.

    pandas' own JSON has fixed decimals, in which a p of 3e-12 is 0.
    """
    return [_plain(row) for row in table.to_dict("records")]


def _plain(value: Any) -> Any:
    """A value as JSON holds it, without loss."""
    if hasattr(value, "tolist"):  # numpy's scalars and arrays
        value = value.tolist()
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (str, int)):
        return value
    return str(value)


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
    widths = [max(len(r[i]) for r in [head, *rows]) for i in range(len(head))]
    lines = ["humans with each other (mean and 95 % interval over images and humans):"]
    for cells in [head, *rows]:
        text = "  ".join(c.ljust(w) for c, w in zip(cells, widths, strict=True))
        lines.append("  " + text.rstrip())
    return "\n".join(lines)


def tell_json(value: dict[str, Any]) -> None:
    """Print the one JSON value of a verb, numbers in full; what is not finite becomes null."""
    print(json.dumps(_plain(value), indent=2, allow_nan=False))


def summary(group: pd.DataFrame) -> str:
    """The ROI x method table for a terminal: mean r, and the gain over `untuned` in brackets."""
    from striate.report.figures.common import label, place

    lines = []
    for kind, part in group.groupby("generalization", sort=False):
        models = list(dict.fromkeys(part["model"]))
        rows = [["ROI", *(label(m) for m in models)]]
        for (hemisphere, roi), own in part.groupby(["hemisphere", "roi"], sort=False):
            by_model = own.set_index("model")
            rows.append(
                [place(str(hemisphere), str(roi))] + [_cell(by_model, model) for model in models]
            )
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        mark = ", SIMULATED responses" if part["simulated"].any() else ""
        lines.append(f"{os.linesep}mean r on test stimuli, {kind}{mark}:")
        lines += [
            "  " + "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip()
            for row in rows
        ]
    return "\n".join(lines)


def _cell(by_model: pd.DataFrame, model: str) -> str:
    if model not in by_model.index:
        return "-"
    row = by_model.loc[model].to_dict()
    if model == "untuned":
        return f"{row['r']:.3f}"
    star = "*" if row["q"] < 0.05 else ""
    return f"{row['r']:.3f} ({row['delta']:+.3f}{star})"
