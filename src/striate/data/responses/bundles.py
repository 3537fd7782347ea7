"""Bundles: which stimuli must stay together, in a split, in folds and in resamples.

Copies of a picture, re-encoded or resized ones (look-alikes), and the frames of a movie or other
groups that a data set states; and all that hangs together by these.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from striate.core.errors import InputError
from striate.data.images.lookalikes import find_classes
from striate.data.images.stimuli import StimulusSet
from striate.data.responses.dataset import Dataset

Lookalikes = Literal["group", "warn", "ignore"]


@dataclass(frozen=True)
class Bundles:
    """What each picture of a data set must stay together with.

    Attributes:
        leader: what stands for a picture's bundle, by content hash: the first by name of its
            groups; without any, the smallest content hash, which is its own where it is alone.
        alike: name of the look-alikes of a picture by content hash, `` where it has none. Names
            reach over chains of look-alikes that `leader` has cut (`lookalikes.find_classes`).
    """

    leader: Mapping[str, str]
    alike: Mapping[str, str]

    def labels(self, stimuli: StimulusSet) -> tuple[str, ...]:
        """One label a stimulus of a subject, `` for one that stands alone: groups for folds.

        A label stands for one bundle in all subjects, also where a subject saw one member alone.
        """
        copies = Counter(stimuli.hashes)
        labels = []
        for digest, group in zip(stimuli.hashes, stimuli.groups, strict=True):
            leader = self.leader[digest]
            alone = not group and copies[digest] == 1 and self._sizes[leader] == 1
            labels.append("" if alone else leader)
        return tuple(labels)

    @cached_property
    def _sizes(self) -> Counter[str]:
        """How many different pictures each bundle has."""
        return Counter(self.leader.values())


def find_bundles(dataset: Dataset, lookalikes: Lookalikes = "group") -> Bundles:
    """Find what must stay together over all subjects of a data set.

    The outcome does not depend on the order of subjects or stimuli.

    Args:
        dataset: the recordings.
        lookalikes: `group`: pictures that look alike stay together; `warn`: they are only named;
            `ignore`: they are not looked for.
    """
    thumbnails: dict[str, np.ndarray] = {}
    parent: dict[tuple[int, str], tuple[int, str]] = {}

    def lead(node: tuple[int, str]) -> tuple[int, str]:
        while parent.setdefault(node, node) != node:
            parent[node] = node = parent[parent[node]]
        return node

    def join(a: tuple[int, str], b: tuple[int, str]) -> None:
        low, high = sorted((lead(a), lead(b)))
        parent[high] = low

    for recording in dataset.values():
        stimuli = recording.stimuli
        for i, (digest, group) in enumerate(zip(stimuli.hashes, stimuli.groups, strict=True)):
            lead((1, digest))
            if group:  # groups come before pictures: they give a bundle its name
                join((0, group), (1, digest))
            if lookalikes != "ignore" and digest not in thumbnails:
                thumbnails[digest] = stimuli.thumbnails[i]
    digests = sorted(thumbnails)
    alike: dict[str, str] = {}
    if digests:
        found = find_classes(np.stack([thumbnails[digest] for digest in digests]))
        first: dict[int, str] = {}  # the smallest hash, as they are in order
        for digest, chain in zip(digests, found.chains.tolist(), strict=True):
            if chain >= 0:
                alike[digest] = first.setdefault(chain, digest)
        if lookalikes == "group":
            first = {}
            for digest, number in zip(digests, found.classes.tolist(), strict=True):
                if number >= 0:
                    join((1, first.setdefault(number, digest)), (1, digest))
    return Bundles(
        {digest: lead((kind, digest))[1] for kind, digest in list(parent) if kind == 1},
        {digest: alike.get(digest, "") for kind, digest in parent if kind == 1},
    )


def group_numbers(groups: Sequence[str] | None, n: int) -> np.ndarray:
    """Number the groups of n stimuli (`StimulusSet.groups`) by first appearance, (n,) from 0.

    A stimulus that stands alone (``) is a group of its own; None: all are.

    Raises:
        InputError: not one label a stimulus.

    >>> group_numbers(["b", "", "b", "a", ""], 5)
    array([0, 1, 0, 2, 3])
    """
    if groups is None:
        return np.arange(n)
    if len(groups) != n:
        raise InputError(f"{len(groups)} groups for {n} stimuli: give one each.")
    labels = [(group, -1) if group else ("", i) for i, group in enumerate(groups)]
    numbers = {label: i for i, label in enumerate(dict.fromkeys(labels))}
    return np.array([numbers[label] for label in labels], dtype=np.int64)
