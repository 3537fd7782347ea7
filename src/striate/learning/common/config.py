"""Settings that tuning, growing and training with labels share."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from striate.core.config import Config

FREE_TO_CHANGE = ("checkpoint_every", "keep_checkpoints", "tensorboard")
"""Settings that do not change the result: a stopped run may be continued with other values."""

Precision = Annotated[
    Literal["32", "bf16"], BeforeValidator(lambda v: str(v) if type(v) is int else v)
]
"""Text, although YAML reads a number from `precision=32` on the command line."""


class LearningConfig(Config):
    """Base of the settings of one kind of learning."""

    def identity(self) -> dict[str, Any]:
        """Return the settings that decide the result."""
        return {k: v for k, v in self.to_dict().items() if k not in FREE_TO_CHANGE}


class AugmentConfig(Config):
    """Random changes of the images of each step; all are off by default, as in the paper."""

    shift: int = Field(0, ge=0)
    """Largest shift in pixels, along each axis; the edge pixels are repeated."""
    flip: bool = False
    """Mirror left and right with probability one half."""
    brightness: float = Field(0.0, ge=0, lt=1)
    """Multiply pixel values by a factor drawn from [1 - brightness, 1 + brightness]."""

    @property
    def on(self) -> bool:
        """Whether anything is changed at all."""
        return bool(self.shift or self.flip or self.brightness)
