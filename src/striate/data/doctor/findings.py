"""What examinations of data look for: arrays, values, images. Nothing here stops at a problem.

An examination (`examine` of a `striate.data.readers.Reader`) goes through all subjects and files
and notes what is there. Where nothing wrong was seen, it tries the reader itself: what that refuses
is an error too.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import xarray as xr

from striate.core.arrays import load_npy
from striate.core.errors import InputError
from striate.core.hashing import hash_image
from striate.data.images.lookalikes import near_duplicates, thumbnail
from striate.data.images.stimuli import StimulusSet
from striate.data.responses.numbers import counted_dtype

Level = Literal["ok", "warning", "error"]
SHOWN = 20
"""At most this many broken images of one place get a finding of their own."""
BLOCK_BYTES = 2**26
NO_CEILING = "no single trials and no ceilings: scores will stand without a noise ceiling."
SIMULATED = "the responses of this subject are SIMULATED, not measured."
LABELED = "Every result from them is labeled so."
STAND_INS = np.array(
    [-99, *(sign * (10.0**k - 1) for k in range(3, 8) for sign in (-1, 1)),
     *(float(end) for bits in (16, 32, 64) for end in (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)),
     65535, 2.0**32 - 1, *(sign * 10.0**k for k in (20, 30, 34, 35, 36) for sign in (-1, 1)),
     9.969209968386869e36, -1.7e308, 1.7976931348623157e308, -3.4028234663852886e38,
     3.4028234663852886e38]
)  # fmt: skip
"""Numbers that programs write where there is no value, among them netCDF's default of floats."""


class Look(NamedTuple):
    """What is kept of a decoded image: its content hash, a thumbnail, and its group if any."""

    digest: str
    thumbnail: np.ndarray
    group: str = ""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        level: `ok`; `warning`: usable, with a consequence; `error`: cannot be used as it is.
        place: file, subject or ROI.
        found: what is there.
        advice: what was expected, and the next step.
    """

    level: Level
    place: str
    found: str
    advice: str = ""


class Notes:
    """Findings as they are made.

    Attributes:
        findings: in the order in which they were made.
    """

    def __init__(self) -> None:
        self.findings: list[Finding] = []

    def add(self, level: Level, place: str, found: str, advice: str = "") -> None:
        """Note a finding of a level that depends on what was found."""
        self.findings.append(Finding(level, place, found, advice))

    def ok(self, place: str, found: str, advice: str = "") -> None:
        """Note that something is as it should be."""
        self.add("ok", place, found, advice)

    def warning(self, place: str, found: str, advice: str = "") -> None:
        """Note something with a consequence."""
        self.add("warning", place, found, advice)

    def error(self, place: str, found: str, advice: str = "") -> None:
        """Note something that cannot be used as it is."""
        self.add("error", place, found, advice)

    @property
    def errors(self) -> int:
        """How many errors were noted so far."""
        return sum(f.level == "error" for f in self.findings)

    @contextmanager
    def guard(self, place: str) -> Iterator[None]:
        """Note what the block raises, so that the next check still runs."""
        try:
            yield
        except InputError as error:
            self.error(place, str(error))
        except Exception as error:  # bad data may raise anything; a diagnosis goes on
            self.error(place, f"cannot be examined: {error!r}")


def list_first(names: Iterable[object], most: int = 5) -> str:
    """Name the first few of many."""
    texts = [str(name) for name in names]
    rest = f", … ({len(texts)} in all)" if len(texts) > most else ""
    return ", ".join(texts[:most]) + rest


def open_array(notes: Notes, path: Path, place: str) -> np.ndarray | None:
    """Open a `.npy` file of numbers; note an error and return None where that is impossible."""
    with notes.guard(place):
        array = load_npy(path)
        counted_dtype(array.dtype, path.name)
        return array
    return None


def check_values(
    notes: Notes,
    values: np.ndarray | xr.DataArray,
    stimuli: Sequence[str],
    units: Sequence[str],
    place: str,
    *,
    whole: bool = True,
) -> None:
    """Look for values that are not finite and for units that never change.

    Reads block by block, so an array larger than the memory may stay on disk, and looks at numbers
    as they count (`striate.data.responses.numbers`). In single trials NaN says that there was no
    trial; only a stimulus without any trial counts as missing there.

    Args:
        notes: takes the findings.
        values: (n_stimuli, n_units) or (n_stimuli, n_repeats, n_units).
        stimuli: name of each row.
        units: name of each unit.
        place: for the findings.
        whole: these are all units of a subject: a run leaves out a stimulus to which none of them
            has a response.
    """
    n_stimuli, n_units = values.shape[0], values.shape[-1]
    if values.size == 0:
        notes.error(place, f"shape {values.shape} holds no value.", "Expected responses.")
        return
    bad_of_unit = np.zeros(n_units, dtype=np.int64)
    bad_stimuli: list[int] = []
    silent: list[int] = []
    low, high = np.full(n_units, np.inf), np.full(n_units, -np.inf)
    dtype = counted_dtype(values.dtype, place)
    rows = max(1, BLOCK_BYTES // max(1, dtype.itemsize * values.size // n_stimuli))
    for start in range(0, n_stimuli, rows):
        block = np.asarray(values[start : start + rows], dtype=dtype)
        finite = np.isfinite(block)
        bad = ~finite
        if block.ndim == 3:
            bad = np.isinf(block).any(axis=1) | ~finite.any(axis=1)
        mute = np.isnan(block).reshape(len(block), -1).all(axis=1) & whole
        silent += (start + np.flatnonzero(mute)).tolist()
        bad &= ~mute[:, None]
        bad_of_unit += bad.sum(axis=0)
        bad_stimuli += (start + np.flatnonzero(bad.any(axis=1))).tolist()
        across = tuple(range(block.ndim - 1))
        low = np.minimum(low, np.where(finite, block, np.inf).min(axis=across))
        high = np.maximum(high, np.where(finite, block, -np.inf).max(axis=across))
    if silent:
        notes.add(
            "error" if len(silent) == n_stimuli else "warning",
            place,
            f"{len(silent)} of {n_stimuli} stimuli have no response of any unit (first: "
            f"{stimuli[silent[0]]}).",
            "A run leaves them out.",
        )
    _check_stand_ins(notes, values, low, high, units, place)
    bad_units = np.flatnonzero(bad_of_unit).tolist()
    constant = np.flatnonzero(low == high).tolist()
    if bad_units:
        first = bad_units[0]
        notes.add(
            "error" if len(bad_units) == n_units else "warning",
            place,
            f"NaN, inf or no trial in {len(bad_units)} of {n_units} units (first: unit "
            f"{units[first]}, in {bad_of_unit[first]} stimuli) and {len(bad_stimuli)} of "
            f"{n_stimuli} stimuli (first: {stimuli[bad_stimuli[0]]}).",
            "Such a unit gets no score (NaN) and harms no other. Where most units lack the same "
            "stimuli, leave out their rows and images instead.",
        )
    if constant:
        notes.add(
            "error" if len(constant) == n_units else "warning",
            place,
            f"{len(constant)} of {n_units} units never change "
            f"({list_first(units[i] for i in constant)}).",
            "A unit without variance cannot be scored (NaN). Check the recording or leave it out.",
        )
    if not bad_units and not constant and not silent:
        shape = " x ".join(f"{n:,}" for n in values.shape)
        what = "stimuli x units" if values.ndim == 2 else "stimuli x repeats x units"
        notes.ok(place, f"{shape} ({what}), {dtype}, complete.")


def _check_stand_ins(
    notes: Notes,
    values: np.ndarray | xr.DataArray,
    low: np.ndarray,
    high: np.ndarray,
    units: Sequence[str],
    place: str,
) -> None:
    """Warn of numbers that stand for no value: the largest or smallest of a unit, far from others.

    Only units with such an extreme are read again; `low` and `high` are those of all units.
    """
    with np.errstate(over="ignore"):
        stand_ins = np.concatenate([STAND_INS, STAND_INS.astype(np.float32)])
    stand_ins = stand_ins[np.isfinite(stand_ins)]
    places: dict[float, list[tuple[str, int]]] = defaultdict(list)
    for extreme in (low, high):
        for unit in np.flatnonzero(np.isin(extreme, stand_ins))[:SHOWN]:
            unit_values = np.asarray(values[..., int(unit)], dtype=np.float64)
            extremes = unit_values == extreme[unit]
            rest = unit_values[np.isfinite(unit_values) & ~extremes]
            if rest.size and np.abs(rest - extreme[unit]).min() > np.ptp(rest):
                places[float(extreme[unit])].append((units[unit], int(extremes.sum())))
    for value, where in places.items():
        notes.warning(
            place,
            f"{value:g} may stand for no value: it is far from all others of {len(where)} units or "
            f"more (first: unit {where[0][0]}, {where[0][1]} times).",
            "It counts as a response. Where it says that there is none, write NaN, in an array of "
            "floats.",
        )


def list_rois(notes: Notes, place: str, counts: Mapping[str, int]) -> None:
    """List empty ROIs, given the number of units by ROI."""
    empty = [name for name, n in counts.items() if n == 0]
    if empty:
        found = f"{len(counts)} ROIs, {len(empty)} of them empty: {list_first(empty, len(empty))}."
        notes.ok(place, found, "No model is made for an empty ROI.")
    elif counts:
        notes.ok(place, f"{len(counts)} ROIs, none empty.")


def check_images(notes: Notes, stimuli: StimulusSet, place: str, deep: bool) -> dict[str, Look]:
    """Open every image; with `deep` decode it fully, hash it and keep a thumbnail.

    Without `deep` only headers are read: an image cut off further down is not found, and copies
    of one picture are not.

    Returns:
        Hash and thumbnail of each image that could be decoded, by stimulus id.
    """

    def look(i: int) -> tuple[tuple[int, int], Look | None] | str:
        try:
            if deep:
                rgb = stimuli.image(i)
                content = Look(hash_image(rgb), thumbnail(rgb), stimuli.groups[i])
                return (rgb.shape[0], rgb.shape[1]), content
            return stimuli.probe(i), None
        except Exception as error:  # a decoder may raise anything on bytes made to break it
            return str(error) if isinstance(error, InputError) else f"image {i}: {error!r}"

    with ThreadPoolExecutor() as pool:
        looked = list(pool.map(look, range(len(stimuli))))
    broken = [text for text in looked if isinstance(text, str)]
    for text in broken[:SHOWN]:
        notes.error(place, text, "Expected an image that can be decoded.")
    if len(broken) > SHOWN:
        notes.error(place, f"{len(broken)} images in all cannot be decoded.")
    good = {n: s for n, s in zip(stimuli.ids, looked, strict=True) if not isinstance(s, str)}
    if good:
        sizes = sorted({(width, height) for (height, width), _ in good.values()})
        of = f"{sizes[0][0]} x {sizes[0][1]} pixels"
        if len(sizes) > 1:
            of = f"{len(sizes)} sizes, from {of} to {sizes[-1][0]} x {sizes[-1][1]}"
        how = "decoded" if deep else "opened, not decoded"
        notes.ok(place, f"{len(good):,} images {how} ({of}).")
    return {name: content for name, (_, content) in good.items() if content is not None}


def check_copies(notes: Notes, looks: Mapping[str, Mapping[str, Look]]) -> None:
    """Find pictures that occur under several ids, within and across subjects.

    Args:
        notes: takes the findings.
        looks: by subject, what was kept of each stimulus.
    """
    owners: dict[str, set[str]] = defaultdict(set)
    different: dict[str, tuple[str, Look]] = {}
    for subject, subject_looks in looks.items():
        groups: dict[str, list[str]] = defaultdict(list)
        for stimulus, content in subject_looks.items():
            groups[content.digest].append(stimulus)
            owners[content.digest].add(subject)
            different.setdefault(content.digest, (f"{subject}/{stimulus}", content))
        copies = [names for names in groups.values() if len(names) > 1]
        if copies:
            notes.warning(
                subject,
                f"{len(copies)} pictures occur under more than one stimulus id (first: "
                f"{list_first(copies[0])}).",
                "A split keeps copies in one part. If they are repeats of one stimulus, put them "
                "into the dim `repeat`.",
            )
    shared = [digest for digest, who in owners.items() if len(who) > 1]
    if shared:
        several = sorted(set().union(*(owners[digest] for digest in shared)))
        notes.ok(
            list_first(several, 8),
            f"{len(shared):,} pictures were seen by more than one subject.",
            "A split puts such a picture into the same part for all of them.",
        )
    _check_lookalikes(notes, list(different.values()))


def _check_lookalikes(notes: Notes, pictures: Sequence[tuple[str, Look]]) -> None:
    """Warn of named pictures that differ in their pixels and look the same.

    Pictures of one group may be alike: a split keeps them in one part.
    """
    if not pictures:
        return
    names = [name for name, _ in pictures]
    groups = [content.group for _, content in pictures]
    pairs = [
        (i, j)
        for i, j in near_duplicates(np.stack([content.thumbnail for _, content in pictures]))
        if not groups[i] or groups[i] != groups[j]
    ]
    if pairs:
        notes.warning(
            "images",
            f"{len(pairs)} pairs of images look like one picture, re-encoded or resized: "
            f"{list_first(f'{names[i]} and {names[j]}' for i, j in pairs)}.",
            "A split keeps them in one part, and folds keep them together (split.lookalikes). If "
            "they are repeats of one stimulus, use the same file for both.",
        )
