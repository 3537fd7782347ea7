"""The heads that follow the network while it is tuned; they are saved apart afterwards."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from striate.core.errors import InputError
from striate.learning.tuning.config import TEMPERATURES, TuneConfig, check_temperature

SMALLEST = 2
"""Smallest width of the hidden layer and of the embedding (ours): the cosine of vectors with one
element is always 1 or -1 and has no gradient, and int(0.2 V) is 0 for V < 5."""


def widths(units: Sequence[int], config: TuneConfig) -> tuple[int, int]:
    """Return hidden width h and embedding width z.

    One target with V units: h = int(0.8 V), z = int(0.2 V) (docs/papers/contrastive-tuning.md 2.1).
    Pooled: h = the largest or the mean V, z = int(0.25 h) (2.3; the paper's "constant" is the
    largest over all ROIs of all subjects, 5741: give it as `h`). At least 2 each (ours).

    Args:
        units: V of each target.
        config: gives the ratios, or `h` and `z` themselves.
    """
    if len(units) == 1:
        h = config.h or int(config.h_ratio * units[0])
        z = config.z or int(config.z_ratio * units[0])
    else:
        pooled = max(units) if config.pooled_h == "constant" else int(sum(units) / len(units))
        h = config.h or pooled
        z = config.z or int(config.pooled_z_ratio * h)
    return max(SMALLEST, h), max(SMALLEST, z)


class ContrastiveHeads(nn.Module):
    """Maps of images and responses into one space (docs/papers/contrastive-tuning.md 2.1, 2.3).

    An image is mapped to `g(W_x f)`, a response of target s to `g(W_y[s] y)`. W has no bias. All
    share `g`: twice Linear, BatchNorm, ReLU, then Linear without bias.

    Args:
        features: length of the flattened features.
        units: V of each target.
        h: hidden width.
        z: embedding width.
        temperature: initial value, within `TEMPERATURES`.
        learn_temperature: whether its logarithm is a parameter.

    Raises:
        InputError: a temperature outside of its range.
    """

    def __init__(
        self,
        features: int,
        units: Sequence[int],
        h: int,
        z: int,
        *,
        temperature: float = 0.3,
        learn_temperature: bool = False,
    ) -> None:
        super().__init__()
        try:
            check_temperature(temperature)
        except ValueError as error:
            raise InputError(f"{error}.") from error
        self.image = nn.Linear(features, h, bias=False)
        self.brain = nn.ModuleList(nn.Linear(v, h, bias=False) for v in units)
        self.shared = nn.Sequential(
            nn.Linear(h, h),
            nn.BatchNorm1d(h),
            nn.ReLU(),
            nn.Linear(h, h),
            nn.BatchNorm1d(h),
            nn.ReLU(),
            nn.Linear(h, z, bias=False),
        )
        self.log_temperature = nn.Parameter(
            torch.tensor(temperature).log(), requires_grad=learn_temperature
        )

    @property
    def temperature(self) -> Tensor:
        """The temperature; `keep_temperature_in_range` bounds a learned one."""
        return self.log_temperature.exp()

    def keep_temperature_in_range(self) -> None:
        """Set a learned temperature that left `TEMPERATURES` in a step back to the edge.

        This projects the parameter instead of clamping it in the forward pass. A clamp has no
        gradient beyond the edge, so a temperature that got there could never come back.
        """
        if self.log_temperature.requires_grad:
            lowest, highest = self.log_temperature.new_tensor(TEMPERATURES).log()
            with torch.no_grad():
                self.log_temperature.clamp_(lowest, highest)

    def forward(self, features: Tensor, responses: Tensor, target: int) -> tuple[Tensor, Tensor]:
        """Map features (B, D) and responses (B, V) of one target to embeddings (B, z) each.

        The images go through `g` first: its batch-norm statistics mix both sides in that order.
        """
        image = self.shared(self.image(features))
        brain = self.shared(self.brain[target](responses))
        return image, brain


class RegressionHeads(nn.Module):
    """A linear readout with bias for each target (docs/papers/contrastive-tuning.md 2.2).

    Args:
        features: length of the flattened features.
        units: V of each target.
    """

    def __init__(self, features: int, units: Sequence[int]) -> None:
        super().__init__()
        self.readout = nn.ModuleList(nn.Linear(features, v) for v in units)

    def forward(self, features: Tensor, responses: Tensor, target: int) -> tuple[Tensor, Tensor]:
        """Return predicted and observed responses (B, V) of one target."""
        return self.readout[target](features), responses


def build_heads(
    features: int, units: Sequence[int], config: TuneConfig
) -> ContrastiveHeads | RegressionHeads:
    """Build the heads of a config, initialized by its seed; the caller's random state stays."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        if config.objective == "regression":
            return RegressionHeads(features, units)
        h, z = widths(units, config)
        return ContrastiveHeads(
            features,
            units,
            h,
            z,
            temperature=config.temperature,
            learn_temperature=config.learn_temperature,
        )
