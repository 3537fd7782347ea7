"""The settings of training with labels. The paper's recipe is unknown; all defaults are ours."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from striate.core.config import Config
from striate.learning.common.config import AugmentConfig, Precision

FREE_TO_CHANGE = ("checkpoint_every", "keep_checkpoints", "tensorboard")
"""Settings that do not change the result: a stopped run may go on with others."""


class AttackConfig(Config):
    """Projected gradient descent (Madry et al. 2018, arXiv 1706.06083) in the L2 norm."""

    eps: float = Field(0.0, ge=0)
    """Radius, in units of the range of pixel values (0..1), over the whole image at the model's
    size: of two images with the same error a pixel, the one of twice the side has twice the norm.
    0: no attack."""
    steps: int = Field(3, ge=1)
    step_size: float | None = Field(None, gt=0)
    """None: 2.5 eps / steps, as there."""


class TrainConfig(Config):
    """How a recognition model is trained; cross-entropy, one label an image."""

    epochs: int = Field(90, ge=1)
    batch_size: int = Field(128, ge=2)
    """Images a step; those left over at the end of an epoch wait for another."""
    optimizer: Literal["sgd", "adamw"] = "sgd"
    learning_rate: float = Field(0.01, gt=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    """Of `sgd`."""
    weight_decay: float = Field(1e-4, ge=0)
    """Of kernels and matrices; biases and batch norm do not decay."""
    schedule: Literal["constant", "cosine"] = "cosine"
    warmup_epochs: float = Field(0.0, ge=0)
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    augment: AugmentConfig = AugmentConfig(flip=True)
    attack: AttackConfig = AttackConfig()
    """With a radius, every step learns from attacked images alone (Madry et al.)."""
    cache_gb: float = Field(4.0, ge=0)
    """Keep a frozen front's features of all images, and of their mirror images, where these are all
    that it is ever shown (no shift, brightness or attack) and no more than so many GB. The same up
    to rounding, several times faster. 0: never."""

    seed: int = Field(0, ge=0)
    """Of order, augmentation and dropout; the weights to start with are the model's."""
    precision: Precision = "32"
    checkpoint_every: int | None = Field(None, ge=1)
    """Steps between checkpoints; None: one at the end of each epoch."""
    keep_checkpoints: bool = False
    tensorboard: bool = False

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.warmup_epochs >= self.epochs:
            raise ValueError("warmup_epochs must be less than epochs")
        return self

    def identity(self) -> dict[str, Any]:
        """The settings that decide the result."""
        return {k: v for k, v in self.to_dict().items() if k not in FREE_TO_CHANGE}
