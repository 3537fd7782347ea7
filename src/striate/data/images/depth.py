"""Bring images of more than 8 bits to 8 bits, by the range that their files state.

A file of 16 bits often holds the 10, 12 or 14 bits of a camera or a monitor, and one image alone
does not show whether it is such an image or a dark one. An image is refused where neither the file
nor its values say what white is: a guess for each image would scale the images of one data set
differently.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from striate.core.errors import InputError

_TIFF = {"photometric": 262, "bits": 258, "format": 339, "most": 281, "typed_most": 341}
"""Tags of TIFF (TIFF 6.0, sections 8 and 19)."""
_GAP = rb"(?:\s|#[^\n]*\n)+"
_PPM = re.compile(rb"P\d" + 2 * (_GAP + rb"\d+") + _GAP + rb"(\d+)")
"""Header of the netpbm formats: width, height and largest value, with comments between them."""
_ADVICE = (
    "Save it with 8 bits, or state the range in the file (PNG: chunk sBIT; TIFF: tag "
    "MaxSampleValue, such as 4095; PGM: its maxval), the same for all pictures of the data set."
)


@dataclass(frozen=True)
class Stated:
    """What a file states about its values.

    Attributes:
        bits: bits of a stored value.
        white: the value of white, where the file states it.
        significant: bits of the source, which should have been scaled to `bits` (PNG's sBIT).
        signed: whether values may be negative.
        inverted: whether zero is white and Pillow has left it so.
    """

    bits: int = 8
    white: float | None = None
    significant: int | None = None
    signed: bool = False
    inverted: bool = False


def is_deep(image: Image.Image) -> bool:
    """Whether Pillow holds an image with more than 8 bits."""
    return image.mode in ("I", "F") or image.mode.startswith("I;")


def read_stated(image: Image.Image, data: bytes = b"") -> Stated:
    """Read what the header of an open image states; `data` are the bytes of its file."""
    if image.format == "PNG":
        return _read_png(data, palette=image.mode in ("P", "PA", "1"))
    if image.format in ("TIFF", "MPO") and hasattr(image, "tag_v2"):
        return _read_tiff(image.tag_v2)
    if image.format == "PPM" and image.mode == "I":
        # Pillow has scaled smaller ranges to 65535; every writer of 16 bits states 65535 itself
        header = _PPM.match(data)
        is_stated = header is not None and int(header[1]) < 65535
        return Stated(16, white=65535 if is_stated else None)
    if image.mode == "I" and image.format is not None:
        return Stated(32, signed=True)
    return Stated(32 if image.mode in ("I", "F") else 16 if is_deep(image) else 8)


def gray_bytes(image: Image.Image, stated: Stated, name: str) -> np.ndarray:
    """Convert an image of more than 8 bits (modes `I;16…`, `I`, `F`) to uint8 (H, W).

    Raises:
        InputError: the range of the values is not known; the image is named, with what to do.
    """
    values = np.asarray(image).astype(np.float64)
    if not np.isfinite(values).all():
        raise InputError(f"image {name} has values that are NaN or infinite. Save it with 8 bits.")
    low, high = float(values.min(initial=0.0)), float(values.max(initial=0.0))
    if low < 0:
        raise InputError(
            f"image {name} has negative values ({low:g} to {high:g}), which light has "
            "none of. Save it with 8 bits, black as 0 and white as 255."
        )
    white = _find_white_of_floats(high, stated, name) if image.mode == "F" else None
    if white is None:
        white = _find_white(values, high, stated, name)
    if high > white:
        raise InputError(
            f"image {name} has values up to {high:g} and says that white is {white:g}. Write the "
            "statement anew, or save it with 8 bits."
        )
    share = values / white
    return np.rint(255 * (1 - share if stated.inverted else share)).astype(np.uint8)


def check_reduced(image: Image.Image, stated: Stated, name: str) -> None:
    """Refuse an image that Pillow cut to the upper 8 bits although its range is not known.

    Raises:
        InputError: colors of 16 bits that use only the lower ones; signed bytes; bytes that do
            not fill the bits that the file states.
    """
    if stated.signed:
        raise InputError(f"image {name} holds signed numbers. Save it with 8 bits, unsigned.")
    if stated.inverted and stated.bits > 8:
        raise InputError(f"image {name} has {stated.bits} bits and zero for white. {_ADVICE}")
    significant = stated.significant
    if stated.bits != 16 and not (stated.bits == 8 and significant is not None and significant < 8):
        return
    bands = [k for k, band in enumerate(image.getbands()) if band not in ("A", "a")]
    high = int(np.reshape(image.getextrema(), (-1, 2))[bands, 1].max())
    if stated.bits == 16:
        if "transparency" in image.info and image.mode in ("L", "RGB"):
            raise InputError(
                f"image {name} has 16 bits a color, one of which is marked transparent. Save it "
                "with 8 bits, or with an alpha channel."
            )
        # `high` is of the upper bytes alone. A value that uses the top bit needs 16 bits, and so
        # does one that PNG's significant bits reach once scaled. A smaller one may be black, dark
        # or unscaled.
        least = 128 if significant is None else 2 ** max(0, significant - 8)
        if high < least and significant != 16 and stated.white != 65535:
            raise _build_white_error(name, "16 bits a color", 256 * high + 255)
    elif significant is not None and 0 < high < 2**significant:
        values = np.asarray(image)
        if not _is_scaled(values if values.ndim == 2 else values[..., bands], significant, 8):
            raise InputError(
                f"image {name} says that it holds {significant} bits, and its values end at "
                f"{high} instead of being scaled to 255, as PNG has it. Save it anew with 8 bits."
            )


def _find_white(values: np.ndarray, high: float, stated: Stated, name: str) -> float:
    """Return the value of white in an image of whole numbers."""
    if high == 0 and not stated.inverted:
        return 1.0  # an image of zeros is black whatever white is
    if stated.white is not None:
        return stated.white
    if stated.bits == 16 and not stated.signed:
        significant = stated.significant
        if significant is not None and significant < 16 and high < 2**significant:
            if _is_scaled(values, significant, 16):
                raise _build_white_error(name, f"16 bits, {significant} of them significant", high)
            return 2.0**significant - 1  # not scaled to 16 bits, though PNG asks for it
        if significant is not None or high >= 2**15:
            return 65535.0
    kind = f"{'signed ' if stated.signed else ''}{stated.bits} bits"
    raise _build_white_error(name, kind, high)


def _find_white_of_floats(high: float, stated: Stated, name: str) -> float:
    """Return the value of white in an image of floats: as stated, or 1 where that is clear."""
    if stated.inverted:
        raise InputError(f"image {name} holds floats with zero for white. Save it with 8 bits.")
    if stated.white in (1.0, 255.0):
        return float(stated.white)
    if high == 0 or 0.5 <= high <= 1:
        return 1.0
    raise InputError(
        f"image {name} holds floats up to {high:g}, and does not say what white is. Floats are "
        "read where they lie in [0, 1] and reach the upper half; save others with 8 bits, or state "
        "1 or 255 as TIFF's SMaxSampleValue."
    )


def _build_white_error(name: str, kind: str, high: float) -> InputError:
    """Build the error for an image whose white is not known."""
    return InputError(
        f"image {name} has {kind}, but no value above {high:g}: is it dark, or does it hold "
        f"{int(high).bit_length()} bits or a few more? Neither the file nor its values say what "
        f"white is. {_ADVICE}"
    )


def _is_scaled(values: np.ndarray, significant: int, bits: int) -> bool:
    """Whether values may be `significant` bits that were scaled to `bits`, as PNG asks for.

    Writers scale by shifts, with or without the upper bits repeated below, or by a product (PNG 3,
    12.4).
    """
    stored = np.unique(values).astype(np.int64)
    small, large = 2**significant - 1, 2**bits - 1
    source = stored >> (bits - significant)
    shifted = source << (bits - significant)
    repeated = shifted | (source >> max(0, 2 * significant - bits))
    product = np.rint(np.rint(stored * small / large) * large / small).astype(np.int64)
    return bool(any((stored == expected).all() for expected in (shifted, repeated, product)))


def _read_png(data: bytes, *, palette: bool) -> Stated:
    """Read what the header of a PNG file states."""
    bits, significant = 8, None
    for kind, content in _iterate_png_chunks(data):
        if kind == b"IHDR" and len(content) >= 9:
            bits = content[8]
        elif kind == b"sBIT" and content and not palette:
            colors = content[: 3 if len(content) > 2 else 1]
            significant = max(colors) if 0 < max(colors) <= bits else None
    return Stated(bits, significant=significant)


def _iterate_png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield type and content of each chunk before the pixels."""
    start = 8
    while start + 8 <= len(data):
        length, kind = struct.unpack(">I4s", data[start : start + 8])
        if kind == b"IDAT":
            return
        yield kind, data[start + 8 : start + 8 + length]
        start += 12 + length


def _read_tiff(tags: Any) -> Stated:
    """Read what the tags of a TIFF file state."""

    def read_tag(name: str, default: Any = None) -> Any:
        value = tags.get(_TIFF[name], default)
        return value[0] if isinstance(value, tuple) and value else value

    bits = int(read_tag("bits", 1))
    signed, floats = read_tag("format", 1) == 2, read_tag("format", 1) == 3
    white = None
    for name in ("typed_most", "most"):
        value = read_tag(name)
        # The tag may also hold the largest value of this one image, which would scale each image
        # by itself. The range itself is the largest value of a whole number of bits.
        if value is not None and (value in (1, 255) if floats else _fills_bits(value, bits)):
            white = float(value)
    if bits < 16 and bits > 8:
        white = 2.0**bits - 1
    inverted = read_tag("photometric", 1) == 0 and bits > 8
    return Stated(bits, white=white, signed=signed, inverted=inverted)


def _fills_bits(value: Any, bits: int) -> bool:
    """Whether a value is 2^n - 1 for an n from 8 to `bits`."""
    is_whole = float(value) == int(value) and int(value) > 0
    n_bits = int(value).bit_length() if is_whole else 0
    return is_whole and int(value) == 2**n_bits - 1 and 8 <= n_bits <= bits
