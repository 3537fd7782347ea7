"""Similarity of distributions and the files that published histograms are read from."""

from __future__ import annotations

import json

import numpy as np
import pytest

from striate.core.errors import InputError
from striate.evaluate.units.published_histograms import (
    Histogram,
    binned,
    compare,
    ks_similarity,
    read_histograms,
)

CSV = """property,low,high,count,source
circular_variance,0,0.5,10,Ringach 2002
circular_variance,0.5,1,30,Ringach 2002
"""


def test_similarity_by_hand():
    # cumulative .5 .75 against .25 .5: D = .25; worst: all in the first bin, 1 - .25
    assert ks_similarity(np.array([2, 1, 1]), np.array([1, 1, 2])) == pytest.approx(1 - 0.25 / 0.75)
    assert np.isnan(ks_similarity(np.zeros(3), np.ones(3)))
    with pytest.raises(InputError, match="same bins"):
        ks_similarity(np.ones(3), np.ones(4))
    with pytest.raises(InputError, match="at least 0"):
        ks_similarity(np.ones(3), np.array([1, -1, 2]))


def test_the_same_distribution_reaches_its_ceiling(rng):
    neurons = Histogram("x", np.linspace(0, 1, 11), np.full(10, 20.0))
    same = compare(rng.uniform(size=5000), neurons, samples=300)
    assert same.mean == pytest.approx(same.ceiling, abs=0.01) and same.ceiling > 0.9
    assert same.low < same.mean < same.high
    other = compare(rng.uniform(size=5000) ** 4, neurons, samples=300)
    assert other.high < same.low and other.neurons == 200
    assert compare(np.zeros(50), neurons, samples=10).mean == pytest.approx(0, abs=1e-9)


def test_units_without_the_property_are_counted(rng):
    neurons = Histogram("x", np.array([0.0, 0.5, 1.0]), np.array([5.0, 5.0]))
    comparison = compare(np.array([0.2, np.nan, 0.7]), neurons, samples=10)
    assert (comparison.units, comparison.undefined) == (2, 1)
    nothing = compare(np.full(3, np.nan), neurons, samples=10)
    assert np.isnan(nothing.mean) and nothing.undefined == 3
    flags = compare(np.array([True, False]), neurons, samples=10)
    assert flags.units == 2


def test_values_outside_count_to_the_nearest_bin():
    got = binned(np.array([-3.0, 0.2, 9.0, np.nan]), np.array([0.0, 0.5, 1.0]))
    assert got.tolist() == [2, 1]


def test_files(tmp_path):
    (tmp_path / "h.csv").write_text(CSV)
    histogram = read_histograms(tmp_path / "h.csv", ["circular_variance"])["circular_variance"]
    assert histogram.edges.tolist() == [0, 0.5, 1] and histogram.counts.tolist() == [10, 30]
    assert (histogram.neurons, histogram.source) == (40, "Ringach 2002")
    counted = {"circular_variance": {"edges": [0, 0.5, 1], "counts": [10, 30]}}
    (tmp_path / "h.json").write_text(json.dumps(counted))
    assert read_histograms(tmp_path / "h.json")["circular_variance"].neurons == 40


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (CSV.replace("circular_variance", "circular_varianc"), "Did you mean circular_variance"),
        (CSV.replace("0.5,1,30", "0.6,1,30"), "without gaps"),
        (CSV.replace(",30,", ",-3,"), "at least 0"),
        (CSV.replace(",30,", ",0.3,"), "whole numbers of neurons"),
        (CSV.replace(",30,", ",many,"), "many"),
        (CSV.replace("low", "from"), "no column 'low'"),
        ("property,low,high,count\n", "holds no histogram"),
    ],
)
def test_bad_files_are_named(text, says, tmp_path):
    (tmp_path / "h.csv").write_text(text)
    with pytest.raises(InputError, match=says) as error:
        read_histograms(tmp_path / "h.csv", ["circular_variance"])
    assert "h.csv" in str(error.value)


def test_bad_json(tmp_path):
    (tmp_path / "h.json").write_text('{"circular_variance": {"edges": [0, 1]}}')
    with pytest.raises(InputError, match="property circular_variance: expected lists"):
        read_histograms(tmp_path / "h.json")
    with pytest.raises(InputError, match="does not exist"):
        read_histograms(tmp_path / "none.csv")
