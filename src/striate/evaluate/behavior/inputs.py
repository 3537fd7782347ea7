"""What a behavioral comparison takes in: decisions made elsewhere, stimuli, and classifiers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from striate.core.errors import InputError, unknown_name
from striate.data import StimulusSet, assert_unseen_by
from striate.data.behavior.observers import Observers, line_up
from striate.data.behavior.trials import read_trials
from striate.evaluate.behavior.config import BehaveConfig
from striate.evaluate.behavior.decisions import no_classifier
from striate.models import Model
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
    """Read trials of observers decided elsewhere.

    Returns:
        Trials by name, `NAME/OBSERVER` where a table has several observers.
    """
    decisions = {}
    for name, path in config.decisions.items():
        trials = read_trials(path)
        for experiment in trials["experiment"].unique():
            if experiment not in humans:
                raise unknown_name("experiment", experiment, humans, f"({path}.)")
        observers = list(trials["observer"].unique())
        for observer in observers:
            full_name = name if len(observers) == 1 else f"{name}/{observer}"
            observed = trials[trials["observer"] == observer]
            for experiment in observed["experiment"].unique():
                line_up(observed, experiment, humans[experiment])  # refused now, before the work
            decisions[full_name] = observed
    return decisions


def find_stimuli(config: BehaveConfig, humans: Mapping[str, Observers]) -> dict[str, StimulusSet]:
    """Find the images of each experiment; all that humans judged must be there."""
    found_stimuli = {}
    for experiment, folder in config.stimuli.items():
        if experiment not in humans:
            raise unknown_name("experiment", experiment, humans, f"(stimuli.{experiment}.)")
        stimuli, judged = StimulusSet.from_folder(folder), humans[experiment]
        if len(np.unique(judged.conditions)) > 1:
            raise InputError(
                f"experiment {experiment} has {len(np.unique(judged.conditions))} conditions, and "
                "a folder of images does not say which an image is of. Give the decisions as a "
                "table (decisions.NAME=FILE)."
            )
        names = {i.rpartition("/")[2] for i in stimuli.ids}
        if len(names) < len(stimuli.ids):
            raise InputError(f"{folder}: two images have one name in different folders.")
        missing = [i for i in judged.images if i not in names]
        if missing:
            raise InputError(
                f"{folder} lacks {len(missing)} of {len(judged.images)} images that humans judged "
                f"in experiment {experiment} (first: {missing[0]}). Images go by their name "
                "without suffix."
            )
        categories = (judged.categories[k] for k in judged.category)
        category_of = dict(zip(judged.images, categories, strict=True))
        for place in stimuli.ids:
            folder_name, _, image = place.rpartition("/")
            if image in category_of and folder_name.rpartition("/")[2] != category_of[image]:
                raise InputError(
                    f"{folder}: image {place} lies in the folder of another category than the "
                    f"{category_of[image]} that it is in the trials of humans."
                )
        rows = [n for n, i in enumerate(stimuli.ids) if i.rpartition("/")[2] in category_of]
        found_stimuli[experiment] = stimuli.subset(rows)
    return found_stimuli


def build_models(
    config: BehaveConfig, stimuli: Mapping[str, StimulusSet]
) -> tuple[dict[str, Model], dict[str, dict[str, Any]]]:
    """Load the models that have a classifier, and tell the facts and status of all."""
    models, facts, loaded = {}, {}, {}
    for name, model_config in config.models.items():
        model = loaded[name] = model_config.build(config.image_size)
        for experiment, images in stimuli.items():
            assert_unseen_by(model, images, f"{name} on {experiment}")
        reason = no_classifier(model)
        facts[name] = {
            "id": model.id,
            "source": describe_weights(model),
            "image_size": model.preprocessing.size,
            "tuned": [_describe_stage(s) for s in model.provenance["stages"]],
            "simulated": bool(model.provenance["simulated"]),
            "reference": model_config.reference,
            "group": model_config.group,
            "status": reason or "measured",
        }
        if not reason:
            models[name] = model
    for name, model_config in config.models.items():
        reference = model_config.reference
        if reference in loaded:
            facts[name]["no_start"] = describe_other_start(loaded[name], loaded[reference])
    return models, facts


def describe_other_start(model: Model, reference: Model) -> str:
    """Say what a model started from if not from its reference; '' where it did, or unknown."""
    start = find_start(model)
    if start is None or "weights" not in start or is_start(start, reference):
        return ""
    return say_start(start)


def _describe_stage(stage: Any) -> str:
    """Put a stage of training in words, with the tap behind which nothing was tuned."""
    if not isinstance(stage, Mapping):
        return str(stage)
    settings = stage.get("config")
    tap = settings.get("tap") if isinstance(settings, Mapping) else None
    behind = f", up to {tap}; layers behind it as they were" if tap else ""
    return f"{describe_stage(stage)}{behind}"
