"""A training run from a folder of labeled images to its page."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from striate.core.cache import Cache
from striate.core.compute import Compute
from striate.core.errors import InputError, LeakError
from striate.core.files import write_json
from striate.evaluate import Options, TrainRunConfig, train_model
from striate.evaluate.recognition.measure import means, score_conditions
from striate.evaluate.recognition.tables import DONE, read_results
from striate.models import load, save
from striate.report import build
from striate.report.scorecard.runs import read_run
from tests.learning.tiny import tiny_labeled, tiny_recognizer


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Dark and light images to train on and to test with, and a small front."""
    root = tmp_path_factory.mktemp("labeled")
    images, labels, _ = tiny_labeled(44)
    for i, (image, label) in enumerate(zip(images, labels, strict=True)):
        place = root / ("train" if i < 32 else "test") / ("dark", "light")[label]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place / f"{i}.png")
    save(tiny_recognizer(), root / "front")
    return root


def settings(world: Path, **changes: Any) -> TrainRunConfig:
    values: dict[str, Any] = {
        "data": {"train": str(world / "train"), "test": str(world / "test"), "name": "grays"},
        "front": {"id": str(world / "front"), "tap": "stage1"},
        "image_size": 24,
        "back": {"channels": (6, 6, 6), "hidden": 10, "grid": 2, "pool": False},
        "training": {"epochs": 2, "batch_size": 8},
        "distortions": {"experiments": ("contrast", "false-colour")},
        "device": "cpu",
        **changes,
    }
    return TrainRunConfig.from_dict(values)


def quiet(world: Path, say: Any = lambda line: None) -> Options:
    cache = Cache(world / "cache")
    return Options(command="striate train …", progress=False, cache=cache, say=say)


@pytest.fixture(scope="module")
def said() -> list[str]:
    return []


@pytest.fixture(scope="module")
def run(world: Path, said: list[str]) -> Path:
    return train_model(settings(world), world / "run", quiet(world, said.append))


def test_it_says_what_it_does_before_it_does_it(run: Path, said: list[str]) -> None:
    assert "up to stage1, frozen (6 x 10 x 10 at 24 px)" in said[0]
    assert "32 images of 2 classes (16 a class); 2 epochs in batches of 8; tested on 12" in said[0]
    assert re.search(r"about [\d.]+ GB of memory, [\d.]+ s on cpu", said[1])
    assert said[2:] == ["testing: clean", "testing: contrast", "testing: false-colour"]


def test_what_a_run_holds(run: Path, world: Path) -> None:
    summary, accuracy, mean = read_results(run)
    assert list(accuracy["experiment"].unique()) == ["clean", "contrast", "false-colour"]
    assert len(accuracy) == 1 + 8 + 2 and (accuracy["images"] == 12).all()
    assert ((accuracy["low"] <= accuracy["accuracy"]) & (accuracy["accuracy"] <= 1)).all()
    assert summary["front"]["tap"] == "stage1" and summary["chance"] == 0.5
    assert summary["accuracy"]["accuracy"] == accuracy["accuracy"].iloc[0]
    with np.load(run / "decisions.npz") as arrays:
        right = (arrays["decisions"] == arrays["labels"]).mean(axis=1)
    assert right == pytest.approx(accuracy["accuracy"].to_numpy())
    assert list(mean["experiment"]) == ["contrast", "false-colour", "mean"]
    counted = accuracy[(accuracy["experiment"] == "contrast") & ~accuracy["excluded"]]
    assert mean["accuracy"].iloc[0] == pytest.approx(counted["accuracy"].mean())
    assert list(counted["severity"]) == ["c50", "c30", "c15", "c10", "c05"]
    first, overall = read_run(run).measurements
    assert first.value == accuracy["accuracy"].iloc[0] and first.null == 0.5
    assert overall.value == mean["accuracy"].iloc[-1] and "2 distortions" in overall.row
    model = load(run / "model")
    assert len(model.seen) == 32 and model.preprocessing.size == 24


def test_the_page_is_whole_and_needs_no_network(run: Path) -> None:
    page = build(run).read_text(encoding="utf-8")
    for heading in ("Generalization", "Training", "Provenance"):
        assert f"<h2>{heading}</h2>" in page
    assert page.count("data:image/png;base64,") == 2
    assert not re.findall(r'(?:src|href)="(?!data:)[^"]+"', page)
    assert "all settings are Striate's own" in page


def test_a_finished_run_is_not_done_again(run: Path, world: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(
        "striate.evaluate.recognition.run.train", lambda *a, **k: pytest.fail("again")
    )
    assert train_model(settings(world), run, quiet(world)) == run
    with pytest.raises(InputError, match=r"training\.epochs: there 2, asked for 3"):
        changed = settings(world, training={"epochs": 3, "batch_size": 8})
        train_model(changed, run, quiet(world))


def test_other_tests_of_a_finished_run_replace_the_old_ones(
    run: Path, world: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    options = replace(quiet(world), overwrite=True)
    train_model(settings(world, distortions={"experiments": ["rotation"]}), copy, options)
    summary, accuracy, _ = read_results(copy)
    assert list(accuracy["experiment"].unique()) == ["clean", "rotation"]
    assert summary["accuracy"] == read_results(run)[0]["accuracy"]
    monkeypatch.setattr(
        "striate.evaluate.recognition.run.score_conditions", lambda *a, **k: pytest.fail()
    )
    again = settings(world, distortions={"experiments": ["rotation"]}, batch_size=5)
    train_model(again, copy, options)
    del summary["asked"]  # as in runs of earlier versions
    write_json(copy / DONE, summary)
    train_model(again, copy, options)


def test_a_batch_that_cannot_be_filled_is_told_before_anything_is_made(
    world: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="a batch of 99 images cannot be filled: there are 32"):
        train_model(settings(world, training={"batch_size": 99}), tmp_path / "x", quiet(world))
    assert not (tmp_path / "x").exists()


def test_a_front_is_named_as_it_was_asked_for(run: Path, world: Path) -> None:
    assert f"recognition behind lcl_v2 of {world / 'front'}" in build(run).read_text("utf-8")


def test_leaks_and_bad_settings(run: Path, world: Path, tmp_path: Path) -> None:
    data = {"train": str(world / "train"), "test": str(world / "train")}
    with pytest.raises(LeakError, match="32 images of"):
        train_model(settings(world, data=data), tmp_path / "a", quiet(world))
    # a front that has seen the test images, though the back-end has not
    turned = {"train": str(world / "test"), "test": str(world / "train")}
    front = {"id": str(run / "model"), "tap": "stage1"}
    with pytest.raises(LeakError, match="the model has seen 32 of 32 test stimuli"):
        train_model(settings(world, data=turned, front=front), tmp_path / "b", quiet(world))
    with pytest.raises(InputError, match="'blur' is none of contrast, high-pass"):
        settings(world, distortions={"experiments": ["blur"]})
    assert not (tmp_path / "a").exists() and not (tmp_path / "b").exists()
    (tmp_path / "model").mkdir()
    for name in ("config.yaml", "provenance.json", "model/train.yaml"):
        (tmp_path / name).write_bytes((run / name).read_bytes())
    with pytest.raises(InputError, match="stopped before its end"):
        build(tmp_path)


def test_clean_images_alone_and_no_mean(world: Path, tmp_path: Path) -> None:
    images, labels, _ = tiny_labeled(12)
    model = tiny_recognizer()
    table, decisions = score_conditions(
        model, images, labels, (), compute=Compute(cache=Cache(tmp_path))
    )
    with torch.no_grad():
        expected = model(torch.from_numpy(images)).argmax(1).numpy()
    assert len(table) == 1 and np.array_equal(decisions[0], expected)
    assert means(table).empty
    assert isinstance(table, pd.DataFrame)
