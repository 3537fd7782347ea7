"""The verb `train`: train a recognition model with labels, in a folder that can be resumed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from striate.core.errors import InputError
from striate.core.files import read_json_lines
from striate.core.hashing import hash_json
from striate.learning.common.batchnorm import unshare_statistics
from striate.learning.common.distributed import make_fabric
from striate.learning.common.folder import check_claim, claim, finished_model, folder_lock, identify
from striate.learning.recognition.config import TrainConfig
from striate.learning.recognition.loop import TrainLoop
from striate.learning.recognition.module import Recognizer, cacheable
from striate.models import Model, is_model_folder, save
from striate.models.lineage import record_start

RECORD = "train.yaml"


def train(
    model: Model,
    images: np.ndarray,
    labels: np.ndarray,
    hashes: Sequence[str],
    config: TrainConfig,
    folder: str | Path,
    *,
    file_hashes: Sequence[str] = (),
    name: str = "",
    device: str = "auto",
    progress: bool = True,
) -> Model:
    """Train a copy of a recognition model with labels.

    Parthasarathy, Hénaff & Simoncelli 2024 put a deep network, trained for object recognition,
    behind their fixed front-end (docs/papers/lcl-v2.md 4). We do not know its layers and recipe, so
    everything here is our choice and a setting. The folder gets `network.safetensors`,
    `config.json` and `card.md` (`striate.models.load` takes the folder), `train.yaml` (the
    settings), `metrics.jsonl` (one line per step) and, during the run, `checkpoints/`. After a
    stop, the same call goes on from the last checkpoint (on the CPU to bitwise the same weights).
    If the run is finished, it returns the model. Under torchrun the processes share each batch and
    get the statistics and the gradient of one process.

    Args:
        model: a `striate.models.recognition_model`; not changed.
        images: uint8 (N, S, S, 3) at the model's size, may be a memory map.
        labels: (N,), positions in the model's classes.
        hashes: content hash of each original image: the model must not be tested on them.
        config: the settings.
        folder: where to write.
        file_hashes: hash of the file of each image, or nothing; kept for the same check.
        name: name of the data, for the card.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        progress: whether to draw a bar.

    Returns:
        The model on the CPU, in eval mode. `provenance["seen"]` has grown by `hashes`.

    Raises:
        InputError: images, labels or settings that do not fit, or a folder that holds something
            else or was trained with other settings (the differences are listed).
        DivergedError: the loss is not finite; the last good checkpoint is named.
        StriateError: the disk is full; the last checkpoint is kept.
        SystemExit: code 143 after SIGTERM, 130 after Ctrl-C, once a checkpoint is written.
    """
    folder = Path(folder)
    start = record_start(model)
    model = model.copy()
    recognizer = Recognizer(model, config)
    labels = np.asarray(labels, np.int64)
    _check_data(recognizer, images, labels, hashes)
    fabric = make_fabric(device, config.precision)
    record = _make_record(model, labels, hashes, config)
    with folder_lock(folder, fabric):
        claim(folder, RECORD, record, fabric)
        if is_model_folder(folder):
            return finished_model(model, folder)
        loop = TrainLoop(fabric, recognizer, images, labels, config, folder, progress=progress)
        loop.run()
        recognizer.cpu()
        unshare_statistics(recognizer)
        for parameter in model.parameters():
            parameter.grad = None
        model.eval()
        _note_provenance(model, hashes, file_hashes, config, name, start)
        if fabric.is_global_zero:
            save(model, folder, _make_card_facts(folder, recognizer, len(images), config, name))
            if not config.keep_checkpoints:
                loop.checkpoints.clear()
        fabric.barrier()
    return model.eval()


def check_training(
    model: Model,
    labels: Sequence[int] | np.ndarray,
    hashes: Sequence[str],
    config: TrainConfig,
    folder: str | Path,
) -> None:
    """Refuse a folder that holds a model trained in another way; writes nothing.

    Raises:
        InputError: another model, other images or settings were used there (they are listed).
    """
    labels = np.asarray(labels, np.int64)
    check_claim(Path(folder), RECORD, _make_record(model, labels, hashes, config))


def _make_record(
    model: Model, labels: np.ndarray, hashes: Sequence[str], config: TrainConfig
) -> dict[str, Any]:
    """Return what a folder is claimed for."""
    return {
        "config": config.identity(),
        "model": identify(model),
        "data": {"images": len(hashes), "hash": hash_json([list(hashes), labels.tolist()])},
    }


def _check_data(
    recognizer: Recognizer, images: np.ndarray, labels: np.ndarray, hashes: Sequence[str]
) -> None:
    size, classes = recognizer.model.preprocessing.size, recognizer.network.classes
    if images.dtype != np.uint8 or images.shape[1:] != (size, size, 3):
        raise InputError(
            f"images must be uint8 (N, {size}, {size}, 3), as the model takes them, found "
            f"{images.dtype} {images.shape}."
        )
    if not len(images) == len(labels) == len(hashes):
        raise InputError(f"{len(images)} images, {len(labels)} labels, {len(hashes)} hashes.")
    if len(labels) and not 0 <= labels.min() <= labels.max() < len(classes):
        raise InputError(
            f"labels go from {labels.min()} to {labels.max()}, the model has {len(classes)} "
            "classes, counted from 0."
        )
    if len(np.unique(labels)) < 2:
        raise InputError("all training images are of one class; to tell classes apart needs two.")
    recognizer.model.tap_shapes(["classifier"])  # fails if the back-end cannot take the map


def _note_provenance(
    model: Model,
    hashes: Sequence[str],
    file_hashes: Sequence[str],
    config: TrainConfig,
    name: str,
    start: dict[str, Any],
) -> None:
    network: Any = model.network
    model.note_seen(hashes, file_hashes)
    model.provenance["stages"].append(
        {
            "kind": "adversarial training" if config.attack.eps else "supervised training",
            "start": start,
            "data": name,
            "images": len(hashes),
            "classes": len(network.classes),
            "front": "frozen" if network.frozen else "trained too",
            "config": config.identity(),
        }
    )


def _make_card_facts(
    folder: Path, recognizer: Recognizer, images: int, config: TrainConfig, name: str
) -> dict[str, Any]:
    """Return further lines of the card."""
    lines = read_json_lines(folder / "metrics.jsonl")
    front, attack = recognizer.network.config.front, config.attack
    cached = cacheable(recognizer.model, config, images)
    return {
        "Front": f"{front.id} up to {front.tap}, {'frozen' if front.frozen else 'trained too'}",
        "Classes": ", ".join(recognizer.network.classes[:12])
        + (" …" if len(recognizer.network.classes) > 12 else ""),
        "Trained on": f"{images:,} labeled images{f' ({name})' if name else ''}",
        "Steps": f"{lines[-1]['step']:,} of {config.batch_size} images ({config.epochs} epochs)",
        "Attack": f"PGD, L2, eps = {attack.eps:g}, {attack.steps} steps" if attack.eps else "none",
        "Front's features": "taken once" if cached else "taken in every step",
        "Time": f"{sum(line['seconds'] for line in lines) / 60:.1f} minutes",
        "Seed": config.seed,
        "Defaults": "Striate's own: the paper's back-end and recipe are not known to us",
    }
