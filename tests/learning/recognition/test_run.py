"""Training with labels: what learns, what does not, and what a run leaves."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional as F

from striate.core.errors import DivergedError, InputError
from striate.learning import AttackConfig, TrainConfig, train
from striate.learning.recognition.attack import attacked
from striate.learning.recognition.loop import TrainLoop
from striate.learning.recognition.module import Recognizer, cacheable
from striate.models import Model, load
from tests.learning.recognition.train_worker import CASES, RUN, gradients
from tests.learning.tiny import tiny_labeled, tiny_model, tiny_recognizer
from tests.learning.torchrun import two_process_results
from tests.learning.worker import work_train


def settings(**changes: Any) -> TrainConfig:
    return TrainConfig.from_dict({"epochs": 3, "batch_size": 8, "learning_rate": 0.05, **changes})


def run(model: Model, folder: Path, **changes: Any) -> Model:
    config = settings(**changes)
    files = [f"file-{i}" for i in range(30)]
    return train(
        model, *tiny_labeled(), config, folder, file_hashes=files, device="cpu", progress=False
    )


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(x) for x in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("train") / "m"
    run(tiny_recognizer(), folder, epochs=30)
    return folder


def test_what_a_run_leaves(trained: Path) -> None:
    model = load(trained)
    assert model.network.classes == ("dark", "light")
    assert model.provenance["seen"] == sorted(f"hash-{i}" for i in range(30))
    assert model.seen_files == {f"file-{i}" for i in range(30)}
    stage = model.provenance["stages"][-1]
    assert stage["kind"] == "supervised training" and stage["front"] == "frozen"
    assert sorted(p.name for p in trained.iterdir() if not p.name.startswith(".")) == [
        "card.md", "config.json", "metrics.jsonl", "network.safetensors", "train.yaml",
    ]  # fmt: skip
    card = (trained / "card.md").read_text()
    for fact in (
        "dark, light",
        "30 labeled",
        "90 of 8 images (30 epochs)",
        "taken once",
        "frozen",
    ):
        assert fact in card
    log = lines(trained)
    assert [x["step"] for x in log] == list(range(1, 91))
    assert [x["step"] for x in log if "epoch_loss" in x] == list(range(3, 91, 3))
    means = [np.mean([x["loss"] for x in log if x["epoch"] == e]) for e in (1, 30)]
    assert means[1] < 0.5 * means[0]
    images, labels, _ = tiny_labeled()
    with torch.no_grad():
        right = model(torch.from_numpy(images)).argmax(1).numpy() == labels
    assert right.mean() > 0.9


def test_a_frozen_front_is_not_touched_and_another_is(trained: Path, tmp_path: Path) -> None:
    before = tiny_recognizer().network.state_dict()
    after = load(trained).network.state_dict()
    for name, value in before.items():
        same = torch.equal(after[name], value)
        assert same == name.startswith("front."), name
    free = run(tiny_recognizer(frozen=False), tmp_path / "m", epochs=1).network.state_dict()
    assert not any(torch.equal(free[n], v) for n, v in before.items())


def test_cached_features_give_what_images_give(tmp_path: Path) -> None:
    model = tiny_recognizer()
    cached = run(model, tmp_path / "a").network.state_dict()
    plain = run(model, tmp_path / "b", cache_gb=0).network.state_dict()
    for name in cached:
        torch.testing.assert_close(cached[name], plain[name], rtol=1e-3, atol=1e-5)


def test_when_features_are_kept() -> None:
    model = tiny_recognizer()
    assert cacheable(model, settings(), 100)
    assert not cacheable(tiny_recognizer(frozen=False), settings(), 100)
    for changes in ({"augment": {"shift": 1}}, {"attack": {"eps": 1}}, {"cache_gb": 1e-6}):
        assert not cacheable(model, settings(**changes), 100)


def test_an_epoch_takes_every_image_once(tmp_path: Path) -> None:
    from striate.learning.common.distributed import make_fabric

    images, labels, _ = tiny_labeled()
    config = settings(batch_size=10)
    recognizer = Recognizer(tiny_recognizer(), config)
    loop = TrainLoop(make_fabric("cpu", "32"), recognizer, images, labels, config, tmp_path)
    epochs = [np.concatenate([loop.rows(s) for s in range(k, k + 3)]) for k in (0, 3)]
    assert all(sorted(e) == list(range(30)) for e in epochs)
    assert not np.array_equal(*epochs)


def test_attack_stays_in_the_ball_and_raises_the_loss() -> None:
    images, labels, _ = tiny_labeled()
    config = settings(attack={"eps": 0.8, "steps": 4})
    recognizer = Recognizer(tiny_recognizer(frozen=False), config).train()
    before = {k: v.clone() for k, v in recognizer.state_dict().items()}
    target = torch.from_numpy(labels)
    x = recognizer.attack(torch.from_numpy(images), target)
    assert all(torch.equal(v, before[k]) for k, v in recognizer.state_dict().items())
    assert all(p.grad is None for p in recognizer.parameters())
    assert recognizer.network.conv3.training
    clean = torch.from_numpy(images).permute(0, 3, 1, 2) / 255
    assert (x - clean).flatten(1).norm(dim=1).max() <= 0.8 + 1e-5
    assert x.min() >= 0 and x.max() <= 1
    recognizer.eval()
    with torch.no_grad():
        losses = [
            F.cross_entropy(recognizer.logits(y, "pixels"), target).item() for y in (clean, x)
        ]
    assert losses[1] > losses[0]


def test_attack_on_a_linear_loss_goes_straight() -> None:
    slope = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    gray = torch.full((2, 3, 4, 4), 0.5)
    x = attacked(gray, lambda x: (slope * x).sum(), AttackConfig(eps=0.3, steps=3))
    expected = 0.3 * slope / slope.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    torch.testing.assert_close(x - gray, expected, rtol=1e-4, atol=1e-6)


two_processes = two_process_results("recognition.train_worker")


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("batch", [8, 5])
def test_gradients_of_two_processes(
    two_processes: Path, name: str, batch: int, tmp_path: Path
) -> None:
    alone = gradients(name, batch, tmp_path)
    shared = torch.load(two_processes / f"{name}-{batch}.pt", weights_only=True)
    assert alone.keys() == shared.keys()
    assert any("front" in n for n in alone) == (name == "attacked")
    # pixels pass through float32 preprocessing, whatever follows
    for parameter, expected in alone.items():
        torch.testing.assert_close(shared[parameter], expected, rtol=1e-5, atol=1e-8)


def test_a_run_of_two_processes(two_processes: Path, tmp_path: Path) -> None:
    work_train({**RUN, "cache_gb": 0}, tmp_path / "one")
    alone = load_file(tmp_path / "one" / "network.safetensors")
    shared = load_file(two_processes / "run" / "network.safetensors")
    for name, expected in alone.items():
        torch.testing.assert_close(shared[name], expected, rtol=1e-3, atol=1e-5)
    assert (
        load(two_processes / "run").provenance["seen"] == load(tmp_path / "one").provenance["seen"]
    )


def test_nan_stops_and_names_the_last_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = TrainLoop._load_batch

    def poisoned(self: TrainLoop, step: int) -> Any:
        x, labels, kind = made(self, step)
        return (x * float("nan") if step == 4 else x), labels, kind

    monkeypatch.setattr(TrainLoop, "_load_batch", poisoned)
    with pytest.raises(DivergedError, match=r"nan at step 5 \(epoch 2\)\. The last good checkp"):
        run(tiny_recognizer(), tmp_path / "m")
    assert (tmp_path / "m" / "checkpoints" / "last.pt").exists()


def test_bad_inputs(trained: Path, tmp_path: Path) -> None:
    images, labels, hashes = tiny_labeled()
    model, config = tiny_recognizer(), settings()

    def refuse(match: str, *data: Any, **changes: Any) -> None:
        with pytest.raises(InputError, match=match):
            train(*data, settings(**changes), tmp_path / "m", device="cpu", progress=False)

    refuse("all training images are of one class", model, images, 0 * labels, hashes)
    refuse("labels go from 0 to 2, the model has 2", model, images, 2 * labels, hashes)
    refuse(r"uint8 \(N, 24, 24, 3\)", model, images[:, :20], labels, hashes)
    refuse("30 images, 30 labels, 29 hashes", model, images, labels, hashes[:-1])
    refuse("tiny is no recognition model", tiny_model(), images, labels, hashes)
    refuse("batch of 64 images cannot be filled: there are 30", model, images, labels, hashes,
           batch_size=64)  # fmt: skip
    with pytest.raises(InputError, match=r"learning_rate: there 0\.05, asked for 0\.1"):
        run(model, trained, epochs=30, learning_rate=0.1)
    small = model.copy()
    small.preprocessing = replace(small.preprocessing, size=6)
    refuse("cannot take images of 6 x 6", small, images[:, :6, :6], labels, hashes)
    assert config.identity() == settings(tensorboard=True).identity()


def test_a_finished_folder_is_not_trained_again(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TrainLoop, "run", lambda self: pytest.fail("trained again"))
    assert run(tiny_recognizer(), trained, epochs=30).fingerprint() == load(trained).fingerprint()
