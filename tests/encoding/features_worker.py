"""Run as a process: extract features of the small network, then say what happened as JSON.

    python features_worker.py CACHE MODE

Modes: `slow` waits in each forward pass; `stuck` never comes back from the second one; `memory`
extracts from larger synthetic maps and reports how much memory was added.
"""

from __future__ import annotations

import json
import resource
import signal
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from striate.core.cache import Cache
from striate.core.compute import Compute
from striate.encoding import ProjectionConfig, extract, predict_cost
from striate.encoding import features as features_module
from striate.encoding import projection as projection_module
from striate.models import Model, Preprocessing
from striate.models.observation import probe_images

PROBES = len(probe_images(12))
"""Images that a fingerprint is taken with; no batch here has as many."""


class Small(nn.Module):
    """Two maps and a vector; counts its forward passes, and those for a fingerprint among them."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3)
        self.act = nn.ReLU(inplace=True)
        self.bn = nn.BatchNorm2d(4)
        self.conv2 = nn.Conv2d(4, 6, 3, stride=2)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(6, 5)
        self.passes = self.probed = 0
        self.wait = 0.0

    def forward(self, x: Tensor) -> Tensor:
        self.passes += 1
        self.probed += len(x) == PROBES
        time.sleep(self.wait)
        x = self.conv2(self.bn(self.act(self.conv1(x))))
        return self.head(self.drop(x.mean((2, 3))))


def passes(model: Model) -> int:
    """Passes but for those that a fingerprint is taken with."""
    return int(model.network.passes - model.network.probed)


def small_model(size: int = 12, seed: int = 0) -> Model:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Small()
        network.bn.running_mean.uniform_(-1, 1)
    return Model("small", network, Preprocessing(size=size), ("conv1", "conv2", "head")).eval()


def pictures(n: int = 30, size: int = 12) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, size, size, 3), dtype=np.uint8)


def names(n: int) -> list[str]:
    return [f"hash{i}" for i in range(n)]


class Wide(nn.Module):
    """Gives maps of 16 x 160 x 160: 1.6 MB an image."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 16, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


def memory(cache: Cache, folder: Path, kind: str) -> dict[str, int]:
    """Peak memory that extracting adds, and what was predicted."""
    n, size = 200, 160
    images = np.lib.format.open_memmap(folder / "images.npy", "w+", np.uint8, (n, size, size, 3))
    images[:] = pictures(1, size)
    images[:, 0] = np.random.default_rng(1).integers(0, 256, (n, size, 3), dtype=np.uint8)
    images.flush()
    images = np.load(folder / "images.npy", mmap_mode="r")
    if kind == "randomized":
        projection_module.GRAM_ROWS = 100
    projection_module.BLOCK_VALUES = features_module.BLOCK_VALUES = 2**21
    model = Model("wide", Wide(), Preprocessing(size=size), ("conv",))
    how = ProjectionConfig(kind="srp" if kind == "srp" else "pca", components=20)
    model(torch.from_numpy(np.array(images[:2])))  # what the library loads when first used
    np.linalg.eigh(np.eye(50))
    cost = predict_cost(model, n, n, how, batch_size=8)
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts from here
    before = peak()
    compute = Compute(batch_size=8, cache=cache, progress=False)
    extract(model, images, names(n), projection=how, compute=compute)
    return {"added": peak() - before, "predicted": cost.memory, "scratch": cost.scratch}


def peak() -> int:
    """Peak memory in bytes since the start, or since it was last cleared."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(s for s in status.read_text().splitlines() if s.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    cache, mode = Cache(sys.argv[1]), sys.argv[2]
    torch.set_num_threads(1)
    if mode == "memory":
        folder = Path(sys.argv[1]).parent
        print(json.dumps({k: memory(cache, folder, k) for k in ("srp", "pca", "randomized")}))
        return
    model = small_model()
    model.tap_shapes()  # its one pass is not counted
    model.network.passes = (
        model.network.probed - 1
    )  # nor is the one that `extract` makes for the sizes
    model.network.wait = {"slow": 0.1, "stuck": 0.0}[mode]
    if mode == "stuck":

        def stop(*_: object) -> None:
            if passes(model) == 2:
                print("stuck", flush=True)
                signal.pause()  # until it is killed

        model.network.bn.register_forward_hook(stop)
    extract(
        model,
        pictures(),
        names(30),
        projection=ProjectionConfig(components=5),
        compute=Compute(batch_size=8, cache=cache, progress=False),
    )
    print(json.dumps({"passes": passes(model)}))


if __name__ == "__main__":
    main()
