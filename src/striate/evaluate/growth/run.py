"""Growing a model as a run: photographs in, model folder and the tables of its report out."""

from __future__ import annotations

from pathlib import Path

import torch

from striate.core.device import device_name
from striate.core.files import locked
from striate.core.run import RunFolder, check_run_folder
from striate.data.patches.pairs import read_photographs
from striate.evaluate.common.cost import duration
from striate.evaluate.common.options import Options
from striate.evaluate.growth.config import GrowRunConfig
from striate.evaluate.growth.measure import measure_units
from striate.evaluate.growth.plan import describe, predict_cost
from striate.evaluate.growth.tables import write_units
from striate.learning import grow
from striate.learning.common.distributed import is_first_process
from striate.learning.growing.padding import without_padding
from striate.learning.growing.run import check_growth, stage_fields
from striate.models import is_model_folder, load


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
    growth = config.growth()
    check_run_folder(out, config, overwrite=options.overwrite)
    device = torch.device(device_name(config.device))
    model = load("lcl_v2@random", seed=growth.seed, options=growth.network.to_dict())
    with without_padding(model.network):  # as it will learn
        fields = stage_fields(model)
        plan = describe(fields, growth)
        cost = predict_cost(model, fields, growth, device)
    photographs = read_photographs(config.photographs, growth.patches, options.cache)
    check_growth(photographs, growth, out / "model")  # before its config is written anew
    if not is_first_process():  # the first one writes, and waits for the others while it learns
        grow(photographs, growth, out / "model", device=config.device, progress=False)
        return out
    run = RunFolder(out, config, command=options.command, verb="grow", overwrite=options.overwrite)
    with locked(run.path / ".lock"):
        options.say(photographs.describe())
        options.say(plan)
        if not is_model_folder(run / "model"):
            options.say(
                f"at most {cost.gigabytes:.1f} GB of memory, about {duration(cost.seconds)} on "
                f"{device} for all steps"
            )
        model = grow(
            photographs, growth, run / "model", device=str(device), progress=options.progress
        )
        options.say("looking at the units: Gabor fits and gratings")
        write_units(run.path, measure_units(model))
    return run.path
