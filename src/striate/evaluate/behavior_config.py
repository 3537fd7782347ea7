"""The config of `striate behave`: whose decisions on which images."""

from __future__ import annotations

from typing import Any, Self

from pydantic import Field, model_validator

from striate.core.config import Config
from striate.evaluate.behavior_measures import HUMANS
from striate.models import Model, load


class BehaveModel(Config):
    """A classifier whose decisions are compared with those of humans."""

    id: str
    """A model id, or a folder that tuning wrote."""
    weights: str | None = None
    image_size: int | None = Field(None, gt=0)
    """Default: that of the run."""
    resize: str | None = None
    """How a picture becomes a square, such as `squash`; default the network's own way."""
    reference: str | None = None
    """Another model of the run, whose measures are subtracted: what tuning changed."""
    group: str | None = None
    """Models of one group are also summarised together."""

    def build(self, image_size: int) -> Model:
        """Load the network; errors as `striate.models.load`."""
        size = self.image_size or image_size
        return load(self.id, weights=self.weights, image_size=size, resize=self.resize)


class BehaveConfig(Config):
    """Humans, models and stimuli."""

    humans: str
    """Trials of humans (`striate.data.trials.read_trials`)."""
    models: dict[str, BehaveModel] = Field(default_factory=dict)
    """By a name of yours; `NAME: ID` for short."""
    decisions: dict[str, str] = Field(default_factory=dict)
    """Trials of further observers, such as models decided elsewhere, by a name of yours."""
    stimuli: dict[str, str] = Field(default_factory=dict)
    """Folder of images by experiment, in a folder for each category."""
    categories: str | None = None
    """JSON file with the ImageNet classes of each category; needed for `models`."""
    exclude: dict[str, tuple[str | int | float | bool, ...]] | None = None
    """Conditions that do not count, by experiment; default `striate.data.conditions.EXCLUDED`."""
    image_size: int = Field(224, gt=0)
    """Side in pixels at which every model sees the images, whatever size it was tuned at."""
    bootstrap: int = Field(1000, ge=2)
    seed: int = 0
    device: str = "auto"
    batch_size: int = Field(64, gt=0)

    @model_validator(mode="before")
    @classmethod
    def _short(cls, values: Any) -> Any:
        """`models: {NAME: ID}` for `models: {NAME: {id: ID}}`."""
        if isinstance(values, dict) and isinstance(values.get("models"), dict):
            models = {
                k: {"id": v} if isinstance(v, str) else v for k, v in values["models"].items()
            }
            values = {**values, "models": models}
        return values

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        both = sorted(self.models.keys() & self.decisions.keys())
        if both:
            raise ValueError(f"{both[0]!r} is a name of a model and of decisions, choose another")
        names = [*self.models, *self.decisions]
        if HUMANS in names:
            raise ValueError(f"{HUMANS!r} is the name of the humans, choose another")
        for name, model in self.models.items():
            if model.reference is not None and model.reference not in names:
                raise ValueError(
                    f"models.{name}.reference: {model.reference!r} is no model of this run "
                    f"({', '.join(names)})"
                )
            if model.reference == name:
                raise ValueError(f"models.{name}.reference is the model itself")
        if self.models and self.categories is None:
            raise ValueError(
                "categories is missing: models need a JSON file with the ImageNet class indices "
                'of each category, {"airplane": [404], …}; model-vs-human publishes them'
            )
        if self.models and not self.stimuli:
            raise ValueError("stimuli is missing: models need images, such as stimuli.edge=FOLDER")
        return self
