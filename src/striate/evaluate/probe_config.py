"""The config of `striate probe`: which models, which taps, which stimuli."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from striate.core.config import Config
from striate.data.textures import TextureConfig
from striate.evaluate.gratings import PIXELS_PER_DEGREE
from striate.evaluate.properties import Stimuli
from striate.models import Model, load

SMALLEST, LARGEST = 8, 4096
"""Sides in pixels of a texture as models see it: of fewer nothing is seen, more fit no memory."""


class ProbedModel(Config):
    """One model: the arguments of `striate.models.load`, and the taps to probe."""

    id: str
    """A registry id or a model folder."""
    weights: str | None = None
    image_size: int | None = Field(None, gt=0)
    seed: int = Field(0, ge=0)
    """Of random weights."""
    taps: tuple[str, ...] | None = Field(None, min_length=1)
    """Maps to probe, shallow to deep; None: the model's default taps that are maps."""

    def build(self) -> Model:
        """Load the network."""
        return load(self.id, weights=self.weights, image_size=self.image_size, seed=self.seed)


class ProbeConfig(Config):
    """What is probed with which stimuli."""

    models: dict[str, ProbedModel] = Field(min_length=1)
    """By a name of yours; an id or a folder alone stands for `{id: …}`."""
    stimuli: tuple[Stimuli, ...] = Field(("gratings", "textures"), min_length=1)
    contrast: bool = False
    """Gratings of several contrasts as well, for c50."""
    textures: TextureConfig = TextureConfig()
    pixels_per_degree: float = Field(PIXELS_PER_DEGREE, gt=0)
    negative: Literal["rectify", "refuse"] = "rectify"
    """What to do where a tap gives negative responses to textures: set them to 0, or stop."""
    baseline: Literal["subtract", "keep"] = "subtract"
    """Whether the response to grey is taken from those to textures."""
    histograms: str | None = None
    """CSV or JSON file of published histograms to compare with (`read_histograms`)."""
    bootstrap: int = Field(1000, gt=0)
    seed: int = Field(0, ge=0)
    """Of the bootstraps."""
    device: str = "auto"

    @field_validator("models", mode="before")
    @classmethod
    def _short(cls, values: Any) -> Any:
        """`name: id` is short for `name: {id: id}`."""
        if not isinstance(values, dict):
            return values
        return {k: {"id": v} if isinstance(v, str) else v for k, v in values.items()}

    @model_validator(mode="after")
    def _once(self) -> Self:
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
