"""Run a worker of these tests in two processes, as torchrun does."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.limits import HANG

ROOT = Path(__file__).resolve().parents[2]


def in_two_processes(worker: str, *arguments: str) -> None:
    """Run the module `tests.learning.{worker}` with arguments; fail with what it said."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [*command, "-m", f"tests.learning.{worker}", *arguments],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=HANG,
    )
    assert done.returncode == 0, done.stderr[-3000:]


def two_process_results(worker: str) -> Callable[..., Path]:
    """Make the module's fixture of the folder that a worker wrote to under torchrun."""

    @pytest.fixture(scope="module", name="two_processes")
    def run_worker(tmp_path_factory: pytest.TempPathFactory) -> Path:
        folder = tmp_path_factory.mktemp("ddp")
        in_two_processes(worker, str(folder))
        return folder

    return run_worker
