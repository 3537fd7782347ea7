"""What predictions of time and memory share."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from striate.core.device import device_name
from striate.models.model import Model
from striate.models.taps import evaluating

TIMED_IMAGES = 8


class Counter:
    """Number of values that modules gave since counting began."""

    values: int = 0


@contextmanager
def counting_outputs(module: nn.Module) -> Iterator[Counter]:
    """Count the values of all maps that the modules without children give while it is open."""
    counter = Counter()

    def count(inner: nn.Module, inputs: object, output: object) -> None:
        counter.values += output.numel() if isinstance(output, Tensor) else 0

    leaves = [m for m in module.modules() if next(m.children(), None) is None]
    handles = [leaf.register_forward_hook(count) for leaf in leaves]
    try:
        yield counter
    finally:
        for handle in handles:
            handle.remove()


def duration(seconds: float) -> str:
    """Say a time in the unit a person would.

    >>> duration(42), duration(300), duration(9000)
    ('42 s', '5 min', '2.5 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def time_pass(
    model: Model, taps: Sequence[str], device: str, precision: str, *, backward: bool
) -> tuple[float, float]:
    """Time one pass over a few gray images.

    Args:
        model: the network; left as it was.
        taps: where the pass ends; empty for the network's output.
        device: as for extraction.
        precision: `32` or `bf16`.
        backward: also go back.

    Returns:
        Seconds an image, and bytes that autograd keeps an image (0 without `backward`).
    """
    where = torch.device(device_name(device))
    copy = model.copy().to(where)
    size = model.preprocessing.size
    images = torch.full((TIMED_IMAGES, size, size, 3), 128, dtype=torch.uint8, device=where)
    kept = 0

    def count(tensor: torch.Tensor) -> torch.Tensor:
        nonlocal kept
        kept += tensor.numel() * tensor.element_size()
        return tensor

    def once() -> float:
        nonlocal kept
        kept = 0
        started = time.perf_counter()
        outputs = copy.activations(images, taps) if taps else {"": copy(images)}
        if backward:
            sum(out.float().mean() for out in outputs.values()).backward()  # type: ignore[union-attr]
        if where.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - started

    autocast = torch.autocast(where.type, torch.bfloat16, enabled=precision == "bf16")
    hooks = torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor)
    with evaluating(copy), autocast, torch.set_grad_enabled(backward), hooks:
        once()
        seconds = once()
    weights = sum(p.numel() * p.element_size() for p in copy.parameters())
    return seconds / TIMED_IMAGES, max(0.0, (kept - weights) / TIMED_IMAGES)
