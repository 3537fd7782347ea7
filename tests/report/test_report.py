"""The page of a run: self-contained, complete, honest about simulation, and only after scores."""

from __future__ import annotations

import re
import shutil
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from markupsafe import Markup

from striate.core.errors import InputError
from striate.core.files import read_json, write_json
from striate.core.run import RunFolder
from striate.evaluate import CompareConfig
from striate.report import build
from striate.report.figures import common as figures
from striate.report.html.page import Table, environment

MODELS = ("untuned", "random", "contrastive", "pooled_contrastive")


def fake_run(folder, *, simulated=False, ceilings=True):
    """A run folder with made-up tables: two subjects, two ROIs."""
    config = CompareConfig.from_dict(
        {"data": {"name": "folder", "path": "D"}, "model": {"id": "alexnet"}}
    )
    RunFolder(folder, config, command="striate compare <data>")
    rng = np.random.default_rng(0)
    units, rois, taps, null = [], [], [], []
    for subject in ("s1", "s2"):
        for roi in ("V1", "V2"):
            place = {"generalization": "new images", "subject": subject, "hemisphere": "lh"}
            place["roi"] = roi
            base = rng.uniform(0.2, 0.6, 8)
            for model in MODELS:
                gain = {"untuned": 0.0, "random": -0.2, "contrastive": 0.05}.get(model, 0.08)
                r = base + gain + rng.normal(0, 0.01, 8)
                units += [
                    {
                        **place, "session": "", "unit_id": f"u{i}", "model": model, "tap": "t1",
                        "alpha": 1.0, "r": r[i], "r2": r[i] ** 2,
                        "ceiling": 0.8 if ceilings else np.nan,
                        "r_normalized": r[i] / 0.8 if ceilings else np.nan,
                        "simulated": simulated,
                    }
                    for i in range(8)
                ]  # fmt: skip
                tuned = model != "untuned"
                rois.append(
                    {
                        **place, "model": model, "n_units": 8, "n_stimuli": 30, "tap": "t1",
                        "r": r.mean(), "r_low": r.mean() - 0.05, "r_high": r.mean() + 0.05,
                        "r_median": np.median(r), "ceiling": 0.8, "r_normalized": r.mean() / 0.8,
                        "simulated": simulated, "delta": gain if tuned else np.nan,
                        "delta_low": gain - 0.01 if tuned else np.nan,
                        "delta_high": gain + 0.01 if tuned else np.nan,
                        "p": 0.01 if tuned else np.nan, "share_improved": 0.9 if tuned else np.nan,
                        "q": 0.02 if tuned else np.nan,
                    }
                )  # fmt: skip
                taps += [
                    {**place, "model": model, "tap": t, "score": s, "chosen": t == "t1"}
                    for t, s in (("t1", 0.4), ("t2", 0.3))
                ]
                null.append(
                    {
                        **place, "model": model, "r": r.mean(), "null_mean": 0.0,
                        "null_95": 0.04, "p": 0.01, "permutations": 100,
                    }
                )  # fmt: skip
    rois = pd.DataFrame(rois)
    numbers = ["r", "r_low", "r_high", "delta", "delta_low", "delta_high", "p", "q"]
    numbers += ["share_improved", "r_normalized", "n_units"]
    keys = ["generalization", "hemisphere", "roi", "model"]
    group = rois.groupby(keys, sort=False)[numbers].mean().reset_index()
    group = group.assign(n_subjects=2, simulated=simulated, subjects_improved=2)
    (folder / "tables").mkdir()
    pd.DataFrame(units).to_parquet(folder / "scores.parquet")
    for name, rows in (("rois", rois), ("group", group), ("taps", taps), ("null", null)):
        pd.DataFrame(rows).to_parquet(folder / "tables" / f"{name}.parquet")
    pd.DataFrame(
        {"subject": "s1", "stimulus_id": ["a", "b"], "hash": ["x", "y"], "part": ["fit", "test"]}
    ).to_parquet(folder / "splits.parquet")
    check = {"model": "untuned", "subject": "s1", "seen": 0, "test": 1}
    leaks = {"images": 2, "images_in_two_parts": 0, "images_of_several_subjects": 0}
    write_json(folder / "leaks.json", {**leaks, "checks": [check]})
    write_json(folder / "warnings.json", ["a <b>warning</b> & more"])
    return folder


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = fake_run(tmp_path_factory.mktemp("runs") / "run")
    return build(folder).read_text(encoding="utf-8")


class Check(HTMLParser):
    """Counts what is open and collects addresses."""

    def __init__(self):
        super().__init__()
        self.open, self.links, self.images = [], [], []

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.links += [attrs[k] for k in ("href", "src") if k in attrs]
        if tag == "img":
            self.images.append(attrs)
        if tag not in ("meta", "img", "br", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_it_is_well_formed_and_needs_no_network(page):
    check = Check()
    check.feed(page)
    assert check.open == []
    assert len(check.images) >= 4
    assert all(link.startswith("data:image/png;base64,") for link in check.links)
    assert all(image["alt"] for image in check.images)
    assert "@import" not in page and "url(" not in page and "<script" not in page


def test_it_has_what_a_reader_looks_for(page):
    for words in (
        "Scores: new images", "Units: new images", "Taps and ROIs", "Controls", "Noise ceilings",
        "Split and leak check", "Provenance", "striate compare &lt;data&gt;", "Resolved config",
        "shuffled",
    ):  # fmt: skip
        assert words in page, words
    assert "a &lt;b&gt;warning&lt;/b&gt; &amp; more" in page
    assert "SIMULATED" not in page


def test_the_table_holds_the_numbers_of_the_run(page, tmp_path):
    folder = fake_run(tmp_path / "run")
    group = pd.read_parquet(folder / "tables" / "group.parquet")
    plain = re.sub(r"<[^>]+>", " ", page)
    for _, row in group.iterrows():
        assert f"{row['r']:.3f}" in plain
    best = group[(group["roi"] == "V1") & (group["model"] == "pooled_contrastive")].iloc[0]
    assert f"<b>{best['r']:.3f}</b>" in page
    assert "+0.0800*" in plain


def test_simulated_runs_say_so_at_the_top(tmp_path):
    html = build(fake_run(tmp_path / "run", simulated=True)).read_text(encoding="utf-8")
    assert html.index("SIMULATED responses") < html.index("<h2>")


def test_shares_and_sources_of_ceilings_are_shown(tmp_path):
    folder = fake_run(tmp_path / "run")
    scores = pd.read_parquet(folder / "scores.parquet")
    scores.assign(ceiling_source="given").to_parquet(folder / "scores.parquet")
    for name in ("rois", "group"):
        file = folder / "tables" / f"{name}.parquet"
        more = {"share_explained": 0.617, "share_low": 0.5, "share_high": 0.734}
        more |= {"n_reliable": 12, "ceiling_source": "given"}
        pd.read_parquet(file).assign(**more).to_parquet(file)
    html = re.sub(r"<[^>]+>", " ", build(folder).read_text(encoding="utf-8"))
    assert "of explainable variance" in html and "0.617" in html and "[0.500, 0.734]" in html
    assert "given with the data, over all its stimuli" in html
    assert "so that a perfect model has 1 and chance has 0" in html


def test_no_ceiling_is_said(tmp_path):
    html = build(fake_run(tmp_path / "run", ceilings=False)).read_text(encoding="utf-8")
    assert "There is no noise ceiling" in html


def test_leak_checks_say_what_was_compared(page):
    assert "an image in both would have ended the run. 1 such checks, none found one." in page


def test_no_run_and_half_a_run_are_refused(tmp_path):
    with pytest.raises(InputError, match="is no run folder"):
        build(tmp_path)
    folder = fake_run(tmp_path / "run")
    (folder / "tables" / "null.parquet").unlink()
    with pytest.raises(InputError, match=r"has no tables/null.parquet yet: .* goes on where"):
        build(folder)
    assert not (folder / "report.html").exists()
    (folder / "tables" / "null.parquet").write_bytes(b"half")
    with pytest.raises(InputError, match=r"null\.parquet is no table that can be read"):
        build(folder)
    provenance = read_json(folder / "provenance.json")
    write_json(folder / "provenance.json", {**provenance, "verb": "tune"})
    with pytest.raises(InputError, match="holds no run that has a page: striate tune writes mod"):
        build(folder)
    write_json(folder / "provenance.json", provenance)
    (folder / "config.yaml").write_text("front: [")
    with pytest.raises(InputError, match=r"config\.yaml cannot be read"):
        build(folder)
    shutil.rmtree(folder)


def text(value):
    return environment().from_string("{{ value }}").render(value=value)


def test_pieces():
    pieces = environment().get_template("parts.html.j2").module
    assert pieces.bullets([], "warn") == "" and pieces.picture(None) == ""
    assert text(float("nan")) == "–" and text(0.12345) == "0.123" and text("<x>") == "&lt;x&gt;"
    assert text(Markup("<b>x</b>")) == "<b>x</b>"
    assert pieces.section("Nothing", caller=lambda: "\n") == ""
    assert "<td>1</td>" in pieces.table(Table(["a", "b"], [["x", 1]]))


def test_colors_are_fixed_for_methods_and_differ_for_others():
    got = figures.colors(["untuned", "mine", "yours"])
    assert got["untuned"] == figures.COLORS["untuned"]
    assert len(set(got.values())) == 3


def test_one_unit_and_one_model_can_be_drawn():
    scores = pd.DataFrame(
        {
            "subject": "s", "hemisphere": "", "roi": "V1", "unit_id": "u", "model": ["untuned"],
            "r": [0.3], "ceiling": [0.5],
        }
    )  # fmt: skip
    assert figures.unit_scatter(scores) is None
    assert figures.ceilings(scores) is not None
    assert figures.tap_heat(pd.DataFrame({"score": [np.nan]})) is None
    assert figures.training_curves({}) is None


def test_curves_of_models_that_the_run_no_longer_has_are_not_shown(tmp_path):
    folder = fake_run(tmp_path / "run")
    for name in ("contrastive/s1_lh_V1", "contrastive/of_before"):
        curve = folder / "models" / name / "metrics.jsonl"
        curve.parent.mkdir(parents=True)
        curve.write_text('{"step": 1, "epoch": 1, "epoch_loss": 2.0, "select_top1": 0.1}\n')
    check = {"subject": "s1", "seen": 0, "test": 1}
    leaks = {"images": 2, "images_in_two_parts": 0, "images_of_several_subjects": 0}
    checks = [{**check, "model": "contrastive/s1_lh_V1"}]
    write_json(folder / "leaks.json", {**leaks, "checks": checks})
    assert "1 model, 0.0 minutes in all." in build(folder).read_text(encoding="utf-8")


def test_few_subjects_are_not_called_tested(page):
    assert "too few for a test over subjects" in page
    assert "better in 0 and worse" not in page
