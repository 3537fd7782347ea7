"""`striate report`: build the page of a run again, or put the models of several side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from striate.cli.common import Json, records, speak, tell_json
from striate.core.errors import InputError

OUT = Path("striate-scorecard")


def run(
    folders: Annotated[
        list[Path],
        typer.Argument(metavar="RUN...", help="A run folder; or several, and model folders."),
    ],
    scorecard: Annotated[
        bool, typer.Option("--scorecard", help="Make a scorecard of one folder, too.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help=f"Folder for the scorecard ({OUT}).", metavar="FOLDER"),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a scorecard in that folder.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Build report.html of a run again; of several, one scorecard of their models.

    A scorecard shows V1, V2, V4, IT, texture modulation, properties, accuracy out of distribution,
    error consistency and classification, as far as the runs measured them. Model folders among the
    runs choose which models are shown.

    For example: striate report runs/predict runs/probe runs/behave --out scorecard
    """
    from striate.report import build, write_scorecard

    say = speak(as_json, False)
    if len(folders) == 1 and not scorecard:
        if out is not None or overwrite:
            raise InputError(
                "--out and --overwrite are for scorecards: pass --scorecard, or more folders. The "
                "report of one run is written into its own folder."
            )
        page = build(folders[0])
        say(f"report: {page}")
        if as_json:
            tell_json({"report": str(page)})
        return
    page, card = write_scorecard(folders, out or OUT, overwrite=overwrite)
    for note in card.notes:
        say(f"note: {note}")
    say(f"{len(card.columns)} models, {sum(bool(r.cells) for r in card.rows)} rows")
    say(f"scorecard: {page}")
    if as_json:
        from striate.report.scorecard.card import as_table

        tell_json(
            {"scorecard": str(page), "notes": list(card.notes), "cells": records(as_table(card))}
        )
