"""Simulated subjects: the exact layout, the truth, and the labels."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from striate.core.errors import InputError
from striate.data import read
from striate.data.responses.simulated import cut, packaged_photographs, plant
from striate.encoding import pearson_r
from striate.evaluate.common.options import Options
from striate.evaluate.simulated.config import SimulateConfig
from striate.evaluate.simulated.demo import demo
from striate.evaluate.simulated.run import simulate, truth_of

pytest.importorskip("skimage", reason="the photographs are in scikit-image (extra demo)")

SMALL = {
    "subjects": 2,
    "stimuli": 60,
    "shared": 20,
    "rois": [
        {"name": "V1v", "hemisphere": "lh", "tap": "_blocks.0", "units": 6, "components": [2, 5]},
        {"name": "hV4", "hemisphere": "rh", "tap": "_blocks.2", "units": 5, "components": [2, 5]},
    ],
    "model": {"id": "efficientnet_lite0", "image_size": 32},
}


@pytest.fixture(scope="module")
def simulated(tmp_path_factory, cache):
    out = tmp_path_factory.mktemp("sim") / "data"
    return simulate(SimulateConfig.from_dict(SMALL), out, Options(cache=cache))


def test_the_reader_of_real_data_reads_it(simulated):
    data = read("algonauts2023", simulated)
    assert list(data) == ["subj01", "subj02"]
    assert data.simulated
    responses = data["subj01"].responses
    assert responses.data.shape == (60, 6 + 10 + 5 + 10)
    assert {t.name: len(t.units) for t in responses.targets()} == {
        "subj01_lh_V1v": 6, "subj01_rh_hV4": 5,
    }  # fmt: skip
    assert "FFA-1" in responses.rois
    shared = set(data["subj01"].stimuli.hashes) & set(data["subj02"].stimuli.hashes)
    assert len(shared) == 20


def test_the_layout_has_what_the_distributed_one_has(simulated):
    folder = simulated / "subj01"
    names = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    for side in ("lh", "rh"):
        assert f"training_split/training_fmri/{side}_training_fmri.npy" in names
        for kind in ("prf-visualrois", "floc-bodies", "floc-faces", "floc-places", "streams"):
            assert f"roi_masks/{side}.{kind}_challenge_space.npy" in names
            assert f"roi_masks/{side}.{kind}_fsaverage_space.npy" in names
        every = np.load(folder / f"roi_masks/{side}.all-vertices_fsaverage_space.npy")
        fmri = np.load(folder / f"training_split/training_fmri/{side}_training_fmri.npy")
        assert every.shape == (163842,) and every.sum() == fmri.shape[1]
        labels = np.load(folder / f"roi_masks/{side}.prf-visualrois_challenge_space.npy")
        surface = np.load(folder / f"roi_masks/{side}.prf-visualrois_fsaverage_space.npy")
        np.testing.assert_array_equal(surface[every == 1], labels)
    mapping = np.load(folder / "roi_masks/mapping_prf-visualrois.npy", allow_pickle=True).item()
    assert mapping[0] == "Unknown" and mapping[7] == "hV4"
    images = sorted((folder / "training_split/training_images").iterdir())
    assert len(images) == 60 and images[0].name.startswith("train-0001_nsd-")
    assert len(list((folder / "test_split/test_images").iterdir())) == 10


def test_it_says_that_it_is_simulated_and_what_was_planted(simulated):
    truth = json.loads((simulated / "subj02" / "SIMULATED.json").read_text())
    assert truth["simulated"] is True and "SIMULATED" in truth["notice"]
    assert [roi["tap"] for roi in truth["rois"]] == ["_blocks.0", "_blocks.2"]
    _, latents = truth_of(simulated, "subj02")
    assert latents["V1v"].shape == (60, 3)


def test_planted_units_are_readouts_of_their_components(simulated):
    _, latents = truth_of(simulated, "subj01")
    responses = read("algonauts2023", simulated)["subj01"].responses
    for target in responses.targets():
        y = responses.mean()[:, target.units]
        design = np.column_stack([latents[target.roi], np.ones(60)])
        fitted = design @ np.linalg.lstsq(design, y, rcond=None)[0]
        r = pearson_r(y, fitted)
        ceiling = responses.noise_ceiling[target.units]
        assert np.mean(r) == pytest.approx(np.mean(ceiling), abs=0.04)


def test_the_ceiling_is_what_the_true_signal_reaches():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(4000, 20))
    for ncsnr, repeats in ((0.5, 1), (1.0, 3), (2.0, 2)):
        got = plant(features, 30, (3, 8), ncsnr, repeats, seed=1)
        design = np.column_stack([got.latents, np.ones(4000)])
        signal = design @ np.linalg.lstsq(design, got.responses, rcond=None)[0]
        r = pearson_r(got.responses, signal)
        np.testing.assert_allclose(r.mean(), got.ceiling.mean(), atol=0.01)
        assert got.responses.std() == pytest.approx(1, abs=1e-3)


def test_components_that_are_not_there():
    with pytest.raises(InputError, match="components 3 to 12 of 5 features"):
        plant(np.zeros((30, 5)), 2, (3, 12), 1.0, 1, 0)


def test_stimuli_share_no_pixel(tmp_path):
    rng = np.random.default_rng(0)
    ramp = rng.permutation(40 * 60).astype(np.uint32)
    colors = np.stack([ramp % 256, ramp // 256, ramp % 7], axis=-1).reshape(40, 60, 3)
    Image.fromarray(colors.astype(np.uint8)).save(tmp_path / "a.png")
    tiles = cut({"a": tmp_path / "a.png"}, 16, 100, 0)
    assert len(tiles) == 2 * 3
    pixels = [tuple(p[:2]) for tile in tiles for p in tile.reshape(-1, 3)]
    assert len(set(pixels)) == len(pixels)


def test_packaged_photographs_are_there():
    photographs = packaged_photographs()
    assert {"astronaut.png", "china.jpg", "flower.jpg"} <= set(photographs)
    assert all(path.is_file() for path in photographs.values())


def test_again_it_leaves_subjects_alone_and_other_settings_are_refused(simulated, cache):
    file = simulated / "subj01" / "SIMULATED.json"
    before = file.stat().st_mtime_ns
    simulate(SimulateConfig.from_dict(SMALL), simulated, Options(cache=cache))
    assert file.stat().st_mtime_ns == before
    with pytest.raises(InputError, match="seed: there 0, asked for 1"):
        simulate(SimulateConfig.from_dict({**SMALL, "seed": 1}), simulated, Options(cache=cache))


def test_too_few_photographs(tmp_path, cache):
    Image.fromarray(np.zeros((64, 64, 3), dtype=np.uint8)).save(tmp_path / "a.png")
    config = SimulateConfig.from_dict({**SMALL, "photographs": str(tmp_path)})
    with pytest.raises(InputError, match=r"1 photographs give 0 images .* 120 are needed"):
        simulate(config, tmp_path / "out", Options(cache=cache))
    with pytest.raises(InputError, match="no photographs in"):
        simulate(config.model_copy(update={"photographs": str(tmp_path / "x")}), tmp_path / "o")


def test_the_demo_says_what_was_planted_and_recovered(tmp_path, quiet):
    planted = SimulateConfig.from_dict(
        {
            **SMALL,
            "stimuli": 150,
            "shared": 50,
            "rois": [{"name": "V1v", "tap": "_blocks.4", "units": 6, "components": [2, 5]}],
        }
    )
    done = demo(tmp_path / "demo", quiet, planted=planted, epochs=1)
    assert any("planted at tap _blocks.4" in line for line in done.lines)
    assert any("room for tuning" in line for line in done.lines)
    assert "SIMULATED" in done.result.warnings[0]
    assert done.result.group["simulated"].all()
    assert set(done.result.group["model"]) == {
        "untuned", "random", "contrastive", "regression", "pooled_contrastive",
    }  # fmt: skip
