"""A recognition model as one module whose output is the loss of a batch, and its feature cache."""

from __future__ import annotations

from typing import Literal, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from striate.core.errors import InputError
from striate.learning.recognition.attack import attacked
from striate.learning.recognition.config import TrainConfig
from striate.models import Model, evaluating
from striate.models.networks.recognition import RecognitionNet

CHUNK = 256
"""Images per forward pass while features are taken; fixed, so that features are reproducible."""
Kind = Literal["images", "pixels", "features"]


class Recognizer(nn.Module):
    """A recognition model with its loss.

    Args:
        model: changed in place.
        config: the settings.

    Raises:
        InputError: the model is no recognition model.
    """

    def __init__(self, model: Model, config: TrainConfig) -> None:
        super().__init__()
        if not isinstance(model.network, RecognitionNet):
            raise InputError(
                f"{model.id} is no recognition model. Make one with "
                "striate.models.recognition_model(front, classes)."
            )
        self.model, self.config = model, config

    @property
    def network(self) -> RecognitionNet:
        """The network."""
        return cast(RecognitionNet, self.model.network)

    def logits(self, x: Tensor, kind: Kind) -> Tensor:
        """Map images, pixels or features to logits (B, classes), float32 or wider.

        Args:
            x: `images`, uint8 (B, H, W, 3); `pixels`, float (B, 3, H, W) from 0 to 1; or
                `features`, the front's map (B, C, H', W').
            kind: which of the three `x` is.
        """
        if kind == "features":
            logits = self.network.back(x)
        elif kind == "pixels":
            logits = self.network(self.model.preprocessing.normalize(255 * x))
        else:
            logits = self.model(x)
        return logits.to(torch.promote_types(logits.dtype, torch.float32))

    def forward(self, x: Tensor, labels: Tensor, kind: Kind) -> tuple[Tensor, Tensor]:
        """Return the cross-entropy, summed over images, and the number of correct images."""
        logits = self.logits(x, kind)
        loss = F.cross_entropy(
            logits, labels, reduction="sum", label_smoothing=self.config.label_smoothing
        )
        return loss, (logits.argmax(1) == labels).sum()

    def attack(self, images: Tensor, labels: Tensor) -> Tensor:
        """Attack uint8 images (B, H, W, 3) with the network in eval mode; return `pixels`."""
        pixels = images.permute(0, 3, 1, 2).float() / 255
        with evaluating(self):  # batch norm must not learn from intermediate images
            return attacked(
                pixels,
                lambda x: F.cross_entropy(self.logits(x, "pixels"), labels, reduction="sum"),
                self.config.attack,
            )


def cacheable(model: Model, config: TrainConfig, images: int) -> bool:
    """Whether a frozen front's features of all images can be taken once for all epochs."""
    network, augment = model.network, config.augment
    if not isinstance(network, RecognitionNet) or not network.frozen:
        return False
    if augment.shift or augment.brightness or config.attack.eps:
        return False
    tap = f"front.{network.config.front.tap}"
    image_bytes = 4 * int(np.prod(model.tap_shapes([tap])[tap]))
    return (1 + augment.flip) * images * image_bytes <= config.cache_gb * 1e9


@torch.no_grad()
def take_features(recognizer: Recognizer, images: np.ndarray, flip: bool) -> Tensor:
    """Take the front's features of all images and, with `flip`, of their mirror images.

    Args:
        recognizer: on the device that computes them.
        images: uint8 (N, H, W, 3), may be a memory map.
        flip: whether to take those of the mirror images too.

    Returns:
        float32 (1 or 2, N, C, H', W') on the same device; the second row is of mirror images.
    """
    model, network = recognizer.model, recognizer.network
    rows: list[Tensor] = []
    with evaluating(recognizer):
        for mirrored in (False, True)[: 1 + flip]:
            parts = []
            for start in range(0, len(images), CHUNK):
                batch = torch.from_numpy(np.array(images[start : start + CHUNK])).to(model.device)
                batch = batch.flip(2) if mirrored else batch
                parts.append(network.features(model.preprocessing(batch)).float().contiguous())
            rows.append(torch.cat(parts))
    return torch.stack(rows)
