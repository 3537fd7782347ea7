"""A start is known by the fingerprint of its weights, and what is said of it is in the record."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from striate.core.errors import InputError
from striate.learning import TuneConfig, tune
from striate.models import Model, load, random_twin, recognition_model, save
from striate.models.lineage import check_start, describe_weights, find_start, is_start
from striate.models.store import card
from tests.learning.tiny import tiny_data

LCL = {"stages": [{"channels": 4, "kernel": 5, "stride": 2, "pool": "none"}]}


def grown(seed: int, of: int = 0) -> Model:
    """A small network that says it was grown from random weights of seed `of`."""
    model = load("lcl_v2@random", seed=of, options=LCL, image_size=12)
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) / 10)
    model.id = "lcl_v2"
    model.provenance["stages"] = [{"kind": "layerwise growth", "photographs": 1359}]
    return model


def tuned(start: Model, folder: Path) -> Model:
    config = TuneConfig(epochs=1, batch_size=16, learning_rate=1e-3, tap="stage1", tap_grid=2)
    return tune(start, [tiny_data()], config, folder, device="cpu", progress=False)


def test_the_wrong_untuned_network_is_refused_both_ways(tmp_path: Path) -> None:
    random, first_grown, second_grown = (
        load("lcl_v2@random", options=LCL, image_size=12),
        grown(1),
        grown(2),
    )
    save(first_grown, tmp_path / "grown")
    from_grown = tuned(load(tmp_path / "grown"), tmp_path / "a")
    from_random = tuned(random, tmp_path / "b")
    check_start(from_grown, first_grown, "mine")
    check_start(from_random, random, "mine")
    for model, wrong in (
        (from_grown, random),
        (from_random, first_grown),
        (from_grown, second_grown),
    ):
        with pytest.raises(
            InputError, match=r"started from lcl_v2.*the untuned network of this run"
        ):
            check_start(model, wrong, "mine")
    with pytest.raises(InputError) as caught:
        check_start(load(tmp_path / "a"), random, "mine", tmp_path / "a")
    text = str(caught.value)
    for fact in (
        "model mine (contrastive tuning to A (simulated))",
        f"fingerprint {first_grown.weights_fingerprint()[:12]}",
        f"fingerprint {random.weights_fingerprint()[:12]}",
        "then layerwise growth on 1,359 photographs",
        f"model.id={tmp_path / 'grown'}.",
    ):
        assert fact in text


def test_the_start_of_a_chain_is_the_immediate_one(tmp_path: Path) -> None:
    first = grown(1)
    second = tuned(first, tmp_path / "a")
    third = tuned(second, tmp_path / "b")
    check_start(third, second, "mine")
    with pytest.raises(InputError, match="not tuned from"):
        check_start(third, first, "mine")
    assert describe_weights(third) == (
        "random weights (seed 0), then layerwise growth on 1,359 photographs, then contrastive "
        "tuning to A (simulated), then contrastive tuning to A (simulated)"
    )


def test_a_model_that_learned_nothing_must_be_the_base_itself() -> None:
    model = load("squeezenet1_1@random", image_size=64)
    check_start(model, model.copy(), "mine")
    with pytest.raises(InputError, match="was not tuned, and not the untuned network"):
        check_start(model, load("squeezenet1_1@random", seed=1, image_size=64), "mine")
    with pytest.raises(InputError, match="resize squash and crop"):
        check_start(model, load("squeezenet1_1@random", image_size=64, resize="crop"), "mine")


def test_one_name_and_other_weights_are_two_starts(tmp_path: Path) -> None:
    starts = []
    for seed in (1, 2):
        (tmp_path / str(seed)).mkdir()
        state = load("lcl_v2@random", seed=seed, options=LCL).network.state_dict()
        save_file(
            {k: v.contiguous() for k, v in state.items()}, tmp_path / str(seed) / "w.safetensors"
        )
        weights = tmp_path / str(seed) / "w.safetensors"
        starts.append(load("lcl_v2", weights=weights, options=LCL, image_size=12))
    model = tuned(starts[0], tmp_path / "a")
    with pytest.raises(InputError, match=r"model\.weights=.*1/w\.safetensors"):
        check_start(model, starts[1], "mine")
    check_start(model, starts[0], "mine")


def forget(folder: Path) -> Path:
    """Make a folder look as version 0.1 wrote it: without any start."""
    model = load(folder)
    config = json.loads((folder / "config.json").read_text())
    for stage in config["provenance"]["stages"]:
        stage.pop("start", None)
    del config["format"]
    config["fingerprint"] = model.structure_fingerprint()
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_older_folders_are_known_by_what_they_were_claimed_for(tmp_path: Path) -> None:
    base, random = grown(1), load("lcl_v2@random", options=LCL, image_size=12)
    tuned(base, tmp_path / "a")
    model = load(forget(tmp_path / "a"))
    start = find_start(model, tmp_path / "a")
    assert start and is_start(start, base) and not is_start(start, random)
    check_start(model, base, "mine", tmp_path / "a")
    with pytest.raises(InputError, match=r"not tuned from.*model\.id=THE FOLDER"):
        check_start(model, random, "mine", tmp_path / "a")
    (tmp_path / "a" / "tune.yaml").unlink()
    with pytest.raises(InputError, match="does not say what it was tuned from"):
        check_start(model, base, "mine", tmp_path / "a")


def test_a_start_that_nobody_noted_is_proven_where_a_seed_fixes_it(tmp_path: Path) -> None:
    random = load("lcl_v2@random", seed=3, options=LCL, image_size=12)
    tuned(random, tmp_path / "a")
    model = load(forget(tmp_path / "a"))
    check_start(model, random, "mine")  # without the folder: one stage, from a seed
    with pytest.raises(InputError, match="does not say"):
        check_start(model, load("lcl_v2@random", seed=4, options=LCL, image_size=12), "mine")


def test_the_packaged_model_says_that_it_was_grown() -> None:
    text = "random weights (seed 0), then layerwise growth on 1,359 photographs"
    model = load("lcl_v2")
    assert describe_weights(model) == text
    for card_text in (card(model), Path("src/striate/models/released/lcl_v2/card.md").read_text()):
        assert f"- Weights: {text}\n" in card_text and "started from random" not in card_text
    check_start(model, load("lcl_v2@random"), "mine")  # what it was grown from, by its seed
    with pytest.raises(InputError):
        check_start(model, load("lcl_v2@random", seed=1), "mine")


def test_cards_tell_of_the_start_of_each_stage(tmp_path: Path) -> None:
    base = grown(1)
    tuned(base, tmp_path / "a")
    text = (tmp_path / "a" / "card.md").read_text()
    assert (
        "- Weights: random weights (seed 0), then layerwise growth on 1,359 photographs, then"
        in text
    )
    assert "contrastive tuning: started from lcl_v2 (random weights" in text
    assert base.weights_fingerprint()[:12] in text


def test_random_twins_say_so_and_are_others_for_every_kind(tmp_path: Path) -> None:
    front = load("lcl_v2@random", options=LCL, image_size=24)
    back = {"channels": (6, 6, 6), "hidden": 10, "grid": 2, "pool": False}
    recognizer = recognition_model(front, ["a", "b"], back=back, image_size=24)
    for model in (grown(1), tuned(grown(1), tmp_path / "a"), recognizer, front):
        for seed in (0, 1):
            twin = random_twin(model, seed)
            assert twin.provenance["source"] == "random weights"
            assert describe_weights(twin) == f"random weights (seed {twin.provenance['seed']})"
            assert twin.provenance["stages"] == [] and twin.seen == frozenset()
            weights, twin_weights = model.network.state_dict(), twin.network.state_dict()
            learned = [k for k in weights if k.endswith("weight") and weights[k].ndim > 1]
            assert learned and not any(torch.equal(weights[k], twin_weights[k]) for k in learned)
    random = load("lcl_v2@random", seed=1, options=LCL)
    assert random_twin(random, 0).weights_fingerprint() != random.weights_fingerprint()


def test_a_recognition_model_says_what_its_front_was() -> None:
    model = recognition_model(load("lcl_v2"), ["a", "b"], seed=2)
    assert describe_weights(model) == (
        "front of lcl_v2 (random weights (seed 0), then layerwise growth on 1,359 photographs), "
        "back-end of random weights (seed 2)"
    )
