"""Subjects that are copies of each other are named, and files that nobody reads."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from striate.data import read
from striate.data.doctor.diagnose import diagnose
from striate.data.responses.tidy import tidy
from tests.data.layouts import save_picture

IDS = [f"im{i:02d}" for i in range(12)]


def write(root: Path, subject: str, values: np.ndarray, ids=IDS) -> Path:
    folder = root / subject
    folder.mkdir(parents=True)
    np.save(folder / "responses.npy", values)
    (folder / "stimulus_ids.txt").write_text("\n".join(ids))
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for i, name in enumerate(IDS):
        save_picture(tmp_path / "images" / f"{name}.png", i)
    return tmp_path


def values(seed: int, units: int = 4) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(len(IDS), units))


def warnings(root: Path) -> str:
    return "\n".join(f.found for f in diagnose(root).findings if f.level == "warning")


def notes(root: Path) -> str:
    return "\n".join(tidy(read("folder", root))[1])


@pytest.mark.parametrize("kind", ["copy", "rows", "units", "dtype"])
def test_a_copied_subject_is_named(root: Path, kind: str) -> None:
    responses = values(0).astype(np.float32)
    write(root, "ann", responses)
    order = np.random.default_rng(1).permutation(len(IDS))
    if kind == "rows":
        write(root, "bob", responses[order], [IDS[i] for i in order])
    elif kind == "units":
        write(root, "bob", np.hstack([values(5, 2), responses[:, [2, 0]]]))
    else:
        write(root, "bob", responses.astype(np.float64) if kind == "dtype" else responses)
    same = "2 of 4 and 4" if kind == "units" else "4 of 4 and 4"
    for said in (warnings(root), notes(root)):
        assert f"ann and bob hold the same responses of {same} units" in said


def test_other_subjects_and_silent_units_are_no_copies(root: Path) -> None:
    for seed, name in enumerate(("ann", "bob")):
        responses = values(seed)
        responses[:, 1], responses[:, 2] = 0, np.arange(len(IDS)) % 3
        write(root, name, responses)
    assert "same responses" not in warnings(root) + notes(root)


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (lambda r: (r / "bob/responses.npy").rename(r / "bob/response.npy"), "folder bob"),
        (lambda r: (r / "bob/responses.npy").rename(r / "bob/responses.NPY"), "folder bob"),
        (lambda r: (r / "units.csv").write_text("unit_id,roi_V1\na,1\n"), "units.csv is not read"),
        (lambda r: (r / "ann/Units.csv").write_text("unit_id\na\n"), "ann/Units.csv"),
        (lambda r: (r / "ann/units.tsv").write_text("unit_id\na\n"), "ann/units.tsv"),
        (lambda r: (r / "ann/responses.mat").write_text("x"), "ann/responses.mat"),
        (lambda r: shutil.copy(r / "ann/stimulus_ids.txt", r), "stimulus_ids.txt is not read"),
    ],
)
def test_what_looks_like_data_and_is_not_read_is_named(root: Path, spoil, named: str) -> None:
    for seed, name in enumerate(("ann", "bob")):
        write(root, name, values(seed))
    (root / "README.md").write_text("ours")
    (root / "code").mkdir()
    (root / "code" / "fit.py").write_text("")
    assert "not read" not in warnings(root) + notes(root)
    spoil(root)
    assert named in warnings(root) and named in notes(root)


def test_subjects_below_a_folder_with_responses_are_named(root: Path) -> None:
    shutil.copytree(write(root, "ann", values(0)), root, dirs_exist_ok=True)
    assert "folder ann is not read" in warnings(root) and "folder ann" in notes(root)
