"""Images per second of the tuning loop against the bare forward and backward pass.

    python benchmarks/tuning.py [--model efficientnet_lite0] [--size 224] [--batch 32]

Both sides run the same network in the same mode on the same uint8 images and batch size, turn by
turn in one process. *Bare* is: normalize, forward, cross-entropy, backward; the batch is in memory,
there is no optimizer. *Bare with step* adds Adam over the network. *Tuning* is `striate tune`'s own
epoch with everything that belongs to it: reading the batch from a memory map, heads, InfoNCE,
backward, Adam over network and heads, the log, and the checkpoint at the end of the epoch.
The best of the repeats counts on each side: other work on the machine only ever makes one slower.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from striate.core.allocator import keep_freed_memory
from striate.core.progress import ProgressBar
from striate.learning import TuneConfig, TuneData
from striate.learning.common.distributed import make_fabric
from striate.learning.common.loop import TerminationRequest
from striate.learning.common.metrics import MetricsLog
from striate.learning.tuning.loop import TuneLoop
from striate.learning.tuning.module import Tuner
from striate.learning.tuning.targets import prepare
from striate.models import load

TARGET = 0.9
"""Share of the bare pass's images per second that we want to reach."""


def make_data(folder: Path, images: int, size: int, units: int) -> TuneData:
    rng = np.random.default_rng(0)
    path = folder / "images.npy"
    store = np.lib.format.open_memmap(path, "w+", np.uint8, (images, size, size, 3))
    store[:] = rng.integers(0, 256, store.shape, dtype=np.uint8)
    return TuneData(
        name="noise",
        subject="noise",
        images=np.load(path, mmap_mode="r"),
        hashes=[str(i) for i in range(images)],
        responses=rng.normal(size=(images, units)).astype(np.float32),
        tune=np.arange(images),
        select=np.arange(0),
        simulated=True,
    )


def bare_epoch(
    model: str, data: TuneData, config: TuneConfig, device: torch.device, step: bool
) -> Callable[[], None]:
    tuner = Tuner(load(model, image_size=data.images.shape[1]), [1], config).to(device)
    tuner.train()  # the same batch-norm and dropout modes as in tuning
    network = tuner.model
    batch = torch.from_numpy(np.array(data.images[: config.batch_size])).to(device)
    labels = torch.arange(config.batch_size, device=device)
    optimizer = torch.optim.Adam(network.parameters(), config.learning_rate)

    def epoch() -> None:
        for _ in range(len(data.images) // config.batch_size):
            optimizer.zero_grad(set_to_none=True)
            F.cross_entropy(network(batch), labels).backward()
            if step:
                optimizer.step()
        if device.type == "cuda":
            torch.cuda.synchronize()

    return epoch


def tuning_epoch(
    model: str, data: TuneData, config: TuneConfig, folder: Path, device: str
) -> tuple[Callable[[], None], torch.device]:
    fabric = make_fabric(device, config.precision)
    size = data.images.shape[1]
    targets = prepare([data], zscore=False, size=size)
    tuner = Tuner(load(model, image_size=size), [data.responses.shape[1]], config)
    folder.mkdir()
    loop = TuneLoop(fabric, tuner, targets, config, folder, progress=False)
    log = MetricsLog(folder / "metrics.jsonl")

    def epoch() -> None:
        with TerminationRequest() as termination, ProgressBar("tuning", 1, shown=False) as bar:
            loop.drive(loop.epoch(), log, termination, bar)
        if fabric.device.type == "cuda":
            torch.cuda.synchronize()

    return epoch, fabric.device


def seconds(run: Callable[[], None]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def main(arguments: Sequence[str] = ()) -> list[dict[str, Any]]:
    keep_freed_memory()  # as the command line does; both sides run with it
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", default="efficientnet_lite0")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=8, help="steps an epoch")
    parser.add_argument("--units", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="auto")
    options = parser.parse_args(arguments)
    config = TuneConfig(batch_size=options.batch, epochs=1000)
    # Numbers near the smallest float are slow on a CPU, and how many there are depends on the loss.
    torch.set_flush_denormal(True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = make_data(folder, options.batch * options.steps, options.size, options.units)
        tuning, device = tuning_epoch(options.model, data, config, folder / "run", options.device)
        runs = {
            "bare": bare_epoch(options.model, data, config, device, step=False),
            "bare with step": bare_epoch(options.model, data, config, device, step=True),
            "tuning": tuning,
        }
        for run in runs.values():
            run()  # warm up
        times: dict[str, list[float]] = {key: [] for key in runs}
        for _ in range(options.repeats):
            for key, run in runs.items():
                times[key].append(seconds(run))
    rate = {k: len(data.images) / min(v) for k, v in times.items()}
    ratio = rate["tuning"] / rate["bare"]
    return [
        {
            "benchmark": "tuning",
            "what": f"{options.model}, contrastive, {options.size} px, batch {options.batch}",
            "target": TARGET,
            "measured": round(ratio, 3),
            "unit": "of the bare forward and backward pass",
            "reached": ratio >= TARGET,
            "detail": f"{rate['tuning']:.1f} against {rate['bare']:.1f} images/s; "
            f"{rate['bare with step']:.1f} with Adam's step",
            "ratio_to_bare_with_step": round(rate["tuning"] / rate["bare with step"], 3),
            "seconds": {k: [round(t, 2) for t in v] for k, v in times.items()},
            "device": str(device),
            "threads": torch.get_num_threads(),
        }
    ]


if __name__ == "__main__":
    import sys

    print(json.dumps(main(sys.argv[1:]), indent=1))
