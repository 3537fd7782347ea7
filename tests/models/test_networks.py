"""The networks against independent implementations, and on photographs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from striate.data import StimulusSet
from striate.models import Model, load
from striate.models.networks.efficientnet_lite import SameConv2d

State = dict[str, Tensor]
DATA = Path("data") / "imagenet_sample_1000"


def alexnet(s: State, x: Tensor) -> Tensor:
    """Krizhevsky 2014 with torchvision's names, by functions alone."""
    layers = {"0": (4, 2, True), "3": (1, 2, True), "6": (1, 1, False), "8": (1, 1, False)}
    layers["10"] = (1, 1, True)
    for i, (stride, padding, pool) in layers.items():
        weight, bias = s[f"features.{i}.weight"], s[f"features.{i}.bias"]
        x = F.relu(F.conv2d(x, weight, bias, stride, padding))
        x = F.max_pool2d(x, 3, 2) if pool else x
    x = F.adaptive_avg_pool2d(x, 6).flatten(1)
    for i in (1, 4, 6):
        x = F.linear(x, s[f"classifier.{i}.weight"], s[f"classifier.{i}.bias"])
        x = F.relu(x) if i < 6 else x
    return x


def squeezenet(s: State, x: Tensor) -> Tensor:
    """SqueezeNet 1.1 with torchvision's names, by functions alone."""

    def conv(name: str, x: Tensor, **how: int) -> Tensor:
        return F.relu(F.conv2d(x, s[f"{name}.weight"], s[f"{name}.bias"], **how))

    x = conv("features.0", x, stride=2)
    for i in range(2, 13):
        if i in (2, 5, 8):
            x = F.max_pool2d(x, 3, 2, ceil_mode=True)
            continue
        x = conv(f"features.{i}.squeeze", x)
        parts = [conv(f"features.{i}.expand{k}x{k}", x, padding=k // 2) for k in (1, 3)]
        x = torch.cat(parts, 1)
    return conv("classifier.1", x).mean((2, 3))


def efficientnet(s: State, x: Tensor) -> Tensor:
    """EfficientNet-Lite0 by functions; strides are those of the paper's table."""

    def conv(name: str, norm: str, x: Tensor, stride: int = 1, depthwise: bool = False) -> Tensor:
        w = s[f"{name}.weight"]
        total = [max((-(-n // stride) - 1) * stride + w.shape[-1] - n, 0) for n in x.shape[2:]]
        x = F.pad(x, (total[1] // 2, -(-total[1] // 2), total[0] // 2, -(-total[0] // 2)))
        x = F.conv2d(x, w, stride=stride, groups=x.shape[1] if depthwise else 1)
        mean, var = s[f"{norm}.running_mean"], s[f"{norm}.running_var"]
        scale = s[f"{norm}.weight"] / (var + 1e-3).sqrt()
        shift = s[f"{norm}.bias"] - mean * scale
        return x * scale.view(-1, 1, 1) + shift.view(-1, 1, 1)

    x = conv("_conv_stem", "_bn0", x, stride=2).clamp(0, 6)
    for i in range(16):
        b, y = f"_blocks.{i}.", x
        if i > 0:
            y = conv(b + "_expand_conv", b + "_bn0", y).clamp(0, 6)
        stride = 2 if i in (1, 3, 5, 11) else 1
        y = conv(b + "_depthwise_conv", b + "_bn1", y, stride, depthwise=True).clamp(0, 6)
        y = conv(b + "_project_conv", b + "_bn2", y)
        x = x + y if x.shape == y.shape else y
    x = conv("_conv_head", "_bn1", x).clamp(0, 6).mean((2, 3))
    return F.linear(x, s["_fc.weight"], s["_fc.bias"])


@pytest.mark.parametrize("size", [224, 127])
@pytest.mark.parametrize(
    ("id", "reference"),
    [
        ("alexnet@random", alexnet),
        ("squeezenet1_1@random", squeezenet),
        ("efficientnet_lite0", efficientnet),
    ],
)
def test_forward_equals_an_independent_implementation(id: str, reference, size: int) -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (2, size, size, 3), dtype=torch.uint8, generator=generator)
    model = load(id, image_size=size)
    with torch.no_grad():
        ours = model(images)
        theirs = reference(model.network.state_dict(), model.preprocessing(images))
    assert ours.shape == (2, 1000)
    assert ours.std() > 0
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4 * float(theirs.std()))


@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [7, 8])
def test_same_padding_gives_ceil_of_size_over_stride(kernel: int, stride: int, size: int) -> None:
    out = SameConv2d(3, 3, kernel, stride)(torch.zeros(1, 3, size, size + 1))
    assert out.shape[2:] == (-(-size // stride), -(-(size + 1) // stride))


def accuracy(model: Model, folder: Path, every: int) -> float:
    """Share of right first answers; an image's class is its place in the sorted folder."""
    stimuli = StimulusSet.from_folder(folder)
    chosen = np.arange(0, len(stimuli), every)
    size = model.preprocessing.size
    images = stimuli.subset(chosen).decoded(size, model.preprocessing.resize)
    with torch.inference_mode():
        parts = [model(torch.tensor(images[i : i + 25])) for i in range(0, len(images), 25)]
    return float((torch.cat(parts).argmax(1).numpy() == chosen).mean())


@pytest.mark.slow
def test_packaged_efficientnet_recognizes_photographs(shared_data: Path) -> None:
    torch.set_num_threads(2)
    share_right = accuracy(load("efficientnet_lite0"), shared_data / DATA, every=10)
    assert share_right > 0.8  # 0.872 of 250 images; a wrong padding, epsilon or scale costs more


@pytest.mark.slow
def test_shared_squeezenet_recognizes_photographs_in_bgr_only(shared_data: Path) -> None:
    torch.set_num_threads(2)
    weights = shared_data / "weights" / "squeezenet1_1.safetensors"
    model = load("squeezenet1_1", weights=weights)
    bgr = accuracy(model, shared_data / DATA, every=10)
    assert bgr > 0.52  # 0.613 of all 1000
    mean = model.preprocessing.mean[::-1]
    model.preprocessing = replace(model.preprocessing, channels="rgb", mean=mean)
    assert accuracy(model, shared_data / DATA, every=10) < bgr - 0.05
