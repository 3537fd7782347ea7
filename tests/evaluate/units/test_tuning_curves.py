"""Properties of tuning curves whose answer is known in closed form."""

from __future__ import annotations

import numpy as np
import pytest

from striate.core.errors import InputError
from striate.evaluate.units.tuning_curves import (
    circular_variance,
    fourier_components,
    frequency_tuning,
    half_contrast,
    modulation_ratio,
    orientation_bandwidth,
    orthogonal_preferred_ratio,
    preferred_orientation,
    size_tuning,
)

ANGLES = np.arange(0, 180, 15.0)


def test_orientation_of_cosine_tuning():
    """1 + cos 2(theta - p): circular variance 1/2, orthogonal 0, half width acos(sqrt 2 - 1)/2."""
    peaks = np.array([0.0, 37.0, 90.0, 178.0])
    curves = 1 + np.cos(2 * np.deg2rad(ANGLES - peaks[:, None]))
    off = (preferred_orientation(curves, ANGLES) - peaks + 90) % 180 - 90
    np.testing.assert_allclose(off, 0, atol=0.3)
    np.testing.assert_allclose(circular_variance(curves, ANGLES), 0.5)
    width = np.rad2deg(np.arccos(np.sqrt(2) - 1)) / 2
    np.testing.assert_allclose(orientation_bandwidth(curves, ANGLES, smooth=False), width, atol=0.2)
    on_grid = orthogonal_preferred_ratio(curves[[0, 2]], ANGLES)
    np.testing.assert_allclose(on_grid, 0, atol=1e-12)


def test_smoothing_widens_as_documented():
    sd = 20.0
    off = (ANGLES - 90 + 90) % 180 - 90
    curve = np.exp(-(off**2) / (2 * sd**2))[None]
    half = np.sqrt(2 * np.log(np.sqrt(2)))
    assert orientation_bandwidth(curve, ANGLES, smooth=False)[0] == pytest.approx(
        half * sd, abs=0.3
    )
    wider = half * np.sqrt(sd**2 + 0.44 * 15**2)
    assert orientation_bandwidth(curve, ANGLES)[0] == pytest.approx(wider, abs=0.5)


def test_an_untuned_unit_has_no_preference_and_no_bandwidth():
    flat = np.full((1, 12), 3.0)
    assert np.isnan(preferred_orientation(flat, ANGLES)[0])
    assert np.isnan(orientation_bandwidth(flat, ANGLES)[0])
    assert circular_variance(flat, ANGLES)[0] == pytest.approx(1)
    assert orthogonal_preferred_ratio(flat, ANGLES)[0] == 1
    weak = 10 + np.cos(2 * np.deg2rad(ANGLES))[None]
    assert np.isnan(orientation_bandwidth(weak, ANGLES)[0])
    assert preferred_orientation(weak, ANGLES)[0] == pytest.approx(0, abs=0.3)


def test_silent_units_are_nan_and_do_not_warn():
    nothing = np.zeros((2, 12))
    assert np.isnan(circular_variance(nothing, ANGLES)).all()
    assert np.isnan(orthogonal_preferred_ratio(nothing, ANGLES)).all()
    assert np.isnan(orientation_bandwidth(nothing, ANGLES)).all()
    assert np.isnan(modulation_ratio(np.zeros(2), np.zeros(2))).all()
    for values in frequency_tuning(nothing, np.geomspace(1, 16, 12)):
        assert np.isnan(values).all()
    assert np.isnan(size_tuning(nothing, np.arange(1.0, 13)).suppression_index).all()
    assert np.isnan(half_contrast(nothing, np.linspace(0.1, 1, 12))).all()


def test_modulation_of_rectified_and_steady_responses():
    for n, tolerance in ((8, 0.09), (64, 0.002)):
        phase = 2 * np.pi * np.arange(n) / n
        for shift in (0.0, 0.2, 0.39):
            f0, f1 = fourier_components(np.cos(phase - shift).clip(0))
            assert modulation_ratio(f0, f1) == pytest.approx(np.pi / 2, abs=tolerance)
    f0, f1 = fourier_components(np.full((3, 8), 2.0))
    np.testing.assert_allclose(f0, 2)
    np.testing.assert_allclose(f1, 0, atol=1e-12)
    with pytest.raises(InputError, match="phases"):
        fourier_components(np.ones((2, 3)))


def test_spatial_frequency_of_a_log_gaussian():
    """Full width at 1/sqrt(2) of a Gaussian over octaves: 2 sqrt(ln 2) standard deviations."""
    f = 2 ** np.arange(-1, 3.6, 0.25)
    peaks, sd = np.array([1.3, 2.0, 4.5]), 0.6
    curves = np.exp(-((np.log2(f) - np.log2(peaks)[:, None]) ** 2) / (2 * sd**2))
    peak, octaves = frequency_tuning(curves, f, smooth=False)
    np.testing.assert_allclose(np.log2(peak / peaks), 0, atol=0.02)
    np.testing.assert_allclose(octaves, 2 * np.sqrt(np.log(2)) * sd, atol=0.02)
    smooth_peak, wider = frequency_tuning(curves, f)
    np.testing.assert_allclose(np.log2(smooth_peak / peaks), 0, atol=0.03)
    assert (wider > octaves).all() and (wider < octaves + 0.1).all()


def test_low_pass_units_have_no_bandwidth():
    f = np.geomspace(0.5, 8, 9)
    peak, octaves = frequency_tuning(np.stack([1 / f, f]), f)
    assert np.isnan(octaves).all()
    np.testing.assert_allclose(peak, [0.5, 8])


def test_size_tuning_reads_peak_and_plateau():
    d = np.array([0.5, 1.0, 1.5, 2.0, 4.0, 8.0])
    tuning = size_tuning(np.array([[1, 9.6, 10, 8, 4.1, 4], [1, 4, 8, 9.9, 10, 10.0]]), d)
    np.testing.assert_allclose(tuning.preferred_diameter, [1.5, 4.0])
    np.testing.assert_allclose(tuning.summation_field, [1.0, 2.0])
    np.testing.assert_allclose(tuning.suppression_index, [0.6, 0.0])
    np.testing.assert_allclose(tuning.surround_diameter, [4.0, np.nan])


def test_half_contrast_of_a_naka_rushton_curve():
    c = np.geomspace(0.02, 1, 15)
    for c50 in (0.1, 0.3):
        curve = c**2 / (c**2 + c50**2)
        top = curve.max()
        expected = c50 * np.sqrt(top / (2 - top))
        assert half_contrast(curve[None], c)[0] == pytest.approx(expected, rel=0.02)
    assert np.isnan(half_contrast(np.ones((1, 15)), c)[0])


def test_axes_that_do_not_fit_are_refused():
    curve = np.ones((1, 5))
    with pytest.raises(InputError, match="evenly spaced"):
        circular_variance(curve, np.array([0, 10, 20, 30, 40.0]))
    with pytest.raises(InputError, match="even number"):
        orthogonal_preferred_ratio(curve, np.arange(5) * 36.0)
    with pytest.raises(InputError, match="spatial frequencies"):
        frequency_tuning(curve, np.array([0, 1, 2, 3, 4.0]))
    with pytest.raises(InputError, match="diameters"):
        size_tuning(curve, np.array([3, 2, 1, 5, 6.0]))
    with pytest.raises(InputError, match="contrasts"):
        half_contrast(curve, np.zeros(5))
