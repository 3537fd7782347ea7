"""Training a recognition model as a run: labeled images in, model and generalization out."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from striate.core.device import device_name
from striate.core.files import locked, read_json
from striate.core.hashing import hash_json
from striate.core.run import RunFolder, check_run_folder, holds_same_run
from striate.data import assert_unseen_by
from striate.data.images.labeled import Labeled, check_apart
from striate.evaluate.common.cost import counting_outputs, duration
from striate.evaluate.common.options import Options
from striate.evaluate.recognition.config import TrainRunConfig
from striate.evaluate.recognition.measure import score_conditions
from striate.evaluate.recognition.tables import DONE, folder_name, write_results
from striate.learning import TrainConfig, train
from striate.learning.common.distributed import is_first_process
from striate.learning.recognition.loop import check_batch
from striate.learning.recognition.module import Recognizer, cacheable
from striate.learning.recognition.run import check_training
from striate.models import Model, is_model_folder, recognition_model

FEW = 16
"""Images of the steps from which time and memory are predicted."""
COPIES = 4
"""Times a map's values are held at most while a step is computed (ours)."""
SPARE = 500 * 2**20
"""Bytes that the libraries take beside that."""


def train_model(config: TrainRunConfig, out: str | Path, options: Options | None = None) -> Path:
    """Train a recognition model and test how it generalizes; returns the run folder.

    The folder gets `model/` (see `striate.learning.train`), `tables/conditions.parquet` (accuracy
    in each), `tables/distortions.parquet` (means of each), `decisions.npz` (the class given to
    each test image in each condition) and, last, `training.json`. Under torchrun all processes
    train, and the first one tests and writes.

    Raises:
        InputError: images, labels or settings that do not fit, before anything is computed.
        LeakError: a training image, of this or of any earlier stage, is a test image.
        DivergedError: the loss became not finite.
    """
    options, out = options or Options(), Path(out)
    check_run_folder(out, config, overwrite=options.overwrite)
    device = torch.device(device_name(config.device))
    how = config.training
    training, testing, notes = read_data(config)
    model = make_model(config, training.classes)
    assert_unseen_by(model, testing.images, f"the front {config.front.id}")
    plan = describe(model, training, testing, how)
    # before the config there is written anew
    check_batch(how.batch_size, len(training))
    check_training(model, training.labels, training.images.hashes, how, out / "model")
    asked, same = _asked(config, testing), holds_same_run(out, config)

    def learn() -> Model:
        shape = model.preprocessing
        return train(
            model,
            training.images.decoded(shape.size, shape.resize, options.cache),
            training.labels,
            training.images.hashes,
            how,
            out / "model",
            file_hashes=training.images.file_hashes,
            name=config.data.name or folder_name(config.data.train),
            device=str(device),
            progress=options.progress,
        )

    if not is_first_process():  # the first one writes, and waits for the others while it learns
        learn()
        return out
    run = RunFolder(out, config, command=options.command, verb="train", overwrite=options.overwrite)
    with locked(run.path / ".lock"):
        for line in (plan, *notes):
            options.say(line)
        if (run / DONE).exists():
            told = read_json(run / DONE).get("asked")
            if told == asked or (told is None and same):  # runs of earlier versions do not tell
                return run.path
            (run / DONE).unlink()  # tested otherwise, or with other images
        if not is_model_folder(run / "model"):
            memory, seconds = predict_cost(model, len(training), how, device)
            cost = f"about {memory / 1e9:.1f} GB of memory, {duration(seconds)}"
            options.say(f"{cost} on {device} to train")
        trained, shape = learn(), model.preprocessing
        assert_unseen_by(trained, testing.images, "the trained model")
        table, decisions = score_conditions(
            trained,
            np.asarray(testing.images.decoded(shape.size, shape.resize, options.cache)),
            testing.labels,
            config.distortions.experiments,
            seed=config.distortions.seed,
            cache=options.cache,
            batch_size=config.batch_size,
            device=str(device),
            say=lambda name: options.say(f"testing: {name}"),
        )
        write_results(run.path, config, table, decisions, testing, trained, notes, asked)
    return run.path


def _asked(config: TrainRunConfig, testing: Labeled) -> str:
    """Hash of all that decides what a finished run tells."""
    settings = {k: v for k, v in config.to_dict().items() if k not in ("device", "batch_size")}
    return hash_json([settings, list(testing.images.hashes), testing.labels.tolist()])


def read_data(config: TrainRunConfig) -> tuple[Labeled, Labeled, list[str]]:
    """Training and test images, apart from each other, and what a reader must be told."""
    data = config.data
    columns = {"image_column": data.image_column, "label_column": data.label_column}
    training, testing = (Labeled.read(p, **columns) for p in (data.train, data.test))
    if training.classes == testing.classes:  # else check_apart says how they differ
        training = training.sample(data.train_images)
        testing = testing.sample(data.test_images)
    training, notes = check_apart(training, testing, data.leaks)
    return training, testing, notes


def make_model(config: TrainRunConfig, classes: tuple[str, ...]) -> Model:
    """The front with an untrained back-end."""
    seed = config.training.seed
    return recognition_model(
        config.front.load_model(seed=seed),
        classes,
        tap=config.front.tap,
        frozen=config.front.frozen,
        image_size=config.image_size,
        seed=seed,
        back=config.back.to_dict(),
    )


def describe(model: Model, training: Labeled, testing: Labeled, config: TrainConfig) -> str:
    """Say what will be trained."""
    front: Any = model.network.config.front
    learning = "frozen" if front.frozen else "trained too"
    size, shape = model.preprocessing.size, model.tap_shapes([f"front.{front.tap}"])
    channels, rows, columns = next(iter(shape.values()))
    attack = config.attack
    learns = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return (
        f"{front.id} ({model.provenance['front']}) up to {front.tap}, {learning} ({channels} "
        f"x {rows} x {columns} at {size} px), {learns:,} parameters to learn from "
        f"{training.describe()}; {config.epochs} epochs in batches of {config.batch_size}"
        + (f", attacked (L2, eps {attack.eps:g}, {attack.steps} steps)" if attack.eps else "")
        + f"; tested on {testing.describe()}"
    )


def predict_cost(
    model: Model, images: int, config: TrainConfig, device: torch.device
) -> tuple[int, float]:
    """Predict peak memory (bytes) and time (s) of training from steps on a few gray images."""
    recognizer = Recognizer(model.copy(), config).to(device).train()
    size = model.preprocessing.size
    gray = torch.full((FEW, size, size, 3), 128, dtype=torch.uint8, device=device)
    labels = torch.zeros(FEW, dtype=torch.int64, device=device)
    cached = cacheable(model, config, images)

    def step() -> None:
        if cached:
            recognizer(features, labels, "features")[0].backward()
            return
        attack = config.attack.eps
        x = recognizer.attack(gray, labels) if attack else gray
        recognizer(x, labels, "pixels" if attack else "images")[0].backward()

    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        with torch.no_grad():
            taken = time.perf_counter()
            features = recognizer.network.features(recognizer.model.preprocessing(gray))
            taken = time.perf_counter() - taken
        step()
        with counting_outputs(recognizer) as counted:
            started = time.perf_counter()
            step()
            if device.type == "cuda":
                torch.cuda.synchronize()
            seconds = time.perf_counter() - started
    versions = (1 + config.augment.flip) * images if cached else 0
    total = seconds * config.epochs * images / FEW + taken * versions / FEW
    kept = 4 * versions * features[0].numel()
    weights = 4 * 4 * sum(p.numel() for p in recognizer.parameters())
    memory = COPIES * 4 * counted.values * config.batch_size / FEW + kept + weights + SPARE
    return int(memory), total
