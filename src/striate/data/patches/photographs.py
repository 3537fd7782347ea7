"""Photographs of any size, decoded once to uint8, from which patches are cut."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
import PIL
import torch
from PIL import Image
from torch import Tensor

from striate.core.cache import Cache
from striate.core.errors import InputError
from striate.core.files import read_json, write_json
from striate.core.hashing import hash_bytes, hash_file, hash_fraction, hash_image, hash_json
from striate.data.images.decode import decode_image, read_encoded
from striate.data.images.stimuli import image_files

MAX_SIDE = 512
"""Largest longer side of a stored photograph (ours): at the scale of a receptive field, larger ones
show little but blur, noise and JPEG blocks, and every patch would show a nearly even surface."""
HELD_OUT = 0.1
"""Share of the photographs held out of training (ours)."""
_DECODED_AT_ONCE = 64
"""Number of images that are decoded before any of them is written, which bounds memory."""
_COPIED_BYTES = 2**28
"""Number of bytes copied to a device at once."""


@dataclass(frozen=True, eq=False)
class Photographs:
    """Decoded images of any sizes in one flat array, without duplicates.

    Attributes:
        pixels: uint8 (bytes,); image i is the 3 x heights[i] x widths[i] values from offsets[i]
            on, color plane by color plane. Often a memory map, and never written to.
        offsets, heights, widths: int64 (N,).
        names: (N,) files relative to the folder, or numbers.
        hashes: (N,) content hashes of the images as decoded, before any shrinking.
        file_hashes: (N,) hashes of the files of each image; several for duplicates, none for an
            image from memory.
        duplicates: number of images that were left out because an equal one is present.
        unreadable: name of each skipped file, and why it was skipped.
        copies: the pixels on other devices, by device; shared with all subsets.
    """

    pixels: np.ndarray
    offsets: np.ndarray
    heights: np.ndarray
    widths: np.ndarray
    names: tuple[str, ...]
    hashes: tuple[str, ...]
    file_hashes: tuple[tuple[str, ...], ...] = ()
    duplicates: int = 0
    unreadable: tuple[tuple[str, str], ...] = ()
    copies: dict[str, Tensor] = field(default_factory=dict)

    @classmethod
    def from_folders(
        cls,
        folders: str | Path | Sequence[str | Path],
        *,
        max_side: int | None = MAX_SIDE,
        skip_unreadable: bool = False,
        in_memory: bool = False,
        cache: Cache | None = None,
    ) -> Self:
        """Take every image below the folders; they are decoded once and kept in the cache.

        The key of the cache entry is the content of the files: images are decoded again when a
        file changes, and not when a folder moves.

        Args:
            folders: one or several folders, searched to any depth; links are followed.
            max_side: shrink images whose longer side exceeds this, antialiased; None shrinks none.
            skip_unreadable: leave out damaged files (see `unreadable`) instead of raising.
            in_memory: read all pixels now instead of mapping the file.
            cache: where the pixels are kept. Default: the user's cache.

        Raises:
            InputError: a folder does not exist or has no image, a file is damaged (it is named), or
                all files are.
        """
        folders = [folders] if isinstance(folders, (str, Path)) else list(folders)
        files: dict[Path, str] = {}
        for folder in (Path(f).expanduser() for f in folders):  # no shell does it inside a list
            for file in image_files(folder):
                name = file.relative_to(folder if len(folders) == 1 else folder.parent)
                files.setdefault(file, name.as_posix())
        if not files:
            raise InputError("no folder of photographs was given. Name at least one.")
        file_hashes = _hash_files(list(files), skip_unreadable)
        key = {
            "files": hash_json(
                [[name, digest] for name, digest in zip(files.values(), file_hashes, strict=True)]
            ),
            "max_side": max_side,
            "pillow": PIL.__version__,  # which decodes them
            "version": 2,
        }

        def build(place: Path) -> None:
            _write_entry(place, _decode_files(files, max_side, skip_unreadable))

        photographs = cls.load(
            (cache or Cache()).get("photographs", key, build), in_memory=in_memory
        )
        if photographs.unreadable and not skip_unreadable:  # cached by a run that skipped them
            raise _build_unreadable_error(photographs.unreadable[0][1])
        return photographs

    @classmethod
    def from_images(cls, images: Sequence[np.ndarray], names: Sequence[str] | None = None) -> Self:
        """Take images in memory, uint8 of shape (H, W, 3) or gray (H, W).

        Raises:
            InputError: an image of another dtype or shape (it is named), or no image at all.
        """
        if isinstance(images, np.ndarray) and images.ndim == 3 and images.shape[2] == 3:
            raise InputError(
                f"images: expected a list of images, found one array of shape {images.shape}. "
                "Put a single image into a list."
            )
        names = [str(i) for i in range(len(images))] if names is None else list(names)
        if len(names) != len(images):
            raise InputError(f"{len(names)} names for {len(images)} images. Give one an image.")
        unique: dict[str, tuple[str, np.ndarray]] = {}
        for name, image in zip(names, images, strict=True):
            if not isinstance(image, np.ndarray):
                raise InputError(
                    f"image {name}: expected a uint8 array (H, W, 3) or (H, W), found a "
                    f"{type(image).__name__}. Files are read by Photographs.from_folders."
                )
            rgb = np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else image
            if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.size == 0:
                raise InputError(
                    f"image {name}: expected uint8 of shape (H, W, 3) or (H, W), found "
                    f"{image.dtype} of {image.shape}."
                )
            unique.setdefault(hash_image(rgb), (name, rgb))
        if not unique:
            raise InputError("no image was given. Give at least one.")
        shapes = np.array([rgb.shape[:2] for _, rgb in unique.values()], dtype=np.int64)
        sizes = 3 * shapes.prod(axis=1)
        return cls(
            pixels=np.concatenate([_flatten_planes(rgb) for _, rgb in unique.values()]),
            offsets=np.cumsum(sizes) - sizes,
            heights=shapes[:, 0],
            widths=shapes[:, 1],
            names=tuple(name for name, _ in unique.values()),
            hashes=tuple(unique),
            duplicates=len(images) - len(unique),
        )

    @classmethod
    def load(cls, folder: Path, *, in_memory: bool = False) -> Self:
        """Read an entry of the cache; pixels are memory-mapped unless `in_memory`."""
        table = pd.read_parquet(folder / "images.parquet")
        report = read_json(folder / "report.json")
        pixels = np.load(folder / "pixels.npy", mmap_mode=None if in_memory else "r")
        return cls(
            pixels=np.asarray(pixels),  # slices of the plain class cost half of a memmap's
            offsets=table["offset"].to_numpy(),
            heights=table["height"].to_numpy(),
            widths=table["width"].to_numpy(),
            names=tuple(table["name"]),
            hashes=tuple(table["hash"]),
            file_hashes=tuple(tuple(hashes) for hashes in table["files"]),
            duplicates=report["duplicates"],
            unreadable=tuple((name, why) for name, why in report["unreadable"]),
        )

    def __len__(self) -> int:
        return len(self.names)

    def __repr__(self) -> str:
        return f"Photographs({self.describe()})"

    def describe(self) -> str:
        """Describe how many images there are, and how many were left out."""
        parts = [f"{len(self):,} image{'' if len(self) == 1 else 's'}"]
        if self.duplicates:
            parts.append(f"{self.duplicates:,} duplicates left out")
        if self.unreadable:
            shown = ", ".join(name for name, _ in self.unreadable[:5])
            more = ", …" if len(self.unreadable) > 5 else ""
            parts.append(f"{len(self.unreadable):,} unreadable skipped ({shown}{more})")
        return "; ".join(parts)

    def planes(self, index: int) -> np.ndarray:
        """Return one image as uint8 (3, H, W), not copied."""
        start, height, width = self.offsets[index], self.heights[index], self.widths[index]
        return self.pixels[start : start + 3 * height * width].reshape(3, height, width)

    def subset(self, indices: Sequence[int] | np.ndarray) -> Self:
        """Return the images at `indices`, in that order; the pixels are shared."""
        positions = np.asarray(indices, dtype=np.int64)
        return replace(
            self,
            offsets=self.offsets[positions],
            heights=self.heights[positions],
            widths=self.widths[positions],
            names=tuple(self.names[i] for i in positions),
            hashes=tuple(self.hashes[i] for i in positions),
            file_hashes=tuple(self.file_hashes[i] for i in positions) if self.file_hashes else (),
        )

    def hold_out(self, share: float = HELD_OUT, seed: int = 0) -> tuple[Self, Self]:
        """Divide into images to train on and images held out, by content hash and seed alone.

        An image stays on its side when others are added. With few images a side may be empty.
        """
        is_held_out = np.array(
            [hash_fraction(seed, digest) < share for digest in self.hashes], dtype=bool
        )
        return self.subset(np.flatnonzero(~is_held_out)), self.subset(np.flatnonzero(is_held_out))

    def pixels_on(self, device: torch.device) -> Tensor:
        """Copy all pixels to a device, once for all subsets: uint8 (bytes,)."""
        if str(device) not in self.copies:
            out = torch.empty(len(self.pixels), dtype=torch.uint8, device=device)
            for start in range(0, len(self.pixels), _COPIED_BYTES):
                part = np.array(self.pixels[start : start + _COPIED_BYTES])
                out[start : start + _COPIED_BYTES] = torch.from_numpy(part)
            self.copies[str(device)] = out
        return self.copies[str(device)]


def shrink(rgb: np.ndarray, max_side: int | None) -> np.ndarray:
    """Shrink uint8 RGB (H, W, 3) to a longer side of `max_side`, antialiased, if it is larger."""
    height, width = rgb.shape[:2]
    if max_side is None or max(height, width) <= max_side:
        return rgb
    scale = max_side / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.array(Image.fromarray(rgb).resize(size, Image.Resampling.BILINEAR))


@dataclass(frozen=True)
class _Decoded:
    """One file: its name, hashes and pixels, or its fault."""

    name: str
    hash: str = ""
    file_hash: str = ""
    rgb: np.ndarray | None = None
    fault: str = ""


def _build_unreadable_error(fault: str) -> InputError:
    """Build the error for a damaged file, which tells how to skip such files."""
    return InputError(
        f"{fault} To leave such files out, set patches.unreadable=skip (skip_unreadable=True)."
    )


def _hash_files(files: Sequence[Path], skip: bool) -> list[str]:
    """Hash the bytes of each file; with `skip` an unreadable file gets a fixed text."""

    def hash_or_skip(file: Path) -> str:
        try:
            return hash_file(file)
        except OSError as error:
            if skip:
                return "unreadable"
            raise InputError(f"image {file} cannot be read: {error}.") from error

    with ThreadPoolExecutor() as pool:
        return list(pool.map(hash_or_skip, files))


def _decode_files(files: dict[Path, str], max_side: int | None, skip: bool) -> Iterator[_Decoded]:
    """Decode files in their order, in several threads; `files` gives the name of each."""

    def decode_one(file: Path) -> _Decoded:
        try:
            name, data = read_encoded(file)
            rgb = decode_image(data, name)
        except InputError as error:
            if not skip:
                raise _build_unreadable_error(str(error)) from error
            return _Decoded(files[file], fault=str(error))
        return _Decoded(files[file], hash_image(rgb), hash_bytes(data), shrink(rgb, max_side))

    paths = list(files)
    with ThreadPoolExecutor() as pool:  # Pillow frees the interpreter lock while decoding
        for start in range(0, len(paths), _DECODED_AT_ONCE):
            yield from pool.map(decode_one, paths[start : start + _DECODED_AT_ONCE])


def _write_entry(folder: Path, images: Iterator[_Decoded]) -> None:
    """Write a cache entry, the pixels and their table; duplicates are written once."""
    rows: dict[str, dict[str, Any]] = {}
    unreadable, duplicates, offset = [], 0, 0
    with (folder / "pixels.npy").open("wb") as stream:
        start = _write_header(stream, 0)
        for image in images:
            if image.rgb is None:
                unreadable.append((image.name, image.fault))
            elif image.hash in rows:
                duplicates += 1
                rows[image.hash]["files"].append(image.file_hash)
            else:
                height, width = image.rgb.shape[:2]
                rows[image.hash] = {
                    "name": image.name,
                    "hash": image.hash,
                    "files": [image.file_hash],
                    "offset": offset,
                    "height": height,
                    "width": width,
                }
                stream.write(_flatten_planes(image.rgb).data)
                offset += image.rgb.size
        stream.seek(0)
        if _write_header(stream, offset) != start:  # numpy leaves room for a longer number
            raise RuntimeError("the header of a .npy file changed its length")
    if not rows:
        raise InputError(
            f"none of {len(unreadable)} images can be read; the first: {unreadable[0][1]}"
        )
    pd.DataFrame(list(rows.values())).to_parquet(folder / "images.parquet", index=False)
    write_json(folder / "report.json", {"duplicates": duplicates, "unreadable": unreadable})


def _write_header(stream: Any, length: int) -> int:
    """Write the header of a .npy file of `length` bytes; return where the data begin."""
    header = {"descr": "|u1", "fortran_order": False, "shape": (length,)}
    np.lib.format.write_array_header_1_0(stream, header)
    return stream.tell()


def _flatten_planes(rgb: np.ndarray) -> np.ndarray:
    """Arrange (H, W, 3) color plane by color plane, uint8 (3 * H * W,)."""
    return np.ascontiguousarray(rgb.transpose(2, 0, 1)).reshape(-1)
