"""Cost of making patches: the deformations against kornia, and all of it against the training.

    python benchmarks/deform.py [--batch 256] [--photographs 200] [--device cpu]

*Deformations*, for each stage: two views of every patch of a batch, as `striate.data.patches.pairs`
makes them before light and contrast are changed (draws, places, cutting from uint8 photographs,
resampling), against kornia's `RandomAffine` with the same ranges and the same size and number of
results. Kornia begins with the patches already cut and converted to float32, and its results have
borders; *without borders* it gets the same larger windows as ours, and its results are cropped.
*Training*: the forward and backward pass of the stage (AlexNet's convolution, batch norm, ReLU and
pooling; for stage 2 the forward pass of stage 1 before it) on both views, without and with making
them. All take turns in one process; the best of the repeats counts, as other work on the machine
only ever makes one slower. Kornia is no dependency of ours: without it, a row says so.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from striate.core.allocator import keep_freed_memory
from striate.data.patches.pairs import PatchSource
from striate.data.patches.photographs import Photographs

STAGES = ((19, 35), (67, 99))
"""Receptive field and patch of each stage of LCL-V2, px."""
AMPLITUDE = 0.1
TARGET = 0.9
"""Share of the bare training speed that we want to reach with making the patches."""


def make_photographs(count: int) -> Photographs:
    rng = np.random.default_rng(0)
    return Photographs.from_images(
        [rng.integers(0, 256, (342, 512, 3), dtype=np.uint8) for _ in range(count)]
    )


def deformed(made: PatchSource, step: int) -> None:
    """Both views of all samples, before light and contrast."""
    for _ in made._deform_samples(step, slice(0, made.batch)):
        pass


def kornia_runs(made: PatchSource) -> dict[str, Callable[[int], Any]]:
    """Kornia's affine transformation of both views at once; empty where kornia is missing."""
    try:
        from kornia.augmentation import CenterCrop, RandomAffine
    except ImportError:
        return {}

    def affine(side: int) -> nn.Module:
        shift = AMPLITUDE * made.field / side
        return RandomAffine(
            degrees=math.degrees(2 * AMPLITUDE),
            translate=(shift, shift),
            scale=(math.exp(-2 * AMPLITUDE), math.exp(2 * AMPLITUDE)),
            p=1.0,
        )

    def of(side: int) -> Tensor:
        return torch.rand(2 * made.batch, 3, side, side, device=made.device)

    patches, windows = of(made.patch), of(made.window)
    plain, whole = affine(made.patch), affine(made.window)
    crop = CenterCrop(made.patch)
    return {
        "kornia": lambda step: plain(patches),
        "kornia without borders": lambda step: crop(whole(windows)),
    }


def stages(device: str) -> list[nn.Sequential]:
    """The two stages of AlexNet's size."""
    first = nn.Sequential(
        nn.Conv2d(3, 64, 11, 4, 2, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2)
    )
    second = nn.Sequential(
        nn.Conv2d(64, 192, 5, 1, 2, bias=False), nn.BatchNorm2d(192), nn.ReLU(), nn.MaxPool2d(3, 2)
    )
    return [s.to(device).to(memory_format=torch.channels_last) for s in (first, second)]


def train(networks: Sequence[nn.Module], stage: int, both: Tensor) -> None:
    """Forward and backward pass of one stage; the stages before it are only read."""
    x = both.flatten(0, 1)
    with torch.no_grad():
        for earlier in networks[:stage]:
            x = earlier(x)
    networks[stage].zero_grad(set_to_none=True)
    networks[stage](x).square().mean().backward()


def best(
    runs: dict[str, Callable[[int], Any]], repeats: int, device: str
) -> dict[str, tuple[float, float]]:
    """Best wall-clock and processor seconds of each, taking turns."""
    times: dict[str, list[tuple[float, float]]] = {key: [] for key in runs}
    for step in range(repeats + 1):
        for key, run in runs.items():
            started, used = time.perf_counter(), time.process_time()
            run(step)
            if device.startswith("cuda"):
                torch.cuda.synchronize()
            if step:  # the first is to warm up
                times[key].append((time.perf_counter() - started, time.process_time() - used))
    return {key: (min(w for w, _ in t), min(c for _, c in t)) for key, t in times.items()}


def main(arguments: Sequence[str] = ()) -> list[dict[str, Any]]:
    keep_freed_memory()  # as the command line does; all sides run with it
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--photographs", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args(arguments)
    photographs, device = make_photographs(options.photographs), options.device
    networks = stages(device)
    rows, bare_total, total = [], 0.0, 0.0
    for stage, (field, patch) in enumerate(STAGES):
        made = PatchSource(
            photographs,
            field=field,
            patch=patch,
            amplitude=AMPLITUDE,
            batch=options.batch,
            device=device,
        )
        runs = {"striate": partial(deformed, made), **kornia_runs(made)}
        times = best(runs, options.repeats, device)
        what = f"stage {stage + 1}: 2 x {options.batch} patches of {patch} px"
        rivals = [key for key in times if key != "striate"]
        rows += [against(r, times, what) for r in rivals] or [alone(times, what)]
        both = made.views(0)
        training: dict[str, Callable[[int], Any]] = {
            "all": made.views,
            "training": lambda step, k=stage, x=both: train(networks, k, x),
        }
        repeats = max(1, options.repeats // 3)
        times = best(training, repeats, device)
        bare, views = times["training"][0], times["all"][0]
        bare_total, total = bare_total + bare, total + bare + views
        rows.append(share(f"{what}, all of it", bare, bare + views, target=None))
    rows.append(share("both stages, all of it", bare_total, total, target=TARGET))
    for row in rows:
        row |= {"device": device, "threads": torch.get_num_threads()}
    return rows


def against(rival: str, times: dict[str, tuple[float, float]], what: str) -> dict[str, Any]:
    ours, theirs = times["striate"], times[rival]
    return {
        "benchmark": "deform",
        "what": f"{what}, deformations",
        "target": 1,
        "measured": round(theirs[0] / ours[0], 2),
        "unit": f"times the speed of {rival}",
        "reached": theirs[0] >= ours[0],
        "detail": f"{ours[0] * 1e3:.1f} ms against {theirs[0] * 1e3:.1f} ms; "
        f"{theirs[1] / ours[1]:.2f} by processor time",
    }


def alone(times: dict[str, tuple[float, float]], what: str) -> dict[str, Any]:
    return {
        "benchmark": "deform",
        "what": f"{what}, deformations",
        "target": None,
        "measured": round(times["striate"][0] * 1e3, 1),
        "unit": "ms",
        "reached": None,
        "detail": "kornia is not installed, so there is nothing to compare with",
    }


def share(what: str, bare: float, total: float, target: float | None) -> dict[str, Any]:
    return {
        "benchmark": "deform",
        "what": what,
        "target": target,
        "measured": round(bare / total, 3),
        "unit": "of the bare training speed",
        "reached": None if target is None else bare >= target * total,
        "detail": f"{bare * 1e3:.1f} ms of training, {(total - bare) * 1e3:.1f} ms of patches",
    }


if __name__ == "__main__":
    import sys

    print(json.dumps(main(sys.argv[1:]), indent=1))
