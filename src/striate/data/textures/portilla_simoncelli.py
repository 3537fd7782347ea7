"""Texture synthesis (Portilla & Simoncelli 2000): images with the statistics of a seed texture."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from striate.core.errors import InputError

CORRELATIONS = 7
"""Side in pixels of the neighborhood of autocorrelations, as in Portilla & Simoncelli."""
SCALES = 4
"""Largest number of scales of the pyramid, as in Portilla & Simoncelli."""
HIGHPASS = 100.0
"""Weight of the variance of the finest residual, which is far smaller than the other statistics (as
in plenoptic's loss for these statistics)."""
RANGE = 0.1
"""Weight of pixels outside the range of the seed (ours)."""
MEMORY = 100
"""Number of steps that L-BFGS remembers."""


@dataclass(frozen=True)
class Synthesis:
    """One synthesized texture.

    Attributes:
        pixels: float32 (side, side), on the scale of the seed; periodic: its edges fit together.
        start: relative error of the statistics, ||s - t|| / ||t||, of the initial noise.
        end: relative error of the statistics of `pixels`.
        evaluations: number of evaluations of statistics and gradient.
        seconds: duration of the synthesis.
    """

    pixels: np.ndarray
    start: float
    end: float
    evaluations: int
    seconds: float

    @property
    def remaining(self) -> float:
        """Error at the end as a share of the error at the start."""
        return self.end / self.start if self.start > 0 else float("nan")


def scales(side: int) -> int:
    """Return the number of scales in the pyramid of a texture: 4 from 112 pixels on.

    Raises:
        InputError: the side allows fewer than two scales.
    """
    n = SCALES
    while n and (side % 2**n or side // 2**n < CORRELATIONS):
        n -= 1
    if n < 2:
        raise InputError(
            f"textures of {side} x {side} pixels: the side must be a multiple of 4 and at least "
            f"{4 * CORRELATIONS}; for all {SCALES} scales a multiple of 16 and at least 112."
        )
    return n


def require_plenoptic() -> Any:
    """Return the package that computes the statistics.

    Raises:
        InputError: plenoptic is not installed.
    """
    try:
        import plenoptic
    except ImportError as error:
        raise InputError(
            "texture synthesis needs the package plenoptic, which is not installed "
            f"({error}). Install it: pip install 'striate[textures]'."
        ) from error
    return plenoptic


class Statistics:
    """The Portilla-Simoncelli statistics of images of one size, through plenoptic.

    With 4 scales and 4 orientations there are 710 numbers: moments of pixels and of low-pass
    images, and correlations of coefficients and their magnitudes over space, orientations and
    scales. The largest and the smallest pixel do not count in the error, as they have no useful
    gradient; the range is a soft constraint instead.

    Args:
        side: side of the images in pixels.
        device: device on which statistics are computed.
    """

    def __init__(self, side: int, device: str = "cpu") -> None:
        model = require_plenoptic().models.PortillaSimoncelli(
            (side, side), n_scales=scales(side), spatial_corr_width=CORRELATIONS
        )
        self.model = model.to(device).eval()
        self.device = torch.device(device)
        for parameter in self.model.parameters():
            parameter.requires_grad_(False)
        ones = torch.ones_like(self(torch.rand(side, side, device=self.device)))
        parts = self.model.convert_to_dict(ones[None, None])
        parts["pixel_statistics"][..., -2:] = 0
        parts["var_highpass_residual"] *= HIGHPASS
        self.weights = self.model.convert_to_tensor(parts)[0, 0]

    def __call__(self, image: Tensor) -> Tensor:
        """Compute the statistics (n,) of one image (side, side)."""
        out: Tensor = self.model(image[None, None])[0, 0]
        return out


def synthesize(
    seed: np.ndarray,
    generator: np.random.Generator,
    evaluations: int = 100,
    statistics: Statistics | None = None,
) -> Synthesis:
    """Change noise by L-BFGS until its statistics are those of the seed.

    Args:
        seed: float (side, side) on any scale.
        generator: generator of the initial white Gaussian noise, which gets the seed's mean and
            deviation.
        evaluations: largest number of evaluations of statistics and gradient, which take most of
            the time.
        statistics: statistics for images of this size; built if not given.

    Returns:
        The texture and its errors.

    Raises:
        InputError: the seed is not square or has no contrast, or plenoptic is not installed.
    """
    if seed.ndim != 2 or seed.shape[0] != seed.shape[1] or not seed.std() > 0:
        raise InputError(f"a seed must be square and have contrast, found {seed.shape}.")
    measure = statistics or Statistics(len(seed))
    started = time.monotonic()
    mean, deviation = float(seed.mean()), float(seed.std())
    # The statistics are meant for pixels in 0..1; those of natural images deviate by about 0.2.
    scaled = 0.5 + 0.2 * (seed - mean) / deviation
    target_image = torch.from_numpy(scaled.astype(np.float32)).to(measure.device)
    low, high = float(target_image.min()), float(target_image.max())
    noise = 0.5 + 0.2 * generator.standard_normal(seed.shape)
    image = torch.from_numpy(noise.astype(np.float32)).to(measure.device).requires_grad_(True)
    with torch.no_grad():
        target = measure.weights * measure(target_image)
        size = float(target.norm())
        start = float((measure.weights * measure(image) - target).norm()) / size
    optimizer = torch.optim.LBFGS(
        [image],
        max_iter=evaluations,
        max_eval=evaluations,
        history_size=MEMORY,
        line_search_fn="strong_wolfe",
        tolerance_grad=0,
        tolerance_change=0,
    )
    best, least, count = image.detach().clone(), start, 0

    def loss() -> Tensor:
        nonlocal best, least, count
        optimizer.zero_grad()
        distance = (measure.weights * measure(image) - target).square().sum()
        outside = (image - image.clamp(low, high)).square().sum()
        total: Tensor = distance + RANGE * outside
        total.backward()
        count += 1
        error = float(distance.detach()) ** 0.5 / size
        if error < least:  # a line search may end at a worse point
            best, least = image.detach().clone(), error
        return total

    optimizer.step(loss)
    pixels = mean + deviation * (best.cpu().numpy() - 0.5) / 0.2
    seconds = time.monotonic() - started
    return Synthesis(pixels.astype(np.float32), start, least, count, seconds)
