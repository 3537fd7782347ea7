"""`striate probe`: in-silico physiology of models with gratings and textures, as a run."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from striate.core.device import device_name
from striate.core.files import locked, write_json
from striate.core.run import Pieces, RunFolder, check_run_folder
from striate.data.textures.make import make_textures
from striate.evaluate.common.model_records import model_record, write_models
from striate.evaluate.common.options import Options
from striate.evaluate.units.config import ProbeConfig
from striate.evaluate.units.grating_tuning import make_grating_sets
from striate.evaluate.units.inputs import check_seeds_unseen, load_probed
from striate.evaluate.units.measure import measure
from striate.evaluate.units.plan import describe
from striate.evaluate.units.properties import PROPERTIES
from striate.evaluate.units.published_histograms import Histogram, read_histograms
from striate.evaluate.units.tables import write_tables


def probe(config: ProbeConfig, out: str | Path, options: Options | None = None) -> Path:
    """Probe the units of models, write a run folder and return it.

    The folder gets `tables/tuning.parquet` and `tables/textures.parquet` (one row a unit),
    `texture_modulation`, `texture_differences`, `texture_families`, `synthesis` and `similarity`
    (each .parquet and .csv), `examples.npz` (textures for the report), `pieces/` (finished pieces,
    from which a stopped run goes on) and, last, `probe.json`.

    Raises:
        InputError: models, taps, seeds, settings or a folder that do not fit; what can be told
            before anything is computed is told then.
        LeakError: a model has seen a picture that textures would be made of.
    """
    options, out = options or Options(), Path(out)
    check_run_folder(out, config, overwrite=options.overwrite)
    published: Mapping[str, Histogram] = {}
    if config.histograms:
        published = read_histograms(config.histograms, PROPERTIES)
    device = device_name(config.device)
    probed = [load_probed(config, name, device) for name in config.models]
    grating_sets = make_grating_sets(config.pixels_per_degree, config.contrast)
    if "textures" in config.stimuli:
        check_seeds_unseen(config.textures, probed)
    run = RunFolder(out, config, command=options.command, verb="probe", overwrite=options.overwrite)
    with locked(run.path / ".lock"):
        (run / "probe.json").unlink(missing_ok=True)
        started = time.monotonic()
        pieces = Pieces(run / "pieces")
        for line in describe(config, probed, grating_sets, pieces):
            options.say(line)
        textures = None
        if "textures" in config.stimuli:
            textures = make_textures(
                config.textures, cache=options.cache, device=device, say=options.say
            )
            options.say(textures.describe())
        responses = measure(config, probed, grating_sets, textures, pieces, options.say)
        notes = write_tables(run.path, config, responses, textures, published)
        write_models(run.path, [model_record(p.name, p.model) for p in probed])
        facts = {
            "models": {
                p.name: {"id": p.model.id, "taps": p.taps, "fingerprint": p.fingerprint}
                for p in probed
            },
            "notes": notes,
            "seconds": round(time.monotonic() - started, 1),
        }
        write_json(run / "probe.json", facts)
    return run.path
