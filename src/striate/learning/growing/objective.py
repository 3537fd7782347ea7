"""The layerwise objective: two views agree, and features do not repeat each other."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from striate.core.errors import InputError
from striate.learning.common.distributed import all_sum

EPSILON = 1e-5
"""Added to variances, as in batch norm."""


class Correlation(NamedTuple):
    """The loss and its parts, scalars.

    Attributes:
        loss: similarity + lambda x redundancy.
        similarity: sum_i (1 - C_ii)^2; 0 where the views agree.
        redundancy: sum_{i != j} C_ij^2; 0 where no feature repeats another.
        width: number of features K.
    """

    loss: Tensor
    similarity: Tensor
    redundancy: Tensor
    width: int


def cross_correlation(first: Tensor, second: Tensor) -> Tensor:
    """Cross-correlation matrix of the features of two views, over the joint batch of all processes.

    Features are standardized over the batch, each view by itself; a feature that does not vary
    correlates with nothing (0). Gradients are those of one process (see `all_sum`).

    Args:
        first: (B, K) of one view, this process's rows.
        second: (B, K) of the other view of the same patches.

    Returns:
        C (K, K), float32 or wider: C_ij correlates feature i of the first with j of the second.

    Raises:
        InputError: shapes that differ.
    """
    if first.shape != second.shape or first.ndim != 2:
        raise InputError(
            "cross_correlation needs two views of one shape (B, K), found "
            f"{tuple(first.shape)} and {tuple(second.shape)}."
        )
    with torch.autocast(first.device.type, enabled=False):
        pair = torch.stack([first, second])
        pair = pair if pair.dtype == torch.float64 else pair.float()
        n = all_sum(pair.new_tensor(float(pair.shape[1])))
        centered = pair - all_sum(pair.sum(1, keepdim=True)) / n
        var = all_sum(centered.square().sum(1, keepdim=True)) / n
        a, b = centered * (var + EPSILON).rsqrt()
        return all_sum(a.T @ b) / n


def decorrelated_similarity(first: Tensor, second: Tensor, weight: float = 5e-3) -> Correlation:
    """The objective of a stage: similar views, decorrelated features.

    `L = sum_i (1 - C_ii)^2 + lambda sum_{i != j} C_ij^2`, the cross-correlation form of Barlow
    Twins (Zbontar et al. 2021, eq. 1; docs/papers/lcl-v2.md 2.1). That Parthasarathy et al. 2024
    pull views together and decorrelate features is in their abstract; this formula is our choice.

    Args:
        first: (B, K) of one view.
        second: (B, K) of the other.
        weight: lambda.

    Examples:
        >>> z = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
        >>> round(decorrelated_similarity(z, z).loss.item(), 4)
        0.0
        >>> round(decorrelated_similarity(z, z.flip(1), weight=0.5).redundancy.item(), 4)
        2.0
    """
    c = cross_correlation(first, second)
    own = c.diagonal()
    similarity = (1 - own).square().sum()
    redundancy = c.square().sum() - own.square().sum()
    return Correlation(similarity + weight * redundancy, similarity, redundancy, len(c))
