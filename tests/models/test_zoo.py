"""The extra `zoo`: with stand-ins for the libraries, without them, and with the real ones."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch
from torch import nn

from striate.core.errors import InputError
from striate.models import Preprocessing, load, save, zoo


def blocks(count: int) -> nn.Module:
    layers = [nn.Conv2d(3 if i == 0 else 4, 4, 3) for i in range(count)]
    return nn.Sequential(nn.Sequential(*layers), nn.AdaptiveAvgPool2d(1), nn.Flatten())


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
    timm.list_models = models.list_models = lambda: ["deepnet", "flatnet"]
    timm.create_model = models.get_model = build
    half = (0.5, 0.5, 0.5)
    data.resolve_model_data_config = lambda network: {
        "input_size": (3, 32, 32),
        "mean": half,
        "std": half,
    }
    transforms = SimpleNamespace(crop_size=[48], mean=[0.1, 0.2, 0.3], std=[0.5, 0.5, 0.5])
    models.get_model_weights = lambda name: SimpleNamespace(
        DEFAULT=SimpleNamespace(transforms=lambda: transforms)
    )
    for module in (timm, data, vision, models):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    return asked


@pytest.mark.parametrize(
    ("kind", "way"),
    [
        ("timm", Preprocessing(32, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))),
        ("torchvision", Preprocessing(48, mean=(0.1, 0.2, 0.3), std=(0.5, 0.5, 0.5))),
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
    one, again, two = (load(f"{kind}:flatnet@random", seed=s) for s in (1, 1, 2))
    assert torch.equal(torch.rand(1), expected)
    assert one.fingerprint() == again.fingerprint() != two.fingerprint()
    assert one.provenance["seed"] == 1
    torch.save(two.network.state_dict(), tmp_path / "w.pth")
    local = load(f"{kind}:flatnet", weights=tmp_path / "w.pth")
    assert local.fingerprint() == two.fingerprint()
    assert local.provenance["source"] == "local file w.pth"
    assert not any(asked)  # nothing was downloaded
    assert load(save(one, tmp_path / "m")).fingerprint() == one.fingerprint()
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


def test_the_real_timm() -> None:
    pytest.importorskip("timm", reason="the extra zoo (timm) is not installed", exc_type=Exception)
    model = load("timm:resnet10t@random")
    assert model.taps
    assert len(model.tap_shapes()) == len(model.taps)


def test_the_real_torchvision_agrees_with_our_networks() -> None:
    pytest.importorskip(
        "torchvision", reason="the extra zoo (torchvision) is not installed", exc_type=Exception
    )
    images = torch.randint(0, 256, (1, 224, 224, 3), dtype=torch.uint8)
    for name in ("alexnet", "squeezenet1_1"):
        theirs = load(f"torchvision:{name}@random", seed=1)
        ours = load(f"{name}@random")
        ours.network.load_state_dict(theirs.network.state_dict())
        assert torch.equal(ours(images), theirs(images))
        assert ours.preprocessing == theirs.preprocessing
