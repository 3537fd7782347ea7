"""`striate grow`: grow a model of V1 and V2 from photographs, layer by layer."""

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

NAME = "grow"


def run(
    overrides: Overrides = None,
    config: ConfigFile = None,
    out: Out = Path("striate-grow"),
    overwrite: Overwrite = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Grow a model layer by layer from deformed patches of photographs; no labels, no responses.

    The method's parts are one setting each: deformation, a, lambda, credit, projector, order,
    network.channels=1 for gray; config.yaml in the results shows all settings.

    For example: striate grow photographs=[BSDS500,MORE] steps=4000 --out runs/lcl
    """
    from striate.evaluate import GrowRunConfig, grow_model
    from striate.learning.common.distributed import is_first_process
    from striate.report import build

    how = options(as_json, quiet, overwrite, shared=True)
    folder = grow_model(GrowRunConfig.load(config, overrides or ()), out, how)
    if not is_first_process():
        return
    page = build(folder)
    how.say(f"model: {folder / 'model'}")
    how.say(f"report: {page}")
    if as_json:
        tell_json({"folder": str(folder), "report": str(page)})
