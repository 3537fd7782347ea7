"""Stimuli made ready for a run: in one order, copies of an image joined, silent ones left out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import xarray as xr

from striate.core.names import natural_key
from striate.data.responses.dataset import Dataset, Recording
from striate.data.responses.noise_ceilings import ceiling_after_averaging, noise_ceiling
from striate.data.responses.responses import Responses
from striate.data.responses.twins import find_twins


def tidy(dataset: Dataset) -> tuple[Dataset, list[str]]:
    """Bring stimuli into one order, join copies of an image, leave out stimuli without a response.

    Folds, resamples and batches are drawn by position, so the order in which somebody wrote rows
    would be in the scores: stimuli are sorted by their ids, numbers as numbers.

    Copies as rows of their own would be matched to each other across the folds of a readout, make
    intervals too narrow, and be negatives of themselves in contrastive tuning.

    Returns:
        The data set, and a line for each subject that was changed, after what its reader had to
        say (`Responses.data.attrs["notes"]`); last, which subjects are copies of each other.
    """
    recordings, notes = {}, []
    for subject, recording in dataset.items():
        notes += [f"{subject}: {n}" for n in recording.responses.data.attrs.get("notes", ())]
        recordings[subject], found = _tidy(recording)
        notes += [f"{subject}: {text}" for text in found]
    notes += find_twins({s: (r.stimuli.hashes, r.responses) for s, r in recordings.items()})
    return replace(dataset, recordings=recordings), notes


def _tidy(recording: Recording) -> tuple[Recording, list[str]]:
    notes = []
    ids = recording.stimuli.ids
    order = sorted(range(len(ids)), key=lambda i: (natural_key(ids[i]), ids[i]))
    if order != list(range(len(ids))):  # a file that lies in order stays on disk
        recording = _take(recording, np.array(order))
    silent = _silent(recording.responses)
    if silent.any():
        first = recording.stimuli.ids[int(silent.argmax())]
        notes.append(
            f"{int(silent.sum())} stimuli without any response were left out (first: {first})."
        )
        recording = _take(recording, np.flatnonzero(~silent))
    groups: dict[str, list[int]] = {}
    for row, digest in enumerate(recording.stimuli.hashes):
        groups.setdefault(digest, []).append(row)
    copied = sum(len(rows) > 1 for rows in groups.values())
    if copied:
        before, recording = recording, _join(recording, list(groups.values()))
        notes.append(
            f"{copied} images have several stimulus ids; each became one stimulus with the mean "
            f"of its responses ({len(before.stimuli)} stimuli before, {len(groups)} after)."
            + _about_ceilings(before.responses)
        )
    return recording, notes


def _silent(responses: Responses) -> np.ndarray:
    """Stimuli, boolean (N,), where every unit is NaN; only likely rows are read whole."""
    data = responses.data
    silent = np.isnan(data[..., 0].values)
    silent = silent.all(axis=1) if silent.ndim == 2 else silent
    for row in np.flatnonzero(silent):
        silent[row] = np.isnan(data[int(row)].values).all()
    return np.asarray(silent)


def _take(recording: Recording, rows: np.ndarray) -> Recording:
    return Recording(
        recording.subject,
        recording.stimuli.subset(rows),
        Responses(recording.responses.data.isel(stimulus=rows)),
    )


def _join(recording: Recording, groups: list[list[int]]) -> Recording:
    """Average the copies of each image; where there are trials they are put side by side."""
    data = recording.responses.data
    firsts = np.array([rows[0] for rows in groups])
    first = data.isel(stimulus=firsts).values
    # What else there is of each image, read at once: single rows of a file on disk take long.
    others = data.isel(stimulus=[row for rows in groups for row in rows[1:]]).values
    ends = np.cumsum([len(rows) - 1 for rows in groups])
    if data.ndim == 2:
        joined = np.array(first)
        for i, rows in enumerate(groups):
            if len(rows) > 1:
                more = others[ends[i] - len(rows) + 1 : ends[i]]
                copies = np.concatenate([first[i : i + 1], more], dtype=np.float64)
                known = ~np.isnan(copies)
                total = np.where(known, copies, 0).sum(axis=0)
                joined[i] = np.divide(
                    total, known.sum(axis=0), out=np.full(total.shape, np.nan),
                    where=known.any(axis=0),
                )  # fmt: skip
        out = data.isel(stimulus=firsts).copy(data=joined)
    else:
        most, (_, repeats, n_units) = max(map(len, groups)), data.shape
        joined = np.full((len(groups), most * repeats, n_units), np.nan, data.dtype)
        joined[:, :repeats] = first
        for i, rows in enumerate(groups):
            more = others[ends[i] - len(rows) + 1 : ends[i]]
            joined[i, repeats : len(rows) * repeats] = more.reshape(-1, n_units)
        out = data.isel(stimulus=firsts, repeat=[0] * (most * repeats)).copy(data=joined)
    given = data.coords["noise_ceiling"].values
    ceiling = ceiling_after_averaging(given, _noise_left(groups, data))
    if joined.ndim == 3:  # of units without repeats the given ones
        found = noise_ceiling(joined)
        ceiling = np.where(np.isnan(found), ceiling, found)
    out = out.assign_coords(noise_ceiling=("unit", ceiling))
    return Recording(recording.subject, recording.stimuli.subset(firsts), Responses(out))


def _noise_left(groups: list[list[int]], data: xr.DataArray) -> np.ndarray:
    """Mean over images of 1 / number of rows with a response, (n_units,)."""
    total, images = np.zeros(data.sizes["unit"]), np.zeros(data.sizes["unit"])
    for rows in groups:
        known = ~np.isnan(data.isel(stimulus=rows).values)
        count = (known.any(axis=1) if known.ndim == 3 else known).sum(axis=0)
        total += np.divide(1.0, count, out=np.zeros(len(total)), where=count > 0)
        images += count > 0
    return np.divide(total, images, out=np.full(len(total), np.nan), where=images > 0)


def _about_ceilings(before: Responses) -> str:
    """What joining means for the ceilings, as the end of a note."""
    if before.data.ndim == 3:
        return " Noise ceilings are of the joined trials."
    if np.isfinite(before.noise_ceiling).any():
        return " Noise ceilings that were given for single rows are raised for the averaging."
    return (
        " If these rows are repeats of one stimulus, put them into the dim `repeat`: then there "
        "is a noise ceiling."
    )
