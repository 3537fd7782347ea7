"""The tuning loop: from the first step, or from a checkpoint, to the last epoch."""

from __future__ import annotations

import math
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

import numpy as np
import torch
from lightning_fabric import Fabric
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from striate.core.errors import DivergedError
from striate.core.hashing import hash_json
from striate.learning.augment import augment
from striate.learning.batches import Batch, epoch_batches, shard_sizes
from striate.learning.checkpoint import Checkpoints, Standing, read, write
from striate.learning.config import TuneConfig
from striate.learning.metrics import MetricsLog
from striate.learning.targets import TuneTarget
from striate.learning.tuner import Tuner
from striate.models import evaluating

A = TypeVar("A")
B = TypeVar("B")
SELECT_IMAGES = 256
"""Images in a forward pass while `select` is scored."""
TERMINATED = 128 + signal.SIGTERM


class Loop:
    """Tunes a `Tuner` to its targets.

    Args:
        fabric: launched; decides device, precision and processes.
        tuner: what learns, in place.
        targets: what it is tuned to, in the order of the tuner's heads.
        config: how.
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
        self.fabric, self.tuner, self.targets, self.config = fabric, tuner, targets, config
        self.folder = folder
        self.progress = progress and fabric.is_global_zero
        self.checkpoints = Checkpoints(folder / "checkpoints")
        self.standing = Standing()
        self.module, self.optimizer = fabric.setup(tuner, make_optimizer(tuner, config))

    def run(self) -> Standing:
        """Tune to the end, from the last checkpoint if there is one; the best weights are in place.

        Raises:
            DivergedError: a loss that is not finite; the last good checkpoint is named.
            SystemExit: SIGTERM came; a checkpoint was written first. The code is 143.
        """
        self._resume()
        devices = [self.fabric.device] if self.fabric.device.type == "cuda" else []
        with (
            torch.random.fork_rng(devices=devices),
            TerminationRequest() as termination,
            _Bar(self._epoch_steps() * self.config.epochs, self.progress) as bar,
        ):
            log = self._open_log()
            try:
                while not self._finished():
                    self._epoch(log, termination, bar)
            finally:
                if log:
                    log.close()
        if self.config.early_stopping is not None and self.standing.best_score is not None:
            self.tuner.load_state_dict(read(self.checkpoints.best(self.standing.best_epoch)))
        return self.standing

    def _finished(self) -> bool:
        at, patience = self.standing, self.config.early_stopping
        waited = at.epoch - at.best_epoch
        stopped = patience is not None and at.best_score is not None and waited >= patience
        return at.epoch >= self.config.epochs or stopped

    def _epoch(self, log: MetricsLog | None, termination: TerminationRequest, bar: _Bar) -> None:
        """The steps of one epoch that are still to do, then the scores on `select`."""
        at, config = self.standing, self.config
        batches = self._batches(at.epoch)
        for batch, (images, responses) in prefetched(batches[at.batch :], self._load):
            started = time.perf_counter()
            rate = learning_rate_factor(at.step, self._epoch_steps(), config)
            loss = self._step(batch, images, responses, rate)
            at.step += 1
            at.batch += 1
            at.loss_sum += loss * len(batch.rows)
            at.loss_count += len(batch.rows)
            line: dict[str, Any] = {
                "step": at.step,
                "epoch": at.epoch + 1,
                "target": self.targets[batch.target].name,
                "loss": loss,
                "learning_rate": rate * config.learning_rate,
            }
            ended = at.batch == len(batches)
            if ended:
                line |= self._end_epoch()
            line["seconds"] = round(time.perf_counter() - started, 4)
            if log:
                log.write(line)
            stop = self._anywhere(termination.asked)
            every = config.checkpoint_every
            if stop or (at.step % every == 0 if every else ended) or self._finished():
                self._checkpoint(log)
            bar.update(at, loss)
            if stop:
                raise _terminated(self.checkpoints.last, at)

    def _step(self, batch: Batch, images: Tensor, responses: Tensor, rate: float) -> float:
        """One optimizer step; returns the loss before it."""
        config, at, fabric = self.config, self.standing, self.fabric
        sizes = shard_sizes(len(batch.rows), fabric.world_size)
        first = sum(sizes[: fabric.global_rank])
        torch.manual_seed(draw_seed(config.seed, at.step, fabric.global_rank))
        images = images.to(fabric.device, non_blocking=True)
        responses = responses.to(fabric.device, non_blocking=True)
        images = augment(
            images,
            config.augment,
            draw_seed(config.seed, at.step, -1),
            total=len(batch.rows) + 1,  # an idle process holds one image beyond the batch
            first=first,
        )
        for group in self.optimizer.param_groups:
            group["lr"] = group["base_lr"] * rate
        self.tuner.train()
        self.module.train()
        self.optimizer.zero_grad(set_to_none=True)
        heads_only = at.epoch < config.head_epochs
        loss = self.module(images, responses, batch.target, sizes, heads_only)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise self._diverged(batch, value)
        fabric.backward(loss)
        self.optimizer.step()
        return value

    def _load(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the images of a batch that this process runs, and all its responses."""
        target = self.targets[batch.target]
        sizes = shard_sizes(len(batch.rows), self.fabric.world_size)
        first = sum(sizes[: self.fabric.global_rank])
        # More processes than stimuli: an idle one runs an image whose gradient is dropped.
        mine = batch.rows[first : first + sizes[self.fabric.global_rank]]
        mine = mine if len(mine) else batch.rows[:1]
        images = torch.from_numpy(np.ascontiguousarray(target.images[target.tune[mine]]))
        responses = torch.from_numpy(target.tune_responses[batch.rows])
        if self.fabric.device.type == "cuda":
            return images.pin_memory(), responses.pin_memory()
        return images, responses

    def _end_epoch(self) -> dict[str, Any]:
        """Score `select`, note the best, and turn to the next epoch; returns what to log."""
        at = self.standing
        line: dict[str, Any] = {"epoch_loss": at.loss_sum / at.loss_count}
        at.epoch += 1
        at.batch, at.loss_sum, at.loss_count = 0, 0.0, 0
        scores = self._select_scores()
        if scores:
            line |= {f"select_{name}": value for name, value in scores.items()}
            score = scores["r"] if "r" in scores else -scores["loss"]
            better = math.isfinite(score) and (at.best_score is None or score > at.best_score)
            # Processes must agree even if their sums differ in the last bit.
            if self._anywhere(better and self.fabric.is_global_zero):
                at.best_score, at.best_epoch = float(score), at.epoch
                if self.config.early_stopping is not None and self.fabric.is_global_zero:
                    write(self.checkpoints.best(at.epoch), self.tuner.state_dict())
            line["best_epoch"] = at.best_epoch
        return line

    def _select_scores(self) -> dict[str, float]:
        """Scores on the select part, the network in eval mode; each target counts the same."""
        found: list[dict[str, float]] = []
        for index, target in enumerate(self.targets):
            if len(target.select) < 2:
                continue
            responses = torch.from_numpy(target.select_responses).to(self.fabric.device)
            with self.fabric.autocast():
                features = torch.cat(list(self._select_features(target)))
                found.append(self.tuner.scores(features, responses, index))
        return {k: float(np.mean([f[k] for f in found])) for k in found[0]} if found else {}

    def _select_features(self, target: TuneTarget) -> Iterator[Tensor]:
        size = min(self.config.batch_size, SELECT_IMAGES)
        starts = range(0, len(target.select), size)

        def load(start: int) -> Tensor:
            rows = target.select[start : start + size]
            return torch.from_numpy(np.ascontiguousarray(target.images[rows]))

        with torch.no_grad(), evaluating(self.tuner):
            for _, images in prefetched(starts, load):
                yield self.tuner.features(images.to(self.fabric.device))

    def _batches(self, epoch: int) -> list[Batch]:
        return epoch_batches(
            [len(t.tune) for t in self.targets],
            self.config.batch_size,
            order=self.config.order,
            seed=self.config.seed,
            epoch=epoch,
        )

    def _epoch_steps(self) -> int:
        return len(self._batches(0))

    def _resume(self) -> None:
        state = self.checkpoints.load()
        if state is None:
            return
        weights, optimizer, self.standing = state
        self.tuner.load_state_dict(weights)
        self.optimizer.load_state_dict(optimizer)

    def _open_log(self) -> MetricsLog | None:
        if not self.fabric.is_global_zero:
            return None
        board = self.folder / "tensorboard" if self.config.tensorboard else None
        at = self.standing
        return MetricsLog(self.folder / "metrics.jsonl", at.metrics_bytes, at.step, board)

    def _checkpoint(self, log: MetricsLog | None) -> None:
        if log:
            self.standing.metrics_bytes = log.sync()
            self.checkpoints.save(
                self.tuner.state_dict(), self.optimizer.state_dict(), self.standing
            )
        self.fabric.barrier()

    def _anywhere(self, flag: bool) -> bool:
        """Whether the flag is set on any process."""
        if self.fabric.world_size == 1:
            return flag
        count = torch.tensor(float(flag), device=self.fabric.device)
        torch.distributed.all_reduce(count)
        return bool(count.item() > 0)

    def _diverged(self, batch: Batch, value: float) -> DivergedError:
        last = self.checkpoints.last
        kept = (
            f"The last good checkpoint is {last}" if last.exists() else "No checkpoint exists yet"
        )
        return DivergedError(
            f"the loss became {value} at step {self.standing.step + 1} (epoch "
            f"{self.standing.epoch + 1}, target {self.targets[batch.target].name}). {kept}. "
            "Try a lower learning_rate, warmup_epochs, a higher temperature or precision: '32', in "
            "a new folder."
        )


def make_optimizer(tuner: Tuner, config: TuneConfig) -> torch.optim.Optimizer:
    """Adam over network and heads (papers/contrastive-tuning 2.1); AdamW where weights decay."""
    heads = [p for p in tuner.heads.parameters() if p.requires_grad]
    groups = [
        ([p for p in tuner.model.parameters() if p.requires_grad], config.learning_rate),
        (heads, config.head_learning_rate or config.learning_rate),
    ]
    grouped = [{"params": params, "lr": rate, "base_lr": rate} for params, rate in groups]
    if config.weight_decay:
        return torch.optim.AdamW(grouped, weight_decay=config.weight_decay, fused=True)
    return torch.optim.Adam(grouped, fused=True)


def learning_rate_factor(step: int, epoch_steps: int, config: TuneConfig) -> float:
    """Return what the learning rates are multiplied by at a step, counted from 0."""
    warmup = round(config.warmup_epochs * epoch_steps)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    if config.schedule == "constant":
        return 1.0
    total = config.epochs * epoch_steps
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))


def draw_seed(seed: int, step: int, stream: int) -> int:
    """Return the seed of all that is drawn in one step by one stream (a process, or -1)."""
    return int(hash_json([seed, step, stream])[:15], 16)


def prefetched(items: Iterable[A], load: Callable[[A], B]) -> Iterator[tuple[A, B]]:
    """Yield each item with its load, reading one ahead in a thread."""
    with ThreadPoolExecutor(1) as pool:
        waiting: tuple[A, Future[B]] | None = None
        for item in items:
            following = (item, pool.submit(load, item))
            if waiting:
                yield waiting[0], waiting[1].result()
            waiting = following
        if waiting:
            yield waiting[0], waiting[1].result()


class TerminationRequest(AbstractContextManager["TerminationRequest"]):
    """Notes SIGTERM instead of dying of it, so that the loop can write a checkpoint first."""

    def __init__(self) -> None:
        self.asked = False

    def __enter__(self) -> TerminationRequest:
        self._main = threading.current_thread() is threading.main_thread()
        if self._main:
            self._before = signal.signal(signal.SIGTERM, self._note)
        return self

    def __exit__(self, *exception: object) -> None:
        if self._main:
            signal.signal(signal.SIGTERM, self._before)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.asked = True


def _terminated(last: Path, at: Standing) -> SystemExit:
    print(
        f"Stopped by SIGTERM after step {at.step}. Checkpoint: {last}. "
        "Run the same command again to go on from there.",
        file=sys.stderr,
        flush=True,
    )
    return SystemExit(TERMINATED)


class _Bar(AbstractContextManager["_Bar"]):
    """A progress bar over all steps, or nothing."""

    def __init__(self, total: int, shown: bool) -> None:
        columns = ("tuning", BarColumn(), TextColumn("{task.fields[note]}"), TimeRemainingColumn())
        self._progress = Progress(*columns, disable=not shown)
        self._task = self._progress.add_task("tuning", total=total, note="")

    def __enter__(self) -> _Bar:
        self._progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._progress.stop()

    def update(self, at: Standing, loss: float) -> None:
        """Show where the run stands."""
        note = f"epoch {at.epoch + 1}  step {at.step}  loss {loss:.4f}"
        self._progress.update(self._task, completed=at.step, note=note)
