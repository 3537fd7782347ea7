"""`striate tune`: tune models without scoring them."""

from __future__ import annotations

from pathlib import Path

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

NAME = "tune"


def run(
    overrides: Overrides = None,
    config: ConfigFile = None,
    out: Out = Path("striate-tune"),
    overwrite: Overwrite = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Tune one model to each ROI of each subject, or one to each ROI of all (pooled=true).

    For example: striate tune data.name=folder data.path=DATA tuning.epochs=10 pooled=true
    """
    from striate.evaluate import TuneRunConfig, tune_models

    how = options(as_json, quiet, overwrite)
    folders = tune_models(TuneRunConfig.load(config, overrides or ()), out, how)
    for folder in folders:
        how.say(f"model: {folder}")
    if as_json:
        tell_json({"folder": str(out), "models": [str(f) for f in folders]})
