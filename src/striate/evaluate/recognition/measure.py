"""How well a classifier does on distorted images: accuracy by distortion and severity."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy.stats import binomtest
from torch import Tensor

from striate.core.cache import Cache
from striate.core.errors import InputError
from striate.core.hashing import hash_array
from striate.data.images.distortions import VERSION, Condition, conditions, distort, mean_amplitude
from striate.evaluate.common.forward import each_batch
from striate.models import Model

CLEAN = "clean"
BLOCK = 256
"""Images that are distorted at once."""


def decide(
    model: Model, images: np.ndarray, *, batch_size: int = 256, device: str = "auto"
) -> np.ndarray:
    """The class that a classifier gives each image.

    Args:
        model: whose output is (B, classes).
        images: uint8 (N, H, W, 3), may be a memory map.
        batch_size: images a forward pass.
        device: `auto`, `cpu`, `cuda` …

    Returns:
        int64 (N,).

    Raises:
        InputError: outputs that are not finite.
    """
    out = np.empty(len(images), np.int64)

    def use(rows: slice, logits: Tensor) -> None:
        if not bool(torch.isfinite(logits).all()):
            raise InputError(
                f"{model.id} gives outputs that are not finite for images {rows.start} to "
                f"{rows.stop - 1}. Its weights are damaged, or diverged."
            )
        out[rows] = logits.argmax(1).cpu().numpy()

    each_batch(model, images, use, batch_size=batch_size, device=device)
    return out


class Distorted:
    """Distorted copies of a set of images, made once and kept in the cache.

    Args:
        images: uint8 (N, S, S, 3).
        seed: of what is random in the distortions.
        cache: where the copies are kept.
    """

    def __init__(self, images: np.ndarray, seed: int, cache: Cache) -> None:
        self.images, self.seed, self.cache = images, seed, cache
        self._pixels = hash_array(images)
        self._amplitude: np.ndarray | None = None

    def of(self, condition: Condition) -> np.ndarray:
        """All images in one condition, uint8 (N, S, S, 3)."""
        key = {
            "pixels": self._pixels,
            "condition": [condition.experiment, condition.severity],
            "seed": self.seed,
            "version": VERSION,
        }

        def build(folder: Path) -> None:
            np.save(folder / "images.npy", self._make(condition))

        kept = np.load(self.cache.get("distorted", key, build) / "images.npy", mmap_mode="r")
        return kept if kept.ndim == 4 else np.repeat(kept[..., None], 3, axis=3)

    def _make(self, condition: Condition) -> np.ndarray:
        if condition.experiment == "power-equalisation" and self._amplitude is None:
            self._amplitude = mean_amplitude(self.images)
        parts = [
            distort(
                np.array(self.images[start : start + BLOCK]),
                condition,
                seed=self.seed,
                amplitude=self._amplitude,
                first=start,
            )
            for start in range(0, len(self.images), BLOCK)
        ]
        out = np.concatenate(parts)
        gray = condition.experiment != "false-colour"  # three equal planes are kept as one
        return out[..., 0] if gray else out


def score_conditions(
    model: Model,
    images: np.ndarray,
    labels: np.ndarray,
    experiments: Sequence[str],
    *,
    seed: int = 0,
    cache: Cache | None = None,
    batch_size: int = 256,
    device: str = "auto",
    say: Callable[[str], None] = lambda line: None,
) -> tuple[pd.DataFrame, np.ndarray]:
    """Accuracy of a classifier on clean images and in every condition of some experiments.

    Args:
        model: whose output is (B, classes).
        images: uint8 (N, S, S, 3), at the model's size.
        labels: (N,).
        experiments: keys of `striate.data.images.distortions.SEVERITIES`.
        seed: of what is random in the distortions.
        cache: where distorted images are kept.
        batch_size: images a forward pass.
        device: `auto`, `cpu`, `cuda` …
        say: called with the name of each experiment before it begins.

    Returns:
        One row a condition, the clean images first: experiment, severity, level, excluded (left
        out of means by the benchmark), images, accuracy, low, high (Wilson's 95 % interval over
        images); and the decisions, int64 (rows, N).
    """
    copies = Distorted(images, seed, cache or Cache())
    all_of = [Condition(CLEAN, "0", 0, False), *conditions(experiments)]
    rows, decisions = [], []
    for condition in all_of:
        if condition.level == 0:
            say(condition.experiment)
        shown = images if condition.experiment == CLEAN else copies.of(condition)
        found = decide(model, shown, batch_size=batch_size, device=device)
        decisions.append(found)
        rows.append({**vars(condition), **_accuracy(found == labels)})
    return pd.DataFrame(rows), np.stack(decisions)


def _accuracy(right: np.ndarray) -> dict[str, float]:
    interval = binomtest(int(right.sum()), len(right)).proportion_ci(method="wilson")
    return {
        "images": len(right),
        "accuracy": float(right.mean()),
        "low": float(interval.low),
        "high": float(interval.high),
    }


def means(table: pd.DataFrame) -> pd.DataFrame:
    """Mean accuracy of each experiment over the conditions that count, and over experiments.

    As in the benchmark of Geirhos et al. 2021 (docs/papers/lcl-v2.md 5.5): conditions of an
    experiment have as many images each, so its mean is that over all its trials; then the mean
    over experiments.

    Args:
        table: of `score_conditions`.

    Returns:
        One row an experiment (`experiment`, `conditions`, `accuracy`), `mean` the last; empty
        where there is no experiment.
    """
    counted = table[~table["excluded"] & (table["experiment"] != CLEAN)]
    if counted.empty:
        return pd.DataFrame(columns=["experiment", "conditions", "accuracy"])
    by = counted.groupby("experiment", sort=False)["accuracy"].agg(["size", "mean"]).reset_index()
    by.columns = pd.Index(["experiment", "conditions", "accuracy"])
    last = {
        "experiment": "mean",
        "conditions": int(by["conditions"].sum()),
        "accuracy": by["accuracy"].mean(),
    }
    return pd.concat([by, pd.DataFrame([last])], ignore_index=True)
