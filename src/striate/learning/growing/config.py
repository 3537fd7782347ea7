"""The settings of growing. The paper's are unknown; all defaults are ours, found by measurement.

See docs/decisions.md for how they differ from docs/papers/lcl-v2.md 7, where the search began.
"""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from striate.core.config import Config
from striate.data.patches.pairs import PatchConfig
from striate.learning.common.config import Precision
from striate.models.networks.lcl import LclConfig

FREE_TO_CHANGE = ("checkpoint_every", "keep_checkpoints", "tensorboard")
"""Settings that do not change the result: a stopped run may go on with others."""


class GrowConfig(Config):
    """How a chain of stages is grown from deformed patches."""

    network: LclConfig = LclConfig()
    patches: PatchConfig = PatchConfig()
    deformation: Literal["matched", "small_everywhere", "large_everywhere", "none"] = "matched"
    """Whose receptive field the displacements are a share of: each stage's own, the first's for
    all, the last's for all; `none`: views differ in their light alone."""
    a: float = Field(0.2, ge=0, le=0.5)
    """Relative amplitude: displacements are at most `a` receptive fields."""
    credit: Literal["layerwise", "end_to_end"] = "layerwise"
    """`end_to_end`: one loss behind the last stage, from which all stages learn."""
    order: Literal["simultaneous", "sequential"] = "simultaneous"
    """All stages learn in each step, or one after another, `steps` each."""
    position: Literal["center", "mean"] = "center"
    """What the loss reads of a map: its central position, or the mean over the clean ones."""
    clean: int = Field(1, ge=1)
    """Side of the square of positions of each stage's map that no padding touches."""
    projector: int | None = Field(256, ge=2)
    """Width of the projectors; None: the loss reads the features themselves."""
    redundancy: float = Field(2e-2, ge=0, alias="lambda")
    """Weight lambda of the decorrelation of features against the similarity of views."""
    statistics: Literal["photographs", "patches"] = "photographs"
    """What batch norm's fixed statistics are of afterwards: whole photographs, which is what a
    model is shown in use, or the patches it learned from, each of unit contrast."""

    steps: int = Field(3000, ge=1)
    batch_size: int = Field(256, ge=2)
    """Patches a step, each of another photograph as far as there are as many."""
    learning_rate: float = Field(3e-3, gt=0)
    """Of AdamW."""
    weight_decay: float = Field(0.3, ge=0)
    """Of the convolution kernels alone: it takes out initial noise that no gradient touches."""
    warmup_steps: int = Field(0, ge=0)
    schedule: Literal["constant", "cosine"] = "cosine"

    seed: int = Field(0, ge=0, lt=2**63)
    precision: Precision = "32"
    measure_every: int = Field(50, ge=1)
    """Steps between measures of feature rank and dead channels."""
    checkpoint_every: int = Field(500, ge=1)
    keep_checkpoints: bool = False
    tensorboard: bool = False

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.credit == "end_to_end" and self.order == "sequential":
            raise ValueError("order: sequential needs credit: layerwise; end to end is one loss")
        if self.warmup_steps >= self.steps:
            raise ValueError(
                f"warmup_steps: {self.warmup_steps} must be less than steps: {self.steps}, or the "
                "learning rate is never reached"
            )
        return self

    def identity(self) -> dict[str, Any]:
        """The settings that decide the result."""
        return {k: v for k, v in self.to_dict().items() if k not in FREE_TO_CHANGE}
