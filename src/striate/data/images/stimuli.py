"""StimulusSet: which images there are, where they lie, and what they are by content."""

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
_ARCHIVE = threading.Lock()
"""One thread reads an archive at a time (zipfile is not safe for more); decoding is outside."""
Source = Path | tuple[Path, str] | bytes | np.ndarray
"""Where an image lies: a file, a (zip file, member) pair, or in memory: the bytes of a file, or
uint8 RGB (H, W, 3)."""

# RuntimeError is what `zipfile` raises for a password and for an unknown compression.
_ZIP_DAMAGE = (OSError, EOFError, KeyError, RuntimeError, zipfile.BadZipFile, zlib.error)


class StimulusSet:
    """An ordered set of images with unique ids, decoded only when asked.

    Args:
        ids: one unique name a stimulus; responses are paired by it.
        sources: where each image lies, in the order of `ids`.
        groups: one label a stimulus where images belong together, such as the frames of one
            movie: a split puts a group into one part. `` for an image that stands alone; None
            where all do.

    Raises:
        InputError: when ids repeat (they are named), the lengths differ, or pixels in memory are
            not uint8 (H, W, 3).
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
            twice = [i for i, n in Counter(self.ids).items() if n > 1]
            raise InputError(
                f"{len(twice)} stimulus ids occur more than once: {', '.join(twice[:5])}. "
                "Give each stimulus its own id; average or stack repeats in the responses."
            )

    @classmethod
    def from_folder(cls, path: str | Path) -> StimulusSet:
        """Take every image below `path`; ids are paths relative to it, without suffix.

        Linked folders and files are followed. Other files are left out, and so are hidden ones
        (`.thumbnails/…`, macOS's `._a.png`).
        """
        path = Path(path)
        files = image_files(path)
        names = [p.relative_to(path).as_posix() for p in files]
        return cls(_image_ids(names, str(path)), files)

    @classmethod
    def from_zip(cls, path: str | Path) -> StimulusSet:
        """Take every image of a zip file, by sorted name; ids are the names without suffix."""
        path = Path(path)
        try:
            with zipfile.ZipFile(path) as archive:
                names = sorted(n for n in archive.namelist() if _is_image(Path(n).parts))
        except FileNotFoundError as error:
            raise InputError(f"image archive {path} does not exist.") from error
        except (zipfile.BadZipFile, OSError) as error:
            raise InputError(
                f"image archive {path} is damaged: {error}. Copy or download it again."
            ) from error
        if not names:
            raise InputError(f"no images in {path} (looked for {', '.join(sorted(SUFFIXES))}).")
        return cls(_image_ids(names, str(path)), [(path, n) for n in names])

    def __len__(self) -> int:
        return len(self.ids)

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_archives": {}}  # open files do not go to other processes

    def __repr__(self) -> str:
        return f"StimulusSet({len(self)} images)"

    def image(self, index: int) -> np.ndarray:
        """Decode one image: uint8 RGB of shape (H, W, 3). Errors name the file."""
        source, name = self._encoded(index)
        return source if isinstance(source, np.ndarray) else decode_image(source, name)

    def probe(self, index: int) -> tuple[int, int]:
        """Return an image's height and width, reading its header only. Errors name the file."""
        source, name = self._encoded(index)
        if isinstance(source, np.ndarray):
            return source.shape[0], source.shape[1]
        return probe_image(source, name)

    def _encoded(self, index: int) -> tuple[np.ndarray | Path | bytes, str]:
        """Return an image's pixels, file or bytes, and a name for messages."""
        source = self.sources[index]
        if isinstance(source, bytes):
            return source, f"image {self.ids[index]}"
        if not isinstance(source, tuple):
            return source, "" if isinstance(source, np.ndarray) else str(source)
        path, member = source
        try:
            # Kept open: reading an archive's index anew for every image is what costs.
            with _ARCHIVE:
                if path not in self._archives:
                    self._archives[path] = zipfile.ZipFile(path)
                return self._archives[path].read(member), f"{path}:{member}"
        except _ZIP_DAMAGE as error:
            raise InputError(f"image {path}:{member} cannot be read: {error}.") from error

    @cached_property
    def hashes(self) -> tuple[str, ...]:
        """Content hash of each decoded image: what splits and leak checks go by."""
        return tuple(digest for digest, _, _ in self._looked)

    @cached_property
    def file_hashes(self) -> tuple[str, ...]:
        """Hash of the bytes of each file or member of an archive; `` for pixels in memory.

        Another library may decode a JPEG to other pixels, and then `hashes` differ: the bytes are
        the second thing that leak checks go by.
        """
        return tuple(digest for _, digest, _ in self._looked)

    @cached_property
    def thumbnails(self) -> np.ndarray:
        """A small copy of each image, uint8 (N, 16, 16, 3): what near-duplicates are found by."""
        return np.array([small for _, _, small in self._looked], np.uint8).reshape(
            -1, SIDE, SIDE, 3
        )

    @cached_property
    def _looked(self) -> list[tuple[str, str, np.ndarray]]:
        """Hashes of pixels and file, and thumbnail of each image: read and decoded once for all."""

        def look(i: int) -> tuple[str, str, np.ndarray]:
            source, name = self._encoded(i)
            if isinstance(source, np.ndarray):
                return hash_image(source), "", thumbnail(source)
            name, data = read_encoded(source, name)
            rgb = decode_image(data, name)
            return hash_image(rgb), hash_bytes(data), thumbnail(rgb)

        return self._map(look)

    def indices(self, ids: Iterable[str]) -> np.ndarray:
        """Return the position of each id, in the order given."""
        place: Mapping[str, int] = {s: i for i, s in enumerate(self.ids)}
        ids = [clean_name(i) for i in ids]
        missing = [i for i in ids if i not in place]
        if missing:
            raise unknown_name("stimulus", missing[0], self.ids, f"{len(missing)} are missing.")
        return np.array([place[i] for i in ids], dtype=np.int64)

    def subset(self, indices: Sequence[int] | np.ndarray) -> StimulusSet:
        """Return the stimuli at `indices`, in that order; known hashes and thumbnails go along."""
        part = StimulusSet(
            [self.ids[i] for i in indices],
            [self.sources[i] for i in indices],
            [self.groups[i] for i in indices],
        )
        for name in ("hashes", "file_hashes"):
            if name in self.__dict__:
                known = getattr(self, name)
                part.__dict__[name] = tuple(known[i] for i in indices)
        if "_looked" in self.__dict__:
            part.__dict__["_looked"] = [self._looked[i] for i in indices]
        return part

    def decoded(self, size: int, resize: str = "squash", cache: Cache | None = None) -> np.ndarray:
        """Return all images as one read-only uint8 memory map of shape (N, size, size, 3).

        Decoded once: the map lies in the cache under the content hashes, the size, the rule of
        resizing (`striate.data.images.resizing`) and the version of Pillow.
        """
        key = {
            "images": hash_json(self.hashes),
            "size": size,
            "resize": resize,
            "pillow": PIL.__version__,  # whose filters they are
            "version": 1,
        }

        def build(folder: Path) -> None:
            shape = (len(self), size, size, 3)
            out = np.lib.format.open_memmap(folder / "images.npy", "w+", np.uint8, shape)

            def one(i: int) -> None:
                out[i] = resize_image(self.image(i), size, resize)

            self._map(one)
            out.flush()

        folder = (cache or Cache()).get("images", key, build)
        return np.load(folder / "images.npy", mmap_mode="r")

    def _map(self, function: Callable[[int], T]) -> list[T]:
        with ThreadPoolExecutor() as pool:  # Pillow frees the interpreter lock while decoding
            return list(pool.map(function, range(len(self))))


def same_pictures(first: StimulusSet, second: StimulusSet) -> np.ndarray:
    """Positions of the images of `first` that are in `second` too, by pixels or by files."""
    pixels, files = set(second.hashes), set(second.file_hashes) - {""}
    pairs = zip(first.hashes, first.file_hashes, strict=True)
    return np.array([i for i, (h, f) in enumerate(pairs) if h in pixels or f in files], np.int64)


def image_files(folder: str | Path) -> list[Path]:
    """List every image below a folder, sorted; other and hidden files are left out.

    Linked folders and files are followed (`striate.core.walk`).

    Raises:
        InputError: no such folder, no image in it, or a link to what is not there.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"image folder {folder} does not exist.")
    files = files_below(folder, lambda path: path.suffix.lower() in SUFFIXES)
    if not files:
        raise InputError(f"no images in {folder} (looked for {', '.join(sorted(SUFFIXES))}).")
    return files


def _image_ids(names: Sequence[str], owner: str) -> list[str]:
    """Ids of image files: their names without suffix. InputError where two become one."""
    ids = [clean_name(PurePosixPath(n).with_suffix("")) for n in names]
    advice = "An id is an image's name without suffix: rename one of the files, or move it away."
    check_names(ids, "stimulus id", owner, lambda i: repr(names[i]), advice=advice)
    return ids


def _is_image(parts: Sequence[str]) -> bool:
    """Whether a path (its parts) is that of an image, and not a hidden file's."""
    hidden = any(p.startswith(".") or p == "__MACOSX" for p in parts)
    return not hidden and Path(parts[-1]).suffix.lower() in SUFFIXES
