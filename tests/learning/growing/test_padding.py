"""Padding is gone inside the context, also from receptive fields, and comes back."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from striate.learning.growing.padding import without_padding
from striate.models import load, receptive_field


@pytest.mark.parametrize("mode", ["zeros", "reflect"])
def test_layers_do_not_pad_inside_and_do_after(mode: str) -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=2, padding_mode=mode),
        nn.MaxPool2d(3, 2, padding=1),
        nn.Conv2d(4, 4, 3, padding="same", padding_mode=mode),
        nn.AvgPool2d(3, 1, padding=1),
    )
    described, x = str(network), torch.randn(2, 3, 21, 21)
    padded = network(x)
    with without_padding(network):
        inside = network(x)
    assert inside.shape[-1] == ((21 - 2 - 3) // 2 + 1) - 2 - 2
    assert str(network) == described
    torch.testing.assert_close(network(x), padded)


def test_padding_comes_back_after_an_error() -> None:
    network = nn.Conv2d(3, 4, 3, padding=2)
    with pytest.raises(ZeroDivisionError), without_padding(network):
        _ = 1 / 0
    assert network.padding == (2, 2)


def test_patches_are_no_larger_than_what_is_seen() -> None:
    model = load("lcl_v2@random")
    before = model.fingerprint()
    with without_padding(model.network):
        fields = [receptive_field(model, tap) for tap in model.taps]
        assert [f.size for f in fields] == [19, 67]
        assert [f.patch(3) for f in fields] == [35, 99]
        assert [f.clean(f.patch(3)) for f in fields] == [slice(0, 3)] * 2
    assert model.fingerprint() == before
