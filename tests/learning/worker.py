"""Runs learning jobs, each in a process of its own that may be killed; started by test_resume.

A job: {"verb": "tune", "grow" or "train", "folder", "config", and of "kill_step", "kill_write",
"term_step", "hail", "twice" what shall happen}. Prints the exit codes as JSON ("hail": how often it
was killed).
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from striate.learning import GrowConfig, TrainConfig, TuneConfig, grow, train, tune
from striate.learning.growing.loop import GrowLoop
from striate.learning.recognition.loop import TrainLoop
from striate.learning.tuning.loop import TuneLoop
from tests.learning.tiny import (
    tiny_data,
    tiny_labeled,
    tiny_model,
    tiny_photographs,
    tiny_recognizer,
)


def main(jobs: list[dict[str, Any]]) -> None:
    torch.set_num_threads(1)
    print(json.dumps([run(job) for job in jobs]))


def run(job: dict[str, Any]) -> int:
    """Run a job in a forked process; with `hail`, kill it at ever later moments until it ends."""
    if "twice" in job:
        return sum([wait(child) for child in (start(job), start(job))])
    if "hail" not in job:
        return wait(start(job))
    delay = job["hail"]
    for kills in range(200):
        child = start(job)
        deadline = time.monotonic() + delay
        while time.monotonic() < deadline:
            pid, status = os.waitpid(child, os.WNOHANG)
            if pid:
                assert status == 0, status
                return kills
            time.sleep(0.001)
        os.kill(child, signal.SIGKILL)
        wait(child)
        delay *= 1.2
    raise AssertionError("the run never came to its end")


def start(job: dict[str, Any]) -> int:
    child = os.fork()
    if child:
        return child
    code = 70
    try:
        arm(job)
        VERBS[job.get("verb", "tune")][1](job["config"], Path(job["folder"]))
        code = 0
    except SystemExit as stop:
        code = int(str(stop.code))
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def work_tune(config: dict[str, Any], folder: Path) -> None:
    data = [tiny_data(name, units=8 + i, seed=i) for i, name in enumerate("AB")]
    tune(tiny_model(), data, TuneConfig.from_dict(config), folder, device="cpu", progress=False)


def work_grow(config: dict[str, Any], folder: Path) -> None:
    grow(tiny_photographs(), GrowConfig.from_dict(config), folder, device="cpu", progress=False)


def work_train(config: dict[str, Any], folder: Path) -> None:
    settings = {k: v for k, v in config.items() if k not in ("frozen", "dropout")}
    model = tiny_recognizer(config.get("frozen", True), config.get("dropout", 0.2))
    how = TrainConfig.from_dict(settings)
    train(model, *tiny_labeled(), how, folder, device="cpu", progress=False)


VERBS: dict[str, tuple[type[Any], Callable[[dict[str, Any], Path], None]]] = {
    "tune": (TuneLoop, work_tune),
    "grow": (GrowLoop, work_grow),
    "train": (TrainLoop, work_train),
}


def wait(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def arm(job: dict[str, Any]) -> None:
    """Arrange for the process to be hit by a signal at the place the job names."""
    loop = VERBS[job.get("verb", "tune")][0]
    step, save = loop._do_step, torch.save
    writes = 0

    def struck_step(self: Any, *arguments: Any) -> Any:
        if self.standing.step == job.get("kill_step"):
            os.kill(os.getpid(), signal.SIGKILL)
        if self.standing.step == job.get("term_step"):
            os.kill(os.getpid(), job.get("term_signal", signal.SIGTERM))
        return step(self, *arguments)

    def struck_save(state: Any, handle: Any) -> None:
        nonlocal writes
        writes += 1
        if writes == job.get("kill_write"):
            handle.write(b"half of a checkpoint")
            handle.flush()
            os.kill(os.getpid(), signal.SIGKILL)
        save(state, handle)

    loop._do_step = struck_step
    torch.save = struck_save


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
