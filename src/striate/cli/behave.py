"""`striate behave`: do models decide like humans?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from striate.cli.common import (
    ConfigFile,
    Json,
    Overrides,
    Overwrite,
    Quiet,
    options,
    records,
    tell_json,
)
from striate.cli.endings import human_lines


def run(
    overrides: Overrides = None,
    config: ConfigFile = None,
    humans: Annotated[
        Path | None,
        typer.Option("--humans", metavar="PATH", help="Trials of humans: a folder or a table."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FOLDER", help="Folder for the results; humans alone "
                     "are only printed without it."),
    ] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:  # fmt: skip
    """Compare decisions; humans alone need no folder."""
    from striate.evaluate import BehaveConfig, behave
    from striate.report import build

    how = options(as_json, quiet, overwrite)
    more = [f"humans={json.dumps(str(humans))}"] if humans is not None else []
    settings = BehaveConfig.load(config, [*(overrides or ()), *more])
    if out is None and (settings.models or settings.decisions):
        out = Path("striate-behave")
    result = behave(settings, out, how)
    how.say(human_lines(result.tables["humans"]))
    for note in result.notes:
        how.say(f"note: {note}")
    page = None
    if result.folder is not None:
        page = build(result.folder)
        how.say(f"report: {page}")
    if as_json:
        value = {
            "folder": None if result.folder is None else str(result.folder),
            "report": None if page is None else str(page),
            "humans": records(result.tables["humans"]),
        }
        for name in ("benchmark", "means", "differences", "groups"):
            if name in result.tables:
                value[name] = records(result.tables[name])
        tell_json({**value, "models": result.models, "notes": result.notes})
