"""What a run consists of: each model to make or load, and whose responses it is scored on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from striate.core.errors import InputError
from striate.data import Target
from striate.data.responses.responses import file_name
from striate.evaluate.common.choices import ModelConfig
from striate.evaluate.tuned.config import (
    CONTROLS,
    CompareConfig,
    EncodeRunConfig,
    RunConfig,
    TuneRunConfig,
)
from striate.learning import TuneConfig

NEW_IMAGES = "new images"
OTHER_UNITS = "other units"
"""A subject used for tuning, but not these units."""
NEW_SUBJECTS = "new subjects"
"""A subject never used for tuning: other units, and images that no tuning saw."""

Groups = Mapping[str, Sequence[Target]]
"""The (hemisphere, ROI) groups of units by subject."""


@dataclass(frozen=True)
class ModelSpec:
    """One model of a run.

    Attributes:
        method: its name in the tables; several models can share it, each for its own units.
        name: its name within the run, such as `contrastive/subj01_lh_V1v`.
        scored: the targets it is scored on, by subject.
        tuned_to: the targets it is tuned to in this run.
        tuning: how, or None where it is not tuned.
        given: the model that is scored as it is, or None.
    """

    method: str
    name: str
    scored: Mapping[str, tuple[Target, ...]]
    tuned_to: tuple[Target, ...] = ()
    tuning: TuneConfig | None = None
    given: ModelConfig | None = None


def compare_specs(config: CompareConfig, targets: Groups) -> list[ModelSpec]:
    """List the models of a comparison, the untuned one first.

    Controls are scored on every subject. A model tuned to one target is scored on that target, and
    a model pooled over subjects on its ROI in every subject, also those held out.

    Raises:
        InputError: a tuned method and nobody to tune to.
    """
    specs = _list_controls([m for m in CONTROLS if m in config.methods], targets)
    for method in config.methods:
        if method not in CONTROLS:
            specs += tuning_specs(
                config, method, config.tuning(method), targets, pooled=method.startswith("pooled")
            )
    return specs


def encode_specs(config: EncodeRunConfig, targets: Groups) -> list[ModelSpec]:
    """List the controls and the models that were given, each scored on every subject."""
    everything = {s: tuple(t) for s, t in targets.items()}
    given = [
        ModelSpec(name, name, everything, given=choice) for name, choice in config.models.items()
    ]
    return _list_controls(CONTROLS, targets) + given


def tune_specs(config: TuneRunConfig, targets: Groups) -> list[ModelSpec]:
    """List the models that `striate tune` makes."""
    name = f"pooled_{config.tuning.objective}" if config.pooled else config.tuning.objective
    return tuning_specs(config, name, config.tuning, targets, pooled=config.pooled)


def _list_controls(names: Sequence[str], targets: Groups) -> list[ModelSpec]:
    """List the controls, each scored on every subject."""
    everything = {s: tuple(t) for s, t in targets.items()}
    return [ModelSpec(name, name, everything) for name in names]


def tuning_specs(
    config: RunConfig, method: str, tuning: TuneConfig, targets: Groups, *, pooled: bool
) -> list[ModelSpec]:
    """List the models of one tuned method."""
    tuned = {s: t for s, t in targets.items() if s not in config.split.held_out}
    if not tuned:
        raise InputError(
            f"every subject is held out ({', '.join(targets)}), so {method} has nobody to be "
            "tuned to. Shorten split.held_out."
        )
    if not pooled:
        return [
            ModelSpec(method, f"{method}/{t.name}", {s: (t,)}, (t,), tuning)
            for s, subject_targets in tuned.items()
            for t in subject_targets
        ]
    specs = []
    for hemisphere, roi in dict.fromkeys((t.hemisphere, t.roi) for o in tuned.values() for t in o):
        members = _find_roi(tuned, hemisphere, roi)
        name = file_name(hemisphere, roi)
        tuned_to = tuple(t for group in members.values() for t in group)
        scored = _find_roi(targets, hemisphere, roi)
        specs.append(ModelSpec(method, f"{method}/{name}", scored, tuned_to, tuning))
    return specs


def _find_roi(groups: Groups, hemisphere: str, roi: str) -> dict[str, tuple[Target, ...]]:
    """Find the subjects that have a ROI, with its target."""
    targets = {
        s: tuple(t for t in g if (t.hemisphere, t.roi) == (hemisphere, roi))
        for s, g in groups.items()
    }
    return {s: t for s, t in targets.items() if t}
