"""Recognize units in another folder by how they rank images, not by their names.

Whoever wrote a folder chose its name, the order of units and the scale of responses. The order in
which a unit ranks two dozen images belongs to the unit: it survives z-scoring, another dtype and
another order of units or images, and no two units share it by chance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import rankdata

SAMPLE = 24
"""Number of images whose ranks are kept (ours): those with the smallest content hashes."""
FEWEST_IMAGES, FEWEST_RANKS = 8, 5
"""Fewest shared images, and fewest different responses to them, by which a unit is recognized
(ours): eight images on five ranks have 126,000 orders."""
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def record_units(
    hashes: Sequence[str], responses: np.ndarray, unit_ids: Sequence[str], rows: np.ndarray
) -> dict[str, Any]:
    """Record units so that they can be recognized: their ids and their ranks of some images.

    Args:
        hashes: content hash of each of N images.
        responses: (N, V), repeats averaged.
        unit_ids: name of each unit; empty where units have no names.
        rows: positions of the images that may be used.

    Returns:
        A dict for JSON: `unit_ids`; `images`, content hashes; `ranks`, for each unit a text with
        one digit for each image (base 36; equal responses share a digit; `-` for no response).
    """
    images = sorted({hashes[i] for i in rows})[:SAMPLE]
    positions = {h: i for i, h in enumerate(hashes)}
    ranks = _rank_responses(np.asarray(responses[[positions[h] for h in images]], np.float32))
    texts = ["".join("-" if r < 0 else _DIGITS[r] for r in column) for column in ranks.T]
    return {"unit_ids": [str(u) for u in unit_ids], "images": images, "ranks": texts}


@dataclass(frozen=True)
class Match:
    """Comparison of a recording's units with recorded units (`record_units`).

    Attributes:
        shared: number of recorded images that the recording holds.
        noted: number of recorded units.
        known: (V,) whether a unit of the recording can be recognized by its ranks.
        same: (V,) whether a recorded unit ranks the shared images in the same way.
        named: (V,) whether a recorded unit has the unit's id.
        agreement: mean rank correlation of units with the same id; NaN where none can be compared.
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
    """Compare a recording's units with those that `record_units` recorded.

    Args:
        record: result of `record_units`.
        hashes: content hash of each of the recording's N images.
        responses: (N, V), repeats averaged.
        unit_ids: name of each of the V units.
    """
    positions = {h: i for i, h in enumerate(hashes)}
    columns = [k for k, h in enumerate(record["images"]) if h in positions]
    rows = [positions[record["images"][k]] for k in columns]
    noted = np.array(
        [[_DIGITS.find(text[k]) for k in columns] for text in record["ranks"]], np.int64
    ).reshape(len(record["ranks"]), len(columns)).T  # fmt: skip
    noted_ranks = _rank_responses(np.where(noted < 0, np.nan, noted).astype(np.float32))
    ranks = _rank_responses(np.asarray(responses[rows], np.float32))
    noted_usable = _find_usable(noted_ranks)
    usable = _find_usable(ranks)
    noted_columns = {column.tobytes() for column in noted_ranks.T[noted_usable]}
    same = np.array([column.tobytes() in noted_columns for column in ranks.T], bool) & usable
    noted_positions = {str(u): i for i, u in enumerate(record["unit_ids"])}
    has_id = np.array([str(u) in noted_positions for u in unit_ids], bool)
    pairs = [
        (i, noted_positions[str(u)])
        for i, u in enumerate(unit_ids)
        if has_id[i] and usable[i] and noted_usable[noted_positions[str(u)]]
    ]
    agreement = float("nan")
    if pairs:
        a, b = ranks[:, [i for i, _ in pairs]], noted_ranks[:, [j for _, j in pairs]]
        a, b = rankdata(a, axis=0), rankdata(b, axis=0)
        a, b = a - a.mean(0), b - b.mean(0)
        agreement = float(np.mean((a * b).sum(0) / np.sqrt((a * a).sum(0) * (b * b).sum(0))))
    return Match(len(columns), len(record["ranks"]), usable, same, has_id, agreement)


def _rank_responses(values: np.ndarray) -> np.ndarray:
    """Rank responses along the first axis, int8 dense ranks from 0; -1 where there is none."""
    if not values.size:
        return np.zeros(values.shape, np.int8)
    missing = ~np.isfinite(values)
    ranks = rankdata(np.where(missing, np.float32(np.inf), values), method="dense", axis=0) - 1
    return np.where(missing, -1, ranks).astype(np.int8)


def _find_usable(ranks: np.ndarray) -> np.ndarray:
    """Find units (columns) that respond to every image and rank enough images on enough ranks."""
    if len(ranks) < FEWEST_IMAGES:
        return np.zeros(ranks.shape[1], bool)
    return (ranks.min(0) >= 0) & (ranks.max(0) + 1 >= FEWEST_RANKS)
