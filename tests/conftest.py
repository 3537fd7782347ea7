"""Fixtures that every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest


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
