"""The settings of tuning. Defaults are those of Mulrooney & Brockmeier 2024 (their code)."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from striate.core.config import Config
from striate.learning.common.config import AugmentConfig, Precision

REGRESSION_DEFAULTS = {"learning_rate": 2.5e-5, "epochs": 75}
"""Where the paper's regression baseline differs (docs/papers/contrastive-tuning.md 2.2)."""

FREE_TO_CHANGE = ("checkpoint_every", "keep_checkpoints", "tensorboard")
"""Settings that do not change the result: a stopped run may go on with others."""


TEMPERATURES = (0.01, 100.0)
"""The range of the temperature (ours). Cosines lie within -1..1: below 0.01 the softmax over a
batch is all but a maximum and most gradients vanish, above 100 it is all but uniform."""


def check_temperature(value: float) -> float:
    """Return a temperature that is within `TEMPERATURES`.

    Raises:
        ValueError: it is not; the range and its reason are named.
    """
    low, high = TEMPERATURES
    if not low <= value <= high:
        raise ValueError(
            f"temperature should be from {low:g} to {high:g}, found {value:g}: cosines lie within "
            "-1 to 1, so below that the softmax over a batch is all but a maximum, and above it "
            "all but uniform"
        )
    return value


class TuneConfig(Config):
    """How a network is tuned to responses.

    The defaults are the paper's: docs/papers/contrastive-tuning.md 2.1 for `contrastive`, 2.2 for
    `regression` (see `TuneConfig.regression`), 2.3 for more than one subject. What the paper does
    not have is off by default, and marked "ours".
    """

    objective: Literal["contrastive", "regression"] = "contrastive"
    epochs: int = Field(30, ge=1)
    batch_size: int = Field(1024, ge=2)
    learning_rate: float = Field(1e-4, gt=0)
    """Of the network (Adam)."""
    head_learning_rate: float | None = Field(None, gt=0)
    """Of the heads; None: that of the network."""
    weight_decay: float = Field(0.0, ge=0)
    """Decoupled (AdamW) where it is not zero; ours."""
    schedule: Literal["constant", "cosine"] = "constant"
    """`cosine` falls to zero over all steps; ours."""
    warmup_epochs: float = Field(0.0, ge=0)
    """Epochs, or a part of one, over which the rates rise linearly from zero; ours."""

    direction: Literal["image_to_brain", "brain_to_image", "symmetric"] = "image_to_brain"
    """Which side is the anchor; its candidates are the other side of the batch."""
    temperature: float = 0.3
    """From 0.01 to 100 (`TEMPERATURES`)."""
    learn_temperature: bool = False
    """Learn the logarithm of the temperature, from `temperature` on and within its range; ours."""
    tap: str | None = None
    """Module path of the output that is pulled; None: the network's output."""
    tap_grid: int | None = Field(None, ge=1)
    """Average-pool the tap to a grid of this side before the heads; None: all of it. Ours."""
    h_ratio: float = Field(0.8, gt=0)
    """Hidden width as a share of the units, one subject: h = int(h_ratio V), at least 2."""
    z_ratio: float = Field(0.2, gt=0)
    """Embedding width as a share of the units, one subject: z = int(z_ratio V), at least 2."""
    h: int | None = Field(None, ge=2)
    """Hidden width, instead of the rule."""
    z: int | None = Field(None, ge=2)
    """Embedding width, instead of the rule."""
    pooled_h: Literal["constant", "mean"] = "mean"
    """Pooled hidden width: the largest, or the mean, number of units over the targets given."""
    pooled_z_ratio: float = Field(0.25, gt=0)
    """Pooled embedding width as a share of the hidden width."""
    order: Literal["sequential", "mixed"] = "sequential"
    """Pooled: subject after subject (the paper), or steps of all subjects shuffled (ours)."""

    freeze: tuple[str, ...] = ()
    """Module paths of the network that are not changed, with all below them."""
    head_epochs: int = Field(0, ge=0)
    """First epochs in which the heads alone learn; ours."""
    batchnorm: Literal["frozen", "train"] = "frozen"
    """The network's own batch-norm statistics: kept (ours), or updated. AlexNet has none."""
    augment: AugmentConfig = AugmentConfig()
    responses: Literal["as_given", "zscore"] = "as_given"
    """`zscore`: each unit by its mean and deviation over the tune part; ours."""
    early_stopping: int | None = Field(None, ge=1)
    """Stop after this many epochs without a better `select` score and go back to the best one;
    None: all epochs, the last one kept (the paper)."""

    seed: int = 0
    precision: Precision = "32"
    checkpoint_every: int | None = Field(None, ge=1)
    """Steps between checkpoints; None: one at the end of each epoch."""
    keep_checkpoints: bool = False
    """Keep the checkpoints of a run that has finished."""
    tensorboard: bool = False
    """Write TensorBoard events too (extra `tensorboard`)."""

    @classmethod
    def regression(cls, **values: Any) -> Self:
        """The paper's baseline: MSE, 2.5e-5, 75 epochs (docs/papers/contrastive-tuning.md 2.2)."""
        return cls.from_dict({**values, "objective": "regression"})

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_objective(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("objective") == "regression":
            return {**REGRESSION_DEFAULTS, **values}
        return values

    @field_validator("temperature")
    @classmethod
    def _in_range(cls, value: float) -> float:
        return check_temperature(value)

    @field_validator("freeze")
    @classmethod
    def _sorted(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(sorted(set(value)))

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.tap_grid is not None and self.tap is None:
            raise ValueError("tap_grid needs a tap: name the module whose output is pooled")
        if self.head_epochs >= self.epochs:
            raise ValueError("head_epochs must be less than epochs, or the network never learns")
        return self

    def identity(self) -> dict[str, Any]:
        """The settings that decide the result."""
        return {k: v for k, v in self.to_dict().items() if k not in FREE_TO_CHANGE}
