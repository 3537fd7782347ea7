"""What is refused, left out or standardized before tuning."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from striate.core.errors import InputError, LeakError
from striate.learning.tuning.targets import fingerprint, prepare
from tests.learning.tiny import SIZE, tiny_data


def ready(*data: Any, zscore: bool = False) -> list[Any]:
    return prepare(data, zscore=zscore, size=SIZE)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"responses": np.zeros((60, 0))}, "target lh/V1v: the ROI is empty"),
        ({"responses": np.zeros((59, 4))}, "lh/V1v.*'responses': 59"),
        ({"responses": np.zeros(60)}, r"lh/V1v.*found float64 \(60,\)"),
        ({"responses": np.zeros((60, 2), dtype=object)}, "lh/V1v.*object"),
        ({"images": np.zeros((60, 5, 5, 3), np.uint8)}, r"uint8 \(N, 12, 12, 3\)"),
        ({"images": np.zeros((60, 12, 12, 3))}, "found float64"),
        ({"tune": np.array([0])}, "tune part has 1 stimuli"),
        ({"tune": np.array([0, 60])}, "names position 60.*there are 60"),
        ({"tune": np.array([-1, 3])}, "least -1"),
        ({"tune": np.array([3, 3])}, "tune names a stimulus twice"),
        ({"tune": np.array([True, False])}, "tune must be positions"),
        ({"responses": np.full((60, 3), np.nan)}, "none of its 3 units"),
        ({"responses": np.ones((60, 3))}, "none of its 3 units"),
        ({"unit_ids": ["a", "b"]}, "2 unit ids for 12 units"),
    ],
)
def test_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ready(tiny_data("lh/V1v", **changes))


def test_no_target() -> None:
    with pytest.raises(InputError, match="at least one target"):
        ready()


def test_bad_units_are_left_out_with_one_warning() -> None:
    a, b, good = tiny_data("A", units=5), tiny_data("B", units=4, seed=1), tiny_data("C", seed=2)
    a.responses[3, 1] = np.nan
    a.responses[: len(a.tune), 4] = 7.0  # varies in select only
    b.responses[59, 0] = np.inf  # a select row
    with pytest.warns(
        UserWarning, match=r"A: 2 of 5 \(units 1, 4\); B: 1 of 4 \(units 0\)"
    ) as caught:
        targets = ready(a, b, good)
    assert len(caught) == 1
    assert targets[0].units.tolist() == [0, 2, 3]
    assert targets[0].tune_responses.shape == (40, 3)
    assert targets[1].select_responses.shape == (20, 3)
    assert len(targets[2].units) == 12


def test_units_that_are_left_out_are_named_by_their_ids() -> None:
    data = tiny_data("A", units=4, unit_ids=["lh-7", "lh-9", "rh-1", "rh-2"])
    data.responses[3, 1] = data.responses[5, 2] = np.nan
    with pytest.warns(UserWarning, match=r"A: 2 of 4 \(units lh-9, rh-1\)"):
        ready(data)


def test_values_in_other_parts_do_not_matter() -> None:
    data = tiny_data(tune=np.arange(30), select=np.arange(30, 40))
    data.responses[50] = np.nan
    assert len(ready(data)[0].units) == 12


def test_zscore_uses_the_tune_part_alone() -> None:
    data = tiny_data()
    data.responses[data.select] += 100
    (target,) = ready(data, zscore=True)
    np.testing.assert_allclose(target.tune_responses.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(target.tune_responses.std(0), 1, atol=1e-5)
    y = data.responses.astype(np.float64)
    expected = (y[data.select] - y[data.tune].mean(0)) / y[data.tune].std(0)
    np.testing.assert_allclose(target.select_responses, expected, rtol=1e-5)
    (plain,) = ready(data)
    np.testing.assert_array_equal(plain.tune_responses, data.responses[data.tune])


def test_a_stimulus_in_tune_here_and_select_there_is_a_leak() -> None:
    a, b = tiny_data("A"), tiny_data("B", tune=np.arange(40, 60), select=np.arange(40))
    with pytest.raises(LeakError, match=r"of target A .*select part and in the tune part of B"):
        ready(a, b)


def test_fingerprint_tells_data_apart() -> None:
    a, b = tiny_data(), tiny_data()
    assert fingerprint([a]) == fingerprint([b])
    b.responses[0, 0] += 1
    assert fingerprint([a]) != fingerprint([b])
