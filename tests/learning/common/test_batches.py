"""The order of stimuli, and random changes of images."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from striate.learning.common.augment import augment
from striate.learning.common.batches import epoch_batches, shard_sizes, split_rows
from striate.learning.common.config import AugmentConfig

SIZES = [10, 5, 9]


def batches(order: str, seed: int = 0, epoch: int = 0) -> list[tuple[int, list[int]]]:
    epoch = epoch_batches(SIZES, 4, order=order, seed=seed, epoch=epoch)
    return [(b.target, b.rows.tolist()) for b in epoch]


@pytest.mark.parametrize("order", ["sequential", "mixed"])
def test_every_stimulus_once_an_epoch_and_targets_apart(order: str) -> None:
    for target, size in enumerate(SIZES):
        rows = [r for t, rows in batches(order) if t == target for r in rows]
        assert sorted(rows) == list(range(size))
    assert all(len(rows) > 1 for _, rows in batches(order))


def test_order_follows_from_seed_and_epoch_alone() -> None:
    assert batches("mixed") == batches("mixed")
    assert batches("mixed") != batches("mixed", seed=1)
    assert batches("mixed") != batches("mixed", epoch=1)
    assert [t for t, _ in batches("sequential")] == [0, 0, 0, 1, 2, 2]
    assert sorted(batches("mixed")) == sorted(batches("sequential"))
    orders = {tuple(t for t, _ in batches("mixed", epoch=e)) for e in range(5)}
    assert len(orders) > 1


def test_last_batch() -> None:
    def lengths(n: int) -> list[int]:
        return [len(b) for b in split_rows(np.arange(n), 4)]

    assert lengths(8) == [4, 4]
    assert lengths(10) == [4, 4, 2]
    assert lengths(9) == [4, 5]  # never one alone
    assert lengths(3) == [3]
    assert np.concatenate(split_rows(np.arange(9), 4)).tolist() == list(range(9))


def test_paper_batches() -> None:
    sizes = [len(b.rows) for b in epoch_batches([8364], 1024, order="sequential", seed=0, epoch=0)]
    assert sizes == [1024] * 8 + [172]


def test_shards() -> None:
    assert shard_sizes(7, 2) == [4, 3]
    assert shard_sizes(1, 3) == [1, 0, 0]
    assert shard_sizes(6, 1) == [6]


@pytest.fixture
def images() -> torch.Tensor:
    draws = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (6, 8, 8, 3), dtype=torch.uint8, generator=draws)


def test_augment_is_off_by_default(images: torch.Tensor) -> None:
    assert augment(images, AugmentConfig(), seed=0) is images


def test_flip_mirrors_some_and_changes_no_other(images: torch.Tensor) -> None:
    out = augment(images, AugmentConfig(flip=True), seed=3)
    mirrored = [torch.equal(o, i.flip(1)) for o, i in zip(out, images, strict=True)]
    same = [torch.equal(o, i) for o, i in zip(out, images, strict=True)]
    assert all(m != s for m, s in zip(mirrored, same, strict=True))
    assert any(mirrored)
    assert any(same)


def test_shift_moves_whole_images(images: torch.Tensor) -> None:
    out = augment(images, AugmentConfig(shift=2), seed=0)
    moves = set()
    for moved, image in zip(out, images, strict=True):
        fits = [
            (dy, dx)
            for dy in range(-2, 3)
            for dx in range(-2, 3)
            if torch.equal(moved[2:-2, 2:-2], image[2 - dy : 6 - dy, 2 - dx : 6 - dx])
        ]
        assert len(fits) == 1
        moves.add(fits[0])
    assert len(moves) > 2


def test_brightness_is_one_factor_an_image(images: torch.Tensor) -> None:
    out = augment(images, AugmentConfig(brightness=0.3), seed=0)
    factors = []
    for bright, image in zip(out.double(), images.double(), strict=True):
        factor = bright[bright < 255].sum() / image[bright < 255].sum()
        assert (bright - (image * factor).clamp(0, 255)).abs().max() < 1.5
        factors.append(factor.item())
    assert min(factors) >= 0.69
    assert max(factors) <= 1.31
    assert len({round(f, 3) for f in factors}) == len(factors)


def test_shares_of_a_batch_are_changed_as_the_whole_is(images: torch.Tensor) -> None:
    config = AugmentConfig(shift=2, flip=True, brightness=0.2)
    whole = augment(images, config, seed=5)
    parts = [augment(images[s : s + 3], config, seed=5, total=6, first=s) for s in (0, 3)]
    assert torch.equal(torch.cat(parts), whole)
    assert not torch.equal(augment(images, config, seed=6), whole)
