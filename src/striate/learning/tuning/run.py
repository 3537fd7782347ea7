"""The verb `tune`: tune a model to one target or several, in a folder that can be resumed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import save_file

from striate.core.errors import InputError
from striate.core.files import atomic_path
from striate.data.responses.unit_identity import record_units
from striate.learning.common.checkpoint import Standing
from striate.learning.common.distributed import make_fabric
from striate.learning.common.folder import claim, finished_model, folder_lock, identify
from striate.learning.tuning import targets as _targets
from striate.learning.tuning.config import TuneConfig
from striate.learning.tuning.heads import ContrastiveHeads
from striate.learning.tuning.loop import TuneLoop
from striate.learning.tuning.module import Tuner
from striate.learning.tuning.targets import TuneData, TuneTarget
from striate.models import Model, is_model_folder, save
from striate.models.lineage import record_start

RECORD = "tune.yaml"
HEADS = "heads.safetensors"


def tune(
    model: Model,
    data: Sequence[TuneData],
    config: TuneConfig,
    folder: str | Path,
    *,
    device: str = "auto",
    progress: bool = True,
) -> Model:
    """Tune a copy of `model` to one target, or pooled to several.

    The folder gets `network.safetensors`, `config.json` and `card.md` (`striate.models.load` takes
    the folder), `heads.safetensors`, `tune.yaml` (the settings), `metrics.jsonl` (one line per
    step) and, during the run, `checkpoints/`. After a stop, the same call goes on from the last
    checkpoint (on the CPU to bitwise the same weights). If the run is finished, it returns the
    tuned model. If two processes use one folder, the second waits for the first. Under torchrun
    the processes share each batch and get the gradient of one process.

    Args:
        model: the model to start from; not changed.
        data: the targets; the images must have the size that the model takes.
        config: the settings.
        folder: where to write.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        progress: whether to draw a bar.

    Returns:
        The tuned model on the CPU, in eval mode. `provenance["seen"]` has grown by the tune
        stimuli and, with early stopping, the select stimuli.

    Raises:
        InputError: data or settings that do not fit, or a folder that holds something else.
        LeakError: a stimulus is both in a tune part and in a select part.
        DivergedError: the loss is not finite.
        StriateError: the disk is full; the last checkpoint is kept.
        SystemExit: code 143 after SIGTERM, 130 after Ctrl-C, once a checkpoint is written.
    """
    folder = Path(folder)
    start = record_start(model)
    model = model.copy()
    targets = _targets.prepare(
        data, zscore=config.responses == "zscore", size=model.preprocessing.size
    )
    _check_early_stopping(targets, config)
    fabric = make_fabric(device, config.precision)
    if fabric.world_size > 1 and config.batchnorm == "train":
        raise InputError(
            "batchnorm: train would take statistics over each process's share of the batch. Use "
            "batchnorm: frozen, or one process."
        )
    record = {
        "config": config.identity(),
        "model": identify(model),
        "targets": _targets.fingerprint(data),
    }
    with folder_lock(folder, fabric):
        claim(folder, RECORD, record, fabric)
        if is_model_folder(folder):
            return finished_model(model, folder)
        learnable = {n: p.requires_grad for n, p in model.named_parameters()}
        tuner = Tuner(model, [len(t.units) for t in targets], config)
        loop = TuneLoop(fabric, tuner, targets, config, folder, progress=progress)
        standing = loop.run()
        tuner.cpu()
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(learnable[name]).grad = None
        _note_provenance(model, data, targets, config, standing, start)
        if fabric.is_global_zero:
            _write_results(folder, tuner, targets, config, standing)
            if not config.keep_checkpoints:
                loop.checkpoints.clear()
        fabric.barrier()
    return model.eval()


def _check_early_stopping(targets: Sequence[TuneTarget], config: TuneConfig) -> None:
    if config.early_stopping is not None and not any(len(t.select) > 1 for t in targets):
        raise InputError(
            "early_stopping needs a select part of at least 2 stimuli, and "
            f"{', '.join(t.name for t in targets)} have none. Give the split a select share."
        )


def _note_provenance(
    model: Model,
    data: Sequence[TuneData],
    targets: Sequence[TuneTarget],
    config: TuneConfig,
    standing: Standing,
    start: dict[str, Any],
) -> None:
    """Add this stage to the model's history, and the stimuli that it saw."""
    parts = ("tune", "select") if config.early_stopping is not None else ("tune",)
    for target_data in data:
        rows = [int(i) for part in parts for i in getattr(target_data, part)]
        files = [target_data.file_hashes[i] for i in rows] if len(target_data.file_hashes) else []
        model.note_seen([target_data.hashes[i] for i in rows], files)
    model.provenance["simulated"] |= any(target_data.simulated for target_data in data)
    model.provenance["stages"].append(
        {
            "kind": f"{config.objective} tuning",
            "start": start,
            "targets": [target_data.name for target_data in data],
            "subjects": sorted({target_data.subject for target_data in data}),
            "units": [len(t.units) for t in targets],
            "tuned_to": [
                {
                    "subject": target_data.subject,
                    "target": target_data.name,
                    # only of the kept units; ranks only of images that were learned from
                    **record_units(
                        target_data.hashes,
                        np.asarray(target_data.responses)[:, target.units],
                        [target_data.unit_ids[u] for u in target.units]
                        if len(target_data.unit_ids)
                        else (),
                        target.tune,
                    ),
                }
                for target_data, target in zip(data, targets, strict=True)
            ],
            "tune_stimuli": [len(t.tune) for t in targets],
            "select_stimuli": [len(t.select) for t in targets],
            "select_used": config.early_stopping is not None,
            "epoch": kept_epoch(config, standing),
            "simulated": any(target_data.simulated for target_data in data),
            "config": config.identity(),
        }
    )


def kept_epoch(config: TuneConfig, standing: Standing) -> int:
    """Return the number of epochs after which the kept weights were reached."""
    stopped_early = config.early_stopping is not None and standing.best_score is not None
    return standing.best_epoch if stopped_early else standing.epoch


def _write_results(
    folder: Path,
    tuner: Tuner,
    targets: Sequence[TuneTarget],
    config: TuneConfig,
    standing: Standing,
) -> None:
    """Write the heads, then the model; its config comes last and marks the run as done."""
    # Only one key: safetensors writes several keys in any order, which changes the file's hash.
    metadata = {"targets": json.dumps([t.name for t in targets])}
    with atomic_path(folder / HEADS) as temporary:
        state = {k: v.detach().contiguous() for k, v in tuner.heads.state_dict().items()}
        save_file(state, temporary, metadata=metadata)
    facts: dict[str, Any] = {
        "Tuned by": f"{config.objective}, {'pooled' if len(targets) > 1 else 'one target'}",
        "Tuned to": "; ".join(f"{t.name} ({len(t.units)} units)" for t in targets),
        "Stimuli": f"{sum(len(t.tune) for t in targets)} to learn from",
        "Pulled": config.tap or "the network's output",
        "Epoch kept": f"{kept_epoch(config, standing)} of {standing.epoch} ({standing.step} steps)",
        "Learning rate": f"{config.learning_rate:g} (heads "
        f"{config.head_learning_rate or config.learning_rate:g}), batch {config.batch_size}",
        "Seed": config.seed,
    }
    if isinstance(tuner.heads, ContrastiveHeads):
        temperature = tuner.heads.temperature.item()
        learning_note = (
            f" (learned, from {config.temperature:g} on)" if config.learn_temperature else ""
        )
        facts["Heads"] = (
            f"h = {tuner.heads.image.out_features}, z = {tuner.heads.shared[-1].out_features}, "
            f"temperature {temperature:.4g}{learning_note}, {config.direction}"
        )
    save(tuner.model, folder, facts)
