"""The settings of training with labels. The paper's recipe is unknown; all defaults are ours."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from striate.core.config import Config
from striate.learning.common.config import AugmentConfig, LearningConfig, Precision


class AttackConfig(Config):
    """Projected gradient descent (Madry et al. 2018, arXiv 1706.06083) in the L2 norm."""

    eps: float = Field(0.0, ge=0)
    """Radius in units of the range of pixel values (0..1), over the whole image at the model's
    size: with the same error per pixel, an image of twice the side has twice the norm.
    0: no attack."""
    steps: int = Field(3, ge=1)
    step_size: float | None = Field(None, gt=0)
    """Length of a step; None: 2.5 eps / steps, as in that paper."""


class TrainConfig(LearningConfig):
    """How a recognition model is trained, by cross-entropy with one label per image."""

    epochs: int = Field(90, ge=1)
    batch_size: int = Field(128, ge=2)
    """Images per step; an epoch leaves out the images that do not fill a last batch."""
    optimizer: Literal["sgd", "adamw"] = "sgd"
    learning_rate: float = Field(0.01, gt=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    """Momentum of `sgd`."""
    weight_decay: float = Field(1e-4, ge=0)
    """Decay of kernels and matrices; biases and batch norm do not decay."""
    schedule: Literal["constant", "cosine"] = "cosine"
    warmup_epochs: float = Field(0.0, ge=0)
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    augment: AugmentConfig = AugmentConfig(flip=True)
    attack: AttackConfig = AttackConfig()
    """If it has a radius, every step learns only from attacked images (Madry et al.)."""
    cache_gb: float = Field(4.0, ge=0)
    """Keep a frozen front's features of all images and of their mirror images, if it is never shown
    anything else (no shift, brightness or attack) and they need at most this many GB. The result
    is the same up to rounding, several times faster. 0: never."""

    seed: int = Field(0, ge=0)
    """Seed of order, augmentation and dropout; the initial weights are those of the model."""
    precision: Precision = "32"
    checkpoint_every: int | None = Field(None, ge=1)
    """Steps between checkpoints; None: one checkpoint at the end of each epoch."""
    keep_checkpoints: bool = False
    tensorboard: bool = False

    @model_validator(mode="after")
    def _check_consistency(self) -> Self:
        if self.warmup_epochs >= self.epochs:
            raise ValueError("warmup_epochs must be less than epochs")
        return self
