"""Reader of behavioral trials: which category an observer, human or model, saw in each image."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from striate.core.errors import InputError, unknown_name
from striate.core.tables import Table, read_table
from striate.core.walk import check_links
from striate.data.behavior.conditions import condition_label
from striate.data.images.decode import SUFFIXES

CATEGORIES = (
    "airplane", "bear", "bicycle", "bird", "boat", "bottle", "car", "cat",
    "chair", "clock", "dog", "elephant", "keyboard", "knife", "oven", "truck",
)  # fmt: skip
"""The sixteen entry-level categories (Geirhos et al. 2018, arXiv 1808.08750)."""
NO_ANSWER = "na"
"""The response of an observer who gave none in time; it counts as wrong."""
COLUMNS = (
    "experiment", "observer", "session", "trial", "rt", "response", "category", "condition",
    "image",
)  # fmt: skip
"""Of the tidy table: experiment; observer; session and trial (text as in the file); reaction time
in seconds (NaN where none); category answered; category that is right; condition, in the spelling
of `condition_label`; and image, its name without what differs between observers."""
ALIASES = {"subj": "observer", "object_response": "response", "imagename": "image"}
NEEDED = ("observer", "response", "category", "condition", "image")
TABLES = (".csv", ".csv.gz", ".parquet")

# number of the trial, letters of the experiment, session, condition, category, a number, image
_NAME = re.compile(r"^\d+_[^_]+_s\d+_(?P<condition>[^_]+)_(?P<category>[^_]+)_\d+_(?P<image>.+)$")
_SUFFIX = re.compile("(" + "|".join(re.escape(s) for s in sorted(SUFFIXES)) + ")$", re.IGNORECASE)


def read_trials(path: str | Path, categories: Sequence[str] = CATEGORIES) -> pd.DataFrame:
    """Read trials of one or more experiments into a tidy table with the columns `COLUMNS`.

    Args:
        path: a folder of experiments, each a folder of session tables; one experiment's folder,
            which names it; or one table (named by its column `experiment`, or else its folder).
            Tables are CSV, CSV.GZ or parquet with the columns of `NEEDED` or the names that
            model-vs-human gives them (`subj`, `object_response`, `imagename`), in any case;
            `session`, `trial` and `rt` may be missing.
        categories: those that are known.

    Raises:
        InputError: naming file, column and row: nothing to read, a damaged file, a missing column,
            an empty value, an unknown category, a name of an image that says another condition or
            category than its columns, or an image that an observer saw twice in one condition.
    """
    path = Path(path)
    parts = [_read(file, name, categories) for file, name in _tables(path)]
    trials = pd.concat(parts, ignore_index=True)
    twice = trials.duplicated(["experiment", "observer", "condition", "image"])
    if twice.any():
        row = trials[twice].iloc[0]
        raise InputError(
            f"{row['place']}: observer {row['observer']} has a second trial of image "
            f"{row['image']} in condition {row['condition']} of experiment {row['experiment']}. "
            f"{int(twice.sum())} trials are there twice; keep one of each (is a session in two "
            "files?)."
        )
    return trials.drop(columns="place")


def _is_table(path: Path) -> bool:
    return path.name.lower().endswith(TABLES) and not path.name.startswith(".") and path.is_file()


def _tables(path: Path) -> list[tuple[Path, str]]:
    """Every table below a path with the name of its experiment."""
    if _is_table(path):
        return [(path, path.absolute().parent.name)]
    if not path.is_dir():
        raise InputError(
            f"{path} does not exist, or is no folder and no table ({', '.join(TABLES)})."
        )
    check_links(path)
    own = [(file, path.absolute().name) for file in sorted(path.iterdir()) if _is_table(file)]
    if own:
        return own
    found = []
    for folder in sorted(p for p in path.iterdir() if p.is_dir() and not p.name.startswith(".")):
        check_links(folder)
        sessions = [(file, folder.name) for file in sorted(folder.iterdir()) if _is_table(file)]
        if not sessions:
            raise InputError(
                f"experiment folder {folder} holds no sessions (looked for {', '.join(TABLES)}). "
                "Put them there, or remove the folder."
            )
        found += sessions
    if not found:
        raise InputError(
            f"{path} holds no trials: expected tables ({', '.join(TABLES)}), or a folder of them "
            "for each experiment."
        )
    return found


def _read(file: Path, experiment: str, categories: Sequence[str]) -> pd.DataFrame:
    table = read_table(file, only=lambda name: _tidy_name(name) in COLUMNS)
    columns = _columns(table)
    if not len(table):
        raise InputError(f"{file} holds no trials, only a header. Copy it again, or remove it.")
    out = pd.DataFrame({c: table.texts(columns[c]) for c in NEEDED})
    for column in NEEDED:
        _refuse(out[column].eq(""), table, column, "is empty")
    for column, default in (("experiment", experiment), ("session", ""), ("trial", "")):
        texts = table.texts(columns[column]) if column in columns else [""] * len(table)
        out[column] = [text or default for text in texts]
    out["rt"] = _seconds(table, columns)
    out["place"] = [f"{file}, {table.place(i)}" for i in range(len(out))]
    labels = {c: condition_label(c) for c in out["condition"].unique()}
    out["condition"] = out["condition"].map(labels)
    for column, more in (("category", ()), ("response", (NO_ANSWER,))):
        out[column] = out[column].str.lower()
        unknown = ~out[column].isin([*categories, *more])
        if unknown.any():
            row = int(np.flatnonzero(unknown)[0])
            raise unknown_name(
                "category",
                out[column].iloc[row],
                [*categories, *more],
                f"({file}, {table.place(row)}, column {column}.)",
            )
    out["image"] = _images(out, table)
    return out[[*COLUMNS, "place"]]


def _tidy_name(name: str) -> str:
    """The tidy name of a column."""
    name = name.lower()
    return ALIASES.get(name, name)


def _columns(table: Table) -> dict[str, str]:
    """Return the table's name of each tidy column that it has."""
    names = [_tidy_name(c) for c in table.columns]
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        raise InputError(f"{table.file}: column {twice[0]} is there twice (other spellings count).")
    missing = [c for c in NEEDED if c not in names]
    if missing:
        other = {v: k for k, v in ALIASES.items()}
        called = f" (or {other[missing[0]]})" if missing[0] in other else ""
        raise InputError(
            f"{table.file}: column {missing[0]}{called} is missing; found "
            f"{', '.join(table.header) or 'no columns'}."
        )
    return dict(zip(names, table.columns, strict=True))


def _seconds(table: Table, columns: Mapping[str, str]) -> pd.Series:
    if "rt" not in columns:
        return pd.Series(np.nan, index=range(len(table)))
    text = pd.Series(table.texts(columns["rt"])).str.lower()
    numbers = pd.to_numeric(text, errors="coerce")
    wrong = numbers.isna() & ~text.isin(["", "na", "nan", "none"])
    _refuse(wrong, table, "rt", "is no number")
    return numbers


def _images(out: pd.DataFrame, table: Table) -> pd.Series:
    """Names of images without number of trial, session and suffix, which observers do not share."""
    stems = out["image"].str.replace(_SUFFIX, "", regex=True).str.strip()
    parts = stems.str.extract(_NAME)
    for column in ("condition", "category"):
        labels = {c: condition_label(c).lower() for c in parts[column].dropna().unique()}
        wanted = out[column].str.lower()
        other = parts[column].notna() & parts[column].map(labels).ne(wanted)
        _refuse(other, table, column, "is not what the name of the image says")
    return parts["image"].fillna(stems)


def _refuse(bad: pd.Series, table: Table, column: str, what: str) -> None:
    if bad.any():
        rows = np.flatnonzero(bad.to_numpy())
        raise InputError(
            f"{table.file}, {table.place(rows[0])}: column {column} {what} ({len(rows)} such "
            "rows). Correct or remove them."
        )
