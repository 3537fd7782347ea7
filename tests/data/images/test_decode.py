"""Decoding: whatever the file is, upright uint8 RGB, or an error that names it."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from striate.core.errors import InputError
from striate.data.images.decode import decode_image, resize_image
from tests.data.layouts import picture, save_picture


def encoded(image: Image.Image, kind: str = "png", **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


@pytest.fixture
def rgb() -> np.ndarray:
    return picture(1, 16)


def test_rgb_is_returned_as_it_is(rgb):
    np.testing.assert_array_equal(decode_image(encoded(Image.fromarray(rgb))), rgb)


@pytest.mark.parametrize("kind", ["png", "bmp", "tiff", "webp", "ppm"])
def test_every_lossless_kind_gives_the_same_pixels(rgb, kind):
    options = {"lossless": True} if kind == "webp" else {}
    np.testing.assert_array_equal(decode_image(encoded(Image.fromarray(rgb), kind, **options)), rgb)


def test_gray_becomes_three_equal_channels(rgb):
    gray = Image.fromarray(rgb).convert("L")
    out = decode_image(encoded(gray))
    assert out.shape == (16, 16, 3)
    for channel in range(3):
        np.testing.assert_array_equal(out[..., channel], np.array(gray))


def test_one_bit_and_palette(rgb):
    bits = Image.fromarray(rgb).convert("1")
    np.testing.assert_array_equal(decode_image(encoded(bits))[..., 0], np.array(bits) * 255)
    palette = Image.fromarray(rgb).quantize(16)
    np.testing.assert_array_equal(decode_image(encoded(palette)), np.array(palette.convert("RGB")))


@pytest.mark.parametrize("kind", ["png", "tiff"])
def test_sixteen_bits_are_scaled_not_clipped(kind):
    values = np.linspace(0, 65535, 256).round().astype(np.uint16).reshape(16, 16)
    out = decode_image(encoded(Image.fromarray(values), kind))
    assert out.dtype == np.uint8
    np.testing.assert_array_equal(out[..., 0], np.arange(256).reshape(16, 16))
    np.testing.assert_array_equal(out[..., 0], out[..., 2])


def test_cmyk_is_converted():
    ink = np.zeros((8, 8, 4), np.uint8)
    ink[..., 0] = 255  # cyan and nothing else: no red, all green and blue
    out = decode_image(encoded(Image.fromarray(ink, "CMYK"), "tiff"))
    np.testing.assert_array_equal(out, np.broadcast_to([0, 255, 255], (8, 8, 3)))
    jpeg = decode_image(encoded(Image.fromarray(ink, "CMYK"), "jpeg", quality=95))
    assert np.abs(jpeg.astype(int) - [0, 255, 255]).max() < 8  # jpeg is lossy


@pytest.mark.parametrize(("orientation", "turns"), [(1, 0), (3, 2), (6, 3), (8, 1)])
def test_exif_rotation_is_applied(orientation, turns):
    rgb = np.zeros((8, 16, 3), np.uint8)
    rgb[:4, :8] = 255  # white top left
    exif = Image.Exif()
    exif[0x0112] = orientation
    out = decode_image(encoded(Image.fromarray(rgb), "png", exif=exif))
    np.testing.assert_array_equal(out, np.rot90(rgb, turns))


def test_transparency_is_put_on_mid_gray():
    rgba = np.zeros((3, 1, 4), np.uint8)
    rgba[:, 0] = [[200, 100, 50, 255], [200, 100, 50, 0], [255, 255, 255, 128]]
    out = decode_image(encoded(Image.fromarray(rgba)))[:, 0].astype(int)
    assert out[0].tolist() == [200, 100, 50]
    assert out[1].tolist() == [128, 128, 128]
    # 128 + (255 - 128) * 128 / 255, rounded either way
    assert np.abs(out[2] - 191.7).max() <= 1


def test_transparent_palette_and_gray():
    gray = np.full((2, 2, 2), 255, np.uint8)
    gray[0, :, 1] = 0
    out = decode_image(encoded(Image.fromarray(gray, "LA")))
    assert out[:, 0, 0].tolist() == [128, 255]
    palette = Image.new("P", (2, 2), 0)
    palette.putpalette([10, 20, 30] * 256)
    np.testing.assert_array_equal(decode_image(encoded(palette, transparency=0)), 128)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.png does not exist"):
        decode_image(tmp_path / "nowhere.png")


def test_folder_instead_of_an_image(tmp_path):
    (tmp_path / "a.png").mkdir()
    with pytest.raises(InputError, match=r"a\.png cannot be read"):
        decode_image(tmp_path / "a.png")


def test_zero_bytes(tmp_path):
    (tmp_path / "a.png").touch()
    with pytest.raises(InputError, match=r"a\.png has zero bytes"):
        decode_image(tmp_path / "a.png")


@pytest.mark.parametrize("kind", ["png", "jpg", "bmp", "gif", "tif", "webp"])
@pytest.mark.parametrize("share", [0.3, 0.7])
def test_truncated(tmp_path, kind, share):
    path = tmp_path / f"a.{kind}"
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(InputError, match=re.escape(str(path))):
        decode_image(path)


def test_no_image(tmp_path):
    (tmp_path / "a.png").write_text("<html>404 not found</html>")
    with pytest.raises(InputError, match=r"a\.png is not an image"):
        decode_image(tmp_path / "a.png")


def test_damaged_in_the_middle(tmp_path):
    path = save_picture(tmp_path / "a.png", 0)
    data = bytearray(path.read_bytes())
    start = data.index(b"IDAT") + 8
    data[start : start + 20] = b"\x00" * 20
    path.write_bytes(bytes(data))
    with pytest.raises(InputError, match=r"a\.png is damaged"):
        decode_image(path)


@pytest.mark.parametrize("limit", [100, 200])
def test_far_too_large_is_refused_before_it_is_decoded(monkeypatch, limit):
    # Pillow warns above its limit of pixels and refuses above twice that; 256 pixels are here.
    data = encoded(Image.new("RGB", (16, 16)))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with pytest.raises(InputError, match=r"big\.png"):
        decode_image(data, name="big.png")


def test_bytes_need_a_name_of_their_own():
    with pytest.raises(InputError, match=r"images\.zip:a\.png has zero bytes"):
        decode_image(b"", name="images.zip:a.png")


def test_resize_squash_and_crop():
    wide = np.zeros((8, 16, 3), np.uint8)
    wide[:, 4:12] = 255
    crop = resize_image(wide, 8, "crop")
    assert crop.shape == (8, 8, 3)
    assert (crop == 255).all()
    squash = resize_image(wide, 8)
    assert squash.shape == (8, 8, 3)
    assert (squash[:, 0] == 0).all()
    assert (squash[:, 4] == 255).all()
    np.testing.assert_array_equal(resize_image(picture(3, 8), 8), picture(3, 8))


def test_unknown_resize_mode():
    with pytest.raises(InputError, match="expected 'squash' or 'crop'"):
        resize_image(picture(0), 8, "stretch")


def test_decoding_in_threads_leaves_the_warning_filters_alone(tmp_path):
    import warnings

    from striate.data import StimulusSet

    files = [save_picture(tmp_path / f"{i}.png", i) for i in range(40)]
    before = list(warnings.filters)
    assert len(StimulusSet([f.stem for f in files], files).hashes) == 40
    assert warnings.filters == before


def test_paths_may_be_strings(tmp_path: Path):
    path = save_picture(tmp_path / "a.png", 5)
    np.testing.assert_array_equal(decode_image(str(path)), picture(5))
