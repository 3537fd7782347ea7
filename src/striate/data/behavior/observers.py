"""Trials of several observers side by side: one row an observer, one column an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from striate.core.errors import InputError
from striate.data.behavior.trials import CATEGORIES, NO_ANSWER


@dataclass(frozen=True)
class Observers:
    """Observers of one experiment who judged the same T images.

    Attributes:
        experiment: its name.
        names: of the O observers.
        conditions: (T,) strings.
        images: (T,) strings; unique within a condition.
        category: (T,) index of the right category.
        response: (O, T) index of the category answered, -1 for no answer.
        categories: what the indices stand for.
    """

    experiment: str
    names: tuple[str, ...]
    conditions: np.ndarray
    images: np.ndarray
    category: np.ndarray
    response: np.ndarray
    categories: tuple[str, ...] = CATEGORIES

    @property
    def correct(self) -> np.ndarray:
        """Whether each answer is right, boolean (O, T)."""
        return np.asarray(self.response == self.category)

    @property
    def groups(self) -> np.ndarray:
        """Number of the condition of each image, (T,)."""
        return np.unique(self.conditions, return_inverse=True)[1]


def line_up(
    trials: pd.DataFrame,
    experiment: str,
    like: Observers | None = None,
    categories: Sequence[str] = CATEGORIES,
) -> Observers:
    """Put the observers of an experiment side by side, images in one order.

    Args:
        trials: tidy trials (`striate.data.behavior.trials`).
        experiment: which.
        like: observers whose images, in their order, these observers must have judged; further
            images, such as those of excluded conditions, are left out.
        categories: of the indices.

    Raises:
        InputError: no trials of the experiment, or observers who did not judge the same images in
            the same conditions with the same right category; observer and image are named.
    """
    own = trials[trials["experiment"] == experiment]
    if own.empty:
        raise InputError(f"no trials of experiment {experiment}.")
    keys = ["condition", "image"]
    wide = own.pivot(index=keys, columns="observer", values="response")
    _same_category(own, experiment)
    right = own.drop_duplicates(keys).set_index(keys)["category"].reindex(wide.index)
    if like is not None:
        wanted = pd.MultiIndex.from_arrays([like.conditions, like.images], names=keys)
        missing = wanted[~wanted.isin(wide.index)]
        if len(missing):
            raise _absent(experiment, str(wide.columns[0]), missing, len(wanted))
        wide, right = wide.reindex(wanted), right.reindex(wanted)
        theirs = [like.categories[k] for k in like.category]
        other = np.flatnonzero(right.to_numpy() != np.array(theirs))
        if len(other):
            condition, image = wanted[other[0]]
            raise InputError(
                f"experiment {experiment}: image {image} in condition {condition} is "
                f"{right.iloc[other[0]]} for {wide.columns[0]} and {theirs[other[0]]} for humans."
            )
    for observer in wide:
        gone = wide.index[wide[observer].isna()]
        if len(gone):
            raise _absent(experiment, str(observer), gone, len(wide))
    number = {name: i for i, name in enumerate(categories)} | {NO_ANSWER: -1}
    answers = np.array([[number[a] for a in wide[o]] for o in wide], dtype=np.int64)
    return Observers(
        experiment,
        tuple(str(o) for o in wide.columns),
        wide.index.get_level_values("condition").to_numpy(dtype=str),
        wide.index.get_level_values("image").to_numpy(dtype=str),
        np.array([number[c] for c in right], dtype=np.int64),
        answers,
        tuple(categories),
    )


def _absent(experiment: str, observer: str, gone: pd.Index[Any], n: int) -> InputError:
    condition, image = gone[0]
    return InputError(
        f"experiment {experiment}: observer {observer} has no trial of {len(gone)} of {n} images "
        f"that others judged (first: {image} in condition {condition}). Observers are compared "
        "image by image: all must have judged the same ones. Is a condition misspelt, or a "
        "session missing?"
    )


def _same_category(own: pd.DataFrame, experiment: str) -> None:
    kinds = own.groupby(["condition", "image"])["category"].nunique()
    if (kinds > 1).any():
        condition, image = kinds.index[int(np.argmax(kinds.to_numpy() > 1))]
        raise InputError(
            f"experiment {experiment}: image {image} in condition {condition} has another right "
            "category for some observers than for others."
        )
