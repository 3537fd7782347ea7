"""Fixtures that every test may use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

os.environ["PYTHONWARNINGS"] = "error"
"""Warnings are errors in the processes that tests start, as pytest makes them in its own."""


def _declare_torchvision_operators() -> torch.library.Library | None:
    """Make torchvision of PyPI importable beside a CPU build of torch, with its networks alone.

    It is built for torch's CUDA build, so its own operators cannot be loaded here, and its import
    fails at the first of them that it describes. No network uses them.
    """
    found = find_spec("torchvision")
    if found is None or not found.submodule_search_locations:
        return None
    for place in found.submodule_search_locations:
        for file in Path(place).glob("_C*.so"):
            try:
                torch.ops.load_library(str(file))
                return None
            except OSError:
                pass
    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return library


_operators = _declare_torchvision_operators()  # they last as long as this


def pytest_sessionfinish(session: pytest.Session) -> None:
    """With STRIATE_NO_SKIPS, as in a job that installs what tests need, a skip is a failure."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("STRIATE_NO_SKIPS") and reporter and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Compute on one thread: in small problems several would only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data beside the repository; tests that need it skip where it is absent."""
    here = Path(__file__).resolve().parents[1]
    for place in (os.environ.get("STRIATE_SHARED"), here.parent / "shared"):
        if place and (Path(place) / "data").is_dir():
            return Path(place)
    pytest.skip("real data not found: set STRIATE_SHARED, or put it at ../shared")


@pytest.fixture
def rng() -> np.random.Generator:
    """A seeded generator."""
    return np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the user's cache."""
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path / "cache"))


@pytest.fixture(autouse=True)
def _keep_small_numbers() -> Iterator[None]:
    """The command line flushes denormal numbers to zero, for the whole process; undo it."""
    yield
    torch.set_flush_denormal(False)
