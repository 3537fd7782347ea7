"""What a page tells of grown units in few numbers."""

from __future__ import annotations

import pandas as pd
import pytest

from striate.evaluate.growth.summary import median_chromatic, quartiles, summarize_taps

TUNING = pd.DataFrame(
    {
        "tap": ["two", "two", "two", "two", "one"],
        "responds": [True, True, True, False, False],
        "orientation_selective": [True, False, False, False, False],
        "circular_variance": [0.1, 0.2, 0.6, float("nan"), float("nan")],
    }
)


def test_taps_are_in_the_order_of_the_table() -> None:
    two, one = summarize_taps(TUNING).to_dict("records")
    assert (two["tap"], two["units"], two["responds"]) == ("two", 4, 0.75)
    assert (two["orientation_selective"], two["circular_variance"]) == (0.25, 0.2)
    assert one["responds"] == 0 and pd.isna(one["circular_variance"])


def test_quartiles_are_of_units_that_have_the_property() -> None:
    two, one = quartiles(TUNING, ["circular_variance"]).to_dict("records")
    assert (two["low"], two["median"], two["high"]) == pytest.approx((0.15, 0.2, 0.4))
    assert (one["tap"], one["property"]) == ("one", "circular_variance") and pd.isna(one["low"])


def test_the_median_kernel() -> None:
    assert median_chromatic(pd.DataFrame({"chromatic": [0.1, 0.9, 0.2]})) == 0.2
