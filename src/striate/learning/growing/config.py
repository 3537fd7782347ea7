"""The settings of growing. The paper's are unknown; all defaults are ours, found by measurement.

docs/decisions.md tells how they differ from those of docs/papers/lcl-v2.md 7, where the search
began.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from striate.data.patches.pairs import PatchConfig
from striate.learning.common.config import LearningConfig, Precision
from striate.models.networks.lcl import LclConfig


class GrowConfig(LearningConfig):
    """How a chain of stages is grown from deformed patches."""

    network: LclConfig = LclConfig()
    patches: PatchConfig = PatchConfig()
    deformation: Literal["matched", "small_everywhere", "large_everywhere", "none"] = "matched"
    """Displacements are a share of each stage's own receptive field (`matched`), of that of the
    first stage, or of that of the last one. `none`: views differ only in their light."""
    a: float = Field(0.2, ge=0, le=0.5)
    """Relative amplitude: displacements are at most `a` receptive fields."""
    credit: Literal["layerwise", "end_to_end"] = "layerwise"
    """`end_to_end`: one loss behind the last stage, from which all stages learn."""
    order: Literal["simultaneous", "sequential"] = "simultaneous"
    """All stages learn in each step, or one after another for `steps` each."""
    position: Literal["center", "mean"] = "center"
    """The loss reads the central position of a map, or the mean over the clean ones."""
    clean: int = Field(1, ge=1)
    """Side of the square of positions in each stage's map that no padding touches."""
    projector: int | None = Field(256, ge=2)
    """Width of the projectors; None: the loss reads the features themselves."""
    redundancy: float = Field(2e-2, ge=0, alias="lambda")
    """Weight lambda of the decorrelation of features against the similarity of views."""
    statistics: Literal["photographs", "patches"] = "photographs"
    """Batch norm's final statistics are those of whole photographs, which a model is shown in use,
    or those of the patches that it learned from, each of unit contrast."""

    steps: int = Field(3000, ge=1)
    batch_size: int = Field(256, ge=2)
    """Patches per step, each of another photograph if there are enough photographs."""
    learning_rate: float = Field(3e-3, gt=0)
    """Learning rate of AdamW."""
    weight_decay: float = Field(0.3, ge=0)
    """Decay of the convolution kernels only: it removes initial noise that no gradient touches."""
    warmup_steps: int = Field(0, ge=0)
    schedule: Literal["constant", "cosine"] = "cosine"

    seed: int = Field(0, ge=0, lt=2**63)
    precision: Precision = "32"
    measure_every: int = Field(50, ge=1)
    """Number of steps between measures of feature rank and dead channels."""
    checkpoint_every: int = Field(500, ge=1)
    keep_checkpoints: bool = False
    tensorboard: bool = False

    @model_validator(mode="after")
    def _check_consistency(self) -> Self:
        if self.credit == "end_to_end" and self.order == "sequential":
            raise ValueError("order: sequential needs credit: layerwise; end to end is one loss")
        if self.warmup_steps >= self.steps:
            raise ValueError(
                f"warmup_steps: {self.warmup_steps} must be less than steps: {self.steps}, or the "
                "learning rate is never reached"
            )
        return self
