"""`striate doctor`: is a folder of data as it should be?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from striate.cli.common import Json, tell_json

NAME = "doctor"


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
        print(found)
    if not found.ok:
        raise typer.Exit(2)
