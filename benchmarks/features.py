"""Images per second of `extract` with eight taps against the bare forward pass.

    python benchmarks/features.py [--models efficientnet_lite0 squeezenet1_1@random] [--images 1024]

*Bare* is: normalize and run the network to its end, same batch size, channels last, inference
mode. The others are `striate.encoding.extract` with an empty cache and 1000 components: everything
it does counts (hashing weights and images, reading, projecting, PCA, writing). The passes take
turns in one process and the best time of each counts, as other work on a machine can only add. The
share by processor time is given as well: it means something on a busy machine too. PCA, whose cost
has nothing to do with the network's precision, is timed once and in fp32 alone.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from striate.core.allocator import keep_freed_memory
from striate.core.cache import Cache
from striate.core.compute import Compute
from striate.encoding import ProjectionConfig, extract
from striate.encoding.features import computing
from striate.models import Model, load

TARGET = 0.9
PROJECTIONS = {
    "srp": ProjectionConfig(kind="srp"),
    "pca": ProjectionConfig(kind="pca"),
    "pca of a sketch of 8000": ProjectionConfig(kind="pca", sketch=8000),
}
MODELS = ("efficientnet_lite0", "squeezenet1_1@random")
# Eight taps each; SqueezeNet has seven by default.
TAPS = {"squeezenet1_1@random": tuple(f"features.{i}" for i in (2, 4, 6, 7, 9, 10, 11, 12))}


def make_images(folder: Path, count: int, size: int) -> np.ndarray:
    path = folder / f"images{size}.npy"
    if not path.exists():
        store = np.lib.format.open_memmap(path, "w+", np.uint8, (count, size, size, 3))
        store[:] = np.random.default_rng(0).integers(0, 256, store.shape, dtype=np.uint8)
        store.flush()
    return np.load(path, mmap_mode="r")


def bare(model: Model, images: np.ndarray, compute: Compute) -> None:
    batch = compute.batch_size
    with computing(model, compute) as where:
        for start in range(0, len(images), batch):
            model(torch.from_numpy(np.array(images[start : start + batch])).to(where))
        if where.type == "cuda":
            torch.cuda.synchronize()


def seconds(run: Callable[[], Any]) -> tuple[float, float]:
    """Wall-clock and processor time."""
    started, used = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - started, time.process_time() - used


def measure(
    id: str, count: int, batch: int, repeats: int, precision: str, device: str, folder: Path
) -> list[dict[str, Any]]:
    model = load(id)
    taps = TAPS.get(id, model.taps)
    images = make_images(folder, count, model.preprocessing.size)
    names = [str(i) for i in range(count)]
    compute = Compute(device, batch, precision, progress=False)

    def features(kind: str) -> None:
        with tempfile.TemporaryDirectory(dir=folder) as cache:
            extract(
                model,
                images,
                names,
                taps=taps,
                projection=PROJECTIONS[kind],
                compute=replace(compute, cache=Cache(cache)),
            )

    kinds = ["srp"] if precision == "bf16" else list(PROJECTIONS)
    runs: dict[str, Callable[[], None]] = {
        "bare": lambda: bare(model, images, compute),
        **{kind: partial(features, kind) for kind in kinds},
    }
    bare(model, images[: 2 * batch], compute)  # warm up
    times: dict[str, list[tuple[float, float]]] = {key: [] for key in runs}
    for repeat in range(repeats):
        for key, run in runs.items():
            if repeat == 0 or not key.startswith("pca"):
                times[key].append(seconds(run))
    rate = {key: count / min(wall for wall, _ in t) for key, t in times.items()}
    used = {key: min(cpu for _, cpu in t) for key, t in times.items()}
    return [
        {
            "benchmark": "features",
            "what": f"{id}, {kind}, 8 taps, {'bf16' if precision == 'bf16' else 'fp32'}, "
            f"batch {batch}, {count} images",
            "target": TARGET,
            "measured": round(rate[kind] / rate["bare"], 3),
            "unit": "of the bare forward pass",
            "reached": rate[kind] >= TARGET * rate["bare"],
            "detail": f"{rate[kind]:.1f} against {rate['bare']:.1f} images/s; "
            f"{used['bare'] / used[kind]:.2f} by processor time",
            "taps": len(taps),
            "seconds": {key: [round(wall, 2) for wall, _ in times[key]] for key in ("bare", kind)},
        }
        for kind in kinds
    ]


def main(arguments: Sequence[str] = ()) -> list[dict[str, Any]]:
    keep_freed_memory()  # as the command line does; both sides run with it
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--models", nargs="+", default=list(MODELS))
    parser.add_argument("--images", type=int, default=1024)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--precisions", nargs="+", default=["32", "bf16"])
    parser.add_argument("--device", default="auto")
    options = parser.parse_args(arguments)
    # Numbers near the smallest float are slow on a CPU; random weights make many of them.
    torch.set_flush_denormal(True)
    rows = []
    with tempfile.TemporaryDirectory() as name:
        for id in options.models:
            for precision in options.precisions:
                rows += measure(
                    id,
                    options.images,
                    options.batch,
                    options.repeats,
                    precision,
                    options.device,
                    Path(name),
                )
    return rows


if __name__ == "__main__":
    import sys

    print(json.dumps(main(sys.argv[1:]), indent=1))
