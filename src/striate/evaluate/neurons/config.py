"""The config of `striate predict`: which models, on which neurons."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from striate.core.config import Config
from striate.data import Dataset, read
from striate.data.images.visual_angle import Aperture
from striate.data.splits.split import SplitConfig
from striate.encoding.config import ReadoutConfig
from striate.evaluate.common.choices import ComputeConfig, DataConfig, ModelConfig, NamedModels

TWIN = "@random"
RESERVED = ("tables", "cache")
"""Folders that a run has of its own."""


def _is_folder_name(name: str) -> bool:
    """Whether a folder of this name lies where it is made, and is not hidden."""
    return bool(name.strip()) and "/" not in name and not name.startswith(".")


class PredictModel(ModelConfig):
    """One model, and which of its taps are read.

    `image_size` is for `freeman_ziemba` and `rdms_92images`; `sets` have their own. The textures of
    `freeman_ziemba` are always shown whole, whatever `resize` says, as their size in degrees is
    known. `seed` is also that of the random twin.
    """

    id: str
    readouts: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Taps to choose from by a name of yours, for `sets`; beside them the best of all taps."""
    taps: dict[Literal["V1", "V2"], str] = Field(default_factory=dict)
    """Tap of each region for `freeman_ziemba`; default the best on the public stimuli."""


class PredictivityConfig(ComputeConfig):
    """One data set and how models are scored on it; the same for every model."""

    data: DataConfig
    image_size: int = Field(112, gt=0)
    """Side in pixels at which every model sees the images, whatever size it was trained at."""
    grid: int | None = Field(6, gt=0)
    """Maps are averaged to grid x grid, so that every tap is read at the same places; a map that
    has fewer positions keeps those it has. None keeps every position."""
    divide: Literal["split", "groups", "stimuli"] = "split"
    """`split`: by the hash of the image, tested once. `groups`: every group of stimuli, such as a
    movie, is tested in one of several rounds. `stimuli`: the same with single stimuli, whose near
    copies may then be fitted: an easier question."""
    split: SplitConfig = SplitConfig(tune=0.0, fit=0.75, select=0.10, test=0.15)
    rounds: int = Field(5, ge=2)
    """For `groups` and `stimuli`."""
    readout: ReadoutConfig = ReadoutConfig()
    rsa: Literal["covariance", "diagonal", "none"] | None = None
    """Also compare RDMs, whose noise is whitened so; needs single trials. None: do not."""


class FreemanZiembaConfig(ComputeConfig):
    """The protocol; the defaults are Brain-Score's, those of what is ours are marked."""

    regions: tuple[Literal["V1", "V2"], ...] = ("V1", "V2")
    components: int = Field(25, gt=0)
    splits: int = Field(10, gt=1)
    train: float = Field(0.9, gt=0, lt=1)
    seed: int = 1
    degrees: float = Field(4.0, gt=0)
    """Of the stimuli."""
    canvas_degrees: float = Field(8.0, gt=0)
    """Of the model's field of view."""
    aperture: Aperture = "auto"
    """Brain-Score shows the textures with their aperture: it is added where it is not there."""
    intervals: Literal["families", "stimuli"] = "families"
    """What is resampled, and shuffled for the null, as a whole (ours). Intervals over `stimuli` are
    for these fifteen families only."""
    bootstrap: int = Field(1000, ge=1)
    """Resamples of the intervals (ours)."""
    permutations: int = Field(100, ge=1)
    """Of the null (ours)."""
    random_twin: bool = True
    """Score the same network with random weights beside each model (ours)."""
    batch_size: int = Field(32, gt=0)


class TextureNeuronsConfig(FreemanZiembaConfig):
    """Where the FreemanZiemba2013 data lie, and the protocol."""

    path: str
    subset: Literal["all", "public", "private"] = "all"
    """`all`: taps are chosen on the public stimuli and the private ones are scored."""
    pca_images: str | None = None
    """Folder of images that a PCA of 1000 components is fitted on while taps are chosen, as
    Brain-Score does with photographs of ImageNet; None: activations as they are."""

    def read(self) -> Dataset:
        """Read the data; errors as `striate.data.read`."""
        return read("freeman_ziemba", self.path, subset=self.subset, rois=list(self.regions))

    def protocol(self) -> FreemanZiembaConfig:
        """The protocol alone."""
        settings = {
            k: v for k, v in self.to_dict().items() if k in FreemanZiembaConfig.model_fields
        }
        return FreemanZiembaConfig.from_dict(settings)


class Rdms92Config(Config):
    """RSA with the IT of monkey and human for 92 object images."""

    path: str
    measure: Literal["correlation", "euclidean", "squared_euclidean"] = "correlation"
    """Of the models' features; distances of both kinds are per unit (`striate.encoding.rdm`)."""
    methods: tuple[Literal["rho_a", "spearman", "cosine"], ...] = ("spearman", "cosine")
    permutations: int = Field(100, ge=1)
    device: str = "auto"


class PredictRunConfig(Config):
    """`striate predict`: models beside their random-weight twins, on one data set or more."""

    models: NamedModels[PredictModel] = Field(min_length=1)
    sets: dict[str, PredictivityConfig] = Field(default_factory=dict)
    """Recordings by a name of yours, predicted by ridge and PLS."""
    freeman_ziemba: TextureNeuronsConfig | None = None
    rdms_92images: Rdms92Config | None = None
    random: bool = True
    """Score a random-weight twin of each model that can have one."""
    bootstrap: int = Field(1000, ge=1)
    seed: int = 0

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not (self.sets or self.freeman_ziemba or self.rdms_92images):
            raise ValueError(
                "nothing to predict: give sets, freeman_ziemba or rdms_92images, such as "
                "sets.v4.data.name=cowley_v4 sets.v4.data.path=DATA"
            )
        for name in self.models:
            if name.endswith("@random") or not _is_folder_name(name):
                raise ValueError(
                    f"models: {name!r} is no good name: '@random' is added to the random twins', "
                    "and it is to name a folder"
                )
        for name in self.sets:
            if name in RESERVED or not _is_folder_name(name):
                raise ValueError(
                    f"sets: {name!r} is no good name: it is to name a folder of the run, beside "
                    f"{', '.join(RESERVED)}"
                )
        return self
