"""Receptive fields: followed and probed alike, on our networks, random ones and awkward ones."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from striate.core.errors import InputError
from striate.models import (
    Field,
    list_models,
    load,
    matched_taps,
    probe_receptive_field,
    receptive_field,
)

# torch's note that even kernels with `same` padding need a padded copy
pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same'")


def facts(field: Field) -> tuple[tuple[int, int], ...]:
    return field.shape, field.jumps, field.start


IDS = [r["id"] for r in list_models() if r["id"].endswith("@random") or r["parameters"] == 0]


@pytest.mark.parametrize("id", IDS)
def test_followed_and_probed_fields_agree_on_every_registered_network(id: str) -> None:
    model = load(id)
    fingerprint = model.fingerprint()
    taps = [tap for tap in model.taps if len(model.tap_shapes([tap])[tap]) == 3]
    assert taps
    for tap in taps:
        assert facts(probe_receptive_field(model, tap)) == facts(receptive_field(model, tap)), tap
    assert model.fingerprint() == fingerprint
    assert not model.training
    assert all(not m._forward_hooks and not m._forward_pre_hooks for m in model.modules())


# docs/papers/lcl-v2.md 1.1, from the textbook recursion
ALEXNET = {0: (11, 4), 2: (19, 8), 3: (51, 8), 5: (67, 16), 6: (99, 16)}


@pytest.mark.parametrize("layer", ALEXNET)
def test_alexnet_has_the_published_fields(layer: int) -> None:
    field = receptive_field(load("alexnet@random"), f"features.{layer}")
    assert (field.size, field.jump) == ALEXNET[layer]
    assert field.degrees(28) == field.size / 28


@pytest.mark.parametrize(
    ("stage", "size", "jump", "patch"), [("stage1", 19, 8, 41), ("stage2", 67, 16, 113)]
)
def test_lcl_fields_and_patches(stage: str, size: int, jump: int, patch: int) -> None:
    field = receptive_field(load("lcl_v2@random"), stage)
    assert (field.size, field.jump, field.patch(3)) == (size, jump, patch)
    # padding shifts position 0 outwards, so the smallest patch is not size + 2 * jump
    assert field.patch(1) == patch - 2 * jump
    assert field.clean(patch) == slice(*{"stage1": (1, 4), "stage2": (2, 5)}[stage])
    assert field.clean(patch - 1).stop - field.clean(patch - 1).start == 2


def test_the_middle_of_an_unpadded_field() -> None:
    field = receptive_field(nn.Conv2d(1, 1, (3, 5), (1, 2)), "", 20, channels=1)
    assert (field.shape, field.jumps, field.start) == ((3, 5), (1, 2), (0, 0))
    assert (field.size, field.jump, field.center) == (5, 2, (1.0, 2.0))


# --- random networks ---------------------------------------------------------------------------

number = st.integers
kernels = st.tuples(number(1, 5), number(1, 5))


@st.composite
def layers(draw: st.DrawFn, mean_only: bool = False) -> nn.Module:
    kind = draw(st.sampled_from(["conv", "depthwise", "mean", "bn"] + ["max"] * (not mean_only)))
    kernel, stride = draw(kernels), draw(st.tuples(number(1, 3), number(1, 3)))
    if kind == "bn":
        return nn.Sequential(nn.BatchNorm2d(2), nn.ReLU(inplace=True))
    if kind in ("conv", "depthwise"):
        padding, dilation = draw(st.tuples(number(0, 3), number(0, 3))), draw(number(1, 2))
        mode = draw(st.sampled_from(["zeros", "replicate"]))
        groups = 1 if kind == "conv" else 2
        return nn.Conv2d(2, 2, kernel, stride, padding, dilation, groups=groups, padding_mode=mode)
    padding = tuple(draw(number(0, k // 2)) for k in kernel)
    ceil = draw(st.booleans())
    if kind == "mean":
        return nn.AvgPool2d(kernel, stride, padding, ceil)
    return nn.MaxPool2d(kernel, stride, padding, draw(number(1, 2)), ceil_mode=ceil)


class Branches(nn.Module):
    """Paths of different width, added or put side by side; they keep the size of the map."""

    def __init__(self, sizes: list[tuple[int, int]], adds: bool) -> None:
        super().__init__()
        self.paths = nn.ModuleList(
            nn.Conv2d(2, 2, k, padding="same", dilation=d, padding_mode="zeros") for k, d in sizes
        )
        self.mix = nn.Conv2d(2 * len(sizes), 2, 1)
        self.adds = adds

    def forward(self, x: Tensor) -> Tensor:
        outs = [F.relu(path(x)) for path in self.paths]
        return x + sum(outs) if self.adds else self.mix(torch.cat(outs, 1))


@st.composite
def networks(draw: st.DrawFn, mean_only: bool = False) -> nn.Sequential:
    branches = st.builds(
        Branches,
        st.lists(st.tuples(number(1, 4), number(1, 2)), min_size=1, max_size=3),
        st.booleans(),
    )
    parts = st.one_of(layers(mean_only), layers(mean_only), branches)
    return nn.Sequential(*draw(st.lists(parts, min_size=1, max_size=4)))


@settings(max_examples=60, deadline=None)
@given(networks())
def test_followed_and_probed_fields_agree_on_random_networks(network: nn.Sequential) -> None:
    field = receptive_field(network, "", 512, channels=2)
    assume(field.size <= 200)
    assert facts(probe_receptive_field(network, "", channels=2)) == facts(field)


@settings(max_examples=60, deadline=None)
@given(networks(mean_only=True), number(20, 70))
def test_clean_positions_are_those_that_more_image_around_does_not_change(
    network: nn.Sequential, side: int
) -> None:
    try:
        field = receptive_field(network, "", side, channels=2)
    except InputError:
        assume(False)
    rows, columns = field.jumps
    assume(field.size <= 60)
    margin = -(-(field.size + field.jump) // (rows * columns)) * rows * columns  # whole jumps
    generator = torch.Generator().manual_seed(0)
    large_image = 1 + torch.rand(
        1, 2, side + 2 * margin, side + 2 * margin, generator=generator, dtype=torch.float64
    )
    network = network.double().eval()
    for p in network.parameters():
        nn.init.uniform_(p, 0.1, 1.0)
    with torch.no_grad():
        small_map = network(large_image[..., margin : margin + side, margin : margin + side])
        large_map = network(large_image)
    height, width = small_map.shape[-2:]
    large_map = large_map[..., margin // rows :, margin // columns :][..., :height, :width]
    same = torch.isclose(small_map, large_map, rtol=1e-9).all(1)[0]
    clean = torch.zeros_like(same)
    span = field.clean(side)
    clean[span, span] = True
    if rows == columns and field.shape[0] == field.shape[1] and field.start[0] == field.start[1]:
        assert torch.equal(same, clean)
    else:  # one range for both sides is the narrower of two
        assert not (clean & ~same).any()


@settings(max_examples=15, deadline=None)
@given(networks(), number(1, 4))
@example(nn.Sequential(nn.Conv2d(2, 2, 1, padding=(3, 0))), 1)  # rows and columns apart
def test_patch_is_the_smallest_that_has_the_positions(network: nn.Sequential, n: int) -> None:
    field = receptive_field(network, "", 512, channels=2)
    assume(field.size <= 100)

    def enough(side: int) -> bool:
        try:
            clean = field.clean(side)
        except InputError:
            return False
        return clean.stop - clean.start >= n

    side = field.patch(n)
    assert [s for s in range(1, side + 1) if enough(s)] == [side]


def test_same_padding_is_followed_at_the_size_asked_for() -> None:
    model = load("efficientnet_lite0@random")
    starts = set()
    for size in (224, 225, 227):
        field = receptive_field(model, "_blocks.2", size)
        assert facts(probe_receptive_field(model, "_blocks.2", size)) == facts(field)
        starts.add(field.start)
    assert len(starts) > 1


# --- functional code ---------------------------------------------------------------------------


class Code(nn.Module):
    """A network whose middle is one function."""

    def __init__(self, middle: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.LayerNorm(4)
        self.table = nn.Parameter(torch.ones(1, 4, 1, 1))
        self.out = nn.Conv2d(4, 4, 3)
        self.middle = middle

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return self.out(self.middle(self, x))


def shuffled(net: Code, x: Tensor) -> Tensor:
    return x.unflatten(1, (2, 2)).transpose(1, 2).flatten(1, 2)


def normed_last(net: Code, x: Tensor) -> Tensor:
    return net.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def split_and_stacked(net: Code, x: Tensor) -> Tensor:
    first, second = x.chunk(2, 1)
    return torch.stack([first * 2, second.abs()], 2).flatten(1, 2)


def picked(net: Code, x: Tensor) -> Tensor:
    return torch.stack([x[:, 0], x[:, 1], x.mean(1), x.amax(1)], 1) * net.table


def cropped(net: Code, x: Tensor) -> Tensor:
    return x[:, :, 2:-1, 2:-1]


def padded(net: Code, x: Tensor) -> Tensor:
    return F.silu(F.pad(x, (2, 1, 2, 1), mode="reflect")).clamp(-1, 1)


def in_place(net: Code, x: Tensor) -> Tensor:
    return F.relu_(x.add_(1)).mul_(2)


@pytest.mark.parametrize(
    ("middle", "start"),
    [
        (shuffled, 0),
        (normed_last, 0),
        (split_and_stacked, 0),
        (picked, 0),
        (cropped, 2),
        (padded, -2),
        (in_place, 0),
    ],
)
def test_functions_are_followed_as_modules_are(middle: Callable, start: int) -> None:
    field = receptive_field(Code(middle), "out", 40)
    assert facts(field) == ((5, 5), (1, 1), (start, start))


def gated(net: Code, x: Tensor) -> Tensor:
    return x * x.mean((2, 3), keepdim=True).sigmoid()


def attending(net: Code, x: Tensor) -> Tensor:
    tokens = x.flatten(2).transpose(1, 2)
    out = F.scaled_dot_product_attention(tokens, tokens, tokens)
    return out.transpose(1, 2).unflatten(2, x.shape[2:])


def enlarged(net: Code, x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2)


def wrapped(net: Code, x: Tensor) -> Tensor:
    return F.pad(x, (1, 1, 1, 1), mode="circular")


def own_kernel(net: Code, x: Tensor) -> Tensor:
    return F.conv2d(x, x[:, :, :3, :3].repeat(4, 1, 1, 1))


def own_statistics(net: Code, x: Tensor) -> Tensor:
    return F.instance_norm(x)


@pytest.mark.parametrize(
    "middle", [gated, attending, enlarged, wrapped, own_kernel, own_statistics]
)
def test_what_mixes_positions_is_refused_and_named(middle: Callable) -> None:
    with pytest.raises(InputError, match=r"tap 'out' has no receptive field.* in Code lets"):
        receptive_field(Code(middle), "out", 40)
    assert receptive_field(Code(middle), "conv", 40).size == 3  # in front of it all is well


def test_global_pooling_names_the_module_that_pools() -> None:
    with pytest.raises(InputError, match=r"'classifier\.3' \(AdaptiveAvgPool2d\)"):
        receptive_field(load("squeezenet1_1@random"), "classifier.3")
    with pytest.raises(InputError, match="does not end within"):
        probe_receptive_field(load("squeezenet1_1@random"), "classifier.3", 128)


def asks(net: Code, x: Tensor) -> Tensor:
    return x if x.sum() > 0 else -x


def test_networks_that_look_at_values_can_be_probed_only() -> None:
    with pytest.raises(InputError, match=r"values of an image.*probe_receptive_field"):
        receptive_field(Code(asks), "out", 40)
    assert probe_receptive_field(Code(asks), "out").size == 5


def test_what_cannot_be_answered() -> None:
    net = nn.Sequential(nn.Conv2d(3, 2, 5, stride=4), nn.Conv2d(2, 2, 5))
    with pytest.raises(InputError, match="give input_size"):
        receptive_field(net, "1")
    with pytest.raises(InputError, match="unknown tap '2'"):
        receptive_field(net, "2", 40)
    with pytest.raises(InputError, match=r"16 x 16 pixels and 3 channels.*larger input_size"):
        receptive_field(net, "1", 16)
    for size in (0, -5, 10.5):
        with pytest.raises(InputError, match=f"input_size must be a whole number.*found {size}"):
            receptive_field(net, "1", size)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="channels must be a whole number"):
        receptive_field(net, "1", 40, channels=0)
    with pytest.raises(InputError, match=r"torch\.nn\.Module, found str.*models\.load"):
        receptive_field("lcl_v2", "stage1")  # type: ignore[arg-type]
    field = receptive_field(net, "1", 40)
    with pytest.raises(InputError, match=r"-3 x -3 pixels and 3 channels: expected at least 1"):
        field.clean(-3)
    with pytest.raises(InputError, match="unknown tap 'None'"):
        receptive_field(net, None, 40)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="or give the channels that the network takes"):
        receptive_field(nn.Conv2d(1, 2, 3), "", 40)
    with pytest.raises(InputError, match="positions must be at least 1"):
        field.patch(0)
    with pytest.raises(InputError, match="pixels_per_degree must be positive"):
        field.degrees(0)
    constant = Code(lambda net, x: torch.zeros_like(x))
    with pytest.raises(InputError, match="does not depend on the image"):
        receptive_field(constant, "out", 40)


def test_nothing_clean_is_an_empty_slice() -> None:
    field = receptive_field(nn.Conv2d(3, 1, 9, padding=4), "", 20)
    assert field.clean(8) == slice(0, 0)
    assert field.clean(9) == slice(4, 5)


def test_matched_taps() -> None:
    assert matched_taps(load("squeezenet1_1@random", image_size=112), [19, 67]) == [
        "features.4",
        "features.7",
    ]
    with pytest.raises(InputError, match="no tap has a receptive field"):
        matched_taps(load("lcl_v2@random", image_size=64), [19], taps=["stage9"])
