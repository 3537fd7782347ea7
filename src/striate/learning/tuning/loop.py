"""The steps of tuning: batches of one target each, epochs, and the scores on `select`."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor

from striate.learning.common.augment import augment
from striate.learning.common.batches import Batch, epoch_batches, shard_sizes
from striate.learning.common.checkpoint import Standing, read, write
from striate.learning.common.loop import Loop, draw_seed, prefetched, rate_factor
from striate.learning.tuning.config import TuneConfig
from striate.learning.tuning.heads import ContrastiveHeads
from striate.learning.tuning.module import Tuner
from striate.learning.tuning.targets import TuneTarget
from striate.models import evaluating

SELECT_IMAGES = 256
"""Images in a forward pass while `select` is scored."""


class TuneLoop(Loop):
    """Tunes a `Tuner` to its targets.

    Args:
        fabric: launched; decides device, precision and processes.
        tuner: the module that learns, in place.
        targets: what it is tuned to, in the order of the tuner's heads.
        config: the settings.
        folder: where metrics.jsonl and checkpoints/ go.
        progress: whether to draw a bar.
    """

    def __init__(
        self,
        fabric: Fabric,
        tuner: Tuner,
        targets: Sequence[TuneTarget],
        config: TuneConfig,
        folder: Path,
        *,
        progress: bool = True,
    ) -> None:
        optimizer = make_optimizer(tuner, config)
        super().__init__(
            fabric, tuner, optimizer, folder, progress=progress, tensorboard=config.tensorboard
        )
        self.tuner, self.targets, self.config = tuner, targets, config

    def run(self) -> Standing:
        """See `Loop.run`; with early stopping the best weights are loaded at the end."""
        super().run()
        if self.config.early_stopping is not None and self.standing.best_score is not None:
            self.tuner.load_state_dict(read(self.checkpoints.best(self.standing.best_epoch)))
        return self.standing

    @property
    def total_steps(self) -> int:
        """Number of steps of all epochs."""
        return self._count_epoch_steps() * self.config.epochs

    def steps(self) -> Iterator[tuple[dict[str, Any], bool]]:
        """See `Loop.steps`."""
        while not self._is_finished():
            yield from self.epoch()

    def _is_finished(self) -> bool:
        standing, patience = self.standing, self.config.early_stopping
        if standing.epoch >= self.config.epochs:
            return True
        if patience is None or standing.best_score is None:
            return False
        return standing.epoch - standing.best_epoch >= patience

    def epoch(self) -> Iterator[tuple[dict[str, Any], bool]]:
        """Do the remaining steps of one epoch, then score `select`."""
        standing, config = self.standing, self.config
        batches = self._list_batches(standing.epoch)
        for batch, (images, responses) in prefetched(batches[standing.batch :], self._load_batch):
            started = time.perf_counter()
            factor = learning_rate_factor(standing.step, self._count_epoch_steps(), config)
            loss = self._do_step(batch, images, responses, factor)
            standing.step += 1
            standing.batch += 1
            standing.loss_sum += loss * len(batch.rows)
            standing.loss_count += len(batch.rows)
            line: dict[str, Any] = {
                "step": standing.step,
                "epoch": standing.epoch + 1,
                "target": self.targets[batch.target].name,
                "loss": loss,
                "learning_rate": factor * config.learning_rate,
            }
            epoch_ended = standing.batch == len(batches)
            if epoch_ended:
                line |= self._end_epoch()
            line["seconds"] = round(time.perf_counter() - started, 4)
            interval = config.checkpoint_every
            checkpoint_due = standing.step % interval == 0 if interval else epoch_ended
            yield line, checkpoint_due or self._is_finished()

    def _do_step(self, batch: Batch, images: Tensor, responses: Tensor, factor: float) -> float:
        """Do one optimizer step; return the loss before it."""
        config, standing, fabric = self.config, self.standing, self.fabric
        sizes = shard_sizes(len(batch.rows), fabric.world_size)
        first = sum(sizes[: fabric.global_rank])
        torch.manual_seed(draw_seed(config.seed, standing.step, fabric.global_rank))
        images = images.to(fabric.device, non_blocking=True)
        responses = responses.to(fabric.device, non_blocking=True)
        images = augment(
            images,
            config.augment,
            draw_seed(config.seed, standing.step, -1),
            total=len(batch.rows) + 1,  # an idle process holds an extra image beyond the batch
            first=first,
        )
        for group in self.optimizer.param_groups:
            group["lr"] = group["base_lr"] * factor
        self.tuner.train()
        self.module.train()
        self.optimizer.zero_grad(set_to_none=True)
        heads_only = standing.epoch < config.head_epochs
        loss = self.module(images, responses, batch.target, sizes, heads_only)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise self.diverged(
                value,
                f"epoch {standing.epoch + 1}, target {self.targets[batch.target].name}",
                "a lower learning_rate, warmup_epochs, a higher temperature or precision: '32'",
            )
        fabric.backward(loss)
        self.optimizer.step()
        if isinstance(self.tuner.heads, ContrastiveHeads):
            self.tuner.heads.keep_temperature_in_range()
        return value

    def _load_batch(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return this process's images of a batch, and all responses of the batch."""
        target = self.targets[batch.target]
        sizes = shard_sizes(len(batch.rows), self.fabric.world_size)
        first = sum(sizes[: self.fabric.global_rank])
        # With more processes than stimuli, an idle one runs an image whose gradient is dropped.
        rows = batch.rows[first : first + sizes[self.fabric.global_rank]]
        rows = rows if len(rows) else batch.rows[:1]
        images = torch.from_numpy(np.ascontiguousarray(target.images[target.tune[rows]]))
        responses = torch.from_numpy(target.tune_responses[batch.rows])
        if self.fabric.device.type == "cuda":
            return images.pin_memory(), responses.pin_memory()
        return images, responses

    def _end_epoch(self) -> dict[str, Any]:
        """Score `select`, note the best score, and start the next epoch; return what to log."""
        standing = self.standing
        line: dict[str, Any] = {"epoch_loss": standing.loss_sum / standing.loss_count}
        if self.config.learn_temperature and isinstance(self.tuner.heads, ContrastiveHeads):
            line["temperature"] = self.tuner.heads.temperature.item()
        standing.epoch += 1
        standing.batch, standing.loss_sum, standing.loss_count = 0, 0.0, 0
        scores = self._score_select()
        if scores:
            line |= {f"select_{name}": value for name, value in scores.items()}
            score = scores["r"] if "r" in scores else -scores["loss"]
            is_better = math.isfinite(score) and (
                standing.best_score is None or score > standing.best_score
            )
            # Processes must agree, even if their sums differ in the last bit.
            if self.anywhere(is_better and self.fabric.is_global_zero):
                standing.best_score, standing.best_epoch = float(score), standing.epoch
                if self.config.early_stopping is not None and self.fabric.is_global_zero:
                    write(self.checkpoints.best(standing.epoch), self.tuner.state_dict())
            line["best_epoch"] = standing.best_epoch
        return line

    def _score_select(self) -> dict[str, float]:
        """Score the select parts with the network in eval mode; each target counts the same."""
        target_scores: list[dict[str, float]] = []
        for index, target in enumerate(self.targets):
            if len(target.select) < 2:
                continue
            responses = torch.from_numpy(target.select_responses).to(self.fabric.device)
            with self.fabric.autocast():
                features = torch.cat(list(self._take_select_features(target)))
                target_scores.append(self.tuner.scores(features, responses, index))
        if not target_scores:
            return {}
        names = target_scores[0]
        return {name: float(np.mean([s[name] for s in target_scores])) for name in names}

    def _take_select_features(self, target: TuneTarget) -> Iterator[Tensor]:
        size = min(self.config.batch_size, SELECT_IMAGES)
        starts = range(0, len(target.select), size)

        def load(start: int) -> Tensor:
            rows = target.select[start : start + size]
            return torch.from_numpy(np.ascontiguousarray(target.images[rows]))

        with torch.no_grad(), evaluating(self.tuner):
            for _, images in prefetched(starts, load):
                yield self.tuner.features(images.to(self.fabric.device))

    def _list_batches(self, epoch: int) -> list[Batch]:
        return epoch_batches(
            [len(t.tune) for t in self.targets],
            self.config.batch_size,
            order=self.config.order,
            seed=self.config.seed,
            epoch=epoch,
        )

    def _count_epoch_steps(self) -> int:
        return len(self._list_batches(0))


def make_optimizer(tuner: Tuner, config: TuneConfig) -> torch.optim.Optimizer:
    """Adam over network and heads (docs/papers/contrastive-tuning.md 2.1); AdamW with decay."""
    heads = [p for p in tuner.heads.parameters() if p.requires_grad]
    groups = [
        ([p for p in tuner.model.parameters() if p.requires_grad], config.learning_rate),
        (heads, config.head_learning_rate or config.learning_rate),
    ]
    parameter_groups = [{"params": params, "lr": rate, "base_lr": rate} for params, rate in groups]
    if config.weight_decay:
        return torch.optim.AdamW(parameter_groups, weight_decay=config.weight_decay, fused=True)
    return torch.optim.Adam(parameter_groups, fused=True)


def learning_rate_factor(step: int, epoch_steps: int, config: TuneConfig) -> float:
    """Return the factor of the learning rates at a step, counted from 0."""
    warmup = round(config.warmup_epochs * epoch_steps)
    return rate_factor(step, config.epochs * epoch_steps, warmup, config.schedule)
