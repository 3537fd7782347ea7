"""A run that is killed anywhere and started again ends bitwise where it would have ended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from striate.core.hashing import hash_file
from tests.limits import HANG

ROOT = Path(__file__).resolve().parents[3]
CONFIG = {
    "epochs": 5,
    "batch_size": 8,
    "learning_rate": 3e-3,
    "order": "mixed",
    "schedule": "cosine",
    "warmup_epochs": 0.5,
    "head_epochs": 1,
    "learn_temperature": True,
    "augment": {"shift": 1, "flip": True, "brightness": 0.2},
    "early_stopping": 4,
}


def run(jobs: list[dict[str, Any]]) -> tuple[list[int], str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "tests.learning.worker", json.dumps(jobs)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=HANG,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1]), done.stderr


def outcome(folder: Path) -> dict[str, Any]:
    lines = [json.loads(x) for x in (folder / "metrics.jsonl").read_text().splitlines()]
    return {
        **{p.name: hash_file(p) for p in folder.glob("*.safetensors")},
        "metrics": [{k: v for k, v in line.items() if k != "seconds"} for line in lines],
    }


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("whole") / "run"
    codes, _ = run([{"folder": str(folder), "config": CONFIG}])
    assert codes == [0]
    result = outcome(folder)
    assert [line["step"] for line in result["metrics"]] == list(range(1, 51))
    return result


def test_killed_at_chosen_places(tmp_path: Path, uninterrupted: dict[str, Any]) -> None:
    job = {"folder": str(tmp_path / "run"), "config": {**CONFIG, "checkpoint_every": 3}}
    places = [
        {"kill_step": 2},  # before the first checkpoint
        {"kill_write": 1},  # while the first one is written
        {"kill_step": 7},  # within an epoch, one step after a checkpoint
        {"kill_write": 2},  # while best weights or the last state are written
        {"kill_write": 3},
        {"kill_step": 29},
        {"kill_step": 49},  # in the last step
    ]
    codes, _ = run([{**job, **place} for place in places] + [job])
    assert codes == [-signal.SIGKILL] * len(places) + [0]
    assert outcome(tmp_path / "run") == uninterrupted


def test_killed_at_random_moments(tmp_path: Path, uninterrupted: dict[str, Any]) -> None:
    config = {**CONFIG, "checkpoint_every": 2}
    (kills,), _ = run([{"folder": str(tmp_path / "run"), "config": config, "hail": 0.01}])
    assert kills > 1
    assert outcome(tmp_path / "run") == uninterrupted
    left = {p.name for p in (tmp_path / "run").rglob("*")}
    assert not [name for name in left if name.endswith(".pt") or ".pt." in name]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_asked_to_stop_it_writes_a_checkpoint_and_exits(
    number: signal.Signals, code: int, tmp_path: Path, uninterrupted: dict[str, Any]
) -> None:
    folder = tmp_path / "run"
    job = {"folder": str(folder), "config": CONFIG, "term_signal": int(number)}
    codes, messages = run([{**job, "term_step": 13}])
    assert codes == [code]
    assert f"Stopped by {number.name}" in messages
    assert f"after step 14. Checkpoint: {folder / 'checkpoints' / 'last.pt'}" in messages
    codes, messages = run([{**job, "term_step": 13}])  # step 13 is done: it must not come again
    assert codes == [0]
    assert "Stopped" not in messages
    assert outcome(folder) == uninterrupted


def test_two_processes_on_one_folder(tmp_path: Path, uninterrupted: dict[str, Any]) -> None:
    codes, _ = run([{"folder": str(tmp_path / "run"), "config": CONFIG, "twice": True}])
    assert codes == [0]
    assert outcome(tmp_path / "run") == uninterrupted


GROW = {
    "network": {
        "stages": [
            {"channels": 6, "kernel": 5, "stride": 2, "padding": 1},
            {"channels": 8, "kernel": 3, "pool": "none"},
        ]
    },
    "patches": {"held_out": 0.25},
    "a": 0.1,
    "lambda": 5e-3,
    "clean": 3,
    "learning_rate": 1e-3,
    "steps": 12,
    "batch_size": 6,
    "projector": 5,
    "measure_every": 4,
    "checkpoint_every": 5,
}


@pytest.mark.parametrize("order", ["simultaneous", "sequential"])
def test_growth_that_is_killed_ends_where_it_would_have(tmp_path: Path, order: str) -> None:
    config = {**GROW, "order": order}
    whole = {"verb": "grow", "folder": str(tmp_path / "whole"), "config": config}
    killed = {**whole, "folder": str(tmp_path / "killed")}
    places = [{"kill_step": 3}, {"kill_write": 1}, {"kill_step": 7}, {"term_step": 8}]
    codes, messages = run([whole, *({**killed, **place} for place in places), killed])
    assert codes == [0, *3 * [-signal.SIGKILL], 143, 0], messages
    expected = outcome(tmp_path / "whole")
    assert len(expected["metrics"]) == (24 if order == "sequential" else 12)
    assert outcome(tmp_path / "killed") == expected


TRAIN = {"epochs": 4, "batch_size": 8, "learning_rate": 0.05, "checkpoint_every": 2}


@pytest.mark.parametrize(
    "changes",
    [
        {},  # features of a frozen front, taken once
        {"frozen": False, "optimizer": "adamw", "augment": {"flip": True, "shift": 1}},
        {"frozen": False, "attack": {"eps": 0.3, "steps": 2}},
    ],
)
def test_training_that_is_killed_ends_where_it_would_have(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    whole = {"verb": "train", "folder": str(tmp_path / "whole"), "config": {**TRAIN, **changes}}
    killed = {**whole, "folder": str(tmp_path / "killed")}
    places = [{"kill_step": 1}, {"kill_write": 1}, {"kill_step": 7}, {"term_step": 8}]
    codes, messages = run([whole, *({**killed, **place} for place in places), killed])
    assert codes == [0, *3 * [-signal.SIGKILL], 143, 0], messages
    expected = outcome(tmp_path / "whole")
    assert [line["step"] for line in expected["metrics"]] == list(range(1, 13))
    assert outcome(tmp_path / "killed") == expected
