"""One scorecard of many models: rows are measures, columns are models known by their weights.

Models are matched across runs by `weights` of `models.json`, never by name. Values of settings that
are not comparable stand in rows of their own. Where a model was measured twice in one row, the
newer run counts and the other value is told.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from striate.core.config import flatten_settings
from striate.evaluate.common.measurement import MEASURES, NAN, Measurement
from striate.report.scorecard.runs import Run, RunModel, read_run

NOT_MEASURED = "not measured"
SAME = 1e-9
"""Relative difference up to which two values are one (ours)."""


@dataclass(frozen=True)
class Column:
    """A model of a scorecard.

    Attributes:
        identity: of its weights.
        label: unique.
        names: in the runs.
        id: of the network; models: how many a group holds; simulated: tuned to simulated data.
        origin: the beginning of the weights' fingerprint, or the only run, where that is unknown.
    """

    identity: str
    label: str
    names: tuple[str, ...]
    id: str
    models: int
    simulated: bool
    origin: str


@dataclass(frozen=True)
class Cell:
    """A measurement, the run it is of, and other values of the same that do not count."""

    measurement: Measurement
    run: Run
    others: tuple[str, ...] = ()


@dataclass(frozen=True)
class Row:
    """A row: what was measured, with the settings that set it apart from a row of its name."""

    measure: str
    what: str
    apart: str = ""
    cells: dict[str, Cell] = field(default_factory=dict)


@dataclass(frozen=True)
class Scorecard:
    """Everything that is shown; cells that a row lacks were not measured."""

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    runs: tuple[Run, ...]
    notes: tuple[str, ...]


def make_scorecard(folders: Sequence[str | Path]) -> Scorecard:
    """Read run folders and model folders and line them up.

    Model folders choose: where there are any, only these models are columns. Without them all
    models of the runs are.

    Raises:
        InputError: a folder that is neither a run nor a model, or a run that is not finished.
    """
    places = {Path(f).resolve(): Path(f) for f in folders}
    runs = [read_run(folder) for folder in places.values()]
    columns, notes = _make_columns(runs)
    scored = [run for run in runs if not run.is_model]
    rows, more = _make_rows(scored, {c.identity for c in columns})
    labels = {c.identity: c.label for c in columns}
    return Scorecard(
        tuple(columns),
        tuple(rows),
        tuple(runs),
        (*notes, *more, *_describe_conflicts(rows, labels), *(n for r in runs for n in r.notes)),
    )


def _make_columns(runs: Sequence[Run]) -> tuple[list[Column], list[str]]:
    """Columns in the order in which models are met, and what to tell of their names."""
    given = {model.identity for run in runs if run.is_model for model in run.models.values()}
    models: dict[str, list[RunModel]] = {}
    by_name: dict[str, dict[str, str]] = {}  # name, identity, origin
    for run in runs:
        for name, model in run.models.items():
            models.setdefault(model.identity, []).append(model)
            origin = model.identity[:8] if model.matched else run.folder.name
            by_name.setdefault(name, {})[model.identity] = origin
    shown = [i for i in models if not given or i in given]
    columns, notes = [], []
    for identity in shown:
        same = models[identity]
        first = same[0]
        names = tuple(dict.fromkeys(model.name for model in same))
        origin = by_name[names[0]][identity]
        label = names[0]
        if any(len(by_name[n]) > 1 for n in names):
            label = f"{label} ({first.id or 'network not told'}, {origin})"
        simulated = any(model.simulated for model in same)
        columns.append(Column(identity, label, names, first.id, first.models, simulated, origin))
        if len(names) > 1:
            notes.append(f"{', '.join(names)} are one model: their weights are the same.")
    several = [n for n, origins in by_name.items() if sum(i in shown for i in origins) > 1]
    if several:
        verb = "are names" if len(several) > 1 else "is the name"
        notes.append(
            f"{', '.join(several)} {verb} of more models than one, by their weights or because a "
            "run tells none; each has a column, with its network and where it is from."
        )
    left = len(models) - len(shown)
    if left:
        notes.append(
            f"{left} more models of these runs are not shown, as model folders were named: leave "
            "them out to see all."
        )
    return columns, notes


def _make_rows(runs: Sequence[Run], shown: set[str]) -> tuple[list[Row], list[str]]:
    """Rows in the order of `MEASURES`, then of the runs; and what to tell of their settings."""
    places: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}
    cells: dict[tuple[str, str, str], dict[str, Cell]] = {}
    for run in runs:
        for measurement in run.measurements:
            identity = run.models[measurement.model].identity
            if identity not in shown or pd.isna(measurement.value):
                continue
            protocol = {**measurement.protocol, "simulated": measurement.simulated}
            settings = flatten_settings(protocol)
            settings = {k: v for k, v in settings.items() if v is not None}  # None: not set
            key = json.dumps(settings, sort_keys=True, default=str)
            place = measurement.measure, measurement.row
            places.setdefault(place, {})[key] = settings
            row = cells.setdefault((*place, key), {})
            row[identity] = _choose_newer(row.get(identity), Cell(measurement, run))
    order = [*MEASURES, *(m for m, _ in places if m not in MEASURES)]
    rows, notes = [], []
    for measure in dict.fromkeys(order):
        measured = [place for place in places if place[0] == measure]
        rows += [] if measured else [Row(measure, "")]
        for place in measured:
            apart = _name_differences(places[place])
            if len(apart) > 1:
                notes.append(
                    f"{measure}, {place[1]}: measured with {len(apart)} settings that are not "
                    f"comparable; a row each ({' | '.join(apart.values())})."
                )
            rows += [Row(measure, place[1], apart[key], cells[(*place, key)]) for key in apart]
    return rows, [*_compare_versions(runs), *notes]


def _choose_newer(before: Cell | None, new: Cell) -> Cell:
    """The cell of the newer run; the other's value is told in words where it differs."""
    if before is None:
        return new
    first, last = (new, before) if new.run.started < before.run.started else (before, new)
    a, b = first.measurement.value, last.measurement.value
    same = abs(a - b) <= SAME * max(abs(a), abs(b), 1.0)
    where = first.run.folder.name
    if first.run is last.run:  # under two names
        names = filter(None, (first.measurement.model, first.measurement.detail))
        where += f" as {', '.join(names)}"
    other = () if same else (f"{a:.3f} in {where}",)
    return Cell(last.measurement, last.run, (*first.others, *last.others, *other))


def _name_differences(settings: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """In words, by key, the settings in which some of them differ; '' where there is one."""
    names = sorted({name for values in settings.values() for name in values})
    differ = [n for n in names if len({str(values.get(n)) for values in settings.values()}) > 1]
    return {
        key: ", ".join(f"{n} {'–' if values.get(n) is None else values[n]}" for n in differ)
        for key, values in settings.items()
    }


def _compare_versions(runs: Sequence[Run]) -> list[str]:
    """Say where runs are of different versions of a library that decides numbers."""
    notes = []
    for library in ("striate", "torch"):
        names: dict[str, list[str]] = {}
        for run in runs:
            names.setdefault(run.versions.get(library, "unknown"), []).append(run.folder.name)
        if len(names) > 1:
            listed = "; ".join(f"{version}: {', '.join(n)}" for version, n in names.items())
            notes.append(f"The runs are of different versions of {library} ({listed}).")
    return notes


def _describe_conflicts(rows: Sequence[Row], labels: Mapping[str, str]) -> list[str]:
    return [
        f"{labels[identity]}, {row.measure}, {row.what}: measured more than once with different "
        f"values. The newest run ({cell.run.folder.name}{_name_in_run(cell, identity)}) counts: "
        f"{cell.measurement.value:.3f}; also {', '.join(cell.others)}."
        for row in rows
        for identity, cell in row.cells.items()
        if cell.others
    ]


def _name_in_run(cell: Cell, identity: str) -> str:
    """Which of several names the run has for the model that this is the value of."""
    names = [name for name, model in cell.run.models.items() if model.identity == identity]
    return f", as {cell.measurement.model}" if len(names) > 1 else ""


def as_table(card: Scorecard) -> pd.DataFrame:
    """One row a cell: measure x model, also where nothing was measured (`status`)."""
    out = []
    for row in card.rows:
        for column in card.columns:
            cell = row.cells.get(column.identity)
            measurement = cell.measurement if cell else None
            numbers = (
                "value", "low", "high", "normalized", "explained", "ceiling", "random", "null"
            )  # fmt: skip
            words = ("over", "ceiling_is", "null_is", "better", "detail")
            out.append(
                {
                    "measure": row.measure,
                    "row": row.what,
                    "settings": row.apart,
                    "model": column.label,
                    "names": ", ".join(column.names),
                    "id": column.id,
                    "weights": column.identity,
                    "status": "measured" if measurement else NOT_MEASURED,
                    **{n: getattr(measurement, n) if measurement else NAN for n in numbers},
                    **{w: getattr(measurement, w) if measurement else "" for w in words},
                    "simulated": bool(measurement and measurement.simulated) or column.simulated,
                    "run": cell.run.folder.name if cell else "",
                    "also": ", ".join(cell.others) if cell else "",
                }
            )
    return pd.DataFrame(out)
