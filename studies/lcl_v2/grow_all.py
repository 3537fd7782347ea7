"""Grow the matched model, its ablations and their seeds, one after another; finished ones are kept.

    python studies/lcl_v2/grow_all.py RUNS PHOTOGRAPHS… [--only matched-0 none-0] [--steps 3000]

Each is a run folder RUNS/NAME of `striate grow`; a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from striate.core.allocator import keep_freed_memory
from striate.evaluate import GrowRunConfig, Options, grow_model
from striate.report import build

HERE = Path(__file__).parent
GRID: dict[str, dict[str, object]] = {
    "matched-0": {"seed": 0},
    "small_everywhere-0": {"deformation": "small_everywhere"},
    "large_everywhere-0": {"deformation": "large_everywhere"},
    "none-0": {"deformation": "none"},
    "end_to_end-0": {"credit": "end_to_end"},
    "matched-1": {"seed": 1},
    "matched-2": {"seed": 2},
    "small_everywhere-1": {"deformation": "small_everywhere", "seed": 1},
    "small_everywhere-2": {"deformation": "small_everywhere", "seed": 2},
    "large_everywhere-1": {"deformation": "large_everywhere", "seed": 1},
    "large_everywhere-2": {"deformation": "large_everywhere", "seed": 2},
}


def main() -> None:
    keep_freed_memory()
    torch.set_flush_denormal(True)
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("runs", type=Path)
    parser.add_argument("photographs", nargs="+")
    parser.add_argument("--only", nargs="+", choices=list(GRID), default=list(GRID))
    parser.add_argument("--steps", type=int)
    options = parser.parse_args()
    for name in options.only:
        overrides = [f"photographs=[{','.join(options.photographs)}]"]
        overrides += [f"{k}={v}" for k, v in GRID[name].items()]
        if options.steps:
            overrides.append(f"steps={options.steps}")
        config = GrowRunConfig.load(HERE / "matched.yaml", overrides)
        command = f"striate grow -c studies/lcl_v2/matched.yaml {' '.join(overrides)}"
        folder = options.runs / name
        if (folder / "report.html").exists():
            continue
        print(f"== {name}", flush=True)
        grow_model(config, folder, Options(command=f"{command} -o {folder}", progress=False))
        build(folder)


if __name__ == "__main__":
    main()
