"""The config of `striate predict`: which models, on which neurons."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from striate.core.config import Config
from striate.data import Dataset, read
from striate.evaluate.common.choices import ModelConfig, NamedModels
from striate.evaluate.neurons.freeman_ziemba import FreemanZiembaConfig
from striate.evaluate.neurons.measure import PredictivityConfig

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
