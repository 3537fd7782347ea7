"""A small world for whole runs: three subjects with random images, one of them held out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from striate.core.cache import Cache
from striate.evaluate import CompareConfig, Options, compare

TUNING = {"epochs": 1, "batch_size": 16, "tap": "features.2", "tap_grid": 2, "h": 4, "z": 2}
REGRESSION = {k: v for k, v in TUNING.items() if k not in ("h", "z")}


def write_world(root: Path, subjects: tuple[str, ...] = ("ann", "bob", "cyd")) -> Path:
    """Subjects with 60 images of 24 x 24 pixels, half of them shared, and 5 units in two ROIs."""
    rng = np.random.default_rng(0)
    for subject in subjects:
        (root / subject / "images").mkdir(parents=True)
    for i in range(30 + 30 * len(subjects)):
        owners = subjects if i < 30 else (subjects[(i - 30) % len(subjects)],)
        image = Image.fromarray(rng.integers(0, 255, (24, 24, 3), dtype=np.uint8))
        for subject in owners:
            image.save(root / subject / "images" / f"im{i:03d}.png")
    for subject in subjects:
        ids = sorted(p.stem for p in (root / subject / "images").iterdir())
        values = rng.normal(size=(len(ids), 5)).astype(np.float32)
        np.save(root / subject / "responses.npy", values)
        (root / subject / "stimulus_ids.txt").write_text("\n".join(ids))
        units = ["unit_id,hemisphere,noise_ceiling,roi_V1,roi_V2"]
        units += [f"u{k},lh,{0.5 + k / 10},{int(k < 3)},{int(k >= 2)}" for k in range(5)]
        (root / subject / "units.csv").write_text("\n".join(units))
    return root


def settings(data: Path, **more: object) -> dict[str, object]:
    """A config of `compare` for that world that runs in seconds."""
    return {
        "data": {"name": "folder", "path": str(data)},
        "model": {"id": "squeezenet1_1@random", "image_size": 24},
        "split": {"held_out": ["cyd"], "tune": 0.4, "fit": 0.2, "select": 0.2, "test": 0.2},
        "encode": {
            "taps": ["features.2", "features.4"],
            "projection": {"kind": "none", "grid": 2},
            "bootstrap": 50,
            "permutations": 20,
            "folds": 3,
        },
        "methods": ["untuned", "random", "contrastive", "regression", "pooled_contrastive"],
        "contrastive": TUNING,
        "regression": REGRESSION,
        **more,
    }


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    return Cache(tmp_path_factory.mktemp("cache"))


@pytest.fixture
def quiet(cache: Cache) -> Options:
    return Options(progress=False, cache=cache, say=lambda line: None)


@pytest.fixture(scope="session")
def run(world: Path, cache: Cache, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished comparison; tests only read it."""
    out = tmp_path_factory.mktemp("runs") / "compare"
    config = CompareConfig.from_dict(settings(world))
    compare(config, out, Options(progress=False, cache=cache, say=lambda line: None))
    return out
