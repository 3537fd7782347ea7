"""Groups of models are shown as their mean."""

from __future__ import annotations

import pandas as pd
import pytest

from striate.evaluate.behavior.summary import mean_over_groups

GROUPS = {"base": None, "t/1": "tuned", "t/2": "tuned", "gone": None}
TABLE = pd.DataFrame(
    {
        "observer": ["humans", "t/1", "base", "t/2", "t/1", "t/2"],
        "category": ["cat", "cat", "cat", "cat", "dog", "dog"],
        "value": [0.9, 0.2, 0.1, 0.4, 0.6, float("nan")],
    }
)


def test_means_are_over_the_models_that_have_a_value() -> None:
    base, cat, dog = mean_over_groups(TABLE, GROUPS, ["category"]).to_dict("records")
    assert base == {"shown": "base", "category": "cat", "value": 0.1, "models": 1}
    assert (cat["shown"], cat["category"], cat["models"]) == ("tuned", "cat", 2)
    assert cat["value"] == pytest.approx(0.3)
    assert (dog["value"], dog["models"]) == (0.6, 1)


def test_without_a_value_there_is_a_row_and_without_a_model_there_is_none() -> None:
    table = TABLE.assign(value=float("nan"))
    base, tuned = mean_over_groups(table, GROUPS).to_dict("records")
    assert (base["shown"], tuned["shown"], tuned["models"]) == ("base", "tuned", 0)
    assert pd.isna(tuned["value"])
    assert list(mean_over_groups(table[:0], GROUPS).columns) == ["shown", "value", "models"]
