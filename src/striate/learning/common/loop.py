"""The loop that all learning shares: steps, log, checkpoints, resume and a clean stop."""

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
from torch import nn

from striate.core.errors import DivergedError
from striate.core.hashing import hash_json
from striate.core.progress import ProgressBar
from striate.learning.common.checkpoint import Checkpoints, Standing
from striate.learning.common.metrics import MetricsLog

Item = TypeVar("Item")
Loaded = TypeVar("Loaded")


class Loop(ABC):
    """Runs the steps of a learner; subclasses define a step in `steps`.

    Args:
        fabric: launched; decides device, precision and processes.
        learner: the module that learns, in place.
        optimizer: optimizer of the learner's parameters.
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
        """Number of steps of a run that is not stopped early."""

    @abstractmethod
    def steps(self) -> Iterator[tuple[dict[str, Any], bool]]:
        """Do the steps that remain after `standing`.

        Yields after each step its line for the log, and whether a checkpoint is due.
        """

    def run(self) -> Standing:
        """Learn to the end, from the last checkpoint if there is one.

        Raises:
            DivergedError: a loss that is not finite; the last good checkpoint is named.
            SystemExit: SIGTERM or Ctrl-C came; a checkpoint was written first. The code is 143 or
                130, as in a shell.
        """
        self._resume()
        devices = [self.fabric.device] if self.fabric.device.type == "cuda" else []
        with (
            torch.random.fork_rng(devices=devices),
            TerminationRequest() as termination,
            ProgressBar("learning", self.total_steps, shown=self.progress) as bar,
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
        bar: ProgressBar,
    ) -> None:
        """Log each step, write the checkpoints that are due, and stop when asked to."""
        for line, checkpoint_due in steps:
            if log:
                log.write(line)
            stopping = self.anywhere(termination.signal_number is not None)
            if stopping or checkpoint_due:
                self._write_checkpoint(log)
            standing = self.standing
            note = f"epoch {standing.epoch + 1}  step {standing.step}  loss {line['loss']:.4f}"
            bar.update(standing.step, note)
            if stopping:
                number = (
                    termination.signal_number or signal.SIGTERM
                )  # the signal may have come to another
                raise _announce_stop(number, self.checkpoints.last, standing)

    def anywhere(self, flag: bool) -> bool:
        """Whether the flag is set on any process."""
        if self.fabric.world_size == 1:
            return flag
        count = torch.tensor(float(flag), device=self.fabric.device)
        torch.distributed.all_reduce(count)
        return bool(count.item() > 0)

    def diverged(self, value: float, where: str, hint: str) -> DivergedError:
        """Build the error for a loss that is not finite."""
        return DivergedError(
            f"the loss became {value} at step {self.standing.step + 1} ({where}). "
            f"{self._describe_last_checkpoint()}. Try {hint}, in a new folder."
        )

    def _describe_last_checkpoint(self) -> str:
        path = self.checkpoints.last
        if not path.exists():
            return "No checkpoint exists yet"
        return f"The last good checkpoint is {path}"

    def _check_weights(self) -> None:
        """Refuse to keep weights that the last step broke: the loss is of the weights before it."""
        for name, value in self.learner.named_parameters():
            if not torch.isfinite(value.detach()).all():
                raise DivergedError(
                    f"the weights {name} are not finite after step {self.standing.step}. "
                    f"{self._describe_last_checkpoint()}. "
                    "Try a lower learning_rate, in a new folder."
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
        standing = self.standing
        return MetricsLog(
            self.folder / "metrics.jsonl", standing.metrics_bytes, standing.step, board
        )

    def _write_checkpoint(self, log: MetricsLog | None) -> None:
        self._check_weights()
        if log:
            self.standing.metrics_bytes = log.sync()
            self.checkpoints.save(
                self.learner.state_dict(), self.optimizer.state_dict(), self.standing
            )
        self.fabric.barrier()


def rate_factor(step: int, total: int, warmup: int, schedule: str) -> float:
    """Return the factor of the learning rates at a step, counted from 0.

    It rises linearly from zero during the warm-up. Then it is 1, or for `cosine` it follows a half
    wave that falls to zero at `total`.
    """
    if step < warmup:
        return (step + 1) / (warmup + 1)
    if schedule == "constant":
        return 1.0
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))


def draw_seed(seed: int, step: int, stream: int) -> int:
    """Return the seed of all draws of one stream (a process, or -1) in one step."""
    return int(hash_json([seed, step, stream])[:15], 16)


def prefetched(
    items: Iterable[Item], load: Callable[[Item], Loaded]
) -> Iterator[tuple[Item, Loaded]]:
    """Yield each item with what `load` gives for it; a thread loads one item ahead."""
    with ThreadPoolExecutor(1) as pool:
        pending: tuple[Item, Future[Loaded]] | None = None
        for item in items:
            submitted = (item, pool.submit(load, item))
            if pending:
                yield pending[0], pending[1].result()
            pending = submitted
        if pending:
            yield pending[0], pending[1].result()


class TerminationRequest(AbstractContextManager["TerminationRequest"]):
    """Notes SIGTERM and Ctrl-C instead of dying of them, so that a checkpoint is written first.

    A second signal ends the process at once, without waiting for the end of the step.
    """

    def __init__(self) -> None:
        self.signal_number: int | None = None
        self._previous_handlers: dict[int, Any] = {}

    def __enter__(self) -> TerminationRequest:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._previous_handlers[number] = signal.signal(number, self._note_signal)
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._previous_handlers.items():
            signal.signal(number, handler)

    def _note_signal(self, number: int, frame: FrameType | None) -> None:
        previous_handler = self._previous_handlers[number]
        if self.signal_number is not None and callable(previous_handler):
            previous_handler(number, frame)
        self.signal_number = number


def _announce_stop(number: int, checkpoint: Path, standing: Standing) -> SystemExit:
    """Tell the user where the run stopped; return the exit that a shell expects of the signal."""
    print(
        f"Stopped by {signal.Signals(number).name} after step {standing.step}. "
        f"Checkpoint: {checkpoint}. Run the same command again to go on from there.",
        file=sys.stderr,
        flush=True,
    )
    return SystemExit(128 + number)
