"""Reader of behavioral trials: the category that an observer, human or model, saw in each image."""

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
"""The response of an observer who did not answer in time; it counts as wrong."""
COLUMNS = (
    "experiment", "observer", "session", "trial", "rt", "response", "category", "condition",
    "image",
)  # fmt: skip
"""Columns of the tidy table: experiment; observer; session and trial (text as in the file);
reaction time in seconds (NaN if missing); category answered; right category; condition, spelled by
`condition_label`; and image, its name without the parts that differ between observers."""
ALIASES = {"subj": "observer", "object_response": "response", "imagename": "image"}
"""Column names of model-vs-human, with the names here."""
NEEDED = ("observer", "response", "category", "condition", "image")
TABLES = (".csv", ".csv.gz", ".parquet")

# trial number, letters of the experiment, session, condition, category, a number, image
_IMAGE_NAME = re.compile(
    r"^\d+_[^_]+_s\d+_(?P<condition>[^_]+)_(?P<category>[^_]+)_\d+_(?P<image>.+)$"
)
_SUFFIX = re.compile("(" + "|".join(re.escape(s) for s in sorted(SUFFIXES)) + ")$", re.IGNORECASE)


def read_trials(path: str | Path, categories: Sequence[str] = CATEGORIES) -> pd.DataFrame:
    """Read trials of one or more experiments into a tidy table with the columns `COLUMNS`.

    Args:
        path: a folder of experiments, each a folder of session tables; the folder of one
            experiment, which names it; or one table (its column `experiment`, or else its folder,
            names the experiment). Tables are CSV, CSV.GZ or parquet. They have the columns of
            `NEEDED`, or the names of model-vs-human for them (`subj`, `object_response`,
            `imagename`), in upper or lower case. `session`, `trial` and `rt` may be missing.
        categories: names of the known categories.

    Raises:
        InputError: nothing to read, a damaged file, a missing column, an empty value, an unknown
            category, a name of an image that states another condition or category than the columns,
            or an image that an observer saw twice in one condition. The message names file, column
            and row.
    """
    path = Path(path)
    sessions = [_read_session(file, name, categories) for file, name in _find_tables(path)]
    trials = pd.concat(sessions, ignore_index=True)
    repeated = trials.duplicated(["experiment", "observer", "condition", "image"])
    if repeated.any():
        row = trials[repeated].iloc[0]
        raise InputError(
            f"{row['place']}: observer {row['observer']} has a second trial of image "
            f"{row['image']} in condition {row['condition']} of experiment {row['experiment']}. "
            f"{int(repeated.sum())} trials are there twice; keep one of each (is a session in two "
            "files?)."
        )
    return trials.drop(columns="place")


def _is_table(path: Path) -> bool:
    return path.name.lower().endswith(TABLES) and not path.name.startswith(".") and path.is_file()


def _find_tables(path: Path) -> list[tuple[Path, str]]:
    """Find every table below a path, with the name of its experiment."""
    if _is_table(path):
        return [(path, path.absolute().parent.name)]
    if not path.is_dir():
        raise InputError(
            f"{path} does not exist, or is no folder and no table ({', '.join(TABLES)})."
        )
    check_links(path)
    session_tables = [
        (file, path.absolute().name) for file in sorted(path.iterdir()) if _is_table(file)
    ]
    if session_tables:
        return session_tables
    tables = []
    for folder in sorted(p for p in path.iterdir() if p.is_dir() and not p.name.startswith(".")):
        check_links(folder)
        sessions = [(file, folder.name) for file in sorted(folder.iterdir()) if _is_table(file)]
        if not sessions:
            raise InputError(
                f"experiment folder {folder} holds no sessions (looked for {', '.join(TABLES)}). "
                "Put them there, or remove the folder."
            )
        tables += sessions
    if not tables:
        raise InputError(
            f"{path} holds no trials: expected tables ({', '.join(TABLES)}), or a folder of them "
            "for each experiment."
        )
    return tables


def _read_session(file: Path, experiment: str, categories: Sequence[str]) -> pd.DataFrame:
    """Read one table into the columns `COLUMNS` and `place`, for messages about rows."""
    table = read_table(file, only=lambda name: _translate_name(name) in COLUMNS)
    columns = _match_columns(table)
    if not len(table):
        raise InputError(f"{file} holds no trials, only a header. Copy it again, or remove it.")
    trials = pd.DataFrame({c: table.texts(columns[c]) for c in NEEDED})
    for column in NEEDED:
        _refuse_rows(trials[column].eq(""), table, column, "is empty")
    for column, default in (("experiment", experiment), ("session", ""), ("trial", "")):
        texts = table.texts(columns[column]) if column in columns else [""] * len(table)
        trials[column] = [text or default for text in texts]
    trials["rt"] = _read_reaction_times(table, columns)
    trials["place"] = [f"{file}, {table.place(i)}" for i in range(len(trials))]
    labels = {c: condition_label(c) for c in trials["condition"].unique()}
    trials["condition"] = trials["condition"].map(labels)
    for column, further in (("category", ()), ("response", (NO_ANSWER,))):
        trials[column] = trials[column].str.lower()
        unknown = ~trials[column].isin([*categories, *further])
        if unknown.any():
            row = int(np.flatnonzero(unknown)[0])
            raise unknown_name(
                "category",
                trials[column].iloc[row],
                [*categories, *further],
                f"({file}, {table.place(row)}, column {column}.)",
            )
    trials["image"] = _shorten_image_names(trials, table)
    return trials[[*COLUMNS, "place"]]


def _translate_name(name: str) -> str:
    """Translate the name of a column to that in the tidy table."""
    name = name.lower()
    return ALIASES.get(name, name)


def _match_columns(table: Table) -> dict[str, str]:
    """Return the name in the table for each tidy column that it has."""
    names = [_translate_name(c) for c in table.columns]
    repeated = sorted({n for n in names if names.count(n) > 1})
    if repeated:
        raise InputError(
            f"{table.file}: column {repeated[0]} is there twice (other spellings count)."
        )
    missing = [c for c in NEEDED if c not in names]
    if missing:
        aliases = {v: k for k, v in ALIASES.items()}
        alternative = f" (or {aliases[missing[0]]})" if missing[0] in aliases else ""
        raise InputError(
            f"{table.file}: column {missing[0]}{alternative} is missing; found "
            f"{', '.join(table.header) or 'no columns'}."
        )
    return dict(zip(names, table.columns, strict=True))


def _read_reaction_times(table: Table, columns: Mapping[str, str]) -> pd.Series:
    """Return reaction times in seconds; NaN where a table or a trial has none."""
    if "rt" not in columns:
        return pd.Series(np.nan, index=range(len(table)))
    texts = pd.Series(table.texts(columns["rt"])).str.lower()
    numbers = pd.to_numeric(texts, errors="coerce")
    is_word = numbers.isna() & ~texts.isin(["", "na", "nan", "none"])
    _refuse_rows(is_word, table, "rt", "is no number")
    return numbers


def _shorten_image_names(trials: pd.DataFrame, table: Table) -> pd.Series:
    """Shorten image names to what all observers share: no trial number, session or suffix."""
    stems = trials["image"].str.replace(_SUFFIX, "", regex=True).str.strip()
    parts = stems.str.extract(_IMAGE_NAME)
    for column in ("condition", "category"):
        labels = {c: condition_label(c).lower() for c in parts[column].dropna().unique()}
        stated = trials[column].str.lower()
        differs = parts[column].notna() & parts[column].map(labels).ne(stated)
        _refuse_rows(differs, table, column, "is not what the name of the image says")
    return parts["image"].fillna(stems)


def _refuse_rows(is_wrong: pd.Series, table: Table, column: str, what: str) -> None:
    """Raise InputError if any row is wrong; `what` says what is wrong with the column."""
    if is_wrong.any():
        rows = np.flatnonzero(is_wrong.to_numpy())
        raise InputError(
            f"{table.file}, {table.place(rows[0])}: column {column} {what} ({len(rows)} such "
            "rows). Correct or remove them."
        )
