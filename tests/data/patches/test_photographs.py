"""Photographs of any size: decoded once, each content once, named where something is wrong."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from striate.core.cache import Cache
from striate.core.errors import InputError
from striate.core.hashing import hash_file, hash_fraction, hash_image
from striate.data.patches import photographs
from striate.data.patches.photographs import Photographs, shrink
from tests.data.layouts import picture, save_picture


@pytest.fixture
def folder(tmp_path):
    """Four files: three sizes, one duplicate under another name and suffix, one gray."""
    root = tmp_path / "photographs"
    save(root / "a.png", picture(0, 20))
    save(root / "deep" / "er" / "b.png", picture(1, 30)[:, :25])
    save(root / "deep" / "a again.bmp", picture(0, 20))
    save(root / "gray.png", picture(2, 16)[..., 0])
    (root / "notes.txt").write_text("no image")
    return root


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def rgb(photos, index):
    return photos.planes(index).transpose(1, 2, 0)


@pytest.mark.parametrize("in_memory", [False, True])
def test_all_sizes_lie_in_one_array(folder, in_memory):
    photos = Photographs.from_folders(folder, in_memory=in_memory)
    assert photos.names == ("a.png", "deep/er/b.png", "gray.png")
    assert photos.duplicates == 1
    np.testing.assert_array_equal(rgb(photos, 0), picture(0, 20))
    np.testing.assert_array_equal(rgb(photos, 1), picture(1, 30)[:, :25])
    np.testing.assert_array_equal(rgb(photos, 2), np.repeat(picture(2, 16)[..., :1], 3, 2))
    assert photos.hashes == tuple(hash_image(rgb(photos, i)) for i in range(3))
    assert (photos.heights.tolist(), photos.widths.tolist()) == ([20, 30, 16], [20, 25, 16])
    assert isinstance(photos.pixels.base, np.memmap) is not in_memory
    assert repr(photos) == "Photographs(3 images; 1 duplicates left out)"


def test_files_are_known_by_their_bytes_with_those_of_duplicates(folder):
    photos = Photographs.from_folders(folder)
    a, b, gray = (
        tuple(hash_file(folder / name) for name in names)
        for names in (("a.png", "deep/a again.bmp"), ("deep/er/b.png",), ("gray.png",))
    )
    assert photos.file_hashes == (a, b, gray)
    assert Photographs.from_folders(folder).file_hashes == (a, b, gray)  # from the cache
    assert photos.subset([2, 0]).file_hashes == (gray, a)
    assert Photographs.from_images([picture(0)]).subset([0]).file_hashes == ()


def test_linked_folders_of_photographs_are_searched(folder, tmp_path):
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "all").symlink_to(folder)
    assert len(Photographs.from_folders(tmp_path / "linked")) == 3


def test_decoded_once(folder, monkeypatch):
    first = Photographs.from_folders(folder)
    monkeypatch.setattr(photographs, "decode_image", lambda *_: pytest.fail("decoded again"))
    reread = Photographs.from_folders(folder)
    assert reread.names == first.names
    moved = folder.rename(folder.with_name("elsewhere"))
    assert Photographs.from_folders(moved).hashes == first.hashes
    np.testing.assert_array_equal(reread.pixels, first.pixels)


def test_a_changed_file_is_decoded_anew(folder):
    first = Photographs.from_folders(folder)
    save(folder / "a.png", picture(7, 20))
    second = Photographs.from_folders(folder)
    assert second.hashes[0] != first.hashes[0]
    assert second.duplicates == 0


def test_several_folders_say_which(tmp_path):
    save_picture(tmp_path / "one" / "a.png", 0)
    save_picture(tmp_path / "two" / "a.png", 1)
    photos = Photographs.from_folders([tmp_path / "one", tmp_path / "two"])
    assert photos.names == ("one/a.png", "two/a.png")
    both = Photographs.from_folders([tmp_path / "one", tmp_path / "one"])
    assert (len(both), both.duplicates) == (1, 0)


def test_the_cache_is_where_one_says(folder, tmp_path):
    Photographs.from_folders(folder, cache=Cache(tmp_path / "mine"))
    assert len(list((tmp_path / "mine").rglob("pixels.npy"))) == 1


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n cut off"])
def test_an_unreadable_file_is_named_or_skipped(folder, content):
    (folder / "bad.png").write_bytes(content)
    with pytest.raises(InputError, match=r"bad\.png.*patches\.unreadable=skip"):
        Photographs.from_folders(folder)
    photos = Photographs.from_folders(folder, skip_unreadable=True)
    assert len(photos) == 3
    assert [name for name, _ in photos.unreadable] == ["bad.png"]
    assert "1 unreadable skipped (bad.png)" in photos.describe()
    with pytest.raises(InputError, match=r"bad\.png"):  # also when a run that skips came first
        Photographs.from_folders(folder)


def test_nothing_left_behind_after_an_error(folder, tmp_path):
    (folder / "bad.png").write_bytes(b"")
    cache = Cache(tmp_path / "mine")
    with pytest.raises(InputError, match="zero bytes"):
        Photographs.from_folders(folder, cache=cache)
    assert not [p for p in cache.root.rglob("*") if p.is_file() and p.suffix != ".lock"]


def test_nothing_readable_and_nothing_given(tmp_path):
    (tmp_path / "bad.png").write_bytes(b"x")
    with pytest.raises(InputError, match=r"none of 1 images can be read.*bad\.png"):
        Photographs.from_folders(tmp_path, skip_unreadable=True)
    with pytest.raises(InputError, match="no folder of photographs"):
        Photographs.from_folders([])
    with pytest.raises(InputError, match="does not exist"):
        Photographs.from_folders(tmp_path / "nowhere")
    with pytest.raises(InputError, match="no image was given"):
        Photographs.from_images([])


def test_large_photographs_are_shrunk_with_antialiasing(tmp_path):
    checks = np.indices((120, 200)).sum(0) % 2 * 255
    fine = np.repeat(checks[..., None].astype(np.uint8), 3, 2)
    save(tmp_path / "fine.png", fine)
    photos = Photographs.from_folders(tmp_path, max_side=50)
    assert (photos.heights[0], photos.widths[0]) == (30, 50)
    assert np.abs(rgb(photos, 0).astype(int)[2:-2, 2:-2] - 127).max() <= 3  # gray, no moiré
    assert photos.hashes == (hash_image(fine),)  # of what the file shows: leak checks go by it
    whole = Photographs.from_folders(tmp_path, max_side=None)
    np.testing.assert_array_equal(rgb(whole, 0), fine)
    assert shrink(fine, 200) is fine
    assert shrink(np.zeros((2, 900, 3), np.uint8), 9).shape == (1, 9, 3)


def test_more_images_than_are_decoded_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(photographs, "_DECODED_AT_ONCE", 2)
    for seed in range(5):
        save(tmp_path / f"{seed}.png", picture(seed, 6 + seed))
    photos = Photographs.from_folders(tmp_path)
    for seed in range(5):
        np.testing.assert_array_equal(rgb(photos, seed), picture(seed, 6 + seed))


def test_images_in_memory():
    photos = Photographs.from_images([picture(0), picture(1, 9), picture(0), picture(2)[..., 0]])
    assert (photos.names, photos.duplicates) == (("0", "1", "3"), 1)
    np.testing.assert_array_equal(rgb(photos, 1), picture(1, 9))
    assert (rgb(photos, 2) == picture(2)[..., :1]).all()
    with pytest.raises(InputError, match=r"image x: expected uint8.*found float64 of \(4, 4, 3\)"):
        Photographs.from_images([np.zeros((4, 4, 3))], ["x"])


def test_held_out_by_content_alone():
    images = [picture(seed, 4) for seed in range(200)]
    photos = Photographs.from_images(images)
    train, held = photos.hold_out()
    assert len(train) + len(held) == 200
    assert 8 <= len(held) <= 35
    assert all(hash_fraction(0, h) < 0.1 for h in held.hashes)
    assert not set(train.hashes) & set(held.hashes)
    _, fewer = Photographs.from_images(images[:100]).hold_out()
    assert set(fewer.hashes) <= set(held.hashes)
    _, other = photos.hold_out(seed=1)
    assert set(other.hashes) != set(held.hashes)
    everything, nothing = photos.hold_out(0.0)
    assert (len(everything), len(nothing)) == (200, 0)
    np.testing.assert_array_equal(
        rgb(held, 0), images[[hash_image(i) for i in images].index(held.hashes[0])]
    )


def test_pixels_go_to_a_device_in_parts(monkeypatch):
    monkeypatch.setattr(photographs, "_COPIED_BYTES", 100)
    photos = Photographs.from_images([picture(0), picture(1, 9)])
    moved = photos.pixels_on(torch.device("cpu"))
    np.testing.assert_array_equal(moved.numpy(), photos.pixels)


def test_what_is_no_list_of_images():
    with pytest.raises(InputError, match=r"list of images, found one array of shape \(8, 9, 3\)"):
        Photographs.from_images(np.zeros((8, 9, 3), np.uint8))
    with pytest.raises(InputError, match=r"image 0: expected a uint8 array.*found a str"):
        Photographs.from_images(["a.png"])
    with pytest.raises(InputError, match="2 names for 1 images"):
        Photographs.from_images([picture(0)], ["a", "b"])


def test_the_home_folder_may_be_written_short(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder.parent))
    assert len(Photographs.from_folders([f"~/{folder.name}"])) == 3
