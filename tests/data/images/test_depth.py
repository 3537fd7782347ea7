"""Depth: pictures of more than 8 bits are scaled by what is known of their white, or refused."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image, TiffImagePlugin

from striate.core.errors import InputError
from striate.data.images.decode import decode_image, rgb_of
from tests.data.layouts import picture

DEEP = ("I;16", "I", "F")


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def png(values: np.ndarray, sbit: int | None = None, bits: int = 16, more: bytes = b"") -> bytes:
    """A PNG by hand: gray (H, W), or (H, W, channels), of 8 or 16 bits, with chunk sBIT or not."""
    channels = 1 if values.ndim == 2 else values.shape[2]
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    rows = values.astype(">u2" if bits == 16 else "u1").reshape(len(values), -1)
    pixels = b"".join(b"\0" + row.tobytes() for row in rows)

    def chunk(name: bytes, content: bytes) -> bytes:
        sum_ = zlib.crc32(name + content)
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", sum_)

    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], bits, kind, 0, 0, 0)
    out = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    if sbit is not None:
        out += chunk(b"sBIT", bytes([sbit] * channels))
    return out + more + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")


def tiff(values: np.ndarray, **tags: object) -> bytes:
    """A TIFF of whatever Pillow holds, with further tags by name."""
    numbers = {"MaxSampleValue": 281, "SMaxSampleValue": 341, "PhotometricInterpretation": 262}
    info = TiffImagePlugin.ImageFileDirectory_v2()
    for name, value in tags.items():
        info[numbers[name]] = value
    return encoded(Image.fromarray(values), "tiff", tiffinfo=info)


def ramp(top: int, low: int = 0) -> np.ndarray:
    return np.linspace(low, top, 256).round().astype(np.uint16).reshape(16, 16)


GRAY = np.arange(256).reshape(16, 16)


def is_gray(rgb: np.ndarray) -> None:
    """256 levels from black to white; half a level of rounding twice may move one by one."""
    assert rgb.dtype == np.uint8
    assert np.abs(rgb.astype(int) - GRAY[..., None]).max() <= 1
    assert (rgb.min(), rgb.max()) == (0, 255)


# Twelve bits in a file of sixteen, once 0..16 of 255.


@pytest.mark.parametrize("bits", [9, 10, 12, 14, 15])
@pytest.mark.parametrize("kind", ["png", "tiff"])
def test_few_bits_in_a_file_of_sixteen_are_refused_where_nothing_says_so(bits, kind):
    data = encoded(Image.fromarray(ramp(2**bits - 1)), kind)
    with pytest.raises(
        InputError, match=rf"image mt1\.{kind} has 16 bits.*{bits} bits.*8 bits, or"
    ):
        decode_image(data, f"mt1.{kind}")


@pytest.mark.parametrize("bits", [10, 12, 14, 15])
def test_what_the_file_states_is_white(bits):
    top = 2**bits - 1
    is_gray(decode_image(png(ramp(top), sbit=bits)))  # as MATLAB writes it: not scaled
    is_gray(decode_image(png(ramp(65535), sbit=bits)))  # as PNG asks for it
    is_gray(decode_image(tiff(ramp(top), MaxSampleValue=top)))
    pgm = f"P5\n# by hand\n16 16\n{top}\n".encode() + ramp(top).astype(">u2").tobytes()
    is_gray(decode_image(pgm))
    plain = f"P2\n16 16\n{top}\n".encode() + " ".join(map(str, ramp(top).ravel())).encode()
    is_gray(decode_image(plain))


def test_twelve_bits_packed_in_a_tiff():
    packed = "".join(f"{v:012b}" for v in ramp(4095).ravel())
    pixels = int(packed, 2).to_bytes(len(packed) // 8, "big")
    tags = [(256, 16), (257, 16), (258, 12), (259, 1), (262, 1), (273, 8), (277, 1), (278, 16)]
    tags.append((279, len(pixels)))
    place = 8 + len(pixels)
    entries = b"".join(struct.pack("<HHIHH", tag, 3, 1, value, 0) for tag, value in tags)
    data = b"II*\0" + struct.pack("<I", place) + pixels + struct.pack("<H", len(tags)) + entries
    is_gray(decode_image(data + b"\0\0\0\0"))


def test_what_uses_all_sixteen_bits_is_read_also_where_it_is_not_bright():
    is_gray(decode_image(png(ramp(65535))))
    is_gray(decode_image(tiff(ramp(65535))))
    half = decode_image(png(ramp(2**15)))
    assert half.max() == 128
    assert decode_image(png(np.zeros((2, 2), np.uint16))).max() == 0  # black, whatever white is
    assert decode_image(png(ramp(3000), sbit=16)).max() == 12  # the file says that it is dark
    assert decode_image(tiff(ramp(3000), MaxSampleValue=65535)).max() == 12


def test_a_statement_that_is_the_largest_value_of_this_picture_is_none():
    with pytest.raises(InputError, match="does it hold 12 bits"):
        decode_image(tiff(ramp(3187), MaxSampleValue=3187))
    with pytest.raises(InputError, match=r"values up to 5000 and says that white is 4095"):
        decode_image(tiff(ramp(5000), MaxSampleValue=4095))


def test_dark_twelve_bits_that_may_be_scaled_are_refused():
    """16, 32, …: dark and scaled to 16 bits, or bright and not scaled."""
    with pytest.raises(InputError, match="16 bits, 12 of them significant"):
        decode_image(png(np.arange(256, dtype=np.uint16).reshape(16, 16) * 16, sbit=12))


def test_white_is_zero():
    is_gray(decode_image(tiff(65535 - ramp(65535), PhotometricInterpretation=0)))
    is_gray(
        decode_image(tiff(ramp(4095)[::-1, ::-1], PhotometricInterpretation=0, MaxSampleValue=4095))
    )
    eight = encoded(Image.fromarray((255 - GRAY).astype(np.uint8)), "tiff", tiffinfo={262: 0})
    assert decode_image(eight).shape == (16, 16, 3)


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_sixteen_bits_of_color_keep_their_upper_byte_or_are_refused(channels):
    values = np.repeat(ramp(65535)[..., None], channels, axis=2)
    if channels in (2, 4):
        values[..., -1] = 65535
    is_gray(decode_image(png(values)))
    few = values.copy()
    few[..., : 3 if channels > 2 else 1] //= 16  # twelve bits
    with pytest.raises(InputError, match=r"c\.png has 16 bits a color.*Save it with 8 bits"):
        decode_image(png(few), "c.png")
    with pytest.raises(InputError, match="16 bits a color"):
        decode_image(png(few, sbit=12))
    assert decode_image(png(few, sbit=16)).max() == 15  # dark, as the file says
    is_gray(decode_image(png(values, sbit=12)))


def test_sixteen_bits_of_color_in_a_tiff():
    tifffile = pytest.importorskip("tifffile", reason="writes what Pillow cannot")
    for top, fits in ((65535, True), (4095, False)):
        stream = io.BytesIO()
        tifffile.imwrite(stream, np.repeat(ramp(top)[..., None], 3, 2), photometric="rgb")
        if fits:
            is_gray(decode_image(stream.getvalue()))
        else:
            with pytest.raises(InputError, match="16 bits a color"):
                decode_image(stream.getvalue())


def test_big_endian_and_planes_are_read_alike():
    tifffile = pytest.importorskip("tifffile", reason="writes what Pillow cannot")
    for order in "<>":
        stream = io.BytesIO()
        tifffile.imwrite(stream, ramp(65535), byteorder=order)
        is_gray(decode_image(stream.getvalue()))
        stream = io.BytesIO()
        tifffile.imwrite(stream, ramp(4095), byteorder=order)
        with pytest.raises(InputError, match="12 bits"):
            decode_image(stream.getvalue())


# Whole numbers of 32 bits, signed ones, and floats.


def test_whole_numbers_of_32_bits_state_white_or_are_refused():
    for top in (1, 255, 4095, 65535, 2**31 - 1):
        values = np.linspace(0, top, 256).astype(np.int32).reshape(16, 16)
        with pytest.raises(InputError, match="32 bits"):
            decode_image(tiff(values))
    is_gray(decode_image(tiff(ramp(255).astype(np.int32), MaxSampleValue=255)))
    is_gray(decode_image(tiff(ramp(65535).astype(np.int32), MaxSampleValue=65535)))
    with pytest.raises(InputError, match=r"negative values \(-3 to 252\)"):
        decode_image(tiff(ramp(255).astype(np.int32) - 3))


def test_signed_numbers_are_refused():
    tifffile = pytest.importorskip("tifffile", reason="writes what Pillow cannot")
    for values in (ramp(255).astype(np.int16), (ramp(127)).astype(np.int8)):
        stream = io.BytesIO()
        tifffile.imwrite(stream, values)
        with pytest.raises(InputError, match=r"signed"):
            decode_image(stream.getvalue())


def test_floats_are_read_in_the_unit_range_alone():
    unit = np.linspace(0, 1, 256, dtype=np.float32).reshape(16, 16)
    is_gray(decode_image(tiff(unit)))
    is_gray(decode_image(encoded(Image.fromarray(unit), "ppm")))
    assert decode_image(tiff(unit * 0.5)).max() == 128
    for values, match in (
        (unit * 255, r"floats up to 255"),
        (unit * 1.2, r"floats up to 1\.2"),
        (unit / 255, r"floats up to 0\.0039"),  # divided twice, or dark
        (unit - 0.2, r"negative values"),
        (np.where(unit > 0.5, np.nan, unit), "NaN or infinite"),
        (np.where(unit > 0.5, np.inf, unit), "NaN or infinite"),
    ):
        with pytest.raises(InputError, match=match):
            decode_image(tiff(values.astype(np.float32)), "f.tif")
    is_gray(decode_image(tiff(unit * 255, SMaxSampleValue=255.0)))
    assert decode_image(tiff(unit / 255, SMaxSampleValue=1.0)).max() == 1


@given(
    values=hnp.arrays(np.uint16, (5, 7), elements=st.integers(0, 65535)),
    bits=st.integers(8, 16),
    how=st.sampled_from(["png", "tiff", "pgm", "memory"]),
    stated=st.booleans(),
)
@settings(max_examples=100, deadline=None, derandomize=True)
def test_a_deep_picture_is_right_or_refused(values, bits, how, stated):
    """Whatever the file: the shares of white that were meant, within half a level, or an error."""
    top = 2**bits - 1
    values = values >> (16 - bits)
    meant = values / top * 255
    try:
        if how == "png":
            out = decode_image(png(values, sbit=bits if stated else None))
        elif how == "tiff":
            out = decode_image(tiff(values, **({"MaxSampleValue": top} if stated else {})))
        elif how == "pgm":
            head = f"P5 7 5 {top if stated else 65535}\n".encode()
            kind = ">u2" if bits > 8 or not stated else "u1"
            out = decode_image(head + values.astype(kind).tobytes())
        else:
            out = rgb_of(Image.fromarray(values), "x")
    except InputError as error:
        assert "bits" in str(error)
        assert not stated or how in ("png", "memory")
        return
    assert np.abs(out - meant[..., None]).max() <= 0.51


# Everything else that Pillow opens.


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_fewer_bits_fill_the_range(bits):
    """Gray PNG of 1, 2, 4 and 8 bits, packed by hand."""
    levels = np.arange(2**bits, dtype=np.uint8)
    packed = np.packbits(np.unpackbits(levels[:, None], axis=1)[:, 8 - bits :].ravel()).tobytes()
    header = struct.pack(">IIBBBBB", len(levels), 1, bits, 0, 0, 0, 0)
    out = b"\x89PNG\r\n\x1a\n"
    for name, content in (
        (b"IHDR", header),
        (b"IDAT", zlib.compress(b"\0" + packed)),
        (b"IEND", b""),
    ):
        sum_ = zlib.crc32(name + content)
        out += struct.pack(">I", len(content)) + name + content + struct.pack(">I", sum_)
    want = np.rint(levels / (2**bits - 1) * 255)
    np.testing.assert_array_equal(decode_image(out)[0, :, 0], want)


def test_significant_bits_of_a_file_of_eight():
    """sBIT 5 with values scaled to 255 is plain; values that end at 31 contradict it."""
    scaled = np.rint(np.arange(32) * 255 / 31).astype(np.uint8).reshape(4, 8)
    np.testing.assert_array_equal(decode_image(png(scaled, 5, bits=8))[..., 0], scaled)
    with pytest.raises(InputError, match="says that it holds 5 bits, and its values end at 31"):
        decode_image(png(np.arange(32, dtype=np.uint8).reshape(4, 8), 5, bits=8))


def test_color_marked_transparent_in_sixteen_bits():
    values = ramp(65535)
    clear = (
        struct.pack(">I", 2)
        + b"tRNS"
        + b"\xff\xff"
        + struct.pack(">I", zlib.crc32(b"tRNS\xff\xff"))
    )
    out = decode_image(png(values, more=clear))
    assert out[-1, -1].tolist() == [128] * 3
    assert out[-1, -2, 0] == 254


def test_lab_of_a_tiff_becomes_rgb():
    """L* 100, 50 and 0 without color (a* and b* are signed) are white, mid gray and black."""
    lab = np.zeros((1, 3, 3), np.uint8)
    lab[0, :, 0] = [255, 128, 0]
    out = decode_image(encoded(Image.fromarray(lab, "LAB"), "tiff"))[0].astype(int)
    assert np.ptp(out, axis=1).max() <= 2
    assert np.abs(out[:, 1] - [255, 119, 0]).max() <= 2


@pytest.mark.parametrize(
    "mode", ["YCbCr", "CMYK", "HSV", "LA", "PA", "RGBA", "La", "RGBa", "P", "1", "L"]
)
def test_every_other_mode_keeps_black_and_white(mode):
    black_white = np.zeros((8, 8, 3), np.uint8)
    black_white[:, 4:] = 255
    image = Image.fromarray(black_white)
    chain = {"La": ["LA", "La"], "RGBa": ["RGBA", "RGBa"], "PA": ["P", "PA"]}.get(mode, [mode])
    for step in chain:
        image = image.convert(step)
    np.testing.assert_array_equal(rgb_of(image, mode), black_white)


@pytest.mark.parametrize("kind", ["gif", "webp", "png", "tiff"])
def test_several_frames_or_pages_are_refused(kind):
    first, second = (Image.fromarray(picture(seed)) for seed in (0, 1))
    data = encoded(first, kind, save_all=True, append_images=[second])
    with pytest.raises(InputError, match=rf"movie\.{kind} holds 2 frames or pages"):
        decode_image(data, f"movie.{kind}")


def test_a_smaller_copy_of_a_page_and_what_a_camera_adds_are_no_frames():
    rgb = picture(0, 16)
    first, small = Image.fromarray(rgb), Image.fromarray(rgb).resize((8, 8))
    small.encoderinfo = {"tiffinfo": {254: 1}}
    pyramid = encoded(first, "tiff", save_all=True, append_images=[small])
    np.testing.assert_array_equal(decode_image(pyramid), rgb)
    camera = encoded(first, "mpo", save_all=True, append_images=[small], quality=95)
    assert decode_image(camera).shape == rgb.shape


@pytest.mark.parametrize("mode", DEEP)
def test_rotation_is_applied_to_deep_pictures_too(mode):
    values = np.zeros((8, 16), {"I;16": np.uint16, "I": np.int32, "F": np.float32}[mode])
    white = 1 if mode == "F" else 65535
    values[:4, :8] = white  # top left
    exif = Image.Exif()
    exif[0x0112] = 6
    info = TiffImagePlugin.ImageFileDirectory_v2()
    info[281], info[0x0112] = (white, 6)
    out = decode_image(encoded(Image.fromarray(values), "tiff", tiffinfo=info))
    np.testing.assert_array_equal(out[..., 0], np.rot90(values > 0, 3) * 255)
