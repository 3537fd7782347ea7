"""The stimuli of each step, as a pure function of seed, epoch and sizes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from striate.core.draws import share_of
from striate.core.errors import InputError

_ORDER_STREAM = 2**31  # differs from every target's own stream


@dataclass(frozen=True)
class Batch:
    """The stimuli of one step, all of one target.

    Attributes:
        target: position of the target among all targets.
        rows: positions within the target's tune part, int (B,), B > 1.
    """

    target: int
    rows: np.ndarray


def split_rows(rows: np.ndarray, batch_size: int) -> list[np.ndarray]:
    """Cut rows into batches; the last, partial one is kept (docs/papers/contrastive-tuning.md 2.1).

    A last batch of one stimulus is joined to the batch before it (ours): InfoNCE of one pair is 0
    for any weights, and batch norm cannot normalize one sample.

    >>> [len(b) for b in split_rows(np.arange(9), 4)]
    [4, 5]
    """
    batches = [rows[i : i + batch_size] for i in range(0, len(rows), batch_size)]
    if len(batches) > 1 and len(batches[-1]) == 1:
        last = batches.pop()
        batches[-1] = np.concatenate([batches[-1], last])
    return batches


def epoch_batches(
    sizes: Sequence[int], batch_size: int, *, order: str, seed: int, epoch: int
) -> list[Batch]:
    """Return the steps of one epoch.

    A batch never mixes targets, so negatives are always within a subject. `sequential` walks the
    targets one after another (docs/papers/contrastive-tuning.md 2.3); `mixed` shuffles the same
    batches.

    Args:
        sizes: stimuli in the tune part of each target.
        batch_size: stimuli per step.
        order: `sequential` or `mixed`.
        seed: seed of the run.
        epoch: counted from 0.
    """
    batches = [
        Batch(target, rows)
        for target, size in enumerate(sizes)
        for rows in split_rows(
            np.random.default_rng([seed, epoch, target]).permutation(size), batch_size
        )
    ]
    if order == "mixed":
        shuffled = np.random.default_rng([seed, epoch, _ORDER_STREAM]).permutation(len(batches))
        batches = [batches[i] for i in shuffled]
    return batches


def shard_sizes(batch: int, processes: int) -> list[int]:
    """Return how many stimuli of a batch each process takes; the numbers differ by at most one."""
    shares = (share_of(batch, rank, processes) for rank in range(processes))
    return [share.stop - share.start for share in shares]


def check_shares(batch: int, processes: int, what: str) -> None:
    """Refuse a batch that leaves a process less than two samples, as batch norm needs two.

    Args:
        batch: samples in the whole batch.
        processes: that share it.
        what: the samples, in the plural, for the message.
    """
    if batch < 2 * processes:
        raise InputError(
            f"a batch of {batch} {what} cannot be shared by {processes} processes: each needs two "
            "or more. Raise batch_size or use fewer processes."
        )
