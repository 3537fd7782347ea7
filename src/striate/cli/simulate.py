"""`striate simulate`: write subjects with planted truth."""

from __future__ import annotations

from pathlib import Path

from striate.cli.common import ConfigFile, Json, Out, Overrides, speak, tell_json


def run(
    overrides: Overrides = None,
    config: ConfigFile = None,
    out: Out = Path("striate-simulated"),
    as_json: Json = False,
) -> None:
    """Write simulated subjects; it goes without progress and `--overwrite`."""
    from striate.evaluate.simulated.config import SimulateConfig
    from striate.evaluate.simulated.run import simulate

    say = speak(as_json, False)
    settings = SimulateConfig.load(config, overrides or ())
    say(
        f"simulating {settings.subjects} subjects of {settings.stimuli} stimuli with "
        f"{settings.model.id}"
    )
    folder = simulate(settings, out)
    say(f"SIMULATED data: {folder} (read them with data.name=algonauts2023 data.path={folder})")
    if as_json:
        tell_json({"folder": str(folder), "simulated": True})
