"""A front of any model, and an AlexNet-shaped back-end behind it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from striate.core.errors import InputError
from striate.models import load, random_twin, receptive_field, recognition_model, save
from striate.models.networks.recognition import cut

BACK = {"channels": (4, 5, 6), "hidden": 7, "grid": 2, "pool": False}


def gray(size: int) -> torch.Tensor:
    draw = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (2, size, size, 3), dtype=torch.uint8, generator=draw)


def test_lcl_front_saved_and_loaded(tmp_path: Path) -> None:
    front = load("lcl_v2@random", seed=3)
    front.provenance["seen"] = ["a hash"]
    model = recognition_model(front, ["x", "y", "z"], image_size=72, back=BACK)
    assert model.taps == (
        "front.stage1", "front.stage2", "conv3", "conv4", "conv5", "fc6", "fc7", "classifier",
    )  # fmt: skip
    shapes = model.tap_shapes()
    assert shapes["front.stage2"] == (192, 3, 3) and shapes["classifier"] == (3,)
    assert receptive_field(model, "conv4").size == 67 + 4 * 16
    loaded = load(save(model, tmp_path / "m"))
    assert loaded.fingerprint() == model.fingerprint() and loaded.network.classes == ("x", "y", "z")
    assert loaded.provenance["seen"] == ["a hash"]
    assert not any(p.requires_grad for p in loaded.network.front.parameters())
    images = gray(72)
    outputs = loaded.activations(images, ["front.stage1", "front.stage2", "classifier"])
    front.preprocessing = model.preprocessing
    front_maps = front.activations(images, ["stage1", "stage2"])
    assert torch.equal(outputs["front.stage1"], front_maps["stage1"])
    assert torch.equal(outputs["front.stage2"], front_maps["stage2"])
    assert torch.equal(outputs["classifier"], loaded(images))
    assert random_twin(loaded).taps == model.taps


def test_published_shape() -> None:
    model = load("recognition@random")
    assert sum(p.numel() for p in model.parameters()) == 61_101_992
    assert model.tap_shapes(["conv5", "avgpool", "classifier"]) == {
        "conv5": (256, 13, 13), "avgpool": (256, 6, 6), "classifier": (1000,),
    }  # fmt: skip
    with pytest.raises(InputError, match="no trained one comes with Striate"):
        load("recognition")


def test_other_fronts_are_cut_behind_the_tap(tmp_path: Path) -> None:
    front = load("squeezenet1_1@random")
    before = front.fingerprint()
    model = recognition_model(front, "ab", tap="features.4", image_size=48, back=BACK)
    assert front.fingerprint() == before
    n_parameters = sum(p.numel() for p in model.network.front.parameters())
    parts = [front.network.features[i] for i in range(5)]
    assert n_parameters == sum(p.numel() for part in parts for p in part.parameters())
    assert model.taps[:2] == ("front.features.2", "front.features.4")
    assert load(save(model, tmp_path / "m")).fingerprint() == model.fingerprint()
    fixed = recognition_model(load("gabor_energy"), "ab", image_size=96, back=BACK)
    assert fixed.tap_shapes(["classifier"]) == {"classifier": (2,)}


def test_a_front_that_was_trained_becomes_one_again() -> None:
    first = recognition_model(
        load("lcl_v2@random", seed=5), "abc", frozen=False, image_size=72, back=BACK
    )
    second = recognition_model(first, "de", tap="front.stage2", back=BACK)
    assert second.network.config.front.id == "lcl_v2" and second.network.frozen
    for name, value in first.network.front.state_dict().items():
        assert torch.equal(second.network.front.state_dict()[name], value)
    early = recognition_model(first, "de", tap="stage1", back=BACK)
    assert early.taps[0] == "front.stage1" and early.taps[1] == "conv3"


def test_frozen_front_stays_in_eval_mode_without_gradients() -> None:
    images = gray(72)
    for frozen in (True, False):
        front = load("lcl_v2@random")
        model = recognition_model(front, "ab", frozen=frozen, image_size=72, back=BACK).train()
        assert model.network.front.training != frozen and model.network.conv3.training
        model(images).sum().backward()
        touched = {n for n, p in model.network.named_parameters() if p.grad is not None}
        assert any(n.startswith("front.") for n in touched) != frozen
        assert "conv3.conv.weight" in touched
        moved = model.network.front.stage1.bn.num_batches_tracked.item()
        assert moved == (0 if frozen else 1)


def test_bad_inputs() -> None:
    front = load("lcl_v2@random")
    with pytest.raises(InputError, match=r"unknown tap 'stage3'\. Did you mean stage"):
        recognition_model(front, "ab", tap="stage3")
    with pytest.raises(InputError, match=r"60 px are smaller than .* stage2 \(67 px\)"):
        recognition_model(front, "ab", image_size=60)
    with pytest.raises(InputError, match=r"gives \(1000,\) for an image, expected a map"):
        cut(load("alexnet@random").network, "classifier.6")
    with pytest.raises(InputError, match="classes: two or more names"):
        recognition_model(front, "a")
    with pytest.raises(InputError, match="unknown config key 'hiden'"):
        recognition_model(front, "ab", back={"hiden": 3})
