"""The verb: grow a chain of stages from photographs, in a folder that can be resumed."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from striate.core.errors import InputError
from striate.core.files import read_json_lines, write_arrays
from striate.core.hashing import hash_json
from striate.data.patches.pairs import PatchSource
from striate.data.patches.photographs import Photographs
from striate.learning.common.batchnorm import calibrate, unshare_statistics
from striate.learning.common.distributed import make_fabric
from striate.learning.common.folder import check_claim, claim, finished_model, folder_lock, identify
from striate.learning.growing.config import GrowConfig
from striate.learning.growing.loop import GrowLoop
from striate.learning.growing.module import Layerwise
from striate.learning.growing.padding import without_padding
from striate.models import Model, is_model_folder, load, receptive_field, save
from striate.models.lineage import record_start
from striate.models.networks.lcl import Lcl
from striate.models.receptive_field import ReceptiveField
from striate.models.stages import check_stages

RECORD = "grow.yaml"
PAIRS = "pairs.npz"
SHOWN_PAIRS = 8
"""Pairs of patches of each stage that are kept for people to look at."""


def grow(
    photographs: Photographs,
    config: GrowConfig,
    folder: str | Path,
    *,
    device: str = "auto",
    progress: bool = True,
) -> Model:
    """Grow a network stage by stage from pairs of deformed patches, without labels.

    Parthasarathy, Hénaff & Simoncelli 2024 as far as their abstract says how
    (docs/papers/lcl-v2.md 2, 3); everything else is ours and a setting. The folder gets
    `network.safetensors`, `config.json` and `card.md` (it can be given to `striate.models.load`),
    `grow.yaml` (what was asked for), `metrics.jsonl` (one line a step), `pairs.npz` (some pairs of
    patches) and, while it runs, `checkpoints/`. The same call on a folder that was stopped goes on
    from the last checkpoint (on the CPU to bitwise the same weights); on a finished one it returns
    the model. Under torchrun the batch is shared by the processes, with the statistics and the
    gradient of one.

    Args:
        photographs: what to learn from; a share of them is held out.
        config: the network and how it learns.
        folder: where to write.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        progress: whether to draw a bar.

    Returns:
        The model on the CPU, in eval mode, with one tap a stage. `provenance["seen"]` lists the
        photographs that it learned from.

    Raises:
        InputError: photographs or settings that do not fit, or a folder that holds something else
            or was grown with other settings (the differences are listed).
        DivergedError: the loss became not finite; the last good checkpoint is named.
        StriateError: full disk; the last checkpoint is kept.
        SystemExit: code 143 after SIGTERM, 130 after Ctrl-C, once a checkpoint is written.
    """
    folder = Path(folder)
    if not isinstance(photographs, Photographs):
        raise InputError(
            f"photographs: expected Photographs, found {type(photographs).__name__}. Make them "
            "with Photographs.from_folders(FOLDER) or Photographs.from_images([ARRAY, ...]) of "
            "striate.data.patches.photographs."
        )
    options = config.network.to_dict()
    model = load("lcl_v2@random", seed=config.seed, options=options)
    start = record_start(model)
    fabric = make_fabric(device, config.precision)
    _check_batch(config, fabric.world_size, say=fabric.is_global_zero)
    train, held = _divide(photographs, config)
    record = _record(model, train, config)
    if not is_model_folder(folder):  # before the folder is claimed for what cannot be done
        _check_patches(model, train, config)
    with folder_lock(folder, fabric):
        claim(folder, RECORD, record, fabric)
        if is_model_folder(folder):
            return finished_model(model, folder)
        with without_padding(model.network):
            fields = stage_fields(model)
            sources = make_sources(train, fields, config, fabric.device)
            for k, source in enumerate(sources, 1):
                if source.small and fabric.is_global_zero:
                    warnings.warn(f"stage{k}: {source.describe()}", stacklevel=2)
            if config.patches.small == "skip":
                held = _at_least(held, max(source.window for source in sources))
            held_out = make_sources(held, fields, config, fabric.device) if len(held) > 1 else []
            learner = make_learner(model, fields, config)
            if fabric.is_global_zero:
                _write_pairs(folder / PAIRS, sources)
            loop = GrowLoop(
                fabric, learner, sources, config, folder, held_out=held_out, progress=progress
            )
            loop.run()
            learner.cpu()
        _finish(model, train, sources, config, start)
        if fabric.is_global_zero:
            save(model, folder, _facts(folder, train, sources, config))
            if not config.keep_checkpoints:
                loop.checkpoints.clear()
        fabric.barrier()
    return model.eval()


def check_growth(photographs: Photographs, config: GrowConfig, folder: str | Path) -> None:
    """Refuse a folder that holds a model grown otherwise; writes nothing.

    Raises:
        InputError: other photographs or settings were used there (the differences are listed), or
            a new folder is asked for and the photographs are too few or too small.
    """
    model = load("lcl_v2@random", seed=config.seed, options=config.network.to_dict())
    train, _ = _divide(photographs, config)
    check_claim(Path(folder), RECORD, _record(model, train, config))
    if not is_model_folder(folder):
        _check_patches(model, train, config)


def _divide(photographs: Photographs, config: GrowConfig) -> tuple[Photographs, Photographs]:
    """The photographs to learn from, at least one, and those held out."""
    train, held = photographs.hold_out(config.patches.held_out, config.seed)
    if not len(train):
        raise InputError(
            f"all {len(held)} photographs fall into the share held out (patches.held_out="
            f"{config.patches.held_out:g}), and none is left to learn from. Add photographs, or "
            "set patches.held_out=0."
        )
    return train, held


def stage_fields(model: Model) -> list[ReceptiveField]:
    """The receptive field of each stage.

    Raises:
        InputError: stages that leave nothing of the images that the model is shown in use.
    """
    try:
        return [receptive_field(model, tap) for tap in model.taps]
    except InputError as error:
        why = str(error).partition(" Choose a larger input_size")[0]
        raise InputError(
            f"network.stages do not fit images of {model.preprocessing.size} px, which the model "
            f"is shown in use: {why} Give the stages smaller kernels or strides, or leave some out."
        ) from error


def _check_patches(model: Model, train: Photographs, config: GrowConfig) -> None:
    """Refuse photographs that patches of these stages cannot be cut from."""
    with without_padding(model.network):  # the side of a patch is found by running the stages
        make_sources(train, stage_fields(model), config, torch.device("cpu"))


def _record(model: Model, train: Photographs, config: GrowConfig) -> dict[str, Any]:
    """What a folder is claimed for."""
    return {
        "config": config.identity(),
        "model": identify(model),
        "photographs": {"number": len(train), "hash": hash_json(sorted(train.hashes))},
    }


def _at_least(photographs: Photographs, side: int) -> Photographs:
    """Those whose shorter side is `side` pixels or more."""
    shorter = np.minimum(photographs.heights, photographs.widths)
    return photographs.subset(np.flatnonzero(shorter >= side))


def _check_batch(config: GrowConfig, processes: int, *, say: bool = True) -> None:
    if config.batch_size < 2 * processes:
        raise InputError(
            f"a batch of {config.batch_size} patches cannot be shared by {processes} processes: "
            "each needs two or more. Raise batch_size or use fewer processes."
        )
    widths = [s.channels for s in config.network.stages]
    widest = config.projector or max(widths)
    if say and config.redundancy and config.batch_size < widest:
        warnings.warn(
            f"a batch of {config.batch_size} patches cannot decorrelate {widest} features: with "
            "fewer samples than features some always repeat others. Raise batch_size to "
            f"{widest} or more, or make the projector narrower.",
            stacklevel=3,
        )


def make_sources(
    photographs: Photographs,
    fields: Sequence[ReceptiveField],
    config: GrowConfig,
    device: torch.device,
) -> list[PatchSource]:
    """The patches of each stage, with the deformations that `config.deformation` asks for."""
    own = [field.size for field in fields]
    moved = {
        "matched": own,
        "small_everywhere": own[:1] * len(own),
        "large_everywhere": own[-1:] * len(own),
        "none": own,
    }[config.deformation]
    return [
        PatchSource(
            photographs,
            field=size,
            patch=field.patch(config.clean),
            amplitude=0.0 if config.deformation == "none" else config.a,
            batch=config.batch_size,
            config=config.patches,
            seed=config.seed,
            stream=stage,
            device=device,
        )
        for stage, (field, size) in enumerate(zip(fields, moved, strict=True))
    ]


def make_learner(model: Model, fields: Sequence[ReceptiveField], config: GrowConfig) -> Layerwise:
    """What learns: the network's stages with their projectors, on the network's own weights."""
    network = model.network
    if not isinstance(network, Lcl):
        raise InputError(f"{model.id} is no chain of stages: expected a network of lcl_v2's kind.")
    sides = [field.patch(config.clean) for field in fields]
    example = network.prepare(torch.zeros(1, 3, max(sides), max(sides)))
    channels = [shape[0] for shape in check_stages(network.stages, example)]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)  # of the projectors
        return Layerwise(
            network.stages,
            channels,
            [field.clean(side) for field, side in zip(fields, sides, strict=True)],
            projector=config.projector,
            position=config.position,
            credit=config.credit,
            redundancy=config.redundancy,
            prepare=getattr(network, "luma", None),
        )


def _write_pairs(path: Path, sources: Sequence[PatchSource]) -> None:
    """Keep some pairs of each stage, with and without the changes of light."""
    shown = min(SHOWN_PAIRS, sources[0].batch)
    arrays = {f"stage{k}": s.pairs(shown) for k, s in enumerate(sources, 1)}
    arrays |= {f"stage{k}_lit": s.pairs(shown, photometric=True) for k, s in enumerate(sources, 1)}
    write_arrays(path, arrays)


def _finish(
    model: Model,
    train: Photographs,
    sources: Sequence[PatchSource],
    config: GrowConfig,
    start: dict[str, Any],
) -> None:
    """Make the model fit for use, and add what it learned from to its history."""
    unshare_statistics(model)
    if config.statistics == "photographs":
        calibrate(model, train, config.seed)
    for parameter in model.parameters():
        parameter.grad = None
    model.eval()
    model.id = model.id.removesuffix("@random")
    model.note_seen(train.hashes, [digest for own in train.file_hashes for digest in own])
    model.provenance["stages"].append(
        {
            "kind": "layerwise growth" if config.credit == "layerwise" else "end-to-end growth",
            "start": start,
            "photographs": len(train),
            "patches": [s.patch for s in sources],
            "fields": [s.field for s in sources],
            "amplitude": [s.amplitude for s in sources],
            "config": config.identity(),
        }
    )


def _facts(
    folder: Path, train: Photographs, sources: Sequence[PatchSource], config: GrowConfig
) -> dict[str, Any]:
    """Further lines of the card."""
    lines = read_json_lines(folder / "metrics.jsonl")
    hours = sum(line["seconds"] for line in lines) / 3600
    # each stage's last measure: one after another, only the last stage has one in the last line
    ends = {k: v for line in lines for k, v in line.items() if k.endswith("_collapsed")}
    gone = sorted(k.removesuffix("_collapsed") for k, v in ends.items() if v)
    return {
        "Grown by": f"{config.credit.replace('_', ' ')} learning, {config.order}, deformation "
        f"{config.deformation}, a = {config.a:g}",
        "Photographs": train.describe(),
        "Patches": ", ".join(f"{s.patch} px" for s in sources),
        **{
            f"Too small for stage {k}": ", ".join(source.small)
            for k, source in enumerate(sources, 1)
            if source.small
        },
        "Steps": f"{config.steps} of {config.batch_size} patches"
        + (" a stage" if config.order == "sequential" else ""),
        "Time": f"{hours:.2f} hours",
        "Seed": config.seed,
        **({"Collapsed": ", ".join(gone)} if gone else {}),
        "Defaults": "Striate's own: the paper's settings are not known to us",
    }
