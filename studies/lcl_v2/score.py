"""Score grown models and their baselines on neurons; finished models are not scored again.

    python studies/lcl_v2/score.py CONFIG.yaml OUT NAME=ID_OR_FOLDER[:seed] … [--set key=value …]

Models that share a NAME are seeds of one model. A model folder that `striate grow` wrote is
RUN/model; ids are those of `striate models`, and `:seed` draws the weights of `…@random` (of a
folder it is a label). OUT gets `SET/NAME-SEED/` for each data set (`striate.evaluate.
neurons.score_model`), `models.json`, and, with all models of OUT together, the tables
`tables/{scores,seeds,differences}.parquet` and `tables/{rsa,rsa_differences}.parquet`.
"""

from __future__ import annotations

import argparse
import re
import shlex
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import Field

from striate.core.allocator import keep_freed_memory
from striate.core.cache import Cache
from striate.core.config import Config
from striate.core.errors import InputError
from striate.core.files import atomic_path, locked, read_json, write_json
from striate.core.run import RunFolder
from striate.evaluate.neurons.config import PredictivityConfig
from striate.evaluate.neurons.inputs import Material
from striate.evaluate.neurons.measure import score_model
from striate.evaluate.neurons.resampled import BEST, folders, load_scored
from striate.evaluate.neurons.rsa_tables import rsa_tables
from striate.evaluate.neurons.tables import difference_table, score_table, seed_table
from striate.models import Model, load, matched_taps, receptive_field
from striate.models.store import is_model_folder

STAGES = {
    "gabor_energy": {"stage 1": ["simple", "complex", "normalized"]},
    "scattering_v2": {"stage 1": ["layer1"], "stage 2": ["layer2"]},
}
"""Taps of the fixed models: Gabor energy is a model of V1 alone."""


class StudyConfig(Config):
    """What every model is scored on, and what it is compared with."""

    sets: dict[str, PredictivityConfig]
    weights: dict[str, str] = Field(default_factory=dict)
    """Weights file by model id, for networks without weights of their own."""
    receptive_fields: tuple[float, float] = (19, 67)
    """Of stage 1 and 2 in pixels; other networks are read where theirs are nearest."""
    reference: str = "matched"
    """Name of the model that all others are compared with."""
    bootstrap: int = Field(1000, ge=1)
    seed: int = 0


def parse(spec: str) -> tuple[str, str, int]:
    """Name, id or folder, and seed of `NAME=ID_OR_FOLDER[:seed]`."""
    match = re.fullmatch(r"([\w.-]+)=(.+?)(?::(\d+))?", spec)
    if match is None:
        raise InputError(f"{spec!r} is not NAME=ID_OR_FOLDER[:seed].")
    return match[1], match[2], int(match[3] or 0)


def readouts_of(model: Model, sizes: tuple[float, float]) -> dict[str, list[str]]:
    """Taps of each stage, and all of them for the best one."""
    base = model.id.partition("@")[0]
    if base in STAGES:
        stages = {stage: list(taps) for stage, taps in STAGES[base].items()}
    elif base == "lcl_v2":
        stages = {f"stage {i}": [tap] for i, tap in enumerate(model.taps[:2], 1)}
    else:
        stages = {f"stage {i}": [tap] for i, tap in enumerate(matched_taps(model, sizes), 1)}
    every = list(dict.fromkeys(tap for taps in stages.values() for tap in taps))
    return {**stages, BEST: every}


def describe(source: str, seed: int, name: str, model: Model, taps: list[str]) -> dict[str, Any]:
    """What a reader must know of a model: where it is from, its taps and their fields."""
    fields: dict[str, int | None] = {}
    for tap in taps:
        try:
            fields[tap] = receptive_field(model, tap).size
        except InputError:
            fields[tap] = None
    return {
        "name": name,
        "seed": seed,
        "source": source,
        "id": model.id,
        "grown": is_model_folder(source),
        "receptive_fields": fields,
        "seen": len(model.seen),
    }


def tables(out: Path, materials: dict[str, Material], config: StudyConfig) -> None:
    """Write the tables over all models of a folder."""
    made: dict[str, list[pd.DataFrame]] = {}
    for name, material in materials.items():
        paths = folders(out / name)
        scored = load_scored(paths, config.bootstrap, config.seed)
        units, nulls = (
            pd.concat([pd.read_parquet(f / f"{t}.parquet") for f in paths])
            for t in ("units", "null")
        )
        by_table = {
            "scores": score_table(scored, units, nulls),
            "seeds": seed_table(scored),
            "differences": difference_table(scored, config.reference, config.seed),
        }
        if material.config.rsa:
            groups = material.groups(next(iter(material.dataset)))
            similar, apart = rsa_tables(paths, material.rdms(), groups, config.reference)
            by_table |= {"rsa": similar, "rsa_differences": apart}
        for table, rows in by_table.items():
            made.setdefault(table, []).append(rows.assign(data=name))
    (out / "tables").mkdir(exist_ok=True)
    for table, parts in made.items():
        with atomic_path(out / "tables" / f"{table}.parquet") as temporary:
            pd.concat(parts, ignore_index=True).to_parquet(temporary, index=False)


def main() -> None:
    keep_freed_memory()
    parser = argparse.ArgumentParser()
    parser.add_argument("config", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("models", nargs="*")
    parser.add_argument("--set", dest="overrides", nargs="*", default=[])
    given = parser.parse_args()
    config = StudyConfig.load(given.config, given.overrides)
    specs = [parse(spec) for spec in given.models]
    # scores know what they were made with, so a folder can go on with another config
    command = shlex.join(["python", *sys.argv])
    run = RunFolder(given.out, config, command=command, overwrite=True)
    with locked(run.path / ".lock", wait=False):
        cache = Cache(run.path / "cache")
        materials = {name: Material.read(name, data_set) for name, data_set in config.sets.items()}
        listed = run.path / "models.json"
        models = {(m["name"], m["seed"]): m for m in read_json(listed)} if listed.exists() else {}
        for name, source, seed in specs:
            for place, material in materials.items():
                size = material.config.image_size
                weights = config.weights.get(source)
                model = load(source, weights=weights, image_size=size, seed=seed)
                readouts = readouts_of(model, config.receptive_fields)
                started = time.monotonic()
                folder = run.path / place / f"{name}-{seed}"
                new = score_model(
                    model, material, readouts, folder, name=name, seed=seed, cache=cache
                )
                table = pd.read_parquet(folder / "units.parquet")
                means = table.groupby(["readout", "kind"])["r"].mean().round(3).to_dict()
                took = f"{time.monotonic() - started:.0f} s" if new else "kept"
                print(f"{place} {name}-{seed}: {took}; mean r {means}", flush=True)
            shutil.rmtree(cache.root / "features", ignore_errors=True)  # of no other model
            facts = describe(source, seed, name, model, readouts[BEST])
            print(f"  taps and receptive fields (px): {facts['receptive_fields']}", flush=True)
            models[name, seed] = facts
            write_json(listed, [models[key] for key in sorted(models)])
        started = time.monotonic()
        tables(run.path, materials, config)
        print(f"tables: {time.monotonic() - started:.0f} s", flush=True)
    print(run.path)


if __name__ == "__main__":
    main()
