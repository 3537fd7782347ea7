"""Sine gratings on gray, in degrees of visual angle, drawn block by block."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import inf, prod

import numpy as np
import pandas as pd

from striate.core.errors import InputError

GRAY = 127
"""Pixel value of the background and the mean of every grating, so contrast 1 spans 0 to 254."""
PIXELS_PER_DEGREE = 28.0
"""224 pixels over 8 degrees."""
AXES = ("orientation", "spatial_frequency", "diameter", "contrast", "phase")
"""What a grating is made of; the last runs fastest."""


def cycle(n: int) -> tuple[float, ...]:
    """Return n phases evenly spaced around the cycle, in degrees: a drift, frame by frame.

    >>> cycle(4)
    (0.0, 90.0, 180.0, 270.0)
    """
    return tuple(360.0 * i / n for i in range(n))


def turns(n: int) -> tuple[float, ...]:
    """Return n orientations evenly spaced over 180 degrees.

    >>> turns(3)
    (0.0, 60.0, 120.0)
    """
    return tuple(180.0 * i / n for i in range(n))


def octaves(low: float, high: float, per_octave: int = 2) -> tuple[float, ...]:
    """Return values from `low` up to at most `high`, evenly spaced on a logarithmic axis.

    >>> octaves(1.0, 4.0, 1)
    (1.0, 2.0, 4.0)
    """
    if not (0 < low <= high and per_octave > 0):
        raise InputError(f"octaves from {low} to {high}: expected 0 < low <= high.")
    steps = int(np.floor(np.log2(high / low) * per_octave + 1e-9))
    return tuple(float(low * 2 ** (i / per_octave)) for i in range(steps + 1))


@dataclass(frozen=True)
class Gratings:
    """Every combination of orientation, spatial frequency, diameter, contrast and phase.

    Pixels are samples of the sine at their centers. Below the Nyquist frequency that is exact and
    nothing aliases, whatever the orientation; at and above it a grating is refused. What is left is
    the rounding to whole pixel values, at most 0.5 of 127 (0.4 % contrast).

    Attributes:
        orientations: of the bars in degrees, anticlockwise from horizontal.
        spatial_frequencies: in cycles per degree.
        phases: in degrees; 0 has a bright bar in the center, and a rising phase drifts at right
            angles to the bars, downwards (rightwards where they are vertical).
        diameters: of the circular aperture in degrees, to where its edge is at half height;
            infinite for a full field.
        contrasts: Michelson, (max - min) / (max + min) of pixel values, 0 to 1. Pixel values are
            what a model sees; on a screen of known gamma the contrast of luminance is another one.
        pixels_per_degree: of the images.
        edge: width in degrees of the aperture's raised-cosine edge, at least one pixel.

    Raises:
        InputError: a frequency at or above Nyquist, a contrast outside 0..1, an aperture smaller
            than its edge, an empty axis.

    Examples:
        >>> gratings = Gratings(turns(4), (1.0, 2.0), phases=cycle(4))
        >>> len(gratings), gratings.shape
        (32, (4, 2, 1, 1, 4))
        >>> next(gratings.blocks(size=56, block=8)).shape
        (8, 56, 56, 3)
        >>> Gratings((0.0,), (14.0,))
        Traceback (most recent call last):
        striate.core.errors.InputError: spatial frequency 14.0 cycles per degree: with...
    """

    orientations: Sequence[float]
    spatial_frequencies: Sequence[float]
    phases: Sequence[float] = cycle(8)
    diameters: Sequence[float] = (inf,)
    contrasts: Sequence[float] = (1.0,)
    pixels_per_degree: float = PIXELS_PER_DEGREE
    edge: float = 0.1

    def __post_init__(self) -> None:
        if not self.pixels_per_degree > 0:
            raise InputError(f"pixels_per_degree must be positive, found {self.pixels_per_degree}.")
        for name, values in zip(AXES, self._values, strict=True):
            if not len(values) or len(set(values)) != len(values) or np.isnan(values).any():
                raise InputError(
                    f"gratings: {name} needs at least one value, each once, found {list(values)}."
                )
        for frequency in self.spatial_frequencies:
            if not 0 <= frequency < self.pixels_per_degree / 2:
                raise InputError(
                    f"spatial frequency {frequency} cycles per degree: with "
                    f"{self.pixels_per_degree} pixels per degree it must be at least 0 and below "
                    f"{self.pixels_per_degree / 2}, or it would alias."
                )
        for contrast in self.contrasts:
            if not 0 <= contrast <= 1:
                raise InputError(f"contrast {contrast}: expected 0 to 1.")
        for diameter in self.diameters:
            if not diameter >= self._edge:
                raise InputError(
                    f"diameter {diameter} degrees is smaller than its edge of {self._edge:.3g}. "
                    "Choose larger apertures or a narrower edge."
                )

    @property
    def _values(self) -> tuple[Sequence[float], ...]:
        return (
            self.orientations,
            self.spatial_frequencies,
            self.diameters,
            self.contrasts,
            self.phases,
        )

    @property
    def _edge(self) -> float:
        return max(self.edge, 1 / self.pixels_per_degree)

    @property
    def axes(self) -> dict[str, np.ndarray]:
        """Values along each of `AXES`."""
        return {n: np.array(v, dtype=float) for n, v in zip(AXES, self._values, strict=True)}

    @property
    def shape(self) -> tuple[int, ...]:
        """How many values each of `AXES` has."""
        return tuple(len(v) for v in self._values)

    def __len__(self) -> int:
        return prod(self.shape)

    @property
    def table(self) -> pd.DataFrame:
        """One row a grating, in the order of the blocks, with `AXES` as columns."""
        return pd.DataFrame(list(product(*self.axes.values())), columns=list(AXES))

    def blocks(
        self, size: int = 224, block: int = 64, center: tuple[float, float] | None = None
    ) -> Iterator[np.ndarray]:
        """Yield uint8 images (up to `block`, size, size, 3), all in the order of `table`.

        Args:
            size: side of the images in pixels.
            block: images at once, which bounds memory.
            center: row and column of the gratings' center in pixels; default the image's.
        """
        table = self.table
        for start in range(0, len(table), block):
            levels = self.draw(table.iloc[start : start + block], size, center)
            gray = np.rint(levels).astype(np.uint8)
            yield np.repeat(gray[..., None], 3, axis=-1)

    def draw(
        self, table: pd.DataFrame, size: int = 224, center: tuple[float, float] | None = None
    ) -> np.ndarray:
        """Return rows of `table` as pixel values before rounding, float64 (n, size, size)."""
        row, column = center or ((size - 1) / 2, (size - 1) / 2)
        y = (np.arange(size) - row) / self.pixels_per_degree  # downwards
        x = (np.arange(size) - column) / self.pixels_per_degree
        angle, frequency, diameter, contrast, phase = table[list(AXES)].to_numpy(float).T
        angle, phase = np.deg2rad(angle), np.deg2rad(phase)
        wave = 2 * np.pi * frequency
        # cos(a + b) from its rows and columns costs two products a pixel and no cosine
        a = (wave * np.sin(angle))[:, None] * x
        b = (wave * np.cos(angle))[:, None] * y - phase[:, None]
        out = np.cos(b)[:, :, None] * np.cos(a)[:, None, :]
        out -= np.sin(b)[:, :, None] * np.sin(a)[:, None, :]
        out *= (GRAY * contrast)[:, None, None]
        for d in np.unique(diameter[np.isfinite(diameter)]):
            out[diameter == d] *= _draw_aperture(x, y, float(d), self._edge)
        return np.asarray(out + GRAY)


def _draw_aperture(x: np.ndarray, y: np.ndarray, diameter: float, edge: float) -> np.ndarray:
    """Draw a disc with a raised-cosine edge: 1 inside, 0.5 at the radius, 0 outside."""
    outwards = np.clip((np.hypot(y[:, None], x) - diameter / 2) / edge + 0.5, 0, 1)
    return np.asarray(0.5 + 0.5 * np.cos(np.pi * outwards))
