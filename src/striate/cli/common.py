"""What the verbs share: their options, and how they speak."""

from __future__ import annotations

import json
import math
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from striate.core.errors import InputError
from striate.verbs import VERBS

if TYPE_CHECKING:
    import pandas as pd

    from striate.evaluate import Options

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
        sharing = [verb.name for verb in VERBS.values() if verb.shared]
        # each would wait for the lock of the run folder that the first one holds
        raise InputError(
            f"torchrun started {n_processes()} processes, and this verb runs in one. "
            f"{' and '.join(sharing)} share their batches, and striate.learning.tune does in a "
            "script of yours. Call other verbs without torchrun."
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


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """A table for JSON, one object a row, numbers in full; what is not finite becomes null.

    pandas' own JSON has fixed decimals, in which a p of 3e-12 is 0.
    """
    return [_as_plain(row) for row in table.to_dict("records")]


def _as_plain(value: Any) -> Any:
    """A value as JSON holds it, without loss."""
    if hasattr(value, "tolist"):  # numpy's scalars and arrays
        value = value.tolist()
    if isinstance(value, dict):
        return {str(key): _as_plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_as_plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (str, int)):
        return value
    return str(value)


def tell_json(value: dict[str, Any]) -> None:
    """Print the one JSON value of a verb, numbers in full; what is not finite becomes null."""
    print(json.dumps(_as_plain(value), indent=2, allow_nan=False))
