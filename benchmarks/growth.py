"""Patches per second of growing against the bare forward and backward pass; memory over time.

    python benchmarks/growth.py [--batch 256] [--steps 6] [--repeats 3] [--memory-steps 1000]

*Bare* is the forward and backward pass of both stages of LCL-V2 on views that are in memory: the
second stage on what the first gives for its own, larger patches, without gradients between them;
the loss is the mean of the output. *Growing* is `striate grow`'s own steps with everything that
belongs to them: deforming and lighting both views of each patch, projectors, cross-correlation,
AdamW, the log. They take turns in one process, and the best of the repeats counts: other work on
the machine only ever makes one slower. Memory is that of the process after the first fifty steps
and the most it holds later, with smaller batches so that it does not take long.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from striate.core.allocator import keep_freed_memory
from striate.data.patches.photographs import Photographs
from striate.learning import GrowConfig
from striate.learning.common.distributed import make_fabric
from striate.learning.growing.loop import GrowLoop
from striate.learning.growing.padding import without_padding
from striate.learning.growing.run import make_learner, make_sources
from striate.models import load, receptive_field

TARGET = 0.85
"""Share of the bare pass's patches per second that we want to reach."""
CLEAN = (1, 3)
"""Positions along a side of each stage's map that the patches are large enough for: what growing
does unless told otherwise, and more, which gives the networks more to do for each patch."""
UNPADDED = ExitStack()
"""Networks are measured without padding, as they learn; the process ends with it."""
GROWTH = 50.0
"""Megabytes that the process may take more after many steps than after fifty."""


def make_photographs(count: int) -> Photographs:
    rng = np.random.default_rng(0)
    return Photographs.from_images(
        [rng.integers(0, 256, (321, 481, 3), dtype=np.uint8) for _ in range(count)]
    )


def make_loop(photographs: Photographs, config: GrowConfig, folder: Path, device: str) -> GrowLoop:
    fabric = make_fabric(device, config.precision)
    model = load("lcl_v2@random", options=config.network.to_dict())
    UNPADDED.enter_context(without_padding(model.network))
    fields = [receptive_field(model, tap) for tap in model.taps]
    sources = make_sources(photographs, fields, config, fabric.device)
    folder.mkdir()
    learner = make_learner(model, fields, config)
    return GrowLoop(fabric, learner, sources, config, folder, progress=False)


class Bare:
    """The stages on one batch of views, without projector, objective and optimizer."""

    def __init__(self, loop: GrowLoop) -> None:
        self.device = loop.fabric.device
        model = load("lcl_v2@random").to(self.device)
        UNPADDED.enter_context(without_padding(model.network))
        self.stages: list[nn.Module] = list(model.network.stages)  # type: ignore[arg-type]
        self.views = [source.views(0).flatten(0, 1) for source in loop.sources]
        for stage in self.stages:
            stage.train()

    def run(self, steps: int) -> None:
        for _ in range(steps):
            for stage in self.stages:
                stage.zero_grad(set_to_none=True)
            for k, x in enumerate(self.views):
                with torch.no_grad():
                    for earlier in self.stages[:k]:
                        x = earlier.eval()(x)
                self.stages[k].train()(x).mean().backward()
        if self.device.type == "cuda":
            torch.cuda.synchronize()


def resident() -> float:
    """Memory of this process in MB."""
    text = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(text.split("VmRSS:")[1].split()[0]) / 1024


def seconds(steps: Iterator[Any], count: int) -> float:
    started = time.perf_counter()
    for _ in islice(steps, count):
        pass
    return time.perf_counter() - started


def main(arguments: Sequence[str] = ()) -> list[dict[str, Any]]:
    keep_freed_memory()  # as the command line does; both sides run with it
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--steps", type=int, default=6, help="steps of a turn")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--photographs", type=int, default=300)
    parser.add_argument("--memory-steps", type=int, default=1000)
    parser.add_argument("--memory-batch", type=int, default=16)
    parser.add_argument("--device", default="auto")
    options = parser.parse_args(arguments)
    # Numbers near the smallest float are slow on a CPU, and how many there are depends on the loss.
    torch.set_flush_denormal(True)
    photographs = make_photographs(options.photographs)
    rows = []
    with tempfile.TemporaryDirectory() as name:
        for clean in CLEAN:
            rows.append(speed(photographs, Path(name) / f"speed-{clean}", clean, options))
        config = GrowConfig(batch_size=options.memory_batch, steps=10**6, projector=16)
        loop = make_loop(photographs, config, Path(name) / "memory", options.device)
        steps = loop.steps()
        seconds(steps, 50)
        first = most = resident()
        for _ in range(max(1, options.memory_steps // 50 - 1)):
            seconds(steps, 50)
            most = max(most, resident())
        steps.close()  # type: ignore[attr-defined]
    memory = {
        "benchmark": "growth",
        "what": f"memory over {options.memory_steps:,} steps",
        "target": None,
        "measured": round(most - first, 1),
        "unit": "MB more than after 50 steps",
        "reached": most - first <= GROWTH,
        "detail": f"{most:.0f} MB at most, {first:.0f} MB after 50 steps; batch "
        f"{options.memory_batch}",
    }
    return [*rows, memory]


def speed(
    photographs: Photographs, folder: Path, clean: int, options: argparse.Namespace
) -> dict[str, Any]:
    """Growing against the bare pass, with patches for some positions of each stage's map."""
    config = GrowConfig(batch_size=options.batch, steps=10**6, measure_every=50, clean=clean)
    loop = make_loop(photographs, config, folder, options.device)
    bare, steps = Bare(loop), loop.steps()
    seconds(steps, 2), bare.run(2)  # warm up
    times: dict[str, list[float]] = {"bare": [], "growing": []}
    for _ in range(options.repeats):
        started = time.perf_counter()
        bare.run(options.steps)
        times["bare"].append(time.perf_counter() - started)
        times["growing"].append(seconds(steps, options.steps))
    steps.close()  # type: ignore[attr-defined]
    rate = {k: options.batch * options.steps / min(v) for k, v in times.items()}
    ratio = rate["growing"] / rate["bare"]
    sides = " and ".join(f"{source.patch}" for source in loop.sources)
    return {
        "benchmark": "growth",
        "what": f"lcl_v2, both stages, {sides} px, batch {options.batch}, {loop.fabric.device}",
        "target": TARGET,
        "measured": round(ratio, 3),
        "unit": "of the bare forward and backward pass",
        "reached": ratio >= TARGET,
        "detail": f"{rate['growing']:.0f} against {rate['bare']:.0f} pairs/s of each stage",
        "seconds": {k: [round(t, 2) for t in v] for k, v in times.items()},
        "threads": torch.get_num_threads(),
    }


if __name__ == "__main__":
    import sys

    print(json.dumps(main(sys.argv[1:]), indent=1))
