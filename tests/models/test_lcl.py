"""Stage-by-stage networks: options, taps, folders, the registry, chains of stages."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.core.errors import InputError
from striate.models import (
    Model,
    check_stages,
    load,
    random_twin,
    receptive_field,
    registry,
    save,
)
from striate.models.networks.lcl import Lcl, LclConfig, StageConfig, build_stage
from striate.models.networks.parts import Blur, Luma

GRAY = {
    "channels": 1,
    "stages": [
        {"channels": 8, "kernel": 7, "stride": 2, "pool": "blur", "blur": 5},
        {"channels": 12, "kernel": 3, "padding": 1, "norm": "none", "pool": "average"},
        {"channels": 5, "kernel": 1, "nonlinearity": "none", "pool": "none"},
    ],
}

FULL = LclConfig.from_dict(GRAY).to_dict()


def test_default_stages_are_those_of_alexnet_with_batch_norm() -> None:
    model = load("lcl_v2@random")
    assert model.taps == ("stage1", "stage2")
    assert model.tap_shapes() == {"stage1": (64, 27, 27), "stage2": (192, 13, 13)}
    assert [n for n, _ in model.network.stage1.named_children()] == ["conv", "bn", "relu", "pool"]
    names = ["stage1.conv", "stage1.bn", "stage1.relu", "stage1.pool", "stage2.relu"]
    assert model.tap_shapes(names)["stage2.relu"] == (192, 27, 27)
    state = model.network.state_dict()
    x = torch.rand(2, 3, 64, 64)
    y = x
    for name, stride in (("stage1", 4), ("stage2", 1)):
        y = F.conv2d(y, state[f"{name}.conv.weight"], None, stride, 2)
        y = F.max_pool2d(F.relu(y / (1 + 1e-5) ** 0.5), 3, 2)  # batch norm of a new network
    with torch.no_grad():
        torch.testing.assert_close(model.network(x), y, rtol=1e-4, atol=1e-6)


def test_options_decide_parts_taps_and_fields() -> None:
    model = load("lcl_v2@random", options=GRAY, image_size=64)
    assert model.taps == ("stage1", "stage2", "stage3")
    assert model.options == FULL
    parts = [[n for n, _ in s.named_children()] for s in model.network.stages]
    assert parts == [["conv", "bn", "relu", "pool"], ["conv", "relu", "pool"], ["conv", "bn"]]
    assert model.network.stage1.conv.bias is None
    assert model.network.stage2.conv.bias is not None
    assert model.tap_shapes()["stage3"] == (5, 5, 5)
    sizes = [receptive_field(model, tap).size for tap in model.taps]
    # conv 7/2; max 3/1; blur 5/2: 7 + 2 * 2 + 4 * 2 - then 3 x 3 and the mean 3/2 at jump 4
    assert sizes == [19, 19 + 8 + 8, 35]


def test_gray_networks_see_the_luma_of_rgb_images() -> None:
    model = load("lcl_v2@random", options=GRAY, image_size=64)
    generator = torch.Generator().manual_seed(0)
    rgb = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8, generator=generator)
    gray = (rgb.float() @ torch.tensor([0.299, 0.587, 0.114]))[:, None] / 255
    with torch.no_grad():
        expected = (gray - 0.5) / 0.25
        for stage in model.network.stages:
            expected = stage(expected)
        torch.testing.assert_close(model(rgb), expected, rtol=1e-4, atol=1e-4)
    assert Luma()(torch.ones(1, 3, 1, 1)).item() == pytest.approx(1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stages": []}, r"at least one is needed, found none\.$"),
        ({"stages": [{"channels": 6, "kernel": 5, "blur": 2000}]}, "less than or equal to 255"),
        ({"channels": 2}, "config key channels"),
        ({"stages": [{"channels": 4, "kernel": 3, "poool": "max"}]}, "Did you mean pool"),
        ({"stages": [{"channels": 4, "kernel": 0}]}, r"stages\.0\.kernel.*greater than 0"),
        ({"stage": []}, "options of lcl_v2: unknown config key 'stage'. Did you mean stages"),
    ],
)
def test_bad_options_are_named(options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load("lcl_v2@random", options=options)


def test_networks_without_options_refuse_them(tmp_path: Path) -> None:
    for id in ("alexnet@random", "scattering_v2", "timm:resnet18@random"):
        with pytest.raises(InputError, match="has no options, found channels"):
            load(id, options={"channels": 1})
    folder = save(load("lcl_v2@random"), tmp_path / "m")
    with pytest.raises(InputError, match="options of its own"):
        load(folder, options=GRAY)


def test_folder_keeps_the_options(tmp_path: Path) -> None:
    model = load("lcl_v2@random", options=GRAY, image_size=64, seed=3)
    back = load(save(model, tmp_path / "m"))
    assert (back.options, back.taps, back.fingerprint()) == (FULL, model.taps, model.fingerprint())
    images = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)
    assert torch.equal(back(images), model(images))
    twin = random_twin(back)
    assert twin.options == FULL
    assert twin.tap_shapes() == model.tap_shapes()
    assert twin.fingerprint() != model.fingerprint()
    assert back.copy().options == FULL


def test_folders_from_before_there_were_options_load(tmp_path: Path) -> None:
    model = load("squeezenet1_1@random")
    folder = save(model, tmp_path / "m")
    config = json.loads((folder / "config.json").read_text())
    del config["options"]
    (folder / "config.json").write_text(json.dumps(config))
    assert load(folder).fingerprint() == model.fingerprint()
    assert load(folder).options == {}


def test_released_weights_are_found_or_said_to_be_absent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "released" / "lcl_v2"
    monkeypatch.setattr(registry, "_LCL", path)
    with pytest.raises(InputError, match=r"no trained weights of lcl_v2.*lcl_v2@random"):
        load("lcl_v2")
    trained = load("lcl_v2@random", seed=9)
    trained.provenance["seen"] = ["a", "b"]
    save(trained, path)
    model = load("lcl_v2")
    assert model.fingerprint() == trained.fingerprint()
    assert model.seen == {"a", "b"}  # what a leak check needs
    weights = path / "network.safetensors"
    assert load("lcl_v2", weights=weights).fingerprint() == trained.fingerprint()
    with pytest.raises(InputError, match="for its own options: leave channels out"):
        load("lcl_v2", options={"channels": 1})


def test_the_weights_in_the_package() -> None:
    model = load("lcl_v2")
    files = list(registry._LCL.iterdir())
    assert sum(file.stat().st_size for file in files) < 2_000_000
    assert model.taps == ("stage1", "stage2") and not model.training
    assert model.fingerprint() != load("lcl_v2@random").fingerprint()
    assert len(model.seen_files) == len(model.seen) == 1359  # known by pixels and by files
    card = (registry._LCL / "card.md").read_text(encoding="utf-8")
    for fact in (f"{len(model.seen):,} images", "Steps: ", "Seed: ", "hours", "BSDS500"):
        assert fact in card
    # Neighboring pixels of a kernel that learned something are alike, those of noise are not.
    assert likeness(model) > 0.5 > 0.1 > abs(likeness(load("lcl_v2@random")))


def likeness(model: Model) -> float:
    """Correlation of neighboring pixels of the first kernels."""
    kernels = model.network.get_submodule("stage1.conv").weight.detach()
    sides = torch.stack([kernels[..., 1:].flatten(), kernels[..., :-1].flatten()])
    return float(torch.corrcoef(sides)[0, 1])


def test_blur_is_binomial_keeps_flat_maps_and_takes_the_stride() -> None:
    flat = torch.full((1, 3, 9, 9), 2.5)
    torch.testing.assert_close(Blur(5, 2, padding=2)(flat), torch.full((1, 3, 5, 5), 2.5))
    point = torch.zeros(1, 1, 5, 5)
    point[..., 2, 2] = 16
    expected = torch.tensor([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]])
    assert torch.equal(Blur(3, 1)(point)[0, 0], expected)


def test_blurred_pooling_shifts_less_with_the_image() -> None:
    """What anti-aliasing is for: a shift by one position changes pooled maps less."""
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(4, 8, 41, 41, generator=generator)

    def change(kind: str) -> float:
        config = StageConfig(channels=8, kernel=1, norm="none", nonlinearity="none", pool=kind)
        pool = build_stage(8, config).pool
        pooled, shifted = pool(x[..., :-1]), pool(x[..., 1:])
        return float((pooled - shifted).pow(2).mean() / pooled.var())

    assert change("blur") < 0.5 * change("max")


# --- chains ------------------------------------------------------------------------------------


class Twice(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, x


CHAIN = [nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True)), nn.MaxPool2d(2)]


def test_a_chain_of_any_modules_gives_its_shapes() -> None:
    example = torch.randn(2, 3, 12, 12)
    before = example.clone()
    stages = [*CHAIN, nn.BatchNorm2d(4), nn.Dropout(0.5), nn.ReLU(inplace=True)]
    shapes = check_stages(stages, example)
    assert shapes == [(4, 10, 10), *[(4, 5, 5)] * 4]
    assert torch.equal(example, before)
    assert stages[2].training
    assert stages[2].num_batches_tracked == 0
    alexnet = load("alexnet@random").network.features
    assert check_stages([alexnet[:3], alexnet[3:6]], torch.zeros(1, 3, 64, 64)) == [
        (64, 7, 7),
        (192, 3, 3),
    ]
    assert check_stages(Lcl(LclConfig()).stages, torch.zeros(1, 3, 41, 41))[0] == (64, 4, 4)


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ([], "at least one stage, found an empty list"),
        ([CHAIN[0], F.relu], r"stage 2 is a function, expected a torch\.nn\.Module"),
        ([nn.Conv2d(1, 4, 3)], r"stage 1 \(Conv2d\) expects 1 channels, found 3 from the example"),
        ([*CHAIN, nn.Conv2d(8, 4, 3)], "stage 3 .*expects 8 channels, found 4 from stage 2"),
        ([*CHAIN, nn.BatchNorm2d(5)], "stage 3 .*expects 5 channels, found 4 from stage 2"),
        ([CHAIN[0], nn.Flatten()], r"stage 2 \(Flatten\) gives the shape \(2, 400\), expected a"),
        ([Twice()], r"stage 1 \(Twice\) gives a tuple, expected one tensor"),
        ([CHAIN[0], nn.Conv2d(4, 4, 11)], r"stage 2 \(Conv2d\) cannot take the map \(4, 10, 10\)"),
        ([nn.Flatten(), nn.Linear(9, 2)], r"stage 1 \(Flatten\) gives the shape"),
    ],
)
def test_what_is_no_chain_is_refused(stages: list, message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_stages(stages, torch.zeros(2, 3, 12, 12))


def test_an_example_that_is_no_batch_of_images() -> None:
    with pytest.raises(InputError, match=r"must be \(B, C, H, W\), found \(3, 12, 12\)"):
        check_stages(CHAIN, torch.zeros(3, 12, 12))
