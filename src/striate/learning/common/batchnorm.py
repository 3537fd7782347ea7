"""Batch norm: statistics of the joint batch of all processes, and those fixed for use."""

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
"""Crops that fixed statistics are of, their side in pixels, and how many are run at once."""
CROP = 7
"""Kind of draws (see `core.draws`)."""


class GlobalBatchNorm(_BatchNorm):
    """Batch norm over the joint batch of all processes, on any device.

    torch's SyncBatchNorm runs on GPUs alone. Parameters and buffers have the names of torch's
    batch norm, so that state dicts fit either. Each process must hold rows of the same shape.
    """

    def _check_input_dim(self, input: Tensor) -> None:
        pass  # any shape (B, C, ...)

    def forward(self, input: Tensor) -> Tensor:
        """Normalize (B, C, ...) per channel; in eval mode by the running statistics."""
        if not self.training:
            return super().forward(input)
        axes = [0, *range(2, input.ndim)]
        shape = [1, -1] + [1] * (input.ndim - 2)
        n = all_sum(input.new_tensor(float(input.numel() // input.shape[1])).double())
        mean = all_sum(input.double().sum(axes)) / n
        centered = input - mean.to(input.dtype).view(shape)
        var = all_sum(centered.double().square().sum(axes)) / n
        with torch.no_grad():
            self._update(mean, var * n / (n - 1).clamp(min=1))
        out = centered * (var + self.eps).rsqrt().to(input.dtype).view(shape)
        return out if self.weight is None else out * self.weight.view(shape) + self.bias.view(shape)

    def _update(self, mean: Tensor, var: Tensor) -> None:
        if self.running_mean is None or self.running_var is None:
            return
        assert self.num_batches_tracked is not None and self.momentum is not None
        self.num_batches_tracked += 1
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), self.momentum)
        self.running_var.lerp_(var.to(self.running_var.dtype), self.momentum)


def share_statistics(module: nn.Module) -> None:
    """Let every batch norm inside `module` use the statistics of all processes; in place.

    The modules stay the same objects, so hooks, parameters and names are kept.
    """
    for inner in module.modules():
        if isinstance(inner, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
            alone: Any = inner  # the same state; only `forward` differs
            alone.alone, alone.__class__ = type(inner), GlobalBatchNorm


def unshare_statistics(module: nn.Module) -> None:
    """Undo `share_statistics`."""
    for inner in module.modules():
        if isinstance(inner, GlobalBatchNorm):
            joint: Any = inner
            joint.__class__ = joint.__dict__.pop("alone")


def calibrate(model: Model, photographs: Photographs, seed: int = 0) -> None:
    """Give every batch norm the mean and variance that it meets on photographs; in place.

    Patches are learned from at unit contrast each, photographs are shown as they are: statistics
    of the one are wrong for the other. They are averaged over batches of crops from the middle of
    as many photographs, of 224 px or, where most are smaller, what most have.

    Args:
        model: left in eval mode, otherwise as it was.
        photographs: those that it learned from.
        seed: which of them, where there are more than are needed.
    """
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    if not norms:
        return
    shorter = np.minimum(photographs.heights, photographs.widths)
    side = int(min(SIDE, np.median(shorter)))
    large = np.flatnonzero(shorter >= side)
    chosen = generator_at(seed, 0, CROP, 0).permutation(large)[:CROPS]
    momenta = [norm.momentum for norm in norms]
    model.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean over all batches
        norm.train()
    with torch.no_grad():
        for start in range(0, len(chosen), BATCH):
            crops = [_middle(photographs.planes(i), side) for i in chosen[start : start + BATCH]]
            model(torch.from_numpy(np.stack(crops)).to(model.device))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
        norm.eval()


def _middle(planes: np.ndarray, side: int) -> np.ndarray:
    """The square in the middle of an image (3, H, W), as (side, side, 3)."""
    top, left = ((n - side) // 2 for n in planes.shape[1:])
    return planes[:, top : top + side, left : left + side].transpose(1, 2, 0)
