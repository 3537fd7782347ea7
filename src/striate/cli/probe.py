"""`striate probe`: what the units of models prefer, measured as a physiologist would."""

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

NAME = "probe"


def run(
    overrides: Overrides = None,
    config: ConfigFile = None,
    out: Out = Path("striate-probe"),
    overwrite: Overwrite = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show models gratings, textures and spectrally matched noise; tables and a report of units.

    For example: striate probe models.mine=runs/lcl/model models.random=lcl_v2@random --out runs/p
    """
    from striate.evaluate import ProbeConfig, probe
    from striate.report import build

    how = options(as_json, quiet, overwrite)
    folder = probe(ProbeConfig.load(config, overrides or ()), out, how)
    page = build(folder)
    how.say(f"tables: {folder / 'tables'}")
    how.say(f"report: {page}")
    if as_json:
        tell_json({"folder": str(folder), "report": str(page)})
