"""`striate demo`: the main job on what comes with the installation."""

from __future__ import annotations

from pathlib import Path

from striate.cli.common import Json, Out, Quiet, finish, options

NAME = "demo"


def run(
    out: Out = Path("striate-demo"),
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Compare five models on SIMULATED subjects whose truth is known; a few minutes on 2 cores."""
    from striate.evaluate.simulated.demo import demo

    how = options(as_json, quiet)
    done = demo(out, how)
    for line in done.lines:
        how.say(line)
    finish(done.result, as_json, how.say)
