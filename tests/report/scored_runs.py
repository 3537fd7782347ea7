"""Made-up run folders with the tables that verbs write, as far as a scorecard reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from striate.core.files import write_json

NET, OTHER, TWIN = "aa" * 32, "bb" * 32, "cc" * 32
"""Fingerprints of the weights of three models."""


def run_folder(
    folder: Path,
    config: dict[str, Any],
    models: dict[str, str],
    started: str = "2026-01-01",
    verb: str | None = None,
) -> Path:
    """A run without tables. `models`: weights by name; `GROUP/NAME` are of a group."""
    (folder / "tables").mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    (folder / "report.html").write_text("<!doctype html>")
    versions = {"striate": "0.1.0", "torch": "2"}
    provenance = {"started": started, "versions": versions, "verb": verb}
    write_json(folder / "provenance.json", provenance)
    records = [
        {
            "name": name,
            "group": name.split("/")[0] if "/" in name else None,
            "id": "squeezenet1_1" + ("@random" if weights == TWIN else ""),
            "weights": weights,
            "fingerprint": weights,
            "simulated": False,
        }
        for name, weights in models.items()
    ]
    if models:
        write_json(folder / "models.json", {"models": records})
    return folder


def predicted(
    folder: Path,
    r: dict[str, float],
    weights: dict[str, str],
    *,
    simulated: bool = False,
    size: int = 112,
    started: str = "2026-01-01",
) -> Path:
    """`striate predict` on macaque V4: r of each model; random twins have r - 0.2."""
    data = {"name": "cowley_v4", "path": str(folder), "rois": None}
    config = {
        "models": {name: {"source": "x"} for name in r},
        "sets": {"v4": {"data": data, "image_size": size, "device": "cpu"}},
        "freeman_ziemba": None,
        "rdms_92images": None,
    }
    run_folder(folder, config, weights, started, verb="predict")
    rows = [
        {
            "data": "v4", "readout": "best tap", "kind": "ridge", "model": name + twin,
            "tap": "features.7", "sessions": 4, "r": value - less, "low": value - less - 0.05,
            "high": value - less + 0.05, "r_normalized": (value - less) / 0.8, "null": 0.001,
            "simulated": simulated,
        }
        for name, value in r.items()
        for twin, less in (("", 0.0), ("@random", 0.2))
    ]  # fmt: skip
    pd.DataFrame(rows).to_parquet(folder / "tables/scores.parquet")
    write_json(folder / "notes.json", [])
    return folder


def behaved(folder: Path, accuracy: dict[str, float], weights: dict[str, str]) -> Path:
    """`striate behave`: accuracy of each model, and its shape bias, half of that."""
    config = {"humans": "H", "stimuli": {"edge": "E"}, "exclude": None}
    run_folder(folder, config, weights, verb="behave")
    means, every = [], []
    for name, value in {"humans": 0.8, **accuracy}.items():
        cell = {"observer": name, "status": "measured", "value": value}
        cell |= {"low": value - 0.02, "high": value + 0.02}
        means += [
            {**cell, "measure": m, "experiments": "cue-conflict, edge", "humans": 0.8}
            for m in ("accuracy", "error_consistency", "observed_consistency")
        ]
        bias = {"experiment": "cue-conflict", "measure": "shape_bias", "value": value / 2}
        every.append({**cell, **bias})
    pd.DataFrame(means).to_parquet(folder / "tables/means.parquet")
    pd.DataFrame(every).to_parquet(folder / "tables/benchmark.parquet")
    categories = pd.DataFrame({"category": [f"c{i}" for i in range(16)]})
    categories.to_parquet(folder / "tables/categories.parquet")
    facts = {name: {"id": "squeezenet1_1", "image_size": 224} for name in accuracy}
    write_json(folder / "behavior.json", {"models": facts, "notes": []})
    return folder
