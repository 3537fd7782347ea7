"""Fixtures of the data tests; what writes the layouts is in `layouts.py`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from striate.data import Dataset, Recording, Responses, StimulusSet
from tests.data.layouts import picture, write_algonauts

MakeDataset = Callable[..., Dataset]


@pytest.fixture
def algonauts(tmp_path: Path) -> Path:
    """A data folder with subjects 1, 6 and 8, whose vertex counts differ as the real ones do."""
    root = tmp_path / "algonauts"
    write_algonauts(root, "subj01", vertices=(6, 9))
    write_algonauts(root, "subj06", vertices=(5, 7), seeds=range(4, 11))
    write_algonauts(root, "subj08", vertices=(4, 8), seeds=range(6, 12))
    return root


@pytest.fixture
def make_dataset() -> MakeDataset:
    """Build a data set in memory from the picture seeds that each subject saw."""

    def make(n_units: int = 3, **seeds: list[int]) -> Dataset:
        recordings = {}
        for subject, numbers in seeds.items():
            ids = [f"{subject}-{i}" for i in range(len(numbers))]
            values = np.random.default_rng(0).normal(size=(len(ids), n_units))
            recordings[subject] = Recording(
                subject,
                StimulusSet(ids, [picture(s, 4) for s in numbers]),
                Responses.build(values, ids, subject=subject),
            )
        return Dataset("memory", recordings)

    return make
