"""The configs of the verbs that tune and score: which data, which model, which methods."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from striate.core.cache import Cache
from striate.core.compute import Compute
from striate.data import SplitConfig
from striate.encoding import EncodeConfig
from striate.evaluate.common.choices import ComputeConfig, DataConfig, ModelConfig, NamedModels
from striate.learning import TuneConfig
from striate.learning.common.config import Precision

Method = Literal[
    "untuned", "random", "contrastive", "regression", "pooled_contrastive", "pooled_regression"
]
CONTROLS: tuple[Method, ...] = ("untuned", "random")


class RunConfig(ComputeConfig):
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
    precision: Precision = "32"

    def compute(self, cache: Cache, progress: bool = True) -> Compute:
        """Return how features are computed; tuning has batches of its own."""
        return Compute(self.device, self.batch_size, self.precision, cache, progress)


class TuneRunConfig(RunConfig):
    """`striate tune`: tune a model to each target, or one pooled over subjects to each ROI."""

    tuning: TuneConfig = TuneConfig()
    pooled: bool = False


class GivenModel(ModelConfig):
    """A model to score as it is: an id, or a folder that tuning wrote."""

    id: str


class EncodeRunConfig(RunConfig):
    """`striate encode`: score saved models beside the controls."""

    models: NamedModels[GivenModel] = Field(default_factory=dict)
    """Further models to score."""

    @model_validator(mode="after")
    def _check_names(self) -> Self:
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
    def _fill_regression_defaults(cls, values: Any) -> Any:
        """Fill up a partial `regression` section from the paper's regression settings."""
        if not isinstance(values, dict):
            return values
        values = dict(values)
        for section in ("regression", "pooled_regression"):
            if isinstance(values.get(section), dict):
                values[section] = {"objective": "regression", **values[section]}
        return values

    @model_validator(mode="after")
    def _check_methods(self) -> Self:
        for section, objective in (
            ("contrastive", "contrastive"),
            ("pooled_contrastive", "contrastive"),
            ("regression", "regression"),
            ("pooled_regression", "regression"),
        ):
            tuning = getattr(self, section)
            if tuning is not None and tuning.objective != objective:
                raise ValueError(f"{section}.objective must be {objective!r}")
        if "untuned" not in self.methods:
            raise ValueError("methods must contain 'untuned': every score stands beside it")
        return self

    def tuning(self, method: Method) -> TuneConfig:
        """Return the settings that a tuned method uses."""
        if method == "pooled_contrastive":
            return self.pooled_contrastive or self.contrastive
        if method == "pooled_regression":
            return self.pooled_regression or self.regression
        if method in ("contrastive", "regression"):
            return self.contrastive if method == "contrastive" else self.regression
        raise ValueError(f"{method} is not tuned")
