"""Reader of the tables that users give, CSV or parquet, which checks rows, names and numbers.

Every table that a user gives goes through `read_table`. pandas alone makes silent mistakes: it
takes the first field of a row for an index where rows have one field more than there are names, it
fills up rows that are cut off, it renames a second column `u1` to `u1.1`, and it reads the names
`NA`, `1e5` and `007` as missing values or numbers.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import re
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import pandas as pd

from striate.core.errors import InputError, unknown_name
from striate.core.names import check_names, clean_name

UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
"""First bytes of a UTF-16 file, such as Excel's "Unicode text"."""
MISSING = (
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN",
    "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null",
)  # fmt: skip
"""Texts that mean a missing number (those of pandas). A name may be any of them."""
ColumnFilter = Callable[[str], bool] | None
# Errors that pandas, pyarrow and the csv module raise on damaged files. pyarrow raises
# NotImplementedError for a kind of parquet that it does not know.
_DAMAGE = (OSError, EOFError, ValueError, NotImplementedError, zlib.error, csv.Error)


@dataclass(frozen=True)
class Table:
    """A table as it was read, with unique, cleaned column names and the line of each row.

    Attributes:
        file: the file that was read.
        frame: the values; text columns hold strings as written, `` where a cell is empty.
        header: names of all columns as written, also of columns that were dropped.
        lines: (n_rows,) the line on which each row ends; None for parquet.
    """

    file: Path
    frame: pd.DataFrame
    header: tuple[str, ...]
    lines: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.frame)

    def __contains__(self, column: object) -> bool:
        return column in self.frame.columns

    @property
    def columns(self) -> list[str]:
        """Names of the columns."""
        return list(self.frame.columns)

    def place(self, row: int) -> str:
        """Say where a row is in the file, such as `line 7` of a CSV or `row 6` of parquet."""
        return f"row {row + 1}" if self.lines is None else f"line {self.lines[row]}"

    def need(self, *columns: str) -> None:
        """Refuse a table that lacks one of these columns; the error offers the nearest names."""
        for column in columns:
            if column not in self:
                raise unknown_name(f"column of {self.file}", column, self.columns)

    def given(self, column: str) -> list[object]:
        """Values of a column as they are, None where a value is missing."""
        values = self.frame[column].astype(object)
        return list(values.where(values.notna(), None))

    def texts(self, column: str) -> list[str]:
        """Names in a column, cleaned (`core.names.clean_name`); `` where a cell is empty."""
        return [clean_name(value) for value in self.given(column)]

    def ids(self, column: str, owner: str = "", advice: str = "") -> list[str]:
        """Unique names in a column.

        Args:
            column: name of the column.
            owner: whose names these are, for messages; default the file.
            advice: what to do about a name that occurs twice.

        Raises:
            InputError: an empty or repeated name, with the rows.
        """
        self.need(column)
        names, owner = self.texts(column), owner or str(self.file)
        kind = column.replace("_", " ")
        check_names(names, kind, owner, self.place, self.given(column), advice)
        return names

    def whole(self, column: str) -> list[int]:
        """Whole numbers in a column of text or numbers; InputError names the row of any other."""
        self.need(column)
        texts = self.texts(column)
        for i, text in enumerate(texts):
            if not re.fullmatch(r"[+-]?\d+(\.0*)?", text):
                raise InputError(
                    f"{self.file}, {self.place(i)}: column {column!r} holds {text!r}, expected a "
                    "whole number."
                )
        return [int(text.partition(".")[0]) for text in texts]

    def numbers(self, columns: Sequence[str], what: str) -> np.ndarray:
        """Columns of numbers, float64 (n_rows, n_columns); NaN where a cell is empty.

        Args:
            columns: names of the columns.
            what: what each column should hold, for the message.

        Raises:
            InputError: words or dates, with the column and the row.
        """
        out = np.empty((len(self), len(columns)))
        for i, column in enumerate(columns):
            out[:, i] = self._read_number_column(column, what)
        return out

    def _read_number_column(self, column: str, what: str) -> np.ndarray:
        """Return one column of numbers, float64 (n_rows,); errors as in `numbers`."""
        values = self.frame[column]
        filled = values.dropna() if values.dtype == object else values
        if not len(filled):
            return np.full(len(values), np.nan)
        if values.dtype == object and filled.map(lambda v: isinstance(v, bool | np.bool_)).all():
            values = values.astype("boolean")  # with empty cells
        kind = getattr(values.dtype, "kind", "O")
        if pd.api.types.is_numeric_dtype(values.dtype) and kind != "c":
            return np.asarray(values.to_numpy(dtype=np.float64, na_value=np.nan))
        first_word = ""
        if pd.api.types.is_string_dtype(values.dtype) or values.dtype == object:
            is_word = pd.to_numeric(values.astype(str), errors="coerce").isna() & values.notna()
            row = int(np.argmax(is_word)) if is_word.any() else 0
            first_word = (
                f" (first: {values.iloc[row]!r} in {self.place(row)})" if len(values) else ""
            )
        raise InputError(
            f"{self.file}: column {column!r} holds words{first_word}, expected {what}."
        )


def read_table(
    file: Path, *, text: Sequence[str] | None = None, only: ColumnFilter = None
) -> Table:
    """Read a CSV (`.csv`, `.csv.gz`) or parquet table.

    Args:
        file: path of the table.
        text: columns of names, which are never read as numbers; None for all columns. A parquet
            file states itself which columns are numbers.
        only: decides by its name whether a column is kept; the names of other columns are not
            checked.

    Raises:
        InputError: a damaged or missing file, another encoding or separator, a row with more or
            fewer fields than there are names, a column without a name or with the name of another
            one. The message names file, line and column.
    """
    if not file.is_file():
        raise InputError(f"{file} does not exist.")
    try:
        if file.name.lower().endswith(".parquet"):
            return _read_parquet(file, only)
        return _read_csv(file, text, only)
    except UnicodeDecodeError as error:
        raise not_utf8(file, error) from error
    except InputError:
        raise
    except _DAMAGE as error:
        raise InputError(
            f"{file} cannot be read as a table ({error}). Copy or download it again."
        ) from error


def read_header(file: Path) -> list[str]:
    """Return the names in the first line of a CSV as written; errors as in `read_table`."""
    try:
        with _open_text(file) as stream:
            header = next((row for row in csv.reader(stream) if not _is_blank(row)), None)
        if header is None:
            raise InputError(f"{file} is empty.")
        return header
    except UnicodeDecodeError as error:
        raise not_utf8(file, error) from error
    except InputError:
        raise
    except _DAMAGE as error:
        raise InputError(f"{file} cannot be read as a table ({error}).") from error


def read_lines(file: Path) -> list[str]:
    r"""Return the lines of a text file, ended by \n, \r\n or \r; InputError if it is not UTF-8."""
    try:
        text = file.read_bytes().decode("utf-8-sig")  # Excel and Notepad begin with a mark
    except UnicodeDecodeError as error:
        raise not_utf8(file, error) from error
    # not splitlines(), which would also split names at Unicode's line separators
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def not_utf8(file: Path, error: UnicodeDecodeError) -> InputError:
    """Build the error for a text file in another encoding, with the likely one."""
    with file.open("rb") as f:
        likely = "UTF-16" if f.read(2) in UTF16 else "Latin-1"
    return InputError(
        f"{file} is not UTF-8 text (byte {error.object[error.start]:#04x}); it looks like {likely}."
        " Save it as UTF-8 (in Excel: CSV UTF-8)."
    )


def _open_text(file: Path) -> TextIO:
    """Open a text file, or a .gz of one, as UTF-8 and with its own line ends."""
    if file.name.lower().endswith(".gz"):
        return gzip.open(file, "rt", encoding="utf-8-sig", newline="")
    return file.open("r", encoding="utf-8-sig", newline="")


def _read_csv(file: Path, text: Sequence[str] | None, only: ColumnFilter) -> Table:
    with _open_text(file) as stream:
        reader = csv.reader(stream)
        header = next((row for row in reader if not _is_blank(row)), None)
        if header is None:
            raise InputError(f"{file} cannot be read as a table: it is empty. Copy it again.")
        _check_separator(file, header)
        lines = _find_row_ends(file, reader, header)
    names = _clean_columns(file, header, only)
    placeholders = set(_make_placeholders(len(names)))
    kept_columns = [n for n in names if n not in placeholders]
    text_columns = {n for n in names if text is None or n in text}
    dtypes: Any = dict.fromkeys(text_columns, str)
    na_values: Any = {n: list(MISSING) for n in names if n not in text_columns}
    with _open_text(file) as stream:
        frame = pd.read_csv(
            stream, header=0, names=names, index_col=False, dtype=dtypes, na_values=na_values,
            keep_default_na=False, low_memory=False,
        )  # fmt: skip
    if len(frame) != len(lines):  # pandas and the csv module disagree on what a row is
        raise InputError(
            f"{file}: {len(lines)} rows were counted and {len(frame)} read. Look for quotes that "
            "are not closed."
        )
    return Table(file, frame[kept_columns], tuple(header), np.array(lines, dtype=np.int64))


def _find_row_ends(file: Path, reader: Any, header: Sequence[str]) -> list[int]:
    """Return the line on which each row ends; refuse a row with more or fewer fields than names."""
    lines = []
    last_line = reader.line_num
    for row in reader:
        first_line, last_line = last_line + 1, reader.line_num
        if _is_blank(row):
            continue
        lines.append(reader.line_num)
        if len(row) != len(header):
            if first_line < reader.line_num:
                raise InputError(
                    f"{file}, line {first_line}: a quote opens here and closes in line "
                    f"{reader.line_num} or nowhere; one row would have {len(row)} fields for "
                    f"{len(header)} names. Close it, or leave it out."
                )
            kind = "more" if len(row) > len(header) else "fewer"
            advice = (
                "Give every column a name, and end no row with a comma."
                if kind == "more"
                else "Was the file cut off, or is a comma missing? Write it anew."
            )
            raise InputError(
                f"{file}, line {reader.line_num}: {len(row)} fields, {kind} than the "
                f"{len(header)} names in the first line. {advice}"
            )
    return lines


def _is_blank(row: Sequence[str]) -> bool:
    """Whether a row is an empty line; pandas skips these too."""
    return not row or (len(row) == 1 and not row[0].strip())


def _make_placeholders(n: int) -> list[str]:
    """Make n names for dropped columns. They begin with a blank, so no cleaned name equals them."""
    return [f" {i}" for i in range(n)]


def _clean_columns(file: Path, header: Sequence[str], only: ColumnFilter = None) -> list[str]:
    """Clean column names; refuse empty and repeated ones among the columns that are kept.

    A dropped column gets a placeholder as its name.
    """
    names = [clean_name(name) for name in header]
    if only is not None:
        placeholders = _make_placeholders(len(names))
        names = [n if only(n) else placeholders[i] for i, n in enumerate(names)]
    for i, name in enumerate(names):
        if not name or name.startswith("Unnamed: "):
            naming = f"called {name!r} by pandas" if name else f"pandas calls it 'Unnamed: {i}'"
            raise InputError(
                f"{file} has a column without a name (column {i + 1} of {len(names)}; {naming}); "
                "often it is a row number, or rows end in a comma. Give it a name or leave it out: "
                "to_csv(index=False)."
            )
    advice = "Rename one of them, or leave one out."
    check_names(names, "column", str(file), lambda i: f"column {i + 1}", header, advice)
    return names


def _check_separator(file: Path, header: Sequence[str]) -> None:
    """Refuse separators other than commas: they may or may not come with decimal commas."""
    if len(header) > 1:
        return
    for mark, name in ((";", "semicolons"), ("\t", "tabs")):
        if mark in header[0]:
            decimal = ", decimal=','" if mark == ";" else ""
            raise InputError(
                f"{file} is separated by {name}, expected commas. Save it anew, for example with "
                f"pandas: read_csv(file, sep={mark!r}{decimal}).to_csv(file, index=False)."
            )


def _read_parquet(file: Path, only: ColumnFilter) -> Table:
    """Read a parquet table; an index that has a name becomes a column, as in a CSV."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(file) as parquet:
        names = [n for n in parquet.schema_arrow.names if not n.startswith("__index_level_")]
        _clean_columns(file, names, only)
        frame = parquet.read().to_pandas()
    if any(name is not None for name in frame.index.names):
        frame = frame.reset_index()
    frame = frame.reset_index(drop=True)
    header = [str(c) for c in frame.columns]
    names = _clean_columns(file, header, only)
    frame.columns = pd.Index(names)
    placeholders = set(_make_placeholders(len(names)))
    return Table(file, frame[[n for n in names if n not in placeholders]], tuple(header))
