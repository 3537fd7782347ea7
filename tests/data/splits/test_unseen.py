"""The leak guard: by pixels, by files, and by what belongs together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.core.errors import LeakError
from striate.data import (
    Dataset,
    Recording,
    Responses,
    StimulusSet,
    assert_unseen,
    assert_unseen_by,
    assert_unseen_in,
    group_stimuli,
)
from striate.data.images.stimuli import same_pictures
from tests.data.layouts import picture, png_bytes


@dataclass
class Known:
    """What the guard asks of a model."""

    seen: frozenset[str] = frozenset()
    seen_files: frozenset[str] = frozenset()


def test_by_pixels():
    assert_unseen({"a", "b"}, ["c", "d"], "s1")
    assert_unseen([], [], "s1")
    with pytest.raises(LeakError, match="s1 V1v: the model has seen 2 of 3 test stimuli"):
        assert_unseen(["a", "b", "x"], ["a", "b", "c"], "s1 V1v")


def test_by_files_where_another_library_has_decoded_other_pixels():
    """A JPEG's pixels depend on the decoder, its bytes do not."""
    new = {"seen_files": ["file a"], "file_hashes": ["file a", "file b", ""]}
    with pytest.raises(LeakError, match="has seen 1 of 3"):
        assert_unseen(["pixels of a, then"], ["pixels of a, now", "b", "c"], "s1", **new)
    assert_unseen([], ["a", "b"], "s1", seen_files=[""], file_hashes=["", ""])  # in memory
    assert_unseen(["a"], ["b"], "s1", seen_files=["f"])  # nothing is known of these files


def test_a_model_that_saw_one_frame_has_seen_the_movie():
    hashes, groups = ["f1", "f2", "g1", "x"], ["movie 1", "movie 1", "movie 2", ""]
    with pytest.raises(LeakError, match=r"s1: 1 of 2 test stimuli belong to groups.*'movie 1'"):
        assert_unseen(["f1"], hashes, "s1", groups=groups, tested=[1, 2])
    assert_unseen(["f1"], hashes, "s1", groups=groups, tested=[2, 3])
    assert_unseen(["x"], [*hashes, "y"], "s1", groups=[*groups, ""], tested=[4])  # `` is no group
    with pytest.raises(LeakError, match="has seen 1 of 1"):
        assert_unseen(["x"], hashes, "s1", groups=groups, tested=[3])


@given(
    rows=st.lists(
        st.tuples(st.integers(0, 8), st.sampled_from(["", "m", "n", "o"]), st.booleans()),
        min_size=1,
        max_size=20,
    ),
    seen=st.sets(st.integers(0, 8), max_size=3),
    files=st.sets(st.integers(0, 8), max_size=3),
)
@settings(max_examples=150, deadline=None, derandomize=True)
def test_refused_if_and_only_if_a_tested_one_or_its_group_was_seen(rows, seen, files):
    hashes = [f"h{i}" for i, _, _ in rows]
    names = [f"f{i}" for i, _, _ in rows]
    tested = [k for k, (_, _, test) in enumerate(rows) if test]
    is_seen = [i in seen or i in files for i, _, _ in rows]
    groups = {g for (_, g, _), row_seen in zip(rows, is_seen, strict=True) if row_seen and g}
    leak = any(is_seen[k] or rows[k][1] in groups for k in tested)
    try:
        assert_unseen(
            [f"h{i}" for i in seen], hashes, "x", seen_files=[f"f{i}" for i in files],
            file_hashes=names, groups=[g for _, g, _ in rows], tested=tested,
        )  # fmt: skip
    except LeakError:
        assert leak
    else:
        assert not leak


def recorded(**sets: StimulusSet) -> Dataset:
    return Dataset(
        "memory",
        {
            s: Recording(
                s, stimuli, Responses.build(np.zeros((len(stimuli), 1)), stimuli.ids, subject=s)
            )
            for s, stimuli in sets.items()
        },
    )


def test_over_subjects_a_frame_that_another_saw_counts():
    ann = StimulusSet(["a", "b"], [picture(0), picture(1)], ["movie", ""])
    bob = StimulusSet(["c", "d"], [picture(2), picture(3)], ["movie", ""])
    data = recorded(ann=ann, bob=bob)
    model = Known(frozenset(ann.hashes[:1]))
    split = group_stimuli(data)
    assert_unseen_by(model, bob, "bob alone")  # nobody knows that frame a is of that movie
    with pytest.raises(LeakError, match="'movie'"):
        assert_unseen_in(model, data, split, "bob", "bob", tested=[0])
    assert_unseen_in(model, data, split, "bob", "bob", tested=[1])
    with pytest.raises(LeakError, match="has seen 1 of 1"):
        assert_unseen_in(model, data, split, "ann", "ann", tested=[0])


def test_a_model_that_saw_a_picture_has_seen_its_reencoded_copy():
    rgb = picture(4, 64)
    copy = np.clip(rgb.astype(int) + 1, 0, 255).astype(np.uint8)
    ann, bob = StimulusSet(["a"], [rgb]), StimulusSet(["b", "c"], [copy, picture(5, 64)])
    data = recorded(ann=ann, bob=bob)
    model, what = Known(frozenset(ann.hashes)), r"pictures that look alike"
    with pytest.raises(LeakError, match=what):
        assert_unseen_in(model, data, group_stimuli(data), "bob", "bob", tested=[0])
    assert_unseen_in(model, data, group_stimuli(data, "warn"), "bob", "bob", tested=[0])


def test_nothing_is_decoded_for_a_model_that_has_seen_nothing():
    broken = StimulusSet(["a"], [b"no image"])
    assert_unseen_by(Known(), broken, "s1")
    with pytest.raises(LeakError):
        whole = StimulusSet(["a"], [png_bytes(0)])
        assert_unseen_by(Known(seen_files=frozenset(whole.file_hashes)), whole, "s1")


def test_same_pictures_are_known_by_pixels_or_files():
    first = StimulusSet(list("abc"), [png_bytes(0), picture(1), png_bytes(2)])
    second = StimulusSet(list("xy"), [picture(0), png_bytes(2)])
    second.__dict__["hashes"] = (second.hashes[0], "decoded otherwise")
    assert same_pictures(first, second).tolist() == [0, 2]
