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
        config: which changes are made, and how large they are.
        seed: decides all draws; they are made on the CPU, so every device gets the same.
        total: number of stimuli in the whole batch, if `images` is one process's share of it.
        first: position of `images[0]` in the whole batch.

    Returns:
        uint8 (B, H, W, 3); `images` itself if no change is on.
    """
    if not config.on:
        return images
    total = len(images) if total is None else total
    shift, mirror, factor = drawn(config, seed, total)
    share = slice(first, first + len(images))
    changed = images
    if config.shift or config.flip:
        mirrored = mirror[share] if config.flip else torch.zeros(len(images), dtype=torch.bool)
        changed = _move_pixels(
            changed, shift[share].to(changed.device), mirrored.to(changed.device)
        )
    if config.brightness:
        gain = factor[share].to(changed.device).view(-1, 1, 1, 1)
        changed = (changed.float() * gain).round_().clamp_(0, 255).to(torch.uint8)
    return changed


def drawn(config: AugmentConfig, seed: int, total: int) -> tuple[Tensor, Tensor, Tensor]:
    """Draw each image's shift (total, 2), whether to mirror it (total,) and its factor (total,)."""
    draws = torch.Generator().manual_seed(seed)
    shift = torch.randint(-config.shift, config.shift + 1, (total, 2), generator=draws)
    mirror = torch.rand(total, generator=draws) < 0.5
    factor = 1 + config.brightness * (2 * torch.rand(total, generator=draws) - 1)
    return shift, mirror, factor


def _move_pixels(images: Tensor, shift: Tensor, mirrored: Tensor) -> Tensor:
    """Pick each output pixel from its source; the edge pixel stands for those beyond the edge."""
    n, height, width, _ = images.shape
    row = torch.arange(height, device=images.device)[None] - shift[:, :1]
    column = torch.arange(width, device=images.device).expand(n, width)
    column = torch.where(mirrored[:, None], width - 1 - column, column) - shift[:, 1:]
    row, column = row.clamp(0, height - 1), column.clamp(0, width - 1)
    image = torch.arange(n, device=images.device)[:, None, None]
    return images[image, row[:, :, None], column[:, None, :]]
