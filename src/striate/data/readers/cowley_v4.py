"""Macaque V4 responses to photographs (Cowley, Stan, Pillow & Smith 2023).

Layout: `images/images_SESSION.zip`, `responses_repeat_averaged/responses_SESSION.npy` (neurons x
images), and `responses_raw/responses_SESSION.npy` (neurons x images x repeats, NaN = no trial)
where single trials exist. The neurons differ in every session, so a session is a subject here.
Column i belongs to the i-th image by sorted name.

Images recur within and between sessions under other names. They stay separate stimuli; a split
goes by content, so all copies of an image fall into one part.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from striate.core.arrays import load_npy
from striate.core.errors import InputError, unknown_name
from striate.data.doctor.findings import (
    NO_CEILING,
    Look,
    Notes,
    check_copies,
    check_images,
    check_values,
    open_array,
)
from striate.data.doctor.pairing import check_pairing
from striate.data.images.stimuli import StimulusSet
from striate.data.readers.reader import Reader
from striate.data.responses.dataset import Dataset, Recording
from striate.data.responses.noise_ceilings import noise_ceiling
from striate.data.responses.numbers import counted_dtype
from striate.data.responses.responses import Responses

SOURCE = "Cowley, Stan, Pillow & Smith 2023, github cowleygroup/V4_compact_models, GPL-3.0"


def read_cowley_v4(
    path: Path, *, subjects: Sequence[str] | None = None, repeats: bool = False
) -> Dataset:
    """Read V4 sessions; call it through `striate.data.read("cowley_v4", path)`.

    Args:
        path: the folder that holds `images` and `responses_repeat_averaged`.
        subjects: sessions to read, such as `["190925"]`; default all that are there.
        repeats: return single trials where they exist (dims stimulus, repeat, unit). The noise
            ceiling is computed from them either way.

    Returns:
        One recording a session, ROI `V4`, spike counts per 100 ms bin.
    """
    sessions = sorted(
        p.stem.removeprefix("images_") for p in (path / "images").glob("images_*.zip")
    )
    if not sessions:
        raise InputError(f"{path} has no images/images_SESSION.zip. Is it the V4 data folder?")
    for session in subjects or ():
        if str(session) not in sessions:
            raise unknown_name("V4 session", str(session), sessions)
    recordings = {
        session: _read_session(path, session, repeats) for session in map(str, subjects or sessions)
    }
    return Dataset("cowley_v4", recordings, {"source": SOURCE})


def _read_session(path: Path, session: str, repeats: bool) -> Recording:
    stimuli = StimulusSet.from_zip(path / "images" / f"images_{session}.zip")
    averaged = path / "responses_repeat_averaged" / f"responses_{session}.npy"
    values = load_npy(averaged)
    if values.ndim != 2 or values.shape[1] != len(stimuli):
        raise InputError(
            f"{averaged}: expected (neurons, {len(stimuli)} images), found {values.shape}. "
            f"images_{session}.zip and the responses do not belong together."
        )
    values = values.T
    ceiling = None
    raw = path / "responses_raw" / f"responses_{session}.npy"
    if raw.exists():
        trials = load_npy(raw)
        if trials.ndim != 3 or trials.shape[:2] != values.T.shape:
            raise InputError(
                f"{raw}: expected {values.T.shape} neurons x images, and repeats, found "
                f"{trials.shape}."
            )
        counted_dtype(trials.dtype, str(raw))
        trials = trials.transpose(1, 2, 0)
        ceiling = noise_ceiling(trials)
        if repeats:
            values = trials
    n_units = values.shape[-1]
    responses = Responses.build(
        values,
        stimuli.ids,
        subject=session,
        session=session,
        unit_ids=[f"{session}-{i:03d}" for i in range(n_units)],
        rois={"V4": np.ones(n_units, dtype=bool)},
        noise_ceiling=ceiling,
        attrs={"source": SOURCE, "units": "spikes per 100 ms"},
    )
    return Recording(session, stimuli, responses)


def is_cowley(path: Path) -> bool:
    """Whether a folder looks like the macaque V4 data, whole or not."""
    images = any((path / "images").glob("images_*.zip"))
    return images or (path / "responses_repeat_averaged").is_dir()


def examine_cowley(notes: Notes, path: Path, deep: bool) -> None:
    """Examine the macaque V4 sessions; one that lacks a file is still examined."""
    names = {p.stem.removeprefix("images_") for p in (path / "images").glob("images_*.zip")}
    for part in ("responses_repeat_averaged", "responses_raw"):
        names |= {p.stem.removeprefix("responses_") for p in (path / part).glob("responses_*.npy")}
    if not names:
        notes.error(str(path), "no sessions.", "Expected images/images_SESSION.zip.")
    looks: dict[str, Mapping[str, Look]] = {}
    for session in sorted(names):
        before = notes.errors
        ids: tuple[str, ...] = ()
        with notes.guard(f"{session}/images"):
            stimuli = StimulusSet.from_zip(path / "images" / f"images_{session}.zip")
            ids = stimuli.ids
            looks[session] = check_images(notes, stimuli, f"{session}/images", deep)
        with notes.guard(session):
            _examine_session(notes, path, session, ids)
        if notes.errors == before:
            with notes.guard(session):
                responses = read_cowley_v4(path, subjects=[session])[session].responses
                check_pairing(notes, responses, looks.get(session, {}), f"{session} pairing")
    check_copies(notes, looks)


def _examine_session(notes: Notes, path: Path, session: str, ids: tuple[str, ...]) -> None:
    file = f"responses_{session}.npy"
    place = f"{session}/responses_repeat_averaged"
    averaged = open_array(notes, path / "responses_repeat_averaged" / file, place)
    if averaged is not None:
        _check_neurons(notes, averaged, ("neurons", "images"), ids, place)
    if not (path / "responses_raw" / file).exists():
        advice = f"Single trials, where they exist, belong into responses_raw/{file}."
        notes.warning(session, NO_CEILING, advice)
        return
    place = f"{session}/responses_raw"
    trials = open_array(notes, path / "responses_raw" / file, place)
    if trials is None:
        return
    _check_neurons(notes, trials, ("neurons", "images", "repeats"), ids, place)
    if averaged is not None and trials.ndim == 3 and averaged.shape == trials.shape[:2]:
        _compare_average(notes, averaged, trials, place)


def _check_neurons(
    notes: Notes, values: np.ndarray, dims: tuple[str, ...], ids: tuple[str, ...], place: str
) -> None:
    expected = f"Expected ({', '.join(dims)})."
    if values.ndim != len(dims):
        notes.error(place, f"shape {values.shape}.", expected)
        return
    names = list(ids)
    if values.shape[1] != len(ids):
        if ids:
            found = f"{values.shape[1]} columns for {len(ids)} images."
            notes.error(place, found, f"{expected} The files are of different sessions.")
        names = [f"column {i}" for i in range(values.shape[1])]
    units = [f"neuron {i}" for i in range(values.shape[0])]
    check_values(notes, np.moveaxis(values, 0, -1), names, units, place)


def _compare_average(notes: Notes, averaged: np.ndarray, trials: np.ndarray, place: str) -> None:
    """Compare the averages with the trials: columns in another order are seen here only."""
    off: np.ndarray = np.zeros(averaged.shape, dtype=bool)
    # Averages are as exact as the type they were saved in; of whole numbers, to the next one.
    floats = [a.dtype for a in (averaged, trials) if a.dtype.kind == "f"]
    exact = [float(2 * np.finfo(dtype).eps) for dtype in floats]
    relative = max([1e-4, *exact])
    absolute = 1e-6 if averaged.dtype.kind == "f" else 1.0
    for neuron in range(len(averaged)):  # one at a time: trials may be many
        responses = np.asarray(trials[neuron], dtype=np.float64)
        seen = np.isfinite(responses)
        count = seen.sum(axis=1)
        mean = np.where(seen, responses, 0.0).sum(axis=1) / np.maximum(count, 1)
        given = np.asarray(averaged[neuron], dtype=np.float64)
        off[neuron] = (count > 0) & np.isfinite(given)
        off[neuron] &= ~np.isclose(mean, given, rtol=relative, atol=absolute)
    if off.any():
        notes.error(
            place,
            f"the mean of the trials is not the average in {off.any(axis=0).sum()} of "
            f"{off.shape[1]} images.",
            "One of the two files is of another session, or its columns are in another order.",
        )


READER = Reader(
    name="cowley_v4",
    layout="images/images_SESSION.zip and responses_repeat_averaged/",
    recognize=is_cowley,
    read=read_cowley_v4,
    examine=examine_cowley,
    area="V4",
)
