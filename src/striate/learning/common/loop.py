"""The one loop of all learning: steps, log, checkpoints, resume and a clean stop."""

from __future__ import annotations

import math
import signal
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

import torch
from lightning_fabric import Fabric
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from torch import nn

from striate.core.errors import DivergedError
from striate.core.hashing import hash_json
from striate.learning.common.checkpoint import Checkpoints, Standing
from striate.learning.common.metrics import MetricsLog

A = TypeVar("A")
B = TypeVar("B")


class Loop(ABC):
    """Runs a learner's steps; what a step is, the subclass says in `steps`.

    Args:
        fabric: launched; decides device, precision and processes.
        learner: what learns, in place.
        optimizer: of the learner's parameters.
        folder: where metrics.jsonl and checkpoints/ go.
        progress: whether to draw a bar.
        tensorboard: whether to write TensorBoard events too.
    """

    def __init__(
        self,
        fabric: Fabric,
        learner: nn.Module,
        optimizer: torch.optim.Optimizer,
        folder: Path,
        *,
        progress: bool = True,
        tensorboard: bool = False,
    ) -> None:
        self.fabric, self.learner, self.folder = fabric, learner, folder
        self.progress = progress and fabric.is_global_zero
        self.tensorboard = tensorboard
        self.checkpoints = Checkpoints(folder / "checkpoints")
        self.standing = Standing()
        self.module, self.optimizer = fabric.setup(learner, optimizer)

    @property
    @abstractmethod
    def total_steps(self) -> int:
        """Steps of a run that is not stopped early."""

    @abstractmethod
    def steps(self) -> Iterator[tuple[dict[str, Any], bool]]:
        """Do the steps that are left from `standing` on.

        Yields after each one its line for the log, and whether a checkpoint is due.
        """

    def run(self) -> Standing:
        """Learn to the end, from the last checkpoint if there is one.

        Raises:
            DivergedError: a loss that is not finite; the last good checkpoint is named.
            SystemExit: SIGTERM or Ctrl-C came; a checkpoint was written first. The code is 143 or
                130, as of a shell's.
        """
        self._resume()
        devices = [self.fabric.device] if self.fabric.device.type == "cuda" else []
        with (
            torch.random.fork_rng(devices=devices),
            TerminationRequest() as termination,
            Bar(self.total_steps, self.progress) as bar,
        ):
            log = self._open_log()
            try:
                self.drive(self.steps(), log, termination, bar)
            finally:
                if log:
                    log.close()
        return self.standing

    def drive(
        self,
        steps: Iterable[tuple[dict[str, Any], bool]],
        log: MetricsLog | None,
        termination: TerminationRequest,
        bar: Bar,
    ) -> None:
        """Log each step, write the checkpoints that are due, and stop when asked to."""
        for line, due in steps:
            if log:
                log.write(line)
            stop = self.anywhere(termination.asked is not None)
            if stop or due:
                self._checkpoint(log)
            bar.update(self.standing, line["loss"])
            if stop:
                number = termination.asked or signal.SIGTERM  # another process may have been asked
                raise _terminated(number, self.checkpoints.last, self.standing)

    def anywhere(self, flag: bool) -> bool:
        """Whether the flag is set on any process."""
        if self.fabric.world_size == 1:
            return flag
        count = torch.tensor(float(flag), device=self.fabric.device)
        torch.distributed.all_reduce(count)
        return bool(count.item() > 0)

    def diverged(self, value: float, where: str, hint: str) -> DivergedError:
        """The error for a loss that is not finite."""
        return DivergedError(
            f"the loss became {value} at step {self.standing.step + 1} ({where}). {self._kept()}. "
            f"Try {hint}, in a new folder."
        )

    def _kept(self) -> str:
        last = self.checkpoints.last
        return (
            f"The last good checkpoint is {last}" if last.exists() else "No checkpoint exists yet"
        )

    def _assert_finite(self) -> None:
        """Refuse to keep weights that the last step broke: its loss was computed before it."""
        for name, value in self.learner.named_parameters():
            if not torch.isfinite(value.detach()).all():
                raise DivergedError(
                    f"the weights {name} are not finite after step {self.standing.step}. "
                    f"{self._kept()}. Try a lower learning_rate, in a new folder."
                )

    def _resume(self) -> None:
        state = self.checkpoints.load()
        if state is None:
            return
        weights, optimizer, self.standing = state
        self.learner.load_state_dict(weights)
        self.optimizer.load_state_dict(optimizer)

    def _open_log(self) -> MetricsLog | None:
        if not self.fabric.is_global_zero:
            return None
        board = self.folder / "tensorboard" if self.tensorboard else None
        at = self.standing
        return MetricsLog(self.folder / "metrics.jsonl", at.metrics_bytes, at.step, board)

    def _checkpoint(self, log: MetricsLog | None) -> None:
        self._assert_finite()
        if log:
            self.standing.metrics_bytes = log.sync()
            self.checkpoints.save(
                self.learner.state_dict(), self.optimizer.state_dict(), self.standing
            )
        self.fabric.barrier()


def rate_factor(step: int, total: int, warmup: int, schedule: str) -> float:
    """Return what the learning rates are multiplied by at a step, counted from 0.

    A linear warm-up from zero, then 1, or for `cosine` the half wave that falls to zero at `total`.
    """
    if step < warmup:
        return (step + 1) / (warmup + 1)
    if schedule == "constant":
        return 1.0
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
    """Notes SIGTERM and Ctrl-C instead of dying of them, so that a checkpoint is written first.

    Who asks a second time is not made to wait for the end of the step.
    """

    def __init__(self) -> None:
        self.asked: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> TerminationRequest:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        before = self._before[number]
        if self.asked is not None and callable(before):
            before(number, frame)
        self.asked = number


def _terminated(number: int, last: Path, at: Standing) -> SystemExit:
    print(
        f"Stopped by {signal.Signals(number).name} after step {at.step}. Checkpoint: {last}. "
        "Run the same command again to go on from there.",
        file=sys.stderr,
        flush=True,
    )
    return SystemExit(128 + number)


class Bar(AbstractContextManager["Bar"]):
    """A progress bar over all steps, or nothing."""

    def __init__(self, total: int, shown: bool) -> None:
        columns = (
            "learning",
            BarColumn(),
            TextColumn("{task.fields[note]}"),
            TimeRemainingColumn(),
        )
        self._progress = Progress(*columns, disable=not shown)
        self._task = self._progress.add_task("learning", total=total, note="")

    def __enter__(self) -> Bar:
        self._progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._progress.stop()

    def update(self, at: Standing, loss: float) -> None:
        """Show where the run stands."""
        note = f"epoch {at.epoch + 1}  step {at.step}  loss {loss:.4f}"
        self._progress.update(self._task, completed=at.step, note=note)
