"""Devices and processes; several processes share a batch and get the gradient of one process."""

from __future__ import annotations

import atexit
import logging
import os
from collections.abc import Sequence
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies import DDPStrategy
from torch import Tensor, distributed

from striate.core.device import device_name

PRECISIONS: dict[str, Any] = {"32": "32-true", "bf16": "bf16-mixed"}


def is_first_process() -> bool:
    """Whether this process writes files and messages; can be asked before `make_fabric`."""
    return int(os.environ.get("RANK", "0")) == 0


def n_processes() -> int:
    """Return how many processes torchrun started; 1 without torchrun."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def make_fabric(device: str, precision: str) -> Fabric:
    """Set up devices, precision and, under torchrun, data-parallel processes.

    Raises:
        InputError: an unknown device, or one that this machine does not have.
    """
    kind, _, index = device_name(device).partition(":")
    processes = n_processes()
    arguments: dict[str, Any] = {"devices": [int(index)] if index else 1}
    if processes > 1:
        local = int(os.environ.get("LOCAL_WORLD_SIZE", processes))
        arguments = {
            "devices": local,
            "num_nodes": processes // local,
            # In a step, heads of other targets and layers behind the tap have no gradient.
            "strategy": DDPStrategy(find_unused_parameters=True),
        }
    # Fabric announces precision and devices; our verbs announce what they do themselves.
    logging.getLogger("lightning.fabric").setLevel(logging.WARNING)
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    fabric = Fabric(accelerator=kind, precision=PRECISIONS[precision], **arguments)
    fabric.launch()
    if processes > 1:
        atexit.register(_leave_group)
    return fabric


def _leave_group() -> None:
    """Close the connections between processes: gloo aborts a process that exits with open ones."""
    if distributed.is_initialized():
        distributed.destroy_process_group()


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
        local_grad = grad.new_zeros((ctx.rows, *grad.shape[1:]))
        local_grad[: ctx.sizes[ctx.rank]] = grad[start : start + ctx.sizes[ctx.rank]]
        return local_grad * len(ctx.sizes), None, None


def gather(local: Tensor, sizes: Sequence[int]) -> Tensor:
    """Join the rows of all processes into the whole batch; gradients flow back.

    Every process then computes the same loss from the joined rows, so each holds the whole
    gradient with respect to them, and the backward pass needs no communication. It returns the
    gradient of the process's own rows **times the number of processes**, because data-parallel
    training takes the mean over processes, and here their gradients are parts of a sum. Gradients
    of everything after the gathering are equal on all processes, so their mean is right as it is.

    Args:
        local: (b, ...) this process's rows, `b >= sizes[rank]`; rows beyond are ignored.
        sizes: number of rows of every process, which all processes know beforehand.

    Returns:
        (sum(sizes), ...); `local` itself if there is one process.
    """
    if len(sizes) == 1:
        return local
    return _Gather.apply(local, tuple(sizes), distributed.get_rank())


class _AllSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, local: Tensor) -> Tensor:
        total = local.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        total = grads[0].clone()
        distributed.all_reduce(total)
        return total


def all_sum(local: Tensor) -> Tensor:
    """Sum a tensor over the processes; gradients flow back.

    The backward pass sums the gradients of all processes. If every process goes on to the same
    loss, each therefore gets the gradient **times the number of processes**, and the mean that
    data-parallel training takes of the parameters' gradients is that of one process. A sum without
    its own backward pass would drop what the losses of other processes owe to these values.

    Args:
        local: any shape, the same on every process.

    Returns:
        The sum; `local` itself if there is one process.
    """
    if not distributed.is_initialized() or distributed.get_world_size() == 1:
        return local
    return _AllSum.apply(local)
