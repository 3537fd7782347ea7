"""The page of a scorecard: one table, models as columns that can be sorted by any row."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from urllib.parse import quote

import pandas as pd

from striate.core.errors import InputError
from striate.core.files import locked, write_table, write_text
from striate.report.html.page import Table, render
from striate.report.scorecard.card import (
    NOT_MEASURED,
    Cell,
    Column,
    Row,
    Scorecard,
    as_table,
    make_scorecard,
)

DIRECTIONS = {"lower": "lower is better", "neither": "more is not better"}
"""What is said where more is not better."""


@dataclass(frozen=True)
class Head:
    """The head of a column: its number, and the model in it.

    Attributes:
        label: unique, by which models are sorted.
        name: shown first; `lines` below it, small.
        mark: of models that were tuned to simulated responses.
    """

    number: int
    label: str
    name: str
    lines: list[str]
    mark: str


@dataclass(frozen=True)
class ShownCell:
    """A value in words, what stands below it, small, and where its run's report is.

    Attributes:
        value: rounded, or that it was not measured.
        exact: the same in all its digits, by which models are sorted; '' where not measured.
        address: of the report; '' where there is none.
        lines: interval, ceiling, controls.
        mark: of what is simulated.
    """

    number: int
    value: str
    exact: str = ""
    address: str = ""
    lines: Sequence[str] = ()
    mark: str = ""


@dataclass(frozen=True)
class ShownRow:
    """A row: its key in the page's address, which way is better, its name and cells.

    Attributes:
        name: '' where no model was measured, so that there is nothing to sort by.
        lines: what stands below the name, small.
    """

    key: str
    better: str
    name: str
    lines: list[str]
    cells: list[ShownCell]


@dataclass(frozen=True)
class Link:
    """A word, with an address where there is something to go to."""

    words: str
    address: str = ""


def write_scorecard(
    folders: Sequence[str | Path], out: str | Path, *, overwrite: bool = False
) -> tuple[Path, Scorecard]:
    """Write `scorecard.csv`, `scorecard.parquet` and, last, `scorecard.html` into a folder.

    Returns:
        The page, and what is on it.

    Raises:
        InputError: as `make_scorecard`; no model in any folder; a folder that holds something
            else, or a scorecard without `overwrite`. Nothing is written then.
    """
    out = Path(out)
    _check_out(out, overwrite)
    card = make_scorecard(folders)
    if not card.columns:
        names = ", ".join(str(f) for f in folders)
        raise InputError(f"no model in {names}: give runs that score models, or model folders.")
    with locked(out / ".lock", wait=False):
        _check_out(out, overwrite)
        cells = as_table(card)
        write_table(out / "scorecard.csv", cells)
        write_table(out / "scorecard.parquet", cells)
        return write_page(card, out / "scorecard.html"), card


def _check_out(out: Path, overwrite: bool) -> None:
    present = {p.name for p in out.iterdir() if p.name[0] != "."} if out.is_dir() else set()
    foreign = present - {"scorecard.csv", "scorecard.parquet", "scorecard.html"}
    if foreign:
        raise InputError(
            f"{out} holds something else than a scorecard ({min(foreign)}). Choose a new or empty "
            "folder (--out)."
        )
    if present and not overwrite:
        raise InputError(
            f"{out} holds a scorecard already. Choose another folder (--out), or pass --overwrite."
        )


def write_page(card: Scorecard, path: Path) -> Path:
    """Write the page and return its path; links are relative to where it lies."""
    measured = [cell.found for row in card.rows for cell in row.cells.values()]
    rows = [_show_row(i, row, card.columns, path.parent) for i, row in enumerate(card.rows)]
    by_measure = groupby(zip(card.rows, rows, strict=True), key=lambda pair: pair[0].measure)
    html = render(
        "scorecard.html.j2",
        title="Striate: scorecard",
        simulated=any(c.simulated for c in card.columns) or any(m.simulated for m in measured),
        notes=card.notes,
        heads=[_show_head(i, column) for i, column in enumerate(card.columns)],
        measures=[(measure, [row for _, row in pairs]) for measure, pairs in by_measure],
        not_measured=NOT_MEASURED,
        runs=_tabulate_runs(card, path.parent),
    )
    write_text(path, html)
    return path


def _show_head(number: int, column: Column) -> Head:
    lines = [
        column.id,
        f"{column.models} models" if column.models > 1 else "",
        column.origin,
        f"also {', '.join(column.names[1:])}" if len(column.names) > 1 else "",
    ]
    mark = "tuned to SIMULATED responses" if column.simulated else ""
    return Head(number, column.label, column.names[0], _drop_empty(lines), mark)


def _show_row(number: int, row: Row, columns: Sequence[Column], folder: Path) -> ShownRow:
    measured = [cell.found for cell in row.cells.values()]
    better, lines = "neither", []
    if measured:
        better = measured[0].better
        limits = [m.ceiling_is for m in measured if m.ceiling_is and pd.notna(m.ceiling)]
        over = ", ".join(dict.fromkeys(m.over for m in measured if m.over))
        lines = [
            row.apart,
            f"95 % over {over}" if over else "no interval",
            f"ceiling: {limits[0]}" if limits else "",
            DIRECTIONS.get(better, ""),
        ]
    cells = [
        _show_cell(i, row.cells.get(column.identity), column, folder)
        for i, column in enumerate(columns)
    ]
    name = row.what if measured else ""
    return ShownRow(f"r{number}", better, name, _drop_empty(lines), cells)


def _show_cell(number: int, cell: Cell | None, column: Column, folder: Path) -> ShownCell:
    if cell is None:
        return ShownCell(number, NOT_MEASURED)
    result = cell.found
    has_ceiling = pd.notna(result.ceiling) or pd.notna(result.normalized)
    lines = [
        "no interval" if pd.isna(result.low) else f"[{result.low:.3f}, {result.high:.3f}]",
        _write_number("ceiling", result.ceiling),
        _write_number("of the ceiling", result.normalized),
        _write_number("of explainable variance", result.explained),
        "" if has_ceiling else "no ceiling",
        _write_number("random weights", result.random),
        _write_number(result.null_is, result.null),
        result.detail,
        *(f"also {other}" for other in cell.others),
    ]
    return ShownCell(
        number,
        f"{result.value:.3f}",
        exact=repr(float(result.value)),
        address=_find_report(cell.run.folder, folder),
        lines=_drop_empty(lines),
        mark="SIMULATED" if result.simulated or column.simulated else "",
    )


def _write_number(name: str, value: float) -> str:
    return f"{name} {value:.3f}" if pd.notna(value) else ""


def _drop_empty(lines: Sequence[str]) -> list[str]:
    return [line for line in lines if line]


def _find_report(run: Path, folder: Path) -> str:
    """A link from the page's folder that still holds when both are moved together; '' for none."""
    report = run / "report.html"
    if not report.exists():
        return ""
    relative = os.path.relpath(report.resolve(), folder.resolve())
    return quote(Path(relative).as_posix())


def _tabulate_runs(card: Scorecard, folder: Path) -> Table:
    rows = [
        [
            Link(run.folder.name, _find_report(run.folder, folder)),
            "model" if run.is_model else f"{len(run.measurements)} values",
            len(run.models),
            run.started or "–",
            run.versions.get("striate", "–"),
        ]
        for run in card.runs
    ]
    return Table(["folder", "holds", "models", "started", "striate"], rows, names=2)
