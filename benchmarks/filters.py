"""How long Gabor fits of a first stage's kernels take.

    python benchmarks/filters.py [--kernels 64] [--repeats 3]

Kernels of noise, which take longest as nothing fits them. The median counts.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from striate.evaluate.units.gabor_fits import fit_gabors

TARGET = 10.0
"""Seconds for 64 kernels of 11 x 11."""
SIDE = 11


def main(arguments: Sequence[str] = ()) -> list[dict[str, Any]]:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kernels", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args(arguments)
    times = []
    for repeat in range(options.repeats):
        kernels = np.random.default_rng(repeat).normal(size=(options.kernels, 3, SIDE, SIDE))
        started = time.perf_counter()
        fit_gabors(kernels)
        times.append(time.perf_counter() - started)
    median = statistics.median(times)
    target = TARGET * options.kernels / 64
    return [
        {
            "benchmark": "filters",
            "what": f"Gabor fits of {options.kernels} kernels of {SIDE} x {SIDE} x 3",
            "target": round(target, 2),
            "measured": round(median, 2),
            "unit": "s",
            "reached": median <= target,
            "detail": f"{min(times):.2f} to {max(times):.2f} s in {len(times)} runs",
        }
    ]


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1:]), indent=1))
