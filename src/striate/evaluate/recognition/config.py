"""What `striate train` is asked for."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from striate.core.config import Config
from striate.data.images.distortions import SEVERITIES
from striate.evaluate.common.choices import ComputeConfig, NetworkConfig
from striate.learning import TrainConfig
from striate.models.networks.recognition import BackConfig


class LabeledConfig(Config):
    """Labeled images to train on and to test with."""

    train: str
    """A folder with a folder for each class, or a parquet file."""
    test: str
    """The same; no image of it may be among the training images."""
    name: str = ""
    """For the card and the report; empty: the name of the folder of `train`."""
    image_column: str = "image"
    label_column: str = "label"
    train_images: int | None = Field(None, ge=2)
    """Train on so many, as many of each class; None: on all. Chosen by content, not by a run."""
    test_images: int | None = Field(None, ge=2)
    leaks: Literal["error", "drop"] = "error"
    """Training images that are test images: refuse, or leave them out of training."""


class FrontChoice(NetworkConfig):
    """Which model's first taps come first; random weights are drawn by the seed of training."""

    id: str = "lcl_v2"
    tap: str | None = None
    """The last module taken; None: the last of the model's default taps."""
    frozen: bool = True
    """False: the front is trained too, with the labels."""


class DistortionConfig(Config):
    """With which distortions generalization is tested."""

    experiments: tuple[str, ...] = tuple(SEVERITIES)
    """Of `striate.data.images.distortions.SEVERITIES`; none: clean images alone."""
    seed: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _check_experiments(self) -> Self:
        unknown = [e for e in self.experiments if e not in SEVERITIES]
        if unknown:
            raise ValueError(
                f"distortions.experiments: {unknown[0]!r} is none of {', '.join(SEVERITIES)}"
            )
        return self


class TrainRunConfig(ComputeConfig):
    """Data, front, back-end, training and tests of one run."""

    data: LabeledConfig
    front: FrontChoice = FrontChoice()
    back: BackConfig = BackConfig()
    image_size: int | None = Field(None, gt=0)
    """Side of the images in pixels; None: the front's own. Smaller ones are enlarged."""
    training: TrainConfig = TrainConfig()
    distortions: DistortionConfig = DistortionConfig()
    batch_size: int = Field(256, ge=1)
    """Images a forward pass of the tests."""
