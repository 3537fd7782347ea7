"""What is looked at before a run: pictures that stand on both sides of the split."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from striate.core.errors import InputError
from striate.data import Dataset, Recording, Responses, Split, StimulusSet
from striate.data.images import decode_image
from striate.evaluate import CompareConfig
from striate.evaluate.checks import check_sizes, find_lookalikes


def picture(seed: int) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return np.array(Image.fromarray(coarse).resize((48, 48)))


def jpeg(rgb: np.ndarray) -> np.ndarray:
    stream = BytesIO()
    Image.fromarray(rgb).save(stream, "jpeg", quality=80)
    return decode_image(stream.getvalue())


def world(**parts: dict[str, tuple[np.ndarray, str]]) -> tuple[Dataset, Split]:
    """Subjects with the pictures given by id, each with its part."""
    recordings, rows = {}, []
    for subject, own in parts.items():
        stimuli = StimulusSet(list(own), [rgb for rgb, _ in own.values()])
        responses = Responses.build(np.zeros((len(own), 1)), list(own), subject=subject)
        recordings[subject] = Recording(subject, stimuli, responses)
        for (name, (_, part)), digest in zip(own.items(), stimuli.hashes, strict=True):
            rows.append((subject, name, digest, part))
    table = pd.DataFrame(rows, columns=["subject", "stimulus_id", "hash", "part"])
    return Dataset("memory", recordings), Split.from_table(table)


def test_copies_on_both_sides_of_the_split_are_one_warning_that_names_the_first():
    ann = {"a": (picture(0), "tune"), "b": (picture(1), "test"), "c": (picture(2), "select")}
    bob = {
        "x": (jpeg(picture(0)), "test"),
        "y": (jpeg(picture(1)), "fit"),
        "z": (picture(1), "test"),  # the very same as ann/b: one picture, counted once
    }
    (text,) = find_lookalikes(*world(ann=ann, bob=bob))
    assert text.startswith("2 pairs of images look like one picture")
    assert "(first: ann/b in test, bob/y in fit)" in text


def test_copies_on_one_side_and_unused_ones_are_no_matter():
    ann = {
        "a": (picture(0), "tune"),
        "b": (jpeg(picture(0)), "fit"),
        "c": (picture(1), "test"),
        "d": (jpeg(picture(1)), "test"),
        "e": (jpeg(jpeg(picture(1))[::-1])[::-1], "unused"),
    }
    assert find_lookalikes(*world(ann=ann)) == []


def test_folds_within_test_would_part_the_frames_of_a_movie():
    dataset, split = world(ann={f"i{k}": (picture(k), "test") for k in range(12)})
    encode = {"protocol": "paper_b", "folds": 3}
    config = CompareConfig.model_validate(
        {"data": {"name": "memory", "path": "."}, "methods": ["untuned"], "encode": encode}
    )
    check_sizes(config, dataset, split)
    dataset["ann"].stimuli.groups = ("movie1",) * 2 + ("",) * 10
    with pytest.raises(InputError, match=r"subject ann: its images form groups.*protocol=nested"):
        check_sizes(config, dataset, split)


def test_folds_of_select_need_enough_movies():
    dataset, split = world(ann={f"i{k}": (picture(k), "select") for k in range(12)})
    config = CompareConfig.model_validate(
        {"data": {"name": "memory", "path": "."}, "methods": ["untuned"], "encode": {"folds": 3}}
    )
    dataset["ann"].stimuli.groups = ("movie1",) * 6 + ("movie2",) * 6
    with pytest.raises(InputError, match="form 2 groups, too few for 3 folds"):
        check_sizes(config, dataset, split)
    dataset["ann"].stimuli.groups = ("movie1",) * 6 + ("",) * 6
    check_sizes(config, dataset, split)
