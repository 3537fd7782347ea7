"""Batch norm: statistics over the joint batch of all processes, and fixed statistics for use."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from striate.core.draws import generator_at
from striate.data.patches.photographs import Photographs
from striate.learning.common.distributed import all_sum
from striate.models import Model

CROPS, SIDE, BATCH = 512, 224, 32
"""Number of crops for fixed statistics, their side in pixels, and how many are run at once."""
CROP = 7
"""Kind of draws (see `core.draws`)."""


class GlobalBatchNorm(_BatchNorm):
    """Batch norm over the joint batch of all processes, on any device.

    torch's SyncBatchNorm runs only on GPUs. Parameters and buffers have the same names as in
    torch's batch norm, so state dicts fit both. All processes must hold rows of the same shape.
    """

    def _check_input_dim(self, input: Tensor) -> None:
        pass  # any shape (B, C, ...)

    def forward(self, input: Tensor) -> Tensor:
        """Normalize (B, C, ...) per channel; eval mode uses the running statistics."""
        if not self.training:
            return super().forward(input)
        axes = [0, *range(2, input.ndim)]
        shape = [1, -1] + [1] * (input.ndim - 2)
        n = all_sum(input.new_tensor(float(input.numel() // input.shape[1])).double())
        mean = all_sum(input.double().sum(axes)) / n
        centered = input - mean.to(input.dtype).view(shape)
        var = all_sum(centered.double().square().sum(axes)) / n
        with torch.no_grad():
            self._update_running(mean, var * n / (n - 1).clamp(min=1))
        normalized = centered * (var + self.eps).rsqrt().to(input.dtype).view(shape)
        if self.weight is None:
            return normalized
        return normalized * self.weight.view(shape) + self.bias.view(shape)

    def _update_running(self, mean: Tensor, var: Tensor) -> None:
        if self.running_mean is None or self.running_var is None:
            return
        assert self.num_batches_tracked is not None and self.momentum is not None
        self.num_batches_tracked += 1
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), self.momentum)
        self.running_var.lerp_(var.to(self.running_var.dtype), self.momentum)


def share_statistics(module: nn.Module) -> None:
    """Make every batch norm inside `module` use the statistics of all processes, in place.

    The modules stay the same objects, so hooks, parameters and names are kept.
    """
    for submodule in module.modules():
        if isinstance(submodule, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
            norm: Any = submodule  # the same state; only `forward` differs
            norm.alone, norm.__class__ = type(submodule), GlobalBatchNorm


def unshare_statistics(module: nn.Module) -> None:
    """Undo `share_statistics`."""
    for submodule in module.modules():
        if isinstance(submodule, GlobalBatchNorm):
            norm: Any = submodule
            norm.__class__ = norm.__dict__.pop("alone")


def calibrate(model: Model, photographs: Photographs, seed: int = 0) -> None:
    """Give every batch norm its mean and variance over photographs, in place.

    The model learns from patches of unit contrast, but is shown photographs as they are, so the
    statistics of patches are wrong for photographs. The new ones are averaged over batches of
    crops from the middle of photographs, one crop each, of 224 px or, if most photographs are
    smaller, of the median of their shorter sides.

    Args:
        model: left in eval mode, otherwise unchanged.
        photographs: the photographs that it learned from.
        seed: decides which of them are used, if there are more than needed.
    """
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    if not norms:
        return
    shorter = np.minimum(photographs.heights, photographs.widths)
    side = int(min(SIDE, np.median(shorter)))
    large_enough = np.flatnonzero(shorter >= side)
    chosen = generator_at(seed, 0, CROP, 0).permutation(large_enough)[:CROPS]
    momenta = [norm.momentum for norm in norms]
    model.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean over all batches
        norm.train()
    with torch.no_grad():
        for start in range(0, len(chosen), BATCH):
            crops = [
                _crop_middle(photographs.planes(i), side) for i in chosen[start : start + BATCH]
            ]
            model(torch.from_numpy(np.stack(crops)).to(model.device))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
        norm.eval()


def _crop_middle(planes: np.ndarray, side: int) -> np.ndarray:
    """Cut the square in the middle out of an image (3, H, W), as (side, side, 3)."""
    top, left = ((n - side) // 2 for n in planes.shape[1:])
    return planes[:, top : top + side, left : left + side].transpose(1, 2, 0)
