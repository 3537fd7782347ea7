"""Seed textures: gray pictures of one surface each, from installed packages or a user's folder."""

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
from striate.data.images.decode import decode_image, read_encoded
from striate.data.images.stimuli import image_files
from striate.data.patches.photometry import LUMA

PACKAGED: dict[str, tuple[str, str]] = {
    "brick": ("skimage", "data/brick.png"),
    "grass": ("skimage", "data/grass.png"),
    "gravel": ("skimage", "data/gravel.png"),
    "reptile_skin": ("plenoptic", "data/reptile_skin.pgm"),
    "stars": ("skimage", "data/hubble_deep_field.jpg"),
    "tissue": ("skimage", "data/ihc.png"),
}
"""Pictures inside the wheels of scikit-image and plenoptic (extra `textures`) that can serve.
The first four are of one even surface; stars and tissue are less so."""
LEAST_DEVIATION = 1.0
"""Standard deviation, in gray levels of 255, below which a picture holds no texture (ours)."""


@dataclass(frozen=True)
class Seed:
    """A picture whose statistics a family of textures shares.

    Attributes:
        name: of the family.
        source: the package or file it came from.
        pixels: float64 (side, side), 0 to 255.
        hash: of the picture as decoded, before it was cut and shrunk.
        color: whether the picture had colors, of which the luma was taken.
        file_hash: of the file.
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
    """Return the seeds of a folder, or those that installed packages ship, and what to know.

    Of each picture a central square of `shrink` times the side is taken, or the largest there is,
    and shrunk to `side`.

    Args:
        side: of the textures in pixels.
        folder: of pictures; the family's name is that of the file. None: `PACKAGED`.
        families: names of those to take; None: all.
        most: families at most, the first by name.
        shrink: by how much pictures are shrunk at most. More structure fits into a texture the
            more they are, until it is too fine to be seen.

    Returns:
        The seeds, by name, and notes for the reader: colors that were taken out, packaged
        pictures that are absent or too small.

    Raises:
        InputError: no seed; a file that is no image, is smaller than the texture, has no contrast
            or repeats another; an unknown family.
    """
    files, notes = packaged() if folder is None else (_in_folder(folder), [])
    if families is not None:
        families = [clean_name(name) for name in families]
        for name in families:
            if name not in files:
                raise unknown_name("texture family", name, files)
        files = {name: files[name] for name in files if name in families}
    seeds: list[Seed] = []
    for name in sorted(files)[:most]:
        source, path = files[name]
        seed = _read(name, source, path)
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
        pixels = _square(seed.pixels, side, shrink)
        seeds.append(replace(seed, pixels=pixels))
    if not seeds:
        where = "in installed packages" if folder is None else f"in {folder}"
        raise InputError(
            f"no seed textures of at least {side} x {side} pixels {where}. Install those that "
            "packages ship (pip install 'striate[textures]'), or name a folder of pictures: "
            "textures.seeds=FOLDER."
        )
    return seeds, notes


def packaged() -> tuple[dict[str, tuple[str, Path]], list[str]]:
    """The pictures of `PACKAGED` that are there, as (source, file), and a note on those absent."""
    found: dict[str, tuple[str, Path]] = {}
    absent = []
    for name, (package, place) in PACKAGED.items():
        spec = find_spec(package)
        path = Path(spec.origin).parent / place if spec and spec.origin else None
        if path is not None and path.is_file():
            found[name] = (f"{package}/{place}", path)
        else:
            absent.append(name)
    note = "the packages that ship these seed textures are not installed: "
    return found, [note + ", ".join(absent) + "."] if absent else []


def _in_folder(folder: str | Path) -> dict[str, tuple[str, Path]]:
    found: dict[str, tuple[str, Path]] = {}
    for path in image_files(folder):
        name = clean_name(path.stem)
        if name in found:
            raise InputError(
                f"seed textures {found[name][1]} and {path} give two families of the name "
                f"{name!r}. Rename one of them."
            )
        found[name] = (path.name, path)
    return found


def _read(name: str, source: str, path: Path) -> Seed:
    where, data = read_encoded(path)
    rgb = decode_image(data, where)
    gray = rgb @ np.array(LUMA)
    if gray.std() < LEAST_DEVIATION:
        raise InputError(
            f"seed texture {path} has next to no contrast (standard deviation {gray.std():.2g} of "
            "255). Remove it or choose another picture."
        )
    color = bool(np.ptp(rgb, axis=2).any())
    return Seed(name, source, gray, hash_image(rgb), color, hash_bytes(data))


def _square(gray: np.ndarray, side: int, shrink: float) -> np.ndarray:
    """A central square, shrunk to `side` with antialiasing."""
    height, width = gray.shape
    least = min(height, width, max(side, round(shrink * side)))
    top, left = (height - least) // 2, (width - least) // 2
    part = Image.fromarray(gray[top : top + least, left : left + least].astype(np.float32))
    small = part.resize((side, side), Image.Resampling.BICUBIC)
    return np.asarray(small, dtype=np.float64).clip(0, 255)
