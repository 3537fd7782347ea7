"""A growing run from a folder of photographs to its page."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from striate.core.cache import Cache
from striate.core.errors import InputError
from striate.evaluate import GrowRunConfig, Options, grow_model
from striate.models import load
from striate.report import build
from striate.report.pages.growth import _collapsed_at_end
from tests.learning.common.test_resume import GROW
from tests.learning.tiny import tiny_photographs
from tests.learning.torchrun import in_two_processes


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs, two of them copies, and a file that is none."""
    root = tmp_path_factory.mktemp("photographs")
    pictures = tiny_photographs()
    for i in range(len(pictures)):
        Image.fromarray(pictures.planes(i).transpose(1, 2, 0)).save(root / f"p{i:02d}.png")
    (root / "copy.png").write_bytes((root / "p03.png").read_bytes())
    (root / "notes.txt").write_text("not an image")
    return root


def settings(world: Path, **changes: Any) -> GrowRunConfig:
    values = {**GROW, "photographs": [str(world)], "device": "cpu", **changes}
    return GrowRunConfig.from_dict(values)


@pytest.fixture(scope="module")
def said() -> list[str]:
    return []


@pytest.fixture(scope="module")
def run(world: Path, said: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("grown")
    how = Options(
        command="striate grow …", progress=False, cache=Cache(root / "cache"), say=said.append
    )
    return grow_model(settings(world), root / "run", how)


def test_it_says_what_it_does_before_it_does_it(run: Path, said: list[str]) -> None:
    assert "12 images" in said[0] and "1 duplicate" in said[0]
    assert re.search(r"stage 1 sees 9 px \(patches of 17 px\), stage 2 sees 17 px", said[1])
    assert "12 steps of 6 patches" in said[1]
    assert re.search(r"at most [\d.]+ GB of memory, about [\d.]+ s on cpu for all", said[2])


def test_what_a_run_holds(run: Path) -> None:
    for name in ("config.yaml", "provenance.json", "units.json", "units.npz", "model/card.md"):
        assert (run / name).exists()
    assert load(run / "model").taps == ("stage1", "stage2")
    tuning = pd.read_parquet(run / "tables" / "tuning.parquet")
    assert tuning.groupby("tap").size().to_dict() == {"stage1": 6, "stage2": 8}
    fits = pd.read_parquet(run / "tables" / "gabors.parquet")
    share = json.loads((run / "units.json").read_text())["gabors"]
    assert share == (fits["r2"] > 0.7).mean() and len(fits) == 6
    with np.load(run / "units.npz") as arrays:
        assert arrays["kernels"].shape == (6, 3, 5, 5)


def test_the_page_is_whole_and_needs_no_network(run: Path) -> None:
    page = build(run).read_text(encoding="utf-8")
    for heading in ("First stage: kernels", "Tuning to gratings", "Learning", "Pairs of patches"):
        assert f"<h2>{heading}</h2>" in page
    assert page.count("data:image/png;base64,") >= 6
    assert not re.findall(r'(?:src|href)="(?!data:)[^"]+"', page)
    assert "all settings are Striate's own" in page and "striate grow …" in page


def test_a_finished_run_is_not_grown_again(run: Path, world: Path, monkeypatch: Any) -> None:
    before = (run / "model" / "network.safetensors").stat().st_mtime_ns
    lines: list[str] = []
    grow_model(settings(world), run, Options(progress=False, say=lines.append))
    assert (run / "model" / "network.safetensors").stat().st_mtime_ns == before
    assert not [line for line in lines if "GB of memory" in line]


def test_another_config_is_refused(run: Path, world: Path) -> None:
    with pytest.raises(InputError, match=r"config(.|\n)*a: there 0\.1, asked for 0\.3"):
        grow_model(settings(world, a=0.3), run, Options(progress=False, say=lambda line: None))


def test_bad_photographs(world: Path, tmp_path: Path) -> None:
    quiet = Options(progress=False, cache=Cache(tmp_path / "cache"), say=lambda line: None)
    with pytest.raises(InputError, match="nowhere"):
        grow_model(settings(tmp_path / "nowhere"), tmp_path / "a", quiet)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=str(tmp_path / "empty")):
        grow_model(settings(tmp_path / "empty"), tmp_path / "b", quiet)
    broken = tmp_path / "broken"
    broken.mkdir()
    for file in world.glob("p*.png"):
        (broken / file.name).write_bytes(file.read_bytes())
    (broken / "p99.png").write_bytes((world / "p03.png").read_bytes()[:200])
    with pytest.raises(InputError, match=r"p99\.png"):
        grow_model(settings(broken), tmp_path / "c", quiet)
    lines: list[str] = []
    how = Options(progress=False, cache=quiet.cache, say=lines.append)
    skipping = settings(broken, steps=1, patches={"unreadable": "skip", "held_out": 0})
    grow_model(skipping, tmp_path / "d", how)
    assert "p99.png" in lines[0]
    assert not (tmp_path / "a").exists() and not (tmp_path / "c").exists()


def test_an_unfinished_run_has_no_page(run: Path, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    for name in ("config.yaml", "provenance.json", "model/grow.yaml"):
        (tmp_path / name).write_bytes((run / name).read_bytes())
    with pytest.raises(InputError, match="stopped before its end"):
        build(tmp_path)


def test_a_folder_with_another_model_is_left_as_it_is(world: Path, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "train.yaml").write_text("mine")
    settings(world).save(tmp_path / "config.yaml")
    before = (tmp_path / "config.yaml").read_text()
    how = Options(progress=False, overwrite=True, say=lambda line: None)
    with pytest.raises(InputError, match=r"holds no such run \(no grow\.yaml\): \['train\.yaml'\]"):
        grow_model(settings(world, a=0.3), tmp_path, how)
    assert (tmp_path / "config.yaml").read_text() == before


def test_stages_that_fit_no_image_are_refused(world: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"network\.stages do not fit images of 224 px.*'stage1'"):
        stages = [{"channels": 4, "kernel": 500}]
        grow_model(settings(world, network={"stages": stages}), tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_settings_as_a_shell_writes_them(world: Path) -> None:
    overrides = [f"photographs={world}", "precision=32"]
    config = GrowRunConfig.load(None, overrides)
    assert config.photographs == (str(world),) and config.precision == "32"
    with pytest.raises(InputError, match="seed should be less than"):
        GrowRunConfig.load(None, [*overrides, "seed=99999999999999999999"])


def test_a_collapse_is_in_the_page_whichever_stage_learned_last() -> None:
    lines = [{"stage1_collapsed": True}, {}, {"stage2_collapsed": False}, {}]
    collapsed = [_collapsed_at_end(pd.DataFrame(lines), f"stage{k}") for k in (1, 2, 3)]
    assert collapsed == [True, False, False]
    assert _collapsed_at_end(pd.DataFrame({"stage1_collapsed": [True, True]}), "stage1")


def test_the_verb_runs_in_two_processes(run: Path, world: Path, tmp_path: Path) -> None:
    """The first process writes the run; the second learns with it and waits for no lock."""
    config = tmp_path / "grow.yaml"
    config.write_text(json.dumps(settings(world).to_dict()))
    out = tmp_path / "two"
    in_two_processes("verb_worker", "grow", "-q", "-c", str(config), "-o", str(out))
    assert (out / "report.html").exists()
    first, both = (
        pd.read_json(folder / "model" / "metrics.jsonl", lines=True)["loss"]
        for folder in (run, out)
    )
    assert both[0] == pytest.approx(first[0], rel=1e-4)
    assert len(both) == len(first)
