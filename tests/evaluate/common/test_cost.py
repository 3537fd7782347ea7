"""Predictions of time and memory: maps are counted once, and a model is left as it was."""

from __future__ import annotations

import torch
from torch import nn

from striate.core.compute import Compute
from striate.evaluate.common.cost import (
    FLOAT_BYTES,
    SPARE,
    TIMED_IMAGES,
    gray_images,
    measure_step,
    peak_memory,
    time_pass,
    training_bytes,
)
from striate.models import load


def test_maps_of_one_step_are_counted() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.Sequential(nn.Flatten()))
    images, steps = torch.zeros(2, 3, 5, 5), []

    def step() -> None:
        steps.append(network(images))

    cost = measure_step(network, step, torch.device("cpu"), repeats=2)
    assert cost.values == 3 * 2 * 4 * 5 * 5  # of each module without children, the first time
    assert len(steps) == 3 and cost.seconds > 0
    step()
    assert not network[0]._forward_hooks


def test_memory_is_that_of_the_maps_and_what_is_beside_them() -> None:
    assert peak_memory(1000, 3) == 3 * FLOAT_BYTES * 1000 + SPARE
    assert peak_memory(0.5, 2, other=10) == 14 + SPARE
    assert training_bytes(nn.Linear(3, 2)) == 4 * FLOAT_BYTES * 8


def test_a_timed_model_is_left_as_it_was() -> None:
    model = load("squeezenet1_1@random", image_size=64)
    before = model.fingerprint()
    seconds, saved = time_pass(model, ("features.2",), Compute("cpu"), backward=False)
    assert seconds > 0 and saved == 0
    _, saved = time_pass(model, ("features.2",), Compute("cpu"), backward=True)
    assert saved > 0
    assert model.fingerprint() == before and model.device == torch.device("cpu")
    assert all(p.grad is None for p in model.parameters())


def test_gray_images() -> None:
    gray = gray_images(TIMED_IMAGES, 6)
    assert gray.shape == (TIMED_IMAGES, 6, 6, 3) and gray.dtype == torch.uint8
    assert (gray == 128).all()
