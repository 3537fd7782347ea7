"""The config of `striate simulate`: which subjects, and what is planted in them."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from striate.core.config import Config
from striate.data.readers.algonauts2023 import HEMISPHERES
from striate.evaluate.common.choices import ModelConfig


class PlantedRoi(Config):
    """One simulated ROI.

    Its units read principal components `components[0]` to `components[1] - 1` of the tap's
    features over the stimuli.
    """

    name: str
    hemisphere: str = "lh"
    tap: str
    units: int = Field(100, ge=1)
    components: tuple[int, int] = (16, 24)
    ncsnr: float = Field(1.5, gt=0)
    """Standard deviation of the signal over that of one trial's noise."""

    @model_validator(mode="after")
    def _check_hemisphere(self) -> Self:
        if self.hemisphere not in HEMISPHERES:
            raise ValueError(f"hemisphere must be lh or rh, found {self.hemisphere!r}")
        return self


class SimulateConfig(Config):
    """`striate simulate`: subjects in the layout of the Algonauts 2023 data."""

    photographs: str | None = None
    """Folder of photographs; default those inside scikit-image and scikit-learn."""
    model: ModelConfig = ModelConfig(id="efficientnet_lite0", image_size=64)
    rois: tuple[PlantedRoi, ...] = (
        PlantedRoi(name="V1v", hemisphere="lh", tap="_blocks.4"),
        PlantedRoi(name="hV4", hemisphere="rh", tap="_blocks.10"),
    )
    subjects: int = Field(2, ge=1, le=99)
    stimuli: int = Field(480, ge=20)
    """Images of each subject."""
    shared: int = Field(100, ge=0)
    """How many of them all subjects see."""
    tile: int = Field(64, ge=8)
    """Side of an image in pixels."""
    most: int = Field(72, ge=1)
    """Largest number of images from one photograph."""
    grid: int = Field(4, ge=1)
    """Convolutional maps are averaged to this grid before the components are taken."""
    repeats: int = Field(3, ge=1)
    seed: int = 0

    @model_validator(mode="after")
    def _check_sizes(self) -> Self:
        if self.shared > self.stimuli:
            raise ValueError(f"shared ({self.shared}) is more than stimuli ({self.stimuli})")
        names = [roi.name for roi in self.rois]
        if len(set(names)) < len(names) or not names:
            raise ValueError(f"rois must be of different names, at least one; found {names}")
        return self
