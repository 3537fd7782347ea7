"""StimulusSet: the ids of images, where each image is stored, and its content hash."""

from __future__ import annotations

import threading
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TypeVar

import numpy as np
import PIL

from striate.core.cache import Cache
from striate.core.errors import InputError, unknown_name
from striate.core.hashing import hash_bytes, hash_image, hash_json
from striate.core.names import check_names, clean_name
from striate.core.walk import files_below
from striate.data.images.decode import (
    SUFFIXES,
    check_pixels,
    decode_image,
    probe_image,
    read_encoded,
    resize_image,
)
from striate.data.images.lookalikes import SIDE, thumbnail

T = TypeVar("T")
_ARCHIVE_LOCK = threading.Lock()
"""Lets one thread at a time read an archive, as zipfile is not safe for more. It does not cover
decoding."""
Source = Path | tuple[Path, str] | bytes | np.ndarray
"""Where an image is: a file, a (zip file, member) pair, or memory, as the bytes of a file or as
uint8 RGB (H, W, 3)."""

# `zipfile` raises RuntimeError for a password and for an unknown compression.
_ZIP_DAMAGE = (OSError, EOFError, KeyError, RuntimeError, zipfile.BadZipFile, zlib.error)


class StimulusSet:
    """An ordered set of images with unique ids, which are decoded on demand.

    Args:
        ids: unique name of each stimulus; responses are paired by it.
        sources: where each image is, in the order of `ids`.
        groups: label of each stimulus where images belong together, such as the frames of one
            movie: a split puts a group into one part. `` for an image that stands alone; None
            where all do.

    Raises:
        InputError: ids repeat (they are named), the lengths differ, or pixels in memory are not
            uint8 (H, W, 3).
    """

    def __init__(
        self,
        ids: Sequence[str],
        sources: Sequence[Source],
        groups: Sequence[str] | None = None,
    ) -> None:
        self.ids: tuple[str, ...] = tuple(map(clean_name, ids))
        self.sources: tuple[Source, ...] = tuple(
            Path(source) if isinstance(source, str) else source for source in sources
        )
        self.groups: tuple[str, ...] = (
            ("",) * len(self.ids) if groups is None else tuple(str(g) for g in groups)
        )
        self._archives: dict[Path, zipfile.ZipFile] = {}
        if len(self.ids) != len(self.sources):
            raise InputError(f"{len(self.ids)} stimulus ids for {len(self.sources)} images.")
        if len(self.groups) != len(self.ids):
            raise InputError(
                f"{len(self.groups)} groups for {len(self.ids)} stimuli. Give one a stimulus, `` "
                "where an image stands alone."
            )
        for name, source in zip(self.ids, self.sources, strict=True):
            if not isinstance(source, Path | tuple | bytes):
                check_pixels(source, name)
        if len(set(self.ids)) < len(self.ids):
            repeated = [i for i, n in Counter(self.ids).items() if n > 1]
            raise InputError(
                f"{len(repeated)} stimulus ids occur more than once: {', '.join(repeated[:5])}. "
                "Give each stimulus its own id; average or stack repeats in the responses."
            )

    @classmethod
    def from_folder(cls, path: str | Path) -> StimulusSet:
        """Take every image below `path`; ids are paths relative to it, without suffix.

        Links to folders and files are followed. Files that are no images and hidden files
        (`.thumbnails/…`, macOS's `._a.png`) are left out.
        """
        path = Path(path)
        files = image_files(path)
        names = [p.relative_to(path).as_posix() for p in files]
        return cls(_derive_ids(names, str(path)), files)

    @classmethod
    def from_zip(cls, path: str | Path) -> StimulusSet:
        """Take every image of a zip file, by sorted name; ids are the names without suffix."""
        path = Path(path)
        try:
            with zipfile.ZipFile(path) as archive:
                names = sorted(n for n in archive.namelist() if _is_image_path(Path(n).parts))
        except FileNotFoundError as error:
            raise InputError(f"image archive {path} does not exist.") from error
        except (zipfile.BadZipFile, OSError) as error:
            raise InputError(
                f"image archive {path} is damaged: {error}. Copy or download it again."
            ) from error
        if not names:
            raise InputError(f"no images in {path} (looked for {', '.join(sorted(SUFFIXES))}).")
        return cls(_derive_ids(names, str(path)), [(path, n) for n in names])

    def __len__(self) -> int:
        return len(self.ids)

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_archives": {}}  # open files do not go to other processes

    def __repr__(self) -> str:
        return f"StimulusSet({len(self)} images)"

    def image(self, index: int) -> np.ndarray:
        """Decode one image: uint8 RGB of shape (H, W, 3). Errors name the file."""
        source, name = self._load_encoded(index)
        return source if isinstance(source, np.ndarray) else decode_image(source, name)

    def probe(self, index: int) -> tuple[int, int]:
        """Return an image's height and width, reading its header only. Errors name the file."""
        source, name = self._load_encoded(index)
        if isinstance(source, np.ndarray):
            return source.shape[0], source.shape[1]
        return probe_image(source, name)

    def _load_encoded(self, index: int) -> tuple[np.ndarray | Path | bytes, str]:
        """Return an image's pixels, file or bytes, and a name for messages."""
        source = self.sources[index]
        if isinstance(source, bytes):
            return source, f"image {self.ids[index]}"
        if not isinstance(source, tuple):
            return source, "" if isinstance(source, np.ndarray) else str(source)
        path, member = source
        try:
            # Archives stay open: reading an archive's index again for every image is slow.
            with _ARCHIVE_LOCK:
                if path not in self._archives:
                    self._archives[path] = zipfile.ZipFile(path)
                return self._archives[path].read(member), f"{path}:{member}"
        except _ZIP_DAMAGE as error:
            raise InputError(f"image {path}:{member} cannot be read: {error}.") from error

    @cached_property
    def hashes(self) -> tuple[str, ...]:
        """Content hash of each decoded image, on which splits and leak checks depend."""
        return tuple(digest for digest, _, _ in self._fingerprints)

    @cached_property
    def file_hashes(self) -> tuple[str, ...]:
        """Hash of the bytes of each file or member of an archive; `` for pixels in memory.

        Leak checks compare these too, as another library may decode a JPEG to other pixels and so
        to other `hashes`.
        """
        return tuple(digest for _, digest, _ in self._fingerprints)

    @cached_property
    def thumbnails(self) -> np.ndarray:
        """A small copy of each image, uint8 (N, 16, 16, 3), by which near-duplicates are found."""
        return np.array([small for _, _, small in self._fingerprints], np.uint8).reshape(
            -1, SIDE, SIDE, 3
        )

    @cached_property
    def _fingerprints(self) -> list[tuple[str, str, np.ndarray]]:
        """Pixel hash, file hash and thumbnail of each image; each is read and decoded only once."""

        def fingerprint(i: int) -> tuple[str, str, np.ndarray]:
            source, name = self._load_encoded(i)
            if isinstance(source, np.ndarray):
                return hash_image(source), "", thumbnail(source)
            name, data = read_encoded(source, name)
            rgb = decode_image(data, name)
            return hash_image(rgb), hash_bytes(data), thumbnail(rgb)

        return self._map_images(fingerprint)

    def indices(self, ids: Iterable[str]) -> np.ndarray:
        """Return the position of each id, in the order given."""
        positions: Mapping[str, int] = {s: i for i, s in enumerate(self.ids)}
        ids = [clean_name(i) for i in ids]
        missing = [i for i in ids if i not in positions]
        if missing:
            raise unknown_name("stimulus", missing[0], self.ids, f"{len(missing)} are missing.")
        return np.array([positions[i] for i in ids], dtype=np.int64)

    def subset(self, indices: Sequence[int] | np.ndarray) -> StimulusSet:
        """Return the stimuli at `indices`, in that order, with any hashes already computed."""
        chosen = StimulusSet(
            [self.ids[i] for i in indices],
            [self.sources[i] for i in indices],
            [self.groups[i] for i in indices],
        )
        for name in ("hashes", "file_hashes"):
            if name in self.__dict__:
                values = getattr(self, name)
                chosen.__dict__[name] = tuple(values[i] for i in indices)
        if "_fingerprints" in self.__dict__:
            chosen.__dict__["_fingerprints"] = [self._fingerprints[i] for i in indices]
        return chosen

    def decoded(self, size: int, resize: str = "squash", cache: Cache | None = None) -> np.ndarray:
        """Return all images as one read-only uint8 memory map of shape (N, size, size, 3).

        Images are decoded once: the map is kept in the cache under the content hashes, the size,
        the resizing rule (`striate.data.images.resizing`) and the version of Pillow.
        """
        key = {
            "images": hash_json(self.hashes),
            "size": size,
            "resize": resize,
            "pillow": PIL.__version__,  # it decodes and filters
            "version": 1,
        }

        def build(folder: Path) -> None:
            shape = (len(self), size, size, 3)
            images = np.lib.format.open_memmap(folder / "images.npy", "w+", np.uint8, shape)

            def resize_into_map(i: int) -> None:
                images[i] = resize_image(self.image(i), size, resize)

            self._map_images(resize_into_map)
            images.flush()

        folder = (cache or Cache()).get("images", key, build)
        return np.load(folder / "images.npy", mmap_mode="r")

    def _map_images(self, function: Callable[[int], T]) -> list[T]:
        """Call a function with the position of each image, in several threads."""
        with ThreadPoolExecutor() as pool:  # Pillow frees the interpreter lock while decoding
            return list(pool.map(function, range(len(self))))


def same_pictures(first: StimulusSet, second: StimulusSet) -> np.ndarray:
    """Return the positions in `first` of images that are also in `second`, by pixels or files."""
    pixels, files = set(second.hashes), set(second.file_hashes) - {""}
    pairs = zip(first.hashes, first.file_hashes, strict=True)
    return np.array(
        [
            i
            for i, (pixel_hash, file_hash) in enumerate(pairs)
            if pixel_hash in pixels or file_hash in files
        ],
        np.int64,
    )


def image_files(folder: str | Path) -> list[Path]:
    """List every image below a folder, sorted, without hidden files.

    Links to folders and files are followed (`striate.core.walk`).

    Raises:
        InputError: the folder does not exist or has no image, or a link is broken.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"image folder {folder} does not exist.")
    files = files_below(folder, lambda path: path.suffix.lower() in SUFFIXES)
    if not files:
        raise InputError(f"no images in {folder} (looked for {', '.join(sorted(SUFFIXES))}).")
    return files


def _derive_ids(names: Sequence[str], owner: str) -> list[str]:
    """Return the ids of image files, their names without suffix; InputError if two are equal."""
    ids = [clean_name(PurePosixPath(n).with_suffix("")) for n in names]
    advice = "An id is an image's name without suffix: rename one of the files, or move it away."
    check_names(ids, "stimulus id", owner, lambda i: repr(names[i]), advice=advice)
    return ids


def _is_image_path(parts: Sequence[str]) -> bool:
    """Whether a path, given by its parts, is that of an image that is not hidden."""
    hidden = any(p.startswith(".") or p == "__MACOSX" for p in parts)
    return not hidden and Path(parts[-1]).suffix.lower() in SUFFIXES
