"""Which stimuli each step sees: a pure function of seed, epoch and sizes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from striate.core.draws import share_of

_ORDER_STREAM = 2**31  # apart from every target's own stream


@dataclass(frozen=True)
class Batch:
    """The stimuli of one step, all of one target.

    Attributes:
        target: position of the target among those tuned to.
        rows: positions within the target's tune part, int (B,), B > 1.
    """

    target: int
    rows: np.ndarray


def split_rows(rows: np.ndarray, batch_size: int) -> list[np.ndarray]:
    """Cut rows into batches; the last, partial one is kept (docs/papers/contrastive-tuning.md 2.1).

    A last batch of one stimulus goes into the batch before it (ours): InfoNCE of one pair is 0
    whatever the weights, and batch norm cannot normalize one sample.

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
        batch_size: stimuli a step.
        order: `sequential` or `mixed`.
        seed: of the run.
        epoch: from 0.
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
    """Return how many stimuli of a batch each process takes; they differ by one at most."""
    shares = (share_of(batch, rank, processes) for rank in range(processes))
    return [share.stop - share.start for share in shares]
