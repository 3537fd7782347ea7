"""A small network and planted data: what the tests of tuning run on."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from striate.data.patches.photographs import Photographs
from striate.learning import TuneData
from striate.models import Model, Preprocessing, load, recognition_model

SIZE = 12


class TinyNet(nn.Module):
    """Two convolutions with batch norm, dropout, and a linear layer."""

    def __init__(self, dropout: float = 0.2) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Conv2d(8, 12, 3),
            nn.ReLU(),
        )
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(12 * 9, 24)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.dropout(self.features(x).flatten(1)))


def tiny_model(dropout: float = 0.2) -> Model:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = TinyNet(dropout)
    return Model("tiny", network, Preprocessing(SIZE), ["features.1", "features.4"]).eval()


def tiny_data(
    name: str = "A",
    *,
    units: int = 12,
    n: int = 60,
    held: int = 20,
    seed: int = 0,
    **changes: Any,
) -> TuneData:
    """Responses are noisy linear readouts of the image's blocks, simulated."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 256, (n, 3, 3, 3), dtype=np.uint8)
    images = blocks.repeat(SIZE // 3, axis=1).repeat(SIZE // 3, axis=2)
    source = (blocks.reshape(n, -1) / 255 - 0.5) * 2
    responses = source @ rng.normal(size=(27, units)) + 0.2 * rng.normal(size=(n, units))
    values: dict[str, Any] = {
        "name": name,
        "subject": name,
        "images": images,
        "hashes": [f"{seed}-{i}" for i in range(n)],
        "responses": responses.astype(np.float32),
        "tune": np.arange(n - held),
        "select": np.arange(n - held, n),
        "simulated": True,
        **changes,
    }
    return TuneData(**values)


def tiny_photographs(n: int = 12, size: int = 100) -> Photographs:
    """Smooth colored pictures, a few of them larger."""
    draw = np.random.default_rng(0)
    pictures = []
    for i in range(n):
        coarse = Image.fromarray(draw.integers(0, 256, (6, 6, 3), dtype=np.uint8))
        pictures.append(np.array(coarse.resize((size + i, size))))
    return Photographs.from_images(pictures)


def tiny_recognizer(frozen: bool = True, dropout: float = 0.2) -> Model:
    """Two small stages and a small back-end, for 24 px and two classes."""
    stages = [
        {"channels": 6, "kernel": 5, "stride": 2, "pool": "none"},
        {"channels": 8, "kernel": 3, "pool": "none"},
    ]
    front = load("lcl_v2@random", options={"stages": stages})
    back = {"channels": (6, 6, 6), "hidden": 10, "grid": 2, "pool": False, "dropout": dropout}
    return recognition_model(front, ["dark", "light"], frozen=frozen, image_size=24, back=back)


def tiny_labeled(n: int = 30) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Noise around two grays: images, which is light, and content hashes."""
    draw = np.random.default_rng(0)
    labels = np.arange(n) % 2
    center = np.where(labels, 175, 80)[:, None, None, None]
    images = (center + draw.normal(0, 30, (n, 24, 24, 3))).clip(0, 255).astype(np.uint8)
    return images, labels, [f"hash-{i}" for i in range(n)]
