"""Random changes of light and color, and normalization of contrast, for the views of patches."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from striate.core.config import Config
from striate.core.draws import generator_at
from striate.data.images.decode import LUMA

LEAST_CONTRAST = 1 / 255
"""Least divisor of a patch (one gray level of [0, 1]), so that a flat patch becomes zeros."""
LIGHT, NOISE = 3, 4
"""Kinds of random draws (see `core.draws`)."""
_BANK_SIZE = 2**20
"""Least number of noise values that are kept: 4 MB."""


class PhotometryConfig(Config):
    """Changes of the pixels of each view, on the scale of [0, 1].

    Without these changes, color alone tells the two views of a patch from all others, and the
    filters become hues (docs/papers/lcl-v2.md 7.1). All numbers are ours.
    """

    gray: bool = False
    """Use luma in place of colors: three equal channels."""
    log_gain: float = Field(0.2, ge=0)
    """Standard deviation of the natural logarithm of each channel's gain; 0 for no gain."""
    offset: float = Field(0.2, ge=0)
    """Standard deviation of the offset of each channel; 0 for no offset. Centering removes the
    offset again, so it matters only with `center: false`."""
    noise: float = Field(0.03, ge=0)
    """Standard deviation of the noise of each pixel and channel; 0 for no noise."""
    center: bool = True
    """Subtract each channel's mean over the patch."""
    contrast: bool = True
    """Divide by the standard deviation over the patch around each channel's mean."""


@dataclass(frozen=True)
class Light:
    """Gain, offset and noise of each view of each sample; C is 1 for gray, else 3.

    Attributes:
        gain: float32 (N, V, C).
        offset: float32 (N, V, C), on the scale of [0, 1].
        noise: float32 (N, C, P, P) for each view, parts of one bank of noise; empty for no noise.
    """

    gain: Tensor
    offset: Tensor
    noise: tuple[Tensor, ...] = ()

    def __getitem__(self, samples: slice) -> Light:
        noise = tuple(view[samples] for view in self.noise)
        return Light(self.gain[samples], self.offset[samples], noise)


def light(
    count: int,
    patch: int,
    config: PhotometryConfig,
    *,
    views: int = 2,
    seed: int = 0,
    step: int = 0,
    stream: int = 0,
    device: torch.device | str = "cpu",
) -> Light:
    """Draw the gains, offsets and noise of a batch; they depend on the arguments alone.

    Args:
        count: number of samples N in the whole batch.
        patch: side P of a patch, px.
        config: strength of each change.
        views: number of independent draws for each sample.
        seed, step, stream: where random draws begin, see `core.draws.generator_at`.
        device: device of the tensors; the numbers are the same on each.
    """
    channels = 1 if config.gray else 3
    generator = generator_at(seed, step, LIGHT, stream)
    normal = generator.standard_normal((count, views, 2, channels), dtype=np.float32)
    normal *= np.array([[config.log_gain], [config.offset]], dtype=np.float32)
    changes = torch.from_numpy(normal).to(device)
    gain, offset = changes[:, :, 0].exp(), changes[:, :, 1]
    if not config.noise:
        return Light(gain, offset)
    length = channels * patch**2
    size = max(_BANK_SIZE, 1 << (length + 4 * count).bit_length())
    bank = noise_bank(size, config.noise, str(device))
    room = len(bank) - length
    generator = generator_at(seed, step, NOISE, stream)
    noise = []
    for _ in range(views):
        # The noise of a view is the bank read from a random start with a random stride between
        # samples, without a copy. Samples share values of the bank, but not at the same pixel.
        stride = int(generator.integers(room // (4 * count), room // (2 * count) + 1))
        first = int(generator.integers(0, room - (count - 1) * stride + 1))
        strides = (stride, patch**2, patch, 1)
        noise.append(bank.as_strided((count, channels, patch, patch), strides, first))
    return Light(gain, offset, tuple(noise))


@lru_cache(maxsize=4)
def noise_bank(size: int, deviation: float, device: str = "cpu") -> Tensor:
    """Return normal noise, float32 (size,), which is made once and is the same in every run."""
    values = generator_at(0, 0, NOISE).standard_normal(size, dtype=np.float32)
    return torch.from_numpy(values * np.float32(deviation)).to(device)


def to_gray(images: Tensor) -> Tensor:
    """Return the luma of RGB, (N, 3, H, W) to (N, 1, H, W), on the scale of the input."""
    red, green, blue = (images[:, i : i + 1] * weight for i, weight in enumerate(LUMA))
    return red.add_(green).add_(blue)


def relight(patches: Tensor, light: Light, config: PhotometryConfig) -> Tensor:
    """Change gain and offset of each channel and add noise, in place.

    Args:
        patches: float32 (N, C, V, P, P) on the scale of [0, 255].
        light: the result of `light` for these samples.
        config: strength of each change.

    Returns:
        The same tensor, on the scale of [0, 1].
    """
    gain = (light.gain / 255).transpose(1, 2)[..., None, None]
    for view, noise in enumerate(light.noise):
        torch.addcmul(noise, patches[:, :, view], gain[:, :, view], out=patches[:, :, view])
    if not light.noise:
        patches.mul_(gain)
    if config.offset and not config.center:  # centering would remove it again
        patches.add_(light.offset.transpose(1, 2)[..., None, None])
    return patches


def standardize(patches: Tensor, config: PhotometryConfig) -> tuple[Tensor, Tensor | None]:
    """Center each channel of each patch, in place, and find the factor that fixes its contrast.

    Contrast is the standard deviation over all pixels of a patch around the mean of each channel,
    so the channels keep their proportions. A flat patch becomes zeros.

    Args:
        patches: float32 (N, C, V, P, P) on the scale of [0, 1].
        config: whether to center and to divide by the contrast.

    Returns:
        The same tensor, and the factor (N, 1, V, 1, 1), if any, by which the caller still has to
        multiply it, as it can do so while it copies the result.
    """
    if not (config.center or config.contrast):
        return patches, None
    mean = patches.mean((3, 4), keepdim=True)
    patches.sub_(mean)
    factor = None
    if config.contrast:
        # Centered patches lose no digits here; `torch.var` is ten times slower on a CPU.
        norm = torch.linalg.vector_norm(patches.flatten(3), dim=3)
        contrast = norm.square().mean(1, keepdim=True).sqrt() / patches.shape[-1]
        factor = contrast.clamp(min=LEAST_CONTRAST).reciprocal()[..., None, None]
    if not config.center:
        patches.add_(mean)
    return patches, factor
