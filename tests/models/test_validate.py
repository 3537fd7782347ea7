"""Models that can be scored are told apart from those that cannot."""

from __future__ import annotations

import pandas as pd
import pytest
import torch
from torch import nn

from striate.core.errors import InputError
from striate.models import Model, Preprocessing, validate


class Odd(nn.Module):
    """A convolution, and one thing that is wrong with it."""

    def __init__(self, fault: str) -> None:
        super().__init__()
        self.fault = fault
        self.conv = nn.Conv2d(3, 4, 3)
        self.end = nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv(x)
        if self.fault == "batch":
            y = y - y.mean(dim=0, keepdim=True)
        if self.fault == "nan":
            y = y / 0
        if self.fault == "draws":
            y = y + torch.rand_like(y)
        return self.end(y)


def test_what_a_model_gives(small: Model) -> None:
    table = validate(small)
    assert list(table["tap"]) == list(small.taps)
    assert list(table["shape"]) == [small.tap_shapes([tap])[tap] for tap in small.taps]
    assert table["positive"].tolist() == [True, False]  # after a ReLU, and a convolution
    assert table["receptive_field"].notna().all()
    assert isinstance(table, pd.DataFrame) and not small.training


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("batch", "tap end gives an image other values among 3 images than alone"),
        ("nan", "tap end gives values that are not finite"),
        ("draws", "another output for the same images from call to call"),
    ],
)
def test_models_that_cannot_be_scored(fault: str, message: str) -> None:
    model = Model("odd", Odd(fault), Preprocessing(size=16), ["end"]).eval()
    with pytest.raises(InputError, match=message):
        validate(model)
    assert len(validate(Model("fine", Odd(""), Preprocessing(size=16), ["end"]))) == 1
