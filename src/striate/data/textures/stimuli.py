"""Naturalistic textures and noise with their spectrum, drawn at a size in degrees."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image
from pydantic import Field

from striate.core.config import Config
from striate.core.hashing import hash_array

GRAY = 128
"""Pixel value of the background and the mean of every texture (docs/papers/lcl-v2.md 5.1)."""
TYPES = ("texture", "noise", "control")
"""`control`: a second draw of noise with the spectrum of the same texture."""
FAMILIES, SAMPLES = 15, 15
"""Numbers of families and of samples of each in Freeman & Ziemba's stimuli."""
CONVERGED = 0.1
"""Largest share of the first error that may remain; above it a synthesis is called poor (ours)."""


class TextureConfig(Config):
    """The textures to make. Sizes follow Freeman & Ziemba 2013; the rest is ours."""

    seeds: str | None = None
    """Folder of pictures, one for each family; None: the pictures of installed packages."""
    families: tuple[str, ...] | None = Field(None, min_length=1)
    """Names of the families to take, which are the names of files; None: the first by name."""
    n_families: int = Field(FAMILIES, gt=0)
    """Largest number of families."""
    samples: int = Field(SAMPLES, gt=0)
    """Number of textures of each family."""
    side: int = Field(128, gt=0)
    """Side of a synthesized texture in pixels. The stimuli of the recordings have 320. A model with
    28 pixels per degree sees 112 of them, so more pixels would only cost time."""
    shrink: float = Field(2.0, ge=1)
    """Largest factor by which the middle of a picture is shrunk to make its seed."""
    degrees: float = Field(4.0, gt=0)
    """Size of a texture, and diameter of its aperture."""
    contrast: float = Field(0.2, gt=0, le=1)
    """Standard deviation of textures and noise as a share of gray, the same for all."""
    evaluations: int = Field(100, gt=0)
    """Largest number of evaluations of the statistics and their gradient in one synthesis."""
    seed: int = Field(0, ge=0)


def spectrally_matched_noise(image: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Make noise with exactly the power spectrum of an image and random phases.

    The phases are those of white Gaussian noise and hence Hermitian, so that the result is real.
    The mean stays.

    Args:
        image: float (H, W), taken as periodic.
        generator: generator of the phases.

    Returns:
        float64 (H, W).

    >>> image = np.arange(16.0).reshape(4, 4)
    >>> noise = spectrally_matched_noise(image, np.random.default_rng(0))
    >>> np.allclose(np.abs(np.fft.fft2(noise)), np.abs(np.fft.fft2(image)))
    True
    """
    spectrum = np.fft.fft2(np.asarray(image, dtype=np.float64))
    white = np.fft.fft2(generator.standard_normal(spectrum.shape))
    phases = np.divide(white, np.abs(white), out=np.ones_like(white), where=np.abs(white) > 0)
    mixed = np.abs(spectrum) * phases
    mixed[0, 0] = spectrum[0, 0]
    return np.asarray(np.fft.ifft2(mixed).real)


def aperture(side: int, pixels_per_degree: float, degrees: float) -> np.ndarray:
    """Return a raised cosine, 1 in the center and 0 from `degrees` / 2 on, float64 (side, side)."""
    offset = (np.arange(side) - (side - 1) / 2) / pixels_per_degree
    radius = np.hypot(offset[:, None], offset) / (degrees / 2)
    return np.asarray(0.5 + 0.5 * np.cos(np.pi * radius.clip(0, 1)))


@dataclass(frozen=True, eq=False)
class Textures:
    """Textures, their spectrally matched noise and a second draw of it.

    Attributes:
        images: float32 (3, n_families, n_samples, side, side), in the order of `TYPES`: contrast
            around a mean of 0, so that a pixel value is 128 + 128 x.
        families: names of the families.
        synthesis: one row for each texture: family, sample, start, end, remaining, evaluations,
            seconds, clipped (share of pixels of texture and noise that 0..255 cannot show).
        degrees: visual angle that the side spans.
        wanted: number of families that were asked for.
        notes: what a reader has to know.
        sources: source of each family's seed.
    """

    images: np.ndarray
    families: tuple[str, ...]
    synthesis: pd.DataFrame
    degrees: float
    wanted: int = FAMILIES
    notes: tuple[str, ...] = ()
    sources: dict[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return int(np.prod(self.images.shape[:3]))

    def describe(self) -> str:
        """Describe the textures, and how long their synthesis took."""
        seconds = self.synthesis["seconds"].sum() / 60
        return (
            f"{len(self.families)} of {self.wanted} texture families ({', '.join(self.families)}) "
            f"x {self.images.shape[2]} samples, {self.images.shape[-1]} pixels for "
            f"{self.degrees:g} degrees; {seconds:.1f} minutes of synthesis"
        )

    def poor(self, limit: float = CONVERGED) -> list[str]:
        """Families whose median texture kept more than `limit` of its first error."""
        median = self.synthesis.groupby("family", sort=False)["remaining"].median()
        return [str(name) for name, value in median.items() if not value <= limit]

    def key(self) -> dict[str, Any]:
        """The part of a cache key that identifies these stimuli."""
        return {"images": hash_array(self.images), "degrees": self.degrees}

    def blocks(
        self,
        size: int,
        pixels_per_degree: float,
        center: tuple[float, float] | None = None,
        block: int = 64,
    ) -> Iterator[np.ndarray]:
        """Yield uint8 images (up to `block`, size, size, 3), types, families, samples in order.

        Each texture is resized to the model's pixels per degree, seen through the aperture, and
        put on gray with its center on the pixel nearest to `center`. Parts beyond the image are
        cut off.

        Args:
            size: side of the images in pixels.
            pixels_per_degree: scale of the images.
            center: row and column in pixels; default the center of the image.
            block: number of images at once, to bound memory.
        """
        row, column = center or ((size - 1) / 2, (size - 1) / 2)
        side = max(1, round(self.degrees * pixels_per_degree))
        window = aperture(side, pixels_per_degree, self.degrees)
        top, left = (int(np.floor(c - (side - 1) / 2 + 0.5)) for c in (row, column))
        inside = [slice(max(0, a), min(size, a + side)) for a in (top, left)]
        visible = tuple(
            slice(s.start - a, s.stop - a) for s, a in zip(inside, (top, left), strict=True)
        )
        flat = self.images.reshape(-1, *self.images.shape[-2:])
        for start in range(0, len(flat), block):
            block_images = flat[start : start + block]
            out = np.full((len(block_images), size, size), GRAY, dtype=np.uint8)
            for i, image in enumerate(block_images):
                levels = GRAY * (1 + resample(image, side) * window)
                shown = np.rint(levels[visible]).clip(0, 255).astype(np.uint8)
                out[i, inside[0], inside[1]] = shown
            yield np.repeat(out[..., None], 3, axis=-1)


def resample(image: np.ndarray, side: int) -> np.ndarray:
    """Resize a float image to (side, side), antialiased where it shrinks."""
    if len(image) == side:
        return image
    picture = Image.fromarray(np.ascontiguousarray(image, dtype=np.float32))
    return np.asarray(picture.resize((side, side), Image.Resampling.BICUBIC))
