"""The configs of the verbs that tune and score: which data, which model, which methods."""

from __future__ import annotations

from inspect import signature
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from striate.core.config import Config
from striate.data import READERS, Dataset, SplitConfig, read
from striate.encoding import EncodeConfig
from striate.learning import TuneConfig
from striate.learning.config import Precision
from striate.models import Model, load

Method = Literal[
    "untuned", "random", "contrastive", "regression", "pooled_contrastive", "pooled_regression"
]
CONTROLS: tuple[Method, ...] = ("untuned", "random")


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
        if self.name in READERS and "repeats" in signature(READERS[self.name]).parameters:
            chosen["repeats"] = True
        return read(self.name, self.path, **chosen)


class ModelConfig(Config):
    """Which network to start from: the arguments of `striate.models.load`."""

    id: str = "alexnet"
    weights: str | None = None
    image_size: int | None = Field(None, gt=0)
    resize: str | None = None
    """How a picture becomes a square, such as `squash`; default the network's own way."""
    seed: int = 0
    """Of the weights of `…@random`."""

    def build(self) -> Model:
        """Load the network."""
        return load(
            self.id,
            weights=self.weights,
            image_size=self.image_size,
            resize=self.resize,
            seed=self.seed,
        )


class RunConfig(Config):
    """What tuning and scoring have in common."""

    data: DataConfig
    model: ModelConfig = ModelConfig()
    split: SplitConfig = SplitConfig()
    encode: EncodeConfig = EncodeConfig()
    rois: tuple[str, ...] | None = None
    """ROIs to tune to and score; default all that have units."""
    hemispheres: tuple[str, ...] | None = None
    seed: int = 0
    """Of the random weights (splits, tuning and scoring have their own)."""
    device: str = "auto"
    precision: Precision = "32"
    batch_size: int = Field(64, gt=0)
    """Images a forward pass while features are taken (tuning has its own)."""


class TuneRunConfig(RunConfig):
    """`striate tune`: tune a model to each target, or one pooled over subjects to each ROI."""

    tuning: TuneConfig = TuneConfig()
    pooled: bool = False


class EncodeRunConfig(RunConfig):
    """`striate encode`: score saved models beside the controls."""

    models: dict[str, str] = Field(default_factory=dict)
    """Further models to score, by a name of yours: model ids, or folders that tuning wrote."""

    @model_validator(mode="after")
    def _names(self) -> Self:
        taken = sorted(set(self.models) & set(CONTROLS))
        if taken:
            raise ValueError(f"models: {taken[0]!r} is the name of a control, choose another")
        return self


class CompareConfig(RunConfig):
    """`striate compare`: tune and score every method on one split."""

    methods: tuple[Method, ...] = (
        "untuned",
        "random",
        "contrastive",
        "regression",
        "pooled_contrastive",
    )
    contrastive: TuneConfig = TuneConfig()
    regression: TuneConfig = TuneConfig.regression()
    pooled_contrastive: TuneConfig | None = None
    """Default: the settings of `contrastive`."""
    pooled_regression: TuneConfig | None = None
    """Default: the settings of `regression`."""

    @model_validator(mode="before")
    @classmethod
    def _regression_defaults(cls, values: Any) -> Any:
        """A partial `regression` section fills up from the paper's regression settings."""
        if not isinstance(values, dict):
            return values
        values = dict(values)
        for section in ("regression", "pooled_regression"):
            if isinstance(values.get(section), dict):
                values[section] = {"objective": "regression", **values[section]}
        return values

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for section, objective in (
            ("contrastive", "contrastive"),
            ("pooled_contrastive", "contrastive"),
            ("regression", "regression"),
            ("pooled_regression", "regression"),
        ):
            given = getattr(self, section)
            if given is not None and given.objective != objective:
                raise ValueError(f"{section}.objective must be {objective!r}")
        if "untuned" not in self.methods:
            raise ValueError("methods must contain 'untuned': every score stands beside it")
        return self

    def tuning(self, method: Method) -> TuneConfig:
        """The settings that a tuned method uses."""
        if method == "pooled_contrastive":
            return self.pooled_contrastive or self.contrastive
        if method == "pooled_regression":
            return self.pooled_regression or self.regression
        if method in ("contrastive", "regression"):
            return self.contrastive if method == "contrastive" else self.regression
        raise ValueError(f"{method} is not tuned")
