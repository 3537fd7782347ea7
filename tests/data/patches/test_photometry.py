"""Light, color and contrast of the views."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from striate.data.patches.photometry import (
    Light,
    PhotometryConfig,
    light,
    relight,
    standardize,
    to_gray,
)

PLAIN = PhotometryConfig(log_gain=0, offset=0, noise=0, center=False, contrast=False)


def patches(rng: np.random.Generator, channels: int = 3) -> torch.Tensor:
    return torch.from_numpy(rng.random((6, channels, 2, 9, 9), dtype=np.float32) * 255)


def test_all_off_only_scales_to_one(rng):
    x = patches(rng)
    out = relight(x.clone(), light(6, 9, PLAIN), PLAIN)
    out, factor = standardize(out, PLAIN)
    assert factor is None
    torch.testing.assert_close(out, x / 255)


def test_gain_and_offset_have_the_spread_asked_for():
    drawn = light(20000, 3, PhotometryConfig(log_gain=0.4, offset=0.2))
    assert drawn.gain.shape == drawn.offset.shape == (20000, 2, 3)
    assert drawn.gain.log().std().item() == pytest.approx(0.4, rel=0.02)
    assert drawn.offset.std().item() == pytest.approx(0.2, rel=0.02)
    values = torch.cat([drawn.gain.log(), drawn.offset], 2).flatten(1).T
    assert (torch.corrcoef(values) - torch.eye(12)).abs().max() < 0.04


def test_each_channel_gets_its_own_gain_and_offset(rng):
    config = PLAIN.model_copy(update={"log_gain": 0.4, "offset": 0.2})
    x, drawn = patches(rng), light(6, 9, config)
    out = relight(x.clone(), drawn, config)
    for sample, channel, view in [(0, 0, 0), (3, 2, 1), (5, 1, 0)]:
        expected = x[sample, channel, view] / 255 * drawn.gain[sample, view, channel]
        expected = expected + drawn.offset[sample, view, channel]
        torch.testing.assert_close(out[sample, channel, view], expected)


def test_noise_is_white_and_another_for_every_sample_and_view():
    config = PLAIN.model_copy(update={"noise": 0.05})
    out = relight(torch.zeros(40, 3, 2, 35, 35), light(40, 35, config), config)
    assert out.std().item() == pytest.approx(0.05, rel=0.02)
    assert abs(out.mean().item()) < 1e-3
    flat = out.permute(0, 2, 1, 3, 4).reshape(240, -1)  # every sample, view and channel
    related = torch.corrcoef(flat) - torch.eye(240)
    assert related.abs().max() < 0.2  # 1225 values: a standard deviation of 0.029
    assert len(torch.unique(flat, dim=0)) == 240
    shifted = torch.corrcoef(torch.stack([out[..., 1:].flatten(), out[..., :-1].flatten()]))
    assert abs(shifted[0, 1].item()) < 0.01


@pytest.mark.parametrize(("count", "patch"), [(1, 5), (3, 700), (5000, 20)])
def test_noise_for_any_size_of_batch_and_patch(count, patch):
    drawn = light(count, patch, PhotometryConfig())
    for view in drawn.noise:
        assert view.shape == (count, 3, patch, patch)
        assert torch.isfinite(view[-1]).all()


def test_centered_and_of_unit_contrast(rng):
    config = PhotometryConfig()
    x = patches(rng)
    x[:, 0] *= 0.1  # channels keep their proportions
    before = x.clone()
    out, factor = standardize(x / 255, config)
    assert factor is not None
    out = out * factor
    assert out.mean((3, 4)).abs().max() < 1e-5
    torch.testing.assert_close(out.square().mean((1, 3, 4)), torch.ones(6, 2))
    ratio = out[:, 0].std((2, 3)) / out[:, 1].std((2, 3))
    torch.testing.assert_close(ratio, before[:, 0].std((2, 3)) / before[:, 1].std((2, 3)))


def test_contrast_without_centering_keeps_the_mean(rng):
    config = PhotometryConfig(center=False)
    x = patches(rng) / 255
    out, factor = standardize(x.clone(), config)
    assert factor is not None
    centered = x - x.mean((3, 4), keepdim=True)
    contrast = centered.square().mean((1, 3, 4), keepdim=True).sqrt()
    torch.testing.assert_close(out * factor, x / contrast)


@pytest.mark.parametrize("level", [0.0, 37.0, 255.0])
def test_a_flat_patch_becomes_zeros(level):
    config = PhotometryConfig(noise=0)
    x = relight(torch.full((4, 3, 2, 35, 35), level), light(4, 35, config), config)
    out, factor = standardize(x, config)
    assert factor is not None
    assert (out * factor).abs().max() < 1e-4


def test_offset_alone_disappears_with_centering(rng):
    x, drawn = patches(rng), light(6, 9, PhotometryConfig(noise=0))
    without = Light(drawn.gain, torch.zeros_like(drawn.offset))
    config = PhotometryConfig(noise=0)
    with_light, without_light = (
        standardize(relight(x.clone(), d, config), config)[0] for d in (drawn, without)
    )
    torch.testing.assert_close(with_light, without_light)


def test_gray_is_luma_and_has_one_gain(rng):
    config = PhotometryConfig(gray=True)
    x = torch.from_numpy(rng.random((2, 3, 4, 5), dtype=np.float32))
    gray = to_gray(x)
    assert gray.shape == (2, 1, 4, 5)
    weights = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    torch.testing.assert_close(gray, (x * weights).sum(1, keepdim=True))
    drawn = light(7, 5, config)
    assert drawn.gain.shape == (7, 2, 1)
    assert drawn.noise[0].shape == (7, 1, 5, 5)


def test_only_the_place_decides():
    config = PhotometryConfig()
    first, second = (light(5, 9, config, seed=1, step=2, stream=3) for _ in range(2))
    torch.testing.assert_close(first.gain, second.gain, rtol=0, atol=0)
    torch.testing.assert_close(first.noise, second.noise, rtol=0, atol=0)
    for other in ({"seed": 0}, {"step": 0}, {"stream": 0}):
        changed = light(5, 9, config, **({"seed": 1, "step": 2, "stream": 3} | other))
        assert not torch.equal(changed.gain, first.gain)
        assert not torch.equal(changed.noise[0], first.noise[0])
        assert not torch.equal(changed.noise[0], changed.noise[1])
