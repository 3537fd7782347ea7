"""What the tests of files and caches run in another process, to be killed or to compete."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from striate.core.cache import Cache
from striate.core.files import atomic_path, locked
from tests.limits import HANG

KEY = {"what": "two processes want it"}


def wait() -> None:
    """Say that the bad moment is reached, and stay in it."""
    print("ready", flush=True)
    time.sleep(HANG)


def write_half(target: str) -> None:
    with atomic_path(target) as temporary:
        temporary.write_text("half of the new")
        wait()


def hold_lock(path: str) -> None:
    with locked(path):
        wait()


def build_half(root: str) -> None:
    def build(folder: Path) -> None:
        (folder / "a.bin").write_bytes(b"half")
        wait()

    Cache(root).get("kind", KEY, build)


def compete(root: str, log: str) -> str:
    """Take an entry that needs a while to build; every build leaves a line in the log."""

    def build(folder: Path) -> None:
        with Path(log).open("a") as f:
            f.write("built\n")
        time.sleep(0.3)
        (folder / "a.bin").write_bytes(b"whole")

    return (Cache(root).get("kind", KEY, build) / "a.bin").read_text()


if __name__ == "__main__":
    {"write": write_half, "lock": hold_lock, "build": build_half}[sys.argv[1]](sys.argv[2])
