"""Reader of labels of units, from a table of units or the coordinates of a netCDF file."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from striate.core.errors import InputError, nearest
from striate.core.names import check_names, clean_hemisphere, clean_name
from striate.core.tables import MISSING

NAME_LABELS = ("unit_id", "subject", "session", "hemisphere")
UNIT_LABELS = (*NAME_LABELS, "noise_ceiling")
"""All labels of units except `roi_NAME`."""
DESCRIPTIVE = re.compile(
    r"index|__index_level_\d+__|level_\d+|unnamed:?[ _.]?\d*|\.\.\.\d+|#|obs(ervation)?|"
    r"row([_.]?(id|number|nr|names?))?|n(r|umber)?\.?|order|position|"
    r"(nsd|coco)_?id|73k_?id|(stim|stimulus|image|trial|presentation)_(order|onset|type|time)|"
    r"(onset|presentation|response|reaction)_?time|time_?m?s|rt|iti|isi|n_?(trial|rep|repeat)s|"
    r"(session|trial|repeat|rep|repetition|run|block|subject|subj|participant|observer|animal|"
    r"monkey|mouse|stimulus|stim|image|img|picture|frame|movie|category|class|condition|label|"
    r"fold|split|part|date|day|time|timestamp|onset|duration|experiment|presentation)s?"
    r"([ _.]?(id|ids|idx|index|name|number|num|nr|no|#)\.?)?|"
    r"(unit|neuron|cell|channel|electrode)_?(id|idx|index|number|nr|no)|"
    r"(file_?)?name|file|path|seed",
    re.IGNORECASE,
)
"""Names of columns that describe a row and stand beside responses in tables."""
LEAST_ROWS, LEAST_SHUFFLED = 5, 20
"""Fewest rows at which a unit whose values number the rows is no coincidence: where the numbers are
in order, and where they are shuffled or some are left out."""
MOST_NUMBERING = 10
"""Most columns of a table that number the rows; more such units are counts or ranks."""
_AREA_COLUMNS = ("area", "areas", "brain_area", "region", "brain_region", "roi", "rois")
"""Names of columns that hold the name of each unit's ROI."""
_YES_WORDS, _NO_WORDS = {"1", "true"}, {"0", "false", *(m.lower() for m in MISSING)}
_ABSENT_WORDS = {m.lower() for m in MISSING}
Place = Callable[[int], str]
Values = Sequence[Any] | np.ndarray


@dataclass(frozen=True)
class UnitLabels:
    """Labels of the units of one recording.

    Attributes:
        names: (n_units,) texts by label, for those of `NAME_LABELS` that were given.
        noise_ceiling: (n_units,) float64, or None.
        rois: boolean (n_units,) by name of the ROI.
        unknown: names of columns that are no label, as written.
    """

    names: Mapping[str, list[str]] = field(default_factory=dict)
    noise_ceiling: np.ndarray | None = None
    rois: Mapping[str, np.ndarray] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()


def label_name(name: object) -> str | None:
    """Return the standard spelling of a label, or None if the name is no label.

    Blanks, dots (as R writes them) and hyphens count as `_`.

    >>> [label_name(n) for n in ("Unit ID", "roi_V1 ", "ROI.V1", "noise_celing")]
    ['unit_id', 'roi_V1', 'roi_V1', None]
    """
    text = clean_name(name)
    spelling = re.sub(r"[\s_.-]+", "_", text.casefold())
    if spelling in UNIT_LABELS:
        return spelling
    if spelling.startswith("roi_"):
        return f"roi_{clean_name(text[4:])}"
    return None


def read_labels(columns: Mapping[str, Values], owner: str, place: Place) -> UnitLabels:
    """Read labels of units by the same rules for all kinds of files.

    Names are cleaned and may be bytes. Hemispheres are `lh` and `rh` in any usual spelling. A ROI
    holds 0, 1, true or false, or nothing, which means that the unit is not in it. Ceilings are
    numbers, or nothing where unknown.

    Args:
        columns: values, one for each unit, by name as written.
        owner: the file or subject, for messages.
        place: says where the i-th unit is in the file.

    Raises:
        InputError: two names that are equal once cleaned, a ROI without a name, another value.
    """
    column_of_label: dict[str, str] = {}
    for column in columns:
        name = label_name(column)
        if name == "roi_":
            raise InputError(f"{owner}: a ROI without a name ({column!r}). Call it roi_NAME.")
        if name in column_of_label:
            kind = "ROI" if name.startswith("roi_") else "label"
            raise InputError(
                f"{owner}: {kind} {name} is there twice, as {column_of_label[name]!r} and "
                f"{column!r}; blanks and Unicode forms do not count, nor does the case of labels. "
                "Rename one of them, or leave one out."
            )
        if name is not None:
            column_of_label[name] = str(column)
    names: dict[str, list[str]] = {}
    rois: dict[str, np.ndarray] = {}
    ceiling = None
    for name, column in column_of_label.items():
        values = columns[column]
        if name == "hemisphere":
            sides = [clean_hemisphere(v) for v in plain(values)]
            names[name] = ["" if side in _ABSENT_WORDS else side for side in sides]
        elif name in NAME_LABELS:
            names[name] = [clean_name(v) for v in plain(values)]
        elif name == "noise_ceiling":
            ceiling = read_numbers(values, f"{owner}: {column!r}", place)
        else:
            what = f"{owner}: column {column!r}"
            rois[name.removeprefix("roi_")] = read_flags(values, what, place)
    if "unit_id" in names:
        given_ids = plain(columns[column_of_label["unit_id"]])
        check_names(names["unit_id"], "unit id", owner, place, given_ids)
    unknown = tuple(str(c) for c in columns if label_name(c) is None)
    return UnitLabels(names, ceiling, rois, unknown)


def plain(values: Values) -> list[Any]:
    """Return values as Python objects, None where a value is missing."""
    series = pd.Series(np.asarray(values) if isinstance(values, np.ndarray) else values)
    series = series.astype(object)
    return list(series.where(series.notna(), None))


def read_flags(values: Values, what: str, place: Place) -> np.ndarray:
    """Return whether each unit is in a ROI; a missing value (NaN, empty cell) means that it is not.

    Raises:
        InputError: anything but 0, 1, true, false or nothing, as numbers or as text.
    """
    if isinstance(values, np.ndarray) and values.dtype == bool:
        return values
    out = np.zeros(len(values), dtype=bool)
    for i, value in enumerate(plain(values)):
        text = clean_name(value).lower()
        if text in _YES_WORDS or (text not in _NO_WORDS and _parse_number(text) == 1):
            out[i] = True
        elif text not in _NO_WORDS and _parse_number(text) != 0:
            raise InputError(
                f"{what} should hold 0 or 1, nothing else; {place(i)} holds {clean_name(value)!r}."
            )
    return out


def read_numbers(values: Values, what: str, place: Place) -> np.ndarray:
    """Return numbers, float64; NaN where a value is missing or a word such as `NA`.

    Raises:
        InputError: any other word.
    """
    if isinstance(values, np.ndarray) and values.dtype.kind in "fiu":
        return values.astype(np.float64)
    out = np.full(len(values), np.nan)
    for i, value in enumerate(plain(values)):
        text = clean_name(value)
        if text.lower() in _ABSENT_WORDS:
            continue
        number = _parse_number(text)
        if number is None:
            raise InputError(f"{what} should hold numbers; {place(i)} holds {text!r}.")
        out[i] = number
    return out


def _parse_number(text: str) -> float | None:
    """Return the number that a text states, or None."""
    try:
        return float(text) if "_" not in text else None  # Python would read 1_000 as a number
    except ValueError:
        return None


def describe_unknown(labels: UnitLabels, columns: Mapping[str, Values], file: object) -> list[str]:
    """Describe each unknown label: it is not used, and another name may be meant.

    ROIs whose names differ only in case count as two; they are described too.

    Raises:
        InputError: there is no roi_NAME, and an unknown label looks like a ROI: it holds 0 and 1.
    """
    binary = [n for n in labels.unknown if _is_binary(columns[n])]
    if binary and not labels.rois:
        name = clean_name(binary[0])
        raise InputError(
            f"{file} has no roi_NAME column, but {name!r} holds 0 and 1. If it is a ROI, call "
            f"it roi_{name}; if not, add roi_ columns, or leave it out."
        )
    lines = []
    for column in labels.unknown:
        name = clean_name(column)
        nearest_labels = nearest(name, [*UNIT_LABELS, *(f"roi_{roi}" for roi in labels.rois)], 1)
        suggestion = (
            f"roi_{name}" if column in binary else nearest_labels[0] if nearest_labels else ""
        )
        hint = f" Did you mean {suggestion}?" if suggestion else ""
        if name.casefold() in _AREA_COLUMNS:
            hint = " If it names the ROI of each unit, write a column roi_NAME of 0 and 1 for each."
        lines.append(f"{file}: {name!r} is no label of units that is known; it is not used.{hint}")
    first_spelling: dict[str, str] = {}
    for roi in labels.rois:
        earlier = first_spelling.setdefault(roi.casefold(), roi)
        if earlier != roi:
            lines.append(
                f"{file}: roi_{earlier} and roi_{roi} differ in their case alone; they count as "
                "two ROIs."
            )
    return lines


def _is_binary(values: Values) -> bool:
    """Whether all values are 0, 1, true or false."""
    texts = [clean_name(v).lower() for v in plain(values)]
    return all(t in _YES_WORDS or t in ("0", "false") or _parse_number(t) in (0, 1) for t in texts)


def refuse_descriptive(data: xr.DataArray, owner: str, place: Place) -> None:
    """Refuse units that describe the rows, by their names or their values.

    Args:
        data: responses with `unit_id`, dims (stimulus, unit) or (stimulus, repeat, unit).
        owner: the file, for the message.
        place: says where the i-th unit is in the file.

    Raises:
        InputError: some units describe the rows; they are named, with their places. Or pandas
            has renamed a column that was in the table twice.
    """
    counting = row_numbers(data) if data.ndim == 2 else {}
    ids = list(data.coords["unit_id"].values)
    _refuse_copied_columns(data, ids, owner, place)
    describing = [i for i, name in enumerate(ids) if DESCRIPTIVE.fullmatch(name) or i in counting]
    if not describing:
        return
    shown = ", ".join(
        f"{ids[i]!r} ({place(i)}{', ' + counting[i] if i in counting else ''})"
        for i in describing[:5]
    )
    more = f", … ({len(describing)} in all)" if len(describing) > 5 else ""
    raise InputError(
        f"{owner}: by name or values these describe the rows, and would count as units: {shown}"
        f"{more}. Leave out what is no unit (with pandas: "
        "table.drop(columns=[…]), reset_index(drop=True)). Where it is one, list every unit as "
        "unit_id in units.csv beside the responses."
    )


def _refuse_copied_columns(data: xr.DataArray, ids: list[str], owner: str, place: Place) -> None:
    """Refuse copies of a column: pandas reads a second `u1` as `u1.1` and writes it so."""
    positions = {name: i for i, name in enumerate(ids)}
    for i, name in enumerate(ids):
        base, _, number = name.rpartition(".")
        if base not in positions or not number.isdecimal():
            continue
        original = positions[base]
        if np.array_equal(data[..., i].values, data[..., original].values, equal_nan=True):
            raise InputError(
                f"{owner}: {name!r} ({place(i)}) has the values of {base!r} ({place(original)}): a "
                "column that was there twice when pandas read it. Leave it out."
            )


def row_numbers(data: xr.DataArray) -> dict[int, str]:
    """Find units whose values number the rows: 0, 1, 2 … or 1, 2, 3 …, in order or shuffled.

    Whole numbers that rise from each row to the next count too: they are the index of a table of
    which rows were left out.

    Args:
        data: dims (stimulus, unit). Of most units only the first rows are read.

    Returns:
        Description of the values of each such unit, by its position. Empty for fewer than 5 rows;
        other orders need 20 rows, as spike counts may number fewer by chance.
    """
    n_rows = data.sizes["stimulus"]
    if n_rows < LEAST_ROWS:
        return {}
    head = data[:LEAST_SHUFFLED].values
    with np.errstate(invalid="ignore"):
        candidates = ((head == np.rint(head)) & (head >= 0)).all(axis=0)
        within = (head <= n_rows).all(axis=0)
        rising = np.asarray((np.diff(head, axis=0) > 0).all(axis=0))
        candidates &= (np.diff(np.sort(head, axis=0), axis=0) > 0).all(axis=0)
    candidates &= within | (rising & (n_rows >= LEAST_SHUFFLED))
    if candidates.sum() > MOST_NUMBERING:  # counts or ranks
        return {}
    numbering = {}
    for unit in np.flatnonzero(candidates):
        values = data[:, int(unit)].values
        for first in (0, 1):
            expected = np.arange(first, first + n_rows)
            last = first + n_rows - 1
            if np.array_equal(values, expected):
                numbering[int(unit)] = f"whose values are {first}, {first + 1}, {first + 2} …"
            elif n_rows >= LEAST_SHUFFLED and np.array_equal(np.sort(values), expected):
                numbering[int(unit)] = f"whose values are {first} to {last}, each once"
        if int(unit) not in numbering and n_rows >= LEAST_SHUFFLED and rising[unit]:
            whole = np.isfinite(values).all() and (values == np.rint(values)).all()
            if whole and (np.diff(values) > 0).all():
                numbering[int(unit)] = (
                    f"whose values rise from row to row, {values[0]:g} to {values[-1]:g}"
                )
    return {} if len(numbering) == data.sizes["unit"] > 1 else numbering  # responses given as ranks
