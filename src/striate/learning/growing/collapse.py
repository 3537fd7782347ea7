"""Signs that a representation has collapsed: few dimensions, and channels that do not vary."""

from __future__ import annotations

import torch
from torch import Tensor

FEW_DIMENSIONS = 0.02
"""Features count as collapsed if their effective rank is below this share of channels (ours)."""
MANY_DEAD = 0.5
"""Features count as collapsed if more than this share of the channels is dead (ours)."""
SILENT = 1e-3
"""A channel is dead if its standard deviation over a batch is below this share of the root mean
square of all features: such variation is the rounding of a constant (ours)."""


def effective_rank(features: Tensor) -> float:
    """Return the number of dimensions that features (N, C) fill, between 1 and min(N - 1, C).

    It is the exponential of the entropy of the normalized singular values of the centered features
    (Roy & Vetterli 2007, definition 1), and 0 if nothing varies.
    """
    if dead_share(features) == 1:
        return 0.0
    singular_values = torch.linalg.svdvals((features - features.mean(0)).double())
    share = singular_values / singular_values.sum()
    return float(torch.exp(torch.special.entr(share).sum()))


def dead_share(features: Tensor) -> float:
    """Return the share of channels of features (N, C) that do not vary over the rows."""
    features = features.double()
    size = features.square().mean().sqrt()
    return float((features.std(0, correction=0) <= SILENT * size).double().mean())


def collapsed(rank: float, dead: float, channels: int) -> bool:
    """Whether features have collapsed, given their `effective_rank` and `dead_share`."""
    return rank < max(2.0, FEW_DIMENSIONS * channels) or dead > MANY_DEAD
