"""Seed textures: gray pictures of a single surface, from installed packages or a user's folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image

from striate.core.errors import InputError, unknown_name
from striate.core.hashing import hash_bytes, hash_image
from striate.core.names import clean_name
from striate.data.images.decode import LUMA, decode_image, read_encoded
from striate.data.images.stimuli import image_files

PACKAGED: dict[str, tuple[str, str]] = {
    "brick": ("skimage", "data/brick.png"),
    "grass": ("skimage", "data/grass.png"),
    "gravel": ("skimage", "data/gravel.png"),
    "reptile_skin": ("plenoptic", "data/reptile_skin.pgm"),
    "stars": ("skimage", "data/hubble_deep_field.jpg"),
    "tissue": ("skimage", "data/ihc.png"),
}
"""Usable pictures in the wheels of scikit-image and plenoptic (extra `textures`). The first four
show one even surface; stars and tissue are less even."""
LEAST_DEVIATION = 1.0
"""Least standard deviation of a picture with a texture, in gray levels of 255 (ours)."""


@dataclass(frozen=True)
class Seed:
    """A picture whose statistics a family of textures shares.

    Attributes:
        name: name of the family.
        source: the package or file of the picture.
        pixels: float64 (side, side), 0 to 255.
        hash: content hash of the picture as decoded, before it was cut and shrunk.
        color: whether the picture had colors, of which the luma was taken.
        file_hash: hash of the file.
    """

    name: str
    source: str
    pixels: np.ndarray
    hash: str
    color: bool
    file_hash: str = ""


def find_seeds(
    side: int,
    folder: str | Path | None = None,
    families: Sequence[str] | None = None,
    most: int | None = None,
    shrink: float = 2.0,
) -> tuple[list[Seed], list[str]]:
    """Return the seeds of a folder, or those that installed packages contain, and notes.

    From each picture a central square of `shrink` times the side, or the largest possible one, is
    cut out and shrunk to `side`.

    Args:
        side: side of the textures in pixels.
        folder: folder of pictures; a family is named like its file. None: `PACKAGED`.
        families: names of the families to take; None: all.
        most: largest number of families, the first by name.
        shrink: largest factor by which pictures are shrunk. A larger factor puts more structure
            into a texture, until it is too fine to be seen.

    Returns:
        The seeds, by name, and notes for the reader: removed colors, packaged pictures that are
        absent or too small.

    Raises:
        InputError: there is no seed, a file is no image, is smaller than the texture, has no
            contrast or repeats another file, or a family is unknown.
    """
    files, notes = packaged() if folder is None else (_find_pictures(folder), [])
    if families is not None:
        families = [clean_name(name) for name in families]
        for name in families:
            if name not in files:
                raise unknown_name("texture family", name, files)
        files = {name: files[name] for name in files if name in families}
    seeds: list[Seed] = []
    for name in sorted(files)[:most]:
        source, path = files[name]
        seed = _read_seed(name, source, path)
        height, width = seed.pixels.shape
        if min(height, width) < side:
            text = (
                f"seed texture {source} has {height} x {width} pixels, smaller than the texture of "
                f"{side} x {side}"
            )
            if folder is not None:
                raise InputError(f"{text}. Give a larger picture, or set textures.side lower.")
            notes.append(f"{text}: family {name} left out.")
            continue
        twin = next((s.name for s in seeds if s.hash == seed.hash), None)
        if twin is not None:
            raise InputError(
                f"seed texture {source} is the same picture as family {twin}: a family would count "
                "twice. Remove one of them."
            )
        if seed.color:
            notes.append(f"seed texture {source} has colors: its luma is taken.")
        pixels = _cut_square(seed.pixels, side, shrink)
        seeds.append(replace(seed, pixels=pixels))
    if not seeds:
        searched = "in installed packages" if folder is None else f"in {folder}"
        raise InputError(
            f"no seed textures of at least {side} x {side} pixels {searched}. Install those that "
            "packages ship (pip install 'striate[textures]'), or name a folder of pictures: "
            "textures.seeds=FOLDER."
        )
    return seeds, notes


def packaged() -> tuple[dict[str, tuple[str, Path]], list[str]]:
    """Return the installed pictures of `PACKAGED` as (source, file), and a note on absent ones."""
    pictures: dict[str, tuple[str, Path]] = {}
    absent = []
    for name, (package, location) in PACKAGED.items():
        spec = find_spec(package)
        path = Path(spec.origin).parent / location if spec and spec.origin else None
        if path is not None and path.is_file():
            pictures[name] = (f"{package}/{location}", path)
        else:
            absent.append(name)
    note = "the packages that ship these seed textures are not installed: "
    return pictures, [note + ", ".join(absent) + "."] if absent else []


def _find_pictures(folder: str | Path) -> dict[str, tuple[str, Path]]:
    """Find the pictures of a folder as (source, file) by family; InputError for equal names."""
    pictures: dict[str, tuple[str, Path]] = {}
    for path in image_files(folder):
        name = clean_name(path.stem)
        if name in pictures:
            raise InputError(
                f"seed textures {pictures[name][1]} and {path} give two families of the name "
                f"{name!r}. Rename one of them."
            )
        pictures[name] = (path.name, path)
    return pictures


def _read_seed(name: str, source: str, path: Path) -> Seed:
    """Read a whole picture in gray; InputError if it has next to no contrast."""
    label, data = read_encoded(path)
    rgb = decode_image(data, label)
    gray = rgb @ np.array(LUMA)
    if gray.std() < LEAST_DEVIATION:
        raise InputError(
            f"seed texture {path} has next to no contrast (standard deviation {gray.std():.2g} of "
            "255). Remove it or choose another picture."
        )
    color = bool(np.ptp(rgb, axis=2).any())
    return Seed(name, source, gray, hash_image(rgb), color, hash_bytes(data))


def _cut_square(gray: np.ndarray, side: int, shrink: float) -> np.ndarray:
    """Cut out a central square and shrink it to `side` with antialiasing."""
    height, width = gray.shape
    square_side = min(height, width, max(side, round(shrink * side)))
    top, left = (height - square_side) // 2, (width - square_side) // 2
    part = Image.fromarray(
        gray[top : top + square_side, left : left + square_side].astype(np.float32)
    )
    small = part.resize((side, side), Image.Resampling.BICUBIC)
    return np.asarray(small, dtype=np.float64).clip(0, 255)
