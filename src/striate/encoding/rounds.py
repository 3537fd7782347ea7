"""What is fitted and what is tested: rounds of a prediction, by a split or by groups of stimuli."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from striate.core.errors import InputError, LeakError, unknown_name
from striate.data.splits.bundles import group_numbers
from striate.encoding.folds import Fold, folds_within, make_folds


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
    fitted: Sequence[str] = ("fit",),
) -> list[Round]:
    """One round from the parts of a split.

    Args:
        parts: positions of stimuli: `select`, `test` and those in `fitted`.
        folds: of `select`, each held out in turn while the rest and `fitted` are fitted.
        seed: of the folds.
        groups: one label a stimulus of the whole set; folds keep a group whole.
        fitted: parts that are fitted besides `select`, and never held out.
    """
    for part in (*fitted, "select", "test"):
        if part not in parts:
            raise unknown_name("part", part, parts)
    train = np.sort(np.concatenate([parts[part] for part in (*fitted, "select")]))
    select = np.flatnonzero(np.isin(train, parts["select"]))
    select_folds = make_folds(len(select), folds, seed, labels_of(groups, train[select]))
    within = folds_within(len(train), select, select_folds)
    return [Round(train, np.sort(parts["test"]), tuple(within))]


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
        within = make_folds(len(train), folds, seed, labels_of(groups, train))
        out.append(Round(train, test, tuple(within)))
    return out


def labels_of(groups: Sequence[str] | None, rows: np.ndarray) -> list[str] | None:
    """Labels of some stimuli, given those of all; None where every stimulus stands alone."""
    return None if groups is None else [groups[row] for row in rows]


def check_rounds(
    rounds: Sequence[Round], hashes: Sequence[str], groups: Sequence[str] | None = None
) -> None:
    """Refuse rounds that test on what they fit, by image content or by group.

    Raises:
        LeakError: an image, or a group, is on both sides.
        InputError: a stimulus is tested in two rounds.
    """
    images, members = np.asarray(hashes), group_numbers(groups, len(hashes))
    for i, part in enumerate(rounds):
        for what, labels in (("images", images), ("groups", members)):
            both = np.intersect1d(labels[part.train], labels[part.test])
            if both.size:
                raise LeakError(f"round {i}: {both.size} {what} are fitted and tested.")
    tested = np.concatenate([part.test for part in rounds])
    if len(np.unique(tested)) < len(tested):
        raise InputError("a stimulus is tested in two rounds.")
