"""One examination a layout: goes through all subjects and files and notes what is there.

The functions here note findings (`striate.data.doctor.findings`) and never stop at the first
problem. Where nothing wrong was seen, the reader itself is tried: what it refuses is an error too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from striate.core.names import clean_name
from striate.data.doctor.findings import (
    Look,
    Notes,
    check_copies,
    check_images,
    check_values,
    open_array,
    some,
)
from striate.data.doctor.pairing import check_pairing
from striate.data.images.stimuli import StimulusSet
from striate.data.readers import read
from striate.data.readers.algonauts2023 import (
    CLASSES,
    HEMISPHERES,
    IMAGE_NAME,
    fmri_path,
    roi_masks,
)
from striate.data.readers.arrays import load_npy, load_plain_dict
from striate.data.readers.folder import (
    SUFFIXES,
    find_unused,
    read_responses,
    response_files,
)
from striate.data.responses.dataset import alike_ids
from striate.data.responses.responses import Responses
from striate.data.responses.twins import find_twins

# Training images of subjects 1 to 8 as distributed (docs/papers/contrastive-tuning.md 1.1).
PUBLISHED_IMAGES = (9841, 9841, 9082, 8779, 9841, 9082, 9841, 8779)
NO_CEILING = "no single trials and no ceilings: scores will stand without a noise ceiling."
SIMULATED = "the responses of this subject are SIMULATED, not measured."
LABELED = "Every result from them is labeled so."


def is_algonauts(path: Path) -> bool:
    """Whether a folder looks like one subject of Algonauts 2023, whole or not."""
    numbered = re.fullmatch(r"subj\d\d", path.name) is not None
    masks = (path / "roi_masks").is_dir() or (path / "test_split").is_dir()
    return (path / "training_split").is_dir() or (numbered and masks)


def examine_algonauts(notes: Notes, path: Path, deep: bool) -> None:
    """Examine a folder of Algonauts 2023, or one subject's."""
    folders = [p for p in sorted(path.glob("subj[0-9][0-9]")) if p.is_dir()]
    if is_algonauts(path):
        folders = [path]
    if not folders:
        notes.error(str(path), "no folders subj01 … subj08.", "Name the subjects' folders so.")
    looks: dict[str, Mapping[str, Look]] = {}
    for folder in folders:
        before = notes.errors
        with notes.guard(folder.name):
            files = _training_images(notes, folder)
            if files:
                stimuli = StimulusSet([f.stem for f in files.values()], list(files.values()))
                place = f"{folder.name}/training_images"
                looks[folder.name] = check_images(notes, stimuli, place, deep)
            for side in HEMISPHERES:
                with notes.guard(f"{folder.name} {side}"):
                    _hemisphere(notes, folder, side, files)
            if (folder / "SIMULATED.json").exists():
                notes.warning(folder.name, SIMULATED, LABELED)
            else:
                notes.warning(folder.name, NO_CEILING, "Algonauts 2023 distributes averages only.")
        for side in HEMISPHERES if notes.errors == before else ():
            with notes.guard(folder.name):  # one side at a time stays on disk
                (recording,) = read("algonauts2023", folder, hemispheres=[side]).values()
                pictures = looks.get(folder.name, {})
                check_pairing(notes, recording.responses, pictures, f"{folder.name} {side} pairing")
    check_copies(notes, looks)


def _training_images(notes: Notes, folder: Path) -> dict[int, Path]:
    """Find each row's image; note what is double, stray or fewer than published."""
    place = f"{folder.name}/training_images"
    images = folder / "training_split" / "training_images"
    files: dict[int, Path] = {}
    stray = []
    for file in sorted(images.iterdir()) if images.is_dir() else ():
        match = IMAGE_NAME.fullmatch(file.name)
        if match is None:
            stray.append(file.name)
        elif (row := int(match[1])) in files:
            both = f"{files[row].name} and {file.name}"
            notes.error(place, f"row {row} has two images, {both}.", "Keep the right one.")
        else:
            files[row] = file
    if stray:
        notes.ok(place, f"{len(stray)} other files ({some(stray)}).", "They are left out.")
    if not files:
        notes.error(place, "no images.", "Expected names like train-0001_nsd-00013.png.")
    number = folder.name.removeprefix("subj")
    if files and number in {f"{i:02d}" for i in range(1, 9)}:
        published = PUBLISHED_IMAGES[int(number) - 1]
        if len(files) != published and not (folder / "SIMULATED.json").exists():
            notes.warning(
                place,
                f"{len(files):,} training images; {published:,} are distributed.",
                "Fine if you chose a part of them; otherwise download the rest.",
            )
    return dict(sorted(files.items()))


def _hemisphere(notes: Notes, folder: Path, side: str, files: Mapping[int, Path]) -> None:
    place = f"{folder.name}/{side}_training_fmri.npy"
    values = open_array(notes, fmri_path(folder, side), place)
    if values is None:
        return
    if values.ndim != 2:
        notes.error(place, f"shape {values.shape}.", "Expected images x vertices.")
        return
    rows = range(1, len(values) + 1)
    missing = [r for r in rows if r not in files]
    extra = [files[r].name for r in files if r not in rows]
    if files and (missing or extra):
        notes.error(
            place,
            f"{len(values)} rows and {len(files)} images do not pair: {len(missing)} rows without "
            f"an image ({some(missing) or 'none'}), {len(extra)} images without a row "
            f"({some(extra) or 'none'}).",
            "Row i needs the image train-i_nsd-….png. Copy what is missing again.",
        )
    stimuli = [files[r].stem if r in files else f"row {r}" for r in rows]
    units = [f"{side}-{v:05d}" for v in range(values.shape[1])]
    check_values(notes, values, stimuli, units, place, whole=False)
    _rois(notes, folder, side, values.shape[1])


def _rois(notes: Notes, folder: Path, side: str, n_vertices: int) -> None:
    place = f"{folder.name}/roi_masks {side}"
    absent, counts = [], {}
    for kind in CLASSES:
        mask_file = folder / "roi_masks" / f"{side}.{kind}_challenge_space.npy"
        mapping_file = folder / "roi_masks" / f"mapping_{kind}.npy"
        if not mask_file.exists():
            absent.append(kind)
            continue
        with notes.guard(f"{place} {kind}"):
            masks = roi_masks(folder, side, n_vertices, (kind,))
            counts.update({name: int(mask.sum()) for name, mask in masks.items()})
            known = {0, *map(int, load_plain_dict(mapping_file))}
            unnamed = sorted(set(np.unique(load_npy(mask_file)).tolist()) - known)
            if unnamed:
                notes.warning(
                    f"{place} {kind}",
                    f"labels without a name: {some(unnamed)}.",
                    f"Their vertices are in no ROI of this class. Check {mapping_file.name}.",
                )
    if absent:
        notes.warning(
            place,
            f"no masks of {some(absent, len(CLASSES))}.",
            "Copy roi_masks again if you want these ROIs; without any mask all vertices are one "
            "target.",
        )
    _list_rois(notes, place, counts)


def _list_rois(notes: Notes, place: str, counts: Mapping[str, int]) -> None:
    """List empty ROIs, given the number of units by ROI."""
    empty = [name for name, n in counts.items() if n == 0]
    if empty:
        found = f"{len(counts)} ROIs, {len(empty)} of them empty: {some(empty, len(empty))}."
        notes.ok(place, found, "No model is made for an empty ROI.")
    elif counts:
        notes.ok(place, f"{len(counts)} ROIs, none empty.")


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
            _session(notes, path, session, ids)
        if notes.errors == before:
            with notes.guard(session):
                responses = read("cowley_v4", path, subjects=[session])[session].responses
                check_pairing(notes, responses, looks.get(session, {}), f"{session} pairing")
    check_copies(notes, looks)


def _session(notes: Notes, path: Path, session: str, ids: tuple[str, ...]) -> None:
    file = f"responses_{session}.npy"
    place = f"{session}/responses_repeat_averaged"
    averaged = open_array(notes, path / "responses_repeat_averaged" / file, place)
    if averaged is not None:
        _neurons(notes, averaged, ("neurons", "images"), ids, place)
    if not (path / "responses_raw" / file).exists():
        advice = f"Single trials, where they exist, belong into responses_raw/{file}."
        notes.warning(session, NO_CEILING, advice)
        return
    place = f"{session}/responses_raw"
    trials = open_array(notes, path / "responses_raw" / file, place)
    if trials is None:
        return
    _neurons(notes, trials, ("neurons", "images", "repeats"), ids, place)
    if averaged is not None and trials.ndim == 3 and averaged.shape == trials.shape[:2]:
        _compare_average(notes, averaged, trials, place)


def _neurons(
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
        own = np.asarray(trials[neuron], dtype=np.float64)
        seen = np.isfinite(own)
        count = seen.sum(axis=1)
        mean = np.where(seen, own, 0.0).sum(axis=1) / np.maximum(count, 1)
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


def examine_folder(notes: Notes, path: Path, deep: bool) -> None:
    """Examine a folder of images and responses, with one subject or several."""
    own = [path] if response_files(path) else []
    folders = own or [p for p in sorted(path.iterdir()) if p.is_dir() and response_files(p)]
    if not folders:
        wanted = ", ".join(f"responses{s}" for s in SUFFIXES)
        notes.error(path.name, "images, but no responses.", f"Add one of {wanted}.")
    # Images are examined once, though several subjects may share them.
    found: dict[Path, tuple[set[str], Mapping[str, Look]]] = {}
    for images in dict.fromkeys(_images_of(f, path) for f in folders or [path]):
        with notes.guard(str(images)):
            stimuli = StimulusSet.from_folder(images)
            found[images] = set(stimuli.ids), {}
            place = images.relative_to(path).as_posix()
            found[images] = set(stimuli.ids), check_images(notes, stimuli, place, deep)
    for line in find_unused(path):
        notes.warning(path.name, line)
    looks: dict[str, Mapping[str, Look]] = {}
    paired: dict[str, tuple[list[str], Responses]] = {}
    for folder in folders:
        subject, images = clean_name(folder.resolve().name), _images_of(folder, path)
        names, known = found.get(images, (None, {}))
        before, rows = notes.errors, set[str]()
        for file in response_files(folder):
            place = f"{subject}/{file.name}"
            with notes.guard(place):
                responses = read_responses(file, subject)
                rows |= set(responses.stimulus_ids)
                _paired(notes, responses, names, images.parent != folder, place)
                _labels(notes, responses, subject, place)
        if len(response_files(folder)) > 1:
            files = some(f.name for f in response_files(folder))
            notes.error(subject, f"responses in {files}.", "Keep one of them.")
        if notes.errors == before and images in found:
            with notes.guard(subject):
                responses = read("folder", path, subjects=[subject])[subject].responses
                check_pairing(notes, responses, known, f"{subject} pairing")
                if all(name in known for name in responses.stimulus_ids):
                    digests = [known[name].digest for name in responses.stimulus_ids]
                    paired[subject] = digests, responses
        looks[subject] = {name: look for name, look in known.items() if name in rows}
    for line in find_twins(paired):
        notes.warning(path.name, line)
    check_copies(notes, looks)


def _images_of(folder: Path, root: Path) -> Path:
    own = folder / "images"
    return own if own.is_dir() else root / "images"


def _paired(
    notes: Notes, responses: Responses, names: set[str] | None, shared: bool, place: str
) -> None:
    if names is None:  # said where the images are examined
        return
    ids = set(responses.stimulus_ids)
    missing, extra = sorted(ids - names), sorted(names - ids)
    if missing:
        notes.error(
            place,
            f"{len(missing)} of {len(ids)} rows have no image ({some(missing)}).",
            "A stimulus id is the image's path below images/, without suffix."
            + alike_ids(missing, extra),
        )
    if extra and shared:
        found = f"{len(extra)} of {len(names)} shared images have no row here ({some(extra)})."
        notes.ok(place, found, "A subject need not have seen them all.")
    elif extra:
        found = f"{len(extra)} of {len(names)} images have no row ({some(extra)})."
        notes.error(place, found, "Add their rows, or move these images away.")


def _labels(notes: Notes, responses: Responses, subject: str, place: str) -> None:
    ids, units = responses.stimulus_ids, responses.unit_ids
    check_values(notes, responses.data, ids, units, place)
    columns = "columns" if place.endswith((".csv", ".parquet")) else "units"
    notes.ok(place, f"{len(units)} {columns} are taken for units: {some(units, 12)}.")
    for note in responses.data.attrs.get("notes", ()):
        notes.warning(place, note, "Correct its name, or leave it out.")
    if responses.simulated:
        notes.warning(subject, SIMULATED, LABELED)
    if np.isnan(responses.noise_ceiling).all():
        advice = "Give single trials (stimuli, repeats, units), or noise_ceiling in units.csv."
        notes.warning(subject, NO_CEILING, advice)
    masks = {roi: responses.data.coords[f"roi_{roi}"].values for roi in responses.rois}
    _list_rois(notes, f"{subject} ROIs", {roi: int(mask.sum()) for roi, mask in masks.items()})
