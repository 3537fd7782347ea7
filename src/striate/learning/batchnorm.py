"""Batch norm whose statistics are those of the whole batch, however many processes share it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from striate.learning.distributed import all_sum


class GlobalBatchNorm(_BatchNorm):
    """Batch norm over the joint batch of all processes, on any device.

    torch's SyncBatchNorm runs on GPUs alone. Parameters and buffers have the names of torch's
    batch norm, so that state dicts fit either. Each process must hold rows of the same shape.
    """

    def _check_input_dim(self, input: Tensor) -> None:
        pass  # any shape (B, C, ...)

    def forward(self, input: Tensor) -> Tensor:
        """Normalise (B, C, ...) per channel; in eval mode by the running statistics."""
        if not self.training:
            return super().forward(input)
        axes = [0, *range(2, input.ndim)]
        shape = [1, -1] + [1] * (input.ndim - 2)
        n = all_sum(input.new_tensor(float(input.numel() // input.shape[1])).double())
        mean = all_sum(input.double().sum(axes)) / n
        centred = input - mean.to(input.dtype).view(shape)
        var = all_sum(centred.double().square().sum(axes)) / n
        with torch.no_grad():
            self._update(mean, var * n / (n - 1).clamp(min=1))
        out = centred * (var + self.eps).rsqrt().to(input.dtype).view(shape)
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
