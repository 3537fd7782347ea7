"""What a page tells of probed units in few numbers."""

from __future__ import annotations

import pandas as pd
import pytest

from striate.evaluate.units.summary import (
    judge_difference,
    summarize_synthesis,
    typical_properties,
)


def test_properties_are_medians_and_flags_are_shares_of_units_that_count() -> None:
    units = pd.DataFrame(
        {
            "model": "m",
            "tap": ["b", "b", "b", "b", "a"],
            "responds": [True, True, True, False, False],
            "width": [1.0, 2.0, 9.0, 5.0, 5.0],
            "selective": [True, True, False, False, True],
        }
    )
    b, a = typical_properties(units, ["width", "selective"], "responds").to_dict("records")
    assert (b["tap"], b["units"], b["counted"], b["width"]) == ("b", 4, 3, 2.0)
    assert b["selective"] == pytest.approx(2 / 3)
    assert (a["counted"], a["units"]) == (0, 1) and pd.isna(a["width"])


def test_synthesis_is_told_by_family() -> None:
    samples = pd.DataFrame(
        {
            "family": ["z", "z", "z", "a"],
            "start": [1.0, 2.0, 6.0, 1.0],
            "end": [0.1, 0.2, 0.6, 0.1],
            "remaining": [0.1, 0.1, 0.4, 0.1],
            "evaluations": [3, 4, 8, 1],
            "seconds": [1.0, 2.0, 3.0, 1.0],
            "clipped": [0.0, 0.0, 0.3, 0.0],
        }
    )
    z, a = summarize_synthesis(samples).to_dict("records")
    assert (z["family"], z["samples"], z["start"], z["worst"]) == ("z", 3, 2.0, 0.4)
    assert z["evaluations"] == 4 and z["clipped"] == pytest.approx(0.1)
    assert a["samples"] == 1


@pytest.mark.parametrize(
    ("p", "low", "high", "verdict"),
    [
        (0.01, 0.1, 0.2, "larger"),
        (0.01, -0.2, -0.1, "smaller"),
        (0.01, -0.1, 0.2, "not sure"),
        (0.05, 0.1, 0.2, "not sure"),
        (0.01, float("nan"), float("nan"), "not sure"),
        (float("nan"), 0.1, 0.2, "untested"),
    ],
)
def test_a_difference_is_sure_by_test_and_interval(
    p: float, low: float, high: float, verdict: str
) -> None:
    assert judge_difference(p, low, high) == verdict
