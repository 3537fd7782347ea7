"""`striate compare`: tune and score every method on one split."""

from __future__ import annotations

from pathlib import Path

from striate.cli.common import ConfigFile, Json, Out, Overrides, Overwrite, Quiet, finish, options

NAME = "compare"


def run(
    overrides: Overrides = None,
    config: ConfigFile = None,
    out: Out = Path("striate-compare"),
    overwrite: Overwrite = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Tune untuned, random, contrastive, regression and pooled models, score them, report.

    For example: striate compare data.name=folder data.path=DATA model.id=efficientnet_lite0
    """
    from striate.evaluate import CompareConfig, compare

    how = options(as_json, quiet, overwrite)
    finish(compare(CompareConfig.load(config, overrides or ()), out, how), as_json, how.say)
