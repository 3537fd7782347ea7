"""`striate doctor`: is a folder of data as it should be?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from striate.cli.common import Json, tell_json

MARKS = {"ok": "ok     ", "warning": "warning", "error": "ERROR  "}


def run(
    path: Annotated[Path, typer.Argument(metavar="DATA", help="A folder of data.")],
    as_json: Json = False,
) -> None:
    """Say what data set a folder holds, what is wrong with it and what to do (exit code 2)."""
    from striate.data import diagnose

    diagnosis = diagnose(path)
    if as_json:
        tell_json(diagnosis.to_dict())
    else:
        print(f"{path}: {diagnosis.dataset or 'no data set that striate knows'}")
        for finding in diagnosis.findings:
            print(f"  {MARKS[finding.level]} {finding.place}: {finding.found}")
            if finding.advice:
                print(f"      {finding.advice}")
        verdict = "NOT usable as it is: see the lines marked ERROR"
        print("usable as it is" if diagnosis.ok else verdict)
    if not diagnosis.ok:
        raise typer.Exit(2)
