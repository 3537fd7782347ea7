"""Examination of the macaque V1 layout; see `striate.data.doctor.layouts`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from striate.data.doctor.findings import Look, Notes, check_copies, check_images, check_values, some
from striate.data.doctor.pairing import check_pairing
from striate.data.images.stimuli import StimulusSet
from striate.data.readers import read
from striate.data.readers.henaff_v1 import (
    COUNTS,
    FRAMES,
    MOVIES,
    NO_TRIAL,
    ZOOMS,
    image_path,
    load_counts,
    session_names,
)


def is_henaff(path: Path) -> bool:
    """Whether a folder looks like the macaque V1 data, whole or not."""
    return (path / COUNTS).exists() or any(path.glob("stimSelected-zoom[12]x"))


def examine_henaff(notes: Notes, path: Path, deep: bool) -> None:
    """Examine images once and every session; one damaged array does not hide the next."""
    shown = [(z, m, f) for z in ZOOMS for m in MOVIES for f in FRAMES]
    names = [f"zoom{z}x/movie{m}/natural{f:02d}" for z, m, f in shown]
    files = [image_path(path, *key) for key in shown]
    there = [i for i, file in enumerate(files) if file.is_file()]
    missing = [names[i] for i in range(len(names)) if i not in set(there)]
    if missing:
        found = f"{len(missing)} of {len(names)} natural frames have no image ({some(missing)})."
        notes.error("images", found, "Copy stimSelected-zoom1x and -zoom2x again.")
    looks: Mapping[str, Look] = {}
    if there:
        movies = [f"movie{m}" for _, m, _ in shown]
        stimuli = StimulusSet(names, files, movies).subset(there)
        looks = check_images(notes, stimuli, "images", deep)
        check_copies(notes, {"images": looks})
        advice = "A split puts all frames of a movie into one part, as they are near copies."
        notes.ok("images", f"{len(set(movies))} movies, each a group.", advice)
    sessions: list[str] = []
    with notes.guard(COUNTS):
        sessions = session_names(path)
    for session in sessions:
        before = notes.errors
        with notes.guard(session):
            counts = load_counts(path, session)
            trials = counts.reshape(-1, *counts.shape[3:]).swapaxes(1, 2)
            values = np.where(trials == NO_TRIAL, np.nan, trials.astype(np.float32))
            units = [f"unit {i}" for i in range(values.shape[2])]
            check_values(notes, values, names, units, session)
        if notes.errors == before and not missing:
            with notes.guard(session):
                responses = read("henaff_v1", path, subjects=[session])[session].responses
                check_pairing(notes, responses, looks, f"{session} pairing")
