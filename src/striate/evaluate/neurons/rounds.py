"""What is fitted and what is tested: rounds of a prediction, by a split or by groups of stimuli."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from striate.core.errors import InputError, LeakError, unknown_name
from striate.data.splits.bundles import group_numbers
from striate.encoding.ridge import folds_within, make_folds
from striate.encoding.solver import Fold


@dataclass(frozen=True)
class Round:
    """One fit: positions of stimuli.

    Attributes:
        train: (n_train,) fitted on.
        test: (n_test,) predicted.
        folds: by which tap and penalty are chosen; positions within `train`.
    """

    train: np.ndarray
    test: np.ndarray
    folds: tuple[Fold, ...]


def split_rounds(
    parts: Mapping[str, np.ndarray],
    folds: int = 5,
    seed: int = 0,
    groups: Sequence[str] | None = None,
) -> list[Round]:
    """One round from the parts of a split.

    Args:
        parts: positions of stimuli: `fit`, `select`, `test`.
        folds: of `select`, each held out in turn while the rest and `fit` are fitted.
        seed: of the folds.
        groups: one label a stimulus of the whole set; folds keep a group whole.
    """
    for part in ("fit", "select", "test"):
        if part not in parts:
            raise unknown_name("part", part, parts)
    train = np.sort(np.concatenate([parts["fit"], parts["select"]]))
    select = np.flatnonzero(np.isin(train, parts["select"]))
    own = None if groups is None else [groups[row] for row in train[select]]
    chosen = folds_within(len(train), select, make_folds(len(select), folds, seed, own))
    return [Round(train, np.sort(parts["test"]), tuple(chosen))]


def grouped_rounds(
    groups: Sequence[str], rounds: int = 5, folds: int = 4, seed: int = 0
) -> list[Round]:
    """Rounds in which every stimulus is tested once, and its group with it.

    Args:
        groups: one label a stimulus, `` for one that stands alone.
        rounds: number of rounds.
        folds: within the training stimuli of each round.
        seed: of the division into rounds and folds.

    >>> [(len(r.train), len(r.test), len(r.folds)) for r in grouped_rounds(list("aabbccdd"), 2, 2)]
    [(4, 4, 2), (4, 4, 2)]
    """
    out = []
    for train, test in make_folds(len(groups), rounds, seed, groups):
        own = [groups[row] for row in train]
        out.append(Round(train, test, tuple(make_folds(len(train), folds, seed, own))))
    return out


def check_rounds(
    rounds: Sequence[Round], hashes: Sequence[str], groups: Sequence[str] | None = None
) -> None:
    """Refuse rounds that test on what they fit, by image content or by group.

    Raises:
        LeakError: an image, or a group, is on both sides.
        InputError: a stimulus is tested in two rounds.
    """
    images, members = np.asarray(hashes), group_numbers(groups, len(hashes))
    for i, one in enumerate(rounds):
        for what, labels in (("images", images), ("groups", members)):
            both = np.intersect1d(labels[one.train], labels[one.test])
            if both.size:
                raise LeakError(f"round {i}: {both.size} {what} are fitted and tested.")
    tested = np.concatenate([one.test for one in rounds])
    if len(np.unique(tested)) < len(tested):
        raise InputError("a stimulus is tested in two rounds.")
