"""Images with labels: a folder a class, parquet, or any data set of torchvision's style."""

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
        images: N of them.
        labels: int64 (N,), places in `classes`.
        classes: names, two or more, none of them without an image.
        name: for messages.
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
        """Take `path/CLASS/…`: the first folder below `path` is the class, to any depth below.

        Raises:
            InputError: a class without images, images outside of any class, or fewer than two.
        """
        path = Path(path)
        files = image_files(path)
        ids = [f.relative_to(path).as_posix() for f in files]
        loose = [i for i in ids if "/" not in i]
        if loose:
            raise InputError(
                f"{path}: image {loose[0]} lies in no class's folder ({len(loose)} such). Put each "
                "image into a folder named by its class."
            )
        given = sorted(
            p.name for p in path.iterdir() if p.is_dir() and not p.name.startswith((".", "__"))
        )
        classes = sorted(map(clean_name, given))
        check_names(classes, "class", str(path), lambda i: f"folder {i + 1}", given)
        names = [clean_name(i.partition("/")[0]) for i in ids]
        return cls(StimulusSet(ids, files), _places(names, classes), tuple(classes), str(path))

    @classmethod
    def from_parquet(
        cls, path: str | Path, *, image_column: str = "image", label_column: str = "label"
    ) -> Self:
        """Take a table of encoded images (bytes, or `{bytes, path}`) and labels (text or numbers).

        Raises:
            InputError: an unreadable file, an absent column, or a row without image or label.
        """
        wanted = {image_column, label_column}
        table = read_table(Path(path), only=wanted.__contains__)
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
        sources = [_encoded(v, f"{path}, row {i}") for i, v in enumerate(images)]
        ids = [f"row-{i}" for i in range(len(table))]
        return cls._named(StimulusSet(ids, sources), labels, str(path))

    @classmethod
    def from_dataset(
        cls, dataset: Any, classes: Sequence[str] | None = None, name: str = "data set"
    ) -> Self:
        """Take anything with a length whose items are (PIL image or uint8 array, whole number).

        Args:
            dataset: torchvision's data sets without a transform are such.
            classes: names; default those that the data set itself has, else the numbers.
            name: for messages.

        Raises:
            InputError: an item that is something else, by its number.
        """
        known = classes if classes is not None else getattr(dataset, "classes", None)
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
        if known is None:
            return cls._named(images, numbers, name)
        if numbers and not 0 <= min(numbers) <= max(numbers) < len(known):
            raise InputError(
                f"{name}: labels {min(numbers)} to {max(numbers)}, {len(known)} names."
            )
        classes = tuple(map(clean_name, known))
        check_names(classes, "class", name, lambda i: f"place {i}", [str(c) for c in known])
        return cls(images, np.array(numbers, np.int64), classes, name)

    @classmethod
    def _named(cls, images: StimulusSet, values: list[Any], name: str) -> Self:
        """Classes are the values that there are, numbers in the order of numbers."""
        order = sorted(set(values)) if all(_whole(v) for v in values) else None
        named = [clean_name(v) for v in values]
        texts = [str(v) for v in order] if order else sorted(set(named))
        return cls(images, _places(named, texts), tuple(texts), name)

    def subset(self, rows: np.ndarray) -> Labeled:
        """Return those at `rows`, with the same classes."""
        return Labeled(self.images.subset(rows), self.labels[rows], self.classes, self.name)

    def sample(self, number: int | None, seed: int = 0) -> Labeled:
        """Return `number` images, as many of each class as go; by files' content and the seed.

        Raises:
            InputError: fewer than one a class, or more than there are.
        """
        if number is None or number == len(self):
            return self
        if not len(self.classes) <= number < len(self):
            raise InputError(
                f"{self.name}: {number} images asked for, found {len(self)} of {len(self.classes)} "
                "classes. Ask for one of each class or more, and no more than there are."
            )
        # of files as they are: to decode 60,000 images only to leave most of them is slow
        draws = np.array([hash_fraction(seed, _digest(s)) for s in self.images.sources])
        rank = np.empty(len(self), np.int64)
        for k in range(len(self.classes)):
            own = np.flatnonzero(self.labels == k)
            rank[own[np.argsort(draws[own], kind="stable")]] = np.arange(len(own))
        rows = np.lexsort((draws, rank))[:number]
        return self.subset(np.sort(rows))

    def describe(self) -> str:
        """Say what they are in one line."""
        counts = np.bincount(self.labels, minlength=len(self.classes))
        least, most = counts.min(), counts.max()
        each = f"{least}" if least == most else f"{least} to {most}"
        return f"{len(self):,} images of {len(self.classes)} classes ({each} a class)"


def check_apart(train: Labeled, test: Labeled, leaks: str = "error") -> tuple[Labeled, list[str]]:
    """See that test images are no training images; returns what to train on, and notes.

    Equal pixels, or files, are a leak: refused, or with `leaks="drop"` left out of the training
    images.
    Near-duplicates are only named: which images are tested is not ours to change.

    Raises:
        InputError: classes that differ, by name.
        LeakError: training images that are test images.
    """
    if train.classes != test.classes:
        odd = sorted(set(train.classes) ^ set(test.classes))
        raise InputError(
            f"classes of {train.name} and {test.name} differ: {', '.join(odd[:5]) or 'their order'}"
            f" ({len(train.classes)} and {len(test.classes)}). Both must have the same."
        )
    notes, both = [], np.zeros(len(train), dtype=bool)
    both[same_pictures(train.images, test.images)] = True
    if both.any():
        first = train.images.ids[int(both.argmax())]
        if leaks != "drop":
            raise LeakError(
                f"{int(both.sum())} images of {train.name} are also in {test.name} (first: {first})"
                ", by their pixels or files. Take them out of one, or set leaks=drop to leave them "
                "out of training."
            )
        notes.append(f"{int(both.sum())} training images were left out: they are test images.")
        train = train.subset(np.flatnonzero(~both))
    pairs = near_duplicates(train.images.thumbnails, test.images.thumbnails)
    if len(pairs):
        a, b = pairs[0]
        notes.append(
            f"{len(np.unique(pairs[:, 1]))} of {len(test)} test images look like a training image "
            f"(first: {test.images.ids[b]} like {train.images.ids[a]}); they were kept."
        )
    again = [h for h, n in Counter(train.images.hashes).items() if n > 1]
    if again:
        notes.append(f"{len(again)} training images occur more than once.")
    return train, notes


def _places(names: Sequence[str], classes: Sequence[str]) -> np.ndarray:
    place = {c: i for i, c in enumerate(classes)}
    return np.array([place[n] for n in names], np.int64)


def _digest(source: Source) -> str:
    """Hash of an image as it is stored."""
    if isinstance(source, np.ndarray):
        return hash_image(source)
    if isinstance(source, bytes):
        return hashlib.sha256(source).hexdigest()
    return hash_file(source) if isinstance(source, Path) else hash_json([str(p) for p in source])


def _whole(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _encoded(value: Any, name: str) -> bytes:
    if isinstance(value, dict):  # how the `datasets` library stores images
        value = value.get("bytes")
    if not isinstance(value, bytes) or not value:
        raise InputError(f"{name} holds no encoded image, found {type(value).__name__}.")
    return value
