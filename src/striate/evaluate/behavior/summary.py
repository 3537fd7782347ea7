"""What a page shows of groups of models as one: their means, from the tables of the run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd


def shown_as(groups: Mapping[str, str | None]) -> dict[str, list[str]]:
    """What is shown: a group of models as one, every other model by itself.

    >>> shown_as({"untuned": None, "tuned/1": "tuned", "tuned/2": "tuned"})
    {'untuned': ['untuned'], 'tuned': ['tuned/1', 'tuned/2']}
    """
    members: dict[str, list[str]] = {}
    for model, group in groups.items():
        members.setdefault(group or model, []).append(model)
    return members


def mean_over_groups(
    table: pd.DataFrame, groups: Mapping[str, str | None], by: Sequence[str] = ()
) -> pd.DataFrame:
    """Mean `value` over the models of each group; other models by themselves.

    Args:
        table: `observer`, `value` and the columns of `by`.
        groups: the group of each model, None for one that is in none.
        by: columns that set means apart, such as `category`.

    Returns:
        One row what is shown (`shown_as`) x `by`, where the table has any of its models: `shown`,
        the columns of `by`, `value`, and over how many `models` it is the mean: those whose value
        is not NaN.
    """
    rows: list[dict[str, Any]] = []
    for name, members in shown_as(groups).items():
        part = table[table["observer"].isin(members)]
        places: Iterable[tuple[Any, pd.DataFrame]] = [((), part)] if len(part) else []
        for place, values in part.groupby(list(by), sort=False) if by else places:
            row = {"shown": name, **dict(zip(by, place, strict=True))}
            mean, models = values["value"].mean(), int(values["value"].count())
            rows.append({**row, "value": mean, "models": models})
    return pd.DataFrame(rows, columns=["shown", *by, "value", "models"])
