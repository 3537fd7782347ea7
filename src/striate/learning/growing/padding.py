"""Removing the padding of convolutions while a network is grown from patches."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

_PADDED_LAYERS = (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)
_BORDER_ATTRIBUTE = "_reversed_padding_repeated_twice"
"""Where torch keeps the padding of other modes than zeros."""


@contextmanager
def without_padding(network: nn.Module) -> Iterator[None]:
    """Remove the padding of every convolution and pooling layer; restore it afterwards.

    Zeros around a photograph are nothing to learn from, and around a small patch they would be a
    large share of every map and of its batch statistics. Weights do not depend on padding, so
    weights that were learned without it can be used with it. Padding that a network does by other
    means stays, and the loss leaves out the positions that it touches (`ReceptiveField.clean`).
    """
    layers = [m for m in network.modules() if isinstance(m, _PADDED_LAYERS)]
    settings = [(m.padding, getattr(m, _BORDER_ATTRIBUTE, None)) for m in layers]
    for layer in layers:
        _set_padding(layer, (0, 0), [0, 0, 0, 0])
    try:
        yield
    finally:
        for layer, (padding, border) in zip(layers, settings, strict=True):
            _set_padding(layer, padding, border)


def _set_padding(layer: nn.Module, padding: object, border: object) -> None:
    setattr(layer, "padding", padding)  # noqa: B010 - its declared type differs between the kinds
    if hasattr(layer, _BORDER_ATTRIBUTE):
        setattr(layer, _BORDER_ATTRIBUTE, border)
