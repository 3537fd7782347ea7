"""Networks that are grown stage by stage; by default two AlexNet-sized stages for V1 and V2."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator
from torch import Tensor, nn

from striate.core.config import Config
from striate.models.networks.parts import Luma, MaxBlurPool


class StageConfig(Config):
    """One stage: convolution, normalization, nonlinearity, pooling, in this order."""

    channels: int = Field(gt=0)
    kernel: int = Field(gt=0)
    stride: int = Field(1, gt=0)
    padding: int = Field(0, ge=0)
    """Rows and columns of zeros that are added at each border before the convolution."""
    norm: Literal["batch", "none"] = "batch"
    nonlinearity: Literal["relu", "none"] = "relu"
    pool: Literal["max", "blur", "average", "none"] = "max"
    """`blur` is anti-aliased: a maximum of stride 1, then a binomial blur with the stride."""
    pool_kernel: int = Field(3, gt=0)
    pool_stride: int = Field(2, gt=0)
    blur: int = Field(3, gt=0, le=255)
    """Side of the kernel of `pool: blur`."""


class LclConfig(Config):
    """The stages of a network; the defaults are Striate's, not those of any paper."""

    channels: Literal[1, 3] = 3
    """With 1, stages see the luma of the image, which the network computes."""
    stages: tuple[StageConfig, ...] = (
        StageConfig(channels=64, kernel=11, stride=4, padding=2),
        StageConfig(channels=192, kernel=5, padding=2),
    )

    @model_validator(mode="after")
    def _some_stages(self) -> Self:
        if not self.stages:
            raise ValueError("stages: at least one is needed, found none.")
        return self


class Lcl(nn.Module):
    """A chain of stages `stage1`, `stage2`, …; input (B, 3, H, W), output that of the last stage.

    Each stage is a sequence of named parts, so `stage1.conv`, `stage1.bn`, `stage1.relu` and
    `stage1.pool` are taps if the stage has them. With the default options the two stages are the
    first two of AlexNet with batch norm: 330,944 parameters, receptive fields of 19 and 67 pixels
    (0.68 and 2.39 degrees at 28 pixels per degree), 27 x 27 and 13 x 13 positions at 224 pixels.

    The registered preprocessing scales pixels by a fixed (x / 255 - 0.5) / 0.25, because the
    contrast varies within an image. Layerwise training may in addition normalize each patch by
    its own contrast.

    Args:
        config: the stages and the number of input channels.
    """

    def __init__(self, config: LclConfig | None = None) -> None:
        super().__init__()
        config = config or LclConfig()
        if config.channels == 1:
            self.luma = Luma()
        inputs: int = config.channels
        self.default_taps = tuple(f"stage{i + 1}" for i in range(len(config.stages)))
        for name, stage in zip(self.default_taps, config.stages, strict=True):
            self.add_module(name, build_stage(inputs, stage))
            inputs = stage.channels

    @property
    def stages(self) -> list[nn.Module]:
        """The stages in order; the first takes what comes out of `prepare`."""
        return [self.get_submodule(name) for name in self.default_taps]

    def prepare(self, x: Tensor) -> Tensor:
        """Map normalized RGB images (B, 3, H, W) to what the first stage takes."""
        return self.luma(x) if hasattr(self, "luma") else x

    def forward(self, x: Tensor) -> Tensor:
        """Map normalized RGB images (B, 3, H, W) to the last stage's map."""
        x = self.prepare(x)
        for stage in self.stages:
            x = stage(x)
        return x


def build_stage(inputs: int, config: StageConfig) -> nn.Sequential:
    """Build one stage for maps of `inputs` channels, randomly initialized."""
    stage = nn.Sequential()
    # Batch norm would subtract a bias again.
    conv = nn.Conv2d(
        inputs,
        config.channels,
        config.kernel,
        config.stride,
        config.padding,
        bias=config.norm == "none",
    )
    stage.add_module("conv", conv)
    if config.norm == "batch":
        stage.add_module("bn", nn.BatchNorm2d(config.channels))
    if config.nonlinearity == "relu":
        stage.add_module("relu", nn.ReLU(inplace=True))
    pool = _pool(config)
    if pool is not None:
        stage.add_module("pool", pool)
    return stage


def _pool(config: StageConfig) -> nn.Module | None:
    kernel, stride = config.pool_kernel, config.pool_stride
    match config.pool:
        case "max":
            return nn.MaxPool2d(kernel, stride)
        case "average":
            return nn.AvgPool2d(kernel, stride)
        case "blur":
            return MaxBlurPool(kernel, stride, config.blur)
    return None
