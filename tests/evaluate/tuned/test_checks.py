"""What is looked at before a run: sizes of the parts, and what folds would divide."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from striate.core.compute import Compute
from striate.core.errors import InputError, LeakError
from striate.data import Dataset, Recording, Responses, Split, StimulusSet, group_stimuli
from striate.evaluate import CompareConfig
from striate.evaluate.tuned.checks import check_sizes
from striate.evaluate.tuned.measure import Bench, check_unseen
from striate.models import load


def picture(seed: int) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return np.array(Image.fromarray(coarse).resize((48, 48)))


def world(
    lookalikes: str = "group", **parts: dict[str, tuple[np.ndarray, str]]
) -> tuple[Dataset, Split]:
    """Subjects with the pictures given by id, each with its part."""
    recordings, chosen = {}, []
    for subject, pictures in parts.items():
        stimuli = StimulusSet(list(pictures), [rgb for rgb, _ in pictures.values()])
        responses = Responses.build(np.zeros((len(pictures), 1)), list(pictures), subject=subject)
        recordings[subject] = Recording(subject, stimuli, responses)
        chosen += [part for _, part in pictures.values()]
    dataset = Dataset("memory", recordings)
    return dataset, Split.from_table(group_stimuli(dataset, lookalikes).table.assign(part=chosen))


def grouped(dataset: Dataset, split: Split, groups: tuple[str, ...]) -> tuple[Dataset, Split]:
    """The same with groups stated for the one subject's stimuli."""
    dataset["ann"].stimuli.groups = groups
    return dataset, Split.from_table(split.table.assign(together=groups))


def test_folds_within_test_would_part_the_frames_of_a_movie():
    dataset, split = world(ann={f"i{k}": (picture(k), "test") for k in range(12)})
    encode = {"protocol": "paper_b", "folds": 3}
    config = CompareConfig.model_validate(
        {"data": {"name": "memory", "path": "."}, "methods": ["untuned"], "encode": encode}
    )
    check_sizes(config, dataset, split)
    dataset, split = grouped(dataset, split, ("movie1",) * 2 + ("",) * 10)
    with pytest.raises(InputError, match=r"subject ann: its images form groups.*protocol=nested"):
        check_sizes(config, dataset, split)


def test_folds_of_select_need_enough_movies():
    dataset, split = world(ann={f"i{k}": (picture(k), "select") for k in range(12)})
    config = CompareConfig.model_validate(
        {"data": {"name": "memory", "path": "."}, "methods": ["untuned"], "encode": {"folds": 3}}
    )
    dataset, split = grouped(dataset, split, ("movie1",) * 6 + ("movie2",) * 6)
    with pytest.raises(InputError, match="form 2 groups, too few for 3 folds"):
        check_sizes(config, dataset, split)
    dataset, split = grouped(dataset, split, ("movie1",) * 6 + ("",) * 6)
    check_sizes(config, dataset, split)


def test_look_alikes_count_as_one_in_folds():
    """A picture and the same one level brighter, within test and within select."""
    twin = np.clip(picture(0).astype(int) + 1, 0, 255).astype(np.uint8)
    for part, encode, match in (
        ("test", {"protocol": "paper_b", "folds": 3}, "1 test images look like another one of"),
        ("select", {"folds": 3}, None),
    ):
        pictures = {f"i{k}": (picture(k), part) for k in range(12)} | {"twin": (twin, part)}
        config = CompareConfig.model_validate(
            {"data": {"name": "memory", "path": "."}, "methods": ["untuned"], "encode": encode}
        )
        if match is None:
            check_sizes(config, *world(ann=pictures))
        else:
            with pytest.raises(InputError, match=rf"{match}.*split\.lookalikes=warn"):
                check_sizes(config, *world(ann=pictures))
        check_sizes(config, *world("warn", ann=pictures))


def test_a_model_that_saw_one_frame_is_not_scored_on_the_movie(tmp_path):
    """Another subject's frame of the movie, and not a test image: ann saw it in tune."""
    dataset, _ = world(
        ann={"a": (picture(0), "tune"), "b": (picture(1), "test")},
        bob={"c": (picture(2), "test"), "d": (picture(3), "test")},
    )
    dataset["ann"].stimuli.groups, dataset["bob"].stimuli.groups = ("dive", ""), ("", "dive")
    table = group_stimuli(dataset).table.assign(part=["tune", "test", "test", "test"])
    split = Split(table)  # by hand: make_split would put the movie into one part
    config = CompareConfig.from_dict(
        {"data": {"name": "memory", "path": "."}, "methods": ["untuned"]}
    )
    bench = Bench(config, dataset, split, tmp_path, Compute())
    model = load("lcl_v2@random", image_size=48)
    check_unseen(bench, model, "net", "bob")
    model.note_seen(dataset["ann"].stimuli.hashes[:1])
    check_unseen(bench, model, "net", "ann")
    with pytest.raises(LeakError, match=r"net, subject bob: 1 of 2 test stimuli .* 'dive'"):
        check_unseen(bench, model, "net", "bob")
    assert [leak["subject"] for leak in bench.leaks] == ["bob", "ann"]
