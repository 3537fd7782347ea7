"""Random numbers that depend on their place alone, so that no state has to be kept."""

from __future__ import annotations

import numpy as np


def generator_at(seed: int, step: int, kind: int = 0, stream: int = 0) -> np.random.Generator:
    """Return the generator of one place: the same place always gives the same numbers.

    Philox (Salmon et al. 2011) is a function of a key and a counter. The seed and stream are the
    key; the step and kind are the counter's high words. So no two places share numbers.

    Args:
        seed: seed of the run, >= 0.
        step: step of training, >= 0.
        kind: distinguishes the draws of one step, >= 0.
        stream: distinguishes what draws the same kinds, for example stages, >= 0.
    """
    return np.random.Generator(np.random.Philox(key=[seed, stream], counter=[0, 0, kind, step]))


def share_of(total: int, rank: int, world: int) -> slice:
    """Return the part of `total` samples that a process takes; shares differ by at most one.

    >>> [share_of(7, rank, 3) for rank in range(3)]
    [slice(0, 3, None), slice(3, 5, None), slice(5, 7, None)]
    """
    smaller_share, n_larger = divmod(total, world)
    start = rank * smaller_share + min(rank, n_larger)
    return slice(start, start + smaller_share + (rank < n_larger))
