"""Train every front-end with the same budget and its seeds; finished runs are kept.

    python studies/lcl_v2net/run_all.py RUNS TRAIN TEST [--lcl FOLDER …]
        [--self-supervised FOLDER …] [--only lcl-0 adversarial-2] [--set training.epochs=2 …]

Each is a run folder RUNS/NAME-SEED of `striate train`; a run that was stopped goes on. TRAIN and
TEST are folders or parquet files. Grown front-ends are model folders, one for all seeds or one
each: of `striate grow` for `lcl`, the packaged model without them; of `striate grow
credit=end_to_end` for `self_supervised`, which is left out without them.
The supervised front-end is that of the run `end_to_end` of the same seed, trained before it.
"""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import Any

import torch
import yaml

from striate.core.allocator import keep_freed_memory
from striate.evaluate import Options, TrainRunConfig, train_model
from striate.report import build

HERE = Path(__file__).parent
SEEDS = (0, 1, 2)
FRONTS: dict[str, list[str]] = {
    "lcl": ["front.id={lcl}"],
    "random": ["front.id=lcl_v2@random"],
    "end_to_end": ["front.id=lcl_v2@random", "front.frozen=false"],
    "supervised": ["front.id={runs}/end_to_end-{seed}/model", "front.tap=stage2"],
    "self_supervised": ["front.id={self_supervised}"],
    "adversarial": [
        "front.id=lcl_v2@random",
        "front.frozen=false",
        "training.attack.eps=1.0",
        "training.attack.steps=2",
    ],
}
"""What differs between front-ends; everything else is cifar10.yaml's."""


def overrides(name: str, seed: int, runs: Path, grown: dict[str, list[str]]) -> list[str]:
    """Settings of one run; `grown` are the folders of fronts, of which each seed has its own."""
    fronts = {k: folders[seed % len(folders)] for k, folders in grown.items() if folders}
    settings = [s.format(runs=runs, seed=seed, **fronts) for s in FRONTS[name]]
    return [*settings, f"training.seed={seed}"]


def main() -> None:
    keep_freed_memory()
    torch.set_flush_denormal(True)
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("runs", type=Path)
    parser.add_argument("train")
    parser.add_argument("test")
    parser.add_argument("--lcl", nargs="+", default=["lcl_v2"], metavar="FOLDER")
    parser.add_argument("--self-supervised", nargs="+", default=[], metavar="FOLDER")
    names = [f"{name}-{seed}" for seed in SEEDS for name in FRONTS]
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE")
    options = parser.parse_args()
    grown = {"lcl": options.lcl, "self_supervised": options.self_supervised}
    for full in options.only:
        name, _, seed = full.rpartition("-")
        if name == "self_supervised" and not options.self_supervised:
            print(f"== {full}: left out, no --self-supervised folder", flush=True)
            continue
        folder = options.runs / full
        if (folder / "report.html").exists():
            continue
        given: list[Any] = [f"data.train={options.train}", f"data.test={options.test}"]
        given += overrides(name, int(seed), options.runs, grown) + options.set
        config = TrainRunConfig.load(HERE / "cifar10.yaml", given)
        command = shlex.join(["striate", "train", "-c", "studies/lcl_v2net/cifar10.yaml", *given])
        print(f"== {full}", flush=True)
        train_model(config, folder, Options(command=f"{command} -o {folder}", progress=False))
        build(folder)
    (options.runs / "fronts.yaml").write_text(yaml.safe_dump(list(FRONTS), sort_keys=False))


if __name__ == "__main__":
    main()
