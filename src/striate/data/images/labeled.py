"""Images with class labels, from folders, parquet or a data set in the style of torchvision."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from PIL import Image

from striate.core.errors import InputError, LeakError, unknown_name
from striate.core.hashing import hash_file, hash_fraction, hash_image, hash_json
from striate.core.names import check_names, clean_name
from striate.core.tables import read_table
from striate.data.images.decode import rgb_of
from striate.data.images.lookalikes import near_duplicates
from striate.data.images.stimuli import Source, StimulusSet, image_files, same_pictures


@dataclass(frozen=True, eq=False)
class Labeled:
    """Images and the class of each.

    Attributes:
        images: the N images.
        labels: int64 (N,), positions in `classes`.
        classes: names of two or more classes, each with at least one image.
        name: what to call the set in messages.
    """

    images: StimulusSet
    labels: np.ndarray
    classes: tuple[str, ...]
    name: str

    def __post_init__(self) -> None:
        if len(self.labels) != len(self.images):
            raise InputError(f"{self.name}: {len(self.labels)} labels, {len(self.images)} images.")
        if len(self.classes) < 2:
            raise InputError(
                f"{self.name} has {len(self.classes)} class"
                f"{f' ({self.classes[0]})' if self.classes else 'es'}; to tell classes apart needs "
                "two or more."
            )
        counts = np.bincount(self.labels, minlength=len(self.classes))
        if (counts == 0).any():
            raise InputError(
                f"{self.name}: class {self.classes[int(counts.argmin())]} has no image. Take it "
                "out, or give it images."
            )

    def __len__(self) -> int:
        return len(self.images)

    @classmethod
    def read(
        cls, path: str | Path, *, image_column: str = "image", label_column: str = "label"
    ) -> Self:
        """Read a folder (`from_folder`) or a parquet file (`from_parquet`)."""
        path = Path(path)
        if path.is_dir():
            return cls.from_folder(path)
        if path.suffix == ".parquet":
            return cls.from_parquet(path, image_column=image_column, label_column=label_column)
        problem = "does not exist" if not path.exists() else "is neither a folder nor .parquet"
        raise InputError(
            f"labeled images {path}: {problem}. Give a folder with a folder for each class, or a "
            "parquet file with a column of encoded images and one of labels."
        )

    @classmethod
    def from_folder(cls, path: str | Path) -> Self:
        """Read `path/CLASS/…`: each folder in `path` is a class; its images may lie at any depth.

        Raises:
            InputError: a class without images, images outside all classes, or fewer than two
                classes.
        """
        path = Path(path)
        files = image_files(path)
        ids = [f.relative_to(path).as_posix() for f in files]
        outside = [i for i in ids if "/" not in i]
        if outside:
            raise InputError(
                f"{path}: image {outside[0]} lies in no class's folder ({len(outside)} such). Put "
                "each image into a folder named by its class."
            )
        folder_names = sorted(
            p.name for p in path.iterdir() if p.is_dir() and not p.name.startswith((".", "__"))
        )
        classes = sorted(map(clean_name, folder_names))
        check_names(classes, "class", str(path), lambda i: f"folder {i + 1}", folder_names)
        names = [clean_name(i.partition("/")[0]) for i in ids]
        return cls(
            StimulusSet(ids, files), _number_labels(names, classes), tuple(classes), str(path)
        )

    @classmethod
    def from_parquet(
        cls, path: str | Path, *, image_column: str = "image", label_column: str = "label"
    ) -> Self:
        """Read a table of encoded images (bytes, or `{bytes, path}`) and labels (text or numbers).

        Raises:
            InputError: an unreadable file, an absent column, or a row without image or label.
        """
        columns = {image_column, label_column}
        table = read_table(Path(path), only=columns.__contains__)
        for kind, column in (("image", image_column), ("label", label_column)):
            if column not in table:
                hint = f"({path}: name the column of the {kind}s, {kind}_column=…)"
                raise unknown_name("column", column, table.header, hint)
        labels = table.given(label_column)
        texts = table.texts(label_column)
        if "" in texts:
            row = texts.index("")
            raise InputError(f"{path}: row {row} has no label. Take it out or label it.")
        images = table.given(image_column)
        sources = [_read_encoded_image(v, f"{path}, row {i}") for i, v in enumerate(images)]
        ids = [f"row-{i}" for i in range(len(table))]
        return cls._number_classes(StimulusSet(ids, sources), labels, str(path))

    @classmethod
    def from_dataset(
        cls, dataset: Any, classes: Sequence[str] | None = None, name: str = "data set"
    ) -> Self:
        """Take a sequence of pairs (PIL image or uint8 array, class number).

        Args:
            dataset: anything with a length and such items, for example a data set of torchvision
                without a transform.
            classes: names of the classes; default the data set's own `classes`, else the numbers.
            name: what to call the set in messages.

        Raises:
            InputError: an item of another kind; its number is given.
        """
        class_names = classes if classes is not None else getattr(dataset, "classes", None)
        sources: list[Source] = []
        numbers: list[int] = []
        for i in range(len(dataset)):
            image, label = dataset[i]
            if isinstance(image, Image.Image):
                image = rgb_of(image, f"{name}: item {i}")
            if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3:
                raise InputError(
                    f"{name}: item {i} is no image: expected a PIL image or uint8 (H, W, 3), found "
                    f"{type(image).__name__}. Leave out transforms that make tensors."
                )
            sources.append(image)
            numbers.append(int(label))
        images = StimulusSet([f"item-{i}" for i in range(len(sources))], sources)
        if class_names is None:
            return cls._number_classes(images, numbers, name)
        if numbers and not 0 <= min(numbers) <= max(numbers) < len(class_names):
            raise InputError(
                f"{name}: labels {min(numbers)} to {max(numbers)}, {len(class_names)} names."
            )
        classes = tuple(map(clean_name, class_names))
        check_names(classes, "class", name, lambda i: f"place {i}", [str(c) for c in class_names])
        return cls(images, np.array(numbers, np.int64), classes, name)

    @classmethod
    def _number_classes(cls, images: StimulusSet, values: list[Any], name: str) -> Self:
        """Build the set with the values as classes; whole numbers are sorted as numbers."""
        numbers = sorted(set(values)) if all(_is_whole_number(v) for v in values) else None
        names = [clean_name(v) for v in values]
        texts = [str(v) for v in numbers] if numbers else sorted(set(names))
        return cls(images, _number_labels(names, texts), tuple(texts), name)

    def subset(self, rows: np.ndarray) -> Labeled:
        """Return the images at `rows`, with the same classes."""
        return Labeled(self.images.subset(rows), self.labels[rows], self.classes, self.name)

    def sample(self, number: int | None, seed: int = 0) -> Labeled:
        """Return `number` images, as evenly over classes as possible, chosen by content and seed.

        Raises:
            InputError: `number` is below one per class or above the number of images.
        """
        if number is None or number == len(self):
            return self
        if not len(self.classes) <= number < len(self):
            raise InputError(
                f"{self.name}: {number} images asked for, found {len(self)} of {len(self.classes)} "
                "classes. Ask for one of each class or more, and no more than there are."
            )
        # Hash files instead of pixels: decoding 60,000 images only to drop most of them is slow.
        draws = np.array([hash_fraction(seed, _hash_source(s)) for s in self.images.sources])
        rank = np.empty(len(self), np.int64)
        for k in range(len(self.classes)):
            members = np.flatnonzero(self.labels == k)
            rank[members[np.argsort(draws[members], kind="stable")]] = np.arange(len(members))
        rows = np.lexsort((draws, rank))[:number]
        return self.subset(np.sort(rows))

    def describe(self) -> str:
        """Describe the set in one line."""
        counts = np.bincount(self.labels, minlength=len(self.classes))
        least, most = counts.min(), counts.max()
        each = f"{least}" if least == most else f"{least} to {most}"
        return f"{len(self):,} images of {len(self.classes)} classes ({each} a class)"


def check_apart(train: Labeled, test: Labeled, leaks: str = "error") -> tuple[Labeled, list[str]]:
    """Check that no test image is a training image; return the images to train on, and notes.

    Equal pixels or equal files are a leak. Leaks are refused, or left out of the training images
    with `leaks="drop"`. Near-duplicates are only named, as the set of test images must not change.

    Raises:
        InputError: the two sets have different classes; they are named.
        LeakError: test images are among the training images.
    """
    if train.classes != test.classes:
        differing = sorted(set(train.classes) ^ set(test.classes))
        raise InputError(
            f"classes of {train.name} and {test.name} differ: "
            f"{', '.join(differing[:5]) or 'their order'} ({len(train.classes)} and "
            f"{len(test.classes)}). Both must have the same."
        )
    notes, leaked = [], np.zeros(len(train), dtype=bool)
    leaked[same_pictures(train.images, test.images)] = True
    if leaked.any():
        first = train.images.ids[int(leaked.argmax())]
        if leaks != "drop":
            raise LeakError(
                f"{int(leaked.sum())} images of {train.name} are also in {test.name} (first: "
                f"{first}), by their pixels or files. Take them out of one, or set leaks=drop to "
                "leave them out of training."
            )
        notes.append(f"{int(leaked.sum())} training images were left out: they are test images.")
        train = train.subset(np.flatnonzero(~leaked))
    pairs = near_duplicates(train.images.thumbnails, test.images.thumbnails)
    if len(pairs):
        a, b = pairs[0]
        notes.append(
            f"{len(np.unique(pairs[:, 1]))} of {len(test)} test images look like a training image "
            f"(first: {test.images.ids[b]} like {train.images.ids[a]}); they were kept."
        )
    repeated = [h for h, n in Counter(train.images.hashes).items() if n > 1]
    if repeated:
        notes.append(f"{len(repeated)} training images occur more than once.")
    return train, notes


def _number_labels(names: Sequence[str], classes: Sequence[str]) -> np.ndarray:
    """Return the position of each name in `classes`, int64 (N,)."""
    positions = {c: i for i, c in enumerate(classes)}
    return np.array([positions[n] for n in names], np.int64)


def _hash_source(source: Source) -> str:
    """Hash an image as it is stored, without decoding it."""
    if isinstance(source, np.ndarray):
        return hash_image(source)
    if isinstance(source, bytes):
        return hashlib.sha256(source).hexdigest()
    return hash_file(source) if isinstance(source, Path) else hash_json([str(p) for p in source])


def _is_whole_number(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _read_encoded_image(value: Any, name: str) -> bytes:
    """Return the bytes of an encoded image from a cell of a table; InputError if there are none."""
    if isinstance(value, dict):  # how the `datasets` library stores images
        value = value.get("bytes")
    if not isinstance(value, bytes) or not value:
        raise InputError(f"{name} holds no encoded image, found {type(value).__name__}.")
    return value
