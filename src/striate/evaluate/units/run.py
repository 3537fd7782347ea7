"""`striate probe`: in-silico physiology of models with gratings and textures, as a run."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import xarray as xr

from striate.core.device import device_name
from striate.core.errors import InputError
from striate.core.files import locked, write_arrays, write_json, write_table
from striate.core.run import Pieces, RunFolder, check_run_folder
from striate.data import assert_unseen
from striate.data.textures.make import check_textures, make_textures
from striate.data.textures.stimuli import TYPES, Textures
from striate.evaluate.common.cost import duration
from striate.evaluate.common.model_records import model_record, write_models
from striate.evaluate.common.options import Options
from striate.evaluate.units.config import ProbeConfig
from striate.evaluate.units.grating_tuning import (
    GratingSets,
    make_grating_sets,
    physiology,
    record,
    window,
)
from striate.evaluate.units.properties import ADDED, PROPERTIES
from striate.evaluate.units.published_histograms import Histogram, read_histograms
from striate.evaluate.units.tables import assemble
from striate.evaluate.units.texture_tuning import DIMS, texture_responses
from striate.models import Model

VERSION = 1
"""Raised when the meaning of a kept table changes, so that older ones are made again."""
BLOCK = 64
"""Images a forward pass."""
COPIES = 3
"""Times the maps of a block are held at most (ours)."""
SPARE = 600 * 2**20
"""Bytes that the libraries take beside that."""


@dataclass(frozen=True)
class Probed:
    """One model, ready to be probed.

    Attributes:
        name: yours.
        model: on its device.
        taps: maps, shallow to deep.
        fingerprint: of the model.
    """

    name: str
    model: Model
    taps: tuple[str, ...]
    fingerprint: str


def probe(config: ProbeConfig, out: str | Path, options: Options | None = None) -> Path:
    """Probe the units of models and write a run folder; returns it.

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
    published = read_histograms(config.histograms, PROPERTIES) if config.histograms else {}
    device = device_name(config.device)
    probed = [ready(config, name, device) for name in config.models]
    shown = make_grating_sets(config.pixels_per_degree, config.contrast)
    if "textures" in config.stimuli:
        seeds, _ = check_textures(config.textures)
        for own in probed:
            assert_unseen(
                own.model.seen,
                [seed.hash for seed in seeds],
                f"{own.name} on textures of {', '.join(seed.name for seed in seeds)}",
                seen_files=own.model.seen_files,
                file_hashes=[seed.file_hash for seed in seeds],
            )
    run = RunFolder(out, config, command=options.command, verb="probe", overwrite=options.overwrite)
    with locked(run.path / ".lock"):
        (run / "probe.json").unlink(missing_ok=True)
        started = time.monotonic()
        pieces = Pieces(run / "pieces")
        for line in describe(config, probed, shown, pieces):
            options.say(line)
        textures = None
        if "textures" in config.stimuli:
            textures = make_textures(
                config.textures, cache=options.cache, device=device, say=options.say
            )
            options.say(textures.describe())
        tuning, responses = _measure(config, probed, shown, textures, pieces, options)
        notes = _write(config, run, tuning, responses, textures, published)
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


def ready(config: ProbeConfig, name: str, device: str) -> Probed:
    """Load a model and find its taps that are maps.

    Raises:
        InputError: naming the model: one that cannot be loaded, an unknown tap, no map.
    """
    own = config.models[name]
    try:
        model = own.build().to(device)
        shapes = model.tap_shapes(own.taps)
    except InputError as error:
        raise InputError(f"models.{name}: {error}") from error
    flat = [tap for tap, shape in shapes.items() if len(shape) != 3]
    if own.taps and flat:
        raise InputError(
            f"models.{name}: tap {flat[0]!r} gives {shapes[flat[0]]} for an image, not a map "
            "(C, H, W). Name taps that are maps."
        )
    taps = tuple(tap for tap in shapes if tap not in flat)
    if not taps:
        raise InputError(f"models.{name}: none of its taps is a map. Name some: models.{name}.taps")
    return Probed(name, model, taps, model.fingerprint())


def describe(
    config: ProbeConfig, probed: list[Probed], shown: GratingSets, pieces: Pieces
) -> list[str]:
    """Say what will be done, with memory and time as far as they can be predicted."""
    lines = [f"{p.name}: {p.model.id}, taps {', '.join(p.taps)}" for p in probed]
    if "gratings" not in config.stimuli:
        return lines
    sets = (shown.orientation, shown.frequency, shown.size, shown.contrast)
    n = sum(len(g) for g in sets if g is not None)
    seconds, memory, missing = 0.0, 0, 0
    for own in probed:
        for tap in own.taps:
            if pieces.load(_grating_key(own, tap, shown)) is None:
                missing += 1
                took, values = _trial(own, tap)
                seconds += took * n / BLOCK
                memory = max(memory, COPIES * 4 * values * BLOCK)
    if missing:
        lines.append(
            f"{n:,} gratings for each of {missing} taps: about {duration(seconds)}, at most "
            f"{(memory + SPARE) / 1e9:.1f} GB of memory"
        )
    return lines


def _trial(own: Probed, tap: str) -> tuple[float, int]:
    """Seconds of a block of images, from a few of them, and values of its maps for one image."""
    where = window(own.model, tap)
    some = 8
    gray = np.full((some, where.size, where.size, 3), 128, dtype=np.uint8)
    values = 0

    def count(module: torch.nn.Module, inputs: object, output: object) -> None:
        nonlocal values
        values += output.numel() if isinstance(output, torch.Tensor) else 0

    leaves = [m for m in own.model.network.modules() if not any(m.children())]
    handles = [m.register_forward_hook(count) for m in leaves]
    try:
        record(own.model, tap, where, [gray])
    finally:
        for handle in handles:
            handle.remove()
    started = time.perf_counter()
    record(own.model, tap, where, [gray])
    drawing = 2.5e-8 * BLOCK * where.size**2  # of the gratings
    return (time.perf_counter() - started) * BLOCK / some + drawing, values // some


def _grating_key(own: Probed, tap: str, shown: GratingSets) -> dict[str, object]:
    added = {"added": sorted(ADDED)} if ADDED else {}  # columns that kept tables lack
    return {
        **added,
        "what": "gratings",
        "model": own.fingerprint,
        "tap": tap,
        "protocol": repr(shown),
        "version": VERSION,
    }


def _measure(
    config: ProbeConfig,
    probed: list[Probed],
    shown: GratingSets,
    textures: Textures | None,
    pieces: Pieces,
    options: Options,
) -> tuple[dict[tuple[str, str], pd.DataFrame], dict[tuple[str, str], xr.DataArray]]:
    """Tuning tables and responses to textures by (model, tap), kept ones from `pieces`."""
    tuning, responses = {}, {}
    for own in probed:
        for tap in own.taps:
            place = (own.name, tap)
            if "gratings" in config.stimuli:
                key = _grating_key(own, tap, shown)
                path = pieces.path(key) / "tuning.parquet"
                if pieces.load(key) is None:
                    options.say(f"{own.name}, {tap}: gratings")
                    write_table(path, physiology(own.model, tap, shown))
                    pieces.store(key, {"name": own.name})
                tuning[place] = pd.read_parquet(path)
            if textures is not None:
                key = {
                    "what": "textures",
                    "model": own.fingerprint,
                    "tap": tap,
                    "textures": textures.key(),
                    "pixels_per_degree": config.pixels_per_degree,
                    "version": VERSION,
                }
                path = pieces.path(key) / "responses.npz"
                if pieces.load(key) is None:
                    options.say(f"{own.name}, {tap}: textures")
                    found = texture_responses(
                        own.model,
                        tap,
                        textures,
                        pixels_per_degree=config.pixels_per_degree,
                        block=BLOCK,
                    )
                    arrays = {"values": found.to_numpy(), "blank": found["blank"].to_numpy()}
                    write_arrays(path, arrays)
                    pieces.store(key, {"name": own.name})
                responses[place] = _load(path, textures, tap)
    return tuning, responses


def _load(path: Path, textures: Textures, tap: str) -> xr.DataArray:
    with np.load(path) as kept:
        values, blank = kept["values"], kept["blank"]
    coords = {
        "type": list(TYPES),
        "family": list(textures.families),
        "unit": np.arange(len(blank)),
        "blank": ("unit", blank),
    }
    return xr.DataArray(values, dims=DIMS, coords=coords, attrs={"tap": tap})


def _write(
    config: ProbeConfig,
    run: RunFolder,
    tuning: Mapping[tuple[str, str], pd.DataFrame],
    responses: Mapping[tuple[str, str], xr.DataArray],
    textures: Textures | None,
    published: Mapping[str, Histogram],
) -> list[str]:
    """Write tables, examples and return what a reader has to know."""
    tables, notes = assemble(config, tuning, responses, published)
    if textures is not None:
        tables["synthesis"] = textures.synthesis
        notes = [*textures.notes, *notes]
        examples = {"images": textures.images[:, :, 0], "families": np.array(textures.families)}
        write_arrays(run / "examples.npz", examples)
    for old in (run / "tables").glob("*.*"):  # of a run with other settings
        old.unlink()
    for name, table in tables.items():
        write_table(run / f"tables/{name}.parquet", table)
        if name not in ("tuning", "textures"):
            write_table(run / f"tables/{name}.csv", table)
    return notes
