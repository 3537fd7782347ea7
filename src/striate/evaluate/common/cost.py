"""What predictions of time and memory share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn


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
    """Say a predicted time.

    >>> duration(200)
    'about 3 minutes'
    """
    return "less than a minute" if seconds < 60 else f"about {seconds / 60:.0f} minutes"
