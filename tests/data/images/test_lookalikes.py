"""Near-duplicates: copies of a photograph are found, different pictures and flat ones are not."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from striate.core.hashing import hash_image
from striate.data.images.decode import decode_image
from striate.data.images.lookalikes import SIDE, near_duplicates, thumbnail

PHOTOS = ("astronaut", "camera", "cell", "chelsea", "coffee", "coins", "ihc", "moon")


@pytest.fixture(scope="module")
def photos() -> list[np.ndarray]:
    skimage = pytest.importorskip("skimage", reason="photographs are in scikit-image (extra demo)")
    folder = Path(skimage.__file__).parent / "data"
    return [decode_image(folder / f"{name}.png") for name in PHOTOS]


def encoded(rgb: np.ndarray, kind: str, **how: object) -> np.ndarray:
    stream = BytesIO()
    Image.fromarray(rgb).save(stream, kind, **how)
    return decode_image(stream.getvalue())


def resized(rgb: np.ndarray, share: float) -> np.ndarray:
    image = Image.fromarray(rgb)
    size = (round(image.width * share), round(image.height * share))
    return np.array(image.resize(size, Image.Resampling.BICUBIC))


def small(pictures: list[np.ndarray]) -> np.ndarray:
    return np.stack([thumbnail(rgb) for rgb in pictures])


COPIES = {
    "jpeg 90": lambda rgb: encoded(rgb, "jpeg", quality=90),
    "jpeg 50": lambda rgb: encoded(rgb, "jpeg", quality=50),
    "webp": lambda rgb: encoded(rgb, "webp", quality=60),
    "half": lambda rgb: resized(rgb, 0.5),
    "larger": lambda rgb: resized(rgb, 1.3),
    "square": lambda rgb: np.array(Image.fromarray(rgb).resize((224, 224))),
    "small jpeg": lambda rgb: encoded(resized(rgb, 0.5), "jpeg", quality=75),
}


@pytest.mark.parametrize("copy", COPIES.values(), ids=COPIES)
def test_copies_of_photographs_are_found_and_nothing_else(photos, copy):
    copies = [copy(rgb) for rgb in photos]
    assert not {*map(hash_image, photos)} & {*map(hash_image, copies)}
    pairs = near_duplicates(small(photos), small(copies))
    assert pairs.tolist() == [[i, i] for i in range(len(photos))]


def test_one_set_with_itself_gives_each_pair_once(photos):
    both = [photos[3], *photos, encoded(photos[0], "jpeg"), photos[0]]
    assert near_duplicates(small(both)).tolist() == [[0, 4], [1, 9], [1, 10], [9, 10]]
    assert len(near_duplicates(small(photos))) == 0


def test_a_large_set_goes_through_in_blocks(photos, monkeypatch):
    monkeypatch.setattr("striate.data.images.lookalikes.BLOCK", 2)
    copied = small([photos[0]] * 3 + photos)
    pairs = [[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]]
    assert near_duplicates(copied).tolist() == pairs


def test_the_same_scene_in_other_colors_or_mirrored_is_another_picture(photos):
    for change in (lambda rgb: rgb[..., ::-1], lambda rgb: rgb[:, ::-1], lambda rgb: 255 - rgb):
        colored = [photos[0], photos[3], photos[4]]  # astronaut, chelsea, coffee
        assert len(near_duplicates(small(colored), small([change(p) for p in colored]))) == 0


def test_flat_pictures_are_never_called_alike():
    rng = np.random.default_rng(0)
    flat = [np.full((32, 32, 3), level, np.uint8) for level in range(0, 256, 5)]
    noise = [rng.integers(0, 256, (64, 64, 3), dtype=np.uint8) for _ in range(50)]
    faint = [np.clip(127 + rng.normal(0, 2, (32, 32, 3)), 0, 255).astype(np.uint8) for _ in noise]
    assert len(near_duplicates(small(flat + noise + faint))) == 0


def test_gratings_are_told_apart():
    y, x = np.mgrid[:96, :96] / 96
    gratings = []
    for angle in np.arange(0, np.pi, np.pi / 12):
        for cycles in (1, 2, 4, 8, 16):
            for phase in (0, 0.25, 0.5, 0.75):
                along = cycles * (x * np.cos(angle) + y * np.sin(angle)) + phase
                for contrast in (0.3, 1.0):
                    gray = 127.5 + 127 * contrast * np.sin(2 * np.pi * along)
                    gratings.append(np.repeat(gray[..., None], 3, axis=2).astype(np.uint8))
    assert len(near_duplicates(small(gratings))) == 0


def test_objects_on_an_even_ground_are_told_apart_and_their_copies_found():
    rng = np.random.default_rng(0)
    objects = []
    for _ in range(30):
        rgb = np.full((120, 120, 3), 128, np.uint8)
        x, y = rng.integers(10, 50, 2)
        coarse = Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8))
        rgb[y : y + 60, x : x + 60] = np.array(coarse.resize((60, 60)))
        objects.append(rgb)
    copies = [encoded(rgb, "jpeg", quality=80) for rgb in objects]
    assert near_duplicates(small(objects), small(copies)).tolist() == [[i, i] for i in range(30)]


def test_no_pictures():
    none = np.empty((0, SIDE, SIDE, 3), np.uint8)
    assert near_duplicates(none).shape == near_duplicates(none, none).shape == (0, 2)


def test_a_real_set_of_photographs_has_no_false_pair(shared_data):
    files = sorted((shared_data / "data" / "bsds500").rglob("*.jpg"))
    if not files:
        pytest.skip("BSDS500 is not here")
    assert len(near_duplicates(small([decode_image(f) for f in files]))) == 0
