"""What is checked before a run computes anything."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from striate.core.errors import InputError
from striate.data import Dataset, Split, Target
from striate.data.splits.bundles import group_numbers
from striate.encoding.base import unusable_units
from striate.evaluate.tuned.config import RunConfig
from striate.evaluate.tuned.models import Groups, ModelSpec
from striate.models import Model
from striate.models.lineage import check_start


def find_targets(config: RunConfig, dataset: Dataset, split: Split) -> tuple[Groups, list[str]]:
    """Find the targets that can be scored, by subject, and say of each other why it cannot be.

    Raises:
        InputError: unknown ROI or hemisphere; a subject or data set without any usable target.
    """
    groups: dict[str, list[Target]] = {}
    notes = []
    for subject, recording in dataset.items():
        requested = recording.responses.targets(config.rois, config.hemispheres)
        if not requested:
            rois_with_units = sorted({t.roi for t in recording.responses.targets()})
            raise InputError(
                f"subject {subject} has no units in the ROIs asked for "
                f"({', '.join(config.rois or ['all'])}). It has units in "
                f"{', '.join(rois_with_units)}. Leave the subject out (data.subjects) or name "
                "other ROIs (rois)."
            )
        values = recording.responses.mean()
        unusable = unusable_units(values[split.part(subject, *config.encode.parts)])
        usable_targets = [t for t in requested if not unusable[t.units].all()]
        notes += [
            f"{t.name}: left out, as every one of its {len(t.units)} units has NaN or constant "
            "responses."
            for t in requested
            if t not in usable_targets
        ]
        if not usable_targets:
            raise InputError(
                f"subject {subject}: every unit has NaN or constant responses in every ROI asked "
                "for. Run striate doctor on the data, or leave the subject out (data.subjects)."
            )
        groups[subject] = usable_targets
    return groups, notes


def check_sizes(config: RunConfig, dataset: Dataset, split: Split) -> None:
    """Refuse parts that are too small for the folds, and folds that would separate near copies.

    Raises:
        InputError: naming the subject, the numbers and the keys to change.
    """
    encode = config.encode
    part = "test" if encode.protocol == "paper_b" else "select"
    for subject in dataset:
        rows = split.part(subject, part)
        labels = split.groups(subject, rows)
        n_groups = len(np.unique(group_numbers(labels, len(rows))))
        movies = any(dataset[subject].stimuli.groups)
        if encode.protocol == "paper_b" and (movies or n_groups < len(rows)):
            reason = (
                "its images form groups, such as the frames of a movie"
                if movies
                else f"{len(rows) - n_groups} test images look like another one of them"
            )
            other_mend = (
                "" if movies else ", or split.lookalikes=warn for the paper's protocol as it is"
            )
            raise InputError(
                f"subject {subject}: {reason}. paper_b reports folds within test that do not keep "
                "groups together, so a readout would be scored on near copies of what it was "
                f"fitted on. Use encode.protocol=nested{other_mend}."
            )
        if encode.protocol == "nested" and any(labels) and n_groups < encode.folds:
            raise InputError(
                f"subject {subject}: the stimuli of part 'select' form {n_groups} groups, too "
                f"few for {encode.folds} folds that keep a group whole. Use fewer (encode.folds), "
                "or a larger share (split.select)."
            )
        n_stimuli = len(rows)
        if n_stimuli < 2 * encode.folds:
            raise InputError(
                f"subject {subject}: part {part!r} has {n_stimuli} stimuli, too few for "
                f"{encode.folds} folds of two or more. Use fewer "
                f"(encode.folds={max(2, n_stimuli // 2)}), a larger share "
                f"(split.{part}, now {getattr(config.split, part):g}), or more stimuli."
            )


def load_given(specs: Sequence[ModelSpec], base: Model) -> dict[str, Model]:
    """Load the models that a run was given, and check that the untuned one is their start.

    Raises:
        InputError: a model that does not load, that by the fingerprint of its weights did not
            start from the base, or that is shown images in another way: its gain over the untuned
            network would not be that of the tuning.
    """
    given = {}
    for spec in specs:
        if spec.given is None:
            continue
        model = spec.given.build()
        check_start(model, base, f"{spec.name} ({spec.given.id})", spec.given.id)
        given[spec.name] = model
    return given


def check_taps(config: RunConfig, specs: Sequence[ModelSpec], models: Sequence[Model]) -> None:
    """Refuse taps that a network does not have or does not reach.

    Raises:
        InputError: naming the tap, nearest names offered.
    """
    config.encode.penalties  # noqa: B018 - raises where they are not > 0
    for model in models:
        model.tap_shapes(config.encode.taps)
    for spec in specs:
        if spec.tuning is not None and spec.tuning.tap is not None:
            models[0].tap_shapes([spec.tuning.tap])
