"""Prepare stimuli for a run: sort them, join copies of an image, leave out silent stimuli."""

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

    Stimuli are sorted by their ids, numbers as numbers: folds, resamples and batches are drawn by
    position, so otherwise the order in which somebody wrote the rows would change the scores.

    Copies of an image are joined: as separate rows they would predict each other across the folds
    of a readout, make intervals too narrow, and be negatives of themselves in contrastive tuning.

    Returns:
        The data set, and notes: for each subject those of its reader
        (`Responses.data.attrs["notes"]`) and then its changes; last, the subjects that are copies
        of each other.
    """
    recordings, notes = {}, []
    for subject, recording in dataset.items():
        notes += [f"{subject}: {n}" for n in recording.responses.data.attrs.get("notes", ())]
        recordings[subject], changes = _tidy_recording(recording)
        notes += [f"{subject}: {text}" for text in changes]
    notes += find_twins({s: (r.stimuli.hashes, r.responses) for s, r in recordings.items()})
    return replace(dataset, recordings=recordings), notes


def _tidy_recording(recording: Recording) -> tuple[Recording, list[str]]:
    """Tidy one recording; return it with a note on each change."""
    notes = []
    ids = recording.stimuli.ids
    order = sorted(range(len(ids)), key=lambda i: (natural_key(ids[i]), ids[i]))
    if order != list(range(len(ids))):  # a file that lies in order stays on disk
        recording = _select_stimuli(recording, np.array(order))
    silent = _find_silent(recording.responses)
    if silent.any():
        first = recording.stimuli.ids[int(silent.argmax())]
        notes.append(
            f"{int(silent.sum())} stimuli without any response were left out (first: {first})."
        )
        recording = _select_stimuli(recording, np.flatnonzero(~silent))
    groups: dict[str, list[int]] = {}
    for row, digest in enumerate(recording.stimuli.hashes):
        groups.setdefault(digest, []).append(row)
    copied = sum(len(rows) > 1 for rows in groups.values())
    if copied:
        original, recording = recording, _join_copies(recording, list(groups.values()))
        notes.append(
            f"{copied} images have several stimulus ids; each became one stimulus with the mean "
            f"of its responses ({len(original.stimuli)} stimuli before, {len(groups)} after)."
            + _describe_ceilings(original.responses)
        )
    return recording, notes


def _find_silent(responses: Responses) -> np.ndarray:
    """Find stimuli, boolean (N,), where every unit is NaN.

    Only rows whose first unit is NaN are read whole.
    """
    data = responses.data
    silent = np.isnan(data[..., 0].values)
    silent = silent.all(axis=1) if silent.ndim == 2 else silent
    for row in np.flatnonzero(silent):
        silent[row] = np.isnan(data[int(row)].values).all()
    return np.asarray(silent)


def _select_stimuli(recording: Recording, rows: np.ndarray) -> Recording:
    """Return the recording of the stimuli at `rows`, in that order."""
    return Recording(
        recording.subject,
        recording.stimuli.subset(rows),
        Responses(recording.responses.data.isel(stimulus=rows)),
    )


def _join_copies(recording: Recording, groups: list[list[int]]) -> Recording:
    """Average the copies of each image; with repeats, put their trials side by side."""
    data = recording.responses.data
    firsts = np.array([rows[0] for rows in groups])
    first = data.isel(stimulus=firsts).values
    # All further rows are read at once, as reading single rows of a file on disk is slow.
    others = data.isel(stimulus=[row for rows in groups for row in rows[1:]]).values
    ends = np.cumsum([len(rows) - 1 for rows in groups])
    if data.ndim == 2:
        joined = np.array(first)
        for i, rows in enumerate(groups):
            if len(rows) > 1:
                further = others[ends[i] - len(rows) + 1 : ends[i]]
                copies = np.concatenate([first[i : i + 1], further], dtype=np.float64)
                present = ~np.isnan(copies)
                total = np.where(present, copies, 0).sum(axis=0)
                joined[i] = np.divide(
                    total, present.sum(axis=0), out=np.full(total.shape, np.nan),
                    where=present.any(axis=0),
                )  # fmt: skip
        joined_data = data.isel(stimulus=firsts).copy(data=joined)
    else:
        most, (_, repeats, n_units) = max(map(len, groups)), data.shape
        joined = np.full((len(groups), most * repeats, n_units), np.nan, data.dtype)
        joined[:, :repeats] = first
        for i, rows in enumerate(groups):
            further = others[ends[i] - len(rows) + 1 : ends[i]]
            joined[i, repeats : len(rows) * repeats] = further.reshape(-1, n_units)
        joined_data = data.isel(stimulus=firsts, repeat=[0] * (most * repeats)).copy(data=joined)
    stated_ceiling = data.coords["noise_ceiling"].values
    ceiling = ceiling_after_averaging(stated_ceiling, _compute_noise_share(groups, data))
    if joined.ndim == 3:  # units without repeats keep the stated ceilings
        measured_ceiling = noise_ceiling(joined)
        ceiling = np.where(np.isnan(measured_ceiling), ceiling, measured_ceiling)
    joined_data = joined_data.assign_coords(noise_ceiling=("unit", ceiling))
    return Recording(recording.subject, recording.stimuli.subset(firsts), Responses(joined_data))


def _compute_noise_share(groups: list[list[int]], data: xr.DataArray) -> np.ndarray:
    """Average 1 / number of rows with a response over images, (n_units,)."""
    total, images = np.zeros(data.sizes["unit"]), np.zeros(data.sizes["unit"])
    for rows in groups:
        present = ~np.isnan(data.isel(stimulus=rows).values)
        count = (present.any(axis=1) if present.ndim == 3 else present).sum(axis=0)
        total += np.divide(1.0, count, out=np.zeros(len(total)), where=count > 0)
        images += count > 0
    return np.divide(total, images, out=np.full(len(total), np.nan), where=images > 0)


def _describe_ceilings(original: Responses) -> str:
    """Describe what joining copies does to the ceilings, as the end of a note."""
    if original.data.ndim == 3:
        return " Noise ceilings are of the joined trials."
    if np.isfinite(original.noise_ceiling).any():
        return " Noise ceilings that were given for single rows are raised for the averaging."
    return (
        " If these rows are repeats of one stimulus, put them into the dim `repeat`: then there "
        "is a noise ceiling."
    )
