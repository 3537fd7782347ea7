"""Gratings: frequency, orientation, phase and contrast as asked for, apertures, bounded blocks."""

from __future__ import annotations

import numpy as np
import pytest

from striate.core.errors import InputError
from striate.evaluate.units.gratings import AXES, GRAY, Gratings, cycle, octaves, turns


def images(gratings, **kwargs):
    return np.concatenate(list(gratings.blocks(**kwargs)))


def spectrum(image):
    """Amplitudes (rows, columns) of a gray image about its mean; a sine of amplitude a gives a."""
    return 2 * np.abs(np.fft.fft2(image.astype(float) - GRAY)) / image.size


@pytest.mark.parametrize("angle", [0.0, 30.0, 45.0, 90.0, 120.0])
@pytest.mark.parametrize("frequency", [1.0, 4.0, 9.0, 13.5])
def test_energy_lies_at_the_frequency_asked_for_and_nowhere_else(angle, frequency):
    image = images(Gratings((angle,), (frequency,), (0.0,)))[0, ..., 0]
    window = np.hanning(224)[:, None] * np.hanning(224)
    power = np.abs(np.fft.fft2((image.astype(float) - GRAY) * window, (448, 448))) ** 2
    f = np.fft.fftfreq(448) * 28
    fy, fx = frequency * np.cos(np.deg2rad(angle)), frequency * np.sin(np.deg2rad(angle))
    far = np.minimum(np.hypot(f[:, None] - fy, f - fx), np.hypot(f[:, None] + fy, f + fx))
    y, x = np.unravel_index(power.argmax(), power.shape)
    assert far[y, x] < 28 / 448  # the nearest bin
    # leakage of the window and rounding to whole pixel values; an alias would hold nearly all
    assert power[far > 4 * 28 / 224].sum() < 1e-4 * power.sum()


@pytest.mark.parametrize("contrast", [0.05, 0.3, 1.0])
def test_contrast_is_michelson(contrast):
    # whole cycles, so that the Fourier amplitude is the sine's own; long ones, so that some pixels
    # lie at its extremes
    image = images(Gratings((90.0,), (0.25,), (0.0,), contrasts=(contrast,)))[0, ..., 0]
    assert spectrum(image)[0, 2] / GRAY == pytest.approx(contrast, abs=0.002)
    top, bottom = float(image.max()), float(image.min())
    assert (top - bottom) / (top + bottom) == pytest.approx(contrast, abs=0.01)
    assert image.mean() == pytest.approx(GRAY, abs=0.01)


def test_contrast_does_not_depend_on_orientation_or_frequency():
    gratings = Gratings(turns(4), (0.5, 6.0, 13.0), cycle(4))
    levels = gratings.draw(gratings.table)
    # two phases at right angles leave the amplitude at every pixel
    levels = levels.reshape(-1, 4, 224, 224) - GRAY
    np.testing.assert_allclose(np.hypot(levels[:, 0], levels[:, 1]), GRAY, rtol=1e-9)


def test_phases_and_orientations_follow_their_conventions():
    middle = (20.0, 20.0)
    shown = Gratings((0.0, 45.0, 90.0), (2.0,), cycle(4))
    gray = images(shown, size=41, center=middle)[..., 0].reshape(3, 4, 41, 41).astype(int)
    assert (gray[:, 0, 20, 20] == 254).all() and (gray[:, 2, 20, 20] == 0).all()
    assert np.ptp(gray[0, 0], axis=1).max() == 0  # horizontal bars are constant along rows
    assert np.ptp(gray[2, 0], axis=0).max() == 0
    assert np.ptp(np.diag(gray[1, 0][::-1])) == 0  # anticlockwise: up to the right
    assert gray[0, 1, 22, 20] > gray[0, 1, 18, 20]  # a rising phase moves bars downwards
    assert gray[2, 1, 20, 22] > gray[2, 1, 20, 18]


def test_images_are_neutral_uint8_in_the_order_of_the_table():
    gratings = Gratings(turns(2), (1.0, 2.0), cycle(4), (1.0, 2.0), (0.5, 1.0))
    blocks = list(gratings.blocks(size=64, block=10))
    assert [len(b) for b in blocks] == [10, 10, 10, 10, 10, 10, 4]
    whole = np.concatenate(blocks)
    assert whole.dtype == np.uint8 and whole.shape == (len(gratings), 64, 64, 3)
    assert (whole == whole[..., :1]).all()
    table = gratings.table
    assert list(table.columns) == list(AXES) and len(table) == len(gratings) == 64
    assert table["phase"].tolist()[:4] == [0, 90, 180, 270]
    alone = Gratings(*[(table.iloc[37][a],) for a in ("orientation", "spatial_frequency", "phase",
                                                      "diameter", "contrast")])  # fmt: skip
    np.testing.assert_array_equal(images(alone, size=64)[0], whole[37])


def test_an_aperture_has_its_diameter_and_leaves_gray_outside():
    gratings = Gratings((90.0,), (3.0,), (0.0, 90.0), (3.0,), edge=0.2)
    pair = gratings.draw(gratings.table) - GRAY
    envelope = np.hypot(*pair) / GRAY  # quadrature phases
    r = np.hypot(*(np.mgrid[:224, :224] - 111.5)) / 28
    assert np.allclose(envelope[r < 1.39], 1) and np.allclose(envelope[r > 1.61], 0)
    assert envelope[np.abs(r - 1.5) < 0.02].mean() == pytest.approx(0.5, abs=0.03)
    image = images(gratings)[0]
    assert (image[r > 1.61] == GRAY).all()


def test_a_blank_is_plain_gray():
    assert (images(Gratings((0.0,), (0.0,), (0.0,), contrasts=(0.0,)), size=8) == GRAY).all()


def test_values_that_make_no_grating_are_refused():
    for bad, message in [
        ({"spatial_frequencies": (14.0,)}, "alias"),
        ({"contrasts": (1.5,)}, "contrast"),
        ({"diameters": (0.05,)}, "edge"),
        ({"phases": ()}, "phase"),
        ({"orientations": (0.0, 0.0)}, "orientation"),
        ({"pixels_per_degree": 0.0}, "pixels_per_degree"),
    ]:
        values = {"orientations": (0.0,), "spatial_frequencies": (1.0,), **bad}
        with pytest.raises(InputError, match=message):
            Gratings(**values)
    with pytest.raises(InputError, match="octaves"):
        octaves(2.0, 1.0)
