"""Deformations: sizes follow the receptive field; resampling is right to the pixel."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from striate.core.errors import InputError
from striate.data.patches.deformation import (
    DeformConfig,
    deformation,
    margin,
    resample,
    sampling_grid,
    spline_basis,
)

FIELD, PATCH, A = 19, 35, 0.1


def ramp(height: int, width: int, channels: int = 3) -> torch.Tensor:
    """An image linear in row and column: bilinear resampling of it is exact."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    planes = [a * x + b * y + c for a, b, c in [(1.0, 0, 3), (0, 1.0, -2), (0.5, -0.25, 40)]]
    return torch.stack(planes[:channels])[None].float()


def affine(angle: float = 0.0, scale: float = 1.0, x: float = 0.0, y: float = 0.0) -> torch.Tensor:
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    return torch.tensor([[[[c, -s, x], [s, c, y]]]], dtype=torch.float32)


@pytest.mark.parametrize("patch", [8, 9])
@pytest.mark.parametrize(
    "move",
    [
        {},
        {"x": 2.0, "y": -1.0},
        {"x": 0.3, "y": 1.7},
        {"angle": 0.3},
        {"scale": 1.25},
        {"angle": -0.2, "scale": 0.8, "x": 1.5, "y": -2.25},
    ],
)
def test_a_linear_ramp_is_resampled_to_its_analytic_value(patch, move):
    around = 8
    size = patch + 2 * around
    out = resample(ramp(size, size), affine(**move), patch)[0, :, 0]
    matrix, center = affine(**move)[0, 0].double(), (size - 1) / 2
    at = torch.arange(patch, dtype=torch.float64) - (patch - 1) / 2
    x = matrix[0, 0] * at[None] + matrix[0, 1] * at[:, None] + matrix[0, 2] + center
    y = matrix[1, 0] * at[None] + matrix[1, 1] * at[:, None] + matrix[1, 2] + center
    expected = torch.stack([x + 3, y - 2, 0.5 * x - 0.25 * y + 40])
    torch.testing.assert_close(out.double(), expected, atol=2e-5, rtol=0)


@pytest.mark.parametrize(("patch", "around"), [(35, 10), (115, 32), (8, 3)])
def test_the_identity_shows_the_middle_of_the_window(patch, around, rng):
    size = patch + 2 * around
    window = torch.from_numpy(rng.random((2, 3, size, size), dtype=np.float32))
    out = resample(window, affine().expand(2, 2, 2, 3), patch)
    middle = window[:, :, None, around:-around, around:-around].expand_as(out)
    # Each coordinate is right to 2e-5 px, which is what float32 holds at 179 px.
    torch.testing.assert_close(out, middle, atol=4e-5, rtol=0)


def test_whole_pixels_of_translation_shift_by_whole_pixels(rng):
    window = torch.from_numpy(rng.random((1, 3, 20, 20), dtype=np.float32))
    out = resample(window, affine(x=3, y=-2), 10)[0, :, 0]
    torch.testing.assert_close(out, window[0, :, 3:13, 8:18], atol=5e-6, rtol=0)


def test_a_quarter_turn(rng):
    window = torch.from_numpy(rng.random((1, 1, 9, 9), dtype=np.float32))
    out = resample(window, affine(angle=np.pi / 2), 9)[0, 0, 0]
    torch.testing.assert_close(out, torch.rot90(window[0, 0], -1, (1, 0)), atol=5e-6, rtol=0)


def test_displacement_at_half_the_field_is_at_most_a_share_of_the_field():
    draws = deformation(4000, field=FIELD, amplitude=A).matrix.astype(np.float64)
    linear, shift = draws[..., :2], draws[..., 2]
    assert np.abs(shift).max() <= A * FIELD
    assert np.abs(shift).max() > 0.99 * A * FIELD
    scale = np.sqrt(np.linalg.det(linear))
    angle = np.arctan2(linear[..., 1, 0], linear[..., 0, 0])
    radius = FIELD / 2
    turned = 2 * radius * np.sin(np.abs(angle) / 2)
    assert 0.99 * A * FIELD < turned.max() <= A * FIELD
    shrunk, grown = radius * (1 - scale), radius * (scale - 1)
    assert shrunk.max() <= A * FIELD
    assert grown.max() <= radius * (np.exp(2 * A) - 1) * (1 + 1e-6)
    assert grown.max() > A * FIELD  # to first order in a only, as the docstring says
    np.testing.assert_allclose(np.abs(np.log2(scale)).max(), 2 * A / np.log(2), rtol=0.01)


def test_draws_are_uniform_and_views_and_coordinates_unrelated():
    matrix = deformation(20000, field=FIELD, amplitude=A).matrix.astype(np.float64)
    angle = np.arctan2(matrix[..., 1, 0], matrix[..., 0, 0]) / (2 * A)
    size = np.log(np.hypot(matrix[..., 0, 0], matrix[..., 1, 0])) / (2 * A)
    values = np.concatenate([angle, size, *np.moveaxis(matrix[..., 2], 2, 0) / (A * FIELD)], axis=1)
    for column in values.T:
        counts, _ = np.histogram(column, 10, (-1 - 1e-6, 1 + 1e-6))
        assert counts.sum() == 20000
        assert np.abs(counts - 2000).max() < 5 * np.sqrt(2000)
    assert np.abs(np.corrcoef(values.T) - np.eye(8)).max() < 0.04


def test_amplitude_and_field_set_the_size_of_all_movements():
    small, large = (deformation(50, field=f, amplitude=A).matrix for f in (10, 20))
    np.testing.assert_allclose(large[..., 2], 2 * small[..., 2], rtol=1e-6)
    np.testing.assert_array_equal(large[..., :2], small[..., :2])


@pytest.mark.parametrize("off", ["translation", "rotation", "scale"])
def test_each_movement_can_be_switched_off(off):
    matrix = deformation(
        50, field=FIELD, amplitude=A, config=DeformConfig.from_dict({off: False})
    ).matrix
    still = {
        "translation": np.abs(matrix[..., 2]).max(),
        "rotation": np.abs(matrix[..., 1, 0]).max(),
        "scale": np.abs(np.linalg.det(matrix[..., :2].astype(np.float64)) - 1).max(),
    }
    assert still[off] < 1e-6
    assert all(value > 0.1 for name, value in still.items() if name != off)


@pytest.mark.parametrize("amplitude", [0.02, 0.1, 0.3, 0.5])
@pytest.mark.parametrize("warp", [0.0, 0.5])
def test_no_view_leaves_the_window_and_the_window_is_not_much_larger(amplitude, warp):
    config = DeformConfig(warp=warp)
    size = PATCH + 2 * margin(PATCH, field=FIELD, amplitude=amplitude, config=config)
    draws = deformation(4000, field=FIELD, amplitude=amplitude, config=config)
    warps = None if draws.warp is None else torch.from_numpy(draws.warp)
    grid = sampling_grid(torch.from_numpy(draws.matrix), PATCH, size, warps)
    edge = grid.abs().max() * size / 2 + 0.5  # px from the center to the edge of what is seen
    assert edge <= size / 2
    # The worst case needs four extremes at once, which thousands of draws come near only.
    assert edge > (0.85 if warp else 0.93) * size / 2


@pytest.mark.parametrize("amplitude", [0.02, 0.1, 0.3, 0.5])
@pytest.mark.parametrize("patch", [18, 35])
def test_the_window_holds_the_worst_case_and_no_pixel_more(amplitude, patch):
    size = patch + 2 * margin(patch, field=FIELD, amplitude=amplitude)
    worst = min(2 * amplitude, np.pi / 4), np.exp(2 * amplitude), *[amplitude * FIELD] * 2
    edge = sampling_grid(affine(*worst), patch, size).max().item() * size / 2 + 0.5
    assert size / 2 - 1.01 < edge <= size / 2


def test_margin_counts_only_what_is_on():
    still = DeformConfig(translation=False, rotation=False, scale=False)
    assert margin(PATCH, field=FIELD, amplitude=A, config=still) == 1  # for rounding
    assert margin(PATCH, field=FIELD, amplitude=0) == 0
    shift_only = DeformConfig(rotation=False, scale=False)
    assert margin(PATCH, field=FIELD, amplitude=A, config=shift_only) == 2


def test_the_warp_is_bounded_smooth_and_reaches_its_amplitude():
    basis = spline_basis(35, 6)
    assert basis.shape == (35, 6)
    assert basis.min() >= 0
    torch.testing.assert_close(basis.sum(1), torch.ones(35))
    torch.testing.assert_close(basis.flip(0, 1), basis)
    assert (basis[1:] - basis[:-1]).abs().max() < 0.1
    warp = torch.full((1, 1, 2, 6, 6), 2.5)
    still, moved = (sampling_grid(affine(), 35, 60, w) for w in (None, warp))
    torch.testing.assert_close((moved - still) * 30, torch.full_like(still, 2.5), atol=1e-5, rtol=0)


def test_a_warp_moves_x_by_its_first_and_y_by_its_second_plane():
    warp = torch.zeros(1, 1, 2, 4, 4)
    warp[0, 0, 0, 0] = 1.0  # x, in the first row of control points
    moved = sampling_grid(affine(), 10, 20, warp) - sampling_grid(affine(), 10, 20)
    assert moved[..., 1].abs().max() == 0
    assert moved[0, 0, 0, :, 0].min() > 0
    assert moved[0, 0, 0, 0, 0] > moved[0, 0, -1, 0, 0]


def test_only_the_place_decides():
    config = DeformConfig(warp=0.2)

    def drawn(**place: int):
        return deformation(5, field=FIELD, amplitude=A, config=config, **place)

    first = drawn(seed=1, step=2, stream=3)
    repeated = drawn(seed=1, step=2, stream=3)
    np.testing.assert_array_equal(first.matrix, repeated.matrix)
    np.testing.assert_array_equal(first.warp, repeated.warp)
    for other in ({"seed": 0}, {"step": 0}, {"stream": 0}):
        changed = drawn(**({"seed": 1, "step": 2, "stream": 3} | other))
        assert not np.isclose(changed.matrix, first.matrix).any(axis=(1, 2, 3)).all()


def test_what_is_out_of_range_is_refused():
    with pytest.raises(InputError, match=r"relative amplitude 0\.6: expected 0 to 0\.5"):
        deformation(2, field=FIELD, amplitude=0.6)
    with pytest.raises(InputError, match=r"relative amplitude -0\.1"):
        margin(PATCH, field=FIELD, amplitude=-0.1)
    with pytest.raises(InputError, match="receptive field of 0 px"):
        deformation(2, field=0, amplitude=A)
    with pytest.raises(InputError, match="side of at least 1 px, found 0"):
        margin(0, field=FIELD, amplitude=A)
