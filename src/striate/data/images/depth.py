"""What the values of a picture range over, by the file's own word: 8 bits from whatever there is.

A file of 16 bits often holds 10, 12 or 14 of a camera or a monitor, and one picture alone does not
show whether it is that or dark. Where neither the file nor its values say, it is refused: a guess
for each picture would scale the pictures of one data set differently.
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
"""Width, height and largest value of the netpbm formats, comments between them."""
_MEND = (
    "Save it with 8 bits, or state the range in the file (PNG: chunk sBIT; TIFF: tag "
    "MaxSampleValue, such as 4095; PGM: its maxval), the same for all pictures of the data set."
)


@dataclass(frozen=True)
class Stated:
    """What a file says of its values.

    Attributes:
        bits: of a stored value.
        white: the value of white, where the file says it.
        significant: bits of the source, of which PNG says that they are scaled to all of `bits`.
        signed: whether values may be negative.
        inverted: whether zero is white and Pillow has left it so.
    """

    bits: int = 8
    white: float | None = None
    significant: int | None = None
    signed: bool = False
    inverted: bool = False


def is_deep(image: Image.Image) -> bool:
    """Whether an image has more than 8 bits as Pillow holds it."""
    return image.mode in ("I", "F") or image.mode.startswith("I;")


def read_stated(image: Image.Image, data: bytes = b"") -> Stated:
    """Read what the header of an opened image says; `data` are the bytes of its file."""
    if image.format == "PNG":
        return _of_png(data, palette=image.mode in ("P", "PA", "1"))
    if image.format in ("TIFF", "MPO") and hasattr(image, "tag_v2"):
        return _of_tiff(image.tag_v2)
    if image.format == "PPM" and image.mode == "I":
        # Pillow has scaled to 65535 what says less; 65535 itself every writer of 16 bits states
        header = _PPM.match(data)
        said = header is not None and int(header[1]) < 65535
        return Stated(16, white=65535 if said else None)
    if image.mode == "I" and image.format is not None:
        return Stated(32, signed=True)
    return Stated(32 if image.mode in ("I", "F") else 16 if is_deep(image) else 8)


def gray_bytes(image: Image.Image, stated: Stated, name: str) -> np.ndarray:
    """Bring a picture of more than 8 bits (modes `I;16…`, `I`, `F`) to uint8 (H, W).

    Raises:
        InputError: the range of the values is not known, naming the picture and the mend.
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
    white = _white_of_floats(high, stated, name) if image.mode == "F" else None
    if white is None:
        white = _white(values, high, stated, name)
    if high > white:
        raise InputError(
            f"image {name} has values up to {high:g} and says that white is {white:g}. Write the "
            "statement anew, or save it with 8 bits."
        )
    share = values / white
    return np.rint(255 * (1 - share if stated.inverted else share)).astype(np.uint8)


def check_reduced(image: Image.Image, stated: Stated, name: str) -> None:
    """Refuse what Pillow has brought to 8 bits by the upper byte though the range is not known.

    Raises:
        InputError: 16 bits of color that use the lower ones alone; signed bytes; bytes that do
            not fill the bits that the file says they do.
    """
    if stated.signed:
        raise InputError(f"image {name} holds signed numbers. Save it with 8 bits, unsigned.")
    if stated.inverted and stated.bits > 8:
        raise InputError(f"image {name} has {stated.bits} bits and zero for white. {_MEND}")
    n = stated.significant
    if stated.bits != 16 and not (stated.bits == 8 and n is not None and n < 8):
        return
    bands = [k for k, band in enumerate(image.getbands()) if band not in ("A", "a")]
    high = int(np.reshape(image.getextrema(), (-1, 2))[bands, 1].max())
    if stated.bits == 16:
        if "transparency" in image.info and image.mode in ("L", "RGB"):
            raise InputError(
                f"image {name} has 16 bits a color, one of which is marked transparent. Save it "
                "with 8 bits, or with an alpha channel."
            )
        # Of the upper bytes alone: what uses the top bit needs 16 bits, and so does what PNG's
        # significant bits, scaled, must reach; what is less may be black, dark, or unscaled.
        least = 128 if n is None else 2 ** max(0, n - 8)
        if high < least and n != 16 and stated.white != 65535:
            raise _unknown(name, "16 bits a color", 256 * high + 255)
    elif n is not None and 0 < high < 2**n:
        values = np.asarray(image)
        if not _scaled(values if values.ndim == 2 else values[..., bands], n, 8):
            raise InputError(
                f"image {name} says that it holds {n} bits, and its values end at {high} instead "
                "of being scaled to 255, as PNG has it. Save it anew with 8 bits."
            )


def _white(values: np.ndarray, high: float, stated: Stated, name: str) -> float:
    """The value of white of a picture of whole numbers."""
    if high == 0 and not stated.inverted:
        return 1.0  # black, whatever white is
    if stated.white is not None:
        return stated.white
    if stated.bits == 16 and not stated.signed:
        n = stated.significant
        if n is not None and n < 16 and high < 2**n:
            if _scaled(values, n, 16):
                raise _unknown(name, f"16 bits, {n} of them significant", high)
            return 2.0**n - 1  # not scaled to 16 bits, as PNG would have it
        if n is not None or high >= 2**15:
            return 65535.0
    kind = f"{'signed ' if stated.signed else ''}{stated.bits} bits"
    raise _unknown(name, kind, high)


def _white_of_floats(high: float, stated: Stated, name: str) -> float:
    """The value of white of a picture of floats: what is stated, or 1 where that is clear."""
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


def _unknown(name: str, kind: str, high: float) -> InputError:
    return InputError(
        f"image {name} has {kind}, but no value above {high:g}: is it dark, or does it hold "
        f"{int(high).bit_length()} bits or a few more? Neither the file nor its values say what "
        f"white is. {_MEND}"
    )


def _scaled(values: np.ndarray, significant: int, bits: int) -> bool:
    """Whether values may be `significant` bits that were scaled to `bits`, as PNG asks for.

    By shifts, with or without the upper bits repeated below, or by a product (PNG 3, 12.4).
    """
    v = np.unique(values).astype(np.int64)
    small, large = 2**significant - 1, 2**bits - 1
    x = v >> (bits - significant)
    shifted = x << (bits - significant)
    repeated = shifted | (x >> max(0, 2 * significant - bits))
    product = np.rint(np.rint(v * small / large) * large / small).astype(np.int64)
    return bool(any((v == w).all() for w in (shifted, repeated, product)))


def _of_png(data: bytes, *, palette: bool) -> Stated:
    bits, significant = 8, None
    for kind, content in _png_chunks(data):
        if kind == b"IHDR" and len(content) >= 9:
            bits = content[8]
        elif kind == b"sBIT" and content and not palette:
            colors = content[: 3 if len(content) > 2 else 1]
            significant = max(colors) if 0 < max(colors) <= bits else None
    return Stated(bits, significant=significant)


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Type and content of the chunks before the pixels."""
    at = 8
    while at + 8 <= len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        if kind == b"IDAT":
            return
        yield kind, data[at + 8 : at + 8 + length]
        at += 12 + length


def _of_tiff(tags: Any) -> Stated:
    def first(name: str, default: Any = None) -> Any:
        value = tags.get(_TIFF[name], default)
        return value[0] if isinstance(value, tuple) and value else value

    bits = int(first("bits", 1))
    signed, floats = first("format", 1) == 2, first("format", 1) == 3
    white = None
    for name in ("typed_most", "most"):
        value = first(name)
        # The tag may also be the largest value of this picture: what is no round number of bits
        # is that, and would scale each picture by itself.
        if value is not None and (value in (1, 255) if floats else _round(value, bits)):
            white = float(value)
    if bits < 16 and bits > 8:
        white = 2.0**bits - 1
    inverted = first("photometric", 1) == 0 and bits > 8
    return Stated(bits, white=white, signed=signed, inverted=inverted)


def _round(value: Any, bits: int) -> bool:
    """Whether a value is 2^n - 1 of 8 or more bits and within `bits`."""
    whole = float(value) == int(value) and int(value) > 0
    n = int(value).bit_length() if whole else 0
    return whole and int(value) == 2**n - 1 and 8 <= n <= bits
