"""Whether units are the same units in another folder: by how they rank images, not by names.

A folder's name, the order of units and the scale of responses are of whoever wrote the folder. The
order in which a unit ranks two dozen images is its own: it survives z-scoring, another dtype and
another order of units or images, and no two units share it by chance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import rankdata

SAMPLE = 24
"""Images whose ranks are kept (ours): those with the smallest content hashes."""
FEWEST_IMAGES, FEWEST_RANKS = 8, 5
"""Below so many shared images, or different responses to them, ranks tell nothing (ours): of eight
images on five ranks there are 126,000 orders."""
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def record_units(
    hashes: Sequence[str], responses: np.ndarray, unit_ids: Sequence[str], rows: np.ndarray
) -> dict[str, Any]:
    """Note units so that they are known again: ids, and the ranks of some images for each.

    Args:
        hashes: content hash of each image, N.
        responses: (N, V), repeats averaged.
        unit_ids: name of each unit; empty where they have none.
        rows: positions of the images that may be used.

    Returns:
        JSON-able: `unit_ids`; `images`, content hashes; `ranks`, a text a unit with one digit an
        image (base 36, equal responses share one, `-` for none).
    """
    images = sorted({hashes[i] for i in rows})[:SAMPLE]
    place = {h: i for i, h in enumerate(hashes)}
    ranks = _ranks(np.asarray(responses[[place[h] for h in images]], np.float32))
    texts = ["".join("-" if r < 0 else _DIGITS[r] for r in column) for column in ranks.T]
    return {"unit_ids": [str(u) for u in unit_ids], "images": images, "ranks": texts}


@dataclass(frozen=True)
class Match:
    """How the units of a recording stand to units that were noted.

    Attributes:
        shared: noted images that the recording holds.
        noted: number of units noted.
        known: (V,) whether ranks can tell a unit of the recording.
        same: (V,) whether a noted unit ranks the shared images in the same way.
        named: (V,) whether a noted unit has its id.
        agreement: mean rank correlation of units with the same id; NaN where none can be told.
    """

    shared: int
    noted: int
    known: np.ndarray
    same: np.ndarray
    named: np.ndarray
    agreement: float


def match_units(
    record: Mapping[str, Any],
    hashes: Sequence[str],
    responses: np.ndarray,
    unit_ids: Sequence[str],
) -> Match:
    """Compare a recording's units with what `record_units` noted.

    Args:
        record: what was noted.
        hashes: content hash of each of the recording's images, N.
        responses: (N, V), repeats averaged.
        unit_ids: V.
    """
    place = {h: i for i, h in enumerate(hashes)}
    columns = [k for k, h in enumerate(record["images"]) if h in place]
    rows = [place[record["images"][k]] for k in columns]
    noted = np.array(
        [[_DIGITS.find(text[k]) for k in columns] for text in record["ranks"]], np.int64
    ).reshape(len(record["ranks"]), len(columns)).T  # fmt: skip
    theirs = _ranks(np.where(noted < 0, np.nan, noted).astype(np.float32))
    ours = _ranks(np.asarray(responses[rows], np.float32))
    told = _told(theirs)
    known = _told(ours)
    there = {column.tobytes() for column in theirs.T[told]}
    same = np.array([column.tobytes() in there for column in ours.T], bool) & known
    position = {str(u): i for i, u in enumerate(record["unit_ids"])}
    named = np.array([str(u) in position for u in unit_ids], bool)
    pairs = [
        (i, position[str(u)])
        for i, u in enumerate(unit_ids)
        if named[i] and known[i] and told[position[str(u)]]
    ]
    agreement = float("nan")
    if pairs:
        a, b = ours[:, [i for i, _ in pairs]], theirs[:, [j for _, j in pairs]]
        a, b = rankdata(a, axis=0), rankdata(b, axis=0)
        a, b = a - a.mean(0), b - b.mean(0)
        agreement = float(np.mean((a * b).sum(0) / np.sqrt((a * a).sum(0) * (b * b).sum(0))))
    return Match(len(columns), len(record["ranks"]), known, same, named, agreement)


def _ranks(values: np.ndarray) -> np.ndarray:
    """Dense ranks from 0 along the first axis, int8; -1 where there is no response."""
    if not values.size:
        return np.zeros(values.shape, np.int8)
    gone = ~np.isfinite(values)
    ranks = rankdata(np.where(gone, np.float32(np.inf), values), method="dense", axis=0) - 1
    return np.where(gone, -1, ranks).astype(np.int8)


def _told(ranks: np.ndarray) -> np.ndarray:
    """Which units (columns) rank enough images on enough ranks, and have a response to each."""
    if len(ranks) < FEWEST_IMAGES:
        return np.zeros(ranks.shape[1], bool)
    return (ranks.min(0) >= 0) & (ranks.max(0) + 1 >= FEWEST_RANKS)
