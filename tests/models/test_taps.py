"""Taps: typos, early exit, in-place layers, eval mode, gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from striate.core.errors import InputError
from striate.models import Model, Preprocessing, evaluating, load, resolve_tap
from striate.models.taps import visit_taps

SMALL_TAPS = ("conv1", "bn", "act", "conv2", "drop", "head")


def by_hand(model: Model, images: Tensor) -> dict[str, Tensor]:
    """Every tap's first output, computed without hooks and without in-place operations."""
    net = model.network
    out = {"conv1": net.conv1(model.preprocessing(images))}
    out["bn"] = net.bn(out["conv1"])
    out["act"] = out["bn"].clamp(min=0)
    out["conv2"] = net.conv2(out["act"])
    out["drop"] = out["conv2"].clamp(min=0)
    out["head"] = net.head(out["drop"].mean(dim=(2, 3)))
    return out


@pytest.mark.parametrize("taps", [SMALL_TAPS, SMALL_TAPS[::-1], ("conv2",), ("bn", "act")])
def test_taps_equal_the_pass_by_hand(small: Model, batch: Tensor, taps: tuple[str, ...]) -> None:
    expected = by_hand(small, batch)
    outputs = small.activations(batch, taps)
    assert list(outputs) == list(taps)
    for name in taps:
        torch.testing.assert_close(outputs[name], expected[name])


def test_in_place_layer_does_not_alter_the_tap_before_it(small: Model, batch: Tensor) -> None:
    both = small.activations(batch, ["bn", "act"])
    assert both["bn"].min() < 0  # the ReLU behind it writes over its input
    torch.testing.assert_close(both["act"], both["bn"].clamp(min=0))


def test_module_that_runs_twice_gives_its_first_output_whatever_else_is_asked(
    small: Model, batch: Tensor
) -> None:
    alone = small.activations(batch, ["act"])["act"]
    deeper = small.activations(batch, ["act", "head"])["act"]
    assert alone.shape == (3, 4, 16, 16)
    torch.testing.assert_close(deeper, alone, rtol=0, atol=0)


def test_early_exit_runs_no_later_module(small: Model, batch: Tensor) -> None:
    ran: list[str] = []
    for name, module in small.network.named_children():
        module.register_forward_pre_hook(lambda *_, name=name: ran.append(name))
    small.activations(batch, ["act", "bn"])
    assert ran == ["conv1", "bn", "act"]
    assert small.network.runs == []
    small.activations(batch, ["drop"])
    assert small.network.runs == ["first"]


def test_a_visit_sees_the_network_order_and_needs_no_copy(small: Model, batch: Tensor) -> None:
    seen: list[tuple[str, float]] = []
    x = small.preprocessing(batch)
    visit_taps(small.network, x, ("act", "bn"), lambda n, y: seen.append((n, y.min().item())))
    assert [name for name, _ in seen] == ["bn", "act"]
    assert seen[0][1] < 0 == seen[1][1]


def test_hooks_are_gone_after_success_and_failure(small: Model, batch: Tensor) -> None:
    small.activations(batch, ["act"])
    with pytest.raises(InputError):
        small.activations(batch, ["act", "nowhere"])
    assert not any(m._forward_hooks for m in small.network.modules())


def test_typo_is_answered_with_the_nearest_paths() -> None:
    model = load("squeezenet1_1@random")
    with pytest.raises(InputError, match=r"unknown tap 'feature\.10'.*Did you mean features\.10"):
        model.activations(torch.zeros(1, 64, 64, 3, dtype=torch.uint8), ["feature.10"])
    with pytest.raises(InputError, match="unknown tap ''"):
        resolve_tap(model.network, "")
    with pytest.raises(InputError, match="unknown tap 'nothing'"):
        Model("x", nn.ReLU(), Preprocessing(), ["nothing"])


class Odd(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.used = nn.Conv2d(3, 2, 1)
        self.unused = nn.Conv2d(3, 2, 1)
        self.pair = nn.MaxPool2d(2, return_indices=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.pair(self.used(x))[0]


def test_tap_that_is_not_reached_or_no_tensor() -> None:
    model = Model("odd", Odd(), Preprocessing(size=8), ())
    images = torch.zeros(1, 8, 8, 3, dtype=torch.uint8)
    with pytest.raises(InputError, match="never reaches tap 'unused'"):
        model.activations(images, ["used", "unused"])
    with pytest.raises(InputError, match="tap 'pair' gives tuple, not a tensor"):
        model.activations(images, ["pair"])


def test_gradients_flow_through_taps_to_earlier_layers_only(small: Model, batch: Tensor) -> None:
    sum(out.sum() for out in small.activations(batch, ["bn", "conv2"]).values()).backward()
    assert small.network.conv1.weight.grad.abs().sum() > 0
    assert small.network.conv2.weight.grad.abs().sum() > 0
    assert small.network.head.weight.grad is None


def test_evaluating_stops_dropout_and_batch_norm_and_restores_each_mode(
    small: Model, batch: Tensor
) -> None:
    small.train()
    small.network.drop.eval()  # modes differ within the network
    before = {k: v.clone() for k, v in small.state_dict().items()}
    modes = [m.training for m in small.modules()]
    with evaluating(small):
        assert not any(m.training for m in small.modules())
        first = small.activations(batch, ["drop"])["drop"]
        second = small.activations(batch, ["drop"])["drop"]
    torch.testing.assert_close(first, second, rtol=0, atol=0)
    assert [m.training for m in small.modules()] == modes
    assert all(torch.equal(v, before[k]) for k, v in small.state_dict().items())
    with pytest.raises(ZeroDivisionError), evaluating(small):
        raise ZeroDivisionError
    assert [m.training for m in small.modules()] == modes
    small.activations(batch, ["bn"])  # in train mode, as set: batch norm does update
    assert not torch.equal(small.network.bn.running_mean, before["network.bn.running_mean"])


def test_tap_shapes_keep_the_mode_and_name_a_size_that_is_too_small(small: Model) -> None:
    small.train()
    assert small.tap_shapes() == {"act": (4, 16, 16), "conv2": (6, 7, 7)}
    assert small.tap_shapes(["head"]) == {"head": (5,)}
    assert small.training
    assert small.network.bn.num_batches_tracked == 0
    with pytest.raises(InputError, match=r"cannot take images of 8 x 8 pixels"):
        load("squeezenet1_1@random", image_size=8).tap_shapes()
