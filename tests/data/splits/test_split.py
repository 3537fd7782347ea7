"""Splits: an image is in one part, whoever saw it and under whatever name."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.core.errors import InputError, LeakError
from striate.core.hashing import hash_fraction, hash_image
from striate.data import (
    PARTS,
    Dataset,
    Recording,
    Responses,
    Split,
    SplitConfig,
    StimulusSet,
    group_stimuli,
    load_split,
    make_split,
)
from tests.data.layouts import picture


def of_hashes(seen: Mapping[str, list[str]]) -> Dataset:
    """A data set of stimuli that are nothing but their content hashes."""
    recordings = {}
    for subject, hashes in seen.items():
        ids = [f"{subject}-{i}" for i in range(len(hashes))]
        stimuli = StimulusSet(ids, [picture(0, 3)] * len(ids))
        stimuli.__dict__["hashes"] = tuple(hashes)
        # flat ones look like nothing
        stimuli.__dict__["thumbnails"] = np.zeros((len(ids), 16, 16, 3), np.uint8)
        responses = Responses.build(np.zeros((len(ids), 1)), ids, subject=subject)
        recordings[subject] = Recording(subject, stimuli, responses)
    return Dataset("memory", recordings)


def many(start: int, stop: int) -> list[str]:
    return [f"hash{i}" for i in range(start, stop)]


def by_hash(split: Split) -> dict[str, set[str]]:
    return {str(h): set(p) for h, p in split.table.groupby("hash")["part"]}


@given(
    extra=st.lists(st.integers(0, 400), max_size=60),
    order=st.permutations(["s1", "s2", "s3"]),
    shuffle=st.integers(0, 2**32 - 1),
    seed=st.integers(0, 3),
    held=st.sampled_from([(), ("s2",), ("s2", "s3")]),
)
@settings(max_examples=25, deadline=None, derandomize=True)
def test_an_image_is_in_one_part_whatever_the_order(extra, order, shuffle, seed, held):
    seen = {
        "s1": many(0, 150) + [f"hash{i}" for i in extra],  # an image may come twice
        "s2": many(100, 250),
        "s3": many(200, 400),
    }
    config = SplitConfig(seed=seed, held_out=held)
    first = make_split(of_hashes(seen), config)
    assert all(len(parts) == 1 for parts in by_hash(first).values())

    generator = np.random.default_rng(shuffle)
    shuffled = {s: [str(h) for h in generator.permutation(seen[s])] for s in order}
    assert by_hash(make_split(of_hashes(shuffled), config)) == by_hash(first)


def test_real_pictures_are_grouped_by_their_pixels(make_dataset):
    data = make_dataset(s1=list(range(60)), s2=list(range(30, 90)))
    split = make_split(data)
    for seed in range(30, 60):
        rows = split.table[split.table["hash"] == hash_image(picture(seed, 4))]
        assert list(rows["subject"]) == ["s1", "s2"]
        assert rows["part"].nunique() == 1


def test_adding_a_subject_moves_nothing():
    few = make_split(of_hashes({"s1": many(0, 200)}))
    more = make_split(of_hashes({"s0": many(100, 300), "s1": many(0, 200)}))
    now = by_hash(more)
    assert all(now[h] == parts for h, parts in by_hash(few).items())


def test_shares_are_near_what_was_asked():
    n = 4000
    counts = make_split(of_hashes({"s1": many(0, n)})).counts().loc["s1"]
    for part, share in {"tune": 0.6, "fit": 0.15, "select": 0.1, "test": 0.15}.items():
        # Each stimulus falls into a part with that chance: five binomial standard deviations.
        assert abs(counts[part] - n * share) < 5 * np.sqrt(n * share * (1 - share))


def test_parts_are_the_whole_and_do_not_meet():
    split = make_split(of_hashes({"s1": many(0, 200)}))
    places = [split.part("s1", p) for p in PARTS]
    np.testing.assert_array_equal(np.sort(np.concatenate(places)), np.arange(200))
    both = split.part("s1", "tune", "fit")
    np.testing.assert_array_equal(both, np.sort(np.concatenate(places[:2])))
    assert not split.hashes("tune", "fit", "select") & split.hashes("test")


def test_another_seed_is_another_split():
    data = of_hashes({"s1": many(0, 200)})
    assert by_hash(make_split(data, SplitConfig(seed=1))) != by_hash(make_split(data))


def test_held_out_subjects_have_no_tune_part_unless_a_tuned_one_saw_the_image():
    data = of_hashes({"s1": many(0, 200), "new": many(150, 350)})
    split = make_split(data, SplitConfig(held_out=("new",)))
    rows = split.table[split.table["subject"] == "new"]
    shared = rows["hash"].isin(data.hashes()["s1"])
    assert shared.sum() == 50
    assert set(rows.loc[~shared, "part"]) == {"fit", "select", "test"}
    assert "tune" in set(rows.loc[shared, "part"])  # 0.4^50 that none of the fifty is
    # What was `tune` by its hash is `fit`; select and test are where they would be anyway.
    without = make_split(data)
    for part in ("select", "test"):
        np.testing.assert_array_equal(split.part("new", part), without.part("new", part))
    for row in rows[~shared].itertuples():
        assert (row.part == "fit") == (hash_fraction(0, row.hash) < 0.75)


def test_unknown_held_out_subject():
    with pytest.raises(InputError, match=r"unknown held-out subject 'subj1'\. Did you mean subj01"):
        make_split(of_hashes({"subj01": many(0, 99)}), SplitConfig(held_out=("subj1",)))


def test_shares_must_add_up_to_one():
    with pytest.raises(InputError, match=r"must add up to 1, found 1\.1"):
        make_split(of_hashes({"s1": many(0, 99)}), SplitConfig(tune=0.7))


@pytest.mark.parametrize("bad", [{"fit": 0.0}, {"tune": -0.1}, {"test": 1.0}])
def test_impossible_shares_are_refused_by_the_config(bad):
    with pytest.raises(InputError, match=next(iter(bad))):
        SplitConfig.from_dict(bad)


@pytest.mark.parametrize("empty", ["fit", "select", "test", "tune"])
def test_an_empty_part_is_an_error_that_names_subject_and_part(empty):
    edges = dict(zip(PARTS, [(0, 0.6), (0.6, 0.75), (0.75, 0.85), (0.85, 1.0)], strict=True))
    low, high = edges[empty]
    usable = [h for h in many(0, 200) if not low <= hash_fraction(0, h) < high]
    with pytest.raises(InputError, match=f"subject s2 has no stimulus in part '{empty}'"):
        make_split(of_hashes({"s1": many(0, 200), "s2": usable}))


def test_nothing_is_tuned_where_the_share_is_zero():
    config = SplitConfig(tune=0.0, fit=0.5, select=0.25, test=0.25)
    split = make_split(of_hashes({"s1": many(0, 200)}), config)
    assert split.part("s1", "tune").size == 0


def test_save_and_load(tmp_path):
    split = make_split(of_hashes({"s1": many(0, 99), "s2": many(50, 150)}))
    split.save(tmp_path / "splits.parquet")
    pd.testing.assert_frame_equal(Split.load(tmp_path / "splits.parquet").table, split.table)


def test_damaged_table_file(tmp_path):
    (tmp_path / "splits.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(InputError, match=r"splits\.parquet cannot be read"):
        Split.load(tmp_path / "splits.parquet")
    with pytest.raises(InputError, match=r"nowhere\.parquet cannot be read"):
        Split.load(tmp_path / "nowhere.parquet")


def table(**parts: str) -> pd.DataFrame:
    rows = [(s, f"im{i}", "samehash", p) for i, (s, p) in enumerate(parts.items())]
    return pd.DataFrame(rows, columns=["subject", "stimulus_id", "hash", "part"])


def test_an_image_in_two_parts_is_a_leak():
    with pytest.raises(LeakError, match="1 images are in two parts") as error:
        Split.from_table(table(s1="tune", s2="test"))
    assert "s1/im0 in tune, s2/im1 in test" in str(error.value)


def test_a_leak_in_a_saved_table_is_found_when_it_is_loaded(tmp_path):
    table(s1="tune", s2="select").to_parquet(tmp_path / "splits.parquet")
    with pytest.raises(LeakError):
        Split.load(tmp_path / "splits.parquet")


def test_unused_is_no_part():
    split = Split.from_table(table(s1="tune", s2="unused"))
    assert split.part("s2", *PARTS).size == 0


def test_tables_that_are_no_split():
    with pytest.raises(InputError, match=r"unknown part of a split 'train'.*Known: tune, fit"):
        Split.from_table(table(s1="train"))
    with pytest.raises(InputError, match="column of a split table 'hash'"):
        Split.from_table(table(s1="tune").drop(columns="hash"))


def test_unknown_part_and_subject_offer_the_nearest():
    split = Split.from_table(table(s1="tune"))
    with pytest.raises(InputError, match=r"'tset'\. Did you mean test"):
        split.part("s1", "tset")
    with pytest.raises(InputError, match=r"'s2'\. Did you mean s1"):
        split.part("s2", "test")


def test_a_leak_is_bad_input_for_the_command_line():
    assert LeakError.exit_code == 2


def in_groups(groups: Mapping[str, Mapping[str, str]]) -> Dataset:
    """A data set of content hashes with their groups, by subject."""
    data = of_hashes({subject: list(of) for subject, of in groups.items()})
    for subject, of in groups.items():
        data[subject].stimuli.groups = tuple(of.values())
    return data


@given(
    labels=st.lists(st.integers(0, 60), min_size=200, max_size=200),
    others=st.lists(st.integers(0, 60), min_size=200, max_size=200),
    seed=st.integers(0, 3),
)
@settings(max_examples=15, deadline=None, derandomize=True)
def test_groups_stay_together_also_where_they_share_an_image(labels, others, seed):
    """`m0` marks an image that stands alone; the subjects group shared images differently."""
    name = {0: ""}
    first = {f"hash{i}": name.get(g, f"m{g}") for i, g in enumerate(labels)}
    second = {f"hash{i + 190}": name.get(g, f"n{g}") for i, g in enumerate(others)}
    split = make_split(in_groups({"s1": first, "s2": second}), SplitConfig(seed=seed))
    table = split.table
    if any(labels + others):
        assert (table[table["group"] != ""].groupby("group")["part"].nunique() == 1).all()
    assert (table.groupby("hash")["part"].nunique() == 1).all()
    # an image that stands alone is where it would be without any groups
    alone = {h: g for of in (first, second) for h, g in of.items()}
    plain = by_hash(make_split(of_hashes({"s1": list(alone)}), SplitConfig(seed=seed)))
    for digest in set(first) ^ set(second):
        if not alone[digest]:
            assert by_hash(split)[digest] == plain[digest]


def test_a_table_has_groups_only_where_stimuli_have():
    assert "group" not in make_split(of_hashes({"s1": many(0, 100)})).table.columns


def test_a_saved_split_is_read_again_and_refused_where_it_does_not_fit(tmp_path):
    path = tmp_path / "splits.parquet"
    data = of_hashes({"s1": many(0, 99), "s2": many(50, 150)})
    assert load_split(path, data) is None
    split = make_split(data)
    split.save(path)
    pd.testing.assert_frame_equal(load_split(path, data).table, split.table)
    for other, match in (
        ({"s1": many(0, 99)}, r"subjects differ from those of the saved split \(s2\)"),
        ({"s1": many(0, 98), "s2": many(50, 150)}, r"subject s1: stimuli differ.*\(s1-98\)"),
        (
            {"s1": many(0, 99), "s2": ["new", *many(51, 150)]},
            r"subject s2: 1 images are other pictures.*first: s2-0\).*splits\.parquet",
        ),
    ):
        with pytest.raises(InputError, match=match):
            load_split(path, of_hashes(other))


def test_a_saved_split_is_known_again_by_files_where_pixels_are_decoded_otherwise(tmp_path):
    data = of_hashes({"s1": many(0, 99)})
    data["s1"].stimuli.__dict__["file_hashes"] = tuple(f"file{i}" for i in range(99))
    split = make_split(data)
    split.save(tmp_path / "splits.parquet")
    other = of_hashes({"s1": [f"decoded otherwise {i}" for i in range(99)]})
    with pytest.raises(InputError, match="99 images are other pictures"):
        load_split(tmp_path / "splits.parquet", other)
    other["s1"].stimuli.__dict__["file_hashes"] = data["s1"].stimuli.file_hashes
    loaded = load_split(tmp_path / "splits.parquet", other)
    np.testing.assert_array_equal(loaded.part("s1", "test"), split.part("s1", "test"))


def test_groups_of_a_split_are_those_of_the_data_and_of_copies():
    data = in_groups({"s1": {"h1": "m1", "h2": "m1", "h3": ""}, "s2": {"h3": "", "h4": "m2"}})
    split = group_stimuli(data)
    assert split.groups("s1") == ["m1", "m1", ""]
    assert split.groups("s1", [2, 0]) == ["", "m1"]
    assert split.groups("s2") == ["", "m2"]  # an image that two subjects saw stands alone
    assert set(split.table["part"]) == {"unused"}
    copies = group_stimuli(of_hashes({"s1": ["a", "b", "a"]}))
    assert copies.groups("s1") == ["a", "", "a"]
    assert group_stimuli(of_hashes({"s1": ["a", "b"]})).groups("s1") == ["", ""]
    with pytest.raises(InputError, match="'s3'"):
        split.groups("s3")
    older = Split.from_table(split.table.drop(columns="together"))  # a table of version 0.1
    assert older.groups("s1") == ["m1", "m1", ""]
    assert Split.from_table(table(s1="tune")).groups("s1") == [""]


def test_parts_of_an_earlier_table_are_taken_for_some_of_its_subjects(tmp_path):
    path = tmp_path / "splits.parquet"
    data = of_hashes({"s1": many(0, 99), "s2": many(50, 150)})
    whole = make_split(data, SplitConfig(seed=3))
    whole.save(path)
    fewer = of_hashes({"s2": many(50, 150)})
    config = SplitConfig(table=str(path))
    split_again = make_split(fewer, config)
    assert set(split_again.table["subject"]) == {"s2"}
    for part in PARTS:
        np.testing.assert_array_equal(split_again.part("s2", part), whole.part("s2", part))
    with pytest.raises(InputError, match=r"subject s3: 5 stimuli are not in the split.*s3-0"):
        make_split(of_hashes({"s3": many(0, 5)}), config)
    with pytest.raises(InputError, match="subject s2: 1 images are other pictures"):
        make_split(of_hashes({"s2": ["other", *many(51, 150)]}), config)
    with pytest.raises(InputError, match=r"nowhere\.parquet cannot be read"):
        make_split(fewer, SplitConfig(table=str(tmp_path / "nowhere.parquet")))
