"""The preprocessing that a network expects: image size, channel order and normalization."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import torch
from torch import Tensor

from striate.core.errors import InputError
from striate.data.images.resizing import Resizing

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Preprocessing:
    """How uint8 RGB images become a network's input: `(x / scale - mean) / std`.

    Attributes:
        size: side of the square input in pixels.
        resize: `squash` (ignore the aspect ratio), `crop` (short side, then center), or another
            rule of `striate.data.images.resizing`, such as `center 256:224 bicubic`.
        channels: order that the network takes, `rgb` or `bgr`; `mean` and `std` are in this order.
        scale: pixel values are first divided by it.
        mean: subtracted after scaling, per channel.
        std: pixel values are last divided by it, per channel.
    """

    size: int = 224
    resize: str = "squash"
    channels: str = "rgb"
    scale: float = 255.0
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD

    def __post_init__(self) -> None:
        if self.channels not in ("rgb", "bgr"):
            raise InputError(f"preprocessing: channels {self.channels!r} is not 'rgb' or 'bgr'.")
        try:
            Resizing.read(self.resize)
        except InputError as error:
            raise InputError(f"preprocessing: {error}") from error
        if self.size < 1 or self.scale <= 0 or min(self.std) <= 0:
            raise InputError("preprocessing: size, scale and std must be positive.")

    def __call__(self, images: Tensor) -> Tensor:
        """Normalize uint8 RGB (B, H, W, 3) to float32 (B, 3, H, W), channels last in memory.

        Raises:
            InputError: another dtype or shape.
        """
        if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[-1] != 3:
            raise InputError(
                "images must be uint8 of shape (B, H, W, 3), found "
                f"{str(images.dtype).removeprefix('torch.')} {tuple(images.shape)}."
            )
        # The permuted view is already channels last in memory.
        return self.normalize(images.permute(0, 3, 1, 2).float())

    def normalize(self, x: Tensor) -> Tensor:
        """Normalize RGB pixel values 0..255 (B, 3, H, W), float32; gradients flow."""
        if self.channels == "bgr":
            x = x.flip(1)
        gain = x.new_tensor([1 / (self.scale * s) for s in self.std]).view(1, 3, 1, 1)
        shift = x.new_tensor([-m / s for m, s in zip(self.mean, self.std, strict=True)])
        return torch.addcmul(shift.view(1, 3, 1, 1), x, gain).contiguous(
            memory_format=torch.channels_last
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build from what `to_dict` returned."""
        fields: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in values.items()
        }
        return cls(**fields)
