"""`striate encode`: score saved models beside the controls."""

from __future__ import annotations

from pathlib import Path

from striate.cli.common import ConfigFile, Json, Out, Overrides, Overwrite, Quiet, finish, options

NAME = "encode"


def run(
    overrides: Overrides = None,
    config: ConfigFile = None,
    out: Out = Path("striate-encode"),
    overwrite: Overwrite = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Score models beside the untuned and the random network; nothing is tuned.

    For example: striate encode data.name=folder data.path=DATA models.mine=MODEL_FOLDER
    """
    from striate.evaluate import EncodeRunConfig, score_models

    how = options(as_json, quiet, overwrite)
    result = score_models(EncodeRunConfig.load(config, overrides or ()), out, how)
    finish(result, as_json, how.say)
