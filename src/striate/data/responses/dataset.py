"""Dataset, the result of a reader: each subject's stimuli with their responses, paired by id."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from striate.core.errors import InputError, unknown_name
from striate.data.images.decode import SUFFIXES
from striate.data.images.stimuli import StimulusSet
from striate.data.responses.responses import Responses


@dataclass(frozen=True)
class Recording:
    """One subject: row i of `responses` is the response to stimulus i of `stimuli`.

    Raises:
        InputError: the ids differ; missing and extra ids are named. Use `Recording.pair` to bring
            shuffled stimuli into the order of the responses.
    """

    subject: str
    stimuli: StimulusSet
    responses: Responses

    def __post_init__(self) -> None:
        if list(self.stimuli.ids) != self.responses.stimulus_ids:
            explain_mismatch(self.subject, self.stimuli, self.responses)
            raise InputError(
                f"subject {self.subject}: images and responses are in another order. "
                "Use Recording.pair."
            )

    @classmethod
    def pair(cls, subject: str, stimuli: StimulusSet, responses: Responses) -> Recording:
        """Pair stimuli and responses by id, in whatever order either is."""
        explain_mismatch(subject, stimuli, responses)
        return cls(subject, stimuli.subset(stimuli.indices(responses.stimulus_ids)), responses)


def explain_mismatch(subject: str, stimuli: StimulusSet, responses: Responses) -> None:
    """Raise InputError with the missing and extra ids if stimuli and responses do not pair."""
    missing = sorted(set(responses.stimulus_ids) - set(stimuli.ids))
    extra = sorted(set(stimuli.ids) - set(responses.stimulus_ids))
    if missing or extra:
        raise InputError(
            f"subject {subject}: {len(responses.stimulus_ids)} rows of responses and "
            f"{len(stimuli)} images do not pair by id. "
            f"{len(missing)} without an image ({', '.join(missing[:5]) or 'none'}), "
            f"{len(extra)} images without responses ({', '.join(extra[:5]) or 'none'})."
            + alike_ids(missing, extra)
        )


def alike_ids(rows: Iterable[str], images: Iterable[str]) -> str:
    """Return a hint about an id that differs from an image's by zeros, suffix, folder or case.

    Such ids are not paired: `1` may be `001` or an image that is missing, and only the owner of
    the data knows. The hint is empty where no ids are alike.

    >>> alike_ids(["1"], ["001", "002"])
    " Is '1' the image '001'? Write each id exactly as the image is named, without suffix."
    """
    image_by_bare_id = {_strip_id(name): name for name in images}
    for row in rows:
        if _strip_id(row) in image_by_bare_id:
            return (
                f" Is {row!r} the image {image_by_bare_id[_strip_id(row)]!r}? Write each id "
                "exactly as the image is named, without suffix."
            )
    return ""


def _strip_id(name: str) -> str:
    """Remove from an id what spreadsheets and scripts add, drop or change.

    These are zeros, `.0`, a suffix, quotes, folders (also with Windows' separators), case, and the
    hour of a date.
    """
    name = name.strip("\"'").replace("\\", "/").rpartition("/")[2].casefold()
    name = name.removesuffix(" 00:00:00")
    stem, dot, suffix = name.rpartition(".")
    if dot and (suffix == "0" or f".{suffix}" in SUFFIXES):
        name = stem
    return re.sub(r"0*(\d+)", r"\1", name)


@dataclass(frozen=True)
class Dataset(Mapping[str, Recording]):
    """All recordings that were read, by subject, in a fixed order.

    Attributes:
        name: name of the reader, such as `algonauts2023`.
        recordings: recording of each subject, by name.
        facts: facts to keep with a run (source, license, what the reader left out).
    """

    name: str
    recordings: Mapping[str, Recording]
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __getitem__(self, subject: str) -> Recording:
        try:
            return self.recordings[subject]
        except KeyError:
            raise unknown_name("subject", subject, self.recordings) from None

    def __contains__(self, subject: object) -> bool:
        return subject in self.recordings  # Mapping's default relies on a KeyError

    def __iter__(self) -> Iterator[str]:
        return iter(self.recordings)

    def __len__(self) -> int:
        return len(self.recordings)

    @property
    def simulated(self) -> bool:
        """Whether any of the responses are simulated."""
        return any(r.responses.simulated for r in self.recordings.values())

    def hashes(self) -> dict[str, np.ndarray]:
        """Content hash of each stimulus, by subject."""
        return {s: np.array(r.stimuli.hashes) for s, r in self.recordings.items()}
