"""Figures of filters: they draw from any arrays, also empty or partly missing ones."""

from __future__ import annotations

import numpy as np
import pytest

from striate.core.errors import InputError
from striate.report.figures import filters as ff
from striate.report.figures.common import png


def drawn(figure):
    assert png(figure).startswith("data:image/png;base64,")
    return figure


def test_filters_are_drawn_in_the_order_asked_for(rng):
    kernels = rng.normal(size=(10, 3, 5, 5))
    kernels[3], kernels[4, 0, 0, 0] = 0, np.nan
    figure = drawn(ff.filter_grid(kernels, order=[3, 4, 1], labels=["a", "b", "c"], columns=2))
    assert [a.get_xlabel() for a in figure.axes] == ["a", "b", "c"]
    shown = figure.axes[2].images[0].get_array()
    np.testing.assert_allclose(shown, ff.own_scale(kernels[1]))
    assert len(drawn(ff.filter_grid(kernels[:, :1])).axes) == 10
    assert len(drawn(ff.filter_grid(kernels[:, 0])).axes) == 10
    with pytest.raises(InputError, match="labels"):
        ff.filter_grid(kernels, labels=["a"])
    with pytest.raises(InputError, match="kernels"):
        ff.filter_grid(kernels[:, :2])


def test_each_kernel_has_its_own_scale_about_middle_gray():
    kernel = np.array([[[0.0, -2.0], [1.0, 2.0]]])
    np.testing.assert_allclose(ff.own_scale(kernel), [[0.5, 0.0], [0.75, 1.0]])
    assert (ff.own_scale(np.zeros((3, 2, 2))) == 0.5).all()


def test_preferences_leave_out_units_without_any(rng):
    angles, f = rng.uniform(0, 180, 30), 2 ** rng.uniform(0, 3, 30)
    angles[:5], f[3:8] = np.nan, np.nan
    figure = drawn(ff.preferences(angles, f, weights=rng.uniform(size=30)))
    assert "n = 25" in figure.axes[0].get_title()
    drawn(ff.preferences(np.array([0.0]), np.array([2.0]), per_degree=False))
    drawn(ff.preferences(np.full(3, np.nan), np.full(3, np.nan)))


def test_horizontal_bars_are_drawn_at_both_ends():
    figure = ff.preferences(np.array([1.0, 179.0, 90.0]), np.ones(3))
    heights = [bar.get_height() for bar in figure.axes[0].patches]
    assert heights[0] == heights[-1] == 2 and sum(heights) == 5


def test_the_share_of_good_fits_counts_units_without_one():
    figure = drawn(ff.fit_histogram({"grown": np.array([0.9, 0.8, 0.1, np.nan])}))
    (text,) = figure.axes[0].get_legend().get_texts()
    assert text.get_text() == "grown: 50% of 4 above"


def test_pooling_panels_show_units_asked_for(rng):
    plane, spatial = rng.uniform(size=(7, 3, 8)), rng.uniform(size=(7, 5, 5))
    plane[2, 0], plane[3] = np.nan, np.nan
    args = (plane, spatial, np.arange(8) * 22.5, np.geomspace(1, 8, 4))
    assert len(drawn(ff.pooling_panels(*args)).axes) == 14
    figure = drawn(ff.pooling_panels(*args, units=[6, 3], columns=1))
    assert [a.get_title() for a in figure.axes[::2]] == ["unit 6", "unit 3"]


def test_pairs_of_several_sizes(rng):
    pairs = {
        "stage 1": rng.integers(0, 255, (9, 2, 7, 7, 3), dtype=np.uint8),
        "stage 2": rng.integers(0, 255, (2, 2, 19, 19, 3), dtype=np.uint8),
    }
    drawn(ff.pairs_gallery(pairs, columns=4))
    with pytest.raises(InputError, match="stage 1"):
        ff.pairs_gallery({"stage 1": pairs["stage 1"].astype(float)})


def test_curves_bridge_steps_that_were_not_measured():
    rank = np.array([1.0, np.nan, 3.0])
    figure = drawn(
        ff.progress_curves({"loss": {"a": [3, 2, 1], "b": [2, 2, 2]}, "rank": {"a": rank}})
    )
    assert figure.axes[1].lines[0].get_xdata().tolist() == [1, 3]
    assert figure.axes[1].lines[0].get_color() == figure.axes[0].lines[0].get_color()
    with pytest.raises(InputError, match="3 values for 2"):
        ff.progress_curves({"loss": {"a": [3, 2, 1]}}, x=[1, 2])
