"""Bundles: the stimuli that must stay together in a split, in folds and in resamples.

A bundle holds the copies of a picture, its look-alikes (re-encoded or resized copies), the frames
of a movie or other groups that a data set states, and everything that these link together.
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
    """The bundle of each picture of a data set.

    Attributes:
        leader: name of each picture's bundle, by content hash: the first name among its groups or,
            without groups, the smallest content hash in it. A picture that stands alone has its
            own hash.
        alike: name of the look-alikes of each picture, by content hash; `` where it has none. One
            name covers a whole chain of look-alikes, also a long chain that is cut into several
            bundles (`lookalikes.find_classes`).
    """

    leader: Mapping[str, str]
    alike: Mapping[str, str]

    def labels(self, stimuli: StimulusSet) -> tuple[str, ...]:
        """Label each stimulus of a subject with its bundle, `` where it stands alone.

        A label names the same bundle for all subjects, also where a subject saw only one member.
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
        """Number of different pictures in each bundle."""
        return Counter(self.leader.values())


def find_bundles(dataset: Dataset, lookalikes: Lookalikes = "group") -> Bundles:
    """Find the stimuli that must stay together, over all subjects of a data set.

    The result does not depend on the order of subjects or stimuli.

    Args:
        dataset: the recordings.
        lookalikes: `group` keeps pictures that look alike together; `warn` only names them;
            `ignore` does not look for them.
    """
    thumbnails: dict[str, np.ndarray] = {}
    parent: dict[tuple[int, str], tuple[int, str]] = {}

    def find_leader(node: tuple[int, str]) -> tuple[int, str]:
        while parent.setdefault(node, node) != node:
            parent[node] = node = parent[parent[node]]
        return node

    def join_bundles(a: tuple[int, str], b: tuple[int, str]) -> None:
        low, high = sorted((find_leader(a), find_leader(b)))
        parent[high] = low

    for recording in dataset.values():
        stimuli = recording.stimuli
        for i, (digest, group) in enumerate(zip(stimuli.hashes, stimuli.groups, strict=True)):
            find_leader((1, digest))
            if group:  # groups sort before pictures, so that a bundle is named by a group
                join_bundles((0, group), (1, digest))
            if lookalikes != "ignore" and digest not in thumbnails:
                thumbnails[digest] = stimuli.thumbnails[i]
    digests = sorted(thumbnails)
    alike: dict[str, str] = {}
    if digests:
        lookalike_classes = find_classes(np.stack([thumbnails[digest] for digest in digests]))
        representative: dict[int, str] = {}  # the smallest hash of each, as hashes are in order
        for digest, chain in zip(digests, lookalike_classes.chains.tolist(), strict=True):
            if chain >= 0:
                alike[digest] = representative.setdefault(chain, digest)
        if lookalikes == "group":
            representative = {}
            for digest, number in zip(digests, lookalike_classes.classes.tolist(), strict=True):
                if number >= 0:
                    join_bundles((1, representative.setdefault(number, digest)), (1, digest))
    return Bundles(
        {digest: find_leader((kind, digest))[1] for kind, digest in list(parent) if kind == 1},
        {digest: alike.get(digest, "") for kind, digest in parent if kind == 1},
    )


def group_numbers(groups: Sequence[str] | None, n: int) -> np.ndarray:
    """Number the groups of n stimuli (`StimulusSet.groups`) by first appearance, (n,) from 0.

    A stimulus that stands alone (``) is a group of its own. With None, all stimuli stand alone.

    Raises:
        InputError: the number of labels is not n.

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


def group_members(numbers: np.ndarray) -> list[np.ndarray]:
    """Return the positions of each group's stimuli, given the number of each stimulus's group.

    Args:
        numbers: int (n,), as from `group_numbers`.

    Returns:
        One array of ascending positions for each group, in the order of the groups' numbers.

    >>> group_members(np.array([0, 1, 0, 2]))
    [array([0, 2]), array([1]), array([3])]
    """
    if not len(numbers):
        return []
    order = np.argsort(numbers, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(numbers[order])) + 1)
