"""One scorecard of several runs: matched by weights, told where they disagree, sorted in a page."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pandas as pd
import pytest
from typer.testing import CliRunner

from striate.cli.main import make_app
from striate.core.errors import InputError
from striate.core.files import read_json, write_json
from striate.evaluate.common.measurement import MEASURES, Measurement, write_measurements
from striate.models import load
from striate.models.store import save
from striate.report import write_scorecard
from striate.report.scorecard.card import as_table, make_scorecard
from striate.report.scorecard.runs import read_run
from tests.report.browser import CHROMIUM, Browser
from tests.report.scored_runs import NET, OTHER, TWIN, behaved, predicted, run_folder


@pytest.fixture
def runs(tmp_path):
    """Two runs that name the same weights in two ways."""
    return [
        predicted(tmp_path / "v4", {"net": 0.5, "other": 0.6}, {"net": NET, "other": OTHER}),
        behaved(
            tmp_path / "decide",
            {"mine": 0.4, "random": 0.06},
            {"mine": NET, "random": TWIN},
        ),
    ]


def cells(folders):
    """Measured cells by (measure, model)."""
    table = as_table(make_scorecard(folders))
    return {(row["measure"], row["model"]): row for row in table.to_dict("records")}


def test_models_are_matched_by_weights_and_not_by_name(runs):
    card = make_scorecard(runs)
    assert [c.names for c in card.columns] == [("net", "mine"), ("other",), ("random",)]
    assert "net, mine are one model: their weights are the same." in card.notes
    measured = cells(runs)
    assert measured["V4", "net"]["value"] == 0.5 and measured["OOD accuracy", "net"]["value"] == 0.4
    assert measured["OOD accuracy", "other"]["status"] == "not measured"
    assert {m for m, _ in measured} == set(MEASURES)
    assert measured["V1", "net"]["status"] == "not measured"


def test_one_name_for_other_weights_is_told(runs, tmp_path):
    third = behaved(tmp_path / "more", {"net": 0.3}, {"net": OTHER})
    card = make_scorecard([*runs, third])
    assert len({c.label for c in card.columns}) == len(card.columns) == 3
    assert any(note.startswith("net is the name of more models than one") for note in card.notes)
    assert card.columns[0].label == "net (squeezenet1_1, aaaaaaaa)"


def test_a_cell_has_interval_ceiling_and_controls(runs):
    measured = cells(runs)
    v4, accuracy = measured["V4", "net"], measured["OOD accuracy", "net"]
    assert (v4["low"], v4["high"], v4["over"]) == (0.45, 0.55, "images")
    assert v4["random"] == pytest.approx(0.3) and v4["null_is"] == "stimuli shuffled"
    assert v4["normalized"] == pytest.approx(0.625)
    assert (accuracy["ceiling"], accuracy["ceiling_is"]) == (0.8, "humans")
    assert accuracy["null"] == 1 / 16 and accuracy["random"] == 0.06
    assert measured["error consistency", "net"]["null"] == 0.0
    assert measured["shape bias", "net"]["better"] == "neither"


def test_the_newest_of_two_values_counts_and_the_other_is_told(runs, tmp_path):
    again = predicted(tmp_path / "v4-new", {"net": 0.7}, {"net": NET}, started="2026-02-01")
    for order in ([*runs, again], [again, *runs]):
        card = make_scorecard(order)
        cell = cells(order)["V4", "net"]
        assert (cell["value"], cell["also"], cell["run"]) == (0.7, "0.500 in v4", "v4-new")
        assert any("measured more than once" in note for note in card.notes)
    same = predicted(tmp_path / "v4-same", {"net": 0.5}, {"net": NET}, started="2026-02-01")
    assert cells([*runs, same])["V4", "net"]["also"] == ""


def test_one_model_under_two_names_in_a_run_is_told(tmp_path):
    run = predicted(tmp_path / "v4", {"a": 0.5, "b": 0.6}, {"a": NET, "b": NET})
    card = make_scorecard([run])
    assert len(card.columns) == 1
    assert any(
        "(v4, as b) counts: 0.600; also 0.500 in v4 as a, features.7." in note
        for note in card.notes
    )


def test_other_settings_are_another_row(runs, tmp_path):
    other = predicted(tmp_path / "v4-large", {"net": 0.7}, {"net": NET}, size=224)
    card = make_scorecard([*runs, other])
    rows = [row for row in card.rows if row.measure == "V4"]
    assert [row.apart for row in rows] == ["image_size 112", "image_size 224"]
    assert any("not comparable" in note for note in card.notes)
    sham = predicted(tmp_path / "sham", {"net": 0.9}, {"net": NET}, simulated=True)
    apart = [row.apart for row in make_scorecard([*runs, sham]).rows if row.measure == "V4"]
    assert apart == ["simulated False", "simulated True"]


def test_groups_are_one_column(tmp_path):
    weights = {"tuned/1": NET, "tuned/2": OTHER, "base": TWIN}
    run = behaved(tmp_path / "g", {"tuned/1": 0.3, "tuned/2": 0.5, "base": 0.1}, weights)
    card = make_scorecard([run])
    assert [(c.label, c.models) for c in card.columns] == [("tuned", 2), ("base", 1)]
    cell = cells([run])["OOD accuracy", "tuned"]
    assert cell["value"] == pytest.approx(0.4) and cell["over"] == "2 models"
    assert cell["low"] < 0.3 and cell["high"] > 0.5  # Student's t of two
    scored = run_folder(tmp_path / "c", {"data": {}}, weights)  # a table that names the group
    group = Measurement("V4", "r", "tuned", 0.5)
    write_measurements(scored / "tables/scorecard.parquet", [group])
    assert cells([run, scored])["V4", "tuned"]["value"] == 0.5


def test_runs_of_before_are_not_matched_and_say_so(runs):
    (runs[1] / "models.json").unlink()
    card = make_scorecard(runs)
    assert len(card.columns) == 4
    assert any("decide tells no weights of its models" in note for note in card.notes)


@pytest.mark.parametrize(("sessions", "source"), [(4, "repeats"), (1, "given")])
def test_ceilings_tell_their_source_and_of_how_many_sessions(runs, sessions, source):
    file = runs[0] / "tables" / "scores.parquet"
    more = {"ceiling": 0.8, "ceiling_source": source, "share_explained": 0.39}
    pd.read_parquet(file).assign(**more, sessions_with_ceiling=sessions).to_parquet(file)
    cell = cells(runs)["V4", "net"]
    assert cell["explained"] == 0.39
    if sessions == 4:
        assert cell["ceiling"] == 0.8 and cell["detail"] == "features.7"
        assert cell["ceiling_is"] == "mean noise ceiling of units (repeats of these stimuli)"
    else:  # r is of all sessions, so a ceiling of one would not be its own
        assert pd.isna(cell["ceiling"])
        assert cell["detail"] == "features.7; ceilings are of 1 of 4 sessions"
        assert cell["ceiling_is"] == "mean noise ceiling of units (given with the data)"


def test_versions_that_differ_are_told(runs):
    told = read_json(runs[0] / "provenance.json")
    write_json(runs[0] / "provenance.json", {**told, "versions": {"striate": "0.0.9"}})
    notes = " ".join(make_scorecard(runs).notes)
    assert "different versions of striate (0.0.9: v4; 0.1.0: decide)" in notes


def test_any_verb_can_contribute(tmp_path):
    run = run_folder(tmp_path / "train", {"anything": 1}, {"net": NET})
    value = Measurement("classification", "top-1", "net", 0.61, 0.6, 0.62, "images", detail="ep 9",
                        protocol={"images": "val"})  # fmt: skip
    write_measurements(run / "tables/scorecard.parquet", [value])
    assert repr(read_run(run).measurements) == repr((value,))  # NaN is not itself
    rows = [r.what for r in make_scorecard([run]).rows if r.measure == "classification"]
    assert rows == ["top-1"]
    pd.DataFrame({"measure": ["V1"], "row": ["r"], "model": ["net"]}).to_parquet(
        run / "tables/scorecard.parquet"
    )
    with pytest.raises(InputError, match="has no column 'value'"):
        read_run(run)


def test_medians_of_properties_are_of_units_that_respond(tmp_path):
    config = {"pixels_per_degree": 28.0}
    run = run_folder(tmp_path / "probe", config, {"net": NET}, verb="probe")
    write_json(run / "probe.json", {"models": {}})
    variance = [0.1, 0.2, 0.6, 0.9, 0.5, float("nan")]
    tuning = pd.DataFrame({"model": "net", "tap": list("aaaabb"), "circular_variance": variance})
    tuning["responds"] = [True, True, True, False, True, True]
    tuning.to_parquet(run / "tables/tuning.parquet")
    first, second = read_run(run).measurements
    assert first.row == "circular variance, median, tap 1 of those probed"
    assert (first.value, first.detail, first.better) == (0.2, "a", "neither")
    assert 0.1 <= first.low <= 0.2 <= first.high <= 0.6
    assert (second.value, second.low, second.high) == (0.5, 0.5, 0.5)


def test_model_folders_choose_the_columns(runs, tmp_path):
    model = load("lcl_v2@random", seed=3, options={"stages": STAGES})
    save(model, tmp_path / "mine")
    models = read_json(runs[0] / "models.json")["models"]
    models[0]["weights"] = model.weights_fingerprint()
    write_json(runs[0] / "models.json", {"models": models})
    card = make_scorecard([*runs, tmp_path / "mine"])
    assert [c.names for c in card.columns] == [("net", "mine")]
    assert any(note.startswith("3 more models") for note in card.notes)
    model.preprocessing = replace(model.preprocessing, size=77)
    assert model.weights_fingerprint() == models[0]["weights"]


STAGES = [{"channels": 4, "kernel": 5, "stride": 2, "padding": 2}]


def test_what_is_no_run_is_refused(runs, tmp_path):
    (tmp_path / "thesis").mkdir()
    with pytest.raises(InputError, match=r"thesis is no run or model folder"):
        make_scorecard([*runs, tmp_path / "thesis"])
    with pytest.raises(InputError, match=r"nowhere does not exist"):
        make_scorecard([tmp_path / "nowhere"])
    (runs[1] / "behavior.json").unlink()
    with pytest.raises(InputError, match=r"decide holds a run that was stopped"):
        make_scorecard(runs)
    table = pd.read_parquet(runs[0] / "tables/scores.parquet").drop(columns="null")
    table.to_parquet(runs[0] / "tables/scores.parquet")
    with pytest.raises(InputError, match=r"v4: its tables are damaged or .* \('null' is missing"):
        make_scorecard(runs[:1])
    (runs[0] / "tables/scores.parquet").write_bytes(b"half")
    with pytest.raises(InputError, match=r"v4: its tables are damaged or"):
        make_scorecard(runs[:1])
    with pytest.raises(InputError, match=r"scores\.parquet is no table that can be read"):
        make_scorecard(runs[:1])
    (runs[0] / "notes.json").unlink()
    with pytest.raises(InputError, match=r"v4 holds a run that was stopped"):
        make_scorecard(runs[:1])


def test_learning_that_was_stopped_is_no_model(tmp_path):
    for name, verb in (("trained", "train"), ("grown", "grow")):
        run = run_folder(tmp_path / name, {}, {}, verb=verb)
        with pytest.raises(InputError, match=rf"{name} holds a run that was stopped"):
            make_scorecard([run])
    # the model of a training is there before it is tested
    save(load("lcl_v2@random", options={"stages": STAGES}), tmp_path / "trained/model")
    with pytest.raises(InputError, match=r"trained holds a run that was stopped"):
        make_scorecard([tmp_path / "trained"])


def test_a_run_is_known_by_its_verb_or_its_command(runs):
    path = runs[0] / "provenance.json"
    facts = read_json(path)
    command = "striate predict models.net=NET -o v4"
    write_json(path, {**facts, "verb": None, "command": command})  # of an earlier version
    assert cells(runs)["V4", "net"]["value"] == 0.5
    write_json(path, {**facts, "verb": None, "command": "python mine.py"})
    with pytest.raises(InputError, match=r"v4 does not tell which verb made it: .*again; it goes"):
        make_scorecard(runs)
    write_json(path, {**facts, "verb": "gaze"})
    with pytest.raises(InputError, match=r"v4 was made by the verb gaze, which is not known here"):
        make_scorecard(runs)


def test_models_that_are_told_in_another_form_are_named(runs):
    (runs[0] / "models.json").write_text('{"models": [{"name": "mine", "group": null}]}')
    with pytest.raises(InputError, match=r"v4: its tables are damaged or .* \('weights' is miss"):
        make_scorecard(runs[:1])


def test_nothing_is_overwritten_without_being_told_to(runs, tmp_path):
    page, _ = write_scorecard(runs, tmp_path / "card")
    with pytest.raises(InputError, match="holds a scorecard already"):
        write_scorecard(runs, tmp_path / "card")
    assert write_scorecard(runs, tmp_path / "card", overwrite=True)[0] == page
    with pytest.raises(InputError, match=r"holds something else than a scorecard"):
        write_scorecard(runs, runs[0], overwrite=True)
    with pytest.raises(InputError, match="no run or model"):
        write_scorecard([*runs, tmp_path], tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_the_files_say_the_same_and_links_move_along(runs, tmp_path):
    page, _ = write_scorecard(runs, tmp_path / "card")
    csv, parquet = (
        pd.read_csv(page.parent / "scorecard.csv", keep_default_na=False, na_values=[""]),
        pd.read_parquet(page.parent / "scorecard.parquet"),
    )
    assert csv["value"].tolist() == pytest.approx(parquet["value"].tolist(), nan_ok=True)
    html = page.read_text(encoding="utf-8")
    assert 'href="../v4/report.html"' in html and str(tmp_path) not in html
    assert "http" not in html and "url(" not in html and "SIMULATED" not in html


def test_simulated_is_in_every_cell(tmp_path):
    run = predicted(tmp_path / "s", {"a": 0.1, "b": 0.2}, {"a": NET, "b": OTHER}, simulated=True)
    page, card = write_scorecard([run], tmp_path / "card")
    html = page.read_text(encoding="utf-8")
    assert html.count('<b class="mark">SIMULATED</b>') == 2
    table = as_table(card)
    assert table.loc[table["status"] == "measured", "simulated"].all()


def test_the_verb(runs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = [run.name for run in runs]
    done = CliRunner().invoke(make_app(), ["report", *names, "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["scorecard"] == "striate-scorecard/scorecard.html"
    assert {c["status"] for c in told["cells"]} == {"measured", "not measured"}
    assert "note: net, mine are one model" in done.stderr
    single = CliRunner().invoke(make_app(), ["report", names[0], "--scorecard", "-o", "one"])
    assert single.exit_code == 0 and "2 models, 1 rows" in single.stdout
    for wrong, words in (
        (["report", names[0], "-o", "x"], "pass --scorecard"),
        (["report", *names], "holds a scorecard already"),
    ):
        assert words in str(CliRunner().invoke(make_app(), wrong).exception)


ORDER = "[...document.querySelectorAll('#scorecard thead [data-model]')].map(h => h.dataset.name)"
VALUES = "[...document.querySelectorAll('tr[data-row=%s] td')].map(d => d.dataset.value || '')"


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium to open the page with")
def test_a_browser_sorts_the_models(runs, tmp_path):
    shutil.copytree(runs[0], tmp_path / "third")
    page, card = write_scorecard([*runs, tmp_path / "third"], tmp_path / "card")
    number = next(i for i, row in enumerate(card.rows) if row.measure == "V4")
    row = f"r{number}"
    with Browser(tmp_path / "profile") as browser:
        browser.open(page)
        assert browser.run(ORDER) == ["net", "other", "random"]
        button = f'button[data-sort="{row}"]'
        browser.click(button)
        assert browser.run(ORDER) == ["other", "net", "random"]
        assert browser.run(VALUES % row) == ["0.6", "0.5", ""]
        assert browser.run("location.hash") == f"#sort={row}"
        browser.click(button)  # what was not measured stays last
        assert browser.run(ORDER) == ["net", "other", "random"]
        told = browser.run("document.getElementById('sorted').textContent")
        assert told.startswith("Models sorted: cowley_v4: r, ridge") and "reversed" in told
        browser.open(page, f"#sort={row}")  # an address that was sent on
        assert browser.run(ORDER) == ["other", "net", "random"]
        browser.run("document.querySelector('button[data-sort=given]').focus()")
        browser.press("Tab", 9)
        assert browser.run("document.activeElement.dataset.sort") == "name"
        browser.press("Enter", 13, "\r")
        browser.press(" ", 32, " ")
        assert browser.run(ORDER) == ["random", "other", "net"]
        assert browser.run("document.activeElement.dataset.sort") == "name"
        pressed = "[...document.querySelectorAll('[aria-pressed=true]')].map(b => b.dataset.sort)"
        assert browser.run(pressed) == ["name"]
        browser.open(page, "#sort=nothing")
        assert browser.run(ORDER) == ["net", "other", "random"]
        assert browser.complaints == []
