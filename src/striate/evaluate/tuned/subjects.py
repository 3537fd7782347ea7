"""To what a model generalizes: decided by the units and images it was tuned to, not by names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from striate.data import Recording, Target
from striate.data.responses.unit_identity import FEWEST_IMAGES, Match, match_units
from striate.evaluate.tuned.models import NEW_IMAGES, NEW_SUBJECTS, OTHER_UNITS
from striate.models import Model

MOST = 0.5
"""A target counts as tuned to where more than this share of its units was tuned to (ours)."""
UNRELATED = 0.1
"""Units with the same ids are taken for others where their rank correlation over shared images is
lower on average (ours): the same units measured again agree better."""


@dataclass(frozen=True)
class Kind:
    """What a score of a model on a target generalizes to, and what must be said of it."""

    name: str
    notes: tuple[str, ...] = ()


@dataclass
class Generalization:
    """Decides for each model and target of a run.

    Attributes:
        recordings: by subject.
        means: responses averaged over repeats, (N, V), by subject.
        held_out: subjects never used for tuning in this run.
    """

    recordings: Mapping[str, Recording]
    means: Mapping[str, np.ndarray]
    held_out: Sequence[str] = ()
    _matches: dict[tuple[str, int], tuple[Any, Match]] = field(default_factory=dict)

    def kind(self, model: Model, target: Target) -> Kind:
        """Say to what a model generalizes when it is scored on a target.

        New images: the model was tuned to most of the target's units. Other units: it was tuned to
        others of the same subject. New subjects: neither. Units are recognized by how they rank
        images, else by subject and id; for models that noted no units (version 0.1) names decide.
        """
        tunings = [s for s in model.provenance["stages"] if isinstance(s, Mapping)]
        tunings = [s for s in tunings if s.get("targets")]
        if not tunings:
            return Kind(NEW_SUBJECTS if target.subject in self.held_out else NEW_IMAGES)
        noted = [r for s in tunings for r in s.get("tuned_to", ())]
        if not noted:
            return _judge_by_name(tunings, target)
        tuned = np.zeros(len(target.units), bool)
        same_subject, notes = False, []
        for record in noted:
            match = self._match_units(target.subject, record)
            is_subject, tuned_units, record_notes = _judge_record(record, match, target)
            tuned |= tuned_units
            same_subject |= is_subject
            notes += record_notes
        if tuned.mean() > MOST:
            kind = NEW_IMAGES
        else:
            kind = OTHER_UNITS if same_subject or tuned.any() else NEW_SUBJECTS
        if 0 < tuned.sum() < len(tuned):
            notes.append(
                f"{target.name}: {int(tuned.sum())} of its {len(tuned)} units are among those that "
                f"a scored model was tuned to; it counts as {kind}."
            )
        return Kind(kind, tuple(dict.fromkeys(notes)))

    def _match_units(self, subject: str, record: Mapping[str, Any]) -> Match:
        key = (subject, id(record))
        if key not in self._matches:
            recording = self.recordings[subject]
            match = match_units(
                record,
                recording.stimuli.hashes,
                self.means[subject],
                recording.responses.unit_ids,
            )
            self._matches[key] = record, match  # the record is kept, so that its id stays unique
        return self._matches[key][1]


def _judge_by_name(tunings: Sequence[Mapping[str, Any]], target: Target) -> Kind:
    """Say to what a model generalizes from the names of its targets and subjects."""
    if any(target.name in stage.get("targets", ()) for stage in tunings):
        return Kind(NEW_IMAGES)
    if any(target.subject in stage.get("subjects", ()) for stage in tunings):
        return Kind(OTHER_UNITS)
    return Kind(NEW_SUBJECTS)


def _judge_record(
    record: Mapping[str, Any], match: Match, target: Target
) -> tuple[bool, np.ndarray, list[str]]:
    """Say whether the subject is the one noted, which of its units were tuned to, and notes."""
    noted_subject, notes = str(record["subject"]), []
    same_name = noted_subject == target.subject
    same_responses = match.known & match.same
    if same_responses.any():
        tuned = match.same | (~match.known & match.named)
        if not same_name:
            notes.append(
                f"{target.subject} has {int(same_responses.sum())} units that respond to "
                f"{match.shared} images exactly as units of {noted_subject} do, to which a scored "
                "model was tuned: it is taken for the same subject under another name."
            )
        return True, tuned[target.units], notes
    no_units = np.zeros(len(target.units), bool)
    comparable = match.shared >= FEWEST_IMAGES
    if match.agreement < UNRELATED and same_name:
        notes.append(
            f"{target.subject} is called as a subject that a scored model was tuned to, but its "
            f"units respond to {match.shared} shared images in another way (mean rank correlation "
            f"{match.agreement:.2f} of units with the same id): it is taken for another subject."
        )
        return False, no_units, notes
    if not match.named.any():
        if same_name and not comparable:
            notes.append(
                f"{target.subject} is called as a subject that a scored model was tuned to, but "
                "no unit id and hardly an image are the same: it is taken for another subject."
            )
        return same_name and comparable, no_units, notes
    if same_name:
        return True, match.named[target.units], notes
    if match.named.sum() == match.noted == len(match.named) and not comparable:
        notes.append(
            f"{target.subject} has the {match.noted} unit ids of {noted_subject}, to which a "
            "scored model was tuned, and shares no image with it by which responses could be "
            "compared. It counts as a new subject; if it is the same one, these scores are on new "
            "images."
        )
    return False, no_units, notes
