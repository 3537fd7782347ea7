"""Which data and which models a run works on: one choice of each for all verbs."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from pydantic import BeforeValidator, Field

from striate.core.cache import Cache
from striate.core.compute import Compute
from striate.core.config import Config
from striate.data import READERS, Dataset, read
from striate.models import Model, load


class DataConfig(Config):
    """Which data to read: the arguments of `striate.data.read`."""

    name: str
    path: str
    subjects: tuple[str, ...] | None = None
    hemispheres: tuple[str, ...] | None = None
    rois: tuple[str, ...] | None = None
    """Read only units in these ROIs (where the reader can)."""

    def read(self) -> Dataset:
        """Read the data set, with single trials where there are any, for the ceilings of scores.

        Errors as `striate.data.read`.
        """
        wanted = {
            "subjects": self.subjects,
            "hemispheres": self.hemispheres,
            "rois": self.rois,
        }
        chosen: dict[str, Any] = {k: list(v) for k, v in wanted.items() if v}
        if self.name in READERS and "repeats" in READERS[self.name].selectors:
            chosen["repeats"] = True
        return read(self.name, self.path, **chosen)


class ComputeConfig(Config):
    """How a verb computes; the base of configs of verbs that pass images through networks."""

    device: str = "auto"
    batch_size: int = Field(64, gt=0)
    """Images a forward pass."""

    def compute(self, cache: Cache, progress: bool = True) -> Compute:
        """Return how networks are run."""
        return Compute(self.device, self.batch_size, cache=cache, progress=progress)


class NetworkConfig(Config):
    """Which network, and with which weights: arguments of `striate.models.load`."""

    id: str
    """A model id, also `…@random`, or a model folder."""
    weights: str | None = None
    resize: str | None = None
    """How a picture becomes a square, such as `squash`; default the network's own way."""
    options: dict[str, Any] = Field(default_factory=dict)
    """How the network is built, where it can be built in several ways."""

    def load_model(self, *, seed: int = 0, image_size: int | None = None) -> Model:
        """Load the network; errors as `striate.models.load`."""
        return load(
            self.id,
            weights=self.weights,
            image_size=image_size,
            resize=self.resize,
            seed=seed,
            options=self.options or None,
        )


class ModelConfig(NetworkConfig):
    """Which model: the arguments of `striate.models.load`."""

    id: str = "alexnet"
    image_size: int | None = Field(None, gt=0)
    """Side of the input in pixels; default the model's own."""
    seed: int = Field(0, ge=0)
    """Of the weights of `…@random`."""

    def build(self, image_size: int | None = None) -> Model:
        """Load the model; `image_size` is for one that has none of its own in the config."""
        return self.load_model(seed=self.seed, image_size=self.image_size or image_size)


def _expand_ids(values: Any) -> Any:
    """Expand an id or a folder alone to `{id: …}`."""
    if not isinstance(values, dict):
        return values
    return {k: {"id": v} if isinstance(v, str) else v for k, v in values.items()}


M = TypeVar("M", bound=ModelConfig)
NamedModels = Annotated[dict[str, M], BeforeValidator(_expand_ids)]
"""Models by a name of the user's; an id or a folder alone stands for `{id: …}`."""
