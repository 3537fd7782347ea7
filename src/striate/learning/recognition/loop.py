"""The steps of training: shuffled batches of labeled images, attacked or not."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from striate.core.draws import share_of
from striate.core.errors import InputError
from striate.learning.common.augment import augment, drawn
from striate.learning.common.batches import check_shares
from striate.learning.common.batchnorm import share_statistics
from striate.learning.common.distributed import all_sum
from striate.learning.common.loop import Loop, draw_seed, prefetched, rate_factor
from striate.learning.recognition.config import TrainConfig
from striate.learning.recognition.module import Kind, Recognizer, cacheable, take_features


class TrainLoop(Loop):
    """Trains a `Recognizer`.

    Args:
        fabric: launched; decides device, precision and processes.
        recognizer: the module that learns, in place.
        images: uint8 (N, H, W, 3), may be a memory map.
        labels: int64 (N,).
        config: the settings.
        folder: where metrics.jsonl and checkpoints/ go.
        progress: whether to draw a bar.

    Raises:
        InputError: there are fewer images than a batch holds, or a batch holds fewer than two
            images per process.
    """

    def __init__(
        self,
        fabric: Fabric,
        recognizer: Recognizer,
        images: np.ndarray,
        labels: np.ndarray,
        config: TrainConfig,
        folder: Path,
        *,
        progress: bool = True,
    ) -> None:
        check_batch(config.batch_size, len(images), fabric.world_size)
        if fabric.world_size > 1:
            share_statistics(recognizer)
        super().__init__(
            fabric,
            recognizer,
            make_optimizer(recognizer, config),
            folder,
            progress=progress,
            tensorboard=config.tensorboard,
        )
        self.recognizer, self.config = recognizer, config
        self.images, self.labels = images, torch.from_numpy(labels)
        self.features: Tensor | None = None

    @property
    def epoch_steps(self) -> int:
        """Number of steps of an epoch, which leaves out images that do not fill a last batch."""
        return len(self.images) // self.config.batch_size

    @property
    def total_steps(self) -> int:
        """Number of steps of all epochs."""
        return self.epoch_steps * self.config.epochs

    def steps(self) -> Iterator[tuple[dict[str, Any], bool]]:
        """See `Loop.steps`."""
        standing, config = self.standing, self.config
        if standing.step < self.total_steps and cacheable(
            self.recognizer.model, config, len(self.images)
        ):
            self.features = take_features(self.recognizer, self.images, config.augment.flip)
        warmup = round(config.warmup_epochs * self.epoch_steps)
        started = time.perf_counter()
        for step, batch in prefetched(range(standing.step, self.total_steps), self._load_batch):
            factor = rate_factor(step, self.total_steps, warmup, config.schedule)
            loss, accuracy = self._do_step(*batch, factor)
            standing.step += 1
            standing.loss_sum, standing.batch = standing.loss_sum + loss, standing.batch + 1
            line: dict[str, Any] = {
                "step": standing.step,
                "epoch": standing.epoch + 1,
                "loss": loss,
                "accuracy": accuracy,
                "learning_rate": factor * config.learning_rate,
            }
            epoch_ended = standing.batch == self.epoch_steps
            if epoch_ended:
                line["epoch_loss"] = standing.loss_sum / standing.batch
                standing.epoch, standing.batch, standing.loss_sum = standing.epoch + 1, 0, 0.0
            now = time.perf_counter()
            line["seconds"], started = round(now - started, 4), now
            interval = config.checkpoint_every
            checkpoint_due = standing.step % interval == 0 if interval else epoch_ended
            yield line, checkpoint_due or standing.step == self.total_steps

    def rows(self, step: int) -> np.ndarray:
        """Return the images of a step, int (batch_size,); every epoch has its own order."""
        epoch, position = divmod(step, self.epoch_steps)
        order = _shuffle_images(self.config.seed, epoch, len(self.images))
        size = self.config.batch_size
        return order[position * size : (position + 1) * size]

    def _load_batch(self, step: int) -> tuple[Tensor, Tensor, Kind]:
        """Return this process's share of a step: images or features, labels, and which it is."""
        config, fabric = self.config, self.fabric
        share = share_of(config.batch_size, fabric.global_rank, fabric.world_size)
        rows = self.rows(step)[share]
        labels, seed = self.labels[rows].to(fabric.device), draw_seed(config.seed, step, -1)
        if self.features is not None:
            mirror = drawn(config.augment, seed, config.batch_size)[1][share]
            version = mirror.long() if config.augment.flip else torch.zeros(len(rows)).long()
            row_numbers = torch.from_numpy(rows)
            device = self.features.device
            return self.features[version.to(device), row_numbers.to(device)], labels, "features"
        images = torch.from_numpy(np.ascontiguousarray(self.images[rows])).to(fabric.device)
        total, first = config.batch_size, share.start
        return augment(images, config.augment, seed, total=total, first=first), labels, "images"

    def _do_step(self, x: Tensor, labels: Tensor, kind: Kind, factor: float) -> tuple[float, float]:
        """Do one optimizer step; return mean loss and accuracy over the whole batch before it."""
        config, fabric = self.config, self.fabric
        for group in self.optimizer.param_groups:
            group["lr"] = config.learning_rate * factor
        self.module.train()
        self.recognizer.train()
        if config.attack.eps:
            with fabric.autocast():
                x, kind = self.recognizer.attack(x, labels), "pixels"
        torch.manual_seed(draw_seed(config.seed, self.standing.step, fabric.global_rank))
        self.optimizer.zero_grad(set_to_none=True)
        loss, n_correct = self.module(x, labels, kind)
        loss = loss / config.batch_size
        totals = all_sum(torch.stack([loss.detach(), n_correct / config.batch_size]))
        value = float(totals[0])
        if not math.isfinite(value):
            raise self.diverged(
                value,
                f"epoch {self.standing.epoch + 1}",
                "a lower learning_rate, warmup_epochs or precision: '32'",
            )
        # The gradients of processes are averaged, and here they are parts of a sum.
        fabric.backward(loss * fabric.world_size)
        self.optimizer.step()
        return value, float(totals[1])


@lru_cache(maxsize=1)
def _shuffle_images(seed: int, epoch: int, images: int) -> np.ndarray:
    """Return the images of an epoch in its order; drawn once and not in every step."""
    return np.random.default_rng([seed, epoch]).permutation(images)


def check_batch(batch: int, images: int, processes: int = 1) -> None:
    """Refuse a batch that the images cannot fill or the processes cannot share; InputError."""
    if batch > images:
        raise InputError(
            f"a batch of {batch} images cannot be filled: there are {images}. Lower batch_size."
        )
    check_shares(batch, processes, "images")


def make_optimizer(recognizer: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """Return SGD with momentum, or AdamW; only kernels and matrices decay (ours)."""
    learning = [p for p in recognizer.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in learning if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in learning if p.ndim < 2], "weight_decay": 0.0},
    ]
    if config.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=config.learning_rate, fused=True)
    return torch.optim.SGD(groups, lr=config.learning_rate, momentum=config.momentum)
