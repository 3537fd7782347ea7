"""One picture, decoded: uint8 RGB of shape (H, W, 3), upright, or an error naming the file."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from striate.core.errors import InputError
from striate.data.resizing import Resizing

SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".ppm", ".pgm"}
)
_DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,  # where the caller has made warnings errors
)
"""What Pillow's decoders raise on broken files."""


def probe_image(source: str | Path | bytes, name: str = "") -> tuple[int, int]:
    """Read an image's header only and return its height and width as stored.

    Raises:
        InputError: naming the file when it is missing, empty or no image. A file that is cut off
            after its header is not noticed.
    """
    if isinstance(source, bytes):
        name, data = _read(source, name)
        place: Path | io.BytesIO = io.BytesIO(data)
    else:
        place, name = Path(source), name or str(source)
    try:
        with Image.open(place) as image:
            return image.height, image.width
    except FileNotFoundError as error:
        raise InputError(f"image {name} does not exist.") from error
    except UnidentifiedImageError as error:
        if isinstance(place, Path) and place.stat().st_size == 0:
            raise InputError(f"image {name} has zero bytes. Copy or download it again.") from error
        raise InputError(f"{name} is not an image that Pillow can read.") from error
    except _DAMAGE as error:
        raise InputError(f"image {name} is damaged ({error}).") from error


def decode_image(source: str | Path | bytes, name: str = "") -> np.ndarray:
    """Decode an image file (or its bytes) to uint8 RGB of shape (H, W, 3).

    EXIF rotation is applied; grey and palette images become RGB; CMYK is converted; 16-bit
    values are scaled to 8 bits; transparency is put on mid grey (128).

    Raises:
        InputError: naming the file when it is missing, empty, truncated or no image.
    """
    name, data = _read(source, name)
    try:
        with Image.open(io.BytesIO(data)) as image:
            if image.width * image.height > (Image.MAX_IMAGE_PIXELS or np.inf):
                raise ValueError(f"{image.width} x {image.height} pixels are too many")
            image.load()
            return _to_rgb(ImageOps.exif_transpose(image))
    except UnidentifiedImageError as error:
        raise InputError(f"{name} is not an image that Pillow can read.") from error
    except _DAMAGE as error:
        raise InputError(
            f"image {name} is damaged or truncated ({error}; {len(data):,} bytes). "
            "Copy or download it again."
        ) from error


def _read(source: str | Path | bytes, name: str) -> tuple[str, bytes]:
    name = name or (str(source) if not isinstance(source, bytes) else "image bytes")
    if isinstance(source, bytes):
        data = source
    else:
        try:
            data = Path(source).read_bytes()
        except FileNotFoundError as error:
            raise InputError(f"image {name} does not exist.") from error
        except OSError as error:
            raise InputError(f"image {name} cannot be read: {error}.") from error
    if not data:
        raise InputError(f"image {name} has zero bytes. Copy or download it again.")
    return name, data


def _to_rgb(image: Image.Image) -> np.ndarray:
    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image).astype(np.float64)
        if image.mode == "F":  # floats carry no range of their own: [0, 1] or [0, 255]
            values = values * (255.0 if values.max(initial=0.0) <= 1.0 else 1.0)
        else:
            values = values / 257.0
        grey = np.clip(np.rint(values), 0, 255).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        ground = Image.new("RGBA", image.size, (128, 128, 128, 255))
        image = Image.alpha_composite(ground, image)
    return np.array(image.convert("RGB"))


def resize_image(rgb: np.ndarray, size: int, mode: str = "squash") -> np.ndarray:
    """Resize uint8 RGB (H, W, 3) to (size, size, 3) by a rule of `striate.data.resizing`.

    `squash` ignores the aspect ratio (papers/contrastive-tuning 2.1: `Resize((224, 224))`);
    `crop` scales the short side to `size` and takes the centre, both antialiased bilinear; others
    such as `center 256:224 bicubic` are a network's own preparation.

    Raises:
        InputError: a rule that is not understood.
    """
    return Resizing.read(mode)(rgb, size)
