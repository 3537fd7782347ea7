"""StimulusSet: ids and content, wherever the images lie."""

from __future__ import annotations

import pickle
import zipfile

import numpy as np
import pytest
from PIL import Image

from striate.core.cache import Cache
from striate.core.errors import InputError
from striate.core.hashing import hash_bytes, hash_file, hash_image
from striate.data import StimulusSet
from striate.data.images import stimuli
from striate.data.images.lookalikes import thumbnail
from tests.data.layouts import picture, png_bytes, save_picture, write_images


def test_folder_ids_are_relative_paths_without_suffix(tmp_path):
    save_picture(tmp_path / "cats" / "tom.png", 0)
    save_picture(tmp_path / "dogs" / "tom.BMP", 1)
    images = StimulusSet.from_folder(tmp_path)
    assert images.ids == ("cats/tom", "dogs/tom")
    np.testing.assert_array_equal(images.image(1), picture(1))


def test_stray_files_are_left_out(tmp_path):
    write_images(tmp_path, [0, 1])
    (tmp_path / "Thumbs.db").write_bytes(b"x")
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "._a0000.png").write_bytes(b"\x00\x05\x16\x07")  # macOS leaves these behind
    save_picture(tmp_path / ".thumbnails" / "a0000.png", 3)
    (tmp_path / "folder.png").mkdir()
    assert StimulusSet.from_folder(tmp_path).ids == ("a0000", "a0001")


def test_linked_folders_are_followed_and_give_ids_of_their_own(tmp_path):
    """Four of five pictures lay in a linked folder and were not found."""
    write_images(tmp_path / "server" / "day1", [0, 1])
    write_images(tmp_path / "server" / "day2", [2, 3])
    save_picture(tmp_path / "images" / "own.png", 4)
    for day in ("day1", "day2"):
        (tmp_path / "images" / day).symlink_to(tmp_path / "server" / day)
    (tmp_path / "images" / "back").symlink_to(tmp_path / "images")  # a loop
    images = StimulusSet.from_folder(tmp_path / "images")
    assert images.ids == ("day1/a0000", "day1/a0001", "day2/a0002", "day2/a0003", "own")
    assert images.hashes[4] == hash_image(picture(4))
    (tmp_path / "images" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    with pytest.raises(InputError, match=r"gone\.png is a link to .*datalad get"):
        StimulusSet.from_folder(tmp_path / "images")


def test_no_images_and_no_folder(tmp_path):
    with pytest.raises(InputError, match=r"no images in .*looked for .*\.png"):
        StimulusSet.from_folder(tmp_path)
    with pytest.raises(InputError, match="does not exist"):
        StimulusSet.from_folder(tmp_path / "nowhere")


def test_the_same_name_with_two_suffixes_is_a_duplicate_id(tmp_path):
    save_picture(tmp_path / "a.png", 0)
    save_picture(tmp_path / "a.bmp", 1)
    with pytest.raises(InputError, match="1 stimulus ids occur more than once: a"):
        StimulusSet.from_folder(tmp_path)


def test_duplicate_ids_are_named():
    with pytest.raises(InputError, match="more than once: b, c"):
        StimulusSet(["a", "b", "b", "c", "c"], [picture(i) for i in range(5)])


def test_more_ids_than_images():
    with pytest.raises(InputError, match="2 stimulus ids for 1 images"):
        StimulusSet(["a", "b"], [picture(0)])


def test_zip_is_read_by_sorted_name(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for seed in (2, 0, 1):
            archive.writestr(f"image{seed}.png", png_bytes(seed))
        archive.writestr("__MACOSX/._image0.png", b"junk")
        archive.writestr("readme.txt", b"junk")
    images = StimulusSet.from_zip(tmp_path / "a.zip")
    assert images.ids == ("image0", "image1", "image2")
    assert images.hashes == tuple(hash_image(picture(i)) for i in range(3))
    # An archive that is open in this process does not hinder sending the set to another.
    assert pickle.loads(pickle.dumps(images)).hashes == images.hashes


def test_damaged_and_missing_zip(tmp_path):
    with pytest.raises(InputError, match=r"b\.zip does not exist"):
        StimulusSet.from_zip(tmp_path / "b.zip")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.png", png_bytes(0))
    whole = (tmp_path / "a.zip").read_bytes()
    (tmp_path / "a.zip").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"a\.zip is damaged"):
        StimulusSet.from_zip(tmp_path / "a.zip")


def test_zip_without_images(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("readme.txt", b"x")
    with pytest.raises(InputError, match="no images in"):
        StimulusSet.from_zip(tmp_path / "a.zip")


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_damaged_member_is_named(tmp_path, compression):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("a.png", png_bytes(0))
        archive.writestr("b.png", png_bytes(1))
        offset = archive.getinfo("b.png").header_offset
    data = bytearray(path.read_bytes())
    data[offset + 60 : offset + 120] = b"\xff" * 60
    path.write_bytes(bytes(data))
    images = StimulusSet.from_zip(path)
    np.testing.assert_array_equal(images.image(0), picture(0))
    with pytest.raises(InputError, match=r"a\.zip:b\.png"):
        images.image(1)


def test_hashes_are_of_content_not_name(tmp_path):
    write_images(tmp_path, [0, 1])
    save_picture(tmp_path / "copy.bmp", 0)
    a, b, copy = StimulusSet.from_folder(tmp_path).hashes
    assert a == copy != b


def test_a_broken_image_is_named_when_hashing(tmp_path):
    write_images(tmp_path, [0, 1, 2])
    (tmp_path / "a0001.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"a0001\.png has zero bytes"):
        _ = StimulusSet.from_folder(tmp_path).hashes


def test_an_image_deleted_after_listing_is_named(tmp_path):
    write_images(tmp_path, [0])
    images = StimulusSet.from_folder(tmp_path)
    (tmp_path / "a0000.png").unlink()
    with pytest.raises(InputError, match=r"a0000\.png does not exist"):
        images.image(0)


def test_indices_and_subset():
    images = StimulusSet(list("abc"), [picture(i) for i in range(3)])
    np.testing.assert_array_equal(images.indices(["c", "a"]), [2, 0])
    hashes = images.hashes
    part = images.subset([2, 0])
    assert part.ids == ("c", "a")
    assert part.hashes == (hashes[2], hashes[0])
    assert StimulusSet(list("ab"), [picture(7)] * 2).subset([1]).hashes == (hash_image(picture(7)),)


def test_hashes_and_thumbnail_take_one_decoding_and_go_along(monkeypatch):
    images = StimulusSet(list("abc"), [png_bytes(i) for i in range(3)])
    decoded = []
    decode = stimuli.decode_image
    monkeypatch.setattr(stimuli, "decode_image", lambda d, n: decoded.append(n) or decode(d, n))
    assert len(images.hashes) == len(images.thumbnails) == len(images.file_hashes) == 3
    part = images.subset([2, 0])
    np.testing.assert_array_equal(part.thumbnails, images.thumbnails[[2, 0]])
    np.testing.assert_array_equal(part.thumbnails[1], thumbnail(picture(0)))
    assert part.file_hashes == (images.file_hashes[2], images.file_hashes[0])
    assert sorted(decoded) == ["image a", "image b", "image c"]
    assert images.subset([]).thumbnails.shape == (0, 16, 16, 3)


def test_hashes_of_files_are_of_their_bytes_wherever_they_lie(tmp_path):
    path = save_picture(tmp_path / "a.png", 0)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(path, "a.png")
    data = path.read_bytes()
    sets = StimulusSet.from_folder(tmp_path), StimulusSet.from_zip(tmp_path / "a.zip")
    for images in (*sets, StimulusSet(["a"], [data])):
        assert images.file_hashes == (hash_file(path),) == (hash_bytes(data),)
    assert StimulusSet(["a"], [picture(0)]).file_hashes == ("",)
    lossless = StimulusSet(["a"], [save_picture(tmp_path / "b.bmp", 0)])
    assert lossless.hashes == sets[0].hashes
    assert lossless.file_hashes != sets[0].file_hashes


@pytest.mark.parametrize(
    "pixels",
    [
        picture(0).astype(np.float32) / 255,
        picture(0).astype(np.uint16) * 257,
        picture(0)[..., 0],
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        [[[0, 0, 0]]],
    ],
)
def test_pixels_in_memory_are_bytes_of_rgb_or_refused(pixels):
    with pytest.raises(InputError, match=r"image b: expected uint8 of shape \(H, W, 3\)"):
        StimulusSet(["a", "b"], [picture(0), pixels])


def test_unknown_id_offers_the_nearest():
    images = StimulusSet(["cat01", "dog01"], [picture(0), picture(1)])
    with pytest.raises(InputError, match=r"unknown stimulus 'cat1'\. Did you mean cat01") as error:
        images.indices(["cat1", "zebra", "dog01"])
    assert "2 are missing" in str(error.value)


def test_decoded_is_one_read_only_map_made_once(tmp_path, monkeypatch):
    mixed = np.array(Image.fromarray(picture(1)).resize((20, 10)))
    images = StimulusSet(["a", "b"], [picture(0, 12), mixed])
    cache = Cache(tmp_path / "cache")
    out = images.decoded(12, cache=cache)
    assert isinstance(out, np.memmap)
    assert (out.shape, out.dtype, out.flags.writeable) == ((2, 12, 12, 3), np.uint8, False)
    np.testing.assert_array_equal(out[0], picture(0, 12))
    crop = images.decoded(12, "crop", cache=cache)
    assert (crop[1] != out[1]).any()

    def refuse(*_: object) -> None:
        raise AssertionError("decoded twice")

    monkeypatch.setattr(stimuli, "resize_image", refuse)
    np.testing.assert_array_equal(images.decoded(12, cache=cache), out)
    # The map is of the content: other names find it, another order does not.
    renamed = StimulusSet(["x", "y"], images.sources)
    np.testing.assert_array_equal(renamed.decoded(12, cache=cache), out)
    with pytest.raises(AssertionError, match="decoded twice"):
        images.subset([1, 0]).decoded(12, cache=cache)


def test_two_files_of_one_id_are_named(tmp_path):
    for name in ("a.png", "a.jpg", "s/b.png"):
        save_picture(tmp_path / name, 0)
    with pytest.raises(InputError, match=r"'a' in 'a.jpg' and 'a.png'\).*rename one of the files"):
        StimulusSet.from_folder(tmp_path)
