"""Simulated responses with planted truth, in the layout of the Algonauts 2023 data.

This module cuts photographs into stimuli, makes responses from features and writes the folder of a
subject. `striate.evaluate.simulated.run` decides which network gives the features. Everything
that is written is called simulated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from striate.core.errors import InputError
from striate.core.files import atomic_path, write_json
from striate.data.images.decode import SUFFIXES, decode_image
from striate.data.readers.algonauts2023 import CLASSES, HEMISPHERES, LABELS, fmri_path
from striate.data.responses.noise_ceilings import ceiling_from_ncsnr

FSAVERAGE_VERTICES = 163_842
"""Number of vertices in a hemisphere of fsaverage."""
PACKAGED: dict[str, tuple[str, tuple[str, ...]]] = {
    "scikit-image": (
        "skimage/data",
        (
            "astronaut.png", "brick.png", "camera.png", "cell.png", "chelsea.png", "coffee.png",
            "coins.png", "grass.png", "gravel.png", "hubble_deep_field.jpg", "ihc.png", "moon.png",
            "motorcycle_left.png", "retina.jpg", "rocket.jpg",
        ),
    ),
    "scikit-learn": ("sklearn/datasets/images", ("china.jpg", "flower.jpg")),
}  # fmt: skip
"""Folder and names of the photographs in the wheels of scikit-image (extra `demo`) and
scikit-learn."""
NOTICE = (
    "SIMULATED responses written by striate. Not measured from any brain. Images are parts of "
    "photographs. The truth that was planted is in this file."
)


def packaged_photographs() -> dict[str, Path]:
    """Return the photographs that installed packages contain, by file name.

    Raises:
        InputError: scikit-image is not installed.
    """
    files: dict[str, Path] = {}
    for package, (location, names) in PACKAGED.items():
        module, _, subfolder = location.partition("/")
        spec = find_spec(module)
        if spec is None or spec.origin is None:
            raise InputError(
                f"the package {package} is not installed; its photographs are needed. "
                "Install them: pip install 'striate[demo]'."
            )
        folder = Path(spec.origin).parent / subfolder
        files |= {name: folder / name for name in names if (folder / name).is_file()}
    return files


def photographs_in(folder: str | Path) -> dict[str, Path]:
    """Return the images of a folder by file name.

    Raises:
        InputError: the folder has no image.
    """
    folder = Path(folder)
    files = {p.name: p for p in sorted(folder.glob("*")) if p.suffix.lower() in SUFFIXES}
    if not files:
        raise InputError(f"no photographs in {folder}.")
    return files


def cut(photographs: Mapping[str, Path], size: int, most: int, seed: int) -> list[np.ndarray]:
    """Cut photographs into square stimuli that share no pixel, in a shuffled order.

    Random crops would overlap, and an overlap between parts of a split is a leak that no content
    hash can detect.

    Args:
        photographs: files by name.
        size: side of a stimulus in pixels.
        most: largest number of stimuli from one photograph, so that no large one prevails.
        seed: seed of the choice and the order.

    Returns:
        uint8 (size, size, 3) arrays, no two equal; tiles without structure are left out.
    """
    generator = np.random.default_rng(seed)
    tiles: list[np.ndarray] = []
    for name in sorted(photographs):
        rgb = decode_image(photographs[name])
        rows, columns = rgb.shape[0] // size, rgb.shape[1] // size
        photograph_tiles = [
            rgb[i * size : (i + 1) * size, j * size : (j + 1) * size]
            for i in range(rows)
            for j in range(columns)
        ]
        photograph_tiles = [tile for tile in photograph_tiles if tile.std() > 4.0]
        tiles += [photograph_tiles[i] for i in generator.permutation(len(photograph_tiles))[:most]]
    unique = {tile.tobytes(): tile for tile in tiles}
    stimuli = list(unique.values())
    return [stimuli[i] for i in generator.permutation(len(stimuli))]


@dataclass(frozen=True)
class Planted:
    """Simulated responses of one ROI and the truth behind them.

    Attributes:
        latents: (N, K) standardized features that the units read.
        responses: (N, V) averaged over repeats, each unit z-scored.
        ceiling: (V,) expected correlation of the true signal with `responses`.
    """

    latents: np.ndarray
    responses: np.ndarray
    ceiling: np.ndarray


def plant(
    features: np.ndarray,
    n_units: int,
    components: tuple[int, int],
    ncsnr: float,
    repeats: int,
    seed: int,
) -> Planted:
    """Make units that are noisy linear readouts of some principal components of features.

    The units read the components `components[0]` to `components[1] - 1` (component 0 has the
    largest variance), all with the same weight variance. A ridge readout of few stimuli finds
    components of small variance last, and tuning can bring them forward, which leaves room for a
    gain.

    Args:
        features: (N, d) of a known network at a known tap.
        n_units: number of units V.
        components: the first component and one past the last.
        ncsnr: standard deviation of the signal over that of a trial's noise.
        repeats: number of trials that are averaged.
        seed: seed of weights and noise.

    Raises:
        InputError: the features have too few components.
    """
    first, last = components
    if not 0 <= first < last <= min(features.shape[0] - 1, features.shape[1]):
        raise InputError(
            f"components {first} to {last} of {features.shape[1]} features over "
            f"{features.shape[0]} stimuli: there are {min(features.shape) - 1} at most."
        )
    generator = np.random.default_rng(seed)
    centered = features.astype(np.float64) - features.mean(axis=0, dtype=np.float64)
    left_vectors = np.linalg.svd(centered, full_matrices=False)[0]
    latents = left_vectors[:, first:last] * np.sqrt(len(features))
    weights = generator.normal(size=(last - first, n_units))
    weights /= np.sqrt((weights**2).sum(axis=0))
    signal = latents @ weights  # variance 1 for each unit: latents are orthonormal
    noise = generator.normal(size=(repeats, *signal.shape)).mean(axis=0) / ncsnr
    responses = signal + noise
    responses = (responses - responses.mean(axis=0)) / responses.std(axis=0)
    ceiling = ceiling_from_ncsnr(np.full(n_units, ncsnr), repeats)
    return Planted(latents, responses.astype(np.float32), ceiling)


@dataclass(frozen=True)
class Side:
    """One hemisphere of a simulated subject.

    Attributes:
        responses: (N, V) float32.
        rois: positions of vertices by ROI name, as in `LABELS`; a vertex may be in one ROI of
            each class.
        ceiling: (V,) noise ceilings.
    """

    responses: np.ndarray
    rois: Mapping[str, np.ndarray]
    ceiling: np.ndarray


def write_subject(
    folder: Path,
    images: Sequence[np.ndarray],
    ids: Sequence[int],
    test_images: Mapping[int, np.ndarray],
    sides: Mapping[str, Side],
    truth: Mapping[str, Any],
    latents: Mapping[str, np.ndarray],
) -> Path:
    """Write a subject in the layout of docs/papers/contrastive-tuning.md 1.1, whole or not at all.

    Args:
        folder: `…/subj01`; must not exist.
        images: uint8 (H, W, 3), one for each row of the responses.
        ids: number of each image among all images, the second number in its file's name.
        test_images: images without responses, by number.
        sides: the hemispheres `lh` and `rh`.
        truth: facts about what was planted, for `SIMULATED.json`.
        latents: (N, K) features that the units of each ROI read, for `planted/ROI.npy`.

    Raises:
        InputError: the folder exists, or the layout does not have one of the ROIs.
    """
    if folder.exists():
        raise InputError(f"{folder} exists. Choose another folder for the simulation.")
    with atomic_path(folder) as temporary:
        training = temporary / "training_split" / "training_images"
        training.mkdir(parents=True)
        for row, (number, image) in enumerate(zip(ids, images, strict=True), 1):
            Image.fromarray(image).save(training / f"train-{row:04d}_nsd-{number:05d}.png")
        test = temporary / "test_split" / "test_images"
        test.mkdir(parents=True)
        for row, (number, image) in enumerate(test_images.items(), 1):
            Image.fromarray(image).save(test / f"test-{row:04d}_nsd-{number:05d}.png")
        (temporary / "training_split" / "training_fmri").mkdir()
        (temporary / "roi_masks").mkdir()
        for name in HEMISPHERES:
            np.save(fmri_path(temporary, name), sides[name].responses.astype(np.float32))
            _write_masks(temporary / "roi_masks", name, sides[name])
        for kind in CLASSES:
            names: dict[int, str] = {0: "Unknown", **LABELS[kind]}
            np.save(
                temporary / "roi_masks" / f"mapping_{kind}.npy",
                np.array(names, dtype=object),
                allow_pickle=True,
            )
        (temporary / "planted").mkdir()
        for roi, values in latents.items():
            np.save(temporary / "planted" / f"{roi}.npy", values)
        facts = {"notice": NOTICE, "simulated": True, **truth}
        facts["noise_ceiling"] = {name: sides[name].ceiling.tolist() for name in HEMISPHERES}
        write_json(temporary / "SIMULATED.json", facts)
    return folder


def _write_masks(folder: Path, name: str, side: Side) -> None:
    """Write a hemisphere's labels of every class, for its own vertices and for fsaverage."""
    layout_rois = {roi for labels in LABELS.values() for roi in labels.values()}
    unknown = sorted(set(side.rois) - layout_rois)
    if unknown:
        raise InputError(
            f"ROI {unknown[0]!r} is not in the layout. Known: {', '.join(layout_rois)}."
        )
    n_vertices = side.responses.shape[1]
    # Simulated vertices are spread evenly over fsaverage; their positions mean nothing.
    vertices = np.linspace(0, FSAVERAGE_VERTICES - 1, n_vertices).astype(np.int64)
    is_present = np.zeros(FSAVERAGE_VERTICES, dtype=np.int64)
    is_present[vertices] = 1
    np.save(folder / f"{name}.all-vertices_fsaverage_space.npy", is_present)
    for kind in CLASSES:
        labels = np.zeros(n_vertices, dtype=np.int64)
        for label, roi in LABELS[kind].items():
            if roi in side.rois:
                labels[side.rois[roi]] = label
        on_surface = np.zeros(FSAVERAGE_VERTICES, dtype=np.int64)
        on_surface[vertices] = labels
        np.save(folder / f"{name}.{kind}_challenge_space.npy", labels)
        np.save(folder / f"{name}.{kind}_fsaverage_space.npy", on_surface)
