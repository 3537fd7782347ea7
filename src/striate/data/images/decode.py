"""Decode one image to upright uint8 RGB (H, W, 3), or raise an error that names the file."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from striate.core.errors import InputError
from striate.data.images.depth import Stated, check_reduced, gray_bytes, is_deep, read_stated
from striate.data.images.resizing import Resizing

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
"""Errors that Pillow's decoders raise on broken files."""
GROUND = 128
"""Gray level behind transparent pixels."""
LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in gray (ITU-R BT.601), as in JPEG and in Pillow's mode L."""


def probe_image(source: str | Path | bytes, name: str = "") -> tuple[int, int]:
    """Read an image's header only and return its height and width as stored.

    Raises:
        InputError: the file is missing, empty or no image; it is named. A file that was cut off
            after its header goes unnoticed.
    """
    if isinstance(source, bytes):
        name, data = read_encoded(source, name)
        file: Path | io.BytesIO = io.BytesIO(data)
    else:
        file, name = Path(source), name or str(source)
    try:
        with Image.open(file) as image:
            return image.height, image.width
    except FileNotFoundError as error:
        raise InputError(f"image {name} does not exist.") from error
    except UnidentifiedImageError as error:
        if isinstance(file, Path) and file.stat().st_size == 0:
            raise InputError(f"image {name} has zero bytes. Copy or download it again.") from error
        raise InputError(f"{name} is not an image that Pillow can read.") from error
    except _DAMAGE as error:
        raise InputError(f"image {name} is damaged ({error}).") from error


def decode_image(source: str | Path | bytes, name: str = "") -> np.ndarray:
    """Decode an image file (or its bytes) to uint8 RGB of shape (H, W, 3).

    EXIF rotation is applied; gray and palette images become RGB; CMYK, YCbCr and CIELAB are
    converted; transparent pixels show mid gray (128). Values of more than 8 bits are scaled by the
    range that the file states, or by 16 bits or [0, 1] where they use the upper half of that
    (`striate.data.images.depth`). Colors of 16 bits are reduced to their upper 8. Color profiles
    and gamma are ignored.

    Raises:
        InputError: the file is missing, empty, truncated or no image; it has more than one frame
            or page; neither the file nor its values say what white is. The file is named.
    """
    name, data = read_encoded(source, name)
    try:
        with Image.open(io.BytesIO(data)) as image:
            if image.width * image.height > (Image.MAX_IMAGE_PIXELS or np.inf):
                raise ValueError(f"{image.width} x {image.height} pixels are too many")
            stated = read_stated(image, data)
            _check_frames(image, name)
            image.load()
            return _convert_to_rgb(image, stated, name)
    except InputError:
        raise
    except UnidentifiedImageError as error:
        raise InputError(f"{name} is not an image that Pillow can read.") from error
    except _DAMAGE as error:
        raise InputError(
            f"image {name} is damaged or truncated ({error}; {len(data):,} bytes). "
            "Copy or download it again."
        ) from error


def rgb_of(image: Image.Image, name: str) -> np.ndarray:
    """Convert a Pillow image to uint8 RGB (H, W, 3), as `decode_image` does.

    Raises:
        InputError: the image does not say what white is; it is named.
    """
    return _convert_to_rgb(image, read_stated(image), name)


def check_pixels(rgb: object, name: str) -> None:
    """Refuse pixels in memory that are not uint8 (H, W, 3): nobody knows the range of others.

    Raises:
        InputError: the pixels are of another kind; the image is named.
    """
    description = type(rgb).__name__
    if isinstance(rgb, np.ndarray):
        if rgb.dtype == np.uint8 and rgb.shape[2:] == (3,) and rgb.size:
            return
        description = f"{rgb.dtype} {rgb.shape}"
    raise InputError(
        f"image {name}: expected uint8 of shape (H, W, 3), black 0 and white 255, found "
        f"{description}. Scale it by what its white is, and repeat a single gray channel three "
        "times."
    )


def read_encoded(source: str | Path | bytes, name: str = "") -> tuple[str, bytes]:
    """Return a name for messages and the bytes of an image file; errors as in `decode_image`."""
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


def _check_frames(image: Image.Image, name: str) -> None:
    """Refuse animations and files of several pages: nobody knows which page was shown.

    Smaller copies of the first page (TIFF) and the pictures that cameras add to a JPEG (MPO) do
    not count as pages.
    """
    frames = getattr(image, "n_frames", 1)
    if frames < 2 or image.format == "MPO":
        return
    if image.format == "TIFF" and hasattr(image, "tag_v2"):
        pages = []
        for page in range(frames):
            image.seek(page)
            pages.append(int(image.tag_v2.get(254, 0)) & 1)  # NewSubfileType: reduced resolution
        image.seek(0)
        frames -= sum(pages[1:])
    if frames > 1:
        raise InputError(
            f"image {name} holds {frames} frames or pages, and which of them was shown is not "
            "known. Save each that was shown as a file of its own."
        )


def _convert_to_rgb(image: Image.Image, stated: Stated, name: str) -> np.ndarray:
    """Convert a loaded image to upright uint8 RGB (H, W, 3); `stated` is what its file says."""
    transparent = image.info.get("transparency")
    if is_deep(image):
        image = ImageOps.exif_transpose(image)
        gray = gray_bytes(image, stated, name)
        if isinstance(transparent, int):
            gray[np.asarray(image) == transparent] = GROUND
        return np.repeat(gray[..., None], 3, axis=2)
    check_reduced(image, stated, name)
    image = ImageOps.exif_transpose(image)
    if image.mode == "La":  # Pillow converts this mode to LA only
        image = image.convert("LA")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        ground = Image.new("RGBA", image.size, (GROUND, GROUND, GROUND, 255))
        image = Image.alpha_composite(ground, image)
    return np.array(image.convert("RGB"))


def resize_image(rgb: np.ndarray, size: int, mode: str = "squash") -> np.ndarray:
    """Resize uint8 RGB (H, W, 3) to (size, size, 3) by a rule of `striate.data.images.resizing`.

    `squash` ignores the aspect ratio (docs/papers/contrastive-tuning.md 2.1: `Resize((224, 224))`);
    `crop` scales the short side to `size` and takes the center. Both are antialiased bilinear.
    Other rules, such as `center 256:224 bicubic`, are the preparation of a certain network.

    Raises:
        InputError: the rule is not understood.
    """
    return Resizing.read(mode)(rgb, size)
