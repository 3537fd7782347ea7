"""To what a model generalizes on a target: by the units and images it was tuned to, not by name."""

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
"""A target counts as tuned to where more than this share of its units were (ours)."""
UNRELATED = 0.1
"""Units of one id whose rank correlation over shared images is lower on average are others (ours):
the same units measured again agree better."""


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

        New images: to most of the target's units the model was tuned. Other units: of the same
        subject. New subjects: neither. Units are known by how they rank images, else by subject and
        id; of models that noted no units (version 0.1) names decide.
        """
        tunings = [s for s in model.provenance["stages"] if isinstance(s, Mapping)]
        tunings = [s for s in tunings if s.get("targets")]
        if not tunings:
            return Kind(NEW_SUBJECTS if target.subject in self.held_out else NEW_IMAGES)
        noted = [r for s in tunings for r in s.get("tuned_to", ())]
        if not noted:
            return _by_name(tunings, target)
        tuned = np.zeros(len(target.units), bool)
        same_subject, notes = False, []
        for record in noted:
            match = self._match(target.subject, record)
            subject, own, said = _judge(record, match, target)
            tuned |= own
            same_subject |= subject
            notes += said
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

    def _match(self, subject: str, record: Mapping[str, Any]) -> Match:
        key = (subject, id(record))
        if key not in self._matches:
            recording = self.recordings[subject]
            found = match_units(
                record,
                recording.stimuli.hashes,
                self.means[subject],
                recording.responses.unit_ids,
            )
            self._matches[key] = record, found  # the record is kept, so that its id stays its own
        return self._matches[key][1]


def _by_name(tunings: Sequence[Mapping[str, Any]], target: Target) -> Kind:
    if any(target.name in stage.get("targets", ()) for stage in tunings):
        return Kind(NEW_IMAGES)
    if any(target.subject in stage.get("subjects", ()) for stage in tunings):
        return Kind(OTHER_UNITS)
    return Kind(NEW_SUBJECTS)


def _judge(
    record: Mapping[str, Any], match: Match, target: Target
) -> tuple[bool, np.ndarray, list[str]]:
    """Whether the subject is the one noted, which units of the target were tuned to, and notes."""
    theirs, notes = str(record["subject"]), []
    one_name = theirs == target.subject
    common = match.known & match.same
    if common.any():
        own = match.same | (~match.known & match.named)
        if not one_name:
            notes.append(
                f"{target.subject} has {int(common.sum())} units that respond to "
                f"{match.shared} images exactly as units of {theirs} do, to which a scored model "
                "was tuned: it is taken for the same subject under another name."
            )
        return True, own[target.units], notes
    none = np.zeros(len(target.units), bool)
    experiment = match.shared >= FEWEST_IMAGES
    if match.agreement < UNRELATED and one_name:
        notes.append(
            f"{target.subject} is called as a subject that a scored model was tuned to, but its "
            f"units respond to {match.shared} shared images in another way (mean rank correlation "
            f"{match.agreement:.2f} of units with the same id): it is taken for another subject."
        )
        return False, none, notes
    if not match.named.any():
        if one_name and not experiment:
            notes.append(
                f"{target.subject} is called as a subject that a scored model was tuned to, but "
                "no unit id and hardly an image are the same: it is taken for another subject."
            )
        return one_name and experiment, none, notes
    if one_name:
        return True, match.named[target.units], notes
    if match.named.sum() == match.noted == len(match.named) and not experiment:
        notes.append(
            f"{target.subject} has the {match.noted} unit ids of {theirs}, to which a scored model "
            "was tuned, and shares no image with it by which responses could be compared. It "
            "counts as a new subject; if it is the same one, these scores are on new images."
        )
    return False, none, notes
