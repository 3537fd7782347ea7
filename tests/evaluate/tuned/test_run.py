"""The main job on a small world: what the run folder holds, leaks, resume, protocols."""

from __future__ import annotations

import json
import shutil
import warnings

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from striate.core.errors import InputError, LeakError
from striate.core.files import locked, read_json
from striate.data import Split
from striate.encoding import explained_variance
from striate.evaluate import (
    CompareConfig,
    EncodeRunConfig,
    TuneRunConfig,
    compare,
    score_models,
    tune_models,
)
from striate.models import load
from striate.report.scorecard.card import as_table, make_scorecard
from tests.evaluate.conftest import TUNING, settings, write_world

SHARES = {"tune": 0.4, "fit": 0.2, "select": 0.2, "test": 0.2}
COLUMNS = [
    "subject", "session", "hemisphere", "roi", "unit_id", "model", "tap", "alpha", "r", "r2",
    "ceiling", "simulated",
]  # fmt: skip


def test_scores_have_one_row_a_unit_and_model(run):
    scores = pd.read_parquet(run / "scores.parquet")
    assert set(COLUMNS) <= set(scores.columns)
    assert not scores.duplicated(["subject", "hemisphere", "roi", "unit_id", "model"]).any()
    counts = scores.groupby(["subject", "model"]).size().unstack()
    assert (counts.loc[["ann", "bob"]] == 6).all(axis=None)  # 3 + 3 units, one in both ROIs
    assert counts.loc["cyd"].dropna().to_dict() == {
        "untuned": 6, "random": 6, "pooled_contrastive": 6,
    }  # fmt: skip
    kinds = scores.groupby("subject")["generalization"].unique().map(list).to_dict()
    assert kinds == {"ann": ["new images"], "bob": ["new images"], "cyd": ["new subjects"]}
    assert not scores["simulated"].any()
    np.testing.assert_allclose(
        scores["r_normalized"], scores["r"] / scores["ceiling"], equal_nan=True
    )
    assert scores["ceiling_source"].eq("given").all()  # averages, and ceilings in units.csv
    np.testing.assert_allclose(scores["reliability"], scores["ceiling"] ** 2)


def test_tables_say_the_same_as_the_units(run):
    scores = pd.read_parquet(run / "scores.parquet")
    rois = pd.read_parquet(run / "tables" / "rois.parquet")
    group = pd.read_parquet(run / "tables" / "group.parquet")
    keys = ["generalization", "subject", "hemisphere", "roi", "model"]
    mean = scores.groupby(keys)["r"].mean()
    np.testing.assert_allclose(rois.set_index(keys)["r"].sort_index(), mean.sort_index())
    for _, row in rois.iterrows():
        assert row["r_low"] <= row["r"] + 0.2 and row["r_high"] >= row["r"] - 0.2
        base = mean[(*[row[k] for k in keys[:-1]], "untuned")]
        if row["model"] == "untuned":
            assert np.isnan(row["delta"])
        else:
            assert row["delta"] == pytest.approx(row["r"] - base)
            assert row["delta_low"] <= row["delta_high"]
    by_roi = rois.groupby([k for k in keys if k != "subject"])["r"].mean()
    np.testing.assert_allclose(
        group.set_index(by_roi.index.names)["r"].sort_index(), by_roi.sort_index()
    )


def test_a_scorecard_shows_a_column_a_method(run):
    card = as_table(make_scorecard([run])).set_index(["measure", "row", "model"])
    assert set(card.index.get_level_values("model")) == set(settings(run)["methods"])
    group = pd.read_parquet(run / "tables" / "group.parquet")
    for row in group[group["roi"] == "V2"].to_dict("records"):
        cell = card.loc["V2", f"folder lh V2: r, ridge, {row['generalization']}", row["model"]]
        assert (cell["value"], cell["low"]) == pytest.approx((row["r"], row["r_low"]), nan_ok=True)
        assert cell["ceiling"] == pytest.approx(0.8) and cell["null_is"] == "stimuli shuffled"
        assert cell["ceiling_is"] == "mean noise ceiling of units (given with the data)"
        assert cell["explained"] == pytest.approx(row["share_explained"])


def test_shares_of_explainable_variance_are_of_the_units(run):
    scores = pd.read_parquet(run / "scores.parquet")
    rois = pd.read_parquet(run / "tables" / "rois.parquet")
    keys = ["generalization", "subject", "hemisphere", "roi", "model"]
    for place, units in scores.groupby(keys):
        row = rois[(rois[keys] == list(place)).all(axis=1)].iloc[0]
        variance = explained_variance(units["r"], units["reliability"], row["n_stimuli"] - 1)
        assert row["share_explained"] == pytest.approx(variance.share, nan_ok=True)
        assert row["n_reliable"] == variance.units == 3


def test_netcdf_holds_the_scores(run):
    scores = pd.read_parquet(run / "scores.parquet")
    with xr.open_dataset(run / "scores.nc", engine="h5netcdf") as data:
        assert set(data.dims) == {"model", "row", "target", "tap"}
        row = scores.iloc[7]
        where = (
            (data.subject == row["subject"])
            & (data.roi == row["roi"])
            & (data.unit_id == row["unit_id"])
        )
        got = data.r.sel(model=row["model"]).values[where.values]
        np.testing.assert_allclose(got, [row["r"]])
        assert data.attrs["simulated"] == 0


def test_no_image_is_in_two_parts_and_no_model_saw_its_test_images(run):
    leaks = json.loads((run / "leaks.json").read_text())
    assert leaks["images_in_two_parts"] == 0
    assert leaks["images_of_several_subjects"] == 30
    assert leaks["on_overlap"] == "refused"
    tests = Split.load(run / "splits.parquet").counts()["test"]
    assert leaks["checks"] and all(c["test"] == tests[c["subject"]] for c in leaks["checks"])
    assert any(c["seen"] > 0 for c in leaks["checks"])
    split = Split.load(run / "splits.parquet")
    pooled = load(run / "models" / "pooled_contrastive" / "lh_V1")
    assert pooled.seen == split.hashes("tune")
    assert set(split.part("cyd", "tune")) <= set(split.part("cyd", "tune", "fit"))


def test_again_changes_nothing_and_tunes_nothing(run, world, quiet, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    before = {p: p.read_bytes() for p in [copy / "scores.parquet", copy / "tables/group.parquet"]}
    events = (copy / "metrics.jsonl").read_text().splitlines()
    compare(CompareConfig.from_dict(settings(world)), copy, quiet)
    assert {p: p.read_bytes() for p in before} == before
    new = [json.loads(x) for x in (copy / "metrics.jsonl").read_text().splitlines()[len(events) :]]
    assert not [e for e in new if e["what"] == "scored"]


def test_from_nothing_it_is_bitwise_the_same(run, world, quiet, tmp_path):
    compare(CompareConfig.from_dict(settings(world)), tmp_path / "new", quiet)
    for name in ("scores.parquet", "splits.parquet", "tables/rois.parquet"):
        assert (tmp_path / "new" / name).read_bytes() == (run / name).read_bytes(), name


def test_another_config_in_the_same_folder_is_refused(run, world, quiet, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    with pytest.raises(InputError, match=r"another config:\n.*split.seed: there 0, asked for 1"):
        other = settings(world)
        other["split"] = {**other["split"], "seed": 1}
        compare(CompareConfig.from_dict(other), copy, quiet)


@pytest.mark.parametrize("protocol", ["paper_a", "paper_b"])
def test_paper_protocols_run_and_say_what_leaks(protocol, world, quiet, tmp_path):
    config = settings(world, methods=["untuned", "contrastive"])
    config["encode"] = {**config["encode"], "protocol": protocol}
    result = compare(CompareConfig.from_dict(config), tmp_path / "run", quiet)
    assert any(f"Protocol {protocol}" in text for text in result.warnings)
    if protocol == "paper_a":
        rois = result.rois.set_index(["subject", "roi", "model"])
        for subject, roi in [("ann", "V1"), ("bob", "V2")]:
            taps = rois.loc[(subject, roi), "tap"]
            assert taps["untuned"] == taps["contrastive"]


def test_tune_then_encode_gives_the_scores_of_compare(run, world, quiet, tmp_path):
    base = {k: v for k, v in settings(world).items() if k in ("data", "model", "split", "encode")}
    tuned = tune_models(
        TuneRunConfig.from_dict({**base, "tuning": TUNING, "pooled": True}), tmp_path / "t", quiet
    )
    assert [f.name for f in tuned] == ["lh_V1", "lh_V2"]
    scored = score_models(
        EncodeRunConfig.from_dict({**base, "models": {"mine": str(tuned[0])}}),
        tmp_path / "e",
        quiet,
    )
    rois = pd.read_parquet(run / "tables" / "rois.parquet").set_index(["subject", "roi", "model"])
    mine = scored.rois.set_index(["subject", "roi", "model"])
    for subject in ("ann", "bob", "cyd"):
        expected = rois.loc[(subject, "V1", "pooled_contrastive"), "r"]
        assert mine.loc[(subject, "V1", "mine"), "r"] == expected


def test_a_model_that_saw_test_images_is_refused(run, world, quiet, tmp_path):
    base = {k: v for k, v in settings(world).items() if k in ("data", "model", "encode")}
    split = {**settings(world)["split"], "seed": 5}
    model = run / "models" / "pooled_contrastive" / "lh_V1"
    config = {**base, "split": split, "models": {"mine": str(model)}}
    with pytest.raises(LeakError, match="mine, subject ann: the model has seen"):
        score_models(EncodeRunConfig.from_dict(config), tmp_path / "e", quiet)
    assert not (tmp_path / "e" / "scores.parquet").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rois": ["V11"]}, "unknown ROI 'V11'. Did you mean V1"),
        ({"hemispheres": ["rh"]}, "unknown hemisphere 'rh'"),
        ({"model": {"id": "squeezenet"}}, "unknown model 'squeezenet'. Did you mean squeezenet1_1"),
        ({"encode": {"taps": ["features.3x"]}}, "unknown tap 'features.3x'. Did you mean"),
        ({"contrastive": {**TUNING, "tap": "feature.2"}}, "unknown tap 'feature.2'"),
        ({"split": {"held_out": ["dan"]}}, "unknown held-out subject 'dan'"),
        ({"split": {"held_out": ["ann", "bob", "cyd"], **SHARES}}, "every subject is held out"),
        ({"split": {"select": 0.02, "fit": 0.23}}, r"part 'select' has \d stimuli, too few for 3"),
        ({"device": "gpu"}, "device 'gpu' is not auto, cpu"),
        ({"model": {"id": "squeezenet1_1@random", "image_size": 4}}, "image_size"),
        ({"data": {"name": "folder", "path": "/nowhere"}}, "/nowhere does not exist"),
    ],
)
def test_mistakes_are_named_before_anything_is_computed(change, message, world, quiet, tmp_path):
    with pytest.raises(InputError, match=message):
        compare(CompareConfig.from_dict({**settings(world), **change}), tmp_path / "run", quiet)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"methods": ["random"]}, "must contain 'untuned'"),
        ({"methods": ["untuned", "contrastve"]}, "methods.1"),
        ({"contrastive": {"objective": "regression"}}, "contrastive.objective must be"),
        ({"contrastive": {"epoch": 3}}, "unknown config key 'epoch'. Did you mean epochs"),
    ],
)
def test_bad_configs(change, message, world):
    with pytest.raises(InputError, match=message):
        CompareConfig.from_dict(settings(world, **change))


def test_a_partial_regression_section_keeps_the_papers_defaults(world):
    config = CompareConfig.from_dict(settings(world, regression={"batch_size": 8}))
    assert (config.regression.learning_rate, config.regression.epochs) == (2.5e-5, 75)
    assert config.tuning("pooled_regression") == config.regression


def test_units_that_cannot_be_scored_are_named_and_spoil_nothing(run, world, quiet, tmp_path):
    broken = tmp_path / "data"
    shutil.copytree(world, broken)
    values = np.load(broken / "ann" / "responses.npy")
    values[3, 0], values[:, 1] = np.nan, 7.0
    np.save(broken / "ann" / "responses.npy", values)
    config = CompareConfig.from_dict(settings(broken, methods=["untuned"]))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = compare(config, tmp_path / "run", quiet)
    assert any("u0" in str(w.message) and "u1" in str(w.message) for w in caught)
    old = pd.read_parquet(run / "scores.parquet").query("model == 'untuned'")
    new = pd.read_parquet(tmp_path / "run" / "scores.parquet")
    both = old.merge(new, on=["subject", "roi", "unit_id"], suffixes=("_old", "_new"))
    bad = (both["subject"] == "ann") & both["unit_id"].isin(["u0", "u1"])
    assert both.loc[bad, "r_new"].isna().all()
    assert both.loc[~bad, "r_new"].notna().all()
    rest = both[both["subject"] != "ann"]
    np.testing.assert_array_equal(rest["r_old"], rest["r_new"])
    assert any("u0" in text for text in result.warnings)


def test_the_untuned_network_must_be_the_start_of_a_given_model(run, world, quiet, tmp_path):
    base = {k: v for k, v in settings(world).items() if k in ("data", "split", "encode")}
    model = run / "models" / "pooled_contrastive" / "lh_V1"
    other = {"id": "squeezenet1_1@random", "image_size": 32}
    config = EncodeRunConfig.from_dict({**base, "model": other, "models": {"mine": str(model)}})
    with pytest.raises(InputError, match=r"size 24 and 32. Give the same input .*image_size=24"):
        score_models(config, tmp_path / "e", quiet)
    other = {"id": "squeezenet1_1@random", "image_size": 24, "seed": 1}  # one name, other weights
    wrong = EncodeRunConfig.from_dict({**base, "model": other, "models": {"mine": str(model)}})
    with pytest.raises(InputError, match=r"started from .*seed 0.* is .*seed 1.*Give its start"):
        score_models(wrong, tmp_path / "e", quiet)
    models = {m["name"]: m for m in read_json(run / "models.json")["models"]}
    assert models["untuned"]["description"] == "random weights (seed 0)"
    assert models["contrastive/ann_lh_V1"]["start"] == models["untuned"]["weights"]
    assert models["random"]["weights"] != models["untuned"]["weights"]
    nowhere = EncodeRunConfig.from_dict({**base, "model": other, "models": {"m": "nowhere"}})
    with pytest.raises(InputError, match="unknown model 'nowhere'"):
        score_models(nowhere, tmp_path / "e", quiet)
    assert not (tmp_path / "e").exists()


def test_a_model_is_chosen_for_encode_as_for_every_verb(run, world, quiet, tmp_path):
    base = {k: v for k, v in settings(world).items() if k in ("data", "model", "split", "encode")}
    model = run / "models" / "pooled_contrastive" / "lh_V1"
    chosen = {"short": str(model), "long": {"id": str(model), "image_size": 24}}
    rois = score_models(
        EncodeRunConfig.from_dict({**base, "models": chosen}), tmp_path / "e", quiet
    ).rois.set_index("model")
    np.testing.assert_array_equal(rois.loc["short", "r"], rois.loc["long", "r"])
    with pytest.raises(InputError, match="size 32 and 24"):
        larger = {"mine": {"id": str(model), "image_size": 32}}
        score_models(EncodeRunConfig.from_dict({**base, "models": larger}), tmp_path / "f", quiet)


def test_a_given_model_may_lie_in_a_folder_called_like_a_control(
    run, world, quiet, tmp_path, monkeypatch
):
    base = {k: v for k, v in settings(world).items() if k in ("data", "model", "split", "encode")}
    for name in ("random", "untuned"):
        shutil.copytree(run / "models" / "pooled_contrastive" / "lh_V1", tmp_path / name)
    monkeypatch.chdir(tmp_path)
    config = {**base, "models": {"one": "random", "two": "untuned"}}
    rois = score_models(EncodeRunConfig.from_dict(config), tmp_path / "e", quiet).rois
    r = rois.set_index(["model", "subject", "roi"])["r"]
    np.testing.assert_array_equal(r["one"], r["two"])
    assert (r["one"] != r["random"]).any() and (r["one"] != r["untuned"]).any()


def test_a_given_model_is_told_apart_by_what_it_generalizes_to(run, world, quiet, tmp_path):
    base = {k: v for k, v in settings(world).items() if k in ("data", "model", "split", "encode")}
    model = run / "models" / "contrastive" / "ann_lh_V1"
    config = EncodeRunConfig.from_dict({**base, "models": {"mine": str(model)}})
    rois = score_models(config, tmp_path / "e", quiet).rois
    kinds = rois[rois["model"] == "mine"].set_index(["subject", "roi"])["generalization"]
    assert kinds.to_dict() == {
        ("ann", "V1"): "new images", ("ann", "V2"): "other units",
        ("bob", "V1"): "new subjects", ("bob", "V2"): "new subjects",
        ("cyd", "V1"): "new subjects", ("cyd", "V2"): "new subjects",
    }  # fmt: skip
    assert (rois.groupby(["generalization", "subject", "roi"])["model"].nunique() == 3).all()


def test_paper_b_gives_no_interval_that_is_not_of_its_score(world, quiet, tmp_path):
    config = settings(world, methods=["untuned", "random"])
    config["encode"] = {**config["encode"], "protocol": "paper_b"}
    rois = compare(CompareConfig.from_dict(config), tmp_path / "run", quiet).rois
    assert rois[["r_low", "r_high", "delta_low", "delta_high", "p"]].isna().all(axis=None)
    assert rois["r"].notna().all()


def test_a_dead_roi_is_left_out_and_said(world, quiet, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(world, data)
    values = np.load(data / "ann" / "responses.npy")
    values[:, :3] = np.nan
    np.save(data / "ann" / "responses.npy", values)
    config = CompareConfig.from_dict(settings(data, methods=["untuned"]))
    with pytest.warns(UserWarning, match="u2"):
        result = compare(config, tmp_path / "run", quiet)
    assert any("ann_lh_V1: left out" in text for text in result.warnings)
    assert set(result.rois.query("subject == 'ann'")["roi"]) == {"V2"}


def test_copies_of_an_image_cannot_feign_a_score(quiet, tmp_path):
    """60 pictures, each under three ids, and responses that have nothing to do with them."""
    data = write_world(tmp_path / "data", ("ann",))
    ids = (data / "ann" / "stimulus_ids.txt").read_text().split()
    rng = np.random.default_rng(1)
    once = rng.normal(size=(60, 5))
    for name in ids:
        for copy in ("b", "c"):
            source = data / "ann" / "images" / f"{name}.png"
            shutil.copy(source, source.with_name(f"{name}{copy}.png"))
    np.save(data / "ann" / "responses.npy", np.concatenate([once] * 3))
    names = [*ids, *(f"{n}b" for n in ids), *(f"{n}c" for n in ids)]
    (data / "ann" / "stimulus_ids.txt").write_text("\n".join(names))
    for protocol in ("nested", "paper_b"):
        config = settings(data, methods=["untuned"], split=SHARES)
        config["encode"] = {**config["encode"], "protocol": protocol, "folds": 3}
        result = compare(CompareConfig.from_dict(config), tmp_path / protocol, quiet)
        assert any("60 images have several stimulus ids" in text for text in result.warnings)
        taps = pd.read_parquet(tmp_path / protocol / "tables" / "taps.parquet")
        assert taps["score"].max() < 0.75 and abs(result.rois["r"]).max() < 0.75
        assert result.rois["n_stimuli"].max() < 30


def test_two_processes_in_one_run_folder(run, world, quiet):
    with locked(run / ".lock"), pytest.raises(InputError, match="another process is at work"):
        compare(CompareConfig.from_dict(settings(world)), run, quiet)
