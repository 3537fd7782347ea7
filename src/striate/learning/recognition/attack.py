"""Attacks on a network's images: projected gradient descent in the L2 norm."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from striate.learning.recognition.config import AttackConfig


def attacked(images: Tensor, loss: Callable[[Tensor], Tensor], config: AttackConfig) -> Tensor:
    """Climb the loss within a ball around each image.

    The method is that of Madry et al. 2018, arXiv 1706.06083, with the L2 norm: a step of fixed
    length along each image's gradient, then a projection onto the ball and onto the range of pixel
    values. The climb begins at the image itself (ours), so nothing is random.

    Args:
        images: float (B, 3, H, W), 0 to 1.
        loss: returns the loss to climb, summed over images. Its parameters get no gradient.
        config: the radius, and the number and length of steps.

    Returns:
        (B, 3, H, W) without gradient, 0 to 1, each within `eps` of its image.
    """
    length = config.step_size or 2.5 * config.eps / config.steps
    change = torch.zeros_like(images)
    for _ in range(config.steps):
        shifted = (images + change).requires_grad_()
        with torch.enable_grad():
            (gradient,) = torch.autograd.grad(loss(shifted), shifted)
        change = change + length * gradient / _compute_norms(gradient).clamp_min(1e-12)
        change = change * (config.eps / _compute_norms(change).clamp_min(1e-12)).clamp_max(1)
        change = (images + change).clamp(0, 1) - images
    return images + change


def _compute_norms(x: Tensor) -> Tensor:
    return x.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
