"""Small data folders in the exact published layouts, for the tests of readers and doctor."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import xarray as xr
from PIL import Image
from scipy.io import savemat

from striate.data.readers.freeman_ziemba_files import all_textures

# Two classes, as they are distributed: a name with trailing blanks, a ROI without any vertex
# ("mTL-faces"), and vertices that are in a ROI of both classes.
MAPPINGS = {
    "prf-visualrois": {0: "Unknown", 1: "V1v", 2: "V1d", 3: "hV4  "},
    "floc-faces": {0: "Unknown", 1: "OFA", 4: "mTL-faces "},
}
FACE_LABELS = (0, 0, 1, 1, 1, 0)
VISUAL_LABELS = (1, 1, 1, 2, 3, 0)


def picture(seed: int, size: int = 12) -> np.ndarray:
    """A smooth color picture, uint8 (size, size, 3), another for each seed."""
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


def write_freeman_ziemba(
    root: Path,
    container: str = "mat73",
    *,
    cells: tuple[int, int] = (2, 3),
    repetitions: int = 4,
    bins: int = 300,
    side: int = 8,
    seed: int = 0,
    rates: np.ndarray | None = None,
    fields: bool = False,
) -> np.ndarray:
    """Write SIMULATED recordings of all 450 textures in a published layout, with their images.

    Args:
        container: `mat73`, `mat5` or `netcdf`.
        cells: numbers of V1 and V2 cells.
        side: of the images, in pixels.
        rates: (450, cells) chance of a spike in a bin, 0 to 1; default random.
        fields: put texture type, family and sample into the assembly, instead of a csv beside it.

    Returns:
        (450, repetitions, cells) mean over 50 to 200 ms, in the order of `all_textures`.
    """
    textures, n = all_textures(), sum(cells)
    generator = np.random.default_rng(seed)
    (root / "stim").mkdir(parents=True)
    digests = []
    for i, texture in enumerate(textures):
        pixels = np.random.default_rng([seed, i]).integers(0, 256, (side, side), dtype=np.uint8)
        file = root / "stim" / f"{texture.name}.png"
        Image.fromarray(pixels).save(file, compress_level=1)
        digests.append(hashlib.sha1(file.read_bytes()).hexdigest())
    (root / "SIMULATED.json").write_text("{}")
    chance = generator.uniform(0.01, 0.2, (450, n)) if rates is None else rates
    threshold = np.rint(256 * chance).astype(np.uint8)

    def cell(j: int) -> np.ndarray:
        """Spikes of a cell, (300, repetition, sample, type, family): as MATLAB 7.3 stores it."""
        noise = np.frombuffer(generator.bytes(bins * repetitions * 450), np.uint8)
        limit = threshold[:, j].reshape(2, 15, 15).transpose(2, 0, 1)
        return (noise.reshape(bins, repetitions, 15, 2, 15) < limit).view(np.uint8)

    means = np.empty((450, repetitions, n))
    regions = {"v1": range(cells[0]), "v2": range(cells[0], n)}
    if container == "mat73":
        with h5py.File(root / "FreemanZiemba2013_V1V2data.mat", "w", userblock_size=512) as file:
            for name, region in regions.items():
                shape = (len(region), bins, repetitions, 15, 2, 15)
                data = file.create_dataset(name, shape, np.uint8, chunks=(1, *shape[1:]))
                for row, j in enumerate(region):
                    spikes = cell(j)
                    data[row] = spikes
                    means[..., j] = _window_means(spikes)
        return means
    whole = np.stack([cell(j) for j in range(n)])
    means[:] = np.stack([_window_means(spikes) for spikes in whole], -1)
    if container == "mat5":
        arrays = {
            name: whole[region.start : region.stop].transpose() for name, region in regions.items()
        }
        savemat(root / "FreemanZiemba2013_V1V2data.mat", arrays, do_compression=True)
        return means
    # presentation = (repetition, type, family, sample)
    values = whole.transpose(2, 4, 5, 3, 0, 1).reshape(repetitions * 450, n, bins)
    stimuli = pd.DataFrame(
        {
            "image_id": digests,
            "texture_type": [t.type for t in textures],
            "texture_family": [t.family for t in textures],
            "sample": [t.sample for t in textures],
        }
    )
    presented = pd.concat([stimuli] * repetitions, ignore_index=True)
    coords = {
        "image_id": ("presentation", presented["image_id"].to_numpy(object)),
        "repetition": ("presentation", np.repeat(np.arange(repetitions), 450)),
        "neuroid_id": ("neuroid", np.arange(1, n + 1)),
        "region": ("neuroid", np.array(["V1"] * cells[0] + ["V2"] * cells[1], object)),
        "time_bin_start": ("time_bin", np.arange(bins)),
        "time_bin_end": ("time_bin", np.arange(1, bins + 1)),
    }
    if fields:
        for name in ("texture_type", "texture_family", "sample"):
            coords[name] = ("presentation", presented[name].to_numpy())
    else:
        stimuli.to_csv(root / "stimulus_set.csv", index=False)
    array = xr.DataArray(values, dims=("presentation", "neuroid", "time_bin"), coords=coords)
    array.to_dataset(name="responses").to_netcdf(root / "assembly.nc", engine="h5netcdf")
    return means


def _window_means(spikes: np.ndarray) -> np.ndarray:
    """(bin, repetition, sample, type, family) to (450, repetition)."""
    mean = spikes[50:200].mean(axis=0)
    return mean.transpose(2, 3, 1, 0).reshape(450, -1)
