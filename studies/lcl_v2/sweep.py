"""Grow short variants of the matched model and score them on the select part of macaque V4.

    python studies/lcl_v2/sweep.py RUNS V4_FOLDER PHOTOGRAPHS… [--steps 3000] [--only NAME…]

Writes RUNS/sweep.csv, one row a variant: what differs from where the search began (START), what
the kernels are like, and how well each stage's tap is read out by ridge on folds of `select`. The
test part of the neurons is not looked at, so settings may be chosen here. Finished variants are
kept.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import yaml

from striate.core.allocator import keep_freed_memory
from striate.core.cache import Cache
from striate.core.compute import Compute
from striate.core.files import read_json_lines, write_text
from striate.encoding import ReadoutConfig, Round, extract, predict
from striate.encoding.projection import ProjectionConfig
from striate.evaluate import GrowRunConfig, Options, grow_model
from striate.evaluate.neurons.config import PredictivityConfig
from striate.evaluate.neurons.inputs import Material
from striate.models import Model, load

HERE = Path(__file__).parent
STAGE1 = "network.stages=[{channels: 64, kernel: 11, stride: 4, padding: 2}]"
GAIN = "patches.photometry.log_gain"
START = ("a=0.1", "lambda=0.005", f"{GAIN}=0.4", "statistics=patches")
"""Where the search began; what a row says was changed is changed from here."""
GRID: dict[str, tuple[str, ...]] = {
    "base": (),
    "gain .2": (f"{GAIN}=0.2",),
    "gain .1": (f"{GAIN}=0.1",),
    "gain .05": (f"{GAIN}=0.05",),
    "gain 0": (f"{GAIN}=0.0",),
    "a .05": ("a=0.05",),
    "a .2": ("a=0.2",),
    # the others on top of the gain that was found to serve
    "gain .2, a .2": (f"{GAIN}=0.2", "a=0.2"),
    "gain .2, a .3": (f"{GAIN}=0.2", "a=0.3"),
    "gain .2, a .4": (f"{GAIN}=0.2", "a=0.4"),
    "lambda .02": (f"{GAIN}=0.2", "lambda=0.02"),
    "lambda .02, a .2": (f"{GAIN}=0.2", "lambda=0.02", "a=0.2"),
    "lambda .02, a .3": (f"{GAIN}=0.2", "lambda=0.02", "a=0.3"),
    "lambda .05": (f"{GAIN}=0.2", "lambda=0.05"),
    "lambda .02, large": (f"{GAIN}=0.2", "lambda=0.02", "deformation=large_everywhere"),
    "lambda .02, a .2, small": (
        f"{GAIN}=0.2",
        "lambda=0.02",
        "a=0.2",
        "deformation=small_everywhere",
    ),
    "lambda .02, a .2, calibrated": (
        f"{GAIN}=0.2",
        "lambda=0.02",
        "a=0.2",
        "statistics=photographs",
    ),
    "lambda .02, mean position": (f"{GAIN}=0.2", "lambda=0.02", "clean=3", "position=mean"),
    "lambda .001": (f"{GAIN}=0.2", "lambda=0.001"),
    "no projector": (f"{GAIN}=0.2", "projector=null"),
    "projector 512": (f"{GAIN}=0.2", "projector=512"),
    "clean 3": (f"{GAIN}=0.2", "clean=3"),
    "mean position": (f"{GAIN}=0.2", "clean=3", "position=mean"),
    "noise .1": (f"{GAIN}=0.2", "patches.photometry.noise=0.1"),
    "decay 1": (f"{GAIN}=0.2", "weight_decay=1.0"),
    "batch 512": (f"{GAIN}=0.2", "batch_size=512"),
}
FIRST, BOTH = "stage 1 alone", "both stages"


def select_scores(model: Model, material: Material, cache: Cache) -> dict[str, float]:
    """Mean r over sessions and units on folds of `select`, by tap."""
    taps: dict[str, list[float]] = {tap: [] for tap in model.taps}
    readouts = {tap: [tap] for tap in model.taps}
    for subject, recording in material.dataset.items():
        (selection,) = material.rounds(subject)
        held = np.unique(np.concatenate([fold[1] for fold in selection.folds]))
        features = extract(
            model,
            recording.stimuli.decoded(model.preprocessing.size, model.preprocessing.resize, cache),
            recording.stimuli.hashes,
            projection=ProjectionConfig(kind="none", grid=material.config.grid),
            compute=Compute(cache=cache, progress=False),
        )
        # what is predicted is not looked at: the scores over folds are what is wanted
        scores = predict(
            features,
            recording.responses.mean(),
            [Round(selection.train, selection.train[held], selection.folds)],
            readouts,
            ReadoutConfig(kinds=("ridge",)),
        )
        for tap in model.taps:
            taps[tap].append(float(scores.tap_scores[tap][tap][0]))
    return {tap: float(np.mean(values)) for tap, values in taps.items()}


def main() -> None:
    keep_freed_memory()
    torch.set_flush_denormal(True)
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("runs", type=Path)
    parser.add_argument("v4")
    parser.add_argument("photographs", nargs="+")
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--only", nargs="+", choices=list(GRID), default=list(GRID))
    parser.add_argument("--both", action="store_true", help="grow both stages, not the first alone")
    given = parser.parse_args()
    settings = yaml.safe_load((HERE / "score.yaml").read_text())["sets"]["v4"]
    settings["data"]["path"] = given.v4
    material = Material.read("v4", PredictivityConfig.from_dict(settings))
    cache, kind = Cache(given.runs / "cache"), BOTH if given.both else FIRST
    for name in given.only:
        folder = given.runs / f"{kind} {name} {given.steps}".replace(" ", "_")
        if (folder / "row.json").exists():
            continue
        changes = [f"photographs=[{','.join(given.photographs)}]", f"steps={given.steps}"]
        changes += [*START, *GRID[name], *(() if given.both else (STAGE1,))]
        config = GrowRunConfig.load(HERE / "matched.yaml", changes)
        grow_model(config, folder, Options(progress=False, say=lambda line: None))
        model = load(folder / "model", image_size=settings["image_size"])
        last = read_json_lines(folder / "model" / "metrics.jsonl")[-1]
        fits = pd.read_parquet(folder / "tables" / "gabors.parquet")
        row = {
            "grown": kind,
            "steps": given.steps,
            "changed": " ".join(GRID[name]) or "nothing",
            "Gabor R2 > .7": f"{(fits['r2'] > 0.7).mean():.0%}",
            "chromatic energy": f"{fits['chromatic'].median():.2f}",
        }
        scores = select_scores(model, material, cache)
        for stage, tap in enumerate(("stage1", "stage2"), 1):
            row[f"rank, stage {stage}"] = f"{last[f'{tap}_rank']:.1f}" if tap in scores else ""
            row[f"V4 select r, stage {stage}"] = f"{scores[tap]:.4f}" if tap in scores else ""
        write_text(folder / "row.json", json.dumps(row))
        print(name, row, flush=True)
        rows = [json.loads(p.read_text()) for p in sorted(given.runs.glob("*/row.json"))]
        pd.DataFrame(rows).to_csv(given.runs / "sweep.csv", index=False)


if __name__ == "__main__":
    main()
