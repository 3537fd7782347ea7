"""Images changed so that a network errs: projected gradient descent in the L2 norm."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from striate.learning.recognition.config import AttackConfig


def attacked(images: Tensor, loss: Callable[[Tensor], Tensor], config: AttackConfig) -> Tensor:
    """Climb the loss within a ball around each image.

    Madry et al. 2018, arXiv 1706.06083, with the L2 norm: a step of fixed length along each image's
    gradient, back to the ball, back to the range of pixel values. The climb begins at the image
    itself (ours), so nothing is random.

    Args:
        images: float (B, 3, H, W), 0 to 1.
        loss: sum over images of what is to grow. Its parameters get no gradient.
        config: radius, steps and their length.

    Returns:
        (B, 3, H, W) without gradient, 0 to 1, each within `eps` of its image.
    """
    length = config.step_size or 2.5 * config.eps / config.steps
    change = torch.zeros_like(images)
    for _ in range(config.steps):
        x = (images + change).requires_grad_()
        with torch.enable_grad():
            (slope,) = torch.autograd.grad(loss(x), x)
        change = change + length * slope / _norm(slope).clamp_min(1e-12)
        change = change * (config.eps / _norm(change).clamp_min(1e-12)).clamp_max(1)
        change = (images + change).clamp(0, 1) - images
    return images + change


def _norm(x: Tensor) -> Tensor:
    return x.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
