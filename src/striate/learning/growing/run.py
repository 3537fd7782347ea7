"""The verb `grow`: grow a chain of stages from photographs, in a folder that can be resumed."""

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
from striate.learning.common.batches import check_shares
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
"""How many pairs of patches of each stage are kept for people to look at."""


def grow(
    photographs: Photographs,
    config: GrowConfig,
    folder: str | Path,
    *,
    device: str = "auto",
    progress: bool = True,
) -> Model:
    """Grow a network stage by stage from pairs of deformed patches, without labels.

    It follows Parthasarathy, Hénaff & Simoncelli 2024 as far as their abstract tells the method
    (docs/papers/lcl-v2.md 2, 3); everything else is our choice and a setting. The folder gets
    `network.safetensors`, `config.json` and `card.md` (`striate.models.load` takes the folder),
    `grow.yaml` (the settings), `metrics.jsonl` (one line per step), `pairs.npz` (some pairs of
    patches) and, during the run, `checkpoints/`. After a stop, the same call goes on from the last
    checkpoint (on the CPU to bitwise the same weights). If the run is finished, it returns the
    model. Under torchrun the processes share each batch and get the statistics and the gradient
    of one process.

    Args:
        photographs: photographs to learn from; a share of them is held out.
        config: the network and how it learns.
        folder: where to write.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        progress: whether to draw a bar.

    Returns:
        The model on the CPU, in eval mode, with one tap per stage. `provenance["seen"]` lists the
        photographs that it learned from.

    Raises:
        InputError: photographs or settings that do not fit, or a folder that holds something else
            or was grown with other settings (the differences are listed).
        DivergedError: the loss is not finite; the last good checkpoint is named.
        StriateError: the disk is full; the last checkpoint is kept.
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
    _check_batch(config, fabric.world_size, warn=fabric.is_global_zero)
    train, held_photographs = _hold_out(photographs, config)
    record = _make_record(model, train, config)
    if not is_model_folder(folder):  # before the folder is claimed for an impossible run
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
                held_photographs = _select_large(
                    held_photographs, max(source.window for source in sources)
                )
            held_out = (
                make_sources(held_photographs, fields, config, fabric.device)
                if len(held_photographs) > 1
                else []
            )
            learner = make_learner(model, fields, config)
            if fabric.is_global_zero:
                _write_pairs(folder / PAIRS, sources)
            loop = GrowLoop(
                fabric, learner, sources, config, folder, held_out=held_out, progress=progress
            )
            loop.run()
            learner.cpu()
        _finish_model(model, train, sources, config, start)
        if fabric.is_global_zero:
            save(model, folder, _make_card_facts(folder, train, sources, config))
            if not config.keep_checkpoints:
                loop.checkpoints.clear()
        fabric.barrier()
    return model.eval()


def check_growth(photographs: Photographs, config: GrowConfig, folder: str | Path) -> None:
    """Refuse a folder that holds a model grown in another way; writes nothing.

    Raises:
        InputError: other photographs or settings were used there (the differences are listed), or
            a new folder is asked for and the photographs are too few or too small.
    """
    model = load("lcl_v2@random", seed=config.seed, options=config.network.to_dict())
    train, _ = _hold_out(photographs, config)
    check_claim(Path(folder), RECORD, _make_record(model, train, config))
    if not is_model_folder(folder):
        _check_patches(model, train, config)


def _hold_out(photographs: Photographs, config: GrowConfig) -> tuple[Photographs, Photographs]:
    """Return the photographs to learn from, at least one, and those held out."""
    train, held_photographs = photographs.hold_out(config.patches.held_out, config.seed)
    if not len(train):
        raise InputError(
            f"all {len(held_photographs)} photographs fall into the share held out "
            f"(patches.held_out={config.patches.held_out:g}), and none is left to learn from. Add "
            "photographs, or set patches.held_out=0."
        )
    return train, held_photographs


def stage_fields(model: Model) -> list[ReceptiveField]:
    """Return the receptive field of each stage.

    Raises:
        InputError: the stages leave nothing of images of the size that the model takes.
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


def _make_record(model: Model, train: Photographs, config: GrowConfig) -> dict[str, Any]:
    """Return what a folder is claimed for."""
    return {
        "config": config.identity(),
        "model": identify(model),
        "photographs": {"number": len(train), "hash": hash_json(sorted(train.hashes))},
    }


def _select_large(photographs: Photographs, side: int) -> Photographs:
    """Return the photographs whose shorter side is `side` pixels or more."""
    shorter = np.minimum(photographs.heights, photographs.widths)
    return photographs.subset(np.flatnonzero(shorter >= side))


def _check_batch(config: GrowConfig, processes: int, *, warn: bool = True) -> None:
    """Refuse a batch that is too small for the processes; warn if it is for the features."""
    check_shares(config.batch_size, processes, "patches")
    widths = [s.channels for s in config.network.stages]
    widest = config.projector or max(widths)
    if warn and config.redundancy and config.batch_size < widest:
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
    """Make the patches of each stage, with the deformations that `config.deformation` asks for."""
    sizes = [field.size for field in fields]
    displaced_sizes = {
        "matched": sizes,
        "small_everywhere": sizes[:1] * len(sizes),
        "large_everywhere": sizes[-1:] * len(sizes),
        "none": sizes,
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
        for stage, (field, size) in enumerate(zip(fields, displaced_sizes, strict=True))
    ]


def make_learner(model: Model, fields: Sequence[ReceptiveField], config: GrowConfig) -> Layerwise:
    """Make the learner: the network's stages, which keep their weights, with their projectors."""
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
    n_pairs = min(SHOWN_PAIRS, sources[0].batch)
    arrays = {f"stage{k}": s.pairs(n_pairs) for k, s in enumerate(sources, 1)}
    arrays |= {
        f"stage{k}_lit": s.pairs(n_pairs, photometric=True) for k, s in enumerate(sources, 1)
    }
    write_arrays(path, arrays)


def _finish_model(
    model: Model,
    train: Photographs,
    sources: Sequence[PatchSource],
    config: GrowConfig,
    start: dict[str, Any],
) -> None:
    """Prepare the model for use, and add this stage of learning to its provenance."""
    unshare_statistics(model)
    if config.statistics == "photographs":
        calibrate(model, train, config.seed)
    for parameter in model.parameters():
        parameter.grad = None
    model.eval()
    model.id = model.id.removesuffix("@random")
    model.note_seen(train.hashes, [digest for digests in train.file_hashes for digest in digests])
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


def _make_card_facts(
    folder: Path, train: Photographs, sources: Sequence[PatchSource], config: GrowConfig
) -> dict[str, Any]:
    """Return further lines of the card."""
    lines = read_json_lines(folder / "metrics.jsonl")
    hours = sum(line["seconds"] for line in lines) / 3600
    # The last measure of each stage: in sequential growth, the last line has only the last stage.
    last_measures = {k: v for line in lines for k, v in line.items() if k.endswith("_collapsed")}
    collapsed_stages = sorted(k.removesuffix("_collapsed") for k, v in last_measures.items() if v)
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
        **({"Collapsed": ", ".join(collapsed_stages)} if collapsed_stages else {}),
        "Defaults": "Striate's own: the paper's settings are not known to us",
    }
