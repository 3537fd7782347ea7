"""Saved models come back bit for bit; what was changed by another hand is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from striate.core.errors import InputError
from striate.models import Model, Preprocessing, is_model_folder, load, save
from striate.models.store import card

SEEN = ["ab12", "cd34"]


def tuned() -> Model:
    """A random SqueezeNet that says it was tuned to simulated responses."""
    model = load("squeezenet1_1@random", seed=4, image_size=64)
    model.provenance |= {"seen": SEEN, "simulated": True, "stages": ["contrastive, subject 1"]}
    return model


def test_round_trip_is_bitwise(tmp_path: Path) -> None:
    model = tuned()
    with torch.no_grad():  # values that a text format or another precision would lose
        model.network.features[0].bias[:3] = torch.tensor([1e-42, -0.0, 1 / 3])
    folder = save(model, tmp_path / "deep" / "model", {"Tuned by": "a test"})
    loaded = load(folder)
    state, loaded_state = model.network.state_dict(), loaded.network.state_dict()
    assert state.keys() == loaded_state.keys()
    for name in state:
        assert (
            state[name].contiguous().numpy().tobytes()
            == loaded_state[name].contiguous().numpy().tobytes()
        )
    assert loaded.fingerprint() == model.fingerprint()
    assert (loaded.id, loaded.preprocessing, loaded.taps) == (
        model.id,
        model.preprocessing,
        model.taps,
    )
    assert loaded.provenance == model.provenance
    assert loaded.seen == frozenset(SEEN)
    assert loaded.seen_files == frozenset()  # the provenance of older folders holds none
    assert not loaded.training
    assert sorted(p.name for p in folder.iterdir()) == ["card.md", "config.json", WEIGHTS]
    images = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)
    assert torch.equal(loaded(images), model(images))


WEIGHTS = "network.safetensors"


def test_card_says_what_it_saw_and_that_responses_were_simulated() -> None:
    text = card(tuned(), {"Tuned by": "a test"})
    assert "Stimuli seen in training: 2 " in text
    assert "**simulated**" in text
    assert "- Tuned by: a test" in text
    assert "- contrastive, subject 1" in text
    assert "64 x 64 pixels (squash), RGB" in text
    plain = card(load("squeezenet1_1@random"))
    assert "simulated" not in plain
    assert "Stimuli seen in training: 0 " in plain
    assert "- none: random weights (seed 0)" in plain
    assert "published" not in plain


def change_weight(model: Model) -> None:
    with torch.no_grad():
        model.network.bn.weight[0] = torch.nextafter(model.network.bn.weight[0], torch.tensor(2.0))


def change_buffer(model: Model) -> None:
    model.network.bn.running_var[1] += 1e-6


def change_unsaved_buffer(model: Model) -> None:
    model.network.table += 1


def change_name(model: Model) -> None:
    model.network.conv3 = model.network.conv2
    del model.network.conv2


def change_way(**values: object) -> Callable[[Model], None]:
    def change(model: Model) -> None:
        model.preprocessing = replace(model.preprocessing, **values)

    return change


def change_module(name: str, **values: object) -> Callable[[Model], None]:
    def change(model: Model) -> None:
        for key, value in values.items():
            setattr(model.network.get_submodule(name), key, value)

    return change


def other_activation(model: Model) -> None:
    model.network.act = nn.ReLU6()


CHANGES = {
    "weight": change_weight,
    "buffer": change_buffer,
    "unsaved buffer": change_unsaved_buffer,
    "name": change_name,
    "size": change_way(size=17),
    "resize": change_way(resize="crop"),
    "channels": change_way(channels="bgr"),
    "scale": change_way(scale=254.0),
    "mean": change_way(mean=(0.485, 0.456, 0.407)),
    "std": change_way(std=(0.229, 0.224, 0.226)),
    "padding": change_module("conv1", padding=(2, 2)),
    "stride": change_module("conv2", stride=(1, 1)),
    "epsilon": change_module("bn", eps=1e-4),
    "activation": other_activation,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_fingerprint_changes_with_all_that_decides_the_output(
    small: Model, change: Callable[[Model], None]
) -> None:
    small.network.register_buffer("table", torch.arange(4), persistent=False)
    copy = small.copy()
    assert copy.fingerprint() == small.fingerprint()
    change(copy)
    assert copy.fingerprint() != small.fingerprint()


def test_fingerprint_keeps_with_what_does_not(small: Model) -> None:
    before = small.fingerprint()
    small.train()
    small.provenance["seen"] = SEEN
    small.network.to(memory_format=torch.contiguous_format)
    assert small.fingerprint() == before


def test_tampered_weights_are_refused(tmp_path: Path) -> None:
    folder = save(tuned(), tmp_path / "m")
    state = load_file(folder / WEIGHTS)
    state["features.0.bias"][0] += 1
    save_file(state, folder / WEIGHTS)
    with pytest.raises(InputError, match="fingerprints differ"):
        load(folder)


def test_tampered_preprocessing_is_refused(tmp_path: Path) -> None:
    folder = save(tuned(), tmp_path / "m")
    config = json.loads((folder / "config.json").read_text())
    config["preprocessing"]["size"] = 65
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="fingerprints differ"):
        load(folder)


def test_half_written_weights_are_named(tmp_path: Path) -> None:
    folder = save(tuned(), tmp_path / "m")
    whole = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"network\.safetensors is damaged or half-written"):
        load(folder)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not valid JSON"),
        ("[1]", "is no model config"),
        ('{"model_type": "resnet"}', "is no model config: 'id' is missing"),
        ('{"id": "squeezenet1_1", "preprocessing": {"colour": 1}}', "is no model config.*colour"),
        ('{"id": "squeezenet", "preprocessing": {}}', "Did you mean squeezenet1_1"),
    ],
)
def test_config_of_another_kind_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "config.json").write_text(text)
    assert is_model_folder(tmp_path)
    with pytest.raises(InputError, match=message):
        load(tmp_path)


@pytest.mark.parametrize("name", [WEIGHTS, "config.json"])
def test_foreign_folder_is_left_as_it_was(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text('{"model_type": "resnet"}')
    with pytest.raises(InputError, match=f"holds a {name} that Striate did not write"):
        save(tuned(), tmp_path)
    assert [p.name for p in tmp_path.iterdir() if p.name != "cache"] == [name]
    assert (tmp_path / name).read_text() == '{"model_type": "resnet"}'


def test_own_folder_is_replaced(tmp_path: Path) -> None:
    save(load("squeezenet1_1@random", seed=1), tmp_path / "m")
    second = load("squeezenet1_1@random", seed=2)
    assert load(save(second, tmp_path / "m")).fingerprint() == second.fingerprint()


def test_place_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "m").write_text("mine")
    with pytest.raises(InputError, match="cannot write"):
        save(tuned(), tmp_path / "m")
    assert (tmp_path / "m").read_text() == "mine"


def test_weights_and_a_model_folder_exclude_each_other(tmp_path: Path) -> None:
    folder = save(tuned(), tmp_path / "m")
    with pytest.raises(InputError, match="weights of its own"):
        load(folder, weights=folder / WEIGHTS)


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.there = nn.Linear(3, 3)
        self.back = nn.Linear(3, 3)
        self.back.weight = self.there.weight


def test_tied_weights_can_be_saved(tmp_path: Path) -> None:
    folder = save(Model("tied", Tied(), Preprocessing(), ()), tmp_path / "m")
    state = load_file(folder / WEIGHTS)
    assert torch.equal(state["there.weight"], state["back.weight"])


def test_copy_is_independent(small: Model) -> None:
    copy = small.copy()
    change_weight(copy)
    copy.provenance["seen"].append("ab")
    assert small.seen == frozenset()
    assert small.network.bn.weight[0] != copy.network.bn.weight[0]
