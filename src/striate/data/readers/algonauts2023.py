"""NSD as organized for the Algonauts Project 2023 challenge; docs/papers/contrastive-tuning.md 1.1.

Layout, per subject `subjXX`: `training_split/training_fmri/{lh,rh}_training_fmri.npy` (images x
vertices), `training_split/training_images/train-0001_nsd-00013.png`, and
`roi_masks/{lh,rh}.{class}_challenge_space.npy` with `roi_masks/mapping_{class}.npy`.

Row `i` of the responses belongs to the image whose file name says `train-{i+1:04d}`; the sort
order of the folder is not used, so stray files do no harm.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from striate.core.arrays import load_npy, load_plain_dict
from striate.core.errors import InputError, unknown_name
from striate.core.files import read_json
from striate.core.names import clean_hemisphere, clean_name
from striate.core.walk import check_links
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
    open_array,
)
from striate.data.doctor.pairing import check_pairing
from striate.data.images.stimuli import StimulusSet
from striate.data.readers.reader import Reader
from striate.data.responses.dataset import Dataset, Recording
from striate.data.responses.numbers import counted_dtype
from striate.data.responses.responses import Responses

HEMISPHERES = ("lh", "rh")
CLASSES = (
    "prf-visualrois", "floc-bodies", "floc-faces", "floc-places", "floc-words", "streams",
)  # fmt: skip
LABELS: dict[str, dict[int, str]] = {
    "prf-visualrois": dict(enumerate(("V1v", "V1d", "V2v", "V2d", "V3v", "V3d", "hV4"), 1)),
    "floc-bodies": dict(enumerate(("EBA", "FBA-1", "FBA-2", "mTL-bodies"), 1)),
    "floc-faces": dict(enumerate(("OFA", "FFA-1", "FFA-2", "mTL-faces", "aTL-faces"), 1)),
    "floc-places": dict(enumerate(("OPA", "PPA", "RSC"), 1)),
    "floc-words": dict(enumerate(("OWFA", "VWFA-1", "VWFA-2", "mfs-words", "mTL-words"), 1)),
    "streams": dict(
        enumerate(
            ("early", "midventral", "midlateral", "midparietal", "ventral", "lateral", "parietal"),
            1,
        )
    ),
}
"""Name of each label by class (docs/papers/contrastive-tuning.md 1.1); a folder's own prevails."""
IMAGE_NAME = re.compile(r"train-(\d+)_nsd-(\d+)\.png", re.IGNORECASE)
PUBLISHED_IMAGES = (9841, 9841, 9082, 8779, 9841, 9082, 9841, 8779)
"""Training images of subjects 1 to 8 as distributed (docs/papers/contrastive-tuning.md 1.1)."""
SOURCE = "NSD (Allen et al. 2022) as organized for the Algonauts Project 2023"


def read_algonauts2023(
    path: Path,
    *,
    subjects: Sequence[str | int] | None = None,
    hemispheres: Sequence[str] | None = None,
    rois: Sequence[str] | None = None,
) -> Dataset:
    """Read subjects; call it through `striate.data.read("algonauts2023", path)`.

    Args:
        path: the folder that holds `subj01 …`, or one such folder itself.
        subjects: `["subj01"]` or `[1]`; default all that are there.
        hemispheres: `lh`, `rh`; default both.
        rois: keep only vertices in these ROIs; default every vertex. Only what is kept is read
            from disk.

    Returns:
        One recording a subject; every ROI of every class is a coordinate, empty ones too.
    """
    if (path / "training_split").is_dir():
        folders = {path.name: path}
    else:
        check_links(path)
        folders = {p.name: p for p in sorted(path.glob("subj[0-9][0-9]")) if p.is_dir()}
    if not folders:
        raise InputError(f"{path} has no subj01 … folders. Is it the Algonauts 2023 data folder?")
    names = [f"subj{s:02d}" if isinstance(s, int) else str(s) for s in subjects or folders]
    for name in names:
        if name not in folders:
            raise unknown_name("subject", name, folders)
    sides = tuple(dict.fromkeys(map(clean_hemisphere, hemispheres or HEMISPHERES)))
    for side in sides:
        if side not in HEMISPHERES:
            raise unknown_name("hemisphere", side, HEMISPHERES)
    recordings = {name: _read_subject(folders[name], name, sides, rois) for name in names}
    return Dataset("algonauts2023", recordings, {"source": SOURCE})


def _read_subject(
    folder: Path, subject: str, sides: Sequence[str], rois: Sequence[str] | None
) -> Recording:
    stimuli = training_images(folder)
    truth = _read_simulation(folder)
    blocks, masks, ids, ceilings = [], [], [], []
    for side in sides:
        fmri = load_npy(fmri_path(folder, side))
        if fmri.ndim != 2 or fmri.shape[0] != len(stimuli):
            raise InputError(
                f"{fmri_path(folder, side)}: {fmri.shape} responses for {len(stimuli)} training "
                f"images of subject {subject}. Each row needs its image train-<row>_nsd-….png."
            )
        mask = roi_masks(folder, side, fmri.shape[1])
        chosen = _choose_vertices(mask, rois, subject, fmri.shape[1])
        numbers = fmri if chosen is None else np.asarray(fmri[:, chosen])
        if len(sides) > 1:  # joined below: each in a type that holds its numbers
            numbers = numbers.astype(counted_dtype(fmri.dtype, str(fmri_path(folder, side))))
        blocks.append(numbers)
        where = np.arange(fmri.shape[1]) if chosen is None else chosen
        masks.append({name: inside[where] for name, inside in mask.items()})
        ids += [f"{side}-{v:05d}" for v in where]
        ceilings.append(_planted_ceiling(folder, truth, side, fmri.shape[1])[where])
    # One hemisphere stays a memory map; two have to be joined in memory.
    values = blocks[0] if len(blocks) == 1 else np.concatenate(blocks, axis=1)
    counts = [b.shape[1] for b in blocks]
    responses = Responses.build(
        values,
        stimuli.ids,
        subject=subject,
        unit_ids=ids,
        hemisphere=[side for side, n in zip(sides, counts, strict=True) for _ in range(n)],
        rois=_join_masks(masks, counts),
        noise_ceiling=np.concatenate(ceilings),
        simulated=truth is not None,
        attrs={
            "source": SOURCE if truth is None else "simulated by striate.data.responses.simulated"
        },
    )
    return Recording(subject, stimuli, responses)


def _join_masks(
    masks: Sequence[dict[str, np.ndarray]], counts: Sequence[int]
) -> dict[str, np.ndarray]:
    """Join the masks of the hemispheres; a ROI that one of them does not have is empty there."""
    names = dict.fromkeys(name for mask in masks for name in mask)
    return {
        name: np.concatenate(
            [m.get(name, np.zeros(n, dtype=bool)) for m, n in zip(masks, counts, strict=True)]
        )
        for name in names
    }


def fmri_path(folder: Path, side: str) -> Path:
    """Where a hemisphere's responses lie."""
    return folder / "training_split" / "training_fmri" / f"{side}_training_fmri.npy"


def training_images(folder: Path) -> StimulusSet:
    """Return the training images in the order of the rows that their names state.

    Raises:
        InputError: no images, a row number missing or given twice.
    """
    images = folder / "training_split" / "training_images"
    files: dict[int, Path] = {}
    for file in images.glob("*.png") if images.is_dir() else ():
        match = IMAGE_NAME.fullmatch(file.name)
        if match is None:
            continue
        row = int(match[1])
        if row in files:
            raise InputError(f"{images}: row {row} has two images, {files[row].name}, {file.name}.")
        files[row] = file
    if not files:
        raise InputError(f"{images} has no images named like train-0001_nsd-00013.png.")
    missing = sorted(set(range(1, max(files) + 1)) - set(files))
    if missing:
        raise InputError(
            f"{images}: images of {len(missing)} rows are missing, first "
            f"train-{missing[0]:04d}_nsd-….png. Copy or download them again."
        )
    rows = sorted(files)
    return StimulusSet([files[r].stem for r in rows], [files[r] for r in rows])


def roi_masks(
    folder: Path, side: str, n_vertices: int, classes: Sequence[str] = CLASSES
) -> dict[str, np.ndarray]:
    """Return a boolean mask (n_vertices,) by ROI name, over the classes; empty ROIs too."""
    out: dict[str, np.ndarray] = {}
    for kind in classes:
        file = folder / "roi_masks" / f"{side}.{kind}_challenge_space.npy"
        if not file.exists():
            continue
        labels = load_npy(file)
        if labels.shape != (n_vertices,):
            raise InputError(
                f"{file}: {labels.shape} labels for {n_vertices} vertices of {side}. The mask "
                "belongs to another subject or hemisphere."
            )
        mapping_file = folder / "roi_masks" / f"mapping_{kind}.npy"
        if labels.dtype.kind not in "biuf":
            raise InputError(f"{file}: expected numbers of labels, found dtype {labels.dtype}.")
        for label, given in load_plain_dict(mapping_file).items():
            if not isinstance(label, int | np.integer):
                raise InputError(f"{mapping_file}: label {label!r} is no whole number.")
            if label == 0:  # 'Unknown'
                continue
            name = clean_name(given)
            if not name or name in out:
                raise InputError(
                    f"{mapping_file}: label {label} is called {given!r}, "
                    f"{'as another label is' if name else 'which is no name'} (blanks and Unicode "
                    "forms do not count). Give each ROI its own name."
                )
            out[name] = np.asarray(labels) == label
    return out


def _choose_vertices(
    masks: dict[str, np.ndarray], rois: Sequence[str] | None, subject: str, n: int
) -> np.ndarray | None:
    if not rois:
        return None
    inside = np.zeros(n, dtype=bool)
    for roi in map(clean_name, rois):
        if roi not in masks:
            raise unknown_name("ROI", roi, masks, f"Subject {subject}.")
        inside |= masks[roi]
    return np.flatnonzero(inside)


def _planted_ceiling(folder: Path, truth: dict[str, Any] | None, side: str, n: int) -> np.ndarray:
    """Return the ceiling of each vertex (n,) of a simulation; of real data none is distributed."""
    if truth is None:
        return np.full(n, np.nan)
    try:
        ceiling = np.asarray(truth["noise_ceiling"][side], dtype=np.float64)
    except (KeyError, TypeError, ValueError):
        ceiling = np.empty(0)
    if ceiling.shape != (n,):
        raise InputError(
            f"{folder / 'SIMULATED.json'}: expected noise_ceiling.{side} with {n} numbers, found "
            f"{ceiling.size}. Simulate this subject again."
        )
    return ceiling


def _read_simulation(folder: Path) -> dict[str, Any] | None:
    file = folder / "SIMULATED.json"
    return read_json(file) if file.exists() else None


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
            files = _examine_images(notes, folder)
            if files:
                stimuli = StimulusSet([f.stem for f in files.values()], list(files.values()))
                place = f"{folder.name}/training_images"
                looks[folder.name] = check_images(notes, stimuli, place, deep)
            for side in HEMISPHERES:
                with notes.guard(f"{folder.name} {side}"):
                    _examine_hemisphere(notes, folder, side, files)
            if (folder / "SIMULATED.json").exists():
                notes.warning(folder.name, SIMULATED, LABELED)
            else:
                notes.warning(folder.name, NO_CEILING, "Algonauts 2023 distributes averages only.")
        for side in HEMISPHERES if notes.errors == before else ():
            with notes.guard(folder.name):  # one side at a time stays on disk
                (recording,) = read_algonauts2023(folder, hemispheres=[side]).values()
                pictures = looks.get(folder.name, {})
                check_pairing(notes, recording.responses, pictures, f"{folder.name} {side} pairing")
    check_copies(notes, looks)


def _examine_images(notes: Notes, folder: Path) -> dict[int, Path]:
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
        notes.ok(place, f"{len(stray)} other files ({list_first(stray)}).", "They are left out.")
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


def _examine_hemisphere(notes: Notes, folder: Path, side: str, files: Mapping[int, Path]) -> None:
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
            f"an image ({list_first(missing) or 'none'}), {len(extra)} images without a row "
            f"({list_first(extra) or 'none'}).",
            "Row i needs the image train-i_nsd-….png. Copy what is missing again.",
        )
    stimuli = [files[r].stem if r in files else f"row {r}" for r in rows]
    units = [f"{side}-{v:05d}" for v in range(values.shape[1])]
    check_values(notes, values, stimuli, units, place, whole=False)
    _examine_rois(notes, folder, side, values.shape[1])


def _examine_rois(notes: Notes, folder: Path, side: str, n_vertices: int) -> None:
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
            named = {0, *map(int, load_plain_dict(mapping_file))}
            unnamed = sorted(set(np.unique(load_npy(mask_file)).tolist()) - named)
            if unnamed:
                notes.warning(
                    f"{place} {kind}",
                    f"labels without a name: {list_first(unnamed)}.",
                    f"Their vertices are in no ROI of this class. Check {mapping_file.name}.",
                )
    if absent:
        notes.warning(
            place,
            f"no masks of {list_first(absent, len(CLASSES))}.",
            "Copy roi_masks again if you want these ROIs; without any mask all vertices are one "
            "target.",
        )
    list_rois(notes, place, counts)


def recognize(path: Path) -> bool:
    """Whether a folder looks like Algonauts 2023, or like one of its subjects."""
    return is_algonauts(path) or any(is_algonauts(p) for p in path.iterdir() if p.is_dir())


READER = Reader(
    name="algonauts2023",
    layout="subj01/training_split/…",
    recognize=recognize,
    read=read_algonauts2023,
    examine=examine_algonauts,
)
