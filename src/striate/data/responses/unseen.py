"""The leak guard: no model is scored on what it saw in any stage, nor on what belongs to it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np

from striate.core.errors import LeakError
from striate.data.images.stimuli import StimulusSet
from striate.data.responses.dataset import Dataset
from striate.data.responses.splits import Split


class Experienced(Protocol):
    """What is asked of a model (`striate.models.Model`)."""

    @property
    def seen(self) -> frozenset[str]:
        """Content hashes of the images that it has seen."""

    @property
    def seen_files(self) -> frozenset[str]:
        """Hashes of the bytes of their files."""


def assert_unseen(
    seen: Iterable[str],
    hashes: Sequence[str],
    what: str,
    *,
    seen_files: Iterable[str] = (),
    file_hashes: Sequence[str] = (),
    groups: Sequence[str] = (),
    tested: Sequence[int] | np.ndarray | None = None,
) -> None:
    """Refuse to score on stimuli that the model has seen in any stage, or of which it saw a part.

    An image is known by its pixels or by the bytes of its file: another library decodes a JPEG to
    other pixels. A model that has seen one frame of a movie has seen the movie.

    Args:
        seen: content hashes of what the model was tuned, grown or selected on.
        hashes: content hashes of the stimuli of the data set, of all subjects.
        what: what is being scored, for the message.
        seen_files: hashes of the files that the model has seen.
        file_hashes: hash of the file of each stimulus, `` where it has none; or nothing.
        groups: one label a stimulus for what belongs together, `` for what stands alone; or
            nothing.
        tested: positions of the stimuli to be scored on; default all.

    Raises:
        LeakError: with how many overlap, and the group where the overlap is by that alone.
    """
    pixels, files = set(seen), set(seen_files) - {""}
    known = np.array([digest in pixels for digest in hashes], dtype=bool)
    if len(file_hashes):
        known |= np.array([digest in files for digest in file_hashes], dtype=bool)
    rows = np.arange(len(hashes)) if tested is None else np.asarray(tested, dtype=np.int64)
    both = {hashes[row] for row in rows if known[row]}
    if both:
        raise LeakError(
            f"{what}: the model has seen {len(both)} of {len({hashes[row] for row in rows})} test "
            f"stimuli in training (for example {min(both)[:12]}…). Score it on other stimuli, take "
            "the split that it was tuned with (split.table=RUN/splits.parquet), or tune it again "
            "with this split."
        )
    if not len(groups):
        return
    touched = {group for group, one in zip(groups, known, strict=True) if one and group}
    near = [groups[row] for row in rows if groups[row] in touched]
    if near:
        shown = ", ".join(_shorten(group) for group in sorted(set(near))[:3])
        raise LeakError(
            f"{what}: {len(near)} of {len(rows)} test stimuli belong to groups of which the model "
            f"has seen other members in training (group {shown}): frames of one movie, or pictures "
            "that look alike. Score it on other stimuli, or tune it again with this split."
        )


def assert_unseen_by(
    model: Experienced,
    stimuli: StimulusSet,
    what: str,
    *,
    groups: Sequence[str] | None = None,
    tested: Sequence[int] | np.ndarray | None = None,
) -> None:
    """Refuse to score a model on stimuli that it has seen; see `assert_unseen`.

    Nothing is decoded for a model that has seen nothing.

    Args:
        model: to be scored.
        stimuli: of the data set.
        what: what is being scored, for the message.
        groups: default those of the stimuli.
        tested: positions of the stimuli to be scored on; default all.
    """
    if not model.seen and not model.seen_files:
        return
    assert_unseen(
        model.seen,
        stimuli.hashes,
        what,
        seen_files=model.seen_files,
        file_hashes=stimuli.file_hashes,
        groups=stimuli.groups if groups is None else groups,
        tested=tested,
    )


def assert_unseen_in(
    model: Experienced,
    dataset: Dataset,
    split: Split,
    subject: str,
    what: str,
    tested: Sequence[int] | np.ndarray | None = None,
) -> None:
    """Refuse to score a model on a subject's stimuli that it has seen; see `assert_unseen`.

    Which stimuli belong together is known over all subjects: a model that was tuned on one
    subject's frame of a movie is not scored on another frame for anybody.

    Args:
        model: to be scored.
        dataset: all subjects.
        split: of the data set; it knows the groups.
        subject: whose stimuli are tested.
        what: what is being scored, for the message.
        tested: positions of the stimuli to be scored on; default those of part `test`.
    """
    if not model.seen and not model.seen_files:
        return
    tested = split.part(subject, "test") if tested is None else np.asarray(tested, np.int64)
    hashes: list[str] = []
    files: list[str] = []
    groups: list[str] = []
    for name, recording in dataset.items():
        if name == subject:
            tested = tested + len(hashes)
        hashes += recording.stimuli.hashes
        files += recording.stimuli.file_hashes
        groups += split.groups(name)
    assert_unseen(
        model.seen,
        hashes,
        what,
        seen_files=model.seen_files,
        file_hashes=files,
        groups=groups,
        tested=tested,
    )


def _shorten(group: str) -> str:
    """A group's name; of look-alikes it is a hash."""
    return f"{group[:12]}…" if len(group) == 64 else repr(group)
