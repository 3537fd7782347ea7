"""Preprocessing equals the formula, in the network's channel order."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from striate.core.errors import InputError
from striate.models import Preprocessing

WAYS = [
    Preprocessing(),
    Preprocessing(scale=1.0, mean=(127.0, 127.0, 127.0), std=(128.0, 128.0, 128.0)),
    Preprocessing(channels="bgr", scale=1.0, mean=(103.94, 116.78, 123.68), std=(1.0, 1.0, 1.0)),
    Preprocessing(channels="bgr", scale=255.0, mean=(0.1, 0.2, 0.3), std=(0.5, 0.25, 2.0)),
]


@pytest.mark.parametrize("way", WAYS)
def test_equals_the_formula(way: Preprocessing, rng: np.random.Generator) -> None:
    images = rng.integers(0, 256, (2, 5, 7, 3), dtype=np.uint8)
    ours = way(torch.from_numpy(images))
    x = images.astype(np.float64)
    if way.channels == "bgr":
        x = x[..., ::-1]
    expected = ((x / way.scale - np.array(way.mean)) / np.array(way.std)).transpose(0, 3, 1, 2)
    assert ours.dtype == torch.float32
    assert ours.is_contiguous(memory_format=torch.channels_last)
    np.testing.assert_allclose(ours.numpy(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "images",
    [
        torch.zeros(2, 4, 4, 3),
        torch.zeros(4, 4, 3, dtype=torch.uint8),
        torch.zeros(2, 3, 4, 4, dtype=torch.uint8),
        torch.zeros(2, 4, 4, 3, dtype=torch.int64),
    ],
)
def test_refuses_what_is_not_uint8_images(images: torch.Tensor) -> None:
    with pytest.raises(InputError, match=r"must be uint8 of shape \(B, H, W, 3\), found"):
        Preprocessing()(images)


def test_survives_json() -> None:
    way = WAYS[2]
    values = way.to_dict()
    assert values["mean"] == [103.94, 116.78, 123.68]
    assert Preprocessing.from_dict(values) == way


@pytest.mark.parametrize(
    ("field", "value"),
    [("channels", "gbr"), ("resize", "stretch"), ("size", 0), ("scale", 0.0), ("std", (1, 0, 1))],
)
def test_refuses_settings_without_meaning(field: str, value: object) -> None:
    with pytest.raises(InputError, match=f"{field}|positive"):
        Preprocessing.from_dict({**Preprocessing().to_dict(), field: value})
