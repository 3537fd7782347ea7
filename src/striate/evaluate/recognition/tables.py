"""What `striate train` writes of a model that was tested: tables, decisions, summary, scorecard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from striate.core.files import (
    read_json,
    read_parquet,
    write_arrays,
    write_json,
    write_table,
)
from striate.core.hashing import hash_json
from striate.data.images.labeled import Labeled
from striate.evaluate.common.measurement import FILE, NAN, Measurement, write_measurements
from striate.evaluate.common.model_records import model_record, write_models
from striate.evaluate.recognition.config import TrainRunConfig
from striate.evaluate.recognition.measure import CLEAN, means
from striate.models import Model

DONE = "training.json"
TABLES = ("conditions", "distortions")
"""Accuracy in each condition of a distortion, and its mean over those that count."""


def write_results(
    folder: Path,
    config: TrainRunConfig,
    table: pd.DataFrame,
    decisions: np.ndarray,
    testing: Labeled,
    model: Model,
    notes: list[str],
    asked: str,
) -> None:
    """Write tables, decisions and what a scorecard takes, and the summary with `asked` last."""
    summary = means(table)
    for name, written in zip(TABLES, (table, summary), strict=True):
        write_table(folder / "tables" / f"{name}.parquet", written)
    arrays = {"decisions": decisions.astype(np.int32), "labels": testing.labels}
    write_arrays(folder / "decisions.npz", arrays)
    name = f"classifier on {config.front.id}"
    write_measurements(folder / FILE, _make_measurements(name, config, table, summary, testing))
    write_models(folder, [model_record(name, model)])
    overall = summary.loc[summary["experiment"] == "mean", "accuracy"]
    clean = table.loc[table["experiment"] == CLEAN, ["accuracy", "low", "high"]].iloc[0]
    network: Any = model.network
    write_json(
        folder / DONE,
        {
            "accuracy": clean.to_dict(),
            "distorted": float(overall.iloc[0]) if len(overall) else None,
            "front": network.config.front.to_dict(),
            "classes": list(testing.classes),
            "chance": 1 / len(testing.classes),
            "test_images": len(testing),
            "notes": notes,
            "asked": asked,
        },
    )


def folder_name(data: str) -> str:
    """Name of the folder that labeled images lie in, whatever the path is relative to."""
    return Path(data).absolute().parent.name


def _make_measurements(
    name: str,
    config: TrainRunConfig,
    table: pd.DataFrame,
    summary: pd.DataFrame,
    testing: Labeled,
) -> list[Measurement]:
    """Make the scorecard's rows: accuracy on the test images, and the mean over distortions."""
    data = config.data.name or folder_name(config.data.test)
    protocol = {"test_images": hash_json(sorted(testing.images.hashes))}
    facts: dict[str, Any] = {
        "measure": "classification",
        "model": name,
        "null": 1 / len(testing.classes),
        "null_is": "chance",
    }
    clean = table[table["experiment"] == CLEAN].iloc[0]
    measurements = [
        Measurement(
            row=f"accuracy: {data}",
            value=float(clean["accuracy"]),
            low=float(clean["low"]),
            high=float(clean["high"]),
            over="images",
            protocol=protocol,
            **facts,
        )
    ]
    overall = summary.loc[summary["experiment"] == "mean", "accuracy"]
    if len(overall):
        experiments = sorted(set(summary["experiment"]) - {"mean"})
        measurements.append(
            Measurement(
                row=f"accuracy: {data}, mean of {len(experiments)} distortions",
                value=float(overall.iloc[0]),
                low=NAN,
                high=NAN,
                protocol={**protocol, "distortions": experiments},
                **facts,
            )
        )
    return measurements


def read_results(folder: str | Path) -> tuple[dict[str, Any], pd.DataFrame, pd.DataFrame]:
    """Read the summary of a finished run, accuracy by condition, and means by distortion."""
    folder = Path(folder)
    accuracy, averages = (read_parquet(folder / "tables" / f"{name}.parquet") for name in TABLES)
    return read_json(folder / DONE), accuracy, averages
