"""One batch over several processes, with the gradient that one process would compute."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, distributed


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, local: Tensor, sizes: Sequence[int], rank: int) -> Tensor:
        ctx.sizes, ctx.rank, ctx.rows = sizes, rank, len(local)
        padded = local.new_zeros((max(sizes), *local.shape[1:]))
        padded[: sizes[rank]] = local[: sizes[rank]]
        parts = [torch.empty_like(padded) for _ in sizes]
        distributed.all_gather(parts, padded.contiguous())
        return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (grad,) = grads
        start = sum(ctx.sizes[: ctx.rank])
        own = grad.new_zeros((ctx.rows, *grad.shape[1:]))
        own[: ctx.sizes[ctx.rank]] = grad[start : start + ctx.sizes[ctx.rank]]
        return own * len(ctx.sizes), None, None


def gather(local: Tensor, sizes: Sequence[int]) -> Tensor:
    """Join each process's rows into the whole batch, so that gradients flow back.

    Every process then computes the same loss from the joined rows, so each holds the whole
    gradient with respect to them and the backward pass needs no communication: it hands back the
    process's own rows **times the number of processes**, because data-parallel training takes
    the mean over processes of what are here parts of a sum. Gradients of whatever
    follows the gathering are equal on all processes, and their mean is right as it is.

    Args:
        local: (b, ...) this process's rows, `b >= sizes[rank]`; rows beyond are ignored.
        sizes: rows of every process, known to all beforehand.

    Returns:
        (sum(sizes), ...); `local` itself where there is one process.
    """
    if len(sizes) == 1:
        return local
    return _Gather.apply(local, tuple(sizes), distributed.get_rank())
