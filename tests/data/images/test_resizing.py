"""Rules of resizing: what they keep, what they cut off, and which are refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from striate.core.cache import Cache
from striate.core.errors import InputError
from striate.data import StimulusSet
from striate.data.images.decode import resize_image
from striate.data.images.resizing import FILTERS, Resizing


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_squash_and_crop_are_what_they_were() -> None:
    rgb = noise(40, 61)
    image, bilinear = Image.fromarray(rgb), Image.Resampling.BILINEAR
    assert np.array_equal(resize_image(rgb, 24), np.array(image.resize((24, 24), bilinear)))
    assert np.array_equal(
        resize_image(rgb, 24, "crop"), np.array(ImageOps.fit(image, (24, 24), bilinear))
    )


@settings(max_examples=60, deadline=None)
@given(
    st.integers(8, 90), st.integers(8, 90), st.integers(8, 40), st.integers(0, 12),
    st.sampled_from(sorted(FILTERS)), st.sampled_from(["squash", "center", "border"]),
)  # fmt: skip
def test_every_rule_gives_the_size_asked_for(
    height: int, width: int, size: int, margin: int, filter: str, mode: str
) -> None:
    out = resize_image(noise(height, width), size, f"{mode} {size + margin}:{size} {filter}")
    assert out.shape == (size, size, 3) and out.dtype == np.uint8


@given(st.integers(10, 40), st.integers(0, 9), st.integers(0, 30))
def test_center_cuts_the_middle_out_of_a_picture_of_the_right_height(
    size: int, margin: int, wider: int
) -> None:
    rgb = noise(size + margin, size + margin + wider)
    out = resize_image(rgb, size, f"center {size + margin}:{size}")
    top, left = round(margin / 2), round((margin + wider) / 2)
    assert np.array_equal(out, rgb[top : top + size, left : left + size])


def test_border_shows_the_whole_picture_on_its_color() -> None:
    rgb = noise(10, 20)
    out = resize_image(rgb, 20, "border 20:20 nearest 1,2,3")
    assert np.array_equal(out[5:15], rgb)
    assert (out[:5] == [1, 2, 3]).all() and (out[15:] == [1, 2, 3]).all()


@pytest.mark.parametrize(
    "rule",
    ["", "stretch", "center bicubicc", "center 0:9", "center 256", "crop 9:8", "crop bicubic",
     "squash 1,2,3", "center  9:8", "border 9:8 bicubic 1,2"],
)  # fmt: skip
def test_rules_that_are_not_understood_are_refused(rule: str) -> None:
    with pytest.raises(InputError, match=r"resize mode .*: expected 'squash' or 'crop', or a rule"):
        Resizing.read(rule)


def test_decoded_images_of_two_rules_do_not_share_a_cache_entry(tmp_path) -> None:
    stimuli, cache = StimulusSet(["a"], [noise(30, 40)]), Cache(tmp_path)
    rules = ["squash", "squash bicubic", "crop", "center 20:16 bicubic", "center 24:16 bicubic"]
    maps = [np.array(stimuli.decoded(16, rule, cache)) for rule in rules]
    for rule, pixels in zip(rules, maps, strict=True):
        assert np.array_equal(pixels[0], resize_image(noise(30, 40), 16, rule))
    assert len({pixels.tobytes() for pixels in maps}) == len(rules)
