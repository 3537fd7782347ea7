"""The config of `striate probe`: which models, which taps, which stimuli."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from striate.core.config import Config
from striate.data.textures.stimuli import TextureConfig
from striate.evaluate.common.choices import ModelConfig, NamedModels
from striate.evaluate.units.gratings import PIXELS_PER_DEGREE
from striate.evaluate.units.properties import Stimuli

SMALLEST, LARGEST = 8, 4096
"""Sides in pixels of a texture as models see it: smaller ones show nothing, larger ones fit no
memory."""


class ProbedModel(ModelConfig):
    """One model, and its taps to probe."""

    id: str
    taps: tuple[str, ...] | None = Field(None, min_length=1)
    """Maps to probe, shallow to deep; None: the model's default taps that are maps."""


class ProbeConfig(Config):
    """What is probed with which stimuli."""

    models: NamedModels[ProbedModel] = Field(min_length=1)
    stimuli: tuple[Stimuli, ...] = Field(("gratings", "textures"), min_length=1)
    contrast: bool = False
    """Gratings of several contrasts as well, for c50."""
    textures: TextureConfig = TextureConfig()
    pixels_per_degree: float = Field(PIXELS_PER_DEGREE, gt=0)
    negative: Literal["rectify", "refuse"] = "rectify"
    """What to do where a tap gives negative responses to textures: set them to 0, or stop."""
    baseline: Literal["subtract", "keep"] = "subtract"
    """Whether the response to gray is subtracted from those to textures."""
    histograms: str | None = None
    """CSV or JSON file of published histograms to compare with (`read_histograms`)."""
    bootstrap: int = Field(1000, gt=0)
    seed: int = Field(0, ge=0)
    """Of the bootstraps."""
    device: str = "auto"

    @model_validator(mode="after")
    def _check_stimuli(self) -> Self:
        if len(set(self.stimuli)) < len(self.stimuli):
            raise ValueError(f"stimuli: each once, found {list(self.stimuli)}")
        side = self.textures.degrees * self.pixels_per_degree
        if "textures" in self.stimuli and not SMALLEST <= side <= LARGEST:
            raise ValueError(
                f"textures of {self.textures.degrees:g} degrees at {self.pixels_per_degree:g} "
                f"pixels per degree would be {side:g} pixels wide: {SMALLEST} to {LARGEST} can be "
                "shown. Change pixels_per_degree or textures.degrees"
            )
        return self
