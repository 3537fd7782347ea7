"""The verb: it learns, leaves a model folder, and refuses what it must."""

from __future__ import annotations

import itertools
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from striate import models
from striate.core.errors import DivergedError, InputError, StriateError
from striate.learning import TuneConfig, tune
from striate.learning.common.loop import draw_seed
from striate.learning.tuning.loop import TuneLoop, learning_rate_factor
from striate.models import Model
from striate.models.registry import _ENTRIES, Entry
from tests.learning.tiny import SIZE, TinyNet, tiny_data, tiny_model

SHORT: dict[str, Any] = {"epochs": 2, "batch_size": 16, "learning_rate": 1e-3}


pytestmark = pytest.mark.usefixtures("one_thread")


def run(folder: Path, *data: Any, model: Model | None = None, **settings: Any) -> Model:
    config = TuneConfig.from_dict({**SHORT, **settings})
    model = model or tiny_model()
    return tune(model, data or [tiny_data()], config, folder, device="cpu", progress=False)


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(x) for x in (folder / "metrics.jsonl").read_text().splitlines()]


def weights(model: Model) -> dict[str, torch.Tensor]:
    return {k: v.clone() for k, v in model.network.state_dict().items()}


def changed(before: Model, after: Model) -> set[str]:
    a, b = weights(before), weights(after)
    return {k for k in a if not torch.equal(a[k], b[k])}


# --- it learns ----------------------------------------------------------------------------------


@pytest.mark.parametrize("pooled", [False, True])
@pytest.mark.parametrize("direction", ["image_to_brain", "symmetric"])
def test_contrastive_finds_planted_responses(tmp_path: Path, pooled: bool, direction: str) -> None:
    data = [tiny_data("A", units=40, n=400, held=100)]
    if pooled:
        data.append(tiny_data("B", units=30, n=350, held=100, seed=1))
    run(
        tmp_path / "run",
        *data,
        model=tiny_model(dropout=0.0),
        epochs=20,
        batch_size=64,
        learning_rate=3e-3,
        direction=direction,
        order="mixed",
        z=16,
    )
    scores = [line for line in lines(tmp_path / "run") if "select_top1" in line]
    assert len(scores) == 20
    assert scores[-1]["select_top1"] > 0.3  # chance is 0.01
    assert scores[-1]["select_loss"] < scores[0]["select_loss"] - 0.5
    assert scores[-1]["epoch_loss"] < scores[0]["epoch_loss"] - 0.5


def test_contrastive_finds_nothing_in_shuffled_responses(tmp_path: Path) -> None:
    data = tiny_data(units=40, n=400, held=100)
    data.responses = data.responses[np.random.default_rng(0).permutation(400)]
    run(tmp_path / "run", data, epochs=10, batch_size=64, learning_rate=3e-3, z=16)
    assert lines(tmp_path / "run")[-1]["select_top1"] < 0.06


def test_regression_predicts_planted_responses(tmp_path: Path) -> None:
    data = [tiny_data("A", n=400, held=100), tiny_data("B", units=5, n=300, seed=1)]
    settings = {"objective": "regression", "epochs": 20, "batch_size": 32, "learning_rate": 3e-3}
    run(tmp_path / "run", *data, model=tiny_model(dropout=0.0), order="mixed", **settings)
    scores = [line for line in lines(tmp_path / "run") if "select_r" in line]
    assert scores[-1]["select_r"] > 0.7
    assert scores[-1]["select_loss"] < scores[0]["select_loss"] / 2


# --- what it leaves -----------------------------------------------------------------------------


def test_folder_and_returned_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = Entry(TinyNet, tiny_model().preprocessing, (), 0, "", Path, lambda: True)
    monkeypatch.setitem(_ENTRIES, "tiny", entry)
    base = tiny_model()
    untouched = weights(base)
    base.provenance["seen"] = ["earlier"]
    files = [f"file {i}" if i else "" for i in range(60)]  # one was in memory
    data = tiny_data("subj01/lh/V1v", file_hashes=files)
    tuned = run(tmp_path / "run", data, model=base)
    assert all(torch.equal(v, untouched[k]) for k, v in weights(base).items())
    assert changed(base, tuned)
    assert not any(m.training for m in tuned.modules())
    assert all(p.requires_grad and p.grad is None for p in tuned.parameters())
    assert tuned.seen == {"earlier", *data.hashes[:40]}  # select was scored, but chose nothing
    assert tuned.seen_files == set(files[1:40])
    assert tuned.provenance["simulated"]
    (stage,) = tuned.provenance["stages"]
    assert stage["targets"] == ["subj01/lh/V1v"]
    assert stage["config"]["epochs"] == 2
    assert base.seen == {"earlier"}
    names = {p.name for p in (tmp_path / "run").iterdir() if not p.name.startswith(".")}
    assert names == {
        "network.safetensors",
        "heads.safetensors",
        "config.json",
        "card.md",
        "tune.yaml",
        "metrics.jsonl",
    }
    card = (tmp_path / "run" / "card.md").read_text()
    for fact in ("subj01/lh/V1v (12 units)", "**simulated**", "h = 9, z = 2", "Epoch kept: 2"):
        assert fact in card
    loaded = models.load(tmp_path / "run")
    assert loaded.fingerprint() == tuned.fingerprint()
    assert loaded.seen == tuned.seen
    heads = load_file(tmp_path / "run" / "heads.safetensors")
    assert heads["brain.0.weight"].shape == (9, 12)


def test_metrics_lines(tmp_path: Path) -> None:
    run(tmp_path / "run", schedule="cosine")
    log = lines(tmp_path / "run")
    assert [(x["step"], x["epoch"]) for x in log] == [(i + 1, i // 3 + 1) for i in range(6)]
    assert [("select_loss" in x) for x in log] == [False, False, True] * 2
    first = log[:3]
    expected = np.average([x["loss"] for x in first], weights=[16, 16, 8])
    assert first[-1]["epoch_loss"] == pytest.approx(expected)
    assert log[0]["learning_rate"] == 1e-3
    assert log[-1]["learning_rate"] < 1e-3


def test_card_and_log_say_the_temperature_that_was_learned(tmp_path: Path) -> None:
    settings = {"learn_temperature": True, "temperature": 0.012, "head_learning_rate": 0.2}
    run(tmp_path / "run", **settings)
    heads = load_file(tmp_path / "run" / "heads.safetensors")
    learned = float(heads["log_temperature"].exp())
    assert learned * 1.0001 >= 0.01 and learned <= 100
    card = (tmp_path / "run" / "card.md").read_text()
    assert f"temperature {learned:.4g} (learned, from 0.012 on)" in card
    assert lines(tmp_path / "run")[-1]["temperature"] == pytest.approx(learned)
    run(tmp_path / "fixed", temperature=0.02)
    assert "temperature 0.02, image_to_brain" in (tmp_path / "fixed" / "card.md").read_text()


def test_finished_folder_is_returned_without_tuning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run(tmp_path / "run")
    monkeypatch.setattr(TuneLoop, "run", lambda self: pytest.fail("tuned again"))
    second = run(tmp_path / "run")
    assert second.fingerprint() == first.fingerprint()
    assert second.provenance == first.provenance
    assert not second.training


def test_same_seed_same_weights(tmp_path: Path) -> None:
    torch.manual_seed(1)
    a = run(tmp_path / "a")
    torch.manual_seed(2)
    state = torch.random.get_rng_state()
    b = run(tmp_path / "b")
    assert torch.equal(torch.random.get_rng_state(), state)  # the caller's is left alone
    c = run(tmp_path / "c", seed=1)
    assert a.fingerprint() == b.fingerprint() != c.fingerprint()


def test_tensorboard_and_bar(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tensorboard")
    config = TuneConfig(**SHORT, tensorboard=True, keep_checkpoints=True)
    tune(tiny_model(), [tiny_data()], config, tmp_path / "run", device="cpu", progress=True)
    assert list((tmp_path / "run" / "tensorboard").glob("events.*"))
    assert (tmp_path / "run" / "checkpoints" / "last.pt").exists()
    assert "step 6" in capfd.readouterr().out


def test_tensorboard_that_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(InputError, match=r"pip install 'striate\[tensorboard\]'"):
        run(tmp_path / "run", tensorboard=True)


# --- settings do what they say ------------------------------------------------------------------


def test_frozen_modules_and_batch_norm_statistics(tmp_path: Path) -> None:
    base = tiny_model()
    moved = changed(base, run(tmp_path / "a"))
    statistics = {"features.1.running_mean", "features.1.running_var"}
    assert {"features.0.weight", "features.1.weight", "classifier.weight"} <= moved
    assert not moved & statistics
    moved = changed(base, run(tmp_path / "b", batchnorm="train"))
    assert statistics <= moved
    moved = changed(base, run(tmp_path / "c", batchnorm="train", freeze=["features"]))
    assert moved
    assert not any(name.startswith("features") for name in moved)


def test_tap_pulls_nothing_behind_it(tmp_path: Path) -> None:
    tuned = run(tmp_path / "run", tap="features.3", tap_grid=2)
    moved = changed(tiny_model(), tuned)
    assert "features.3.weight" in moved
    assert not any(name.startswith("classifier") for name in moved)
    heads = load_file(tmp_path / "run" / "heads.safetensors")
    assert heads["image.weight"].shape == (9, 12 * 2 * 2)


def test_head_epochs_leave_the_network_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    original = TuneLoop._end_epoch

    def note(self: TuneLoop) -> dict[str, Any]:
        seen.append(changed(tiny_model(), self.tuner.model))
        return original(self)

    monkeypatch.setattr(TuneLoop, "_end_epoch", note)
    run(tmp_path / "run", epochs=3, head_epochs=2)
    assert [bool(s) for s in seen] == [False, False, True]


def test_head_learning_rate(tmp_path: Path) -> None:
    def step(name: str, **settings: Any) -> tuple[float, float]:
        data = tiny_data(n=36, held=20)
        tuned = run(tmp_path / name, data, epochs=1, **settings)
        key = "features.3.weight"
        network = (weights(tuned)[key] - weights(tiny_model())[key]).abs().max().item()
        heads = load_file(tmp_path / name / "heads.safetensors")
        return network, heads["brain.0.weight"].abs().max().item()

    slow, same = step("a"), step("b", head_learning_rate=0.5)
    assert slow[0] == pytest.approx(1e-3, rel=1e-2)  # Adam's first step is the rate
    assert same[0] == pytest.approx(1e-3, rel=1e-2)
    assert same[1] > slow[1] + 0.3


def test_learning_rate_factor() -> None:
    config = TuneConfig(epochs=4, warmup_epochs=0.5, schedule="cosine")
    rates = [learning_rate_factor(step, 10, config) for step in range(40)]
    assert rates[:5] == pytest.approx([1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6])
    assert rates[5] == 1
    assert all(a > b for a, b in itertools.pairwise(rates[5:]))
    assert 0 < rates[-1] < 0.01
    assert {learning_rate_factor(s, 10, TuneConfig()) for s in range(40)} == {1.0}


def test_draw_seeds_differ() -> None:
    seeds = {draw_seed(s, t, r) for s in range(3) for t in range(50) for r in (-1, 0, 1)}
    assert len(seeds) == 450


def test_early_stopping_goes_back_to_the_best_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = iter([3.0, 2.0, 1.0, 1.5, 1.2, 0.1])
    states = []

    def scripted(self: TuneLoop) -> dict[str, float]:
        states.append(weights(self.tuner.model))
        return {"loss": next(scores)}

    monkeypatch.setattr(TuneLoop, "_score_select", scripted)
    data = tiny_data()
    tuned = run(tmp_path / "run", data, epochs=6, early_stopping=2)
    assert len(states) == 5  # the sixth would have been better, but patience was over
    assert all(torch.equal(v, states[2][k]) for k, v in weights(tuned).items())
    assert tuned.provenance["stages"][0]["epoch"] == 3
    assert tuned.seen == set(data.hashes)  # select chose the epoch, so it was seen
    assert lines(tmp_path / "run")[-1]["best_epoch"] == 3


def test_early_stopping_needs_select(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="early_stopping needs a select part"):
        run(tmp_path / "run", tiny_data(held=0), early_stopping=2)


@pytest.mark.parametrize("objective", ["contrastive", "regression"])
@pytest.mark.parametrize("units", [1, 2, 4, 7, 20])
def test_small_rois(tmp_path: Path, objective: str, units: int) -> None:
    run(tmp_path / "run", tiny_data(units=units), objective=objective)
    assert all(np.isfinite(line["loss"]) for line in lines(tmp_path / "run"))


@pytest.mark.parametrize("n", [17, 33])
def test_a_last_stimulus_alone_joins_the_batch_before(tmp_path: Path, n: int) -> None:
    run(tmp_path / "run", tiny_data(n=n, held=0), epochs=1)
    assert len(lines(tmp_path / "run")) == n // 16


def test_two_stimuli_are_enough(tmp_path: Path) -> None:
    tuned = run(tmp_path / "run", tiny_data(n=4, held=2))
    assert len(tuned.seen) == 2


def test_bf16(tmp_path: Path) -> None:
    run(tmp_path / "run", precision="bf16", objective="contrastive")
    a, b = lines(tmp_path / "run")[0], None
    run(tmp_path / "full")
    b = lines(tmp_path / "full")[0]
    assert a["loss"] == pytest.approx(b["loss"], rel=0.05)
    assert a["loss"] != b["loss"]


# --- what it refuses, and what survives ---------------------------------------------------------


def test_other_settings_or_data_are_refused(tmp_path: Path) -> None:
    run(tmp_path / "run")
    with pytest.raises(InputError, match=r"config.temperature: there 0.3, asked for 0.5") as error:
        run(tmp_path / "run", temperature=0.5, augment={"flip": True})
    assert "config.augment.flip: there False, asked for True" in str(error.value)
    with pytest.raises(InputError, match=r"targets.0.name: there 'A', asked for 'B'"):
        run(tmp_path / "run", tiny_data("B"))
    other = tiny_model()
    with torch.no_grad():
        other.network.classifier.bias.add_(1)
    with pytest.raises(InputError, match=r"model.fingerprint"):
        run(tmp_path / "run", model=other)


def test_foreign_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("…")
    with pytest.raises(InputError, match=r"holds no such run.*thesis\.tex"):
        run(tmp_path)


def test_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot write .*file"):
        run(tmp_path / "file" / "run")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tap": "feature.3"}, "Did you mean features.3"),
        ({"freeze": ["classifer"]}, "Did you mean classifier"),
        ({"freeze": ["features", "classifier"]}, "leaves no parameter"),
        ({"tap": "classifier", "tap_grid": 2}, "tap_grid needs a tap that gives maps"),
    ],
)
def test_names_are_checked(tmp_path: Path, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        run(tmp_path / "run", **settings)


def test_a_fixed_model_is_refused(tmp_path: Path) -> None:
    model = models.load("gabor_energy", image_size=32)
    data = tiny_data(images=np.zeros((60, 32, 32, 3), np.uint8))
    with pytest.raises(InputError, match="gabor_energy is fixed: it has no parameters"):
        tune(model, [data], TuneConfig(**SHORT), tmp_path / "run")


@pytest.mark.parametrize("device", ["cuda:99", "tpu", "cpu:0"])
def test_device_is_checked(tmp_path: Path, device: str) -> None:
    with pytest.raises(InputError, match="device"):
        tune(tiny_model(), [tiny_data()], TuneConfig(**SHORT), tmp_path / "run", device=device)


def test_images_of_another_size(tmp_path: Path) -> None:
    data = tiny_data(images=np.zeros((60, SIZE + 1, SIZE + 1, 3), np.uint8))
    with pytest.raises(InputError, match="the size the model takes"):
        run(tmp_path / "run", data)


def test_divergence_names_the_last_good_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = TuneLoop._load_batch

    def poisoned(self: TuneLoop, batch: Any) -> Any:
        images, responses = original(self, batch)
        return images, responses * (float("nan") if self.standing.epoch == 1 else 1)

    monkeypatch.setattr(TuneLoop, "_load_batch", poisoned)
    with pytest.raises(DivergedError, match=r"nan at step 4 \(epoch 2, target A\)") as error:
        run(tmp_path / "run")
    checkpoint = tmp_path / "run" / "checkpoints" / "last.pt"
    assert str(checkpoint) in str(error.value)
    state = torch.load(checkpoint, weights_only=True)
    assert all(torch.isfinite(v).all() for v in state["weights"].values())


def test_divergence_in_the_first_step(tmp_path: Path) -> None:
    model = tiny_model()
    with torch.no_grad():
        model.network.classifier.bias.fill_(float("inf"))
    with pytest.raises(DivergedError, match="No checkpoint exists yet"):
        run(tmp_path / "run", model=model)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_full_disk_keeps_the_last_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"epochs": 4, "early_stopping": 4}
    whole = run(tmp_path / "whole", **settings)
    write_bytes, calls = Path.write_bytes, []

    def fills_up(path: Path, data: Any) -> int:
        calls.append(None)
        if len(calls) == 4:
            with Path("/dev/full").open("wb") as full:
                full.write(data)  # a true "no space left" of the operating system
        return write_bytes(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", fills_up)
        with pytest.raises(StriateError, match=r"disk full while writing .*Nothing that was there"):
            run(tmp_path / "run", **settings)
    last = tmp_path / "run" / "checkpoints" / "last.pt"
    assert torch.load(last, weights_only=True)["standing"]["step"] > 0
    assert not list(last.parent.glob(".*"))
    assert run(tmp_path / "run", **settings).fingerprint() == whole.fingerprint()


def test_damaged_checkpoint_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(tmp_path / "run", keep_checkpoints=True)
    (tmp_path / "run" / "config.json").unlink()  # as if stopped before the end
    last = tmp_path / "run" / "checkpoints" / "last.pt"
    last.write_bytes(last.read_bytes()[:1000])
    with pytest.raises(InputError, match=r"last\.pt is damaged"):
        run(tmp_path / "run", keep_checkpoints=True)


def test_exchanged_weights_are_noticed(tmp_path: Path) -> None:
    run(tmp_path / "a")
    run(tmp_path / "b", seed=1)
    (tmp_path / "b" / "network.safetensors").replace(tmp_path / "a" / "network.safetensors")
    with pytest.raises(InputError, match="fingerprints differ"):
        run(tmp_path / "a")
