"""Run folders: one run each, safe to go on with; finished pieces are found again."""

from __future__ import annotations

import json

import pytest
import yaml

import striate
from striate.core.config import Config
from striate.core.errors import InputError
from striate.core.files import read_json
from striate.core.run import Pieces, RunFolder, provenance


class Inner(Config):
    folds: int = 5


class Settings(Config):
    seed: int = 0
    rois: tuple[str, ...] = ("V1v",)
    encode: Inner = Inner()


def test_a_new_folder_holds_config_and_provenance(tmp_path):
    run = RunFolder(
        tmp_path / "deep" / "run", Settings(seed=3), command="striate compare x", verb="compare"
    )
    assert Settings.load(run / "config.yaml") == Settings(seed=3)
    facts = read_json(run / "provenance.json")
    assert facts["command"] == "striate compare x" and facts["verb"] == "compare"
    assert facts["versions"]["striate"] == striate.__version__
    assert {"torch", "numpy", "python"} <= set(facts["versions"])
    assert facts["machine"]["cores"] >= 1


def test_the_same_config_goes_on(tmp_path):
    run = RunFolder(tmp_path, Settings())
    (run / "scores.parquet").write_text("x")
    again = RunFolder(tmp_path, Settings())
    assert (again / "scores.parquet").read_text() == "x"


def test_another_config_is_refused_with_the_differences(tmp_path):
    run = RunFolder(tmp_path, Settings())
    with pytest.raises(InputError) as error:
        RunFolder(tmp_path, Settings(seed=1, rois=("V1v", "hV4"), encode=Inner(folds=3)))
    text = str(error.value)
    assert "encode.folds: there 5, asked for 3" in text
    assert "rois: there ['V1v'], asked for ['V1v', 'hV4']" in text
    assert "seed: there 0, asked for 1" in text
    assert "--overwrite" in text
    assert Settings.load(run / "config.yaml") == Settings()  # as it was


class OtherSettings(Settings):
    """Those of another verb."""


def test_a_run_of_another_verb_is_refused_whatever_is_asked_for(tmp_path):
    run = RunFolder(tmp_path, Settings())
    for overwrite in (False, True):
        with pytest.raises(InputError, match=r"another kind \(Settings, asked for OtherSettings"):
            RunFolder(tmp_path, OtherSettings(), overwrite=overwrite)
    facts = read_json(run / "provenance.json")
    (run / "provenance.json").write_text(json.dumps({**facts, "settings": None}))  # older runs
    RunFolder(tmp_path, OtherSettings(), overwrite=True)


def test_overwrite_keeps_what_is_not_replaced(tmp_path):
    run = RunFolder(tmp_path, Settings())
    (run / "scores.parquet").write_text("x")
    RunFolder(tmp_path, Settings(seed=1), overwrite=True)
    assert Settings.load(run / "config.yaml").seed == 1
    assert (run / "scores.parquet").exists()


@pytest.mark.parametrize("overwrite", [True, False])
def test_an_older_run_of_another_kind_is_known_by_its_keys(tmp_path, overwrite):
    class Other(Config):
        photographs: tuple[str, ...]

    before = (RunFolder(tmp_path, Settings()) / "config.yaml").read_text()
    (tmp_path / "provenance.json").unlink()
    with pytest.raises(InputError, match=r"another kind \(its config\.yaml has no photographs"):
        RunFolder(tmp_path, Other(photographs=("a",)), overwrite=overwrite)
    assert (tmp_path / "config.yaml").read_text() == before


def test_a_key_that_an_older_version_did_not_have_is_a_difference(tmp_path):
    run = RunFolder(tmp_path, Settings())
    (run / "config.yaml").write_text(yaml.safe_dump({"seed": 0, "rois": ["V1v"], "old": 1}))
    with pytest.raises(InputError) as error:
        RunFolder(tmp_path, Settings())
    assert "encode.folds: there None, asked for 5" in str(error.value)
    assert "old: there 1, asked for None" in str(error.value)


@pytest.mark.parametrize("overwrite", [True, False])
def test_a_foreign_folder_is_refused(tmp_path, overwrite):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match="not empty and holds no run"):
        RunFolder(tmp_path, Settings(), overwrite=overwrite)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_hidden_files_do_not_make_a_folder_foreign(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".DS_Store").touch()
    RunFolder(tmp_path / "run", Settings())


@pytest.mark.parametrize("content", ["a: [", "- 1\n"])
def test_a_broken_config_in_the_folder_is_named(tmp_path, content):
    (tmp_path / "config.yaml").write_text(content)
    with pytest.raises(InputError, match=r"config\.yaml"):
        RunFolder(tmp_path, Settings())


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("x")
    for place in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(InputError, match="Choose a folder you can write to"):
            RunFolder(place, Settings())


def test_provenance_without_a_command_gives_the_command_line(monkeypatch):
    monkeypatch.setattr("sys.argv", ["/somewhere/bin/striate", "compare", "seed=1"])
    assert provenance()["command"] == "striate compare seed=1"


def test_pieces_are_found_by_what_decides_them(tmp_path):
    pieces = Pieces(tmp_path / "pieces")
    key = {"model": "alexnet", "target": "subj01_lh_V1v", "config": {"epochs": 3}}
    assert pieces.load(key) is None
    pieces.store(key, {"seconds": 1.5, "best_epoch": None})
    piece = pieces.load({"config": {"epochs": 3}, "target": "subj01_lh_V1v", "model": "alexnet"})
    assert piece is not None
    assert (piece["seconds"], piece["best_epoch"], piece["key"]) == (1.5, None, key)
    assert pieces.load({**key, "config": {"epochs": 4}}) is None


def test_a_cell_that_was_begun_is_not_finished(tmp_path):
    pieces = Pieces(tmp_path)
    pieces.path({"a": 1}).mkdir(parents=True)
    (pieces.path({"a": 1}) / "network.safetensors").write_bytes(b"half")
    assert pieces.load({"a": 1}) is None


def test_cells_take_paths_in_keys(tmp_path):
    pieces = Pieces(tmp_path)
    pieces.store({"weights": tmp_path / "w"}, {})
    assert pieces.load({"weights": tmp_path / "w"}) == {"key": {"weights": str(tmp_path / "w")}}
