"""Pairs of patches: the right pixels, never beyond an edge, the same on any number of processes."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from striate.core.errors import InputError
from striate.data.patches import pairs as patches
from striate.data.patches.deformation import deformation
from striate.data.patches.pairs import PatchConfig, PatchSource, read_photographs
from striate.data.patches.photographs import Photographs
from tests.data.layouts import picture

PLAIN = {"log_gain": 0.0, "offset": 0.0, "noise": 0.0, "center": False, "contrast": False}


def photos(count: int = 6, seed: int = 0) -> Photographs:
    """Photographs of noise, 60 to 90 px a side."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(60, 90, (count, 2))
    return Photographs.from_images(
        [rng.integers(0, 256, (h, w, 3), dtype=np.uint8) for h, w in sizes]
    )


def source(photographs: Photographs | None = None, **options: Any) -> PatchSource:
    config = options.pop("config", {})
    return PatchSource(
        photographs if photographs is not None else photos(),
        **{
            "field": 11,
            "patch": 19,
            "amplitude": 0.1,
            "batch": 6,
            "config": PatchConfig.from_dict(config),
            **options,
        },
    )


def crops(made: PatchSource, step: int) -> np.ndarray:
    """The undeformed patches of a step, cut by plain indexing: uint8 (batch, P, P, 3)."""
    at, p = made.margin, made.patch
    return np.stack(
        [
            made.photographs.planes(i)[:, y + at : y + at + p, x + at : x + at + p]
            for i, y, x in zip(*made.places(step), strict=True)
        ]
    ).transpose(0, 2, 3, 1)


def test_shape_type_and_layout():
    both = source().views(0)
    assert both.shape == (2, 6, 3, 19, 19)
    assert both.dtype == torch.float32
    first, second = both
    for view in (first, second, both.flatten(0, 1)):
        assert view.is_contiguous(memory_format=torch.channels_last)
    assert both.flatten(0, 1).data_ptr() == both.data_ptr()
    assert torch.isfinite(both).all()
    assert not torch.allclose(first, second, atol=0.1)


@pytest.mark.parametrize("patch", [18, 19])
def test_amplitude_zero_is_the_exact_crop(patch):
    made = source(amplitude=0.0, patch=patch, config={"photometry": PLAIN})
    assert made.window == patch
    expected = torch.from_numpy(crops(made, 3)).permute(0, 3, 1, 2).float() / 255
    for view in made.views(3):
        torch.testing.assert_close(view, expected, atol=1e-7, rtol=0)
    np.testing.assert_array_equal(made.pairs(6, 3)[:, 0], crops(made, 3))


def test_a_tiny_amplitude_is_nearly_the_crop():
    made = source(amplitude=1e-7, config={"photometry": PLAIN})
    expected = torch.from_numpy(crops(made, 3)).permute(0, 3, 1, 2).float() / 255
    for view in made.views(3):
        torch.testing.assert_close(view, expected, atol=2e-5, rtol=0)


@pytest.mark.parametrize("warp", [0.0, 0.7])
def test_no_view_shows_what_is_outside(warp):
    """On white photographs whose neighbors in memory are black, all patches are white."""
    white, black = np.full((50, 64, 3), 255, np.uint8), np.zeros((50, 64, 3), np.uint8)
    images = Photographs.from_images([black, white, black[:, 1:]]).subset([1])
    made = source(
        images, batch=64, config={"photometry": PLAIN, "deform": {"warp": warp}}, amplitude=0.2
    )
    assert made.window <= 50
    for step in range(20):
        torch.testing.assert_close(
            made.views(step), torch.ones(2, 64, 3, 19, 19), atol=1e-6, rtol=0
        )


def test_places_are_everywhere_and_never_beyond_the_edge():
    image = np.random.default_rng(0).integers(0, 256, (40, 47, 3), dtype=np.uint8)
    made = source(Photographs.from_images([image]), batch=500)
    _, row, column = made.places(0)
    assert (row.min(), row.max()) == (0, 40 - made.window)
    assert (column.min(), column.max()) == (0, 47 - made.window)
    exact = source(Photographs.from_images([image[: made.window, : made.window]]), batch=3)
    assert [v.tolist() for v in exact.places(0)[1:]] == [[0, 0, 0], [0, 0, 0]]
    assert torch.isfinite(exact.views(0)).all()


def test_a_ramp_tells_where_each_view_looked():
    """Mean over a patch of a linear ramp is its center's value, whatever rotation and scale."""
    y, x = np.mgrid[:100, :120]
    ramp = np.stack([2 * x, 2 * y, x + y], axis=2).astype(np.uint8)
    made = source(Photographs.from_images([ramp]), batch=40, config={"photometry": PLAIN})
    matrix = deformation(40, field=11, amplitude=0.1, step=5).matrix
    _, row, column = made.places(5)
    views = made.views(5).mean((3, 4)).numpy() * 255
    middle = (made.window - 1) / 2
    for view in range(2):
        across = column + middle + matrix[:, view, 0, 2]
        down = row + middle + matrix[:, view, 1, 2]
        expected = np.stack([2 * across, 2 * down, across + down], axis=1)
        np.testing.assert_allclose(views[view], expected, atol=1e-3)


@pytest.mark.parametrize("world", [2, 3])
def test_any_number_of_processes_sees_the_same_samples(world):
    alone = source(batch=7, config={"deform": {"warp": 0.2}})
    parts = [
        source(batch=7, config={"deform": {"warp": 0.2}}).views(4, rank=r, world=world)
        for r in range(world)
    ]
    torch.testing.assert_close(torch.cat(parts, 1), alone.views(4), rtol=0, atol=0)


def test_a_resumed_run_sees_the_same_samples():
    straight = source()
    seen = [straight.views(step) for step in range(6)]
    for step in (5, 3, 4):  # in any order: nothing is remembered
        assert torch.equal(source().views(step), seen[step])


def test_seed_stream_and_step_change_everything():
    base = source(seed=1, stream=1).views(1)
    for other in (
        source(seed=2, stream=1).views(1),
        source(seed=1, stream=2).views(1),
        source(seed=1, stream=1).views(2),
    ):
        assert not torch.isclose(base, other, atol=1e-3).all(dim=(2, 3, 4)).any()


def test_the_size_of_the_parts_on_a_cpu_changes_nothing(monkeypatch):
    whole = source().views(0)
    monkeypatch.setattr(patches, "_CHUNK_VALUES", 1)
    assert torch.equal(source().views(0), whole)


def test_samples_of_a_batch_are_of_different_photographs():
    made = source(photos(10), batch=3)
    for epoch in range(4):
        seen = np.concatenate([made.order(3 * epoch + step) for step in range(3)])
        assert len(set(seen)) == 9  # one is left over in each epoch
    assert len({tuple(made.order(step)) for step in range(12)}) > 6


def test_a_batch_larger_than_the_photographs_takes_each_nearly_as_often():
    made = source(photos(4), batch=11)
    counts = Counter(made.order(2).tolist())
    assert sorted(counts.values()) == [2, 3, 3, 3]
    assert made.order(2).tolist() != made.order(3).tolist()


def test_one_photograph_is_enough():
    made = source(photos(1), batch=5)
    assert made.order(0).tolist() == [0] * 5
    first, _ = made.views(0)
    assert len(torch.unique(first.flatten(1), dim=0)) == 5  # different places


def test_pixels_on_the_device_give_the_same_views():
    images = photos(9).subset([8, 1, 2, 5])  # offsets that are not in order
    rows, index = source(images), source(images, resident=True)
    assert index.pixels is not None
    assert source(images.subset([1]), resident=True).pixels is index.pixels  # one copy for all
    assert torch.equal(rows.views(2), index.views(2))


def test_memory_map_and_memory_give_the_same_views(tmp_path):
    for seed in range(3):
        Image.fromarray(picture(seed, 40)).save(tmp_path / f"{seed}.png")
    mapped, read = (
        Photographs.from_folders(tmp_path, in_memory=in_memory) for in_memory in (False, True)
    )
    assert torch.equal(source(mapped, patch=9).views(1), source(read, patch=9).views(1))


def test_normalized_by_default():
    views = source().views(0)
    assert views.mean((3, 4)).abs().max() < 1e-5
    torch.testing.assert_close(views.square().mean((2, 3, 4)), torch.ones(2, 6))


def test_gray_views_have_three_equal_channels():
    config = {"photometry": {**PLAIN, "gray": True}}
    made = source(amplitude=0.0, config=config)
    views = made.views(0)
    assert views.shape == (2, 6, 3, 19, 19)
    assert torch.equal(views[:, :, 0], views[:, :, 2])
    luma = crops(made, 0) @ np.array([0.299, 0.587, 0.114]) / 255
    np.testing.assert_allclose(views[0, :, 1].numpy(), luma, atol=1e-6)
    full = source(config={"photometry": {"gray": True}}).views(0)
    torch.testing.assert_close(full.square().mean((2, 3, 4)), torch.ones(2, 6))


def test_flat_photographs_give_zeros():
    flat = Photographs.from_images([np.full((60, 60, 3), [9, 130, 255], np.uint8)])
    views = source(flat, config={"photometry": {"noise": 0}}).views(0)
    assert views.abs().max() < 1e-3
    assert torch.isfinite(source(flat).views(0)).all()


def test_small_photographs_are_skipped_and_named_or_an_error():
    images = Photographs.from_images(
        [picture(0, 60), picture(1, 60)[:20], picture(2, 60), picture(3, 60)[:, :30]],
        ["a", "wide", "c", "tall"],
    )
    made = source(images, batch=2)
    assert made.window == 31
    assert made.small == ("wide", "tall")
    assert made.photographs.names == ("a", "c")
    assert "2 smaller than the 31 px that the deformations need skipped (wide, tall)" in (
        made.describe()
    )
    with pytest.raises(InputError, match=r"2 of 4 photographs are smaller than the 31 px.*wide"):
        source(images, config={"small": "error"})
    with pytest.raises(InputError, match=r"all 4 .* need 301 px .* largest, a, has 60"):
        source(images, patch=207)


def test_wrong_arguments_say_so():
    with pytest.raises(InputError, match="at least 1 sample, found 0"):
        source(batch=0)
    with pytest.raises(InputError, match="no photographs to cut patches from"):
        source(photos().subset([]))
    with pytest.raises(InputError, match="Did you mean log_gain"):
        PatchConfig.from_dict({"photometry": {"log_gian": 0.3}})


def test_pairs_for_a_figure():
    made = source(batch=6)
    pairs = made.pairs(4, step=2)
    assert (pairs.shape, pairs.dtype) == ((4, 2, 19, 19, 3), np.uint8)
    shown = made.pairs(4, step=2, photometric=True)
    assert not np.array_equal(shown, pairs)
    still = source(config={"photometry": PLAIN})
    np.testing.assert_array_equal(still.pairs(4), still.pairs(4, photometric=True))
    views = still.views(0)[:, :4].permute(1, 0, 3, 4, 2).numpy() * 255
    assert np.abs(views - still.pairs(4)).max() <= 0.51
    gray = source(config={"photometry": {"gray": True}}).pairs(2)
    assert (gray[..., 0] == gray[..., 2]).all()


def test_photographs_are_read_as_the_config_says(tmp_path):
    for seed in range(5):
        Image.fromarray(picture(seed, 40)).save(tmp_path / f"{seed}.png")
    (tmp_path / "bad.png").write_bytes(b"x")
    with pytest.raises(InputError, match=r"bad\.png"):
        read_photographs(tmp_path, PatchConfig())
    config = PatchConfig(unreadable="skip", max_side=20, held_out=0.5, in_memory=True)
    photographs = read_photographs(tmp_path, config)
    train, held = photographs.hold_out(config.held_out, seed=1)
    assert len(train) + len(held) == 5
    assert len(train.unreadable) == 1
    assert train.heights.max() == 20
    repeated = read_photographs(tmp_path, config).hold_out(config.held_out, seed=1)
    assert set(held.hashes) == set(repeated[1].hashes)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("resident", [False, True])
def test_a_gpu_makes_the_same_views(resident):
    config = {"deform": {"warp": 0.3}}
    on_cpu = source(config=config).views(1)
    on_gpu = source(config=config, device="cuda", resident=resident).views(1)
    assert on_gpu.device.type == "cuda"
    torch.testing.assert_close(on_gpu.cpu(), on_cpu, atol=1e-3, rtol=1e-3)


def test_real_photographs(shared_data, tmp_path):
    folder = shared_data / "data" / "bsds500" / "val"
    if not folder.is_dir():
        pytest.skip(f"no photographs at {folder}")
    train, held = read_photographs(folder, PatchConfig()).hold_out()
    assert len(train) + len(held) >= 90
    assert 0 < len(held) < 0.3 * len(train)
    for field, patch in ((19, 35), (67, 115)):
        made = PatchSource(train, field=field, patch=patch, amplitude=0.1, batch=32)
        assert made.small == ()
        first, second = made.views(0)
        # Two views of one place are more alike than views of two places, light and all.
        alike = torch.einsum("ichw,jchw->ij", first, second) / first[0].numel()
        same_place = alike.diagonal()
        others = alike[~torch.eye(32, dtype=torch.bool)]
        assert same_place.mean() > others.mean() + 3 * others.std() / 32
        assert same_place.mean() > 0.2
