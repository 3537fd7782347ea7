"""The layerwise objective: two views should agree, and features should not repeat each other."""

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
        similarity: sum_i (1 - C_ii)^2; 0 if the views agree.
        redundancy: sum_{i != j} C_ij^2; 0 if no feature repeats another.
        width: number of features K.
    """

    loss: Tensor
    similarity: Tensor
    redundancy: Tensor
    width: int


def cross_correlation(first: Tensor, second: Tensor) -> Tensor:
    """Correlate the features of two views over the joint batch of all processes.

    The features of each view are standardized over the batch; a feature that does not vary
    correlates with nothing (0). Gradients are those of one process (see `all_sum`).

    Args:
        first: (B, K), this process's rows of one view.
        second: (B, K), the other view of the same patches.

    Returns:
        C (K, K), float32 or wider: C_ij correlates feature i of the first view with feature j of
        the second.

    Raises:
        InputError: shapes that differ.
    """
    if first.shape != second.shape or first.ndim != 2:
        raise InputError(
            "cross_correlation needs two views of one shape (B, K), found "
            f"{tuple(first.shape)} and {tuple(second.shape)}."
        )
    with torch.autocast(first.device.type, enabled=False):
        views = torch.stack([first, second])
        views = views if views.dtype == torch.float64 else views.float()
        n = all_sum(views.new_tensor(float(views.shape[1])))
        centered = views - all_sum(views.sum(1, keepdim=True)) / n
        var = all_sum(centered.square().sum(1, keepdim=True)) / n
        standardized_first, standardized_second = centered * (var + EPSILON).rsqrt()
        return all_sum(standardized_first.T @ standardized_second) / n


def decorrelated_similarity(first: Tensor, second: Tensor, weight: float = 5e-3) -> Correlation:
    """Compute the objective of a stage: similar views and decorrelated features.

    `L = sum_i (1 - C_ii)^2 + lambda sum_{i != j} C_ij^2`, the cross-correlation form of Barlow
    Twins (Zbontar et al. 2021, eq. 1; docs/papers/lcl-v2.md 2.1). The abstract of Parthasarathy et
    al. 2024 says that they pull views together and decorrelate features; doing so by this formula
    is our choice (section 11).

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
    correlations = cross_correlation(first, second)
    diagonal = correlations.diagonal()
    similarity = (1 - diagonal).square().sum()
    redundancy = correlations.square().sum() - diagonal.square().sum()
    return Correlation(similarity + weight * redundancy, similarity, redundancy, len(correlations))
