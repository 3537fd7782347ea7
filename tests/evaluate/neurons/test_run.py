"""`striate predict` on small SIMULATED data: tables with controls, a page, work that is kept."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner

from striate.cli.main import make_app
from striate.core.cache import Cache
from striate.core.errors import InputError, LeakError
from striate.core.files import read_json
from striate.data import Split, StimulusSet
from striate.data.responses.rdms_92images import Rdms
from striate.evaluate import PredictRunConfig, predict_neurons
from striate.evaluate.neurons.run import _it_table
from striate.models import load
from striate.report import build
from striate.report.scorecard.card import as_table, make_scorecard
from tests.data.layouts import picture, write_freeman_ziemba
from tests.evaluate.conftest import write_world

TEXTURES = {"bootstrap": 30, "permutations": 20, "splits": 3, "components": 5, "device": "cpu"}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with textures, a small world, and a config."""
    root = tmp_path_factory.mktemp("user")
    (root / "textures").mkdir()
    write_freeman_ziemba(root / "textures", cells=(6, 6), bins=200, side=16)
    write_world(root / "world", ("ann", "bob"))
    config = {
        "models": {
            "net": {
                "id": "lcl_v2@random",
                "image_size": 48,
                "readouts": {"early": ["stage1"]},
                "taps": {"V2": "stage2"},
            },
            "fixed": {"id": "gabor_energy", "image_size": 48},
        },
        "sets": {
            "toy": {
                "data": {"name": "folder", "path": str(root / "world")},
                "image_size": 40,
                "grid": 2,
                "split": {"tune": 0, "fit": 0.5, "select": 0.25, "test": 0.25},
                "readout": {"folds": 2, "components": 3, "permutations": 10},
                "device": "cpu",
            }
        },
        "freeman_ziemba": {"path": str(root / "textures"), **TEXTURES},
        "bootstrap": 30,
    }
    (root / "predict.yaml").write_text(yaml.safe_dump(config))
    return root


def test_from_a_config_to_a_page(place, monkeypatch):
    monkeypatch.chdir(place)
    for _ in range(2):  # the second time all scores of sets are kept
        done = CliRunner().invoke(
            make_app(), ["predict", "-c", "predict.yaml", "-o", "run", "--json"]
        )
        assert done.exit_code == 0, done.output
    assert "toy net: kept" in done.stderr
    told = json.loads(done.stdout)
    assert set(told["tables"]) == {
        "differences", "freeman_ziemba", "freeman_ziemba_taps", "null", "scores", "seeds",
    }  # fmt: skip
    run = place / "run"
    (line,) = read_json(run / "unrelated.json")  # the responses of toy are noise
    assert line.startswith("toy: NO MODEL PREDICTS") and line in done.stderr
    page = (run / "report.html").read_text(encoding="utf-8")
    assert page.index("NO MODEL PREDICTS") < page.index('class="warn"')
    split = Split.load(run / "toy" / "splits.parquet")
    assert {"fit", "select", "test"} == set(split.table["part"])
    scores = pd.read_parquet(run / "tables" / "scores.parquet")
    assert set(scores["model"]) == {"net", "net@random", "fixed"}
    assert set(scores["readout"]) == {"early", "best tap"}
    assert set(scores["kind"]) == {"ridge", "pls"}
    assert not scores["simulated"].any() and scores["null"].notna().all()
    apart = pd.read_parquet(run / "tables" / "differences.parquet")
    assert set(zip(apart["reference"], apart["model"], strict=True)) == {("net", "net@random")}
    cells = pd.read_parquet(run / "tables" / "freeman_ziemba.parquet")
    assert cells["simulated"].all() and cells["subset"].eq("private").all()
    assert cells.groupby("model")["weights"].agg(list).to_dict() == {
        "net": ["own", "random"] * 2, "fixed": ["own"] * 2,
    }  # fmt: skip
    given = cells[cells["model"] == "net"].drop_duplicates("region").set_index("region")
    assert given.loc["V2", "tap"] == "stage2"
    html = (run / "report.html").read_text()
    for words in (
        "SIMULATED", "(r/c)²", "r²/c", "net@random", "fixed has fixed filters",
        "texture families as a whole", "95 % over families (ours)", "of explainable variance",
    ):  # fmt: skip
        assert words in html
    assert not (run / "cache").exists()
    assert {"config.yaml", "provenance.json", "notes.json"} <= {p.name for p in run.iterdir()}
    card = as_table(make_scorecard([run])).set_index(["measure", "row", "model"])
    shown = card[card["status"] == "measured"]
    for area in ("V1", "V2", "toy"):
        assert set(shown.loc[area].index.get_level_values("model")) == {"net", "fixed"}
    texture = shown.loc["V2", "FreemanZiemba2013: r, PLS", "net"]
    assert texture["simulated"] and texture["random"] < 1 and texture["ceiling"] > 0
    assert texture["over"] == "families" and texture["null_is"] == "families shuffled"
    assert pd.isna(shown.loc["toy", "toy: r, ridge, best tap", "fixed"]["random"])


def test_configs_that_cannot_be():
    with pytest.raises(InputError, match="nothing to predict: give sets"):
        PredictRunConfig.from_dict({"models": {"a": "alexnet"}})
    with pytest.raises(InputError, match="is no good name"):
        PredictRunConfig.from_dict(
            {"models": {"a@random": "alexnet"}, "rdms_92images": {"path": ""}}
        )


@pytest.mark.parametrize("name", ["tables", "cache", "../up", "", ".hidden"])
def test_a_data_set_must_not_take_a_folder_of_the_run(name):
    sets = {name: {"data": {"name": "folder", "path": "D"}}}
    with pytest.raises(InputError, match=r"sets: .* is no good name: it is to name a folder"):
        PredictRunConfig.from_dict({"models": {"a": "alexnet"}, "sets": sets})


def test_what_does_not_fit_is_told_before_anything_is_made(place, tmp_path):
    config = yaml.safe_load((place / "predict.yaml").read_text())
    toy = config["sets"]["toy"]
    for change, words in (
        ({"models": {"net": {"id": "lcl_v2@random", "readouts": {"x": ["stage3"]}}}},
         "model net: unknown tap 'stage3'. Did you mean stage"),
        ({"sets": {"toy": {**toy, "readout": {"components": 500, "folds": 2}}}},
         "toy, subject .*: 500 PLS components of .* training stimuli"),
        ({"sets": {"toy": {**toy, "device": "cuda:99"}}}, "device 'cuda:99': this torch sees"),
        ({"rdms_92images": {"path": str(tmp_path)}}, "does not exist. Is it the folder of the 92"),
        ({"freeman_ziemba": {"path": str(tmp_path)}}, "has no file of recordings"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=words):
            predict_neurons(PredictRunConfig.from_dict({**config, **change}), tmp_path / "run")
        assert not (tmp_path / "run").exists()


def test_taps_need_stimuli_to_choose_on(place, tmp_path):
    section = {"path": str(place / "textures"), "subset": "public", **TEXTURES}
    config = {"models": {"net": "lcl_v2@random"}, "freeman_ziemba": section}
    with pytest.raises(InputError, match=r"model net: no tap is given for V1, V2, .* \(public\)"):
        predict_neurons(PredictRunConfig.from_dict(config), tmp_path / "run")
    with pytest.raises(InputError, match=r"no notes\.json yet"):
        build(tmp_path / "run")
    config["models"] = {"net": "lcl_v3"}
    with pytest.raises(InputError, match="model net: unknown model 'lcl_v3'"):
        predict_neurons(PredictRunConfig.from_dict(config), tmp_path / "other")


def test_a_model_that_saw_one_of_the_92_images_is_refused():
    images = StimulusSet(["image01", "image02"], [picture(0), picture(1)])
    data = Rdms(("monkey_IT",), np.zeros((1, 2, 2)), images, {})
    model = load("lcl_v2@random", image_size=48)
    model.note_seen(images.hashes[1:])
    config = PredictRunConfig.from_dict(
        {"models": {"net": "lcl_v2@random"}, "rdms_92images": {"path": "."}}
    )
    with pytest.raises(LeakError, match="net on the 92 images: the model has seen 1 of 2"):
        _it_table(config, data, {"net": model}, Cache())


def test_it_of_92_images(shared_data, tmp_path):
    """Real RDMs: monkey IT is nearer to human IT than any filter is; controls stand beside."""
    config = {
        "models": {
            "gabor": {"id": "gabor_energy", "image_size": 96},
            "net": {"id": "lcl_v2@random", "image_size": 96},
        },
        "rdms_92images": {"path": str(shared_data / "data" / "rdms_92images"), "permutations": 50},
        "bootstrap": 50,
    }
    run = predict_neurons(PredictRunConfig.from_dict(config), tmp_path / "run")
    table = pd.read_parquet(run / "tables" / "rdms_92images.parquet")
    human = table[(table["data"] == "human IT") & (table["method"] == "spearman")]
    human = human.set_index("model")
    assert {"gabor/complex", "net/stage2", "net@random/stage2", "monkey IT"} <= set(human.index)
    assert human["similarity"].idxmax() == "monkey IT"
    assert human.loc["monkey IT", "similarity"] == pytest.approx(0.296, abs=0.001)
    assert human["ceiling_low"].iloc[0] == pytest.approx(0.372, abs=0.001)
    assert human["null"].abs().max() < 0.03
    assert np.isnan(table[table["data"] == "monkey IT"]["ceiling_low"]).all()
    assert "IT of 92 images" in build(run).read_text()
    card = as_table(make_scorecard([run])).set_index(["row", "model"])
    row = card.loc["human IT, 92 images: RDM spearman, deepest tap", "net"]
    assert row["value"] == human.loc["net/stage2", "similarity"] and row["detail"] == "stage2"
    assert row["random"] == human.loc["net@random/stage2", "similarity"]
