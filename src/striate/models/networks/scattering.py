"""An untrained V2: oriented energies of oriented energies (two-layer scattering, ours).

It combines the idea of scattering networks (Bruna & Mallat 2013, arXiv 1203.1513) with a pyramid of
oriented filters (Simoncelli & Freeman 1995): the second layer finds the orientation and scale at
which the energies of the first one vary, as they do in textures. Every number here is Striate's.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.models.networks.gabor import energy, gabor_pairs
from striate.models.networks.parts import Blur, Luma

SCALES = 5
"""Scale j has a wavelength of 4 * 2^j pixels: 4, 8, 16, 32, 64."""
ORIENTATIONS = 4
DEEPEST = 3
"""Halvings of the smallest level of the pyramid, where the two coarsest scales are computed."""
FINEST = 4.0
"""Wavelength of all scales but the coarsest, in positions of their own levels."""


class Energy(nn.Module):
    """Modulus of quadrature pairs at one scale and each orientation: (B, C, H, W) to (B, 4C, H, W).

    Args:
        wavelength: in positions of the map.
    """

    filters: Tensor

    def __init__(self, wavelength: float) -> None:
        super().__init__()
        pairs = gabor_pairs(wavelength, ORIENTATIONS)
        self.register_buffer("filters", pairs.flatten(0, 1)[:, None].contiguous())

    def forward(self, x: Tensor) -> Tensor:
        """Return the orientations of the first channel, then those of the second, and so on."""
        channels, half = x.shape[1], self.filters.shape[-1] // 2
        x = F.pad(x, (half,) * 4, mode="replicate")  # a border must not look like an edge
        out = F.conv2d(x, self.filters.repeat(channels, 1, 1, 1), groups=channels)
        out = out.unflatten(1, (-1, 2))
        return energy(out[:, :, 0], out[:, :, 1])


class Halving(nn.Module):
    """Blur and drop every other position, `times` over: (B, C, H, W) to (B, C, H/2^n, W/2^n)."""

    def __init__(self) -> None:
        super().__init__()
        self.blur = Blur(5, stride=2, padding=2)

    def forward(self, x: Tensor, times: int = 1) -> Tensor:
        """Halve `times` times; 0 leaves `x` as it is."""
        for _ in range(times):
            x = self.blur(x)
        return x


class _FirstLayer(nn.Module):
    """Bring the energies of all scales to one map: a list of maps to (B, 20, H/8, W/8)."""

    def __init__(self) -> None:
        super().__init__()
        self.halve = Halving()

    def forward(self, energies: list[Tensor]) -> Tensor:
        maps = [self.halve(e, DEEPEST - _level(j)) for j, e in enumerate(energies)]
        return torch.cat(maps, 1)


class _SecondLayer(nn.Module):
    """Energies of energies, at equal and coarser scales: a list of maps to (B, 224, H/16, W/16)."""

    def __init__(self) -> None:
        super().__init__()
        self.energy = Energy(FINEST)
        self.coarse = Energy(2 * FINEST)
        self.halve = Halving()

    def forward(self, energies: list[Tensor]) -> Tensor:
        maps = []
        for k in range(1, SCALES):
            # All first-layer maps of this or a finer scale, at the level of this scale.
            finer = [self.halve(energies[j], _level(k) - _level(j)) for j in range(k + 1)]
            oriented = self.energy if k <= DEEPEST else self.coarse
            maps.append(self.halve(oriented(torch.cat(finer, 1)), DEEPEST + 1 - _level(k)))
        return torch.cat(maps, 1)


def _level(scale: int) -> int:
    """Halvings of the pyramid at which a scale is computed."""
    return min(scale, DEEPEST)


class ScatteringV2(nn.Module):
    """Fixed two-layer scattering: input (B, 3, H, W) in -1..1, output (B, 224, H/16, W/16).

    Taps: `layer1`, 5 scales x 4 orientations on positions 8 pixels apart, scale by scale; `layer2`,
    for second scales 8, 16, 32 and 64 pixels in turn, the first-layer maps of equal and finer
    scales x 4 orientations, 16 pixels apart. At 224 pixels (20, 28, 28) and (224, 14, 14).
    Nothing is learned: no parameters.
    """

    default_taps = ("layer1", "layer2")

    def __init__(self) -> None:
        super().__init__()
        self.luma = Luma()
        self.halve = Halving()
        self.energy = Energy(FINEST)
        self.coarse = Energy(2 * FINEST)
        self.layer1 = _FirstLayer()
        self.layer2 = _SecondLayer()

    def forward(self, x: Tensor) -> Tensor:
        """Map images (B, 3, H, W) in -1..1 to the second layer's map."""
        level = self.luma(x)
        energies = []
        for j in range(SCALES):
            level = self.halve(level) if 0 < j <= DEEPEST else level
            energies.append(self.energy(level) if j <= DEEPEST else self.coarse(level))
        self.layer1(energies)  # read out by its tap only
        out: Tensor = self.layer2(energies)
        return out
