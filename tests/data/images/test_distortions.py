"""Distortions do what their formulas say, are seeded, and keep the image's shape."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from striate.core.draws import generator_at
from striate.core.errors import InputError
from striate.data import EXCLUDED
from striate.data.images import distortions as d
from striate.data.images.eidolons import disarray


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    draw = np.random.default_rng(0)
    noise = draw.normal(0, 1, (4, 56, 56, 3))
    smooth = gaussian_filter(noise, (0, 3, 3, 0))
    return (128 + 35 * smooth / smooth.std()).clip(0, 255).astype(np.uint8)


def find_condition(experiment: str, severity: str) -> d.Condition:
    (condition,) = [c for c in d.conditions([experiment]) if c.severity == severity]
    return condition


@pytest.mark.parametrize("condition", d.conditions(), ids=lambda c: f"{c.experiment} {c.severity}")
def test_every_condition(images: np.ndarray, condition: d.Condition) -> None:
    before = images.copy()
    out = d.distort(images, condition, seed=1)
    assert out.shape == images.shape and out.dtype == np.uint8
    assert np.array_equal(images, before)
    assert np.array_equal(out, d.distort(images, condition, seed=1))
    if condition.experiment != "false-colour":
        assert (out == out[..., :1]).all()


def test_conditions_are_those_of_the_benchmark() -> None:
    every = d.conditions()
    assert len(every) == 71
    for name, excluded in EXCLUDED.items():
        if name != "colour":  # gray images: the control of most others
            assert set(excluded) <= set(d.SEVERITIES[name])
    assert [c.severity for c in every if c.experiment == "rotation" and c.excluded] == ["0"]


@pytest.mark.parametrize(
    ("experiment", "severity"),
    [("contrast", "c100"), ("high-pass", "inf"), ("low-pass", "0"), ("phase-scrambling", "0"),
     ("power-equalisation", "0"), ("rotation", "0")],
)  # fmt: skip
def test_the_mildest_is_the_gray_image(images: np.ndarray, experiment: str, severity: str) -> None:
    out = d.distort(images, find_condition(experiment, severity))[..., 0]
    assert np.array_equal(out, d.to_bytes(d.gray(images)))


def test_contrast_and_noise(images: np.ndarray) -> None:
    x = d.gray(images)
    assert d.contrast(x, 0.1) == pytest.approx(0.45 + 0.1 * x)
    draws = [generator_at(0, n) for n in range(4)]
    noise = d.uniform_noise(x, 0.2, draws) - x
    assert np.abs(noise).max() <= 0.2 and noise.std() == pytest.approx(0.2 / np.sqrt(3), rel=0.05)
    assert not np.array_equal(noise[0], noise[1])


@pytest.mark.parametrize("sigma", [1.0, 2.5])
def test_filters_are_gaussian(images: np.ndarray, sigma: float) -> None:
    x = d.gray(images)
    blurred = np.stack([gaussian_filter(i, sigma, mode="constant", cval=d.GRAY) for i in x])
    assert d.low_pass(x, sigma) == pytest.approx(blurred, abs=2e-3)
    rest = d.high_pass(x, sigma)
    assert rest.mean(axis=(1, 2)) == pytest.approx(d.GRAY)
    assert (rest - rest.mean((1, 2), keepdims=True)) == pytest.approx(
        (x - blurred) - (x - blurred).mean((1, 2), keepdims=True), abs=4e-3
    )


def test_phase_noise_keeps_amplitudes_and_bounds_shifts(images: np.ndarray) -> None:
    x = d.gray(images)
    out = d.phase_noise(x, 60, [generator_at(0, n) for n in range(4)])
    before, after = np.fft.fft2(x), np.fft.fft2(out)
    assert np.abs(after) == pytest.approx(np.abs(before), abs=1e-9)
    shifts = np.angle(after * before.conj(), deg=True)[np.abs(before) > 1e-6]
    assert np.abs(shifts).max() <= 60 + 1e-6 and np.abs(shifts).max() > 55
    assert out.mean(axis=(1, 2)) == pytest.approx(x.mean(axis=(1, 2)))


def test_power_equalization(images: np.ndarray) -> None:
    x, amplitude = d.gray(images), d.mean_amplitude(images, block=3)
    assert amplitude == pytest.approx(np.abs(np.fft.fft2(x)).mean(axis=0))
    out = np.fft.fft2(d.equalize_power(x, amplitude))
    assert np.abs(out) == pytest.approx(np.broadcast_to(amplitude, x.shape))
    assert np.angle(out * np.fft.fft2(x).conj()) == pytest.approx(0, abs=1e-6)
    with pytest.raises(InputError, match=r"\(8, 8\), the images are \(56, 56\)"):
        d.equalize_power(x, np.ones((8, 8)))


def test_rotation_is_anticlockwise(images: np.ndarray) -> None:
    out = d.distort(images, find_condition("rotation", "90"))[..., 0]
    assert np.array_equal(out, np.rot90(d.to_bytes(d.gray(images)), axes=(1, 2)))


def test_false_color_turns_hue_and_keeps_luminance() -> None:
    # muted colors, whose opponents can be shown
    colors = np.array([[[[140, 120, 120], [120, 140, 125], [128, 128, 128]]]], np.uint8)
    out = d.false_color(colors)
    assert np.abs(out[0, 0, 2].astype(int) - 128).max() <= 1
    assert out[0, 0, 0, 0] < out[0, 0, 0, 1] and out[0, 0, 1, 1] < out[0, 0, 1, 0]
    linear = lambda v: ((v / 255 + 0.055) / 1.055) ** 2.4  # noqa: E731
    weights = np.array(d.LUMINANCE)
    assert linear(out) @ weights == pytest.approx(linear(colors) @ weights, abs=4e-3)
    assert np.abs(d.false_color(out).astype(int) - colors).max() <= 2


def test_eidolons(images: np.ndarray) -> None:
    x = d.gray(images)

    def made(reach: float, coherence: float) -> np.ndarray:
        return disarray(x, reach, coherence, 2.5, [generator_at(0, n) for n in range(4)])

    assert made(0, 0.5) == pytest.approx(x)  # the scales add up to the image
    apart = [np.abs(made(r, 1.0) - x).mean() for r in (0.5, 2, 8)]
    assert apart == sorted(apart) and apart[0] > 0
    # moved together, values are those of the image; moved apart, they are mixed
    assert np.isin(made(4, 1.0)[0].round(9), x[0].round(9)).all()
    assert not np.isin(made(4, 0.0)[0].round(9), x[0].round(9)).all()


def test_lengths_scale_with_the_image(images: np.ndarray) -> None:
    twice = images.repeat(2, axis=1).repeat(2, axis=2)
    small, large = (d.distort(i, find_condition("low-pass", "15"))[..., 0] for i in (images, twice))
    shrunk = large.reshape(4, 56, 2, 56, 2).mean(axis=(2, 4))
    assert np.abs(shrunk - small).mean() < 1.5


def test_draws_go_by_the_number_of_the_image(images: np.ndarray) -> None:
    noise = find_condition("uniform-noise", "0.2")
    whole = d.distort(images, noise, seed=3)
    assert np.array_equal(whole[2:], d.distort(images[2:], noise, seed=3, first=2))
    assert not np.array_equal(whole, d.distort(images, noise, seed=4))


def test_bad_inputs(images: np.ndarray) -> None:
    with pytest.raises(InputError, match=r"uint8 \(N, H, W, 3\), found float64"):
        d.distort(images.astype(float), find_condition("contrast", "c50"))
    with pytest.raises(InputError, match=r"unknown distortion 'contrasts'\. Did you mean contrast"):
        d.conditions(["contrasts"])
    with pytest.raises(InputError, match="unknown condition of contrast 'c20'"):
        d.distort(images, d.Condition("contrast", "c20", 0, False))
