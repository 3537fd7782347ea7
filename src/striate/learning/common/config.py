"""Settings that tuning, growing and training with labels share."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from striate.core.config import Config

Precision = Annotated[
    Literal["32", "bf16"], BeforeValidator(lambda v: str(v) if type(v) is int else v)
]
"""Text, also where YAML reads a number: `precision=32` on the command line."""


class AugmentConfig(Config):
    """Random changes of the images of each step; all off by default, as in the paper."""

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
