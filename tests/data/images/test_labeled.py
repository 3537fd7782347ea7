"""Labeled images from folders, parquet and data sets of torchvision's style."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from striate.core.errors import InputError, LeakError
from striate.data.images.labeled import Labeled, check_apart


def pictures(n: int, seed: int = 0) -> list[np.ndarray]:
    draw = np.random.default_rng(seed)
    coarse = draw.integers(0, 256, (n, 5, 5, 3), dtype=np.uint8)
    return [np.array(Image.fromarray(c).resize((20, 20))) for c in coarse]


def encoded(image: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(image).save(out, "PNG")
    return out.getvalue()


def folder(root: Path, n: int = 6, seed: int = 0) -> Path:
    for i, image in enumerate(pictures(n, seed)):
        place = root / ("cat", "dog")[i % 2] / "deep"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place / f"{i}.png")
    return root


def table(path: Path, n: int = 6, **changes: Any) -> Path:
    values = {"image": [encoded(i) for i in pictures(n)], "label": ["cat", "dog"] * (n // 2)}
    pd.DataFrame({**values, **changes}).to_parquet(path)
    return path


def test_three_sources_give_the_same(tmp_path: Path) -> None:
    class Pets:
        classes = ("cat", "dog")

        def __len__(self) -> int:
            return 6

        def __getitem__(self, i: int) -> tuple[Any, int]:
            image = pictures(6)[i]
            return (Image.fromarray(image) if i % 2 else image), i % 2

    sets = [
        Labeled.read(folder(tmp_path / "f")),
        Labeled.read(table(tmp_path / "t.parquet")),
        Labeled.from_dataset(Pets()),
    ]
    content = [set(zip(x.images.hashes, x.labels.tolist(), strict=True)) for x in sets]
    assert content[0] == content[1] == content[2]
    assert all(x.classes == ("cat", "dog") for x in sets)
    assert sets[0].describe() == "6 images of 2 classes (3 a class)"
    assert sets[1].images.decoded(8).shape == (6, 8, 8, 3)


def test_number_labels_go_by_number(tmp_path: Path) -> None:
    labeled = Labeled.read(table(tmp_path / "t.parquet", label=[10, 9, 2, 10, 9, 2]))
    assert labeled.classes == ("2", "9", "10") and labeled.labels.tolist() == [2, 1, 0, 2, 1, 0]
    boxed = [{"bytes": encoded(i), "path": None} for i in pictures(6)]
    assert len(Labeled.read(table(tmp_path / "u.parquet", image=boxed))) == 6


def test_samples_are_even_and_nested(tmp_path: Path) -> None:
    whole = Labeled.read(folder(tmp_path, 20))
    few, more = whole.sample(6), whole.sample(10)
    assert np.bincount(few.labels).tolist() == [3, 3]
    assert set(few.images.ids) < set(more.images.ids)
    assert whole.sample(6, seed=1).images.ids != few.images.ids
    for number in (1, 21):
        with pytest.raises(InputError, match=f"{number} images asked for, found 20"):
            whole.sample(number)


def test_bad_folders(tmp_path: Path) -> None:
    root = folder(tmp_path / "a")
    (root / "emu").mkdir()
    with pytest.raises(InputError, match="class emu has no image"):
        Labeled.read(root)
    (tmp_path / "b" / "cat").mkdir(parents=True)
    Image.fromarray(pictures(1)[0]).save(tmp_path / "b" / "cat" / "x.png")
    with pytest.raises(InputError, match=r"has 1 class \(cat\); to tell classes apart"):
        Labeled.read(tmp_path / "b")
    Image.fromarray(pictures(1)[0]).save(tmp_path / "b" / "loose.png")
    with pytest.raises(InputError, match=r"loose\.png lies in no class's folder"):
        Labeled.read(tmp_path / "b")
    broken = folder(tmp_path / "c")
    (broken / "dog" / "deep" / "bad.png").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"bad\.png"):
        _ = Labeled.read(broken).images.hashes
    with pytest.raises(InputError, match="nowhere: does not exist"):
        Labeled.read(tmp_path / "nowhere")


def test_bad_tables(tmp_path: Path) -> None:
    path = table(tmp_path / "t.parquet")
    with pytest.raises(InputError, match=r"unknown column 'labels'\. Did you mean label"):
        Labeled.read(path, label_column="labels")
    with pytest.raises(InputError, match="row 2 has no label"):
        Labeled.read(table(path, label=["a", "b", None, "a", "b", "a"]))
    with pytest.raises(InputError, match="row 0 holds no encoded image, found str"):
        Labeled.read(table(path, image=["x.png"] * 6))
    damaged = [encoded(pictures(1)[0])[:60]] * 6
    with pytest.raises(InputError, match="image row-0 is damaged"):
        Labeled.read(table(path, image=damaged)).images.image(0)
    path.write_bytes(b"no table")
    with pytest.raises(InputError, match="cannot be read as a table"):
        Labeled.read(path)


def test_bad_datasets() -> None:
    with pytest.raises(InputError, match=r"item 0 is no image: .* found float"):
        Labeled.from_dataset([(0.5, 1)])
    pair = [(i, k) for k, i in enumerate(pictures(3))]
    with pytest.raises(InputError, match="labels 0 to 2, 2 names"):
        Labeled.from_dataset(pair, classes=["a", "b"])


def test_train_and_test_must_be_apart(tmp_path: Path) -> None:
    train = Labeled.read(folder(tmp_path / "train", 8))
    test = Labeled.read(folder(tmp_path / "test", 6, seed=1))
    assert check_apart(train, test) == (train, [])
    source = next((tmp_path / "test" / "cat").rglob("*.png"))
    (tmp_path / "train" / "cat" / "copy.png").write_bytes(source.read_bytes())
    with Image.open(source) as image:
        image.resize((40, 40)).save(tmp_path / "train" / "cat" / "larger.png")
    leaky = Labeled.read(tmp_path / "train")
    with pytest.raises(LeakError, match=r"1 images of .* \(first: cat/copy\.png\)"):
        check_apart(leaky, test)
    training, notes = check_apart(leaky, test, "drop")
    assert len(training) == 9 and "cat/copy.png" not in training.images.ids
    assert notes[0].startswith("1 training images were left out")
    assert "1 of 6 test images look like a training image" in notes[1]
    (tmp_path / "test" / "emu").mkdir()
    Image.fromarray(pictures(1, 5)[0]).save(tmp_path / "test" / "emu" / "e.png")
    with pytest.raises(InputError, match=r"differ: emu \(2 and 3\)"):
        check_apart(train, Labeled.read(tmp_path / "test"))


def test_deep_pictures_in_memory_are_scaled_or_refused_not_cut() -> None:
    """PIL's own conversion of 16 bits and floats to RGB cuts them off."""
    ramp = np.linspace(0, 65535, 256).round().astype(np.uint16).reshape(16, 16)
    sixteen, bytes_ = Image.fromarray(ramp), Image.fromarray((ramp // 257).astype(np.uint8))
    labeled = Labeled.from_dataset([(sixteen, 0), (bytes_, 1)])
    assert labeled.images.hashes[0] == labeled.images.hashes[1]
    for deep in (Image.fromarray(ramp // 16), Image.fromarray(ramp.astype(np.float32))):
        with pytest.raises(InputError, match="data set: item 1"):
            Labeled.from_dataset([(bytes_, 0), (deep, 1)])


def test_training_images_that_are_test_images_are_known_by_their_files_too(tmp_path: Path) -> None:
    train, test = Labeled.read(folder(tmp_path / "a")), Labeled.read(folder(tmp_path / "b"))
    test.images.__dict__["hashes"] = tuple(f"decoded otherwise {i}" for i in range(6))
    with pytest.raises(LeakError, match=r"6 images .* by their pixels or files"):
        check_apart(train, test)


def test_linked_classes_are_found(tmp_path: Path) -> None:
    root = folder(tmp_path / "server")
    (tmp_path / "linked").mkdir()
    for name in ("cat", "dog"):
        (tmp_path / "linked" / name).symlink_to(root / name)
    assert Labeled.read(tmp_path / "linked").images.hashes == Labeled.read(root).images.hashes
