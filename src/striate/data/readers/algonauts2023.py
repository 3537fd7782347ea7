"""NSD as organized for the Algonauts Project 2023 challenge; docs/papers/contrastive-tuning.md 1.1.

Layout, per subject `subjXX`: `training_split/training_fmri/{lh,rh}_training_fmri.npy` (images x
vertices), `training_split/training_images/train-0001_nsd-00013.png`, and
`roi_masks/{lh,rh}.{class}_challenge_space.npy` with `roi_masks/mapping_{class}.npy`.

Row `i` of the responses belongs to the image whose file name says `train-{i+1:04d}`; the sort
order of the folder is not used, so stray files do no harm.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from striate.core.errors import InputError, unknown_name
from striate.core.files import read_json
from striate.core.names import clean_hemisphere, clean_name
from striate.core.walk import check_links
from striate.data.images.stimuli import StimulusSet
from striate.data.readers.arrays import load_npy, load_plain_dict
from striate.data.responses.dataset import Dataset, Recording
from striate.data.responses.numbers import counted_dtype
from striate.data.responses.responses import Responses

HEMISPHERES = ("lh", "rh")
CLASSES = (
    "prf-visualrois",
    "floc-bodies",
    "floc-faces",
    "floc-places",
    "floc-words",
    "streams",
)
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
    recordings = {name: _subject(folders[name], name, sides, rois) for name in names}
    return Dataset("algonauts2023", recordings, {"source": SOURCE})


def _subject(
    folder: Path, subject: str, sides: Sequence[str], rois: Sequence[str] | None
) -> Recording:
    stimuli = training_images(folder)
    truth = _simulation(folder)
    blocks, masks, ids, ceilings = [], [], [], []
    for side in sides:
        fmri = load_npy(fmri_path(folder, side))
        if fmri.ndim != 2 or fmri.shape[0] != len(stimuli):
            raise InputError(
                f"{fmri_path(folder, side)}: {fmri.shape} responses for {len(stimuli)} training "
                f"images of subject {subject}. Each row needs its image train-<row>_nsd-….png."
            )
        mask = roi_masks(folder, side, fmri.shape[1])
        kept = _kept(mask, rois, subject, fmri.shape[1])
        numbers = fmri if kept is None else np.asarray(fmri[:, kept])
        if len(sides) > 1:  # joined below: each in a type that holds its numbers
            numbers = numbers.astype(counted_dtype(fmri.dtype, str(fmri_path(folder, side))))
        blocks.append(numbers)
        where = np.arange(fmri.shape[1]) if kept is None else kept
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
        rois=_joined(masks, counts),
        noise_ceiling=np.concatenate(ceilings),
        simulated=truth is not None,
        attrs={
            "source": SOURCE if truth is None else "simulated by striate.data.responses.simulated"
        },
    )
    return Recording(subject, stimuli, responses)


def _joined(masks: Sequence[dict[str, np.ndarray]], counts: Sequence[int]) -> dict[str, np.ndarray]:
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
    found: dict[int, Path] = {}
    for file in images.glob("*.png") if images.is_dir() else ():
        match = IMAGE_NAME.fullmatch(file.name)
        if match is None:
            continue
        row = int(match[1])
        if row in found:
            raise InputError(f"{images}: row {row} has two images, {found[row].name}, {file.name}.")
        found[row] = file
    if not found:
        raise InputError(f"{images} has no images named like train-0001_nsd-00013.png.")
    missing = sorted(set(range(1, max(found) + 1)) - set(found))
    if missing:
        raise InputError(
            f"{images}: images of {len(missing)} rows are missing, first "
            f"train-{missing[0]:04d}_nsd-….png. Copy or download them again."
        )
    rows = sorted(found)
    return StimulusSet([found[r].stem for r in rows], [found[r] for r in rows])


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


def _kept(
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


def _simulation(folder: Path) -> dict[str, Any] | None:
    file = folder / "SIMULATED.json"
    return read_json(file) if file.exists() else None
