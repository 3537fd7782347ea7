"""LCL-V2Net and similar networks: the front of any network with an AlexNet-shaped back-end."""

from __future__ import annotations

from typing import Any, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from striate.core.config import Config
from striate.core.errors import InputError
from striate.models.taps import evaluating, resolve_tap, tapped_forward

LOOK = 224
"""Side in pixels of the gray image that is used to find a front's channels."""


class FrontConfig(Config):
    """Which network comes first, and how much of it."""

    id: str = "lcl_v2"
    """Registry id of the network; its weights belong to the recognition network."""
    options: dict[str, Any] = Field(default_factory=dict)
    """How that network is built, if it can be built in several ways."""
    tap: str = "stage2"
    """The last module of the front; modules behind it are left out."""
    frozen: bool = True
    """Keep the front unchanged: no gradients for its weights, and always in eval mode."""


class BackConfig(Config):
    """The AlexNet-shaped back-end. We do not know the paper's; the defaults are AlexNet's."""

    channels: tuple[int, int, int] = (384, 256, 256)
    """Channels of conv3, conv4 and conv5."""
    norm: bool = True
    """Batch norm behind each convolution; AlexNet has none."""
    pool: bool = True
    """AlexNet's max pooling (kernel 3, stride 2) behind conv5; small images leave no map for it."""
    grid: int = Field(6, ge=1)
    """The map is averaged to this side before the classifier, for images of any size."""
    hidden: int = Field(4096, ge=1)
    """Width of fc6 and fc7."""
    dropout: float = Field(0.5, ge=0, lt=1)
    """Dropout before fc6 and fc7."""


class RecognitionConfig(BackConfig):
    """A front and the back-end behind it."""

    front: FrontConfig = FrontConfig()
    classes: tuple[str, ...] = tuple(str(i) for i in range(1000))
    """Names of the classes, in the order of the outputs."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(self.classes) < 2 or len(set(self.classes)) < len(self.classes):
            raise ValueError("classes: two or more names are needed, each once")
        if min(self.channels) < 1:
            raise ValueError("channels: conv3, conv4 and conv5 need one or more each")
        return self


class RecognitionNet(nn.Module):
    """Input (B, 3, H, W), normalized as the front expects; output (B, classes) logits.

    `front` is a network that ends at `config.front.tap`; then come `conv3`, `conv4`, `conv5`
    (3 x 3), `fc6`, `fc7` and `classifier`. With AlexNet's first two stages as a front, channels and
    classifier are those of Krizhevsky 2014 (arXiv 1404.5997). Batch norm is ours.

    Args:
        front: the whole network; modules behind the tap are removed from it.
        config: the front's tap and the back-end.

    Raises:
        InputError: unknown tap, or one that gives no map.
    """

    def __init__(self, front: nn.Module, config: RecognitionConfig) -> None:
        super().__init__()
        self.config = config
        self.classes = config.classes
        inputs = cut(front, config.front.tap)
        self.front = front
        for name, outputs in zip(("conv3", "conv4", "conv5"), config.channels, strict=True):
            self.add_module(name, _convolution(inputs, outputs, config.norm))
            inputs = outputs
        self.pool5 = nn.MaxPool2d(3, 2) if config.pool else nn.Identity()
        self.avgpool = nn.AdaptiveAvgPool2d(config.grid)
        self.fc6 = _full(inputs * config.grid**2, config.hidden, config.dropout)
        self.fc7 = _full(config.hidden, config.hidden, config.dropout)
        self.classifier = nn.Linear(config.hidden, len(config.classes))
        if config.front.frozen:
            self.front.requires_grad_(False)

    @property
    def frozen(self) -> bool:
        """Whether the front stays as it is."""
        return self.config.front.frozen

    def train(self, mode: bool = True) -> Self:
        """Set training mode; a frozen front stays in eval mode."""
        super().train(mode)
        if self.frozen:
            self.front.eval()
        return self

    def features(self, x: Tensor) -> Tensor:
        """Map normalized images (B, 3, H, W) to the front's map (B, C, H', W')."""
        tap = self.config.front.tap
        return tapped_forward(self.front, x, [tap])[tap]

    def back(self, x: Tensor) -> Tensor:
        """Map the front's map to logits (B, classes)."""
        for name in ("conv3", "conv4", "conv5", "pool5", "avgpool"):
            x = self.get_submodule(name)(x)
        return self.classifier(self.fc7(self.fc6(torch.flatten(x, 1))))

    def forward(self, x: Tensor) -> Tensor:
        """Map normalized images (B, 3, H, W) to logits (B, classes)."""
        return self.back(self.features(x))


def _convolution(inputs: int, outputs: int, norm: bool) -> nn.Sequential:
    block = nn.Sequential()
    block.add_module("conv", nn.Conv2d(inputs, outputs, 3, padding=1, bias=not norm))
    if norm:
        block.add_module("bn", nn.BatchNorm2d(outputs))
    block.add_module("relu", nn.ReLU(inplace=True))
    return block


def _full(inputs: int, outputs: int, dropout: float) -> nn.Sequential:
    block = nn.Sequential()
    block.add_module("dropout", nn.Dropout(dropout))
    block.add_module("linear", nn.Linear(inputs, outputs))
    block.add_module("relu", nn.ReLU(inplace=True))
    return block


def cut(network: nn.Module, tap: str) -> int:
    """Take every module behind a tap out of a network, in place; returns the tap's channels.

    Modules that had not begun when the tap was reached, inside of ones that had not ended, are
    replaced by identities: nothing of them is kept in memory or in a file.

    Raises:
        InputError: unknown tap (nearest offered), or one that gives no map (B, C, H, W).
    """
    resolve_tap(network, tap)
    begun: set[nn.Module] = set()
    ended: set[nn.Module] = set()

    def begin(module: nn.Module, inputs: Any) -> None:
        begun.add(module)

    def end(module: nn.Module, inputs: Any, output: Any) -> None:
        ended.add(module)

    handles = [m.register_forward_pre_hook(begin) for m in network.modules()]
    handles += [m.register_forward_hook(end) for m in network.modules()]
    first = next((p for p in network.parameters()), torch.zeros(()))
    try:
        with evaluating(network), torch.no_grad():
            gray = torch.zeros(1, 3, LOOK, LOOK, device=first.device, dtype=first.dtype)
            out = tapped_forward(network, gray, [tap])[tap]
    finally:
        for handle in handles:
            handle.remove()
    if out.ndim != 4:
        raise InputError(
            f"front tap {tap!r} gives {tuple(out.shape[1:])} for an image, expected a map "
            "(channels, rows, columns). Choose an earlier tap."
        )
    for module in list(network.modules()):
        if module not in ended:
            for name, child in list(module.named_children()):
                if child not in begun:
                    setattr(module, name, nn.Identity())
    return int(out.shape[1])
