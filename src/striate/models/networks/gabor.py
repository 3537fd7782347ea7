"""A V1 of fixed Gabor filters: simple cells, energy-model complex cells, divisive normalization.

All lengths are in pixels; at 28 pixels per degree (224 pixels over 8 degrees) a wavelength of 28
pixels is 1 cycle per degree. The values are Striate's own, chosen for the parafovea.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, log, pi, sqrt

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from striate.core.config import Config
from striate.models.networks.parts import Blur, Luma


class GaborConfig(Config):
    """The filters of `GaborEnergy`."""

    orientations: int = Field(8, gt=0)
    wavelengths: tuple[float, ...] = (4.0, 5.657, 8.0, 11.314, 16.0, 22.627)
    """In pixels; 7 to 1.24 cycles per degree at 28 pixels per degree, in half octaves."""
    bandwidth: float = Field(1.4, gt=0)
    """Full width at half height of the spatial-frequency tuning, in octaves."""
    stride: int = Field(4, gt=0)
    """Distance of the filters in pixels; the taps have half as many positions along each axis."""
    semisaturation: float = Field(0.1, gt=0)
    """Contrast at which the normalization pool has half its effect."""


@dataclass(frozen=True)
class Cell:
    """What a channel prefers.

    Attributes:
        orientation: orientation of the bars in degrees, anticlockwise from horizontal, 0 to 180.
        wavelength: wavelength of the grating in pixels.
        phase: phase in degrees; at 0 a bright bar is in the middle; None for complex cells.
    """

    orientation: float
    wavelength: float
    phase: float | None = None


def gabor_pairs(wavelength: float, orientations: int, bandwidth: float = 1.4) -> Tensor:
    """Return even and odd Gabor filters (orientations, 2, k, k) under a round Gaussian.

    The even ones have no mean, and a grating of the preferred wavelength and orientation with
    amplitude 1 gives a pair of responses of energy 1. The envelope follows from the bandwidth in
    octaves (Petkov & Kruizinga 1997, "Computational models of visual neurons specialized in the
    detection of periodic and aperiodic oriented visual stimuli", equation 3) and is cut at 2.5
    standard deviations.
    """
    ratio = 2.0**bandwidth
    sigma = wavelength / pi * sqrt(log(2) / 2) * (ratio + 1) / (ratio - 1)
    half = ceil(2.5 * sigma)
    y, x = np.mgrid[-half : half + 1, -half : half + 1].astype(float)
    envelope = np.exp(-(x**2 + y**2) / (2 * sigma**2))
    pairs = []
    for k in range(orientations):
        theta = pi * k / orientations  # of the bars; rows count downwards
        along = 2 * pi / wavelength * (x * np.sin(theta) + y * np.cos(theta))
        even, odd = envelope * np.cos(along), envelope * np.sin(along)
        even = even - envelope * (even.sum() / envelope.sum())
        gains = [(even * np.cos(along)).sum(), (odd * np.sin(along)).sum()]
        pairs.append(np.stack([even / gains[0], odd / gains[1]]))
    return torch.from_numpy(np.stack(pairs)).float()


def energy(even: Tensor, odd: Tensor) -> Tensor:
    """Return sqrt(even^2 + odd^2); on a flat image, too, its gradient is finite."""
    return (even.square() + odd.square() + 1e-12).sqrt()


class GaborBank(nn.Module):
    """Linear responses (B, 1, H, W) to (B, 2, C, H', W'): even and odd, wavelength by wavelength.

    Borders are filled with zeros, which is mid-gray, as around a stimulus on a gray screen.
    Positions are multiples of the stride at every wavelength.
    """

    def __init__(self, config: GaborConfig) -> None:
        super().__init__()
        self.stride = config.stride
        self.cells = tuple(
            Cell(180 * k / config.orientations, wavelength)
            for wavelength in config.wavelengths
            for k in range(config.orientations)
        )
        self.number = len(config.wavelengths)
        for i, wavelength in enumerate(config.wavelengths):
            pairs = gabor_pairs(wavelength, config.orientations, config.bandwidth)
            # All even filters come first, so that their outputs are one block of channels.
            filters = pairs.transpose(0, 1).reshape(-1, 1, *pairs.shape[-2:])
            self.register_buffer(f"filters{i}", filters.contiguous())

    def forward(self, x: Tensor) -> Tensor:
        """Map gray images (B, 1, H, W) to (B, 2, C, H', W')."""
        parts = []
        for i in range(self.number):
            filters = self.get_buffer(f"filters{i}")
            out = F.conv2d(x, filters, stride=self.stride, padding=filters.shape[-1] // 2)
            parts.append(out.unflatten(1, (2, -1)))
        return torch.cat(parts, 2)

    def extra_repr(self) -> str:
        """Name what decides the output beside the filters."""
        return f"stride={self.stride}"


class SimpleCells(nn.Module):
    """Half-rectified responses at four phases: (B, 2, C, H, W) to (B, 4C, H/2, W/2).

    Every other position is kept unchanged, because averaging over positions would average phases.
    """

    def forward(self, pairs: Tensor) -> Tensor:
        """Return phases 0, 90, 180 and 270 degrees, one block of channels after the other."""
        even, odd = pairs[:, 0, :, ::2, ::2], pairs[:, 1, :, ::2, ::2]
        return F.relu(torch.cat([even, odd, -even, -odd], 1))


class ComplexCells(nn.Module):
    """Energy model (Adelson & Bergen 1985): sqrt(even^2 + odd^2), averaged over neighbors.

    (B, 2, C, H, W) to (B, C, H/2, W/2). The response to a grating is its contrast, at any phase.
    """

    def __init__(self) -> None:
        super().__init__()
        self.pool = Blur(3, stride=2, padding=1)

    def forward(self, pairs: Tensor) -> Tensor:
        """Return one channel for each quadrature pair."""
        return self.pool(energy(pairs[:, 0], pairs[:, 1]))


class DivisiveNormalization(nn.Module):
    """r^2 / (s^2 + mean of r^2 over all channels and 5 x 5 neighbors) (Heeger 1992; form ours).

    Args:
        semisaturation: s, in units of contrast.
    """

    def __init__(self, semisaturation: float) -> None:
        super().__init__()
        self.semisaturation = semisaturation
        self.pool = Blur(5, stride=1, padding=2)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape."""
        power = x.square()
        return power / (self.semisaturation**2 + self.pool(power.mean(1, keepdim=True)))

    def extra_repr(self) -> str:
        """Name what decides the output."""
        return f"semisaturation={self.semisaturation}"


class GaborEnergy(nn.Module):
    """Fixed model of V1: input (B, 3, H, W) in -1..1, output of the normalized complex cells.

    Taps: `simple` (4 phases of every filter), `complex`, `normalized`. With the default options
    192, 48 and 48 channels on 28 x 28 positions at 224 pixels, 8 pixels apart. Filters are 11 to 49
    pixels wide, five standard deviations of their envelopes. Nothing is learned: no parameters.

    Args:
        config: the filters.

    Attributes:
        simple_cells, complex_cells: what each channel of `simple`, and of the other taps, prefers.
    """

    default_taps = ("simple", "complex", "normalized")

    def __init__(self, config: GaborConfig | None = None) -> None:
        super().__init__()
        config = config or GaborConfig()
        self.luma = Luma()
        self.bank = GaborBank(config)
        self.simple = SimpleCells()
        self.complex = ComplexCells()
        self.normalized = DivisiveNormalization(config.semisaturation)
        self.complex_cells = self.bank.cells
        self.simple_cells = tuple(
            Cell(c.orientation, c.wavelength, phase)
            for phase in (0.0, 90.0, 180.0, 270.0)
            for c in self.complex_cells
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map images (B, 3, H, W) in -1..1 to (B, C, H/8, W/8)."""
        pairs = self.bank(self.luma(x))
        self.simple(pairs)  # read out by its tap only
        out: Tensor = self.normalized(self.complex(pairs))
        return out
