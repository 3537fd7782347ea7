"""How features are turned into predictions: the settings of `encode` and of `predict`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from striate.core.config import Config
from striate.encoding.projection import ProjectionConfig
from striate.encoding.ridge import ALPHAS, check_alphas

ProtocolName = Literal["nested", "paper_a", "paper_b"]
Kind = Literal["ridge", "pls"]

UNIT_ALPHAS = tuple(10.0**i for i in range(-6, 5))
"""Penalties for features of unit size: 1 is the mean eigenvalue of their Gram matrix (ours)."""


class EncodeConfig(Config):
    """How a model's features are turned into scores."""

    protocol: ProtocolName = "nested"
    alphas: tuple[float, ...] | None = None
    """Penalties; None: 10^-6 to 10^4 with features of unit size, else the paper's 10^-1 to 10^7."""
    scale: Literal["unit", "none"] | None = None
    """`unit`: divide each tap's features by one number, so that the mean over stimuli of their
    squared distance from the mean is 1 and a penalty means the same for every network and tap.
    None: `unit` for `nested` (ours), `none` for the paper's protocols."""
    folds: int = Field(5, ge=2)
    taps: tuple[str, ...] | None = None
    """Taps to choose from; default the model's own list."""
    projection: ProjectionConfig = ProjectionConfig()
    readout_parts: tuple[Literal["tune", "fit"], ...] = ("fit",)
    """Parts the readout is fitted on besides `select` (protocol nested)."""
    bootstrap: int = Field(1000, ge=1)
    permutations: int = Field(100, ge=0)
    precision: Literal["float64", "float32"] = "float64"
    """Of the fold scores that alpha and tap are chosen by (see `solver.fold_scores`)."""
    device: str = "cpu"
    """Where the ridge is computed."""
    seed: int = 0

    @property
    def unit_scale(self) -> bool:
        """Whether features are brought to unit size."""
        return self.scale == "unit" or (self.scale is None and self.protocol == "nested")

    @property
    def penalties(self) -> tuple[float, ...]:
        """The penalties to choose from, ascending."""
        return check_alphas(self.alphas or (UNIT_ALPHAS if self.unit_scale else ALPHAS))

    @property
    def parts(self) -> tuple[str, ...]:
        """Parts of a split that the protocol reads."""
        if self.protocol == "paper_b":
            return ("test",)
        if self.protocol == "paper_a":
            return ("tune", "fit", "select", "test")
        return (*dict.fromkeys(self.readout_parts), "select", "test")

    @property
    def fitted_parts(self) -> tuple[str, ...]:
        """Parts that a projection or scale is fitted on: all before `test`, where there are any."""
        return tuple(p for p in self.parts if p != "test") or ("test",)


class ReadoutConfig(Config):
    """How responses are predicted from features in rounds (`readout.predict`)."""

    kinds: tuple[Kind, ...] = ("ridge", "pls")
    alphas: tuple[float, ...] = UNIT_ALPHAS
    """Penalties of ridge, for features of unit size (`EncodeConfig.scale`)."""
    components: int = Field(25, gt=0)
    """Of PLS; Brain-Score's number (docs/papers/lcl-v2.md 5.1)."""
    folds: int = Field(5, ge=2)
    """Folds within the training stimuli, by which tap and penalty are chosen."""
    permutations: int = Field(100, ge=1)
    """Shuffles of the null, groups whole (`encoding.null`)."""
    seed: int = 0
