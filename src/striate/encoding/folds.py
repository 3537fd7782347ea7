"""Folds: how rows are divided into those that are fitted and those that are held out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.model_selection import GroupKFold, KFold

from striate.core.errors import InputError
from striate.data.splits.bundles import group_numbers

Fold = tuple[np.ndarray, np.ndarray]
"""Positions of the training rows and of the validation rows."""


def make_folds(
    n: int, folds: Any, seed: int = 0, groups: Sequence[str] | None = None
) -> list[Fold]:
    """Return (training, validation) positions for n rows.

    Args:
        n: number of rows.
        folds: number of folds (rows are shuffled by `seed`), a scikit-learn splitter, or pairs of
            positions.
        seed: of the shuffling.
        groups: one label a row (`StimulusSet.groups`), `` for a row that stands alone: a group,
            such as the frames of a movie, is validated whole. None: every row stands alone.

    Raises:
        InputError: fewer than two rows a fold, positions outside 0..n-1, a fold whose training
            and validation rows overlap or share a group, fewer groups than folds.
    """
    members = group_numbers(groups, n)
    together = int(members.max(initial=-1)) + 1 < n
    if isinstance(folds, (int, np.integer)) and together:
        if not 2 <= folds <= members.max() + 1:
            raise InputError(
                f"{folds} folds of {members.max() + 1} groups of stimuli: at least 2 folds with a "
                "group each are needed. Use fewer folds or more stimuli."
            )
        folds = list(
            GroupKFold(int(folds), shuffle=True, random_state=seed).split(members, groups=members)
        )
    if isinstance(folds, (int, np.integer)):
        if not 2 <= folds <= n // 2:
            raise InputError(
                f"{folds} folds of {n} rows: at least 2 folds with 2 rows each are needed. "
                "Use fewer folds or more stimuli."
            )
        return list(KFold(int(folds), shuffle=True, random_state=seed).split(np.empty((n, 1))))
    if hasattr(folds, "split"):
        pairs = folds.split(np.empty((n, 1)), groups=members if together else None)
    else:
        pairs = folds
    out = [(np.asarray(a, dtype=np.int64), np.asarray(b, dtype=np.int64)) for a, b in pairs]
    if not out:
        raise InputError("folds is empty: give a number, a splitter, or pairs of positions.")
    for i, (train, validation) in enumerate(out):
        both = np.concatenate([train, validation])
        if len(train) < 2 or len(validation) < 2:
            raise InputError(
                f"fold {i} has {len(train)} training and {len(validation)} validation rows; "
                "each needs 2 or more."
            )
        if both.min() < 0 or both.max() >= n:
            raise InputError(f"fold {i} has positions outside 0..{n - 1}.")
        if len(np.unique(both)) < len(both):
            raise InputError(f"fold {i}: a row is twice among its training and validation rows.")
        if together and np.intersect1d(members[train], members[validation]).size:
            raise InputError(f"fold {i} divides a group between training and validation rows.")
    return out


def folds_within(n: int, inside: np.ndarray, folds: Sequence[Fold]) -> list[Fold]:
    """Folds of some of n rows, with the other rows always among those that are fitted.

    Args:
        n: number of rows.
        inside: positions of those that are held out in turn.
        folds: theirs, positions within `inside`.
    """
    out = []
    for _, held in folds:
        held = np.sort(inside[held])
        out.append((np.setdiff1d(np.arange(n), held), held))
    return out


def mean_over_folds(scores: np.ndarray) -> np.ndarray:
    """Average (n_folds, ...) over the folds in which the score is defined; NaN if none."""
    defined = np.isfinite(scores)
    total = np.where(defined, scores, 0.0).sum(axis=0)
    count = defined.sum(axis=0)
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
