"""Rounds keep movies whole, choose on `select` alone, and never test what they fit."""

from __future__ import annotations

import numpy as np
import pytest

from striate.core.errors import InputError, LeakError
from striate.encoding import Round, check_rounds, grouped_rounds, split_rounds


def test_grouped_rounds_keep_movies_whole():
    movies = np.repeat([f"m{i}" for i in range(10)], 7)
    rounds = grouped_rounds(movies, 5, 4)
    tested = np.concatenate([r.test for r in rounds])
    assert sorted(tested) == list(range(70))
    for outer_fold in rounds:
        assert not set(movies[outer_fold.train]) & set(movies[outer_fold.test])
        assert len(set(movies[outer_fold.test])) == 2
        for train, held in outer_fold.folds:
            assert not set(movies[outer_fold.train][train]) & set(movies[outer_fold.train][held])
    check_rounds(rounds, [f"h{i}" for i in range(70)], movies)
    with pytest.raises(InputError, match="11 folds of 10 groups"):
        grouped_rounds(movies, 11)


def test_split_rounds_choose_on_select_alone():
    parts = {"fit": np.arange(20), "select": np.arange(20, 40), "test": np.arange(40, 50)}
    (single,) = split_rounds(parts, 4)
    held = np.concatenate([single.train[h] for _, h in single.folds])
    assert sorted(held) == list(range(20, 40))
    assert all(len(train) == 35 for train, _ in single.folds)
    grouped = split_rounds(parts, 4, groups=[str(i // 5) for i in range(50)])[0]
    assert all(len(np.unique(grouped.train[h] // 5)) == 1 for _, h in grouped.folds)


def test_rounds_that_test_what_they_fit_are_refused():
    halves = Round(np.arange(4), np.arange(4, 8), ())
    with pytest.raises(LeakError, match="1 images are fitted and tested"):
        check_rounds([halves], ["a", "b", "c", "d", "d", "e", "f", "g"])
    with pytest.raises(LeakError, match="1 groups are fitted"):
        check_rounds([halves], list("abcdefgh"), ["m"] * 5 + [""] * 3)
