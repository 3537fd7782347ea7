"""The settings of tuning. Defaults are those of Mulrooney & Brockmeier 2024 (their code)."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from striate.learning.common.config import AugmentConfig, LearningConfig, Precision

REGRESSION_DEFAULTS = {"learning_rate": 2.5e-5, "epochs": 75}
"""Where the paper's regression baseline differs (docs/papers/contrastive-tuning.md 2.2)."""


TEMPERATURES = (0.01, 100.0)
"""The range of the temperature (ours). Cosines lie within -1..1. Below 0.01 the softmax over a
batch is almost a maximum and most gradients vanish; above 100 it is almost uniform."""


def check_temperature(value: float) -> float:
    """Return a temperature if it is within `TEMPERATURES`.

    Raises:
        ValueError: it is outside; the range and its reason are named.
    """
    lowest, highest = TEMPERATURES
    if not lowest <= value <= highest:
        raise ValueError(
            f"temperature should be from {lowest:g} to {highest:g}, found {value:g}: cosines lie "
            "within -1 to 1, so below that the softmax over a batch is all but a maximum, and "
            "above it all but uniform"
        )
    return value


class TuneConfig(LearningConfig):
    """How a network is tuned to responses.

    The defaults are the paper's: docs/papers/contrastive-tuning.md 2.1 for `contrastive`, 2.2 for
    `regression` (see `TuneConfig.regression`), 2.3 for several subjects. Settings that the paper
    does not have are off by default and marked "ours".
    """

    objective: Literal["contrastive", "regression"] = "contrastive"
    epochs: int = Field(30, ge=1)
    batch_size: int = Field(1024, ge=2)
    learning_rate: float = Field(1e-4, gt=0)
    """Learning rate of the network (Adam)."""
    head_learning_rate: float | None = Field(None, gt=0)
    """Learning rate of the heads; None: that of the network."""
    weight_decay: float = Field(0.0, ge=0)
    """Decoupled (AdamW) if it is not zero; ours."""
    schedule: Literal["constant", "cosine"] = "constant"
    """`cosine` falls to zero over all steps; ours."""
    warmup_epochs: float = Field(0.0, ge=0)
    """Number of epochs, possibly a fraction, over which the rates rise linearly from zero; ours."""

    direction: Literal["image_to_brain", "brain_to_image", "symmetric"] = "image_to_brain"
    """Which side is the anchor; the other side of the batch gives its candidates."""
    temperature: float = 0.3
    """From 0.01 to 100 (`TEMPERATURES`)."""
    learn_temperature: bool = False
    """Learn the logarithm of the temperature, starting at `temperature`, within its range; ours."""
    tap: str | None = None
    """Module path of the output that is tuned; None: the network's output."""
    tap_grid: int | None = Field(None, ge=1)
    """Average-pool the tap to a grid of this side before the heads; None: no pooling. Ours."""
    h_ratio: float = Field(0.8, gt=0)
    """Hidden width as a share of the units of one subject: h = int(h_ratio V), at least 2."""
    z_ratio: float = Field(0.2, gt=0)
    """Embedding width as a share of the units of one subject: z = int(z_ratio V), at least 2."""
    h: int | None = Field(None, ge=2)
    """Hidden width, overrides the rule."""
    z: int | None = Field(None, ge=2)
    """Embedding width, overrides the rule."""
    pooled_h: Literal["constant", "mean"] = "mean"
    """Pooled hidden width: the largest or the mean number of units over the given targets."""
    pooled_z_ratio: float = Field(0.25, gt=0)
    """Pooled embedding width as a share of the hidden width."""
    order: Literal["sequential", "mixed"] = "sequential"
    """Pooled tuning takes one subject after another (the paper), or shuffles the steps of all
    subjects (ours)."""

    freeze: tuple[str, ...] = ()
    """Module paths of the network that are not changed, together with everything below them."""
    head_epochs: int = Field(0, ge=0)
    """Number of first epochs in which only the heads learn; ours."""
    batchnorm: Literal["frozen", "train"] = "frozen"
    """Keep (ours) or update the network's own batch-norm statistics. AlexNet has none."""
    augment: AugmentConfig = AugmentConfig()
    responses: Literal["as_given", "zscore"] = "as_given"
    """`zscore`: standardize each unit by its mean and deviation over the tune part; ours."""
    early_stopping: int | None = Field(None, ge=1)
    """Stop after this many epochs without a better `select` score and keep the best weights;
    None: run all epochs and keep the last weights (the paper)."""

    seed: int = 0
    precision: Precision = "32"
    checkpoint_every: int | None = Field(None, ge=1)
    """Steps between checkpoints; None: one checkpoint at the end of each epoch."""
    keep_checkpoints: bool = False
    """Keep the checkpoints of a finished run."""
    tensorboard: bool = False
    """Write TensorBoard events too (extra `tensorboard`)."""

    @classmethod
    def regression(cls, **values: Any) -> Self:
        """Return the paper's regression baseline (notes, 2.2): MSE, 2.5e-5, 75 epochs."""
        return cls.from_dict({**values, "objective": "regression"})

    @model_validator(mode="before")
    @classmethod
    def _fill_defaults(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("objective") == "regression":
            return {**REGRESSION_DEFAULTS, **values}
        return values

    @field_validator("temperature")
    @classmethod
    def _check_temperature_range(cls, value: float) -> float:
        return check_temperature(value)

    @field_validator("freeze")
    @classmethod
    def _sort_paths(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(sorted(set(value)))

    @model_validator(mode="after")
    def _check_consistency(self) -> Self:
        if self.tap_grid is not None and self.tap is None:
            raise ValueError("tap_grid needs a tap: name the module whose output is pooled")
        if self.head_epochs >= self.epochs:
            raise ValueError("head_epochs must be less than epochs, or the network never learns")
        return self
