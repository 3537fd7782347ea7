"""docs/extending.md: its verb, reader, property and network work as they stand there."""

from __future__ import annotations

import importlib
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from striate import verbs
from striate.cli.main import make_app
from striate.core.errors import InputError
from striate.core.files import read_json
from striate.data import READERS, diagnose, read, readers
from striate.evaluate import ModelConfig, ProbeConfig
from striate.evaluate.common.choices import DataConfig
from striate.evaluate.units import properties
from striate.models import list_models, load, registry
from striate.report import build
from striate.report.scorecard.card import as_table, make_scorecard
from striate.report.scorecard.sources.common import area_of_data
from tests.evaluate.units.test_run import tiny_gratings

PAGE = Path(__file__).parents[1] / "docs" / "extending.md"
BLOCK = re.compile(r"```python\n# (\w+)\.py\n(.*?)```", re.DOTALL)


@pytest.fixture(autouse=True)
def _registered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The modules of the page in a folder of Python's path, imported; forgotten afterwards."""
    folder = tmp_path / "modules"
    folder.mkdir()
    modules = dict(BLOCK.findall(PAGE.read_text(encoding="utf-8")))
    assert set(modules) == {"silent", "lab_v4", "flatness", "pocket_net"}
    for name, text in modules.items():
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(folder)
    for name in modules:
        importlib.import_module(name)
    yield
    verbs.unregister("silent")
    readers.unregister("lab_v4")
    properties.unregister("flatness")
    registry.unregister("pocket_net")
    for name in modules:
        del sys.modules[name]


def run_striate(*arguments: str) -> str:
    done = CliRunner().invoke(make_app(), list(arguments))
    assert done.exit_code == 0, done.output
    return done.stdout


def test_a_verb_has_a_command_a_run_a_page_and_a_scorecard_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "silent" in run_striate("--help") and "gray noise" in run_striate("silent", "--help")
    done = run_striate("silent", "models.mine=pocket_net@random", "images=3", "-o", "run", "--json")
    assert json.loads(done) == {"folder": "run", "report": "run/report.html"}
    assert "Silent units" in Path("run/report.html").read_text(encoding="utf-8")
    assert read_json("run/provenance.json")["verb"] == "silent"
    card = run_striate("report", "run", "--scorecard", "-o", "card", "--json")
    (cell,) = [c for c in json.loads(card)["cells"] if c["status"] == "measured"]
    assert (cell["measure"], cell["model"]) == ("silent units", "mine")
    assert 0 < cell["value"] < 1
    Path("run/silent.json").unlink()
    with pytest.raises(InputError, match=r"no silent\.json yet: the run was stopped"):
        build("run")
    with pytest.raises(InputError, match="stopped before its end"):
        make_scorecard(["run"])


def test_a_name_is_registered_once() -> None:
    with pytest.raises(InputError, match="'silent' is taken"):
        verbs.register(verbs.VERBS["silent"])
    with pytest.raises(InputError, match="'lab_v4' is taken"):
        readers.register(READERS["lab_v4"])
    with pytest.raises(InputError, match="'flatness' is taken"):
        properties.register("flatness", properties.PROPERTIES["flatness"])


def test_a_reader_reads_is_chosen_and_examined(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    (tmp_path / "data/pictures").mkdir(parents=True)
    names = [f"p{i}" for i in range(12)]
    for name in names:
        pixels = generator.integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"data/pictures/{name}.png")
    rates = pd.DataFrame(generator.normal(size=(12, 3)), columns=["a", "b", "c"])
    rates.assign(picture=names).to_csv(tmp_path / "data/rates.csv", index=False)
    recording = read("lab_v4", tmp_path / "data", subjects="m1")["m1"]
    assert recording.responses.rois == ["V4"] and recording.stimuli.ids == tuple(names)
    np.testing.assert_array_equal(recording.responses.mean(), rates.to_numpy())
    assert len(DataConfig(name="lab_v4", path=str(tmp_path / "data")).read()) == 1
    with pytest.raises(InputError, match="unknown selector of lab_v4 'repeat'"):
        read("lab_v4", tmp_path / "data", repeat=True)
    assert area_of_data("lab_v4") == "V4" and area_of_data("folder") == ""
    diagnosis = diagnose(tmp_path / "data")
    assert (diagnosis.dataset, diagnosis.ok) == ("lab_v4", True)
    (tmp_path / "data/pictures/p3.png").write_bytes(b"half")
    assert not diagnose(tmp_path / "data").ok
    with pytest.raises(InputError, match=r"unknown data set 'lab_v5'\. Did you mean lab_v4"):
        read("lab_v5", tmp_path)
    unknown = diagnose(tmp_path / "modules").findings[0]
    assert "lab_v4 (rates.csv and pictures/), algonauts2023 (subj01" in unknown.advice


def test_a_property_is_in_tables_pages_and_scorecards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("striate.evaluate.units.run.make_grating_sets", tiny_gratings)
    monkeypatch.chdir(tmp_path)
    run_striate("probe", "models.mine=pocket_net@random", "stimuli=[gratings]", "-o", "run", "-q")
    tuning = pd.read_parquet("run/tables/tuning.parquet")
    responds = tuning["responds"]
    assert responds.any() and tuning.loc[responds, "flatness"].between(0, 1).all()
    assert tuning.loc[~responds, "flatness"].isna().all()
    label = properties.PROPERTIES["flatness"].label
    assert label in Path("run/report.html").read_text(encoding="utf-8")
    table = as_table(make_scorecard(["run"]))
    cell = table[table["row"] == f"{label}, median, tap 1 of those probed"].iloc[0]
    first = tuning[responds & (tuning["tap"] == "first")]
    assert cell["value"] == first["flatness"].median()
    assert cell["low"] <= cell["value"] <= cell["high"]
    # tables that were kept without the property are not taken for ones with it
    properties.unregister("flatness")
    try:
        run_striate("probe", "models.mine=pocket_net@random", "stimuli=[gratings]", "-o", "run",
                    "-q")  # fmt: skip
        assert "flatness" not in pd.read_parquet("run/tables/tuning.parquet")
    finally:
        properties.register("flatness", properties.Property(label, (0, 1), "gratings"))


def test_a_network_is_a_model() -> None:
    model = load("pocket_net@random")
    assert model.tap_shapes() == {"first": (4, 22, 22), "second": (6, 20, 20)}
    row = next(row for row in list_models() if row["id"] == "pocket_net")
    assert sum(p.numel() for p in model.parameters()) == row["parameters"]
    assert ModelConfig(id="pocket_net@random", image_size=32).build().preprocessing.size == 32
    assert ProbeConfig.from_dict({"models": {"m": "pocket_net@random"}}).models["m"].build()
    with pytest.raises(InputError, match="pocket_net is trained nowhere"):
        load("pocket_net")
