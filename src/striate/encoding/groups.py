"""Groups of stimuli that do not vary independently, such as the frames of a movie.

Stimuli of one group are resampled and shuffled together: a bootstrap or a permutation of single
frames takes each of them for evidence of its own, so that its intervals are too narrow and its
null too easily left.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice, product
from itertools import permutations as all_orders
from math import factorial

import numpy as np

from striate.data.splits.bundles import group_members, group_numbers

FEWEST_ARRANGEMENTS = 20
"""With fewer ways to arrange the groups no permutation test can reach p = 0.05."""


def count_groups(groups: Sequence[str] | None, n: int) -> int:
    """How many groups n stimuli are in; each that stands alone is one.

    >>> count_groups(["a", "a", "", ""], 4)
    3
    """
    return len(np.unique(group_numbers(groups, n)))


def centered(values: np.ndarray, rounds: np.ndarray) -> np.ndarray:
    """Take from values (n, …) their mean within each of several rounds, (n,) numbers.

    NaN stays NaN and is left out of means.
    """
    numbers = np.unique(rounds)
    if len(numbers) < 2:
        return values
    out = np.array(values, dtype=np.float64)
    for number in numbers:
        here = rounds == number
        finite = np.isfinite(out[here])
        total = np.where(finite, out[here], 0.0).sum(axis=0)
        out[here] -= total / np.maximum(finite.sum(axis=0), 1)
    return out


def _split_groups(n: int, groups: Sequence[str] | None) -> tuple[list[np.ndarray], np.ndarray]:
    """Positions of each group of several stimuli, and of the single ones."""
    positions = group_members(group_numbers(groups, n))
    single = [rows for rows in positions if len(rows) == 1]
    return [rows for rows in positions if len(rows) > 1], np.concatenate(
        single or [np.empty(0, int)]
    )


def count_arrangements(n: int, groups: Sequence[str] | None = None) -> int:
    """In how many ways the groups of n stimuli can change places (`shuffled_orders`).

    >>> count_arrangements(7, list("aabbcc") + [""])
    6
    """
    several, single = _split_groups(n, groups)
    return factorial(len(several)) * factorial(len(single))


def shuffled_orders(
    n: int, permutations: int, seed: int = 0, groups: Sequence[str] | None = None
) -> np.ndarray:
    """Draw which stimulus' prediction stands in the place of each, groups whole.

    Groups of several stimuli change places with each other, single stimuli with single ones: a
    frame in the place of a movie would say nothing of how movies vary within themselves. A group
    in the place of a longer or shorter one is stretched: its stimuli come in their order, evenly
    repeated or left out, so that every group is paired with one other group as a whole.

    Where there are no more arrangements than asked for, each is taken once, without the one that
    is there already; (b + 1) / (m + 1) is then exact (Phipson & Smyth 2010).

    Args:
        n: number of stimuli.
        permutations: how many, at most.
        seed: of the draws.
        groups: one label a stimulus, `` for one that stands alone; None: all do.

    Returns:
        (at most `permutations`, n) positions.

    >>> shuffled_orders(4, 10, groups=list("aabb"))
    array([[2, 3, 0, 1]])
    """
    several, single = _split_groups(n, groups)
    sizes = len(several), len(single)
    orders: Iterable[tuple[Sequence[int] | np.ndarray, ...]]
    if count_arrangements(n, groups) - 1 <= permutations:
        # every one, the order that is there first
        orders = islice(product(*(all_orders(range(size)) for size in sizes)), 1, None)
    else:
        generator = np.random.default_rng(seed)
        orders = (
            tuple(generator.permutation(size) if size > 1 else range(size) for size in sizes)
            for _ in range(permutations)
        )
    placed = [_place_groups(n, several, single, *order) for order in orders]
    return np.array(placed, dtype=np.int64).reshape(-1, n)


def _place_groups(
    n: int,
    several: Sequence[np.ndarray],
    single: np.ndarray,
    groups_order: Sequence[int] | np.ndarray,
    single_order: Sequence[int] | np.ndarray,
) -> np.ndarray:
    """Positions (n,) of what stands where, given the orders of groups and of single stimuli."""
    out = np.empty(n, dtype=np.int64)
    for rows, other in zip(several, groups_order, strict=True):
        source = several[other]
        steps = (np.arange(len(rows)) + 0.5) * len(source) / len(rows)
        out[rows] = source[steps.astype(np.int64)]
    out[single] = single[np.asarray(single_order, dtype=np.int64)]
    return out
