"""Small data folders in the exact published layouts, for the tests of readers and doctor."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

# Two classes, as they are distributed: a name with trailing blanks, a ROI without any vertex
# ("mTL-faces"), and vertices that are in a ROI of both classes.
MAPPINGS = {
    "prf-visualrois": {0: "Unknown", 1: "V1v", 2: "V1d", 3: "hV4  "},
    "floc-faces": {0: "Unknown", 1: "OFA", 4: "mTL-faces "},
}
FACE_LABELS = (0, 0, 1, 1, 1, 0)
VISUAL_LABELS = (1, 1, 1, 2, 3, 0)


def picture(seed: int, size: int = 12) -> np.ndarray:
    """A smooth colour picture, uint8 (size, size, 3), another for each seed."""
    coarse = np.random.default_rng(seed).integers(0, 256, (3, 3, 3), dtype=np.uint8)
    return np.array(Image.fromarray(coarse).resize((size, size), Image.Resampling.BILINEAR))


def save_picture(path: Path, seed: int) -> Path:
    """Write `picture(seed)` without loss."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture(seed)).save(path)
    return path


def write_algonauts(
    root: Path,
    subject: str = "subj01",
    *,
    vertices: tuple[int, int] = (6, 9),
    seeds: Sequence[int] = tuple(range(8)),
    mappings: bool = True,
) -> Path:
    """Write one subject with the given numbers of left and right vertices; return its folder."""
    folder = root / subject
    generator = np.random.default_rng(len(subject) + sum(vertices))
    for row, seed in enumerate(seeds):
        name = f"train-{row + 1:04d}_nsd-{seed:05d}.png"
        save_picture(folder / "training_split" / "training_images" / name, seed)
    fmri = folder / "training_split" / "training_fmri"
    masks = folder / "roi_masks"
    for place in (fmri, masks):
        place.mkdir(parents=True)
    for side, count in zip(("lh", "rh"), vertices, strict=True):
        values = generator.normal(size=(len(seeds), count)).astype(np.float32)
        np.save(fmri / f"{side}_training_fmri.npy", values)
        for kind, labels in (("prf-visualrois", VISUAL_LABELS), ("floc-faces", FACE_LABELS)):
            np.save(masks / f"{side}.{kind}_challenge_space.npy", np.resize(labels, count))
    if mappings:
        for kind, mapping in MAPPINGS.items():
            np.save(masks / f"mapping_{kind}.npy", np.array(mapping), allow_pickle=True)
    return folder


def mark_simulated(folder: Path) -> None:
    """Say of an Algonauts subject folder that its responses are simulated."""
    ceilings = {
        side: np.full(np.load(file, mmap_mode="r").shape[1], 0.5).tolist()
        for side in ("lh", "rh")
        for file in [folder / "training_split" / "training_fmri" / f"{side}_training_fmri.npy"]
    }
    (folder / "SIMULATED.json").write_text(json.dumps({"noise_ceiling": ceilings}))


def png_bytes(seed: int) -> bytes:
    """`picture(seed)` as the bytes of a png file."""
    stream = BytesIO()
    Image.fromarray(picture(seed)).save(stream, "png")
    return stream.getvalue()


def write_cowley(
    root: Path,
    session: str = "190925",
    *,
    seeds: Sequence[int] = tuple(range(8)),
    neurons: int = 5,
    repeats: int = 0,
) -> np.ndarray:
    """Write one V4 session; return the responses (neurons, images), or trials with `repeats`."""
    generator = np.random.default_rng(int(session))
    for name in ("images", "responses_repeat_averaged", "responses_raw"):
        (root / name).mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(root / "images" / f"images_{session}.zip", "w") as archive:
        for i in reversed(range(len(seeds))):  # the order within the archive must not matter
            archive.writestr(f"image{i + 1:04d}.png", png_bytes(seeds[i]))
    file = f"responses_{session}.npy"
    if not repeats:
        values = generator.poisson(4, (neurons, len(seeds))).astype(np.float64)
        np.save(root / "responses_repeat_averaged" / file, values)
        return values
    signal = generator.normal(5, 2, (neurons, len(seeds), 1))
    trials = signal + generator.normal(size=(neurons, len(seeds), repeats))
    trials[:, ::2, -1] = np.nan  # uneven numbers of trials
    np.save(root / "responses_raw" / file, trials)
    np.save(root / "responses_repeat_averaged" / file, np.nanmean(trials, axis=2))
    return trials


def write_images(folder: Path, seeds: Sequence[int]) -> list[str]:
    """Write images `a0000.png …` below `folder`; return their ids."""
    names = [f"a{seed:04d}" for seed in seeds]
    for name, seed in zip(names, seeds, strict=True):
        save_picture(folder / f"{name}.png", seed)
    return names


def write_henaff(
    root: Path, sessions: dict[str, int] | None = None, *, repeats: int = 6, seed: int = 0
) -> None:
    """Write macaque V1 sessions, units by session, with 8 x 8 images and some missing trials."""
    generator = np.random.default_rng(seed)
    arrays = {}
    for session, units in (sessions or {"ay1_u001": 4, "ay2_u003": 3}).items():
        rate = generator.uniform(1, 60, (2, 3, 10, 11, units, 1))
        counts = generator.poisson(rate, (*rate.shape[:-1], repeats)).astype(np.uint8)
        gone = generator.random(counts.shape) < 0.1
        gone[..., :2] = False
        counts[gone] = 255
        arrays |= {f"{session}_counts": counts, f"{session}_blank_rates": np.zeros(units)}
    root.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(root / "v1_spike_counts.npz", **arrays)
    for zoom in (1, 2):
        for movie in range(1, 11):
            folder = root / f"stimSelected-zoom{zoom}x" / f"movie{movie}"
            folder.mkdir(parents=True)
            scene = np.random.default_rng([zoom, movie]).integers(0, 200, (8, 8), dtype=np.uint8)
            for frame in range(1, 12):
                # near copies: each frame is a little brighter
                Image.fromarray(scene + np.uint8(frame)).save(folder / f"natural{frame:02d}.png")
