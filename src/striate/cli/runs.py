"""The command of a verb that makes runs, from its row of `striate.verbs`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from striate.cli.common import (
    ConfigFile,
    Json,
    Out,
    Overrides,
    Overwrite,
    Quiet,
    options,
    tell_json,
)
from striate.verbs import Verb, resolve


def make_command(verb: Verb) -> Callable[..., None]:
    """The function that typer makes a command of; typer reads options from its signature."""
    if verb.command is not None:
        own_command: Callable[..., None] = resolve(verb.command)
        return own_command

    def command(
        overrides: Overrides = None,
        config: ConfigFile = None,
        out: Out = Path(f"striate-{verb.name}"),
        overwrite: Overwrite = False,
        as_json: Json = False,
        quiet: Quiet = False,
    ) -> None:
        how = options(as_json, quiet, overwrite, shared=verb.shared)
        settings = resolve(verb.config).load(config, overrides or ())
        result = resolve(verb.run)(settings, out, how)
        if verb.shared and not _writes():
            return
        finish(verb, result, out, as_json, how.say)

    return command


def _writes() -> bool:
    """Whether this process writes what the processes of torchrun made together."""
    from striate.learning.common.distributed import is_first_process

    return is_first_process()


def finish(
    verb: Verb, result: Any, folder: Path, as_json: bool, say: Callable[[str], None]
) -> None:
    """Build the report, then say what came out and where it lies."""
    told: dict[str, Any] = {"folder": str(folder)}
    if verb.page is not None:
        from striate.report import build

        told["report"] = str(build(folder))
    told |= resolve(verb.ending)(result, folder, say)
    if verb.page is not None:
        say(f"report: {told['report']}")
    if as_json:
        tell_json(told)
