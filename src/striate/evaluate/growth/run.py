"""Growing a model as a run: photographs in, model folder and the tables of its report out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from striate.core.device import device_name
from striate.core.errors import InputError
from striate.core.files import locked, write_arrays, write_json, write_table
from striate.core.run import RunFolder, check_run_folder
from striate.data.patches.pairs import read_photographs
from striate.evaluate.common.cost import counting_outputs, duration
from striate.evaluate.common.options import Options
from striate.evaluate.growth.config import GrowRunConfig
from striate.evaluate.units.gabor_fits import MIN_SIDE, fit_gabors, share_of_gabors
from striate.evaluate.units.grating_tuning import physiology
from striate.evaluate.units.stage2_weights import pooling_maps
from striate.learning import GrowConfig, grow
from striate.learning.common.distributed import is_first_process
from striate.learning.growing.padding import without_padding
from striate.learning.growing.run import check_growth, make_learner, stage_fields
from striate.models import Model, is_model_folder, load
from striate.models.receptive_field import ReceptiveField

COPIES = 6
"""Times a map's values are held at most while a step is computed (by itself, its gradient, and
what the libraries take; ours)."""
STEPS = 3
"""Steps on noise from which time and memory are predicted."""
SPARE = 600 * 2**20
"""Bytes that the libraries and the views take beside that."""


def grow_model(config: GrowRunConfig, out: str | Path, options: Options | None = None) -> Path:
    """Grow a model and look at its units; returns the run folder.

    The folder gets `model/` (see `striate.learning.grow`), `tables/gabors.parquet` (a fit to each
    kernel of the first stage), `tables/tuning.parquet` (gratings, one row a unit of each stage)
    and `units.npz` (the kernels, and what the units of the second stage pool). Under torchrun all
    processes learn and the first one writes.

    Raises:
        InputError: photographs or settings that do not fit, before anything is computed.
        DivergedError: the loss became not finite.
    """
    options, out = options or Options(), Path(out)
    how = config.growth()
    check_run_folder(out, config, overwrite=options.overwrite)
    device = torch.device(device_name(config.device))
    model = load("lcl_v2@random", seed=how.seed, options=how.network.to_dict())
    with without_padding(model.network):  # as it will learn
        fields = stage_fields(model)
        plan = describe(fields, how)
        memory, seconds = predict_cost(model, fields, how, device)
    photographs = read_photographs(config.photographs, how.patches, options.cache)
    check_growth(photographs, how, out / "model")  # before the config there is written anew
    if not is_first_process():  # the first one writes, and waits for the others while it learns
        grow(photographs, how, out / "model", device=config.device, progress=False)
        return out
    run = RunFolder(out, config, command=options.command, verb="grow", overwrite=options.overwrite)
    with locked(run.path / ".lock"):
        options.say(photographs.describe())
        options.say(plan)
        if not is_model_folder(run / "model"):
            cost = f"at most {memory / 1e9:.1f} GB of memory, about {duration(seconds)}"
            options.say(f"{cost} on {device} for all steps")
        model = grow(photographs, how, run / "model", device=str(device), progress=options.progress)
        options.say("looking at the units: Gabor fits and gratings")
        look_at(model, run.path)
    return run.path


def describe(fields: Sequence[ReceptiveField], config: GrowConfig) -> str:
    """Say what will be grown."""
    sides = [field.patch(config.clean) for field in fields]
    stages = ", ".join(
        f"stage {i} sees {f.size} px (patches of {side} px)"
        for i, (f, side) in enumerate(zip(fields, sides, strict=True), 1)
    )
    total = config.steps * (len(fields) if config.order == "sequential" else 1)
    number = f"{len(fields)} stage{'s' if len(fields) > 1 else ''}"
    return (
        f"{number}, {config.credit.replace('_', ' ')}: {stages}; deformation "
        f"{config.deformation}, a = {config.a:g}; {total:,} steps of {config.batch_size} patches"
    )


def predict_cost(
    model: Model, fields: Sequence[ReceptiveField], config: GrowConfig, device: torch.device
) -> tuple[int, float]:
    """Predict peak memory (bytes) and time (s) from a few steps on noise, of few patches each."""
    learner = make_learner(model.copy(), fields, config).to(device).train()
    some, draw = min(config.batch_size, 32), torch.Generator().manual_seed(0)
    views = {}
    for k, field in enumerate(fields):
        side = field.patch(config.clean)
        views[k] = torch.randn(2, some, 3, side, side, generator=draw).to(device)
    if config.credit == "end_to_end":
        views = {k: views[k] for k in list(views)[-1:]}
    took = []
    with counting_outputs(learner) as counted:
        for _ in range(STEPS):
            started = time.perf_counter()
            outcomes = learner(views)
            torch.stack([o.correlation.loss for o in outcomes.values()]).sum().backward()
            if device.type == "cuda":
                torch.cuda.synchronize()
            took.append(time.perf_counter() - started)
    whole = config.batch_size / some
    memory = COPIES * 4 * counted.values / STEPS * whole + SPARE
    return int(memory), min(took) * whole * config.steps


def look_at(model: Model, folder: Path) -> None:
    """Write what the units of each stage are like: Gabor fits, grating tuning, pooling."""
    tables = folder / "tables"
    tables.mkdir(exist_ok=True)
    tuning = pd.concat(
        [physiology(model, tap).assign(tap=tap) for tap in model.taps], ignore_index=True
    )
    write_table(tables / "tuning.parquet", tuning)
    kernels = [m.weight.detach().numpy() for m in model.modules() if isinstance(m, nn.Conv2d)]
    summary: dict[str, object] = {"taps": list(model.taps)}
    if kernels and kernels[0].shape[-1] >= MIN_SIDE:
        fits = fit_gabors(kernels[0])
        write_table(tables / "gabors.parquet", fits)
        summary["gabors"] = share_of_gabors(fits)
    arrays = {"kernels": kernels[0]} if kernels else {}
    if len(model.taps) > 1 and len(kernels) > 1:
        arrays |= _pooling(tuning[tuning["tap"] == model.taps[0]], kernels[1])
    write_arrays(folder / "units.npz", arrays)
    write_json(folder / "units.json", summary)


def _pooling(tuning: pd.DataFrame, weights: np.ndarray) -> dict[str, np.ndarray]:
    """What the second stage pools, by what the first stage's units prefer; {} if none does."""
    try:
        maps = pooling_maps(
            weights,
            tuning["preferred_orientation"].to_numpy(),
            tuning["peak_frequency"].to_numpy(),
        )
    except InputError:
        return {}
    return {
        "plane": maps.plane,
        "spatial": maps.spatial,
        "orientations": maps.orientations,
        "frequencies": maps.frequencies,
    }
