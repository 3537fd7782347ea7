"""Layerwise learning: each stage has its own views, projector and objective (LCL-V2)."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from striate.core.errors import InputError
from striate.learning.growing.objective import Correlation, decorrelated_similarity
from striate.models import evaluating

Views = Mapping[int, Tensor]
"""Two views of a batch of patches (2, B, 3, P, P) for each stage, by its number from 0."""


class StageOutcome(NamedTuple):
    """The result of one stage on its views.

    Attributes:
        correlation: the loss and its parts.
        features: (B, C), the projector's input for the first view, detached.
    """

    correlation: Correlation
    features: Tensor


class Projector(nn.Sequential):
    """Linear, batch norm, ReLU, Linear (docs/papers/lcl-v2.md 7); it is dropped after learning."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__(
            nn.Linear(channels, width, bias=False),
            nn.BatchNorm1d(width),
            nn.ReLU(inplace=True),
            nn.Linear(width, width),
        )


class Layerwise(nn.Module):
    """A chain of stages that learn without gradients between them.

    Stage k gets the output of the stages before it, which run in eval mode and detached. Its loss
    reads one position of its map, or the mean over positions. With `credit="end_to_end"` only the
    last stage has a loss, and all stages learn from it.

    Args:
        stages: modules that map (B, C, H, W) to (B, C', H', W'), each fed by the one before.
        channels: C' of each stage.
        positions: positions of each stage's map that no padding touches, for rows and columns.
        projector: width of the projectors; None: the loss reads the features themselves.
        position: `center` reads the middle one of `positions`, `mean` their average.
        credit: `layerwise` or `end_to_end`.
        redundancy: lambda of the objective.
        prepare: module that patches go through before the first stage.
    """

    def __init__(
        self,
        stages: Sequence[nn.Module],
        channels: Sequence[int],
        positions: Sequence[slice],
        *,
        projector: int | None = 256,
        position: Literal["center", "mean"] = "center",
        credit: Literal["layerwise", "end_to_end"] = "layerwise",
        redundancy: float = 5e-3,
        prepare: nn.Module | None = None,
    ) -> None:
        super().__init__()
        if not len(stages) == len(channels) == len(positions) or not stages:
            raise InputError(
                f"{len(stages)} stages, {len(channels)} numbers of channels and {len(positions)} "
                "ranges of positions: expected as many of each, and at least one."
            )
        self.prepare = prepare or nn.Identity()
        self.stages = nn.ModuleList(stages)
        self.projectors = nn.ModuleList(
            nn.Identity() if projector is None else Projector(c, projector) for c in channels
        )
        self.positions, self.position = tuple(positions), position
        self.credit, self.redundancy = credit, redundancy

    def forward(self, views: Views) -> dict[int, StageOutcome]:
        """Return the outcome of each stage that has views; only their losses carry gradients."""
        return {k: self._compute_outcome(k, pair) for k, pair in views.items()}

    def _compute_outcome(self, k: int, pair: Tensor) -> StageOutcome:
        features = self.features(k, pair.flatten(0, 1))  # one pass for both is faster
        embedded = self.projectors[k](features)
        rows = pair.shape[1]
        correlation = decorrelated_similarity(embedded[:rows], embedded[rows:], self.redundancy)
        return StageOutcome(correlation, features[:rows].detach())

    def features(self, k: int, patches: Tensor) -> Tensor:
        """Return the features (B, C) that the objective of stage `k` reads of patches."""
        x = self.prepare(patches)
        for earlier in self.stages[:k]:
            x = earlier(x) if self.credit == "end_to_end" else _run_frozen(earlier, x)
        x = self.stages[k](x)
        positions = self.positions[k]
        if self.position == "mean":
            return x[:, :, positions, positions].mean((2, 3))
        middle = (positions.start + positions.stop - 1) // 2
        return x[:, :, middle, middle]


def _run_frozen(stage: nn.Module, x: Tensor) -> Tensor:
    """Return the output of a stage that learns nothing from it, not even statistics."""
    with torch.no_grad(), evaluating(stage) if stage.training else contextlib.nullcontext():
        return stage(x)
