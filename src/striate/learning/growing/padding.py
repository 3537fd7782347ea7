"""Convolutions without their zero padding while a network is grown from patches."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

_KINDS = (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)
_BORDER = "_reversed_padding_repeated_twice"  # where torch keeps it for other modes than zeros


@contextmanager
def without_padding(network: nn.Module) -> Iterator[None]:
    """Take the padding from every convolution and pooling layer; put it back afterwards.

    Zeros around a photograph are nothing to learn from, and around a small patch they would be a
    large share of every map and of its batch statistics. Weights do not depend on padding, so
    what is learned without it is used with it. Padding that a network does by other means stays,
    and positions that it touches are left out of the loss (`ReceptiveField.clean`).
    """
    padded = [m for m in network.modules() if isinstance(m, _KINDS)]
    kept = [(m.padding, getattr(m, _BORDER, None)) for m in padded]
    for module in padded:
        _set(module, (0, 0), [0, 0, 0, 0])
    try:
        yield
    finally:
        for module, (padding, border) in zip(padded, kept, strict=True):
            _set(module, padding, border)


def _set(module: nn.Module, padding: object, border: object) -> None:
    setattr(module, "padding", padding)  # noqa: B010 - its declared type differs between the kinds
    if hasattr(module, _BORDER):
        setattr(module, _BORDER, border)
