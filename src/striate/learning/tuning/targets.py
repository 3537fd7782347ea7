"""The targets of tuning: images, responses and parts of the split, checked and prepared."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from striate.core.errors import InputError, LeakError
from striate.core.hashing import hash_array, hash_json


@dataclass
class TuneData:
    """The data of one target (a subject's ROI, or a session).

    Attributes:
        name: name of the target, used in messages.
        subject: whose responses they are.
        images: uint8 (N, H, W, 3), for example a memory map.
        hashes: content hash of each image, N.
        responses: (N, V), repeats averaged.
        tune: positions of the stimuli to learn from.
        select: positions of the stimuli for early stopping; may be empty.
        simulated: whether the responses are simulated.
        unit_ids: name of each unit, used in messages; empty: positions are used.
        file_hashes: hash of the file of each image, N, `` if it has none; or empty.
    """

    name: str
    subject: str
    images: np.ndarray
    hashes: Sequence[str]
    responses: np.ndarray
    tune: np.ndarray
    select: np.ndarray
    simulated: bool = False
    unit_ids: Sequence[str] = ()
    file_hashes: Sequence[str] = ()


@dataclass(frozen=True)
class TuneTarget:
    """A checked target with the responses that the objective sees.

    Attributes:
        name: name of the target.
        images: uint8 (N, H, W, 3).
        tune: positions, int (n,).
        select: positions, int (m,).
        tune_responses: float32 (n, V') of the V' kept units.
        select_responses: float32 (m, V').
        units: positions of the kept units.
    """

    name: str
    images: np.ndarray
    tune: np.ndarray
    select: np.ndarray
    tune_responses: np.ndarray
    select_responses: np.ndarray
    units: np.ndarray


def prepare(data: Sequence[TuneData], *, zscore: bool, size: int) -> list[TuneTarget]:
    """Check all targets and take what tuning needs from them.

    Units are left out of a target if a value in the tune or select part is not finite, or if they
    do not vary over the tune part (one warning names those of all targets).

    Args:
        data: the targets.
        zscore: standardize each unit by its mean and deviation over the **tune** part.
        size: side of the images that the model takes.

    Raises:
        InputError: no data; an empty ROI; shapes, types or positions that do not fit.
        LeakError: a stimulus is in the tune part of one target and the select part of another.
    """
    if not data:
        raise InputError("tuning needs at least one target, found none.")
    for target in data:
        _check_target(target, size)
    _check_parts(data)
    dropped: list[str] = []
    targets = [_make_target(target, zscore, dropped) for target in data]
    if dropped:
        warnings.warn(
            "units with values that are not finite, or without variance in the tune part, are "
            f"left out of the tuning target: {'; '.join(dropped)}.",
            UserWarning,
            stacklevel=3,
        )
    return targets


def _check_target(target: TuneData, size: int) -> None:
    """Refuse shapes, types and positions that do not fit each other or the model."""
    images, responses = target.images, target.responses
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != (size, size, 3):
        raise InputError(
            f"target {target.name}: images must be uint8 (N, {size}, {size}, 3), the size the "
            f"model takes; found {images.dtype} {images.shape}."
        )
    if responses.ndim != 2 or not np.issubdtype(responses.dtype, np.number):
        raise InputError(
            f"target {target.name}: responses must be numbers of shape (stimuli, units), found "
            f"{responses.dtype} {responses.shape}."
        )
    if not responses.shape[1]:
        raise InputError(
            f"target {target.name}: the ROI is empty (0 units). Leave it out of the targets."
        )
    counts = {"images": len(images), "responses": len(responses), "hashes": len(target.hashes)}
    if len(target.file_hashes):
        counts["file_hashes"] = len(target.file_hashes)
    if len(set(counts.values())) > 1:
        raise InputError(f"target {target.name}: one row a stimulus is needed, found {counts}.")
    if len(target.unit_ids) not in (0, responses.shape[1]):
        raise InputError(
            f"target {target.name}: {len(target.unit_ids)} unit ids for {responses.shape[1]} units."
        )
    for part, least in (("tune", 2), ("select", 0)):
        rows = np.asarray(getattr(target, part))
        if rows.ndim != 1 or (rows.size and not np.issubdtype(rows.dtype, np.integer)):
            raise InputError(f"target {target.name}: {part} must be positions, a list of integers.")
        if rows.size and (rows.min() < 0 or rows.max() >= len(images)):
            raise InputError(
                f"target {target.name}: {part} names position {rows.max()} (least {rows.min()}), "
                f"but there are {len(images)} stimuli."
            )
        if len(np.unique(rows)) != rows.size:
            raise InputError(f"target {target.name}: {part} names a stimulus twice.")
        if rows.size < least:
            raise InputError(
                f"target {target.name}: the {part} part has {rows.size} stimuli; at least {least} "
                "are needed to tune. Change the shares of the split, or leave the target out."
            )


def _check_parts(data: Sequence[TuneData]) -> None:
    """Refuse a stimulus that is in a tune part and in a select part of any targets."""
    tune_owners = {target.hashes[i]: target.name for target in data for i in target.tune}
    for target in data:
        for i in target.select:
            if target.hashes[i] in tune_owners:
                raise LeakError(
                    f"stimulus {i} of target {target.name} (hash {target.hashes[i][:12]}…) is in "
                    f"its select part and in the tune part of {tune_owners[target.hashes[i]]}. "
                    "Split by content hash (striate.data.Split does)."
                )


def _make_target(target: TuneData, zscore: bool, dropped: list[str]) -> TuneTarget:
    """Take what the objective sees of a target; what is left out of it is added to `dropped`."""
    tune, select = np.asarray(target.tune, np.int64), np.asarray(target.select, np.int64)
    y = np.asarray(target.responses[tune], np.float64)
    y_select = np.asarray(target.responses[select], np.float64)
    finite = np.isfinite(y).all(0) & np.isfinite(y_select).all(0)
    with np.errstate(invalid="ignore"):
        varies = (y != y[:1]).any(0)
    keep = np.flatnonzero(finite & varies)
    if not keep.size:
        raise InputError(
            f"target {target.name}: none of its {y.shape[1]} units has finite, varying responses "
            "in the tune part. Check the responses (striate doctor), or leave the target out."
        )
    if keep.size < y.shape[1]:
        dropped_units = np.setdiff1d(np.arange(y.shape[1]), keep)
        names = [str(target.unit_ids[u] if len(target.unit_ids) else u) for u in dropped_units[:10]]
        listed = ", ".join(names) + (" …" if dropped_units.size > 10 else "")
        dropped.append(f"{target.name}: {dropped_units.size} of {y.shape[1]} (units {listed})")
    y, y_select = y[:, keep], y_select[:, keep]
    if zscore:
        mean, deviation = y.mean(0), y.std(0)
        y, y_select = (y - mean) / deviation, (y_select - mean) / deviation
    return TuneTarget(
        target.name,
        target.images,
        tune,
        select,
        y.astype(np.float32),
        y_select.astype(np.float32),
        keep,
    )


def fingerprint(data: Sequence[TuneData]) -> list[dict[str, str]]:
    """Return what identifies each target: name, stimuli, parts and responses."""
    return [
        {
            "name": target.name,
            "subject": target.subject,
            "images": hash_json([list(target.hashes), list(target.images.shape)])[:16],
            "tune": hash_array(np.asarray(target.tune, np.int64))[:16],
            "select": hash_array(np.asarray(target.select, np.int64))[:16],
            "responses": hash_array(np.asarray(target.responses))[:16],
        }
        for target in data
    ]
