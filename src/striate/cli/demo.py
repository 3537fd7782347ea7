"""`striate demo`: the main job on what comes with the installation."""

from __future__ import annotations

from pathlib import Path

from striate.cli.common import Json, Out, Quiet, options
from striate.cli.runs import finish
from striate.verbs import VERBS


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
    finish(VERBS["compare"], done.result, done.result.folder, as_json, how.say)
