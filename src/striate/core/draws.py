"""Random numbers that depend on their place alone, so that no state is kept or resumed."""

from __future__ import annotations

import numpy as np


def generator_at(seed: int, step: int, kind: int = 0, stream: int = 0) -> np.random.Generator:
    """Return the generator of one place: the same place gives the same numbers, always.

    Philox (Salmon et al. 2011) is a function of a key and a counter: the seed and stream are the
    key, step and kind the counter's high words, so that no two places share numbers.

    Args:
        seed: of the run, >= 0.
        step: of training, >= 0.
        kind: tells apart what is drawn at one step, >= 0.
        stream: tells apart those who draw the same kinds, for example stages, >= 0.
    """
    return np.random.Generator(np.random.Philox(key=[seed, stream], counter=[0, 0, kind, step]))


def share_of(total: int, rank: int, world: int) -> slice:
    """Return which part of `total` samples a process takes; shares differ by one at most.

    >>> [share_of(7, rank, 3) for rank in range(3)]
    [slice(0, 3, None), slice(3, 5, None), slice(5, 7, None)]
    """
    less, more = divmod(total, world)
    first = rank * less + min(rank, more)
    return slice(first, first + less + (rank < more))
