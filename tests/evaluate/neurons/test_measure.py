"""Predictivity: a planted readout is found, chance is chance, movies stay whole, work is kept."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from striate.core.cache import Cache
from striate.core.compute import Compute
from striate.core.errors import InputError, LeakError
from striate.data import Dataset, Recording, Split, StimulusSet, read
from striate.data.responses.responses import Responses
from striate.encoding import ProjectionConfig, extract, pearson_r
from striate.encoding.groups import centered
from striate.evaluate.neurons.config import PredictivityConfig
from striate.evaluate.neurons.inputs import Material
from striate.evaluate.neurons.measure import score_model
from striate.evaluate.neurons.resampled import BEST, folders, load_scored
from striate.evaluate.neurons.rsa_tables import rsa_tables
from striate.evaluate.neurons.tables import difference_table, score_table, seed_table
from striate.models import load

READOUTS = {"stage 1": ["stage1"], "stage 2": ["stage2"], BEST: ["stage1", "stage2"]}
SIZE = 48


@pytest.fixture(scope="module")
def model():
    return load("lcl_v2@random", image_size=SIZE)


@pytest.fixture(scope="module")
def planted(model, tmp_path_factory):
    """Two sessions, 12 'movies' of 10 frames; responses are linear in stage1, with repeats."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (120, 6, 6, 3), dtype=np.uint8).repeat(8, 1).repeat(8, 2)
    stimuli = StimulusSet(
        [f"im{i:03d}" for i in range(120)], list(pixels), [f"movie{i // 10}" for i in range(120)]
    )
    cache = Cache(tmp_path_factory.mktemp("cache"))
    features = extract(
        model, stimuli.decoded(SIZE, "squash", cache), stimuli.hashes, taps=["stage1"],
        projection=ProjectionConfig(kind="none", grid=2),
        compute=Compute(cache=cache, progress=False),
    )["stage1"]  # fmt: skip
    recordings = {}
    for subject in ("ann", "bob"):
        few = rng.normal(size=(features.shape[1], 6)) * (rng.random((features.shape[1], 1)) < 0.1)
        clean = (features - features.mean(0)) @ few
        clean /= clean.std(0)
        trials = clean[:, None] + 0.8 * rng.normal(size=(120, 6, 6))
        responses = Responses.build(
            trials, stimuli.ids, subject=subject, rois={"V1": np.ones(6, bool)}, simulated=True
        )
        recordings[subject] = Recording(subject, stimuli, responses)
    return Dataset("planted", recordings)


def config(**more):
    values = {
        "data": {"name": "folder", "path": "nowhere"},
        "image_size": SIZE,
        "grid": 2,
        "divide": "groups",
        "rounds": 4,
        "readout": {"folds": 3, "components": 10, "permutations": 40},
        "rsa": "diagonal",
        "device": "cpu",
    }
    return PredictivityConfig.from_dict(values | more)


@pytest.fixture(scope="module")
def run(model, planted, tmp_path_factory):
    """Both models scored: the planted one and another seed; tests only read it."""
    out = tmp_path_factory.mktemp("scores")
    material = Material.of("v1", config(), planted)
    cache = Cache(tmp_path_factory.mktemp("cache"))
    for name, seed in (("right", 0), ("other", 7), ("other", 8)):
        net = model if name == "right" else load("lcl_v2@random", image_size=SIZE, seed=seed)
        assert score_model(
            net, material, READOUTS, out / f"{name}-{seed}", name=name, seed=seed, cache=cache
        )
    return out


def test_the_planted_tap_is_found_and_reaches_the_ceiling(run):
    units = pd.read_parquet(run / "right-0" / "units.parquet")
    assert len(units) == 2 * 6 * 3 * 2
    assert units["simulated"].all()
    means = units.groupby(["readout", "kind"])["r_normalized"].mean()
    assert means["stage 1", "ridge"] > 0.8
    assert means["stage 1", "ridge"] > means["stage 2", "ridge"] + 0.1
    best = units[units["readout"] == BEST]
    assert set(best["tap"]) == {"stage1"}
    assert means[BEST, "ridge"] == means["stage 1", "ridge"]
    assert ((units["ceiling"] > 0.9) & (units["ceiling"] < 1)).all()
    assert units["ceiling_source"].eq("repeats").all() and units["freedom"].eq(120 - 4).all()
    null = pd.read_parquet(run / "right-0" / "null.parquet")
    assert (null["null_95"] < null["r"]).all()
    assert (null["p"] == 1 / 41).all()  # whole movies are shuffled, and none does as well
    assert (units["n_groups"] == 12).all() and (units["n"] == 120).all()


def test_leaks_are_refused(planted, model, tmp_path):
    material = Material.of("v1", config(), planted)
    seen = model.copy()
    seen.provenance["seen"] = [planted["ann"].stimuli.hashes[3]]
    with pytest.raises(LeakError, match="right on v1, subject ann: the model has seen 1 of 120"):
        score_model(seen, material, READOUTS, tmp_path / "a", name="right")
    assert not (tmp_path / "a").exists()
    stimuli = planted["ann"].stimuli
    stimuli.__dict__["file_hashes"] = tuple(f"file {i}" for i in range(len(stimuli)))
    seen.provenance |= {"seen": ["decoded by another library"], "seen_files": ["file 3"]}
    with pytest.raises(LeakError, match="has seen 1 of 120"):
        score_model(seen, material, READOUTS, tmp_path / "a", name="right")
    stimuli.__dict__["file_hashes"] = ("",) * len(stimuli)


def reencoded(picture: np.ndarray) -> np.ndarray:
    """The same picture one level brighter: other pixels, one picture."""
    return np.clip(picture.astype(int) + 1, 0, 255).astype(np.uint8)


def small_material(divide: str, lookalikes: str, saved: Path | None = None) -> Material:
    """40 pictures in 20 movies, the second half re-encoded from the first in other movies."""
    rng = np.random.default_rng(1)
    coarse = rng.integers(0, 256, (20, 5, 5, 3), dtype=np.uint8)
    first = [np.array(Image.fromarray(c).resize((64, 64))) for c in coarse]
    stimuli = StimulusSet(
        [f"im{i:02d}" for i in range(40)],
        [*first, *map(reencoded, first)],
        [f"movie{i // 2:02d}" for i in range(40)],
    )
    responses = Responses.build(rng.normal(size=(40, 3)), stimuli.ids, subject="ann")
    dataset = Dataset("small", {"ann": Recording("ann", stimuli, responses)})
    shares = {"tune": 0, "fit": 0.4, "select": 0.3, "test": 0.3, "lookalikes": lookalikes}
    options = {"divide": divide, "split": shares, "rounds": 3, "readout": {"folds": 2}}
    data = {"name": "folder", "path": "."}
    config = PredictivityConfig.from_dict({"data": data, **options})
    return Material.of("small", config, dataset, saved)


@pytest.mark.parametrize("divide", ["split", "groups"])
def test_look_alikes_join_movies_in_rounds_and_folds(divide):
    material = small_material(divide, "group")
    picture = np.arange(40) % 20 // 2  # movie 0 looks like movie 10 and so on
    labels = material.labels("ann")
    assert len(set(labels)) == 10
    assert all(len(set(labels[picture == k])) == 1 for k in range(10))
    rounds = material.rounds("ann")
    for outer_fold in rounds:
        assert not set(picture[outer_fold.train]) & set(picture[outer_fold.test])
        for train, held in outer_fold.folds:
            trained = picture[outer_fold.train]
            assert not set(trained[train]) & set(trained[held])
    apart = small_material(divide, "warn")
    assert len(set(apart.labels("ann"))) == 20
    assert any(
        set(picture[outer_fold.train]) & set(picture[outer_fold.test])
        for outer_fold in apart.rounds("ann")
    )
    if divide == "split":
        assert any("40 images look like another one" in note for note in material.notes)
        assert any("look like an image outside of test" in note for note in apart.notes)


def test_a_saved_split_of_a_set_is_read_again(tmp_path):
    path = tmp_path / "splits.parquet"
    first = small_material("split", "group", path)  # not there yet
    moved = first.split.table["together"] == first.split.table["together"].iloc[0]
    other = "fit" if first.split.table["part"].iloc[0] != "fit" else "select"
    part = first.split.table["part"].where(~moved, other)
    Split.from_table(first.split.table.assign(part=part)).save(path)
    again = small_material("split", "group", path)
    assert again.split.table["part"].iloc[0] == other
    part = first.split.table["stimulus_id"].where(~moved, "another")
    Split(first.split.table.assign(stimulus_id=part)).save(path)
    with pytest.raises(InputError, match=r"subject ann: stimuli differ.*another"):
        small_material("split", "group", path)


def test_finished_scores_are_kept(run, model, planted, tmp_path):
    done = run / "right-0" / "done.json"
    before = done.stat().st_mtime_ns
    material = Material.of("v1", config(), planted)
    scored = score_model(
        model, material, READOUTS, run / "right-0", name="right", cache=Cache(tmp_path)
    )
    assert not scored
    assert done.stat().st_mtime_ns == before
    assert json.loads(done.read_text())["features"] == {"stage1": 256, "stage2": 768}
    assert model.preprocessing.size == SIZE
    other = Material.of("v1", config(grid=1), planted)
    key = json.loads(done.read_text())["key"]
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "done.json").write_text(json.dumps({"key": key}))
    only = {"stage 1": ["stage1"]}
    assert score_model(model, other, only, copy, name="right", cache=Cache(tmp_path))


def test_tables(run, planted):
    model_folders = folders(run)
    scored = load_scored(model_folders, samples=60)
    units, nulls = (
        pd.concat([pd.read_parquet(f / f"{t}.parquet") for f in model_folders])
        for t in ("units", "null")
    )
    table = score_table(scored, units, nulls).set_index(["readout", "kind", "model"])
    right = table.loc[("stage 1", "ridge", "right")]
    assert right["low"] < right["r"] < right["high"]
    right_units = pd.read_parquet(run / "right-0" / "units.parquet")
    mine = right_units[(right_units["readout"] == "stage 1") & (right_units["kind"] == "ridge")]
    assert right["r"] == pytest.approx(mine.groupby("subject")["r"].mean().mean(), abs=1e-6)
    assert right["units"] == 12
    other = table.loc[("stage 1", "ridge", "other")]
    assert other["seeds"] == 2
    assert other["seed_low"] < other["r"] < other["seed_high"]
    assert len(seed_table(scored)) == 3 * 3 * 2
    gaps = difference_table(scored, "right").set_index(["readout", "kind", "model"])
    gap = gaps.loc[("stage 1", "ridge", "other")]
    assert gap["delta"] == pytest.approx(right["r"] - other["r"])
    assert gap["sessions"] == 2
    assert gap["seed_low"] <= gap["delta"] <= gap["seed_high"]
    material = Material.of("v1", config(), planted)
    similar, apart = rsa_tables(
        model_folders, material.rdms(), planted["ann"].stimuli.groups, "right"
    )
    assert len(similar) == 2 * 2 * 2
    assert set(apart["model"]) == {"other"}
    assert (similar["low"] <= similar["high"]).all()


def test_rsa_of_models_without_named_readouts_is_of_all_taps(run, planted, tmp_path):
    """Their only readout is the best of all taps."""
    shutil.copytree(run / "right-0", tmp_path / "right-0")
    facts = json.loads((tmp_path / "right-0" / "done.json").read_text())
    taps = facts["readouts"][BEST]
    (tmp_path / "right-0" / "done.json").write_text(json.dumps({**facts, "readouts": {BEST: taps}}))
    material = Material.of("v1", config(), planted)
    groups = planted["ann"].stimuli.groups
    similar, _ = rsa_tables(folders(tmp_path), material.rdms(), groups, "right")
    assert set(similar["readout"]) == {BEST}
    assert set(similar["tap"]) == set(taps) and len(taps) > 1


def test_resamples_leave_out_one_movie_and_center_what_is_left(run):
    model_folders = folders(run)
    left = load_scored(model_folders)["other", 7, "stage 1", "ridge"]
    assert left.resampling.jackknife and left.resampling.over == "groups of images by jackknife"
    assert left.draws.shape == (12,)
    assert left.resampling.freedom == 3  # four rounds
    nothing = left.less(left)
    assert (nothing.interval.low, nothing.interval.high, nothing.p) == (0, 0, 1)
    with np.load(run / "other-7" / "predictions.npz") as arrays:  # by hand, one movie left out
        r = []
        for s in ("ann", "bob"):
            remaining = arrays[f"{s}/label"] != "movie0"
            rounds = arrays[f"{s}/round"][remaining]
            y, x = (arrays[f"{s}/{w}"][remaining] for w in ("observed", "stage 1/ridge"))
            r.append(pearson_r(centered(y, rounds), centered(x, rounds)).mean())
    assert left.draws[0] == pytest.approx(np.mean(r), abs=1e-6)


def test_scores_without_rounds_are_made_again(run, tmp_path):
    shutil.copytree(run / "right-0", tmp_path / "right-0")
    path = tmp_path / "right-0" / "predictions.npz"
    with np.load(path) as arrays:
        old = {k: v for k, v in arrays.items() if not k.endswith("/round")}
    np.savez(path, allow_pickle=False, **old)
    with pytest.raises(InputError, match=r"right-0 was scored by an earlier version.*score again"):
        load_scored(folders(tmp_path))


def test_stimuli_without_groups_cannot_be_divided_by_them(planted):
    alone = {s: replace(r, stimuli=StimulusSet(r.stimuli.ids, r.stimuli.sources))
             for s, r in planted.items()}  # fmt: skip
    with pytest.raises(InputError, match="no groups to divide by"):
        Material.of("v1", config(), Dataset("x", alone)).rounds("ann")


def test_real_v1(shared_data, tmp_path):
    root = shared_data / "data" / "macaque_v1_henaff2021"
    data = read("henaff_v1", root, subjects=["ay3_u001"])
    settings = config(image_size=112, grid=3, rounds=5, readout={"folds": 4}, rsa=None)
    gabor = load("gabor_energy", image_size=112)
    material = Material.of("v1", settings, data)
    readouts = {"stage 1": ["simple", "complex"]}
    score_model(gabor, material, readouts, tmp_path / "s", name="gabor", cache=Cache(tmp_path))
    units = pd.read_parquet(tmp_path / "s" / "units.parquet")
    assert len(units) == 47 * 2
    assert units["n"].unique().tolist() == [220]
    assert units["r"].mean() > 0.02
