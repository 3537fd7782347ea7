"""The same data written in another way give the same scores: order, type, format and scale."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from striate.core.files import read_parquet
from striate.evaluate import EncodeRunConfig, score_models

STIMULI, UNITS, REPEATS = 80, 6, 3


def recorded() -> np.ndarray:
    """Spike counts that follow the pictures' mean color, (STIMULI, REPEATS, UNITS), whole."""
    rng = np.random.default_rng(5)
    color = pictures().mean(axis=(1, 2)) / 255
    drive = 60 + 60 * (color - 0.5) @ rng.standard_normal((3, UNITS))
    noise = rng.normal(0, 15, (STIMULI, REPEATS, UNITS))
    return np.clip(np.rint(drive[:, None] + noise), 0, 200)


def pictures() -> np.ndarray:
    rng = np.random.default_rng(4)
    base = rng.integers(0, 200, (STIMULI, 1, 1, 3))
    return (base + rng.integers(0, 55, (STIMULI, 24, 24, 3))).astype(np.uint8)


def write(root: Path, values: np.ndarray, rows: np.ndarray, units: np.ndarray, file: str) -> Path:
    """One subject, `ann`, with its rows and units in an order of choice."""
    folder = root / "ann"
    (folder / "images").mkdir(parents=True)
    for i, rgb in enumerate(pictures()):
        Image.fromarray(rgb).save(folder / "images" / f"im{i:02d}.png")
    values = values[rows][..., units]
    ids = [f"im{i:02d}" for i in rows]
    names = [f"cell{u}" for u in units]
    if file == "npy":
        np.save(folder / "responses.npy", values)
        (folder / "stimulus_ids.txt").write_text("\n".join(ids))
    else:
        table = pd.DataFrame(values, columns=names)
        table.insert(0, "stimulus_id", ids)
        if file == "csv":
            table.to_csv(folder / "responses.csv", index=False)
        else:
            table.to_parquet(folder / "responses.parquet", index=False)
    facts = ["unit_id,hemisphere,roi_A,roi_B"]
    facts += [f"cell{u},lh,{int(u < 4)},{int(u >= 2)}" for u in units]
    (folder / "units.csv").write_text("\n".join(facts))
    return root


def scores(data: Path, out: Path, quiet) -> pd.DataFrame:
    config = {
        "data": {"name": "folder", "path": str(data)},
        "model": {"id": "squeezenet1_1@random", "image_size": 24},
        "split": {"tune": 0.0, "fit": 0.4, "select": 0.3, "test": 0.3},
        "encode": {
            "taps": ["features.2", "features.4"],
            "projection": {"kind": "none", "grid": 2},
            "bootstrap": 100, "permutations": 30, "folds": 3,
        },
    }  # fmt: skip
    score_models(EncodeRunConfig.from_dict(config), out, quiet)
    rois = read_parquet(out / "tables/rois.parquet")
    null = read_parquet(out / "tables/null.parquet")
    keys = ["roi", "model"]
    both = rois.merge(null[[*keys, "null_95", "p"]], on=keys, suffixes=("", "_null"))
    return both.sort_values(keys).reset_index(drop=True)


@pytest.fixture(scope="module")
def expected(tmp_path_factory, cache):
    from striate.evaluate import Options

    root = tmp_path_factory.mktemp("same")
    data = write(root / "data", recorded(), np.arange(STIMULI), np.arange(UNITS), "npy")
    return scores(data, root / "run", Options(progress=False, cache=cache, say=lambda line: None))


def same(actual: pd.DataFrame, expected: pd.DataFrame, drop: tuple[str, ...] = ()) -> None:
    numbers = [c for c in expected.select_dtypes("number").columns if c not in drop]
    assert expected["r"].abs().max() > 0.2  # there is something to be the same
    for column in numbers:
        np.testing.assert_allclose(
            actual[column], expected[column], rtol=2e-4, atol=2e-5, err_msg=column
        )
    assert actual["tap"].tolist() == expected["tap"].tolist()


@pytest.mark.parametrize("order", ["rows", "units", "both"])
def test_the_order_of_rows_and_units_changes_nothing(tmp_path, quiet, expected, order):
    rng = np.random.default_rng(9)
    rows, units = np.arange(STIMULI), np.arange(UNITS)
    rows = rng.permutation(rows) if order != "units" else rows
    units = rng.permutation(units) if order != "rows" else units
    data = write(tmp_path / "data", recorded(), rows, units, "npy")
    same(scores(data, tmp_path / "run", quiet), expected)


@pytest.mark.parametrize("dtype", ["u1", ">i2", "<i4", "i8", "f2", ">f4", ">f8"])
def test_the_type_of_the_file_changes_nothing(tmp_path, quiet, expected, dtype):
    values = np.asfortranarray(recorded().astype(dtype))
    data = write(tmp_path / "data", values, np.arange(STIMULI), np.arange(UNITS), "npy")
    same(scores(data, tmp_path / "run", quiet), expected)


@pytest.mark.parametrize("file", ["csv", "parquet"])
def test_the_format_of_the_file_changes_nothing(tmp_path, quiet, expected, file):
    """A table holds averages, so only the ceiling, which needs trials, is not there."""
    every = np.arange(STIMULI), np.arange(UNITS)
    data = write(tmp_path / "data", recorded().mean(axis=1), *every, file)
    actual = scores(data, tmp_path / "run", quiet)
    ceilings = tuple(c for c in expected.columns if "ceiling" in c or "normalized" in c)
    pooled = tuple(c for c in expected.columns if "explain" in c or "reliable" in c)
    same(actual, expected, (*ceilings, *pooled))


@pytest.mark.parametrize("scale", [1e-6, 1 / 3, 1000.0])
def test_the_unit_of_measurement_changes_nothing(tmp_path, quiet, expected, scale):
    every = np.arange(STIMULI), np.arange(UNITS)
    data = write(tmp_path / "data", recorded() * scale - 3 * scale, *every, "npy")
    same(scores(data, tmp_path / "run", quiet), expected)
