"""Signs that a representation has collapsed: few dimensions left, channels that say nothing."""

from __future__ import annotations

import torch
from torch import Tensor

FEW_DIMENSIONS = 0.02
"""Effective rank, as a share of the channels, under which features count as collapsed (ours)."""
MANY_DEAD = 0.5
"""Share of dead channels over which features count as collapsed (ours)."""
SILENT = 1e-3
"""Standard deviation over a batch, as a share of the root mean square of all features, below which
a channel says nothing: what is left of a constant is rounding (ours)."""


def effective_rank(features: Tensor) -> float:
    """Number of dimensions that features (N, C) fill, between 1 and min(N - 1, C).

    The exponential of the entropy of the normalized singular values of the centered features (Roy
    & Vetterli 2007, definition 1); 0 where nothing varies.
    """
    if dead_share(features) == 1:
        return 0.0
    sizes = torch.linalg.svdvals((features - features.mean(0)).double())
    share = sizes / sizes.sum()
    return float(torch.exp(torch.special.entr(share).sum()))


def dead_share(features: Tensor) -> float:
    """Share of channels (N, C) that do not vary over the rows."""
    features = features.double()
    size = features.square().mean().sqrt()
    return float((features.std(0, correction=0) <= SILENT * size).double().mean())


def collapsed(rank: float, dead: float, channels: int) -> bool:
    """Whether features have collapsed, by `effective_rank` and `dead_share`."""
    return rank < max(2.0, FEW_DIMENSIONS * channels) or dead > MANY_DEAD
