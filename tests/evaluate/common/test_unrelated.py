"""When nothing is predicted, that is said first."""

import numpy as np
import pandas as pd

from striate.core.files import read_json
from striate.evaluate.common.unrelated import find_unrelated
from striate.report import build


def scores(subject, p, r=-0.07):
    models = [f"m{i}" for i in range(len(p))]
    null = {"null_mean": 0.0, "null_95": 0.05, "permutations": 99}
    return pd.DataFrame({"subject": subject, "model": models, "r": r, "p": p, **null})


def test_a_subject_that_nothing_predicts_is_named_with_what_to_check():
    table = pd.concat([scores("a", [0.01, 0.01], 0.2), scores("b", [0.3, 0.9, 0.6])])
    (line,) = find_unrelated(table)
    assert "b" in line and "-0.07" in line and "doctor" in line
    assert "3 scores" in line


def test_where_all_are_so_it_says_any_subject_and_where_none_is_nothing():
    assert "any subject" in find_unrelated(scores("a", [0.4, 0.5]))[0]
    assert find_unrelated(scores("a", [0.01, 0.01], 0.2)) == []


def test_one_predicted_region_of_many_is_enough():
    """The number of permutations must not hide it: p cannot be below 0.01 here."""
    table = scores("a", [0.01, *[0.5] * 49])
    table["r"] = [0.4, *[0.0] * 49]
    assert find_unrelated(table) == []


def test_one_score_of_many_above_by_chance_is_no_prediction():
    table = scores("a", [0.01, *[0.5] * 49])
    table["r"] = [0.075, *[0.0] * 49]
    assert find_unrelated(table)


def test_without_a_null_nothing_is_claimed():
    assert find_unrelated(scores("a", [np.nan, np.nan])) == []


def test_pure_chance_is_called_so_in_95_of_100():
    rng = np.random.default_rng(0)
    said = []
    for _ in range(400):
        null, r = rng.standard_normal((12, 100)), rng.standard_normal(12)
        p = ((null >= r[:, None]).sum(axis=1) + 1) / 101
        table = scores("a", p).assign(
            r=r, null_mean=null.mean(axis=1), null_95=np.percentile(null, 95, axis=1),
            permutations=100,
        )  # fmt: skip
        said.append(bool(find_unrelated(table)))
    assert abs(np.mean(said) - 0.95) < 0.03


def test_a_run_on_unrelated_responses_says_so_before_all_else(run):
    """The responses of this world are noise; its report must not begin with gains."""
    (line,) = read_json(run / "unrelated.json")
    assert "NO MODEL PREDICTS ann" in line
    page = build(run).read_text(encoding="utf-8")
    assert page.index("NO MODEL PREDICTS") < page.index('class="answer"')
