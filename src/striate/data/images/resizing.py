"""Rules that say how an image becomes a square input, as text for configs and cache keys.

A rule is `MODE [SHORT:SIZE] [FILTER] [R,G,B]`, such as `squash`, `center 256:224 bicubic` or
`border 256:224 bicubic 124,116,104`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

import numpy as np
from PIL import Image, ImageOps

from striate.core.errors import InputError

MODES = ("squash", "crop", "center", "border")
FILTERS = {
    name: Image.Resampling[name.upper()]
    for name in ("nearest", "box", "bilinear", "hamming", "bicubic", "lanczos")
}
"""Pillow's filters; all but `nearest` smooth where an image is shrunk (antialiasing)."""
FORM = "MODE [SHORT:SIZE] [FILTER] [R,G,B], such as 'squash' or 'center 256:224 bicubic'"


@dataclass(frozen=True)
class Resizing:
    """One rule, read from its text.

    Attributes:
        mode: `squash` ignores the aspect ratio (docs/papers/contrastive-tuning.md 2.1:
            `Resize((224, 224))`); `crop` cuts out the largest square in the middle and resizes it;
            `center` resizes the short side and cuts out the middle, to whole pixels, as
            torchvision and timm prepare ImageNet; `border` resizes the long side and fills up
            with a color, as timm does.
        short: number of pixels to which a side is resized for an input of `size`; None: the size
            of the input itself.
        size: size of the input that `short` belongs to; other inputs are resized in proportion.
        filter: one of `FILTERS`.
        fill: color, 0..255, of the border where `short` or a side is smaller than the input.
    """

    mode: str = "squash"
    short: int | None = None
    size: int | None = None
    filter: str = "bilinear"
    fill: tuple[int, int, int] = (0, 0, 0)

    @classmethod
    def read(cls, rule: str) -> Self:
        """Read a rule.

        Raises:
            InputError: the rule is not understood.

        Examples:
            >>> Resizing.read("center 256:224 bicubic").sides(112)
            (128, 112)
            >>> Resizing.read("stretch")
            Traceback (most recent call last):
            striate.core.errors.InputError: resize mode 'stretch': expected 'squash'...
        """
        match = re.fullmatch(
            r"(\w+)(?: (\d+):(\d+))?(?: ([a-z]+))?(?: (\d+),(\d+),(\d+))?", str(rule)
        )
        mode, short, size, name, *fill = match.groups() if match else (None,) * 7
        has_fill = fill[0] is not None if match else False
        problem = ""
        if mode not in MODES or (name or "bilinear") not in FILTERS:
            problem = f"Modes: {', '.join(MODES)}; filters: {', '.join(FILTERS)}."
        elif short and not (int(short) > 0 and int(size or 0) > 0):
            problem = "SHORT and SIZE are numbers of pixels, 1 or more."
        elif (mode == "crop" and (short or name)) or (has_fill and mode != "border"):
            problem = "crop takes nothing behind it, and a color goes with border only."
        if problem or match is None:
            message = f"resize mode {rule!r}: expected 'squash' or 'crop', or a rule {FORM}."
            raise InputError(f"{message} {problem}".rstrip())
        return cls(
            str(mode),
            int(short) if short else None,
            int(size) if size else None,
            name or "bilinear",
            (int(fill[0] or 0), int(fill[1] or 0), int(fill[2] or 0)),
        )

    def sides(self, size: int) -> tuple[int, int]:
        """Return the number of pixels to which a side is resized, and how many are kept of them."""
        if self.short is None or self.size is None:
            return size, size
        return max(1, size * self.short // self.size), size

    def whole(self) -> str:
        """Return the rule that shows the whole picture, with the same filter.

        >>> Resizing.read("center 256:224 bicubic").whole(), Resizing.read("crop").whole()
        ('squash bicubic', 'crop')
        """
        if self.mode == "crop":  # nothing is cut off a square
            return "crop"
        return "squash" if self.filter == "bilinear" else f"squash {self.filter}"

    def __call__(self, rgb: np.ndarray, size: int) -> np.ndarray:
        """Resize uint8 RGB (H, W, 3) to (size, size, 3)."""
        image, filter = Image.fromarray(rgb), FILTERS[self.filter]
        if self.mode == "crop":
            return np.array(ImageOps.fit(image, (size, size), filter))
        side, cropped = self.sides(size)
        width, height = image.size
        if self.mode == "squash":
            target = (side, side)
        elif self.mode == "center":  # the long side rounds down, as torchvision's does
            short = min(width, height)
            target = (int(side * width / short), int(side * height / short))
        else:
            ratio = max(height / side, width / side)
            target = (max(1, round(width / ratio)), max(1, round(height / ratio)))
        if target != image.size or self.mode == "squash":
            image = image.resize(target, filter)
        return _crop_middle(np.array(image), cropped, self.fill)


def _crop_middle(rgb: np.ndarray, size: int, fill: tuple[int, int, int]) -> np.ndarray:
    """Cut out the middle of uint8 RGB, after filling up to `size` where it is smaller.

    As in torchvision and timm, an odd border is larger by a pixel at the end, and half a pixel to
    cut off rounds to even.
    """
    missing = [max(size - side, 0) for side in rgb.shape[:2]]
    if any(missing):
        before = [n // 2 for n in missing]
        out = np.empty((rgb.shape[0] + missing[0], rgb.shape[1] + missing[1], 3), np.uint8)
        out[:] = np.array(fill, np.uint8)
        out[before[0] : before[0] + rgb.shape[0], before[1] : before[1] + rgb.shape[1]] = rgb
        rgb = out
    top, left = (round((side - size) / 2) for side in rgb.shape[:2])
    return np.ascontiguousarray(rgb[top : top + size, left : left + size])
