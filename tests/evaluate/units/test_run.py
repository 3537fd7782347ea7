"""A probing run from models and seed textures to its page."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from striate.core.cache import Cache
from striate.core.errors import InputError, LeakError
from striate.data.textures import make as texture_synthesis
from striate.data.textures.portilla_simoncelli import Synthesis
from striate.data.textures.seed_images import find_seeds
from striate.evaluate import Options, ProbeConfig, probe
from striate.evaluate.units.grating_tuning import GratingSets
from striate.evaluate.units.gratings import Gratings, cycle, octaves, turns
from striate.models import load
from striate.models.store import save
from striate.report import build
from striate.report.scorecard.card import as_table, make_scorecard
from tests.data.textures.test_make import write_seeds

STAGES = [
    {"channels": 4, "kernel": 5, "stride": 2, "padding": 2},
    {"channels": 6, "kernel": 3, "padding": 1},
]


def tiny_gratings(pixels_per_degree: float = 28.0, contrast: bool = False) -> GratingSets:
    p = pixels_per_degree
    angles, phases = turns(4), cycle(4)
    return GratingSets(
        Gratings(angles, (2.0, 4.0), phases, pixels_per_degree=p),
        Gratings(angles, octaves(1.0, 8.0, 1), phases, pixels_per_degree=p),
        Gratings(angles, (4.0,), phases, (0.3, np.inf), pixels_per_degree=p),
    )


class Nothing:
    """In place of the statistics."""

    def __init__(self, side: int, device: str = "cpu") -> None:
        self.device = "cpu"

    def __call__(self, image: Any) -> Any:
        return image


def rolled(seed: np.ndarray, generator: np.random.Generator, *rest: Any) -> Synthesis:
    """In place of a synthesis: the seed, moved."""
    pixels = np.roll(seed, generator.integers(0, len(seed), 2), axis=(0, 1))
    return Synthesis(pixels.astype(np.float32), 0.5, 0.01, 7, 0.1)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seeds, a model folder and a histogram."""
    root = tmp_path_factory.mktemp("probe")
    write_seeds(root / "seeds", "abc")
    model = load("lcl_v2@random", options={"stages": STAGES}, image_size=64)
    save(model, root / "model")
    (root / "h.csv").write_text(
        "property,low,high,count\ncircular_variance,0,0.5,10\ncircular_variance,0.5,1,30\n"
        "texture_modulation_index,-1,0,5\ntexture_modulation_index,0,1,5\n"
    )
    return root


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("striate.evaluate.units.run.make_grating_sets", tiny_gratings)
    monkeypatch.setattr(texture_synthesis, "synthesize", rolled)
    monkeypatch.setattr(texture_synthesis, "Statistics", Nothing)
    monkeypatch.setattr(texture_synthesis, "require_plenoptic", lambda: None)


def settings(world: Path, **more: Any) -> ProbeConfig:
    values: dict[str, Any] = {
        "models": {"mine": str(world / "model")},
        "textures": {"seeds": str(world / "seeds"), "side": 32, "samples": 2},
        "histograms": str(world / "h.csv"),
        "bootstrap": 50,
        "device": "cpu",
    }
    return ProbeConfig.from_dict({**values, **more})


def quiet(world: Path, said: list[str] | None = None, **more: Any) -> Options:
    say = said.append if said is not None else lambda line: None
    return Options(progress=False, cache=Cache(world / "cache"), say=say, **more)


@pytest.fixture
def run(world: Path) -> Path:
    """A finished run, made once."""
    return probe(settings(world), world / "run", quiet(world))


def test_tables_and_page(run: Path) -> None:
    tables = {p.stem: pd.read_parquet(p) for p in (run / "tables").glob("*.parquet")}
    assert tables["tuning"].groupby("tap", sort=False).size().to_dict() == {
        "stage1": 4,
        "stage2": 6,
    }
    assert list(tables["texture_modulation"]["tap"]) == ["stage1", "stage2"]
    assert len(tables["texture_differences"]) == 1 and len(tables["texture_families"]) == 6
    assert set(tables["similarity"]["property"]) == {
        "circular_variance",
        "texture_modulation_index",
    }
    assert tables["similarity"]["mean"].dropna().between(0, 1).all()
    assert (run / "tables" / "texture_modulation.csv").exists()
    done = json.loads((run / "probe.json").read_text())
    assert any("3 of 15 texture families" in note for note in done["notes"])
    page = build(run).read_text(encoding="utf-8")
    for heading in ("Texture modulation by stage", "Units: gratings", "Comparison with neurons"):
        assert f"<h2>{heading}</h2>" in page
    assert page.count("data:image/png;base64,") >= 5
    card = as_table(make_scorecard([run])).set_index("row")
    stage = tables["texture_modulation"].iloc[1]
    shown = card.loc["mean index, tap 2 of those probed"]
    assert (shown["value"], shown["null"]) == (stage["mean"], stage["control"])
    assert "mean index, tap 2 less tap 1" in card.index
    assert "circular variance, tap 1 of those probed" in card.index
    assert not re.findall(r'(?:src|href)="(?!data:)[^"]+"', page)


def test_a_finished_run_is_not_measured_again(run: Path, world: Path, monkeypatch: Any) -> None:
    def never(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("measured again")

    before = pd.read_parquet(run / "tables" / "textures.parquet")
    monkeypatch.setattr("striate.evaluate.units.measure.physiology", never)
    monkeypatch.setattr("striate.evaluate.units.measure.texture_responses", never)
    (run / "probe.json").unlink()  # as if it had been killed at its end
    with pytest.raises(InputError, match=r"no probe\.json yet"):
        build(run)
    probe(settings(world), run, quiet(world))
    pd.testing.assert_frame_equal(before, pd.read_parquet(run / "tables" / "textures.parquet"))


def test_other_settings_do_not_overwrite(run: Path, world: Path) -> None:
    with pytest.raises(InputError, match="bootstrap: there 50, asked for 51"):
        probe(settings(world, bootstrap=51), run, quiet(world))


def test_gratings_or_textures_alone(world: Path, tmp_path: Path) -> None:
    only = settings(world, stimuli=["textures"], histograms=None, negative="refuse")
    out = probe(only, tmp_path / "t", quiet(world))
    assert not (out / "tables" / "tuning.parquet").exists()
    assert "No published histograms were given" in build(out).read_text()
    said: list[str] = []
    only = settings(world, stimuli=["gratings"], histograms=None)
    out = probe(only, tmp_path / "g", quiet(world, said))
    assert not (out / "tables" / "textures.parquet").exists()
    assert any("gratings for each of 2 taps: about" in line for line in said)
    build(out)


def test_bad_settings_are_told_before_anything_is_made(world: Path, tmp_path: Path) -> None:
    bad = {"id": str(world / "model"), "taps": ["stage3"]}
    with pytest.raises(InputError, match=r"models\.mine: unknown tap 'stage3'"):
        probe(settings(world, models={"mine": bad}), tmp_path / "a", quiet(world))
    with pytest.raises(InputError, match=r"models\.mine: unknown model 'lcl_v3'"):
        probe(settings(world, models={"mine": "lcl_v3"}), tmp_path / "a", quiet(world))
    with pytest.raises(InputError, match=r"nowhere\.csv does not exist"):
        probe(settings(world, histograms="nowhere.csv"), tmp_path / "a", quiet(world))
    with pytest.raises(InputError, match="textures of 20 x 20 pixels: the side must be"):
        small = {"seeds": str(world / "seeds"), "side": 20}
        probe(settings(world, textures=small), tmp_path / "a", quiet(world))
    with pytest.raises(InputError, match="image folder nowhere does not exist"):
        probe(settings(world, textures={"seeds": "nowhere"}), tmp_path / "a", quiet(world))
    for scale, side in ((0.1, "0.4"), (1e5, "400000")):
        with pytest.raises(InputError, match=rf"would be {side} pixels wide: 8 to 4096 can be"):
            settings(world, pixels_per_degree=scale)
    with pytest.raises(InputError, match="stimuli: each once"):
        settings(world, stimuli=["gratings", "gratings"])
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("hashed", ["pixels", "file"])
def test_a_model_that_saw_a_seed_is_refused(world: Path, tmp_path: Path, hashed: str) -> None:
    (seed,) = find_seeds(32, world / "seeds", families=["b"])[0]
    model = load(str(world / "model"))
    model.note_seen([seed.hash] if hashed == "pixels" else [], [seed.file_hash])
    save(model, tmp_path / "model")
    config = settings(world).to_dict()
    (name,) = config["models"]
    config["models"][name]["id"] = str(tmp_path / "model")
    with pytest.raises(LeakError, match=rf"{name} on textures of a, b, c: the model has seen 1"):
        probe(ProbeConfig.from_dict(config), tmp_path / "run", quiet(world))
    assert not (tmp_path / "run").exists()


def test_taps_that_give_negative_values_can_be_refused(world: Path, tmp_path: Path) -> None:
    raw = {"id": str(world / "model"), "taps": ["stage1.conv"]}
    changes = {"models": {"mine": raw}, "stimuli": ["textures"], "histograms": None}
    with pytest.raises(InputError, match=r"tap 'stage1\.conv'.*negative"):
        probe(settings(world, **changes, negative="refuse"), tmp_path / "a", quiet(world))
    out = probe(settings(world, **changes), tmp_path / "b", quiet(world))
    notes = json.loads((out / "probe.json").read_text())["notes"]
    assert any("were set to 0" in note for note in notes)
