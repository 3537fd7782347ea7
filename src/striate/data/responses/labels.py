"""Labels of units, as a table of units or the coordinates of a netCDF file give them."""

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

NAMES = ("unit_id", "subject", "session", "hemisphere")
KNOWN = (*NAMES, "noise_ceiling")
"""Labels of units beside `roi_NAME`."""
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
"""Names of columns that describe a row, which tables carry beside responses."""
LEAST_ROWS, LEAST_SHUFFLED = 5, 20
"""Rows from which on a unit that numbers them is no chance, in order and in another one (or with
numbers left out)."""
MOST_NUMBERING = 10
"""Units that can number the rows; a table has no more such columns."""
_AREAS = ("area", "areas", "brain_area", "region", "brain_region", "roi", "rois")
"""Names of columns that hold the name of each unit's ROI."""
_YES, _NO = {"1", "true"}, {"0", "false", *(m.lower() for m in MISSING)}
_ABSENT = {m.lower() for m in MISSING}
Place = Callable[[int], str]
Values = Sequence[Any] | np.ndarray


@dataclass(frozen=True)
class UnitLabels:
    """What is known of units beside their responses.

    Attributes:
        names: (n_units,) texts by kind: those of `NAMES` that were given.
        noise_ceiling: (n_units,) float64, or None.
        rois: boolean (n_units,) by name of the ROI.
        unknown: names that are no label, as they were written.
    """

    names: Mapping[str, list[str]] = field(default_factory=dict)
    noise_ceiling: np.ndarray | None = None
    rois: Mapping[str, np.ndarray] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()


def label_name(name: object) -> str | None:
    """Return a label's one spelling, or None for what is none.

    Blanks, dots (as R writes them) and hyphens stand for `_`.

    >>> [label_name(n) for n in ("Unit ID", "roi_V1 ", "ROI.V1", "noise_celing")]
    ['unit_id', 'roi_V1', 'roi_V1', None]
    """
    text = clean_name(name)
    spelt = re.sub(r"[\s_.-]+", "_", text.casefold())
    if spelt in KNOWN:
        return spelt
    if spelt.startswith("roi_"):
        return f"roi_{clean_name(text[4:])}"
    return None


def read_labels(columns: Mapping[str, Values], owner: str, place: Place) -> UnitLabels:
    """Read labels of units; the same rules whatever file they come from.

    Names are cleaned and may be bytes; hemispheres are `lh` and `rh` in any usual spelling; a ROI
    holds 0, 1, true or false, or nothing, which says that the unit is not in it; ceilings are
    numbers, or nothing where unknown.

    Args:
        columns: values, one a unit, by name as written.
        owner: the file or subject, for messages.
        place: says where the i-th unit stands.

    Raises:
        InputError: two names that are one once cleaned, a ROI without a name, another value.
    """
    found: dict[str, str] = {}
    for given in columns:
        name = label_name(given)
        if name == "roi_":
            raise InputError(f"{owner}: a ROI without a name ({given!r}). Call it roi_NAME.")
        if name in found:
            kind = "ROI" if name.startswith("roi_") else "label"
            raise InputError(
                f"{owner}: {kind} {name} is there twice, as {found[name]!r} and {given!r}; blanks "
                "and Unicode forms do not count, nor does the case of labels. Rename one of them, "
                "or leave one out."
            )
        if name is not None:
            found[name] = str(given)
    names: dict[str, list[str]] = {}
    rois: dict[str, np.ndarray] = {}
    ceiling = None
    for name, given in found.items():
        values = columns[given]
        if name == "hemisphere":
            sides = [clean_hemisphere(v) for v in plain(values)]
            names[name] = ["" if side in _ABSENT else side for side in sides]
        elif name in NAMES:
            names[name] = [clean_name(v) for v in plain(values)]
        elif name == "noise_ceiling":
            ceiling = read_numbers(values, f"{owner}: {given!r}", place)
        else:
            what = f"{owner}: column {given!r}"
            rois[name.removeprefix("roi_")] = read_flags(values, what, place)
    if "unit_id" in names:
        given_ids = plain(columns[found["unit_id"]])
        check_names(names["unit_id"], "unit id", owner, place, given_ids)
    unknown = tuple(str(c) for c in columns if label_name(c) is None)
    return UnitLabels(names, ceiling, rois, unknown)


def plain(values: Values) -> list[Any]:
    """Return values as Python's own, None where there is none."""
    column = pd.Series(np.asarray(values) if isinstance(values, np.ndarray) else values)
    column = column.astype(object)
    return list(column.where(column.notna(), None))


def read_flags(values: Values, what: str, place: Place) -> np.ndarray:
    """Return whether each unit is in a ROI; nothing (NaN, an empty cell) says that it is not.

    Raises:
        InputError: anything but 0, 1, true, false or nothing, as numbers or as text.
    """
    if isinstance(values, np.ndarray) and values.dtype == bool:
        return values
    out = np.zeros(len(values), dtype=bool)
    for i, value in enumerate(plain(values)):
        text = clean_name(value).lower()
        if text in _YES or (text not in _NO and _number(text) == 1):
            out[i] = True
        elif text not in _NO and _number(text) != 0:
            raise InputError(
                f"{what} should hold 0 or 1, nothing else; {place(i)} holds {clean_name(value)!r}."
            )
    return out


def read_numbers(values: Values, what: str, place: Place) -> np.ndarray:
    """Return numbers, float64; NaN where nothing, or a word for nothing, stands.

    Raises:
        InputError: any other word.
    """
    if isinstance(values, np.ndarray) and values.dtype.kind in "fiu":
        return values.astype(np.float64)
    out = np.full(len(values), np.nan)
    for i, value in enumerate(plain(values)):
        text = clean_name(value)
        if text.lower() in _ABSENT:
            continue
        number = _number(text)
        if number is None:
            raise InputError(f"{what} should hold numbers; {place(i)} holds {text!r}.")
        out[i] = number
    return out


def _number(text: str) -> float | None:
    try:
        return float(text) if "_" not in text else None  # Python reads 1_000
    except ValueError:
        return None


def describe_unknown(labels: UnitLabels, columns: Mapping[str, Values], file: object) -> list[str]:
    """Say of each label that is not known that it is not used, and what may be meant.

    ROIs whose names differ in their case alone are two, which is said as well.

    Raises:
        InputError: there is no roi_NAME, and one of these holds 0 and 1: a ROI, by all looks.
    """
    binary = [n for n in labels.unknown if _is_binary(columns[n])]
    if binary and not labels.rois:
        name = clean_name(binary[0])
        raise InputError(
            f"{file} has no roi_NAME column, but {name!r} holds 0 and 1. If it is a ROI, call "
            f"it roi_{name}; if not, add roi_ columns, or leave it out."
        )
    lines = []
    for given in labels.unknown:
        name = clean_name(given)
        near = nearest(name, [*KNOWN, *(f"roi_{roi}" for roi in labels.rois)], 1)
        meant = f"roi_{name}" if given in binary else near[0] if near else ""
        hint = f" Did you mean {meant}?" if meant else ""
        if name.casefold() in _AREAS:
            hint = " If it names the ROI of each unit, write a column roi_NAME of 0 and 1 for each."
        lines.append(f"{file}: {name!r} is no label of units that is known; it is not used.{hint}")
    first: dict[str, str] = {}
    for roi in labels.rois:
        other = first.setdefault(roi.casefold(), roi)
        if other != roi:
            lines.append(
                f"{file}: roi_{other} and roi_{roi} differ in their case alone; they count as two "
                "ROIs."
            )
    return lines


def _is_binary(values: Values) -> bool:
    texts = [clean_name(v).lower() for v in plain(values)]
    return all(t in _YES or t in ("0", "false") or _number(t) in (0, 1) for t in texts)


def refuse_descriptive(data: xr.DataArray, owner: str, place: Place) -> None:
    """Refuse units that are a description of the rows, by their names or their values.

    Args:
        data: responses with `unit_id`, dims (stimulus, unit) or (stimulus, repeat, unit).
        owner: the file, for the message.
        place: says where the i-th unit stands.

    Raises:
        InputError: naming all of them, with their places; or a column that pandas gave a second
            name because it was there twice.
    """
    counting = row_numbers(data) if data.ndim == 2 else {}
    ids = list(data.coords["unit_id"].values)
    _refuse_doubled(data, ids, owner, place)
    found = [i for i, n in enumerate(ids) if DESCRIPTIVE.fullmatch(n) or i in counting]
    if not found:
        return
    shown = ", ".join(
        f"{ids[i]!r} ({place(i)}{', ' + counting[i] if i in counting else ''})" for i in found[:5]
    )
    more = f", … ({len(found)} in all)" if len(found) > 5 else ""
    raise InputError(
        f"{owner}: by name or values these describe the rows, and would count as units: {shown}"
        f"{more}. Leave out what is no unit (with pandas: "
        "table.drop(columns=[…]), reset_index(drop=True)). Where it is one, list every unit as "
        "unit_id in units.csv beside the responses."
    )


def _refuse_doubled(data: xr.DataArray, ids: list[str], owner: str, place: Place) -> None:
    """Refuse a column that pandas, which reads a second `u1` as `u1.1`, has written again."""
    at = {name: i for i, name in enumerate(ids)}
    for i, name in enumerate(ids):
        base, _, number = name.rpartition(".")
        if base not in at or not number.isdecimal():
            continue
        first = at[base]
        if np.array_equal(data[..., i].values, data[..., first].values, equal_nan=True):
            raise InputError(
                f"{owner}: {name!r} ({place(i)}) has the values of {base!r} ({place(first)}): a "
                "column that was there twice when pandas read it. Leave it out."
            )


def row_numbers(data: xr.DataArray) -> dict[int, str]:
    """Find units whose values number the rows: 0, 1, 2 … or 1, 2, 3 …, in order or shuffled.

    So do whole numbers that rise from each row to the next: the index of a table of which rows
    were left out.

    Args:
        data: dims (stimulus, unit). Only the first rows are read of all units.

    Returns:
        What such a unit holds, by its position. Of fewer than 5 rows nothing is said, in another
        order of fewer than 20: counts of spikes may do that by chance.
    """
    n = data.sizes["stimulus"]
    if n < LEAST_ROWS:
        return {}
    head = data[:LEAST_SHUFFLED].values
    with np.errstate(invalid="ignore"):
        likely = ((head == np.rint(head)) & (head >= 0)).all(axis=0)
        within = (head <= n).all(axis=0)
        rising = np.asarray((np.diff(head, axis=0) > 0).all(axis=0))
        likely &= (np.diff(np.sort(head, axis=0), axis=0) > 0).all(axis=0)
    likely &= within | (rising & (n >= LEAST_SHUFFLED))
    if likely.sum() > MOST_NUMBERING:  # counts or ranks
        return {}
    out = {}
    for unit in np.flatnonzero(likely):
        values = data[:, int(unit)].values
        for first in (0, 1):
            wanted = np.arange(first, first + n)
            last = first + n - 1
            if np.array_equal(values, wanted):
                out[int(unit)] = f"whose values are {first}, {first + 1}, {first + 2} …"
            elif n >= LEAST_SHUFFLED and np.array_equal(np.sort(values), wanted):
                out[int(unit)] = f"whose values are {first} to {last}, each once"
        if int(unit) not in out and n >= LEAST_SHUFFLED and rising[unit]:
            whole = np.isfinite(values).all() and (values == np.rint(values)).all()
            if whole and (np.diff(values) > 0).all():
                out[int(unit)] = (
                    f"whose values rise from row to row, {values[0]:g} to {values[-1]:g}"
                )
    return {} if len(out) == data.sizes["unit"] > 1 else out  # responses given as ranks
