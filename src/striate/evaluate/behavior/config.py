"""The config of `striate behave`: whose decisions on which images."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from striate.evaluate.common.choices import ComputeConfig, ModelConfig, NamedModels

HUMANS = "humans"
"""The observer that stands for all humans."""


class BehaveModel(ModelConfig):
    """A classifier whose decisions are compared with those of humans.

    Without an `image_size` of its own it is shown images of the run's size.
    """

    id: str
    reference: str | None = None
    """Another model of the run, whose measures are subtracted: what tuning changed."""
    group: str | None = None
    """Models of one group are also summarized together."""


class BehaveConfig(ComputeConfig):
    """Humans, models and stimuli."""

    humans: str
    """Trials of humans (`striate.data.behavior.trials.read_trials`)."""
    models: NamedModels[BehaveModel] = Field(default_factory=dict)
    decisions: dict[str, str] = Field(default_factory=dict)
    """Trials of further observers, such as models decided elsewhere, by a name of yours."""
    stimuli: dict[str, str] = Field(default_factory=dict)
    """Folder of images by experiment, in a folder for each category."""
    categories: str | None = None
    """JSON file with the ImageNet classes of each category; needed for `models`."""
    exclude: dict[str, tuple[str | int | float | bool, ...]] | None = None
    """Conditions that do not count, by experiment; default `data.behavior.conditions.EXCLUDED`."""
    image_size: int = Field(224, gt=0)
    """Side in pixels at which every model sees the images, whatever size it was tuned at."""
    bootstrap: int = Field(1000, ge=2)
    seed: int = 0

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        shared = sorted(self.models.keys() & self.decisions.keys())
        if shared:
            raise ValueError(f"{shared[0]!r} is a name of a model and of decisions, choose another")
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
