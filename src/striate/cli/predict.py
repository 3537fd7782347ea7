"""`striate predict`: how well models predict neurons, with controls."""

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
    records,
    tell_json,
)

NAME = "predict"


def run(
    overrides: Overrides = None,
    config: ConfigFile = None,
    out: Out = Path("striate-predict"),
    overwrite: Overwrite = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Predict recorded neurons from models as they are, with controls, ceilings and intervals.

    For example: striate predict models.mine=MODEL_FOLDER sets.v4.data.name=cowley_v4
    sets.v4.data.path=DATA, or freeman_ziemba.path=DATA for Brain-Score's protocol in V1 and V2.
    """
    from striate.core.files import read_table
    from striate.evaluate import PredictRunConfig, predict_neurons
    from striate.report import build

    how = options(as_json, quiet, overwrite)
    folder = predict_neurons(PredictRunConfig.load(config, overrides or ()), out, how)
    page = build(folder)
    how.say(f"tables: {folder / 'tables'}")
    how.say(f"report: {page}")
    if as_json:
        tables = {
            file.stem: records(read_table(file))
            for file in sorted((folder / "tables").glob("*.parquet"))
        }
        tell_json({"folder": str(folder), "report": str(page), "tables": tables})
