"""What a classifier of the 1,000 ImageNet classes decides among few entry-level categories.

The decision is the category with the largest mean of softmax probabilities over its classes
(Geirhos et al. 2018, arXiv 1808.08750, section 2).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from striate.core.compute import Compute
from striate.core.errors import InputError, unknown_name
from striate.core.files import read_json
from striate.data import StimulusSet
from striate.data.behavior.trials import CATEGORIES, COLUMNS
from striate.evaluate.common.cost import gray_images
from striate.evaluate.common.forward import each_batch
from striate.models import Model, evaluating

N_CLASSES = 1000
VERSION = 1
"""Raised when the meaning of a kept decision changes, so that older ones are made again."""


@dataclass(frozen=True)
class Categories:
    """Which ImageNet classes make up each category.

    Attributes:
        names: of the categories.
        classes: indices (0 to 999, in the order of sorted WordNet ids) of each.
    """

    names: tuple[str, ...]
    classes: tuple[tuple[int, ...], ...]

    @classmethod
    def read(cls, path: str | Path, known: Sequence[str] = CATEGORIES) -> Categories:
        """Read a JSON file `{"airplane": [404], "bear": [294, …], …}`.

        Raises:
            InputError: no such mapping, an unknown or missing category, an index that is no class,
                or one that is in two categories.
        """
        values = read_json(path)
        if not isinstance(values, dict) or not values:
            raise InputError(
                f'{path}: expected a JSON object of category to class indices, such as '
                f'{{"airplane": [404], …}}, found {type(values).__name__}.'
            )  # fmt: skip
        for name in values:
            if name not in known:
                raise unknown_name("category", name, known, f"({path}.)")
        missing = [name for name in known if name not in values]
        if missing:
            raise InputError(f"{path}: category {missing[0]} is missing.")
        owner: dict[int, str] = {}
        for name, classes in values.items():
            if not isinstance(classes, list) or not classes:
                raise InputError(f"{path}: category {name} has no list of class indices.")
            for index in classes:
                whole = isinstance(index, int) and not isinstance(index, bool)
                if not whole or not 0 <= index < N_CLASSES:
                    raise InputError(
                        f"{path}: category {name}: {index!r} is no class index (0 to "
                        f"{N_CLASSES - 1})."
                    )
                if index in owner:
                    raise InputError(
                        f"{path}: class {index} is in {owner[index]} and in {name}; a class "
                        "belongs to one category, once."
                    )
                owner[index] = name
        return cls(tuple(known), tuple(tuple(values[name]) for name in known))


def category_probabilities(logits: Tensor, categories: Categories) -> Tensor:
    """Average softmax probabilities over the classes of each category.

    Args:
        logits: (B, 1000).
        categories: K of them.

    Returns:
        (B, K), float32 or wider; rows do not sum to 1, as most classes are in no category.

    Examples:
        >>> two = Categories(("cat", "dog"), ((1,), (2, 3)))
        >>> logits = torch.zeros(1, 1000); logits[0, 2] = 9.0  # sure of one of two kinds of dog
        >>> category_probabilities(logits, two).round(decimals=3)
        tensor([[0.0000, 0.4450]])
    """
    p = logits.to(torch.promote_types(logits.dtype, torch.float32)).softmax(dim=1)
    return torch.stack([p[:, list(c)].mean(dim=1) for c in categories.classes], dim=1)


def no_classifier(model: Model) -> str:
    """Say why a model's output cannot be read as ImageNet classes; '' where it can.

    A tuned model keeps the layers behind its tap as they were, so its classifier is that of the
    network it started from, applied to what the tuned layers now give. A model whose output itself
    was tuned has no classifier.
    """
    for stage in model.provenance["stages"]:
        settings = stage.get("config") if isinstance(stage, dict) else None
        if isinstance(settings, dict) and "tap" in settings and settings["tap"] is None:
            return "no classifier: its output itself was tuned to responses"
    size = model.preprocessing.size
    gray = gray_images(1, size, model.device)
    with evaluating(model), torch.inference_mode():
        try:
            shape = tuple(model(gray).shape[1:])
        except (RuntimeError, AttributeError) as error:
            raise InputError(
                f"{model.id} cannot take images of {size} x {size} pixels ({error})."
            ) from error
    if shape == (N_CLASSES,):
        return ""
    return f"no classifier: its output has shape {shape}, not ({N_CLASSES},) ImageNet classes"


def decide(
    model: Model,
    images: np.ndarray,
    categories: Categories,
    compute: Compute | None = None,
) -> np.ndarray:
    """Compute the probability of each category for each image.

    Args:
        model: with a classifier of the 1,000 ImageNet classes (`no_classifier`).
        images: uint8 (N, H, W, 3), may be a memory map.
        categories: K of them.
        compute: device and batch size.

    Returns:
        (N, K) float64; the decision is the largest of a row (`categories.names`).

    Raises:
        InputError: a model without classifier, or probabilities that are not finite.
    """
    reason = no_classifier(model)
    if reason:
        raise InputError(f"{model.id}: {reason}.")
    probabilities = np.empty((len(images), len(categories.names)))

    def keep_probabilities(rows: slice, logits: Tensor) -> None:
        probabilities[rows] = category_probabilities(logits, categories).double().cpu().numpy()

    each_batch(model, images, keep_probabilities, compute or Compute())
    bad = ~np.isfinite(probabilities).all(axis=1)
    if bad.any():
        raise InputError(
            f"{model.id} gives probabilities that are not finite for {int(bad.sum())} images "
            f"(first: number {int(bad.argmax())}). Its weights are damaged, or diverged."
        )
    return probabilities


def kept_decisions(
    model: Model, images: np.ndarray, categories: Categories, compute: Compute | None = None
) -> np.ndarray:
    """Do `decide` once; keep it in the cache under the weights, the pixels and the categories."""
    compute = compute or Compute()
    key = {
        "model": model.fingerprint(),
        "images": hashlib.sha256(np.ascontiguousarray(images).data).hexdigest(),
        "shape": list(images.shape),
        "classes": [list(indices) for indices in categories.classes],
        "version": VERSION,
    }

    def build(folder: Path) -> None:
        probabilities = decide(model, images, categories, compute)
        np.save(folder / "probabilities.npy", probabilities)

    return np.load(compute.cache.get("decisions", key, build) / "probabilities.npy")


def decision_table(
    experiment: str, observer: str, stimuli: StimulusSet, probabilities: np.ndarray,
    categories: Categories, conditions: Sequence[str] | None = None,
) -> pd.DataFrame:  # fmt: skip
    """Turn decisions into tidy trials (`data.behavior.trials.COLUMNS`), with their `probability`.

    Args:
        experiment, observer: names.
        stimuli: N images in folders named by the right category; ids `CATEGORY/IMAGE`.
        probabilities: (N, K).
        categories: K of them.
        conditions: N; default "0", the only condition.

    Raises:
        InputError: an image that is in no category's folder.
    """
    folders = [i.rpartition("/")[0].rpartition("/")[2] for i in stimuli.ids]
    astray = [i for i, c in zip(stimuli.ids, folders, strict=True) if c not in categories.names]
    if astray:
        raise unknown_name(
            "category",
            astray[0].rpartition("/")[0] or "(none)",
            categories.names,
            f"(Image {astray[0]} of experiment {experiment}: stimuli lie in a folder for each "
            "category.)",
        )
    best = probabilities.argmax(axis=1)
    table = pd.DataFrame(
        {
            "experiment": experiment,
            "observer": observer,
            "session": "",
            "trial": [str(i) for i in range(1, len(stimuli) + 1)],
            "rt": np.nan,
            "response": [categories.names[k] for k in best],
            "category": folders,
            "condition": list(conditions) if conditions is not None else "0",
            "image": [i.rpartition("/")[2] for i in stimuli.ids],
        }
    )[list(COLUMNS)]
    table["probability"] = probabilities[np.arange(len(best)), best]
    return table


def decide_all(
    models: Mapping[str, Model],
    stimuli: Mapping[str, StimulusSet],
    categories: Categories,
    compute: Compute,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, pd.DataFrame]:
    """Let each model decide on all images.

    Args:
        models: with a classifier, by name.
        stimuli: images by experiment.
        categories: among which they decide.
        compute: device, batch size, and the cache in which decisions are kept.
        say: called with the name of each model before it decides.

    Returns:
        Tidy trials (`decision_table`) over all experiments, by model.
    """
    decisions: dict[str, pd.DataFrame] = {}
    for name, model in models.items():
        say(f"deciding: {name}")
        trials = []
        for experiment, images in stimuli.items():
            shape = model.preprocessing
            pixels = images.decoded(shape.size, shape.resize, compute.cache)
            probabilities = kept_decisions(model, pixels, categories, compute)
            trials.append(decision_table(experiment, name, images, probabilities, categories))
        decisions[name] = pd.concat(trials, ignore_index=True)
    return decisions
