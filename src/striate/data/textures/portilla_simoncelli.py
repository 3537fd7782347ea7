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
"""Side in pixels of the neighborhood of autocorrelations, as Portilla & Simoncelli use it."""
SCALES = 4
"""Scales of the pyramid at most (theirs)."""
HIGHPASS = 100.0
"""Weight of the variance of the finest residual, which is far smaller than the other statistics
(that of plenoptic's loss for these statistics)."""
RANGE = 0.1
"""Weight of pixels outside the range of the seed (ours)."""
MEMORY = 100
"""Steps that L-BFGS remembers."""


@dataclass(frozen=True)
class Synthesis:
    """One synthesized texture.

    Attributes:
        pixels: float32 (side, side), on the scale of the seed; periodic: its edges fit together.
        start: relative error of the statistics, ||s - t|| / ||t||, of the noise it began from.
        end: that of `pixels`.
        evaluations: of statistics and gradient.
        seconds: it took.
    """

    pixels: np.ndarray
    start: float
    end: float
    evaluations: int
    seconds: float

    @property
    def remaining(self) -> float:
        """Error at the end over that at the start."""
        return self.end / self.start if self.start > 0 else float("nan")


def scales(side: int) -> int:
    """How many scales the pyramid of a texture has, 4 from 112 pixels on.

    Raises:
        InputError: a side of which fewer than two scales can be made.
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
        InputError: it is not installed.
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

    710 numbers with 4 scales and 4 orientations: moments of pixels and of low-pass images,
    correlations of coefficients and their magnitudes over space, orientations and scales. The
    largest and smallest pixel are left out of the error, as no gradient leads there; the range is
    a soft constraint instead.

    Args:
        side: of the images in pixels.
        device: where they are computed.
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
        """Statistics (n,) of one image (side, side)."""
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
        generator: of the white Gaussian noise it begins from, of the seed's mean and deviation.
        evaluations: of statistics and gradient at most, where the time goes.
        statistics: of this size; made if not given.

    Returns:
        The texture and how near it came.

    Raises:
        InputError: a seed that is not square or has no contrast; plenoptic is not installed.
    """
    if seed.ndim != 2 or seed.shape[0] != seed.shape[1] or not seed.std() > 0:
        raise InputError(f"a seed must be square and have contrast, found {seed.shape}.")
    own = statistics or Statistics(len(seed))
    started = time.monotonic()
    mean, deviation = float(seed.mean()), float(seed.std())
    # the statistics were made for pixels in 0..1, of which natural ones deviate by about 0.2
    scaled = 0.5 + 0.2 * (seed - mean) / deviation
    target_image = torch.from_numpy(scaled.astype(np.float32)).to(own.device)
    low, high = float(target_image.min()), float(target_image.max())
    noise = 0.5 + 0.2 * generator.standard_normal(seed.shape)
    image = torch.from_numpy(noise.astype(np.float32)).to(own.device).requires_grad_(True)
    with torch.no_grad():
        target = own.weights * own(target_image)
        size = float(target.norm())
        start = float((own.weights * own(image) - target).norm()) / size
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
        distance = (own.weights * own(image) - target).square().sum()
        outside = (image - image.clamp(low, high)).square().sum()
        total: Tensor = distance + RANGE * outside
        total.backward()
        count += 1
        error = float(distance.detach()) ** 0.5 / size
        if error < least:  # a line search may end on a worse point
            best, least = image.detach().clone(), error
        return total

    optimizer.step(loss)
    pixels = mean + deviation * (best.cpu().numpy() - 0.5) / 0.2
    seconds = time.monotonic() - started
    return Synthesis(pixels.astype(np.float32), start, least, count, seconds)
