"""The leak guard: refuse to score a model on stimuli, or relatives of stimuli, that it has seen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np

from striate.core.errors import LeakError
from striate.data.images.stimuli import StimulusSet
from striate.data.responses.dataset import Dataset
from striate.data.splits.split import Split


class Experienced(Protocol):
    """The attributes that the guard needs of a model (`striate.models.Model`)."""

    @property
    def seen(self) -> frozenset[str]:
        """Content hashes of the images that the model has seen."""

    @property
    def seen_files(self) -> frozenset[str]:
        """Hashes of the bytes of these images' files."""


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
    """Refuse to score a model on stimuli of which it has seen a copy or a relative in any stage.

    An image is recognized by its pixels or by the bytes of its file, as another library may decode
    a JPEG to other pixels. A model that has seen one frame of a movie has seen the movie.

    Args:
        seen: content hashes of the images that the model was tuned, grown or selected on.
        hashes: content hashes of the stimuli of the data set, of all subjects.
        what: what is being scored, for the message.
        seen_files: hashes of the files that the model has seen.
        file_hashes: hash of the file of each stimulus, `` where it has none; or nothing.
        groups: label of each stimulus, shared by stimuli that belong together, `` for one that
            stands alone; or nothing.
        tested: positions of the stimuli to be scored on; default all.

    Raises:
        LeakError: the model has seen test stimuli, or others of their groups; the message counts
            them.
    """
    pixels, files = set(seen), set(seen_files) - {""}
    is_seen = np.array([digest in pixels for digest in hashes], dtype=bool)
    if len(file_hashes):
        is_seen |= np.array([digest in files for digest in file_hashes], dtype=bool)
    rows = np.arange(len(hashes)) if tested is None else np.asarray(tested, dtype=np.int64)
    seen_tested = {hashes[row] for row in rows if is_seen[row]}
    if seen_tested:
        raise LeakError(
            f"{what}: the model has seen {len(seen_tested)} of {len({hashes[row] for row in rows})}"
            f" test stimuli in training (for example {min(seen_tested)[:12]}…). Score it on other "
            "stimuli, take the split that it was tuned with (split.table=RUN/splits.parquet), or "
            "tune it again with this split."
        )
    if not len(groups):
        return
    seen_groups = {
        group for group, was_seen in zip(groups, is_seen, strict=True) if was_seen and group
    }
    tested_groups = [groups[row] for row in rows if groups[row] in seen_groups]
    if tested_groups:
        shown = ", ".join(_shorten_group(group) for group in sorted(set(tested_groups))[:3])
        raise LeakError(
            f"{what}: {len(tested_groups)} of {len(rows)} test stimuli belong to groups of which "
            f"the model has seen other members in training (group {shown}): frames of one movie, "
            "or pictures that look alike. Score it on other stimuli, or tune it again with this "
            "split."
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

    No image is decoded for a model that has seen nothing.

    Args:
        model: the model to be scored.
        stimuli: stimuli of the data set.
        what: what is being scored, for the message.
        groups: labels as for `assert_unseen`; default the groups of the stimuli.
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

    Stimuli belong together over all subjects: a model that was tuned on one subject's frame of a
    movie is not scored on another frame for any subject.

    Args:
        model: the model to be scored.
        dataset: recordings of all subjects.
        split: split of the data set, which holds the groups.
        subject: the subject whose stimuli are tested.
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


def _shorten_group(group: str) -> str:
    """Return a group's name for a message; names of look-alikes are hashes, which are cut short."""
    return f"{group[:12]}…" if len(group) == 64 else repr(group)
