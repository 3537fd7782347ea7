"""Growing: what it writes, what it refuses, what it says; ablations by one key each."""

from __future__ import annotations

import json
import shutil
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from striate.core.errors import DivergedError, InputError
from striate.data.patches.photographs import Photographs
from striate.learning import GrowConfig, grow
from striate.learning.growing.loop import GrowLoop
from striate.models import load
from tests.learning.common.test_resume import GROW
from tests.learning.tiny import tiny_photographs
from tests.learning.torchrun import in_two_processes


def settings(**changes: Any) -> GrowConfig:
    return GrowConfig.from_dict({**GROW, **changes})


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load(folder).network.state_dict()


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("grown") / "model"
    photographs = tiny_photographs()
    files = tuple((f"file of {digest}",) for digest in photographs.hashes)
    photographs = replace(photographs, file_hashes=files)
    grow(photographs, settings(), folder, device="cpu", progress=False)
    return folder


def test_what_it_writes(grown: Path) -> None:
    assert {p.name for p in grown.iterdir() if not p.name.startswith(".")} == {
        "network.safetensors",
        "config.json",
        "card.md",
        "grow.yaml",
        "metrics.jsonl",
        "pairs.npz",
    }
    model = load(grown)
    assert model.taps == ("stage1", "stage2") and not model.training
    train, held = tiny_photographs().hold_out(0.25)
    assert model.seen == frozenset(train.hashes) and len(held)
    assert model.seen_files == {f"file of {digest}" for digest in train.hashes}
    card = (grown / "card.md").read_text()
    for fact in (f"{len(train)} images", "12 of 6 patches", "Seed: 0", "hours", "Striate's own"):
        assert fact in card
    pairs = np.load(grown / "pairs.npz")
    assert sorted(pairs) == ["stage1", "stage1_lit", "stage2", "stage2_lit"]
    assert pairs["stage1"].shape[:2] == (6, 2) and pairs["stage1"].dtype == np.uint8


def test_what_it_logs(grown: Path) -> None:
    log = lines(grown)
    assert [line["step"] for line in log] == list(range(1, 13))
    for stage in ("stage1", "stage2"):
        for line in log:
            terms = {k.removeprefix(f"{stage}_"): v for k, v in line.items()}
            assert terms["loss"] == pytest.approx(terms["similarity"] + 5e-3 * terms["redundancy"])
            assert terms["off_diagonal"] == pytest.approx(terms["redundancy"] / 20)
        measured = [line["step"] for line in log if f"{stage}_rank" in line]
        assert measured == [4, 8, 12]
        assert all(f"{stage}_held_out" in log[s - 1] for s in measured)


def test_it_learns(tmp_path: Path) -> None:
    config = settings(steps=80, batch_size=12, learning_rate=0.01, measure_every=80)
    grow(tiny_photographs(), config, tmp_path / "m", device="cpu", progress=False)
    for stage in ("stage1", "stage2"):
        loss = [line[f"{stage}_loss"] for line in lines(tmp_path / "m")]
        assert np.mean(loss[-20:]) < 0.8 * np.mean(loss[:10])


def test_fixed_statistics_are_of_whole_photographs(grown: Path, tmp_path: Path) -> None:
    grow(tiny_photographs(), settings(statistics="patches"), tmp_path, device="cpu", progress=False)
    ours, patches = weights(grown), weights(tmp_path)
    fixed = [name for name in ours if "running" in name or "tracked" in name]
    assert len(fixed) == 6
    for name in ours:
        assert torch.equal(ours[name], patches[name]) == (name not in fixed), name

    train, _ = tiny_photographs().hold_out(0.25)
    side = int(np.median(np.minimum(train.heights, train.widths)))
    crops = []
    for i in range(len(train)):
        planes = train.planes(i)
        if min(planes.shape[1:]) >= side:
            top, left = ((n - side) // 2 for n in planes.shape[1:])
            crops.append(planes[:, top : top + side, left : left + side])
    model = load(grown)
    images = torch.from_numpy(np.stack(crops)).permute(0, 2, 3, 1)
    with torch.no_grad():
        maps = model.network.stages[0].conv(model.preprocessing(images))
    norm = model.network.stages[0].bn
    torch.testing.assert_close(norm.running_mean, maps.mean((0, 2, 3)), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(norm.running_var, maps.var((0, 2, 3)), rtol=1e-4, atol=1e-5)
    assert norm.momentum == 0.1 and not norm.training


def test_a_finished_folder_is_not_grown_again(grown: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(GrowLoop, "run", lambda self: pytest.fail("grown again"))
    model = grow(tiny_photographs(), settings(), grown, device="cpu", progress=False)
    assert model.fingerprint() == load(grown).fingerprint()
    assert model.id == load(grown).id == "lcl_v2"  # as at the first time


def test_another_config_is_refused_with_the_differences(grown: Path) -> None:
    changed = settings(a=0.2, **{"lambda": 0.1})
    with pytest.raises(InputError, match=r"(?s)other settings.*config\.a: there 0\.1, asked for 0"):
        grow(tiny_photographs(), changed, grown, device="cpu", progress=False)
    with pytest.raises(InputError, match=r"photographs\.number: there \d+, asked for \d+"):
        grow(tiny_photographs(20), settings(), grown, device="cpu", progress=False)


@pytest.mark.parametrize(
    "changes",
    [
        {"deformation": "small_everywhere"},
        {"deformation": "large_everywhere"},
        {"deformation": "none"},
        {"credit": "end_to_end"},
        {"projector": None},
        {"a": 0.02},
        {"lambda": 0.1},
        {"position": "mean"},
        {"network": {"stages": [{**s, "pool": "blur"} for s in GROW["network"]["stages"]]}},
        {"network": {**GROW["network"], "channels": 1}, "patches": {"photometry": {"gray": True}}},
    ],
    ids=lambda c: "-".join(f"{k}" for k in c),
)
def test_each_ablation_is_one_key_and_changes_the_result(
    changes: dict[str, Any], grown: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # batches smaller than what they decorrelate
        grow(tiny_photographs(), settings(steps=2, **changes), folder, device="cpu", progress=False)
    log = lines(folder)
    assert all(np.isfinite(line["loss"]) for line in log)
    if changes.get("credit") == "end_to_end":
        assert "stage1_loss" not in log[0]
    same = log[0].get("stage1_loss") == lines(grown)[0]["stage1_loss"]
    # matched and small deformations are the same for the first stage
    assert same == (changes.get("deformation") == "small_everywhere")
    assert log[0]["stage2_loss"] != lines(grown)[0]["stage2_loss"]


def test_another_seed_is_another_model(grown: Path, tmp_path: Path) -> None:
    grow(tiny_photographs(), settings(seed=1), tmp_path / "m", device="cpu", progress=False)
    assert lines(tmp_path / "m")[0]["loss"] != lines(grown)[0]["loss"]


def test_two_processes_grow_what_one_does(grown: Path, tmp_path: Path) -> None:
    job = {"verb": "grow", "folder": str(tmp_path / "two"), "config": GROW}
    in_two_processes("growing.grow_worker", json.dumps(job))
    assert lines(tmp_path / "two")[0]["loss"] == pytest.approx(lines(grown)[0]["loss"], rel=1e-5)
    for line, alone in zip(lines(tmp_path / "two"), lines(grown), strict=True):
        assert line["loss"] == pytest.approx(alone["loss"], rel=2e-2)  # Adam scales up rounding
    assert len(weights(tmp_path / "two")) == len(weights(grown))


def test_nan_stops_and_names_the_stage_and_the_last_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_views = GrowLoop._load_views

    def poisoned(self: GrowLoop, step: int) -> Any:
        views = load_views(self, step)
        if step == 7:
            views[1][0][0, 0, 0, 0] = float("nan")
        return views

    monkeypatch.setattr(GrowLoop, "_load_views", poisoned)
    folder = tmp_path / "m"
    with pytest.raises(DivergedError, match=r"nan at step 8 \(stage2\)\. The last good checkpoint"):
        grow(tiny_photographs(), settings(), folder, device="cpu", progress=False)
    assert (folder / "checkpoints" / "last.pt").exists()


def test_a_collapse_is_said_once_and_written(tmp_path: Path) -> None:
    even = [np.full((100, 100, 3), 10 * i, dtype=np.uint8) for i in range(12)]
    dull = {"photometry": {"noise": 0.0}}
    plain = {"stages": [{**s, "norm": "none"} for s in GROW["network"]["stages"]]}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        config = settings(patches=dull, network=plain)
        grow(Photographs.from_images(even), config, tmp_path / "m", device="cpu", progress=False)
    texts = [str(w.message) for w in caught]
    for stage in ("stage1", "stage2"):
        (text,) = [t for t in texts if t.startswith(f"{stage} has collapsed")]
        assert "by step 4: effective rank 0.0 of" in text and "100% of the channels dead" in text
    assert lines(tmp_path / "m")[-1]["stage1_collapsed"] is True
    assert "Collapsed: stage1, stage2" in (tmp_path / "m" / "card.md").read_text()


def test_batches_that_cannot_do(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="batch_size should be greater than or equal to 2"):
        settings(batch_size=1)
    with pytest.warns(UserWarning, match="4 patches cannot decorrelate 5 features"):
        config = settings(batch_size=4, steps=1)
        grow(tiny_photographs(), config, tmp_path / "m", device="cpu", progress=False)


def test_small_photographs_are_skipped_or_refused(tmp_path: Path) -> None:
    small = [np.zeros((20, 60, 3), dtype=np.uint8)]
    mixed = Photographs.from_images(
        [*(tiny_photographs().planes(i).transpose(1, 2, 0) for i in range(12)), *small]
    )
    with pytest.raises(InputError, match="smaller than the"):
        config = settings(patches={"small": "error", "held_out": 0})
        grow(mixed, config, tmp_path / "a", device="cpu", progress=False)
    with pytest.raises(InputError, match=r"all 1 photographs are too small"):
        config = settings(patches={"held_out": 0})
        grow(Photographs.from_images(small), config, tmp_path / "b", device="cpu", progress=False)
    config = settings(steps=1, patches={"held_out": 0})
    with pytest.warns(UserWarning, match=r"stage\d: .* 1 smaller than the \d+ px .*12"):
        grow(mixed, config, tmp_path / "c", device="cpu", progress=False)
    assert "Too small for stage 2: " in (tmp_path / "c" / "card.md").read_text()


def test_held_out_photographs_that_are_too_small_are_left_out(tmp_path: Path) -> None:
    train, _ = tiny_photographs().hold_out(0.25)
    large = [train.planes(i).transpose(1, 2, 0) for i in range(len(train))]
    small = [np.full((20, 60, 3), i, dtype=np.uint8) for i in range(60)]
    _, held = Photographs.from_images(small).hold_out(0.25)
    assert len(held) > 1
    small = [held.planes(i).transpose(1, 2, 0) for i in range(len(held))]
    photographs = Photographs.from_images([*large, *small])
    config = settings(steps=1, measure_every=1)
    grow(photographs, config, tmp_path / "m", device="cpu", progress=False)
    line = lines(tmp_path / "m")[0]
    assert "stage1_loss" in line and "stage1_held_out" not in line


def test_sequential_end_to_end_is_refused() -> None:
    with pytest.raises(InputError, match="order: sequential needs credit: layerwise"):
        settings(credit="end_to_end", order="sequential")


def test_what_cannot_be_done_claims_no_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"all 12 photographs fall into the share held out.*=0\."):
        config = settings(patches={"held_out": 0.999})
        grow(tiny_photographs(), config, tmp_path / "m", device="cpu", progress=False)
    with pytest.raises(InputError, match=r"all \d+ photographs are too small"):
        grow(tiny_photographs(), settings(clean=60), tmp_path / "m", device="cpu", progress=False)
    assert not (tmp_path / "m").exists()  # so that the mended settings can go there
    with pytest.raises(InputError, match=r"expected Photographs, found list.*from_images"):
        grow([np.zeros((9, 9, 3), np.uint8)], settings(), tmp_path / "m")  # type: ignore[arg-type]


def test_a_warmup_that_never_ends_is_refused() -> None:
    with pytest.raises(InputError, match="warmup_steps: 12 must be less than steps: 12"):
        settings(warmup_steps=12)


@pytest.mark.parametrize("steps", [1, 12])
def test_weights_that_the_last_step_broke_are_not_kept(tmp_path: Path, steps: int) -> None:
    config = settings(steps=steps, learning_rate=1e38, weight_decay=1e38, checkpoint_every=1)
    with pytest.raises(DivergedError, match=r"not finite after step 1\. No checkpoint exists yet"):
        grow(tiny_photographs(), config, tmp_path / "m", device="cpu", progress=False)
    assert not (tmp_path / "m" / "config.json").exists()


def test_a_collapse_of_an_earlier_stage_is_written(tmp_path: Path) -> None:
    even = [np.full((100, 100, 3), 10 * i, dtype=np.uint8) for i in range(12)]
    plain = {"stages": [{**s, "norm": "none"} for s in GROW["network"]["stages"]]}
    config = settings(
        patches={"photometry": {"noise": 0.0}}, network=plain, order="sequential", steps=4
    )
    with pytest.warns(UserWarning, match="has collapsed"):
        grow(Photographs.from_images(even), config, tmp_path / "m", device="cpu", progress=False)
    assert "stage1_collapsed" not in lines(tmp_path / "m")[-1]
    assert "Collapsed: stage1, stage2" in (tmp_path / "m" / "card.md").read_text()


@pytest.mark.parametrize("text", ["{}", "[]"])
def test_a_damaged_config_of_a_finished_folder_is_named(
    grown: Path, tmp_path: Path, text: str
) -> None:
    shutil.copytree(grown, tmp_path / "m")
    (tmp_path / "m" / "config.json").write_text(text)
    with pytest.raises(InputError, match=r"config\.json is no model config"):
        grow(tiny_photographs(), settings(), tmp_path / "m", device="cpu", progress=False)
