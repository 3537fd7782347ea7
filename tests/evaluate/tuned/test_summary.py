"""What a page tells of a comparison in few numbers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from striate.encoding.inference import ENOUGH_SUBJECTS
from striate.evaluate.tuned.summary import (
    average_controls,
    mean_tap_scores,
    summarize_ceilings,
    summarize_gains,
    summarize_null,
)

NAN = float("nan")


def gains(subjects: int, rois: int = 2) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A tuned model that is better in the first ROI and worse in the others, and untuned."""
    group, places = [], []
    for i in range(rois):
        sign = 1.0 if i == 0 else -1.0
        place = {"generalization": "new images", "hemisphere": "lh", "roi": f"V{i}"}
        row = {**place, "model": "tuned", "n_subjects": subjects, "r": 0.2 + i, "delta": sign}
        row |= {"q": 0.01, "share_improved": 0.6}
        row |= {"share_improved_low": 0.5, "share_improved_high": 0.7}
        group += [{**row, "model": "untuned", "delta": NAN, "q": NAN}, row]
        low, high = sign - 0.1, sign + 0.1
        places += [
            {**place, "model": "tuned", "subject": s, "delta_low": low, "delta_high": high}
            for s in range(subjects)
        ]
    return pd.DataFrame(group), pd.DataFrame(places)


def test_gains_are_means_over_rois_and_counts_of_what_is_sure() -> None:
    (gain,) = summarize_gains(*gains(ENOUGH_SUBJECTS)).to_dict("records")
    assert (gain["model"], gain["n_rois"], gain["tested"]) == ("tuned", 2, True)
    assert (gain["r"], gain["delta"], gain["share_improved"]) == pytest.approx((0.7, 0.0, 0.6))
    assert (gain["better"], gain["worse"]) == (1, 1)
    assert (gain["above"], gain["below"], gain["pairs"]) == (6, 6, 12)
    assert np.isnan(gain["share_low"])  # of several ROIs there is no interval


def test_of_one_roi_the_share_has_its_interval_and_few_subjects_are_not_tested() -> None:
    (gain,) = summarize_gains(*gains(ENOUGH_SUBJECTS - 1, rois=1)).to_dict("records")
    assert not gain["tested"] and (gain["share_low"], gain["share_high"]) == (0.5, 0.7)
    group, rois = gains(1, rois=1)  # runs of earlier versions
    group = group.drop(columns=["share_improved_low", "share_improved_high"])
    assert np.isnan(summarize_gains(group, rois)["share_low"].iloc[0])


def test_models_alone_have_no_gains() -> None:
    group, rois = gains(2)
    assert summarize_gains(group[group["model"] == "untuned"], rois).empty


def test_null_is_of_models_that_were_shuffled() -> None:
    null = pd.DataFrame(
        {
            "model": ["b", "b", "a", "a"],
            "r": [0.2, 0.4, 0.1, 0.9],
            "null_mean": [0.0, 0.1, 0.0, NAN],
            "null_95": [0.1, 0.3, 0.2, NAN],
            "p": [0.01, 0.2, 0.5, NAN],
            "permutations": [100, 100, 100, 0],
        }
    )
    first, second = summarize_null(null).to_dict("records")
    assert (first["model"], first["targets"], first["largest_p"]) == ("b", 2, 0.2)
    assert (first["r"], first["null_mean"], first["null_95"]) == pytest.approx((0.3, 0.05, 0.2))
    assert (second["r"], second["targets"]) == (0.1, 1)
    assert summarize_null(null.assign(permutations=0)).empty


def test_tap_scores_are_means_over_subjects_that_have_one() -> None:
    taps = pd.DataFrame(
        {
            "model": "m", "hemisphere": "lh", "roi": "V1", "tap": ["late", "early", "late"],
            "subject": ["a", "a", "b"], "score": [0.2, NAN, 0.4],
        }
    )  # fmt: skip
    (row,) = mean_tap_scores(taps).to_dict("records")
    assert row["tap"] == "late" and row["score"] == pytest.approx(0.3)


def test_ceilings_count_each_unit_once() -> None:
    scores = pd.DataFrame(
        {
            "subject": "a", "hemisphere": "lh", "unit_id": ["u", "v", "w", "u"],
            "ceiling": [0.5, NAN, 0.9, 0.5], "model": ["m", "m", "m", "n"],
        }
    )  # fmt: skip
    assert summarize_ceilings(scores) == (3, 2, 0.7, {})
    named = scores.assign(ceiling_source=["repeats", "", "repeats", "repeats"])
    assert summarize_ceilings(named).sources["repeats"] == 2


def test_controls_are_averaged_and_a_ceiling_is_of_all_subjects_or_none() -> None:
    place = {"generalization": "new images", "hemisphere": "lh", "model": "untuned"}
    rows = [("V1", "ann", 0.6, 0.1), ("V1", "bob", 0.8, 0.3), ("V2", "ann", 0.5, 0.2),
            ("V2", "bob", np.nan, 0.0)]  # fmt: skip
    table = pd.DataFrame(
        [{**place, "roi": r, "subject": s, "ceiling": c, "null_mean": n} for r, s, c, n in rows]
    )
    controls = average_controls(table, table).reset_index().set_index("roi")
    np.testing.assert_allclose(controls["null"], [0.2, 0.1])
    np.testing.assert_allclose(controls["ceiling"], [0.7, np.nan])
