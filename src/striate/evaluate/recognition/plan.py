"""What `striate train` will do and what it will take, said before it starts."""

from __future__ import annotations

import time
from typing import Any

import torch

from striate.data.images.labeled import Labeled
from striate.evaluate.common.cost import (
    FLOAT_BYTES,
    TRAINING_COPIES,
    Prediction,
    gray_images,
    measure_step,
    peak_memory,
    training_bytes,
)
from striate.learning import TrainConfig
from striate.learning.recognition.module import Recognizer, cacheable
from striate.models import Model

TIMED_IMAGES = 16
"""Images of the steps from which time and memory are predicted."""


def describe(model: Model, training: Labeled, testing: Labeled, config: TrainConfig) -> str:
    """Say what will be trained."""
    front: Any = model.network.config.front
    learning = "frozen" if front.frozen else "trained too"
    size, shape = model.preprocessing.size, model.tap_shapes([f"front.{front.tap}"])
    channels, rows, columns = next(iter(shape.values()))
    attack = config.attack
    parameters = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return (
        f"{front.id} ({model.provenance['front']}) up to {front.tap}, {learning} ({channels} "
        f"x {rows} x {columns} at {size} px), {parameters:,} parameters to learn from "
        f"{training.describe()}; {config.epochs} epochs in batches of {config.batch_size}"
        + (f", attacked (L2, eps {attack.eps:g}, {attack.steps} steps)" if attack.eps else "")
        + f"; tested on {testing.describe()}"
    )


def predict_cost(
    model: Model, images: int, config: TrainConfig, device: torch.device
) -> Prediction:
    """Predict memory and time of training on `images` from steps on a few gray images."""
    recognizer = Recognizer(model.copy(), config).to(device).train()
    gray = gray_images(TIMED_IMAGES, model.preprocessing.size, device)
    labels = torch.zeros(TIMED_IMAGES, dtype=torch.int64, device=device)
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
            started = time.perf_counter()
            features = recognizer.network.features(recognizer.model.preprocessing(gray))
            front_seconds = time.perf_counter() - started
        cost = measure_step(recognizer, step, device)
    # What the front gives is computed once for each image as it is and mirrored, and kept.
    kept_images = (1 + config.augment.flip) * images if cached else 0
    seconds = cost.seconds * config.epochs * images + front_seconds * kept_images
    kept_bytes = FLOAT_BYTES * kept_images * features[0].numel()
    return Prediction(
        peak_memory(
            cost.values * config.batch_size / TIMED_IMAGES,
            TRAINING_COPIES,
            kept_bytes + training_bytes(recognizer),
        ),
        seconds / TIMED_IMAGES,
    )
