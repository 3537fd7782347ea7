"""What a behavioral comparison takes in: decisions made elsewhere, stimuli, and classifiers."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch

from striate.core.errors import InputError, unknown_name
from striate.data import StimulusSet, assert_unseen_by
from striate.data.behavior.observers import Observers, line_up
from striate.data.behavior.trials import read_trials
from striate.encoding import ProjectionConfig, predict_cost
from striate.evaluate.behavior.config import BehaveConfig
from striate.evaluate.behavior.decisions import no_classifier
from striate.evaluate.common.cost import duration
from striate.models import Model, evaluating
from striate.models.lineage import (
    describe_stage,
    describe_weights,
    find_start,
    is_start,
    say_start,
)


def read_decisions(
    config: BehaveConfig, humans: Mapping[str, Observers]
) -> dict[str, pd.DataFrame]:
    """Trials of observers decided elsewhere, by name; `NAME/OBSERVER` where a table has several."""
    found = {}
    for name, path in config.decisions.items():
        trials = read_trials(path)
        for experiment in trials["experiment"].unique():
            if experiment not in humans:
                raise unknown_name("experiment", experiment, humans, f"({path}.)")
        observers = list(trials["observer"].unique())
        for observer in observers:
            full = name if len(observers) == 1 else f"{name}/{observer}"
            own = trials[trials["observer"] == observer]
            for experiment in own["experiment"].unique():  # refused now, before anything is made
                line_up(own, experiment, humans[experiment])
            found[full] = own
    return found


def find_stimuli(config: BehaveConfig, humans: Mapping[str, Observers]) -> dict[str, StimulusSet]:
    """Images of each experiment; all that humans judged must be there."""
    found = {}
    for experiment, folder in config.stimuli.items():
        if experiment not in humans:
            raise unknown_name("experiment", experiment, humans, f"(stimuli.{experiment}.)")
        stimuli, one = StimulusSet.from_folder(folder), humans[experiment]
        if len(np.unique(one.conditions)) > 1:
            raise InputError(
                f"experiment {experiment} has {len(np.unique(one.conditions))} conditions, and a "
                "folder of images does not say which an image is of. Give the decisions as a table "
                "(decisions.NAME=FILE)."
            )
        there = {i.rpartition("/")[2] for i in stimuli.ids}
        if len(there) < len(stimuli.ids):
            raise InputError(f"{folder}: two images have one name in different folders.")
        gone = [i for i in one.images if i not in there]
        if gone:
            raise InputError(
                f"{folder} lacks {len(gone)} of {len(one.images)} images that humans judged in "
                f"experiment {experiment} (first: {gone[0]}). Images go by their name without "
                "suffix."
            )
        right = dict(zip(one.images, (one.categories[k] for k in one.category), strict=True))
        for place in stimuli.ids:
            folder_name, _, image = place.rpartition("/")
            if image in right and folder_name.rpartition("/")[2] != right[image]:
                raise InputError(
                    f"{folder}: image {place} lies in the folder of another category than the "
                    f"{right[image]} that it is in the trials of humans."
                )
        keep = [n for n, i in enumerate(stimuli.ids) if i.rpartition("/")[2] in right]
        found[experiment] = stimuli.subset(keep)
    return found


def build_models(
    config: BehaveConfig, stimuli: Mapping[str, StimulusSet]
) -> tuple[dict[str, Model], dict[str, dict[str, Any]]]:
    """Load the models with a classifier, and the facts and status of all."""
    models, facts, loaded = {}, {}, {}
    for name, one in config.models.items():
        model = loaded[name] = one.build(config.image_size)
        for experiment, images in stimuli.items():
            assert_unseen_by(model, images, f"{name} on {experiment}")
        reason = no_classifier(model)
        facts[name] = {
            "id": model.id,
            "source": describe_weights(model),
            "image_size": model.preprocessing.size,
            "tuned": [_stage(s) for s in model.provenance["stages"]],
            "simulated": bool(model.provenance["simulated"]),
            "reference": one.reference,
            "group": one.group,
            "status": reason or "measured",
        }
        if not reason:
            models[name] = model
    for name, one in config.models.items():
        if one.reference in loaded:
            facts[name]["no_start"] = _other_start(loaded[name], loaded[one.reference])
    return models, facts


def _other_start(model: Model, reference: Model) -> str:
    """Say what a model started from where that is not its reference; '' where it is, or unknown."""
    start = find_start(model)
    if start is None or "weights" not in start or is_start(start, reference):
        return ""
    return say_start(start)


def _stage(stage: Any) -> str:
    """A stage of training in words, with the tap behind which nothing was tuned."""
    if not isinstance(stage, Mapping):
        return str(stage)
    settings = stage.get("config")
    tap = settings.get("tap") if isinstance(settings, Mapping) else None
    behind = f", up to {tap}; layers behind it as they were" if tap else ""
    return f"{describe_stage(stage)}{behind}"


def predict(
    models: Mapping[str, Model], stimuli: Mapping[str, StimulusSet], config: BehaveConfig
) -> str:
    """Say what deciding will take at most, from the shapes and the time of a few gray images."""
    images, seconds, memory = sum(map(len, stimuli.values())), 0.0, 0
    took: dict[tuple[str, int], float] = {}
    for model in models.values():
        size, few = model.preprocessing.size, 4
        if (model.id, size) not in took:
            gray = torch.full((few, size, size, 3), 128, dtype=torch.uint8)
            with evaluating(model), torch.inference_mode():
                model(gray)
                started = time.perf_counter()
                model(gray)
            took[model.id, size] = (time.perf_counter() - started) / few
            none = ProjectionConfig(kind="none")
            batch = min(config.batch_size, max(images, 1))
            cost = predict_cost(model, images, 0, none, model.taps[-1:], batch)
            memory = max(memory, cost.memory)
        seconds += took[model.id, size] * images
    if not models:
        return "no models to decide: tables of humans and of the decisions given"
    return (
        f"{len(models)} models decide on {images:,} images: at most {memory / 1e9:.2f} GB of "
        f"memory, about {duration(seconds)} on the CPU (less what the cache holds)"
    )
