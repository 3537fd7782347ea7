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
from striate.core.compute import Compute
from striate.core.errors import InputError
from striate.core.hashing import hash_array
from striate.data.images.distortions import VERSION, Condition, conditions, distort, mean_amplitude
from striate.evaluate.common.forward import each_batch
from striate.models import Model

CLEAN = "clean"
BLOCK = 256
"""Images that are distorted at once."""


def decide(model: Model, images: np.ndarray, compute: Compute | None = None) -> np.ndarray:
    """Decide, with a classifier, of which class each image is.

    Args:
        model: whose output is (B, classes).
        images: uint8 (N, H, W, 3), may be a memory map.
        compute: device and batch size.

    Returns:
        int64 (N,), the number of the class.

    Raises:
        InputError: outputs that are not finite.
    """
    decisions = np.empty(len(images), np.int64)

    def keep_decisions(rows: slice, logits: Tensor) -> None:
        if not bool(torch.isfinite(logits).all()):
            raise InputError(
                f"{model.id} gives outputs that are not finite for images {rows.start} to "
                f"{rows.stop - 1}. Its weights are damaged, or diverged."
            )
        decisions[rows] = logits.argmax(1).cpu().numpy()

    each_batch(model, images, keep_decisions, compute or Compute())
    return decisions


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
        """Return all images in one condition, uint8 (N, S, S, 3)."""
        key = {
            "pixels": self._pixels,
            "condition": [condition.experiment, condition.severity],
            "seed": self.seed,
            "version": VERSION,
        }

        def build(folder: Path) -> None:
            np.save(folder / "images.npy", self._distort_all(condition))

        pixels = np.load(self.cache.get("distorted", key, build) / "images.npy", mmap_mode="r")
        return pixels if pixels.ndim == 4 else np.repeat(pixels[..., None], 3, axis=3)

    def _distort_all(self, condition: Condition) -> np.ndarray:
        if condition.experiment == "power-equalisation" and self._amplitude is None:
            self._amplitude = mean_amplitude(self.images)
        blocks = [
            distort(
                np.array(self.images[start : start + BLOCK]),
                condition,
                seed=self.seed,
                amplitude=self._amplitude,
                first=start,
            )
            for start in range(0, len(self.images), BLOCK)
        ]
        distorted = np.concatenate(blocks)
        gray = condition.experiment != "false-colour"  # three equal planes are kept as one
        return distorted[..., 0] if gray else distorted


def score_conditions(
    model: Model,
    images: np.ndarray,
    labels: np.ndarray,
    experiments: Sequence[str],
    *,
    seed: int = 0,
    compute: Compute | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> tuple[pd.DataFrame, np.ndarray]:
    """Score a classifier on clean images and in every condition of the given experiments.

    Args:
        model: whose output is (B, classes).
        images: uint8 (N, S, S, 3), at the model's size.
        labels: (N,).
        experiments: keys of `striate.data.images.distortions.SEVERITIES`.
        seed: of what is random in the distortions.
        compute: device, batch size, and the cache in which distorted images are kept.
        say: called with the name of each experiment before it begins.

    Returns:
        One row a condition, the clean images first: experiment, severity, level, excluded (left
        out of means by the benchmark), images, accuracy, low, high (Wilson's 95 % interval over
        images); and the decisions, int64 (rows, N).
    """
    compute = compute or Compute()
    copies = Distorted(images, seed, compute.cache)
    rows, decisions = [], []
    for condition in [Condition(CLEAN, "0", 0, False), *conditions(experiments)]:
        if condition.level == 0:
            say(condition.experiment)
        shown = images if condition.experiment == CLEAN else copies.of(condition)
        decisions.append(decide(model, shown, compute))
        rows.append({**vars(condition), **_score_accuracy(decisions[-1] == labels)})
    return pd.DataFrame(rows), np.stack(decisions)


def _score_accuracy(correct: np.ndarray) -> dict[str, float]:
    """Return the share of correct decisions, with Wilson's 95 % interval over images."""
    interval = binomtest(int(correct.sum()), len(correct)).proportion_ci(method="wilson")
    return {
        "images": len(correct),
        "accuracy": float(correct.mean()),
        "low": float(interval.low),
        "high": float(interval.high),
    }


def means(table: pd.DataFrame) -> pd.DataFrame:
    """Average accuracy over the conditions of each experiment that count, and over experiments.

    This is the mean of the benchmark of Geirhos et al. 2021 (docs/papers/lcl-v2.md 5.5): the
    conditions of an experiment have equally many images, so its mean is that over all its trials;
    then the mean over experiments is taken.

    Args:
        table: of `score_conditions`.

    Returns:
        One row an experiment (`experiment`, `conditions`, `accuracy`), `mean` the last; empty
        where there is no experiment.
    """
    counted = table[~table["excluded"] & (table["experiment"] != CLEAN)]
    if counted.empty:
        return pd.DataFrame(columns=["experiment", "conditions", "accuracy"])
    averages = counted.groupby("experiment", sort=False)["accuracy"].agg(["size", "mean"])
    averages = averages.reset_index()
    averages.columns = pd.Index(["experiment", "conditions", "accuracy"])
    overall = {
        "experiment": "mean",
        "conditions": int(averages["conditions"].sum()),
        "accuracy": averages["accuracy"].mean(),
    }
    return pd.concat([averages, pd.DataFrame([overall])], ignore_index=True)
