"""Trials of several observers side by side: one row per observer, one column per image."""

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
        experiment: name of the experiment.
        names: names of the O observers.
        conditions: (T,) strings.
        images: (T,) strings; unique within a condition.
        category: (T,) index of the right category.
        response: (O, T) index of the category answered, -1 for no answer.
        categories: name of the category of each index.
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
        experiment: name of the experiment.
        like: observers whose images, in their order, these observers must have judged; other
            images, such as those of excluded conditions, are left out.
        categories: name of the category of each index.

    Raises:
        InputError: the experiment has no trials, or the observers did not judge the same images in
            the same conditions with the same right category; observer and image are named.
    """
    experiment_trials = trials[trials["experiment"] == experiment]
    if experiment_trials.empty:
        raise InputError(f"no trials of experiment {experiment}.")
    keys = ["condition", "image"]
    responses = experiment_trials.pivot(index=keys, columns="observer", values="response")
    _check_categories(experiment_trials, experiment)
    right_category = (
        experiment_trials.drop_duplicates(keys).set_index(keys)["category"].reindex(responses.index)
    )
    if like is not None:
        expected = pd.MultiIndex.from_arrays([like.conditions, like.images], names=keys)
        missing = expected[~expected.isin(responses.index)]
        if len(missing):
            raise _build_missing_error(
                experiment, str(responses.columns[0]), missing, len(expected)
            )
        responses, right_category = responses.reindex(expected), right_category.reindex(expected)
        categories_of_like = [like.categories[k] for k in like.category]
        differing = np.flatnonzero(right_category.to_numpy() != np.array(categories_of_like))
        if len(differing):
            condition, image = expected[differing[0]]
            raise InputError(
                f"experiment {experiment}: image {image} in condition {condition} is "
                f"{right_category.iloc[differing[0]]} for {responses.columns[0]} and "
                f"{categories_of_like[differing[0]]} for humans."
            )
    for observer in responses:
        unjudged = responses.index[responses[observer].isna()]
        if len(unjudged):
            raise _build_missing_error(experiment, str(observer), unjudged, len(responses))
    number = {name: i for i, name in enumerate(categories)} | {NO_ANSWER: -1}
    answers = np.array([[number[a] for a in responses[o]] for o in responses], dtype=np.int64)
    return Observers(
        experiment,
        tuple(str(o) for o in responses.columns),
        responses.index.get_level_values("condition").to_numpy(dtype=str),
        responses.index.get_level_values("image").to_numpy(dtype=str),
        np.array([number[c] for c in right_category], dtype=np.int64),
        answers,
        tuple(categories),
    )


def _build_missing_error(
    experiment: str, observer: str, missing: pd.Index[Any], n: int
) -> InputError:
    """Build the error for an observer without trials of `missing`, of n images."""
    condition, image = missing[0]
    return InputError(
        f"experiment {experiment}: observer {observer} has no trial of {len(missing)} of {n} "
        f"images that others judged (first: {image} in condition {condition}). Observers are "
        "compared image by image: all must have judged the same ones. Is a condition misspelt, or "
        "a session missing?"
    )


def _check_categories(experiment_trials: pd.DataFrame, experiment: str) -> None:
    """Refuse images whose right category is not the same for all observers."""
    n_categories = experiment_trials.groupby(["condition", "image"])["category"].nunique()
    if (n_categories > 1).any():
        condition, image = n_categories.index[int(np.argmax(n_categories.to_numpy() > 1))]
        raise InputError(
            f"experiment {experiment}: image {image} in condition {condition} has another right "
            "category for some observers than for others."
        )
