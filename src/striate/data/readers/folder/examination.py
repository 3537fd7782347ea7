"""Examination of a folder in the layout of `striate.data.readers.folder`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from striate.core.names import clean_name
from striate.data.doctor.findings import (
    LABELED,
    NO_CEILING,
    SIMULATED,
    Look,
    Notes,
    check_copies,
    check_images,
    check_values,
    list_first,
    list_rois,
)
from striate.data.doctor.pairing import check_pairing
from striate.data.images.stimuli import StimulusSet
from striate.data.readers.folder.reading import (
    SUFFIXES,
    find_unused,
    images_of,
    read_folder,
    read_responses,
    response_files,
)
from striate.data.responses.dataset import alike_ids
from striate.data.responses.responses import Responses
from striate.data.responses.twins import find_twins


def is_folder(path: Path) -> bool:
    """Whether a folder has responses, its own or those of subjects, or images."""
    subjects = any(response_files(p) for p in path.iterdir() if p.is_dir())
    return bool(response_files(path)) or subjects or (path / "images").is_dir()


def examine_folder(notes: Notes, path: Path, deep: bool) -> None:
    """Examine a folder of images and responses, with one subject or several."""
    folders = [path] if response_files(path) else []
    folders = folders or [p for p in sorted(path.iterdir()) if p.is_dir() and response_files(p)]
    if not folders:
        wanted = ", ".join(f"responses{s}" for s in SUFFIXES)
        notes.error(path.name, "images, but no responses.", f"Add one of {wanted}.")
    # Images are examined once, though several subjects may share them.
    examined: dict[Path, tuple[set[str], Mapping[str, Look]]] = {}
    for images in dict.fromkeys(images_of(f, path) for f in folders or [path]):
        with notes.guard(str(images)):
            stimuli = StimulusSet.from_folder(images)
            examined[images] = set(stimuli.ids), {}
            place = images.relative_to(path).as_posix()
            examined[images] = set(stimuli.ids), check_images(notes, stimuli, place, deep)
    for line in find_unused(path):
        notes.warning(path.name, line)
    looks: dict[str, Mapping[str, Look]] = {}
    paired: dict[str, tuple[list[str], Responses]] = {}
    for folder in folders:
        subject, images = clean_name(folder.resolve().name), images_of(folder, path)
        names, seen = examined.get(images, (None, {}))
        before, rows = notes.errors, set[str]()
        for file in response_files(folder):
            place = f"{subject}/{file.name}"
            with notes.guard(place):
                responses = read_responses(file, subject)
                rows |= set(responses.stimulus_ids)
                _check_pairs(notes, responses, names, images.parent != folder, place)
                _check_labels(notes, responses, subject, place)
        if len(response_files(folder)) > 1:
            files = list_first(f.name for f in response_files(folder))
            notes.error(subject, f"responses in {files}.", "Keep one of them.")
        if notes.errors == before and images in examined:
            with notes.guard(subject):
                responses = read_folder(path, subjects=[subject])[subject].responses
                check_pairing(notes, responses, seen, f"{subject} pairing")
                if all(name in seen for name in responses.stimulus_ids):
                    digests = [seen[name].digest for name in responses.stimulus_ids]
                    paired[subject] = digests, responses
        looks[subject] = {name: look for name, look in seen.items() if name in rows}
    for line in find_twins(paired):
        notes.warning(path.name, line)
    check_copies(notes, looks)


def _check_pairs(
    notes: Notes, responses: Responses, names: set[str] | None, shared: bool, place: str
) -> None:
    if names is None:  # said where the images are examined
        return
    ids = set(responses.stimulus_ids)
    missing, extra = sorted(ids - names), sorted(names - ids)
    if missing:
        notes.error(
            place,
            f"{len(missing)} of {len(ids)} rows have no image ({list_first(missing)}).",
            "A stimulus id is the image's path below images/, without suffix."
            + alike_ids(missing, extra),
        )
    if extra and shared:
        found = (
            f"{len(extra)} of {len(names)} shared images have no row here ({list_first(extra)})."
        )
        notes.ok(place, found, "A subject need not have seen them all.")
    elif extra:
        found = f"{len(extra)} of {len(names)} images have no row ({list_first(extra)})."
        notes.error(place, found, "Add their rows, or move these images away.")


def _check_labels(notes: Notes, responses: Responses, subject: str, place: str) -> None:
    ids, units = responses.stimulus_ids, responses.unit_ids
    check_values(notes, responses.data, ids, units, place)
    columns = "columns" if place.endswith((".csv", ".parquet")) else "units"
    notes.ok(place, f"{len(units)} {columns} are taken for units: {list_first(units, 12)}.")
    for note in responses.data.attrs.get("notes", ()):
        notes.warning(place, note, "Correct its name, or leave it out.")
    if responses.simulated:
        notes.warning(subject, SIMULATED, LABELED)
    if np.isnan(responses.noise_ceiling).all():
        advice = "Give single trials (stimuli, repeats, units), or noise_ceiling in units.csv."
        notes.warning(subject, NO_CEILING, advice)
    masks = {roi: responses.data.coords[f"roi_{roi}"].values for roi in responses.rois}
    list_rois(notes, f"{subject} ROIs", {roi: int(mask.sum()) for roi, mask in masks.items()})
