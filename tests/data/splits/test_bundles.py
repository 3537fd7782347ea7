"""Bundles: copies, look-alikes and groups hang together, in one part, for whoever saw them."""

from __future__ import annotations

import io
import itertools
from collections.abc import Mapping, Sequence

import networkx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from striate.core.errors import InputError
from striate.core.hashing import hash_fraction
from striate.data import Dataset, Recording, Responses, SplitConfig, StimulusSet, make_split, read
from striate.data.images.decode import decode_image
from striate.data.images.lookalikes import ALIKE, SIDE, find_classes, near_duplicates, thumbnail
from striate.data.responses.tidy import tidy
from striate.data.splits.bundles import find_bundles, group_members
from striate.data.splits.split import PARTS, group_stimuli


def coarse(seed: int) -> np.ndarray:
    """A thumbnail of a picture that looks like no other."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (5, 5, 3), dtype=np.uint8))
    return np.array(small.resize((SIDE, SIDE), Image.Resampling.BICUBIC))


THUMBNAILS = np.stack([coarse(seed) for seed in range(40)])


def test_the_thumbnails_here_look_like_no_other():
    assert len(near_duplicates(THUMBNAILS)) == 0


def world(seen: Mapping[str, Sequence[tuple[int, int, str]]]) -> Dataset:
    """Subjects with stimuli of (picture, version, group): versions of a picture look alike."""
    recordings = {}
    for subject, rows in seen.items():
        ids = [f"{subject}-{i}" for i in range(len(rows))]
        stimuli = StimulusSet(ids, [b"none"] * len(ids), [group for *_, group in rows])
        attributes = stimuli.__dict__
        attributes["hashes"] = tuple(f"{(p * 7919) % 1000:03d}-{p}-{v}" for p, v, _ in rows)
        attributes["file_hashes"] = ("",) * len(ids)
        attributes["thumbnails"] = np.array(
            [np.clip(THUMBNAILS[p].astype(int) + v, 0, 255) for p, v, _ in rows], np.uint8
        ).reshape(-1, SIDE, SIDE, 3)
        responses = Responses.build(np.zeros((len(ids), 1)), ids, subject=subject)
        recordings[subject] = Recording(subject, stimuli, responses)
    return Dataset("memory", recordings)


stimulus = st.tuples(
    st.integers(0, 39), st.integers(0, 2), st.sampled_from(["", "", "m1", "m2", "m3", "m4"])
)
subjects = st.fixed_dictionaries(
    {name: st.lists(stimulus, min_size=1, max_size=25) for name in ("s1", "s2", "s3")}
)


@given(seen=subjects, order=st.permutations(["s1", "s2", "s3"]), seed=st.integers(0, 99))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_what_hangs_together_is_in_one_part_whatever_the_order(seen, order, seed):
    graph = networkx.Graph()
    for picture, version, group in itertools.chain(*seen.values()):
        graph.add_edge(("picture", picture), ("image", (picture, version)))
        if group:
            graph.add_edge(("image", (picture, version)), ("group", group))
    component = {node: i for i, c in enumerate(networkx.connected_components(graph)) for node in c}

    first = find_bundles(world(seen))
    rng = np.random.default_rng(seed)
    shuffled = {s: [seen[s][i] for i in rng.permutation(len(seen[s]))] for s in order}
    assert find_bundles(world(shuffled)) == first
    leaders: dict[int, set[str]] = {}
    for subject, recording in world(seen).items():
        labels = first.labels(recording.stimuli)
        for (picture, _, group), digest, label in zip(
            seen[subject], recording.stimuli.hashes, labels, strict=True
        ):
            leaders.setdefault(component["picture", picture], set()).add(first.leader[digest])
            assert label == first.leader[digest] or (not label and not group)
    assert all(len(names) == 1 for names in leaders.values())
    names = [name for subject_leaders in leaders.values() for name in subject_leaders]
    assert len(set(names)) == len(names)


many = st.lists(stimulus, min_size=0, max_size=30)


@given(extra=many, more=many, seed=st.integers(0, 5), held=st.sampled_from([(), ("s2",)]))
@settings(max_examples=25, deadline=None, derandomize=True)
def test_no_bundle_is_in_two_parts_of_a_split(extra, more, seed, held):
    plain = [(i, 0, "") for i in range(40)]
    data = world({"s1": plain + extra, "s2": plain[:35] + more})
    shares = {"tune": 0.4, "fit": 0.2, "select": 0.2, "test": 0.2}
    try:
        split = make_split(data, SplitConfig(seed=seed, held_out=held, **shares))
    except InputError as error:  # few bundles: a part may be empty
        assert "has no stimulus in part" in str(error)
        return
    leader = find_bundles(data).leader
    table = split.table.assign(leader=[leader[digest] for digest in split.table["hash"]])
    assert (table.groupby("leader")["part"].nunique() == 1).all()
    if "lookalike" in table.columns:
        table = table[table["lookalike"] != ""]
        assert (table.groupby("lookalike")["part"].nunique() == 1).all()


def test_the_representative_is_the_smallest_hash_and_others_do_not_move():
    plain = [(i, 0, "") for i in range(40)]
    alone = make_split(world({"s1": plain}))
    assert "together" not in alone.table.columns
    assert "lookalike" not in alone.table.columns
    with_copies = make_split(world({"s1": [*plain, (7, 1, ""), (9, 2, "")]}))
    before = dict(zip(alone.table["hash"], alone.table["part"], strict=True))
    after = dict(zip(with_copies.table["hash"], with_copies.table["part"], strict=True))
    assert {h: after[h] for h in before} == before  # version 0 has the smallest hash
    labels = with_copies.table.set_index("hash")["together"]
    assert sorted(labels[labels != ""].index) == sorted(
        h for h in after if h.split("-")[1] in ("7", "9")
    )


def test_warn_names_and_does_not_join_ignore_does_not_look():
    data = world({"s1": [(i, v, "") for i in range(40) for v in (0, 1)]})
    grouped, warned, ignored = (
        make_split(data, SplitConfig(lookalikes=mode)).table for mode in ("group", "warn", "ignore")
    )
    assert (grouped.groupby("lookalike")["part"].nunique() == 1).all()
    assert (warned.groupby("lookalike")["part"].nunique() == 2).any()
    assert "together" not in warned.columns
    assert "lookalike" not in ignored.columns
    assert list(warned["part"]) == list(ignored["part"])
    place = [hash_fraction(0, digest) for digest in warned["hash"]]
    assert list(warned["part"]) == [
        PARTS[int(np.searchsorted([0.6, 0.75, 0.85], p))] for p in place
    ]


def test_two_subjects_with_a_version_each_share_a_label():
    split = group_stimuli(world({"s1": [(1, 0, ""), (2, 0, "")], "s2": [(1, 1, ""), (3, 0, "")]}))
    (shared, alone), (other, _) = split.groups("s1"), split.groups("s2")
    assert shared == other != ""
    assert alone == ""


def jpeg(rgb: np.ndarray, quality: int) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(rgb).save(stream, "jpeg", quality=quality)
    return stream.getvalue()


@pytest.fixture(scope="module")
def reencoded() -> Dataset:
    """300 pictures, 195 of them once more, re-encoded, at a session of their own."""
    rng = np.random.default_rng(0)
    pictures = [
        np.array(
            Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)).resize((128, 128))
        )
        for _ in range(300)
    ]
    first = [jpeg(rgb, 95) for rgb in pictures]
    copies = [
        jpeg(decode_image(data), int(quality))
        for data, quality in zip(first[:195], rng.integers(30, 96, 195), strict=True)
    ]
    sources = [*first, *copies]
    ids = [f"im{i:03d}" for i in range(300)] + [f"again{i:03d}" for i in range(195)]
    responses = Responses.build(rng.normal(size=(len(ids), 2)), ids, subject="monkey")
    return Dataset("memory", {"monkey": Recording("monkey", StimulusSet(ids, sources), responses)})


@given(seed=st.integers(0, 2**31))
@settings(max_examples=10, deadline=None, derandomize=True)
def test_none_of_195_reencoded_pictures_crosses_the_split(reencoded, seed):
    table = make_split(reencoded, SplitConfig(seed=seed)).table.set_index("stimulus_id")
    parts = [(table["part"][f"im{i:03d}"], table["part"][f"again{i:03d}"]) for i in range(195)]
    assert all(a == b for a, b in parts)
    assert table["together"].nunique() == 196  # and ""
    apart = make_split(reencoded, SplitConfig(seed=seed, lookalikes="warn")).table
    apart = apart.set_index("stimulus_id")["part"]
    assert sum(apart[f"im{i:03d}"] != apart[f"again{i:03d}"] for i in range(195)) > 50


def chain(n: int) -> np.ndarray:
    """Thumbnails of a slow movie: neighbors look alike, the ends do not."""
    weights = np.linspace(0, 1, n)[:, None, None, None]
    return np.rint((1 - weights) * coarse(100) + weights * coarse(101)).astype(np.uint8)


def test_a_long_chain_does_not_glue_a_data_set_together():
    movie = chain(100)
    rng = np.random.default_rng(0)
    shuffled = rng.permutation(140)
    pictures = np.concatenate([movie, THUMBNAILS])[shuffled]
    alike = find_classes(pictures)
    of_movie = shuffled < 100
    assert len(set(alike.chains[of_movie])) == 1  # all linked
    assert (alike.chains[~of_movie] == -1).all()
    sizes = np.bincount(alike.classes[alike.classes >= 0])
    assert sizes.max() == 10  # FEW, which is more than 5 in 100 of 140
    assert (alike.classes[of_movie] >= 0).all()
    assert (alike.classes[~of_movie] == -1).all()


def test_a_short_chain_and_many_copies_of_one_picture_stay_whole():
    short = find_classes(np.concatenate([chain(9), THUMBNAILS]))
    assert len(set(short.classes[:9])) <= len(set(short.chains[:9]))
    assert (short.classes == short.chains).all()
    copies = np.clip(coarse(5).astype(int) + np.arange(30)[:, None, None, None] % 3, 0, 255)
    alike = find_classes(np.concatenate([copies.astype(np.uint8), THUMBNAILS[6:]]))
    assert len(set(alike.classes[:30])) == 1
    assert alike.classes[0] >= 0
    assert (alike.classes[30:] == -1).all()
    assert find_classes(np.empty((0, SIDE, SIDE, 3), np.uint8)).classes.size == 0


def test_v4_keeps_the_split_it_had_but_for_its_one_pair(shared_data):
    """Both pictures of the one pair were in tune already."""
    root = shared_data / "data" / "macaque_v4_cowley2023"
    if not root.is_dir():
        pytest.skip("macaque V4 is not here")
    session = sorted((root / "images").glob("images_*.zip"))[0].stem.removeprefix("images_")
    data, _ = tidy(read("cowley_v4", root, subjects=[session]))
    grouped, plain = (
        make_split(data, SplitConfig(lookalikes=mode)).table for mode in ("group", "ignore")
    )
    assert list(grouped["part"]) == list(plain["part"])
    if "lookalike" in grouped.columns:
        assert (
            grouped[grouped["lookalike"] != ""].groupby("lookalike")["part"].nunique() == 1
        ).all()


def test_copies_at_every_quality_are_found_in_photographs(shared_data):
    """The rates that `data/images/lookalikes.py` states, on every fifth photograph of BSDS500."""
    files = sorted((shared_data / "data" / "bsds500").rglob("*.jpg"))[::5]
    if not files:
        pytest.skip("BSDS500 is not here")
    photographs = [decode_image(file) for file in files]
    first = np.stack([thumbnail(rgb) for rgb in photographs])
    for quality in (30, 60, 95):
        copies = np.stack([thumbnail(decode_image(jpeg(rgb, quality))) for rgb in photographs])
        pairs = near_duplicates(first, copies)
        assert (pairs[:, 0] == pairs[:, 1]).all()
        assert len(pairs) >= 0.97 * len(files)
    assert ALIKE == 0.1


def test_group_members_are_positions_in_the_order_of_numbers() -> None:
    numbers = np.random.default_rng(0).integers(0, 9, 40)
    members = group_members(numbers)
    expected = [np.flatnonzero(numbers == number).tolist() for number in np.unique(numbers)]
    assert [rows.tolist() for rows in members] == expected
    assert group_members(np.empty(0, np.int64)) == []
