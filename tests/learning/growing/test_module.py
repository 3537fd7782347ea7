"""Stages learn alone: no gradient crosses, and several processes compute what one does."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from striate.core.errors import InputError
from striate.learning.common.batchnorm import GlobalBatchNorm, share_statistics
from striate.learning.growing.module import Layerwise
from tests.learning.growing.layerwise_worker import CASES, gradients, tiny_learner, tiny_views
from tests.learning.torchrun import two_process_results

two_processes = two_process_results("growing.layerwise_worker")


@pytest.mark.parametrize("case", CASES)
def test_two_processes_compute_what_one_does(two_processes: Path, case: str) -> None:
    alone = gradients(**CASES[case])
    shared = torch.load(two_processes / f"{case}.pt", weights_only=True)
    assert alone.keys() == shared.keys()
    for name, expected in alone.items():
        # the loss of one process is that of the joint batch on every process
        torch.testing.assert_close(shared[name], expected, rtol=1e-9, atol=1e-11, msg=name)
    assert max(v.abs().max() for n, v in alone.items() if "stages.1.0" in n) > 1e-4


def losses(learner: Layerwise, views: dict) -> dict[int, torch.Tensor]:
    return {k: o.correlation.loss for k, o in learner(views).items()}


@pytest.mark.parametrize("k", [0, 1])
def test_the_loss_of_a_stage_has_no_gradient_elsewhere(k: int) -> None:
    learner = tiny_learner().train()
    losses(learner, tiny_views())[k].backward()
    with_gradient = {n.split(".")[1] for n, p in learner.named_parameters() if p.grad is not None}
    assert with_gradient == {str(k)}
    assert all(p.grad.abs().max() > 0 for p in learner.stages[k][0].parameters() if p.ndim > 1)


def test_end_to_end_reaches_every_stage() -> None:
    learner = tiny_learner(credit="end_to_end").train()
    losses(learner, {1: tiny_views()[1]})[1].backward()
    assert all(s[0].weight.grad.abs().max() > 0 for s in learner.stages)


def test_views_of_a_later_stage_leave_an_earlier_one_as_it_is() -> None:
    learner = tiny_learner().train()
    before = {n: b.clone() for n, b in learner.stages[0].named_buffers()}
    learner({1: tiny_views()[1]})
    assert all(torch.equal(b, before[n]) for n, b in learner.stages[0].named_buffers())
    assert all(m.training for m in learner.modules())
    learner({0: tiny_views()[0]})
    assert not torch.equal(learner.stages[0][1].running_mean, before["1.running_mean"])


def test_position() -> None:
    x, stage = torch.randn(4, 3, 9, 9), nn.Conv2d(3, 5, 3)
    center, mean = (
        Layerwise([stage], [5], [slice(2, 5)], projector=None, position=p).features(0, x)
        for p in ("center", "mean")
    )
    torch.testing.assert_close(center, stage(x)[:, :, 3, 3])
    torch.testing.assert_close(mean, stage(x)[:, :, 2:5, 2:5].mean((2, 3)))


def test_numbers_of_stages_must_agree() -> None:
    with pytest.raises(InputError, match="1 stages, 2 numbers of channels and 1 ranges"):
        Layerwise([nn.Conv2d(3, 5, 3)], [5, 6], [slice(0, 1)])


def test_batch_norm_equals_that_of_torch() -> None:
    x = 3 * torch.randn(7, 4, 5, 2, dtype=torch.float64) + 2
    ours, theirs = (nn.BatchNorm2d(4).double() for _ in range(2))
    share_statistics(ours)
    assert isinstance(ours, GlobalBatchNorm)
    with torch.no_grad():
        for norm in (ours, theirs):
            norm.weight.copy_(torch.arange(4) + 0.5)
            norm.bias.copy_(torch.arange(4) - 1.0)
    for _ in range(3):
        torch.testing.assert_close(ours(x), theirs(x))
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    for key, value in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[key], value)
    torch.testing.assert_close(ours.eval()(x), theirs.eval()(x))
