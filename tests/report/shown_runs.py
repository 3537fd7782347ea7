"""Made-up run folders with the files that pages read, in which every name is one that is given."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from striate.core.files import write_json
from striate.evaluate.units.properties import PROPERTIES

GRATINGS = [name for name, p in PROPERTIES.items() if p.stimuli == "gratings"]
MEASURES = ("accuracy", "accuracy_difference", "observed_consistency", "error_consistency")
BIAS = ("shape_bias", "shape", "texture", "congruent_accuracy")
INTERVAL = {"low": 0.1, "high": 0.3}


def write_run(folder: Path, name: str, verb: str, config: dict[str, Any], **tables: Any) -> Path:
    """The files that every run has, and its tables."""
    (folder / "tables").mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    machine = {"processor": name, "cores": 2, "memory_gb": 4.0, "gpus": []}
    record = {
        "command": f"striate {name}",
        "verb": verb,
        "started": "2026-01-01",
        "versions": {"torch": name},
    }
    write_json(folder / "provenance.json", {**record, "machine": machine})
    model = {"name": name, "id": name, "weights": "aa" * 32, "description": name}
    write_json(folder / "models.json", {"models": [model]})
    for table, rows in tables.items():
        pd.DataFrame(rows).to_parquet(folder / "tables" / f"{table}.parquet")
    return folder


def grown(folder: Path, name: str) -> Path:
    """Of `striate grow`."""
    tuning = [
        {"tap": name, "responds": i > 0, **dict.fromkeys(GRATINGS, 0.1 * i)} for i in range(4)
    ]
    gabors = {"unit": [0, 1], "r2": [0.9, 0.1], "chromatic": [0.1, 0.3]}
    config = {"photographs": [name], "credit": name, "deformation": name, "a": 0.1, "batch_size": 2}
    write_run(folder, name, "grow", config, tuning=tuning, gabors=gabors)
    (folder / "model").mkdir()
    (folder / "model" / "grow.yaml").touch()
    (folder / "model" / "card.md").write_text(name)
    step = {"step": 1, "seconds": 1.0, f"{name}_loss": 0.5, f"{name}_collapsed": True}
    write_log(folder / "model" / "metrics.jsonl", [step])
    write_json(folder / "units.json", {"taps": [name], "gabors": 0.5})
    np.savez(folder / "units.npz", kernels=np.ones((2, 3, 3, 3)))
    pairs = np.zeros((1, 2, 5, 5, 3), dtype=np.uint8)
    np.savez(folder / "model" / "pairs.npz", stage1=pairs, stage1_lit=pairs)
    return folder


def trained(folder: Path, name: str) -> Path:
    """Of `striate train`."""
    config = {"front": {"id": name, "weights": name}, "training": {"attack": {"eps": 0.0}}}
    accuracy = {"accuracy": 0.2, **INTERVAL}
    conditions = [
        {"experiment": e, "severity": "1", "level": 1, "excluded": False, "images": 2, **accuracy}
        for e in ("clean", name)
    ]
    distortions = [{"experiment": name, "conditions": 1, "accuracy": 0.2}]
    write_run(folder, name, "train", config, conditions=conditions, distortions=distortions)
    (folder / "model").mkdir()
    (folder / "model" / "train.yaml").touch()
    step = {"step": 1, "epoch": 1, "seconds": 1.0, "loss": 0.5, "accuracy": 0.5}
    write_log(folder / "model" / "metrics.jsonl", [step])
    front = {"id": name, "tap": name, "frozen": True}
    results = {"front": front, "accuracy": accuracy, "distorted": 0.2, "chance": 0.1}
    write_json(folder / "training.json", {**results, "test_images": 2, "notes": [name]})
    return folder


def probed(folder: Path, name: str) -> Path:
    """Of `striate probe`."""
    place = {"model": name, "tap": name}
    modulation: dict[str, Any] = {**place, "units": 2, "active": 2, "families": 1}
    modulation |= {"positive": 0.5, "negative_share": 0.0}
    for of in ("mean", "control"):
        modulation |= {of: 0.2} | {f"{of}_{k}_{s}": INTERVAL[s] for k in OVER for s in INTERVAL}
    difference = {"model": name, "later": name, "earlier": name, "difference": 0.2}
    difference |= {f"difference_{k}_{s}": INTERVAL[s] for k in OVER for s in INTERVAL}
    difference |= {"p_families": 0.01, "larger_families": 1, "families": 1}
    errors = {"start": 1.0, "end": 0.1, "remaining": 0.1, "evaluations": 3, "seconds": 0.1}
    config = {"stimuli": [name], "textures": {}, "pixels_per_degree": 28.0, "histograms": name}
    write_run(
        folder,
        name,
        "probe",
        config,
        tuning=[{**place, "responds": True, **dict.fromkeys(GRATINGS, 0.5)}],
        texture_modulation=[modulation],
        texture_differences=[difference],
        texture_families=[{**place, "family": name, "index": 0.1, "control": 0.0}],
        synthesis=[{"family": name, "sample": 0, **errors, "clipped": 0.0}],
        similarity=[{**place, "property": name, "mean": 0.2, **INTERVAL}],
    )
    np.savez(folder / "examples.npz", images=np.zeros((2, 1, 4, 4)), families=[name])
    models = {name: {"id": name, "taps": [name], "fingerprint": name}}
    write_json(folder / "probe.json", {"models": models, "notes": [name], "seconds": 1.0})
    return folder


OVER = ("families", "units")


def decided(folder: Path, name: str) -> Path:
    """Of `striate behave`: two models of a group, and humans."""
    observers = ("humans", f"{name} 1", f"{name} 2")
    value = {"status": "measured", "value": 0.2, **INTERVAL}
    place = {"experiment": name}
    benchmark = [
        {**place, "observer": o, "measure": m, **value} for o in observers for m in MEASURES + BIAS
    ]
    mean = {"n_experiments": 1, "experiments": name, "humans": 0.2, "mean_rank": 1.0}
    categories = [
        {**place, "observer": o, "category": name, "measure": m, **value}
        for o in observers
        for m in ("accuracy", "shape_bias")
    ]
    change = {**place, "measure": "accuracy", "delta": 0.1, **INTERVAL, "p": 0.01}
    human = {"observers": 2, "conditions": 1, "trials": 3}
    human |= {f"{m}{end}": 0.2 for m in MEASURES for end in ("", "_low", "_high")}
    write_run(
        folder,
        name,
        "behave",
        {"humans": name, "stimuli": {name: name}},
        benchmark=benchmark,
        means=[{**row, **mean} for row in benchmark if row["measure"] in MEASURES],
        categories=categories,
        differences=[{"model": observers[1], "reference": name, "group": name, **change}],
        groups=[{"group": name, "models": 2, **change}],
        humans=[{**place, **human}, {"experiment": "mean", **human}],
        each_human=[{**place, "observer": name, **dict.fromkeys(MEASURES, 0.2)}],
        each_human_bias=[{"observer": name, "category": name, "shape_bias": 0.2}],
    )
    model = {"id": name, "source": name, "image_size": 8, "tuned": [name], "simulated": False}
    models = {o: {**model, "group": name, "status": name} for o in observers[1:]}
    write_json(folder / "behavior.json", {"models": models, "notes": [name]})
    return folder


def predicted(folder: Path, name: str) -> Path:
    """Of `striate predict`."""
    place = {"readout": name, "kind": name, "model": name, "data": name, "simulated": True}
    limits = {f"{k}_{s}": INTERVAL[s] for k in LIMITS for s in INTERVAL} | INTERVAL
    numbers = (
        "r", "r_sem", "r_normalized", "ceiling", "r_over_c_squared", "r_squared_over_c", "null",
        "null_95", "over_random", "share_explained", "similarity", "delta", "p",
    )  # fmt: skip
    counts = ("sessions", "sessions_better", "units", "n_reliable", "n_groups", "stimuli",
              "neurons", "components", "families")  # fmt: skip
    row = {**place, **limits, **dict.fromkeys(numbers, 0.2), **dict.fromkeys(counts, 2)}
    row |= {"tap": name, "over": name, "ceiling_source": name, "weights": name, "region": name}
    write_run(
        folder,
        name,
        "predict",
        {"sets": {}, "freeman_ziemba": {}, "models": {name: {}}},
        scores=[row],
        differences=[{**row, "reference": name}],
        freeman_ziemba=[row],
        freeman_ziemba_taps=[{"region": name, "tap": name, "r": 0.2, "chosen": True}],
        rdms_92images=[{**row, "method": name}],
    )
    write_json(folder / "notes.json", [name])
    write_json(folder / "unrelated.json", [name])
    return folder


LIMITS = ("neurons", "over_random", "session", "share", "ceiling")


def write_log(path: Path, entries: list[dict[str, Any]]) -> None:
    """Entries as lines of JSON."""
    pd.DataFrame(entries).to_json(path, orient="records", lines=True)


PAGES: dict[str, Callable[[Path, str], Path]] = {
    "grow": grown,
    "train": trained,
    "probe": probed,
    "behave": decided,
    "predict": predicted,
}
"""By verb."""
