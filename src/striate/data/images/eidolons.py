"""Eidolons: images whose scales are displaced at random, together or each on its own.

After the partially coherent disarray of Koenderink, Valsecchi, van Doorn, Wagemans & Gegenfurtner
2017 ("Eidolons: novel stimuli for vision research", Journal of Vision 17(2):7). This is a compact
version of our own, made from the description and not from the Eidolon Factory's code. The number
and spacing of scales, the treatment of edges and the mixture of the two kinds of displacement are
ours, so pixels differ from those of the published stimuli.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

GRAIN = 10.0
"""Standard deviation of the blur of the displacements in Geirhos et al. 2018, px of 224."""


def scales(side: int) -> list[float]:
    """Standard deviations, px, of the blurs that cut an image into scales; factors of 2 (ours)."""
    out = [0.5]
    while out[-1] * 2 <= side / 4:
        out.append(out[-1] * 2)
    return out


def disarray(
    x: np.ndarray,
    reach: float,
    coherence: float,
    grain: float,
    draws: Sequence[np.random.Generator],
) -> np.ndarray:
    """Displace the scales of images by random fields and add them up again.

    An image is divided into differences of Gaussians that sum to it exactly. Scale k is displaced
    by `reach (sqrt(c) u + sqrt(1 - c) u_k)`, `c` the coherence, where u and all u_k are independent
    Gaussian fields of unit variance, blurred by `grain`. With c = 1 all scales move together (the
    image is warped), with c = 0 each moves on its own; the spread of displacements is `reach` for
    every c. Each pixel takes the value of the nearest source pixel, beyond an edge that of the
    edge.

    Args:
        x: (N, H, W), any range.
        reach: standard deviation of the displacements along each axis, px.
        coherence: share of the displacement that all scales have in common, 0 to 1.
        grain: standard deviation of the blur of the displacements, px.
        draws: one generator for each image.

    Returns:
        float64 (N, H, W).
    """
    height, width = x.shape[1:]
    rows, columns = np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)
    squared = rows**2 + columns**2
    blurs = [
        np.exp(-2 * (np.pi * deviation) ** 2 * squared) for deviation in scales(min(height, width))
    ]
    bands = [np.ones_like(squared), *blurs, np.zeros_like(squared)]
    blur = np.exp(-2 * (np.pi * grain) ** 2 * squared)
    blur /= np.sqrt((blur**2).mean())  # blurred white noise then has unit variance
    grid = np.arange(height)[:, None], np.arange(width)
    out = np.zeros(x.shape)
    for image, draw, total in zip(x, draws, out, strict=True):
        white = draw.standard_normal((2, len(bands), height, width))
        fields = np.fft.ifft2(np.fft.fft2(white) * blur).real
        spectrum = np.fft.fft2(image)
        for k, (fine, coarse) in enumerate(pairwise(bands), 1):
            layer = np.fft.ifft2(spectrum * (fine - coarse)).real
            displacement = reach * (
                np.sqrt(coherence) * fields[:, 0] + np.sqrt(1 - coherence) * fields[:, k]
            )
            sources = [
                np.rint(position + shift).astype(int).clip(0, side - 1)
                for position, shift, side in zip(grid, displacement, (height, width), strict=True)
            ]
            total += layer[sources[0], sources[1]]
    return out
