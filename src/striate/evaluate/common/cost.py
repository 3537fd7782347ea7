"""Predictions of time and memory: one way to time a step and to count what it holds.

Each verb gives the step that it will repeat and says how often; everything else is here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from striate.core.compute import Compute
from striate.models.model import Model
from striate.models.taps import evaluating

TIMED_IMAGES = 8
"""Images of the passes that are timed."""
FLOAT_BYTES = 4
FORWARD_COPIES = 3
"""Times the values of all maps are held at most in a forward pass (ours)."""
TRAINING_COPIES = 4
"""The same while a classifier is trained: forward and backward (ours)."""
PAIR_COPIES = 6
"""The same while two views are compared: by themselves, their gradients, and what the libraries
take (ours)."""
SPARE = 600 * 2**20
"""Bytes that the libraries and the images take beside the maps (ours)."""


@dataclass(frozen=True)
class Prediction:
    """What a run will take.

    Attributes:
        memory: peak in bytes.
        seconds: of computing.
    """

    memory: int
    seconds: float

    @property
    def gigabytes(self) -> float:
        """The peak of memory in GB."""
        return self.memory / 1e9


@dataclass(frozen=True)
class StepCost:
    """What one step takes.

    Attributes:
        seconds: the time of the fastest step.
        values: how many values all its maps have.
    """

    seconds: float
    values: int


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


def measure_step(
    module: nn.Module, step: Callable[[], object], device: torch.device, repeats: int = 1
) -> StepCost:
    """Count the maps of a step, then time it.

    Args:
        module: whose maps are counted.
        step: what is repeated; it runs once more than `repeats`, as the first one is slower.
        device: on which it computes.
        repeats: how many steps are timed.
    """
    with counting_outputs(module) as counter:
        step()
    return StepCost(min(_time_once(step, device) for _ in range(repeats)), counter.values)


def peak_memory(values: float, copies: int, other: float = 0) -> int:
    """Predict the peak of memory in bytes.

    Args:
        values: of all maps of a step, float32.
        copies: times that they are held at most.
        other: bytes that are held beside them, such as weights.
    """
    return int(copies * FLOAT_BYTES * values + other + SPARE)


def training_bytes(module: nn.Module) -> int:
    """Count the bytes of weights, their gradients and the two moments of Adam, in float32."""
    return 4 * FLOAT_BYTES * sum(p.numel() for p in module.parameters())


def gray_images(number: int, size: int, device: torch.device | str = "cpu") -> Tensor:
    """Return gray images, uint8 (number, size, size, 3)."""
    return torch.full((number, size, size, 3), 128, dtype=torch.uint8, device=device)


def duration(seconds: float) -> str:
    """Say a time in the unit a person would.

    >>> duration(42), duration(300), duration(9000)
    ('42 s', '5 min', '2.5 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def time_pass(
    model: Model, taps: Sequence[str], compute: Compute, *, backward: bool
) -> tuple[float, float]:
    """Time one pass over a few gray images.

    Args:
        model: the network; left as it was.
        taps: where the pass ends; empty for the network's output.
        compute: device and precision.
        backward: also go back.

    Returns:
        Seconds an image, and bytes that autograd keeps an image (0 without `backward`).
    """
    device = compute.torch_device()
    copy = model.copy().to(device)
    images = gray_images(TIMED_IMAGES, model.preprocessing.size, device)
    saved_bytes = 0

    def count_saved(tensor: Tensor) -> Tensor:
        nonlocal saved_bytes
        saved_bytes += tensor.numel() * tensor.element_size()
        return tensor

    def run_pass() -> None:
        nonlocal saved_bytes
        saved_bytes = 0
        outputs = copy.activations(images, taps) if taps else {"": copy(images)}
        if backward:
            sum(out.float().mean() for out in outputs.values()).backward()  # type: ignore[union-attr]

    autocast = torch.autocast(device.type, torch.bfloat16, enabled=compute.precision == "bf16")
    hooks = torch.autograd.graph.saved_tensors_hooks(count_saved, lambda tensor: tensor)
    with evaluating(copy), autocast, torch.set_grad_enabled(backward), hooks:
        run_pass()  # the first one is slower
        seconds = _time_once(run_pass, device)
    weights = sum(p.numel() * p.element_size() for p in copy.parameters())
    return seconds / TIMED_IMAGES, max(0.0, (saved_bytes - weights) / TIMED_IMAGES)


def _time_once(step: Callable[[], object], device: torch.device) -> float:
    _wait_for(device)
    started = time.perf_counter()
    step()
    _wait_for(device)
    return time.perf_counter() - started


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
