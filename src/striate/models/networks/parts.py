"""Fixed parts that several of our networks share: luma, binomial blur, blurred pooling."""

from __future__ import annotations

from math import comb

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LUMA = (0.299, 0.587, 0.114)
"""Weights of R, G and B in the luma of ITU-R BT.601; they sum to 1."""


class Luma(nn.Module):
    """Gray from RGB: (B, 3, H, W) to (B, 1, H, W), the luma of BT.601."""

    weight: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weight", torch.tensor(LUMA).view(1, 3, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, 3, H, W) to (B, 1, H, W)."""
        return F.conv2d(x, self.weight)


class Blur(nn.Module):
    """Blur every channel with a binomial kernel of sum 1, and keep each `stride`-th position.

    Args:
        size: side of the kernel in positions; size 3 is (1, 2, 1)/4 along both axes.
        stride: distance between kept positions.
        padding: number of positions added at each border, copies of their nearest neighbors.
    """

    kernel: Tensor

    def __init__(self, size: int = 3, stride: int = 2, padding: int = 0) -> None:
        super().__init__()
        self.stride, self.padding = stride, padding
        line = torch.tensor([float(comb(size - 1, i)) for i in range(size)])
        line = line / line.sum()
        self.register_buffer("kernel", (line[:, None] * line)[None, None])

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C, H', W')."""
        if self.padding:
            x = F.pad(x, (self.padding,) * 4, mode="replicate")
        weight = self.kernel.expand(x.shape[1], -1, -1, -1)
        return F.conv2d(x, weight, stride=self.stride, groups=x.shape[1])

    def extra_repr(self) -> str:
        """Name what decides the output beside the kernel."""
        return f"stride={self.stride}, padding={self.padding}"


class MaxBlurPool(nn.Sequential):
    """Anti-aliased max pooling (Zhang 2019, arXiv 1904.11486): maximum everywhere, then blur.

    It does not pad, so that borders do not influence what is learned.

    Args:
        kernel: side of the window of the maximum.
        stride: distance between positions kept after the blur.
        blur: side of the binomial kernel.
    """

    def __init__(self, kernel: int, stride: int, blur: int = 3) -> None:
        super().__init__()
        self.max = nn.MaxPool2d(kernel, stride=1)
        self.blur = Blur(blur, stride)
