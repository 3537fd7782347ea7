"""The page of a scorecard: one table, models as columns that can be sorted by any row."""

from __future__ import annotations

import os
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from urllib.parse import quote

import pandas as pd

from striate.core.errors import InputError
from striate.core.files import locked, write_table, write_text
from striate.report.html.page import Raw, bullets, page, paragraph, section, table, text
from striate.report.scorecard.card import (
    NOT_MEASURED,
    Cell,
    Column,
    Row,
    Scorecard,
    as_table,
    make_scorecard,
)

HOW = (
    "A column is a model, known in every run by its weights. Each cell: the value (a link to the "
    "report of its run), its 95 % interval, the ceiling, and the controls. Choose a row's name to "
    "sort the models by it, best first, and once more to turn the order round."
)


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
    _check_folder(out, overwrite)
    card = make_scorecard(folders)
    if not card.columns:
        names = ", ".join(str(f) for f in folders)
        raise InputError(f"no model in {names}: give runs that score models, or model folders.")
    with locked(out / ".lock", wait=False):
        _check_folder(out, overwrite)
        table = as_table(card)
        write_table(out / "scorecard.csv", table)
        write_table(out / "scorecard.parquet", table)
        return write_page(card, out / "scorecard.html"), card


def _check_folder(out: Path, overwrite: bool) -> None:
    names = {p.name for p in out.iterdir() if p.name[0] != "."} if out.is_dir() else set()
    others = names - {"scorecard.csv", "scorecard.parquet", "scorecard.html"}
    if others:
        raise InputError(
            f"{out} holds something else than a scorecard ({sorted(others)[0]}). Choose a new or "
            "empty folder (--out)."
        )
    if names and not overwrite:
        raise InputError(
            f"{out} holds a scorecard already. Choose another folder (--out), or pass --overwrite."
        )


def write_page(card: Scorecard, path: Path) -> Path:
    """Write the page and return its path; links are relative to where it lies."""
    package = files("striate.report")
    style, script = (
        package.joinpath(f"scorecard.{kind}").read_text(encoding="utf-8") for kind in ("css", "js")
    )
    simulated = any(c.simulated for c in card.columns) or any(
        cell.measurement.simulated for row in card.rows for cell in row.cells.values()
    )
    parts = [
        Raw("<h1>Striate: scorecard</h1>"),
        paragraph(HOW, "quiet"),
        Raw('<div class="simulated">SIMULATED: cells marked so are about no brain.</div>')
        if simulated
        else Raw(""),
        bullets(card.notes, "warn") if card.notes else Raw(""),
        Raw('<p id="sorted" role="status" class="quiet">Models in the order of the runs.</p>'),
        _grid(card, path.parent),
        _runs(card, path.parent),
        Raw(f"<script>\n{script}</script>"),
    ]
    write_text(path, page("Striate: scorecard", parts, style))
    return path


def _grid(card: Scorecard, folder: Path) -> Raw:
    width = len(card.columns) + 1
    head = "".join(_head(i, column) for i, column in enumerate(card.columns))
    lines = [
        f'<tr><th class="name" scope="col">{_button("given", "as given")} '
        f"{_button('name', 'by name')}</th>{head}</tr>"
    ]
    body, measure = [], ""
    for number, row in enumerate(card.rows):
        if row.measure != measure:
            measure = row.measure
            body.append(
                f'<tr class="part"><th class="name" colspan="{width}" scope="colgroup">'
                f"<span>{escape(measure)}</span></th></tr>"
            )
        body.append(_row(number, row, card.columns, folder))
    lines_of_body = "\n".join(body)
    return Raw(
        '<div class="scroll" role="region" aria-label="scorecard" tabindex="0">'
        f'<table id="scorecard"><thead>{"".join(lines)}</thead>'
        f"<tbody>\n{lines_of_body}\n</tbody></table></div>"
    )


def _head(number: int, column: Column) -> str:
    more = [column.id, f"{column.models} models" if column.models > 1 else "", column.origin]
    mark = _mark("tuned to SIMULATED responses") if column.simulated else ""
    also = f"also {', '.join(column.names[1:])}" if len(column.names) > 1 else ""
    small = "".join(f"<br><small>{escape(line)}</small>" for line in [*more, also] if line)
    return (
        f'<th scope="col" data-model="{number}" data-name="{escape(column.label)}">'
        f"{escape(column.names[0])}{small}{mark}</th>"
    )


def _button(key: str, words: str) -> str:
    return f'<button type="button" data-sort="{key}">{escape(words)}</button>'


def _row(number: int, row: Row, columns: tuple[Column, ...], folder: Path) -> str:
    measured = [cell.measurement for cell in row.cells.values()]
    first = next(iter(measured), None)
    better = first.better if first else "neither"
    name, small = escape(NOT_MEASURED), []
    if first is not None:
        name = _button(f"r{number}", row.what)
        limits = [m.ceiling_is for m in measured if m.ceiling_is and pd.notna(m.ceiling)]
        over = ", ".join(dict.fromkeys(m.over for m in measured if m.over))
        small = [
            row.apart,
            f"95 % over {over}" if over else "no interval",
            f"ceiling: {limits[0]}" if limits else "",
            {"lower": "lower is better", "neither": "more is not better"}.get(better, ""),
        ]
    told = "".join(f"<br><small>{escape(line)}</small>" for line in small if line)
    cells = "".join(
        _cell(i, row.cells.get(column.identity), column, folder) for i, column in enumerate(columns)
    )
    return (
        f'<tr data-row="r{number}" data-better="{better}"><th class="name" scope="row">'
        f"{name}{told}</th>{cells}</tr>"
    )


def _cell(number: int, cell: Cell | None, column: Column, folder: Path) -> str:
    if cell is None:
        return f'<td class="quiet" data-model="{number}">{NOT_MEASURED}</td>'
    score, value = cell.measurement, f"{cell.measurement.value:.3f}"
    report = cell.run.folder / "report.html"
    if report.exists():
        value = f'<a href="{_address(report, folder)}">{value}</a>'
    interval = "no interval" if pd.isna(score.low) else f"[{score.low:.3f}, {score.high:.3f}]"
    small = [
        interval,
        *_numbers(
            ("ceiling", score.ceiling),
            ("of the ceiling", score.normalized),
            ("of explainable variance", score.explained),
        ),
        *([] if pd.notna(score.ceiling) or pd.notna(score.normalized) else ["no ceiling"]),
        *_numbers(("random weights", score.random), (score.null_is, score.null)),
        score.detail,
        *(f"also {other}" for other in cell.others),
    ]
    lines = "".join(f"<br><small>{escape(line)}</small>" for line in small if line)
    mark = _mark("SIMULATED") if score.simulated or column.simulated else ""
    return f'<td data-model="{number}" data-value="{score.value!r}">{value}{lines}{mark}</td>'


def _numbers(*pairs: tuple[str, float]) -> list[str]:
    return [f"{name} {value:.3f}" for name, value in pairs if pd.notna(value)]


def _mark(words: str) -> str:
    return f'<br><b class="mark">{words}</b>'


def _address(target: Path, folder: Path) -> str:
    """A link from the page's folder that still holds when both are moved together."""
    relative = os.path.relpath(target.resolve(), folder.resolve())
    return escape(quote(Path(relative).as_posix()))


def _runs(card: Scorecard, folder: Path) -> Raw:
    rows = []
    for run in card.runs:
        report = run.folder / "report.html"
        name = text(run.folder.name)
        link = f'<a href="{_address(report, folder)}">{name}</a>' if report.exists() else name
        kind = "model" if run.is_model else f"{len(run.measurements)} values"
        striate = run.versions.get("striate", "–")
        rows.append([Raw(link), kind, len(run.models), run.started or "–", striate])
    columns = ["folder", "holds", "models", "started", "striate"]
    return section("Runs", table(columns, rows, names=2))
