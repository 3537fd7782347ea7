"""Small networks for the tests of models."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from striate.models import Model, Preprocessing


class Small(nn.Module):
    """Everything that can go wrong with taps in a few layers.

    `act` runs in place and twice, `bn` and `drop` behave otherwise in train mode, `runs` notes
    which parts ran.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3, padding=1)
        self.bn = nn.BatchNorm2d(4)
        self.act = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(4, 6, 3, stride=2)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(6, 5)
        self.runs: list[str] = []

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.bn(self.conv1(x)))
        self.runs.append("first")
        x = self.drop(self.act(self.conv2(x)))
        self.runs.append("second")
        return self.head(x.mean(dim=(2, 3)))


@pytest.fixture(autouse=True)
def _use_one_thread(one_thread: None) -> None:
    """All tests of this folder."""


@pytest.fixture
def small() -> Model:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = Small()
    return Model("small", network, Preprocessing(size=16), ("act", "conv2")).eval()


@pytest.fixture
def batch(rng: np.random.Generator) -> Tensor:
    return torch.from_numpy(rng.integers(0, 256, (3, 16, 16, 3), dtype=np.uint8))
