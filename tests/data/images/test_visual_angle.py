"""Stimuli in degrees: where they lie on the canvas, what an aperture leaves of them."""

from __future__ import annotations

import numpy as np
import pytest

from striate.core.errors import InputError
from striate.data import StimulusSet
from striate.data.images.visual_angle import (
    add_aperture,
    has_aperture,
    place_in_degrees,
    raised_cosine,
    shown,
)


def texture(seed: int = 0, side: int = 320) -> np.ndarray:
    gray = np.random.default_rng(seed).integers(0, 256, (side, side, 1), dtype=np.uint8)
    return gray.repeat(3, axis=2)


def test_four_degrees_on_a_canvas_of_eight():
    image = texture()
    canvas = place_in_degrees(image, 4, 8)
    assert canvas.shape == (640, 640, 3)
    np.testing.assert_array_equal(canvas[160:480, 160:480], image)
    canvas[160:480, 160:480] = 128
    assert (canvas == 128).all()
    np.testing.assert_array_equal(place_in_degrees(image, 4, 2), image[80:240, 80:240])
    np.testing.assert_array_equal(place_in_degrees(image, 4, 4), image)
    with pytest.raises(InputError, match="degrees must be positive"):
        place_in_degrees(image, 4, 0)


def test_the_texture_covers_the_central_112_of_224_pixels():
    images, aperture = shown(
        StimulusSet(["a"], [np.zeros((320, 320, 3), np.uint8)]), 224, aperture="none"
    )
    assert images.shape == (1, 224, 224, 3)
    assert aperture == "none"
    dark = images[0, ..., 0] < 64
    rows = np.flatnonzero(dark.any(axis=1))
    assert (rows[0], rows[-1]) == (56, 167)
    assert dark.sum() == 112**2


def test_aperture():
    weights = raised_cosine(320, 160)
    assert weights[160, 160] == 1
    assert weights[160, 240] == pytest.approx(0.5)
    assert weights[0, 160] == 0
    image = texture()
    faded = add_aperture(image)
    assert faded[160, 160].tolist() == image[160, 160].tolist()
    assert has_aperture(faded)
    assert not has_aperture(image)
    # four corners outside the circle, and what fades to less than one gray level
    gray = (faded == 128).all(axis=2).mean()
    assert 1 - np.pi / 4 < gray < 0.4
    expected = (image[100, 90, 0] - 128.0) * weights[100, 90] + 128
    assert faded[100, 90, 0] == int(expected)
    with pytest.raises(InputError, match="needs a square image, found 4 x 6"):
        add_aperture(np.zeros((4, 6, 3), np.uint8))


def test_apertures_are_added_once():
    plain, faded = texture(1, 64), add_aperture(texture(1, 64))
    first, first_treatment = shown(StimulusSet(["a"], [plain]), 32)
    unchanged, treatment = shown(StimulusSet(["a"], [faded]), 32)
    assert (first_treatment, treatment) == ("added", "already there")
    np.testing.assert_array_equal(first, unchanged)
    with pytest.raises(InputError, match=r"1 of 2 images fade .* \(first that differs: b\)"):
        shown(StimulusSet(["a", "b"], [plain, faded]), 32)
