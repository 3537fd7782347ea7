"""The extra `zoo`: with stand-ins for the libraries, without them, and with the real ones."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from striate.core.errors import InputError
from striate.data.images.decode import resize_image
from striate.data.images.resizing import Resizing
from striate.models import Preprocessing, load, save, zoo


def blocks(count: int) -> nn.Module:
    layers = [nn.Conv2d(3 if i == 0 else 4, 4, 3) for i in range(count)]
    return nn.Sequential(nn.Sequential(*layers), nn.AdaptiveAvgPool2d(1), nn.Flatten())


TIMM_SAYS: dict[str, object] = {}
"""What a test lets timm say of the preparation besides."""


class Segmentation:
    """Of the shape of torchvision's transforms for other tasks than classification."""

    resize_size = (520,)
    mean = std = (0.5, 0.5, 0.5)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Puts small stand-ins in the place of both libraries; returns the weights they were asked."""
    asked: list[object] = []

    def build(name: str, pretrained: bool = False, weights: object = None) -> nn.Module:
        asked.append(pretrained or weights)
        return blocks(20 if name == "deepnet" else 3)

    timm, data, vision, models = (
        ModuleType(n) for n in ("timm", "timm.data", "torchvision", "torchvision.models")
    )
    timm.list_models = models.list_models = lambda: [
        "deepnet",
        "flatnet",
        "segmenter",
        "quantized_flatnet",
    ]
    timm.create_model = models.get_model = build
    half = (0.5, 0.5, 0.5)
    data.resolve_model_data_config = lambda network: {
        "input_size": (3, 32, 32),
        "interpolation": "bicubic",
        "mean": half,
        "std": half,
        "crop_pct": 0.9,
        "crop_mode": "center",
        **TIMM_SAYS,
    }
    transforms = SimpleNamespace(
        crop_size=[48],
        resize_size=[52],
        mean=[0.1, 0.2, 0.3],
        std=[0.5, 0.5, 0.5],
        interpolation=SimpleNamespace(value="bilinear"),
        antialias=True,
    )
    models.get_model_weights = lambda name: SimpleNamespace(
        DEFAULT=SimpleNamespace(
            transforms=lambda: {"segmenter": Segmentation()}.get(name, transforms)
        )
    )
    for module in (timm, data, vision, models):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    return asked


@pytest.mark.parametrize(
    ("kind", "way"),
    [
        ("timm", Preprocessing(32, "center 35:32 bicubic", mean=(0.5,) * 3, std=(0.5,) * 3)),
        (
            "torchvision",
            Preprocessing(48, "center 52:48 bilinear", mean=(0.1, 0.2, 0.3), std=(0.5,) * 3),
        ),
    ],
)
def test_each_library_gives_network_and_preprocessing(
    asked: list[object], kind: str, way: Preprocessing
) -> None:
    model = load(f"{kind}:flatnet")
    assert asked == [True if kind == "timm" else "DEFAULT"]
    assert model.preprocessing == way
    assert model.taps == ("0.0", "0.1", "0.2")
    assert model.provenance["source"] == f"{kind}:flatnet, published"
    assert not model.training
    deep = load(f"{kind}:deepnet")
    assert 6 <= len(deep.taps) <= 8
    assert deep.taps[-1] == "0.17" or deep.taps[-1] == "0.19"


@pytest.mark.parametrize("kind", ["timm", "torchvision"])
def test_random_and_local_weights(asked: list[object], kind: str, tmp_path: Path) -> None:
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    first, repeated, other_seed = (load(f"{kind}:flatnet@random", seed=s) for s in (1, 1, 2))
    assert torch.equal(torch.rand(1), expected)
    assert first.fingerprint() == repeated.fingerprint() != other_seed.fingerprint()
    assert first.provenance["seed"] == 1
    torch.save(other_seed.network.state_dict(), tmp_path / "w.pth")
    local = load(f"{kind}:flatnet", weights=tmp_path / "w.pth")
    assert local.fingerprint() == other_seed.fingerprint()
    assert local.provenance["source"] == "local file w.pth"
    assert not any(asked)  # nothing was downloaded
    assert load(save(first, tmp_path / "m")).fingerprint() == first.fingerprint()
    with pytest.raises(InputError, match="exclude each other"):
        load(f"{kind}:flatnet@random", weights=tmp_path / "w.pth")


def test_unknown_names(asked: list[object]) -> None:
    with pytest.raises(InputError, match=r"unknown timm model 'flatnett'\. Did you mean flatnet"):
        load("timm:flatnett")
    with pytest.raises(InputError, match="only 'random' is known"):
        load("timm:flatnet@best")


@pytest.mark.parametrize("kind", ["timm", "torchvision"])
def test_absent_library_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setitem(sys.modules, kind, None)  # importing it raises ModuleNotFoundError
    monkeypatch.setitem(sys.modules, f"{kind}.models", None)
    with pytest.raises(InputError, match=rf"{kind} .*not installed: pip install 'striate\[zoo\]'"):
        load(f"{kind}:resnet18")


def test_missing_requirement_of_the_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def lacking(name: str) -> ModuleType:
        raise ModuleNotFoundError("No module named 'torchvision'", name="torchvision")

    monkeypatch.setattr(zoo.importlib, "import_module", lacking)
    with pytest.raises(InputError, match="timm needs torchvision, which is not installed"):
        load("timm:resnet18")


def test_library_built_for_another_torch_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> ModuleType:
        raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.setattr(zoo.importlib, "import_module", broken)
    with pytest.raises(InputError, match=r"cannot be imported.*nms.*belongs to torch \d"):
        load("torchvision:resnet18")


def test_the_user_chooses_another_preparation(asked: list[object], tmp_path: Path) -> None:
    model = load("timm:flatnet", image_size=64)
    assert Resizing.read(model.preprocessing.resize).sides(64) == (70, 64)  # in proportion
    assert load("timm:flatnet", resize="squash").preprocessing.resize == "squash"
    with pytest.raises(InputError, match="resize mode 'zoom': expected"):
        load("timm:flatnet", resize="zoom")
    stated = {"striate_preprocessing": json.dumps(Preprocessing(64).to_dict())}
    save_file(blocks(3).state_dict(), tmp_path / "w.safetensors", stated)
    assert load("timm:flatnet", weights=tmp_path / "w.safetensors").preprocessing.size == 64


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        ({"crop_pct": 1.0, "interpolation": "lanczos"}, "center 32:32 lanczos"),
        ({"crop_mode": "squash"}, "squash 35:32 bicubic"),
        ({"crop_mode": "border", "mean": (0.1, 0.2, 0.3)}, "border 35:32 bicubic 26,51,76"),
        ({"crop_pct": None, "interpolation": "bilinear"}, "center 36:32 bilinear"),
        ({"mean": (0.5,), "std": (0.25,)}, "center 35:32 bicubic"),
    ],
)
def test_each_way_of_timm(
    asked: list[object], monkeypatch: pytest.MonkeyPatch, settings: dict[str, object], rule: str
) -> None:
    for name, value in settings.items():
        monkeypatch.setitem(TIMM_SAYS, name, value)
    assert load("timm:flatnet").preprocessing.resize == rule


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"input_size": (3, 32, 48)}, r"\[32, 48\] pixels; Striate shows square ones"),
        ({"input_size": (1, 32, 32)}, "images of 1 channels"),
        ({"interpolation": "random"}, "cannot follow.*random"),
        ({"crop_mode": "spiral"}, "crop_mode 'spiral', which Striate does not know"),
        ({"crop_border_pixels": 4}, "crop_border_pixels, which Striate does not know"),
    ],
)
def test_preparation_that_cannot_be_followed_is_refused(
    asked: list[object], monkeypatch: pytest.MonkeyPatch, settings: dict[str, object], message: str
) -> None:
    for name, value in settings.items():
        monkeypatch.setitem(TIMM_SAYS, name, value)
    with pytest.raises(InputError, match=message):
        load("timm:flatnet")


def test_networks_for_other_tasks_and_of_whole_numbers_are_refused(asked: list[object]) -> None:
    with pytest.raises(InputError, match="prepared by Segmentation, which says no crop_size"):
        load("torchvision:segmenter")
    with pytest.raises(InputError, match=r"whole numbers.*Take torchvision:flatnet\."):
        load("torchvision:quantized_flatnet")


def test_quantized_weights_are_refused(asked: list[object], tmp_path: Path) -> None:
    state = {k: (v * 100).to(torch.int8) for k, v in blocks(3).state_dict().items()}
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(InputError, match=r"holds quantized weights \(0\.0\.bias is int8.*Dequant"):
        load("timm:flatnet", weights=tmp_path / "w.safetensors")


def pictures() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    sides = [(300, 401), (333, 250), (224, 224), (97, 640), (500, 375)]
    return [rng.integers(0, 256, (*hw, 3), dtype=np.uint8) for hw in sides]


def differ(transform: Any, way: Preprocessing) -> float:
    """The largest difference between a library's preparation and ours, over pictures."""
    apart = 0.0
    for rgb in pictures():
        theirs = transform(Image.fromarray(rgb))
        ours = way(torch.from_numpy(resize_image(rgb, way.size, way.resize))[None])[0]
        assert ours.shape == theirs.shape
        apart = max(apart, float((ours - theirs).abs().max()))
    return apart


def test_the_real_timm_prepares_images_as_we_do() -> None:
    timm = pytest.importorskip(
        "timm", reason="the extra zoo (timm) is not installed", exc_type=Exception
    )
    for name in ("resnet10t", "vit_tiny_patch16_224", "convnext_atto", "tf_efficientnet_lite0"):
        model = load(f"timm:{name}@random")
        config = timm.data.resolve_model_data_config(model.network)
        assert differ(timm.data.create_transform(**config), model.preprocessing) < 1e-5, name
        assert len(model.tap_shapes()) == len(model.taps) > 0
    for mode in ("squash", "border"):
        config = {**config, "crop_mode": mode, "input_size": (3, 160, 160), "crop_pct": 0.95}
        way = zoo._read_timm_config(config, "timm:any")
        assert differ(timm.data.create_transform(**config), way) < 1e-5, mode


def test_the_real_torchvision_prepares_images_as_we_do() -> None:
    vision = pytest.importorskip(
        "torchvision", reason="the extra zoo (torchvision) is not installed", exc_type=Exception
    )
    names = ("resnet50", "efficientnet_b1", "swin_v2_t", "vit_h_14", "inception_v3")
    for name in names:
        transforms = vision.models.get_model_weights(name).DEFAULT.transforms()
        way = zoo._find_preprocessing(torch.nn.Identity(), f"torchvision:{name}")
        assert differ(transforms, way) < 1e-5, name


def test_the_real_torchvision_agrees_with_our_networks() -> None:
    pytest.importorskip(
        "torchvision", reason="the extra zoo (torchvision) is not installed", exc_type=Exception
    )
    images = torch.randint(0, 256, (1, 224, 224, 3), dtype=torch.uint8)
    for name in ("alexnet", "squeezenet1_1"):
        theirs = load(f"torchvision:{name}@random", seed=1)
        ours = load(f"{name}@random", resize="center 256:224 bilinear")
        ours.network.load_state_dict(theirs.network.state_dict())
        assert torch.equal(ours(images), theirs(images))
        assert ours.preprocessing == theirs.preprocessing
