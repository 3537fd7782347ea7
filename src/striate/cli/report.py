"""`striate report`: build the page of a run again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from striate.cli.common import Json, speak, tell_json

NAME = "report"


def run(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")],
    as_json: Json = False,
) -> None:
    """Build report.html from the tables of a run folder."""
    from striate.report import build

    page = build(folder)
    speak(as_json, False)(f"report: {page}")
    if as_json:
        tell_json({"report": str(page)})
