"""One score of one model as a scorecard takes it, whatever verb it comes from.

A run contributes to scorecards by writing a list of these with
`write_measurements(run / "tables/scorecard.parquet", …)` and its models with
`model_records.write_models`; nothing else has to be told. A verb may also name functions that make
them from its tables (`striate.verbs`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from striate.core.errors import InputError
from striate.core.files import read_parquet, write_table
from striate.encoding import mean_interval

FILE = "tables/scorecard.parquet"
NAN = float("nan")
MEASURES = (
    "V1", "V2", "V4", "IT", "texture modulation", "properties", "OOD accuracy",
    "error consistency", "shape bias", "classification",
)  # fmt: skip
"""Sections of a scorecard that are shown even where nothing was measured, in order."""


@dataclass(frozen=True)
class Measurement:
    """A value with its uncertainty and what it is to be read against; NaN where unknown.

    Attributes:
        measure: section of the scorecard: one of `MEASURES`, or another name.
        row: what exactly: data, readout, unit of the number. The same text, the same thing.
        model: the model's name, or the name of a group, in the run's `models.json`.
        value: the score.
        low, high: of its 95 % interval.
        over: what the interval is over: images, sessions, families …
        ceiling: what a perfect model would reach, in the units of `value`.
        ceiling_is: what that is: noise ceiling, humans with each other …
        normalized: share of the ceiling.
        explained: share of the explainable variance, pooled over units (`encoding.explained`).
        random: the same score of the same network with random weights.
        null: the same score with shuffled stimuli, or by chance.
        null_is: what that is.
        better: `higher`, `lower`, or `neither` where more is not better.
        detail: what a reader of the cell has to know, such as the tap.
        simulated: whether the data are simulated.
        protocol: settings without which two values are not comparable; those that differ stand in
            rows of their own.
    """

    measure: str
    row: str
    model: str
    value: float
    low: float = NAN
    high: float = NAN
    over: str = ""
    ceiling: float = NAN
    ceiling_is: str = ""
    normalized: float = NAN
    explained: float = NAN
    random: float = NAN
    null: float = NAN
    null_is: str = ""
    better: str = "higher"
    detail: str = ""
    simulated: bool = False
    protocol: dict[str, Any] = field(default_factory=dict)


def average_models(name: str, measurements: Sequence[Measurement]) -> Measurement:
    """One measurement of several models as a group: the mean, with Student's t over models.

    Args:
        name: of the group.
        measurements: of the same thing, one a model.
    """

    def mean(values: Sequence[float]) -> float:
        return float(np.mean(values))

    interval = mean_interval(np.array([m.value for m in measurements], dtype=float))
    return replace(
        measurements[0],
        model=name,
        value=interval.value,
        low=interval.low,
        high=interval.high,
        over=f"{len(measurements)} models",
        normalized=mean([m.normalized for m in measurements]),
        explained=mean([m.explained for m in measurements]),
        random=mean([m.random for m in measurements]),
        null=mean([m.null for m in measurements]),
        detail=f"mean of {len(measurements)} models",
    )


NEEDED = ("measure", "row", "model", "value")


def write_measurements(path: Path, measurements: Sequence[Measurement]) -> None:
    """Write measurements as a table, atomically; `protocol` becomes JSON."""
    rows = [{**asdict(m), "protocol": json.dumps(m.protocol, sort_keys=True)} for m in measurements]
    write_table(path, pd.DataFrame(rows, columns=[f.name for f in fields(Measurement)]))


def read_measurements(path: Path) -> list[Measurement]:
    """Read what `write_measurements` wrote; columns with a default may be missing.

    Raises:
        InputError: naming the file and the column that is missing or not known.
    """
    table = read_parquet(path)
    columns = [f.name for f in fields(Measurement)]
    missing = [c for c in NEEDED if c not in table]
    unknown = [c for c in table.columns if c not in columns]
    if missing or unknown:
        problem = (
            f"has no column {missing[0]!r}" if missing else f"has an unknown column {unknown[0]!r}"
        )
        raise InputError(
            f"{path} {problem}. Expected {', '.join(NEEDED)}, and may have "
            f"{', '.join(c for c in columns if c not in NEEDED)}."
        )
    measurements = []
    for row in table.to_dict("records"):
        values = {str(k): v for k, v in row.items()}
        if "protocol" in values:
            values["protocol"] = json.loads(values["protocol"] or "{}")
        measurements.append(Measurement(**values))
    return measurements
