"""Gabor fits of planted, noisy and empty kernels; color; localization."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import check_grad

from striate.core.errors import InputError
from striate.evaluate.units.gabor_fits import (
    Gabor,
    _evaluate_gabor,
    _make_grid,
    collapse_color,
    fit_gabors,
    localization,
    share_of_gabors,
    spectral_peaks,
)
from striate.evaluate.units.gratings import Gratings

SIDE = 11


def planted(rng, n):
    """Gabors of the kinds that first stages learn, on 11 x 11 pixels."""
    return [
        Gabor(
            *rng.uniform(-2, 2, 2),
            rng.uniform(0, 180),
            rng.uniform(0.1, 0.3),
            rng.uniform(-180, 180),
            rng.uniform(1.2, 2.5),
            rng.uniform(1.5, 3.5),
            rng.uniform(0.5, 2),
            rng.uniform(-0.1, 0.1),
        )
        for _ in range(n)
    ]


def column(gabors, name):
    return np.array([getattr(g, name) for g in gabors])


def turned(a, b, period):
    return np.abs((np.asarray(a) - b + period / 2) % period - period / 2)


def in_color(rng, patterns, noise):
    kernels = rng.uniform(0.2, 1, (len(patterns), 3, 1, 1)) * patterns[:, None]
    return kernels + noise * kernels.std((1, 2, 3), keepdims=True) * rng.normal(size=kernels.shape)


def test_planted_gabors_come_back_exactly(rng):
    truth = planted(rng, 32)
    fits = fit_gabors(np.stack([g.draw(SIDE) for g in truth])[:, None])
    assert (fits["r2"] > 0.9999).all() and (fits["reason"] == "").all()
    assert turned(fits["orientation"], column(truth, "orientation"), 180).max() < 0.1
    for name in ("frequency", "sigma_x", "sigma_y"):
        np.testing.assert_allclose(fits[name], column(truth, name), rtol=0.01)
    for name in ("x0", "y0"):
        np.testing.assert_allclose(fits[name], column(truth, name), atol=0.02)
    # a turn by half a circle mirrors the phase, so compare what is drawn
    again = [Gabor(**{k: r[k] for k in vars(truth[0])}) for _, r in fits.iterrows()]
    for a, b in zip(again, truth, strict=True):
        np.testing.assert_allclose(a.draw(SIDE), b.draw(SIDE), atol=0.01)
    np.testing.assert_allclose(fits["aspect"], fits["sigma_y"] / fits["sigma_x"])
    np.testing.assert_allclose(fits["cycles_per_degree"], 28 * fits["frequency"])


def test_noisy_colored_gabors_are_recovered_within_tolerance(rng):
    """Noise of 0.3 of the kernel's own standard deviation."""
    truth = planted(rng, 32)
    fits = fit_gabors(in_color(rng, np.stack([g.draw(SIDE) for g in truth]), 0.3))
    assert share_of_gabors(fits) == 1 and fits["r2"].min() > 0.85
    orientation = turned(fits["orientation"], column(truth, "orientation"), 180)
    assert np.median(orientation) < 1 and orientation.max() < 6
    octaves = np.abs(np.log2(fits["frequency"] / column(truth, "frequency")))
    assert np.median(octaves) < 0.05 and octaves.max() < 0.35
    check = turned(fits["fft_orientation"], fits["orientation"], 180)
    assert np.median(check) < 4 and check.max() < 20


def test_noise_kernels_are_no_gabors(rng):
    fits = fit_gabors(rng.normal(size=(48, 3, SIDE, SIDE)))
    assert fits["r2"].max() < 0.4 and share_of_gabors(fits) == 0


def test_empty_kernels_are_nan_with_a_reason(rng):
    kernels = rng.normal(size=(4, 3, 7, 7))
    kernels[0], kernels[1], kernels[2] = 0, 1, np.nan
    fits = fit_gabors(kernels)
    assert fits["reason"].tolist() == ["flat", "flat", "not finite", ""]
    assert fits["r2"].isna().tolist() == [True, True, True, False]
    assert fits.loc[:2, ["orientation", "localization", "fft_frequency"]].isna().all(axis=None)
    everything = fit_gabors(np.zeros((3, 3, SIDE, SIDE)))
    assert (everything["reason"] == "flat").all() and share_of_gabors(everything) == 0


def test_a_filter_answers_most_to_the_grating_that_its_parameters_name(rng):
    """Filters and gratings count orientation, frequency and phase alike."""
    side = 61
    for angle, frequency, phase in [(20.0, 0.12, 40.0), (110.0, 0.08, -100.0)]:
        kernel = Gabor(0, 0, angle, frequency, phase, 7, 7).draw(side)
        angles, phases = (angle, angle + 40, 180 - angle), (phase, phase + 90, phase + 180)
        shown = Gratings(angles, (frequency * 28, frequency * 40), phases)
        answers = np.einsum("nij,ij->n", shown.draw(shown.table, side) - 127, kernel)
        assert answers.argmax() == 0


def test_color_is_collapsed_and_opponency_measured(rng):
    pattern = Gabor(0, 0, 45, 0.2, 0, 2, 2).draw(SIDE)
    pattern -= pattern.mean()
    colors = np.array([[1, 1, 1], [1, -1, 0], [0, 1, 0], [0, 0, 0], [-1, -1, -1]], dtype=float)
    kernels = colors[:, :, None, None] * pattern
    patterns, chromatic = collapse_color(kernels)
    np.testing.assert_allclose(chromatic, [0, 1, 2 / 3, np.nan, 0], atol=1e-12)
    scale = np.linalg.norm(colors, axis=1)
    assert np.abs(np.abs(patterns) - scale[:, None, None] * np.abs(pattern)).max() < 1e-12
    np.testing.assert_allclose(patterns[4], -np.sqrt(3) * pattern, atol=1e-12)  # dark stays dark
    gray, _ = collapse_color(kernels, "gray")
    np.testing.assert_allclose(gray[0], np.sqrt(3) * pattern)
    np.testing.assert_allclose(gray[1], 0, atol=1e-12)


def test_localization_tells_spots_from_noise(rng):
    spot = np.zeros((SIDE, SIDE))
    spot[2, 8] = 1
    assert localization(spot) > 0.98
    noise = [localization(rng.normal(size=(SIDE, SIDE))) for _ in range(20)]
    assert 0.33 < np.mean(noise) < 0.45
    assert np.isnan(localization(np.ones((SIDE, SIDE))))


def test_the_spectrum_peaks_where_the_carrier_is():
    for angle in (0.0, 30.0, 90.0, 150.0):
        orientation, frequency = spectral_peaks(Gabor(0, 0, angle, 0.22, 0, 2.5, 2.5).draw(SIDE))[0]
        assert turned(orientation, angle, 180) < 3 and frequency == pytest.approx(0.22, abs=0.02)


def test_the_jacobian_is_the_derivative(rng):
    x, y = _make_grid(7)
    p = rng.normal([0, 0, 1, 0.2, 0.8, 0.9, 1, 1, 0], 0.3)
    for pixel in (0, 20, 33):
        error = check_grad(
            lambda q, i=pixel: _evaluate_gabor(q, x, y)[0][i],
            lambda q, i=pixel: _evaluate_gabor(q, x, y)[1][i],
            p,
        )
        assert error < 1e-5


def test_kernels_that_cannot_be_fitted_are_refused():
    with pytest.raises(InputError, match="9 parameters"):
        fit_gabors(np.ones((2, 3, 3, 3)))
    with pytest.raises(InputError, match="shape"):
        fit_gabors(np.ones((2, 11, 11)))
