"""`striate doctor`: is a folder of data as it should be?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from striate.cli.common import Json, tell_json

NAME = "doctor"
MARKS = {"ok": "ok     ", "warning": "warning", "error": "ERROR  "}


def run(
    path: Annotated[Path, typer.Argument(metavar="DATA", help="A folder of data.")],
    as_json: Json = False,
) -> None:
    """Say what data set a folder holds, what is wrong with it and what to do (exit code 2)."""
    from striate.data import diagnose

    found = diagnose(path)
    if as_json:
        tell_json(found.to_dict())
    else:
        print(f"{path}: {found.dataset or 'no data set that striate knows'}")
        for one in found.findings:
            print(f"  {MARKS[one.level]} {one.place}: {one.found}")
            if one.advice:
                print(f"      {one.advice}")
        print("usable as it is" if found.ok else "NOT usable as it is: see the lines marked ERROR")
    if not found.ok:
        raise typer.Exit(2)
