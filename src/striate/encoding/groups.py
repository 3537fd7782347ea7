"""Groups of stimuli that do not vary independently, such as the frames of a movie.

Stimuli of one group are resampled and shuffled together: a bootstrap or a permutation of single
frames takes each of them for evidence of its own, so that its intervals are too narrow and its
null too easily left.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations as all_orders
from itertools import product
from math import factorial, prod

import numpy as np

from striate.core.errors import InputError

FEWEST_ARRANGEMENTS = 20
"""With fewer ways to arrange the groups no permutation test can reach p = 0.05."""


def group_numbers(groups: Sequence[str] | None, n: int) -> np.ndarray:
    """Number the groups of n stimuli (`StimulusSet.groups`) by first appearance, (n,) from 0.

    A stimulus that stands alone (``) is a group of its own; None: all are.

    Raises:
        InputError: not one label a stimulus.

    >>> group_numbers(["b", "", "b", "a", ""], 5)
    array([0, 1, 0, 2, 3])
    """
    if groups is None:
        return np.arange(n)
    if len(groups) != n:
        raise InputError(f"{len(groups)} groups for {n} stimuli: give one each.")
    labels = [(group, -1) if group else ("", i) for i, group in enumerate(groups)]
    numbers = {label: i for i, label in enumerate(dict.fromkeys(labels))}
    return np.array([numbers[label] for label in labels], dtype=np.int64)


def count_groups(groups: Sequence[str] | None, n: int) -> int:
    """How many groups n stimuli are in; each that stands alone is one.

    >>> count_groups(["a", "a", "", ""], 4)
    3
    """
    return len(np.unique(group_numbers(groups, n)))


def centred(values: np.ndarray, rounds: np.ndarray) -> np.ndarray:
    """Take from values (n, …) their mean within each of several rounds, (n,) numbers."""
    numbers = np.unique(rounds)
    if len(numbers) < 2:
        return values
    out = np.array(values, dtype=np.float64)
    for number in numbers:
        out[rounds == number] -= np.nanmean(out[rounds == number], axis=0, keepdims=True)
    return out


@dataclass(frozen=True)
class _Block:
    """The groups of one round: those of several stimuli, and single ones, as positions."""

    several: list[np.ndarray]
    single: list[np.ndarray]

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.several), len(self.single)

    @property
    def arrangements(self) -> int:
        return factorial(len(self.several)) * factorial(len(self.single))


def _blocks(n: int, groups: Sequence[str] | None, rounds: np.ndarray | None) -> list[list[_Block]]:
    """Rounds that may change places with each other: those of as many groups."""
    members = group_numbers(groups, n)
    numbers = np.zeros(n, dtype=np.int64) if rounds is None else np.asarray(rounds)
    pairs = np.unique(np.column_stack([members, numbers]), axis=0)
    if len(pairs) > members.max(initial=-1) + 1:  # a group is tested in several rounds
        numbers = np.zeros(n, dtype=np.int64)
    alike: dict[tuple[int, int], list[_Block]] = {}
    for number in np.unique(numbers):
        here = np.flatnonzero(numbers == number)
        order = np.argsort(members[here], kind="stable")
        starts = np.flatnonzero(np.diff(members[here][order], prepend=-1))
        own = np.split(here[order], starts[1:])
        block = _Block([g for g in own if len(g) > 1], [g for g in own if len(g) == 1])
        alike.setdefault(block.shape, []).append(block)
    return list(alike.values())


def count_arrangements(
    n: int, groups: Sequence[str] | None = None, rounds: np.ndarray | None = None
) -> int:
    """In how many ways the groups of n stimuli can change places (`shuffled_orders`).

    >>> count_arrangements(7, list("aabbcc") + [""])
    6
    """
    return prod(
        factorial(len(own)) * prod(block.arrangements for block in own)
        for own in _blocks(n, groups, rounds)
    )


def shuffled_orders(
    n: int,
    permutations: int,
    seed: int = 0,
    groups: Sequence[str] | None = None,
    rounds: np.ndarray | None = None,
) -> np.ndarray:
    """Draw which stimulus' prediction stands in the place of each, groups whole.

    Groups of several stimuli change places with each other, single stimuli with single ones: a
    frame in the place of a movie would say nothing of how movies vary within themselves. A group
    in the place of a longer or shorter one is stretched: its stimuli come in their order, evenly
    repeated or left out, so that every group is paired with one other group as a whole.

    Predictions of several rounds come from fits of their own, less their means within rounds. So
    groups change places within a round, and rounds of as many groups as a whole; a group that is
    tested in several rounds (frames held out) keeps its stimuli together over all of them.

    Where there are no more arrangements than asked for, each is taken once, without the one that
    is there already; (b + 1) / (m + 1) is then exact (Phipson & Smyth 2010).

    Args:
        n: number of stimuli.
        permutations: how many, at most.
        seed: of the draws.
        groups: one label a stimulus, `` for one that stands alone; None: all do.
        rounds: (n,) number of the round that tested each.

    Returns:
        (at most `permutations`, n) positions.

    >>> shuffled_orders(4, 10, groups=list("aabb"))
    array([[2, 3, 0, 1]])
    """
    alike = _blocks(n, groups, rounds)
    if count_arrangements(n, groups, rounds) - 1 <= permutations:
        orders = [_placed(n, alike, iter(chosen)) for chosen in _all_choices(alike)]
        return np.array(orders[1:], dtype=np.int64).reshape(-1, n)
    generator = np.random.default_rng(seed)
    orders = [
        _placed(n, alike, (generator.permutation(size) for size in _sizes(alike)))
        for _ in range(permutations)
    ]
    return np.array(orders, dtype=np.int64).reshape(permutations, n)


def _sizes(alike: Sequence[Sequence[_Block]]) -> list[int]:
    """Of the orders that `_placed` takes, in turn."""
    return [
        size
        for own in alike
        for size in (len(own), *(size for block in own for size in block.shape))
        if size > 1
    ]


def _all_choices(alike: Sequence[Sequence[_Block]]) -> Iterator[tuple[tuple[int, ...], ...]]:
    """Every choice of orders, the one that is there first."""
    yield from product(*(all_orders(range(size)) for size in _sizes(alike)))


def _placed(
    n: int, alike: Sequence[Sequence[_Block]], orders: Iterator[Sequence[int] | np.ndarray]
) -> np.ndarray:
    """Positions (n,) of what stands where, given an order for everything that can have several."""

    def order(size: int) -> Sequence[int] | np.ndarray:
        return next(orders) if size > 1 else range(size)

    out = np.empty(n, dtype=np.int64)
    for own in alike:
        for place, number in zip(own, order(len(own)), strict=True):
            given = own[number]
            for rows, other in zip(place.several, order(len(place.several)), strict=True):
                source = given.several[other]
                steps = (np.arange(len(rows)) + 0.5) * len(source) / len(rows)
                out[rows] = source[steps.astype(np.int64)]
            if place.single:
                chosen = np.asarray(order(len(place.single)))
                out[np.concatenate(place.single)] = np.concatenate(given.single)[chosen]
    return out
