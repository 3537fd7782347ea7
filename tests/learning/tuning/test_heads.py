"""Widths and wiring of the heads."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from striate.core.errors import InputError
from striate.learning import TuneConfig
from striate.learning.tuning.heads import ContrastiveHeads, RegressionHeads, build_heads, widths


@pytest.mark.parametrize(
    ("units", "config", "expected"),
    [
        ([1000], TuneConfig(), (800, 200)),
        ([11], TuneConfig(), (8, 2)),
        ([7], TuneConfig(), (5, 2)),  # int(1.4) = 1 is below the least
        ([1], TuneConfig(), (2, 2)),
        ([1000], TuneConfig(h=64, z=16), (64, 16)),
        ([100, 301], TuneConfig(pooled_h="constant"), (301, 75)),
        ([100, 301], TuneConfig(pooled_h="mean"), (200, 50)),
        ([100, 301], TuneConfig(h=5741), (5741, 1435)),
        ([2, 3], TuneConfig(), (2, 2)),
    ],
)
def test_widths(units: list[int], config: TuneConfig, expected: tuple[int, int]) -> None:
    assert widths(units, config) == expected


def test_contrastive_wiring() -> None:
    """docs/papers/contrastive-tuning.md 2.1: biases, order of layers, order of modalities."""
    heads = build_heads(10, [20, 30], TuneConfig(h=8, z=4))
    assert isinstance(heads, ContrastiveHeads)
    assert heads.image.weight.shape == (8, 10)
    assert [b.weight.shape for b in heads.brain] == [(8, 20), (8, 30)]
    assert heads.image.bias is None
    assert all(b.bias is None for b in heads.brain)
    kinds = [type(m) for m in heads.shared]
    block = [nn.Linear, nn.BatchNorm1d, nn.ReLU]
    assert kinds == [*block, *block, nn.Linear]
    assert heads.shared[0].bias is not None
    assert heads.shared[-1].bias is None
    assert not heads.log_temperature.requires_grad
    assert heads.temperature.item() == pytest.approx(0.3)
    x, y = torch.randn(6, 10), torch.randn(6, 30) + 5
    with torch.no_grad():
        image, brain = heads(x, y, 1)
        norm, before = nn.BatchNorm1d(8), heads.shared[0]
        norm(before(heads.image(x)))
        norm(before(heads.brain[1](y)))
    assert image.shape == brain.shape == (6, 4)
    torch.testing.assert_close(heads.shared[1].running_mean, norm.running_mean)


def test_learned_temperature_that_reaches_its_bound_comes_back() -> None:
    heads = build_heads(4, [5], TuneConfig(learn_temperature=True, temperature=0.5))
    assert isinstance(heads, ContrastiveHeads)
    assert heads.log_temperature.requires_grad
    for far, edge in ((-50.0, 0.01), (50.0, 100.0)):
        with torch.no_grad():
            heads.log_temperature.fill_(far)
        heads.keep_temperature_in_range()
        assert heads.temperature.item() == pytest.approx(edge)
        (gradient,) = torch.autograd.grad(heads.temperature, heads.log_temperature)
        assert gradient.item() == pytest.approx(edge)  # d exp(x) / dx: not zero at the edge
        step = 1 if far < 0 else -1
        with torch.no_grad():
            heads.log_temperature.add_(step)
        heads.keep_temperature_in_range()
        assert heads.temperature.item() == pytest.approx(edge * math.exp(step), rel=1e-5)


@given(st.floats(0.01, 100))
def test_temperature_is_what_was_asked_for(temperature: float) -> None:
    heads = build_heads(4, [5], TuneConfig(temperature=temperature))
    assert isinstance(heads, ContrastiveHeads)
    heads.keep_temperature_in_range()
    assert heads.temperature.item() == pytest.approx(temperature, rel=1e-5)


@pytest.mark.parametrize("temperature", [1e-6, 0.0099, 100.5, 1e6, -1.0, 0.0, float("nan")])
def test_temperature_out_of_range_is_refused_with_the_range(temperature: float) -> None:
    with pytest.raises(InputError, match=r"temperature should be .*found"):
        TuneConfig.from_dict({"temperature": temperature})
    with pytest.raises(InputError, match=r"from 0\.01 to 100, found .*softmax"):
        ContrastiveHeads(4, [5], 4, 2, temperature=temperature)


def test_regression_readout_per_target() -> None:
    heads = build_heads(10, [20, 3], TuneConfig.regression())
    assert isinstance(heads, RegressionHeads)
    assert [r.bias.shape for r in heads.readout] == [(20,), (3,)]
    y = torch.randn(4, 3)
    predicted, observed = heads(torch.randn(4, 10), y, 1)
    assert predicted.shape == (4, 3)
    assert observed is y


def test_initialization_follows_the_seed_alone() -> None:
    before = torch.random.get_rng_state()
    a, b, c = (build_heads(4, [6], TuneConfig(seed=s)) for s in (0, 0, 1))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))
    assert not torch.equal(a.image.weight, c.image.weight)
