"""From the classes of a classifier to categories."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from striate.core.cache import Cache
from striate.core.compute import Compute
from striate.core.errors import InputError
from striate.data import StimulusSet
from striate.data.behavior.trials import CATEGORIES
from striate.evaluate.behavior.decisions import (
    Categories,
    category_probabilities,
    decide,
    decision_table,
    kept_decisions,
    no_classifier,
)
from striate.models import Model, load


@pytest.fixture
def mapping(tmp_path: Path) -> Path:
    values = {name: [10 * i, 10 * i + 1] for i, name in enumerate(CATEGORIES)}
    (tmp_path / "map.json").write_text(json.dumps(values))
    return tmp_path / "map.json"


def test_mean_probability_over_the_classes(rng: np.random.Generator) -> None:
    logits = rng.normal(size=(3, 1000))
    two = Categories(("cat", "dog"), ((7,), (1, 2, 999)))
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    want = np.stack([p[:, 7], (p[:, 1] + p[:, 2] + p[:, 999]) / 3], axis=1)
    got = category_probabilities(torch.from_numpy(logits), two)
    np.testing.assert_allclose(got.numpy(), want, rtol=1e-12)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kat": [1]}, "unknown category 'kat'"),
        ({"cat": None}, "category cat has no list"),
        ({"cat": [1000]}, "1000 is no class index"),
        ({"cat": [True]}, "True is no class index"),
        ({"cat": [0]}, "class 0 is in airplane and in cat"),
    ],
)
def test_bad_mappings_are_named(mapping: Path, change: dict[str, object], words: str) -> None:
    mapping.write_text(json.dumps({**json.loads(mapping.read_text()), **change}))
    with pytest.raises(InputError, match=words):
        Categories.read(mapping)
    mapping.write_text('{"airplane": [1]}')
    with pytest.raises(InputError, match="category bear is missing"):
        Categories.read(mapping)
    mapping.write_text("[1]")
    with pytest.raises(InputError, match="expected a JSON object"):
        Categories.read(mapping)


def test_a_classifier_decides_and_is_not_asked_twice(
    mapping: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    categories = Categories.read(mapping)
    model = load("squeezenet1_1@random", image_size=32)
    images = np.random.default_rng(0).integers(0, 255, (5, 32, 32, 3), dtype=np.uint8)
    decisions = decide(model, images, categories, Compute("cpu", batch_size=2))
    with torch.inference_mode():
        want = category_probabilities(model(torch.from_numpy(images)), categories)
    np.testing.assert_allclose(decisions, want.numpy(), rtol=1e-4)
    compute, done = Compute("cpu", cache=Cache(tmp_path / "cache")), []

    def spy(model: Model, images: np.ndarray, *more: Any) -> np.ndarray:
        done.append(len(images))
        return decide(model, images, *more)

    monkeypatch.setattr("striate.evaluate.behavior.decisions.decide", spy)
    for _ in range(2):
        cached = kept_decisions(model, images, categories, compute)
    np.testing.assert_allclose(cached, decisions, rtol=1e-4)
    assert done == [5]


def test_a_model_without_classifier_says_so() -> None:
    assert "no classifier: its output has shape" in no_classifier(load("lcl_v2@random"))
    model = load("squeezenet1_1@random", image_size=32)
    assert no_classifier(model) == ""
    model.provenance["stages"] = [{"kind": "contrastive tuning", "config": {"tap": "features.10"}}]
    assert no_classifier(model) == ""
    model.provenance["stages"] = [{"kind": "contrastive tuning", "config": {"tap": None}}]
    assert "its output itself was tuned" in no_classifier(model)
    with pytest.raises(InputError, match="no classifier"):
        decide(model, np.zeros((1, 32, 32, 3), np.uint8), Categories(("a",), ((1,),)))


def test_decisions_as_trials() -> None:
    pixels = np.zeros((2, 2, 3), np.uint8)
    stimuli = StimulusSet(["cat/cat1-dog2", "sub/dog/dog4-cat1"], [pixels, pixels])
    two = Categories(("cat", "dog"), ((1,), (2,)))
    table = decision_table("cue-conflict", "net", stimuli, np.array([[0.1, 0.3], [0, 0.2]]), two)
    assert table["response"].tolist() == ["dog", "dog"]
    assert table["category"].tolist() == ["cat", "dog"]
    assert table["image"].tolist() == ["cat1-dog2", "dog4-cat1"]
    assert table["probability"].tolist() == [0.3, 0.2]
    astray = StimulusSet(["cow/cow1"], [pixels])
    with pytest.raises(InputError, match="Image cow/cow1 of experiment edge"):
        decision_table("edge", "net", astray, np.zeros((1, 2)), two)
