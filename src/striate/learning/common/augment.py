"""Random changes of a batch of images, drawn from (seed, step) alone."""

from __future__ import annotations

import torch
from torch import Tensor

from striate.learning.common.config import AugmentConfig


def augment(
    images: Tensor, config: AugmentConfig, seed: int, *, total: int | None = None, first: int = 0
) -> Tensor:
    """Shift, mirror and brighten each image of a batch by its own random amounts.

    Args:
        images: uint8 (B, H, W, 3), on any device.
        config: what is done and how much.
        seed: decides all draws; they are made on the CPU, so every device sees the same.
        total: stimuli in the whole batch, where `images` is one process's share of it.
        first: place of `images[0]` in the whole batch.

    Returns:
        uint8 (B, H, W, 3); `images` itself where nothing is on.
    """
    if not config.on:
        return images
    total = len(images) if total is None else total
    shift, mirror, factor = drawn(config, seed, total)
    mine = slice(first, first + len(images))
    out = images
    if config.shift or config.flip:
        mirrored = mirror[mine] if config.flip else torch.zeros(len(images), dtype=torch.bool)
        out = _move(out, shift[mine].to(out.device), mirrored.to(out.device))
    if config.brightness:
        gain = factor[mine].to(out.device).view(-1, 1, 1, 1)
        out = (out.float() * gain).round_().clamp_(0, 255).to(torch.uint8)
    return out


def drawn(config: AugmentConfig, seed: int, total: int) -> tuple[Tensor, Tensor, Tensor]:
    """Draw the shift (total, 2), whether to mirror (total,) and the factor (total,) of each."""
    draws = torch.Generator().manual_seed(seed)
    shift = torch.randint(-config.shift, config.shift + 1, (total, 2), generator=draws)
    mirror = torch.rand(total, generator=draws) < 0.5
    factor = 1 + config.brightness * (2 * torch.rand(total, generator=draws) - 1)
    return shift, mirror, factor


def _move(images: Tensor, shift: Tensor, mirrored: Tensor) -> Tensor:
    """Pick each output pixel from its source; beyond the edge, the edge pixel."""
    n, height, width, _ = images.shape
    row = torch.arange(height, device=images.device)[None] - shift[:, :1]
    column = torch.arange(width, device=images.device).expand(n, width)
    column = torch.where(mirrored[:, None], width - 1 - column, column) - shift[:, 1:]
    row, column = row.clamp(0, height - 1), column.clamp(0, width - 1)
    image = torch.arange(n, device=images.device)[:, None, None]
    return images[image, row[:, :, None], column[:, None, :]]
