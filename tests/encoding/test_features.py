"""Features: one pass equals a plain forward, and the cache never gives what was not asked for."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from striate.core.cache import Cache
from striate.core.compute import Compute
from striate.core.errors import InputError, StriateError
from striate.encoding import ProjectionConfig, extract, predict_cost
from striate.encoding import features as module
from striate.encoding import projection as projection_module
from striate.models import Model, load
from tests.encoding import features_worker
from tests.encoding.features_worker import PROBES, names, passes, pictures, small_model
from tests.limits import HANG

NONE = ProjectionConfig(kind="none")
SRP = ProjectionConfig(kind="srp", components=40)
PCA5 = ProjectionConfig(components=5)


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "features-cache")


def take(model: Model, cache: Cache, images: np.ndarray | None = None, **how: Any):
    images = pictures() if images is None else images
    settings = {"batch_size": 8, "progress": False, "device": "cpu"}
    settings |= {key: how.pop(key) for key in ("batch_size", "device", "precision") if key in how}
    how = {"projection": PCA5, "hashes": names(len(images)), **how}
    return extract(model, images, compute=Compute(cache=cache, **settings), **how)


def plain(model: Model, images: np.ndarray) -> dict[str, np.ndarray]:
    """Every tap by hand, without hooks, flattened by position."""
    net = model.network
    with torch.no_grad():
        x = net.conv1(model.preprocessing(torch.from_numpy(images)))
        y = net.conv2(net.bn(x.clamp(min=0)))
        out = {"conv1": x, "conv2": y, "head": net.head(y.mean((2, 3)))}
    return {
        k: (v.permute(0, 2, 3, 1) if v.ndim == 4 else v).reshape(len(v), -1).numpy()
        for k, v in out.items()
    }


def test_equals_a_plain_forward_and_is_a_read_only_map(cache: Cache) -> None:
    model = small_model()
    features = take(model, cache, projection=NONE)
    assert list(features) == ["conv1", "conv2", "head"]
    for tap, expected in plain(model, pictures()).items():
        assert isinstance(features[tap], np.memmap)
        assert features[tap].dtype == np.float32
        assert not features[tap].flags.writeable
        np.testing.assert_allclose(features[tap], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("projection", [NONE, SRP, PCA5])
def test_one_pass_for_all_taps_equals_a_pass_each(
    cache: Cache, tmp_path: Path, projection: ProjectionConfig
) -> None:
    model = small_model()
    together = take(model, cache, projection=projection)
    for tap, expected in together.items():
        alone = take(model, Cache(tmp_path / "other"), taps=[tap], projection=projection)
        assert np.array_equal(alone[tap], expected)


@pytest.mark.parametrize("path", ["gram", "randomized"])
def test_pca_is_that_of_scikit_learn_on_the_fitted_rows(
    cache: Cache, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if path == "randomized":
        monkeypatch.setattr(projection_module, "GRAM_ROWS", 4)
        monkeypatch.setattr(projection_module, "BLOCK_VALUES", 900)
    model, fit = small_model(), np.array([3, 28, 4, 11, 9, 20, 17, 4])
    features = take(model, cache, fit=fit, projection=ProjectionConfig(components=4))
    for tap, raw in plain(model, pictures()).items():
        theirs = PCA(4, svd_solver="full").fit(raw[np.unique(fit)])
        expected = theirs.transform(raw)
        ours = features[tap] * np.sign((features[tap] * expected).sum(0))
        np.testing.assert_allclose(ours, expected, atol=2e-3 * np.abs(expected).max())


def test_pca_does_not_depend_on_images_it_is_not_fitted_on(cache: Cache) -> None:
    model, images, fit = small_model(), pictures(), np.arange(0, 24, 2)
    features = take(model, cache, images, fit=fit)
    held = np.setdiff1d(np.arange(30), fit)
    images[held] = 255 - images[held]
    inverted = take(model, cache, images, fit=fit)
    for tap in features:
        assert np.array_equal(features[tap][fit], inverted[tap][fit])
        assert not np.allclose(features[tap][held], inverted[tap][held])


def test_order_and_repeats_of_fitted_rows_do_not_matter(cache: Cache) -> None:
    model = small_model()
    features = take(model, cache, fit=np.array([9, 1, 5, 20, 13, 2]))
    before = passes(model)
    repeated = take(model, cache, fit=np.array([1, 2, 5, 5, 9, 13, 20, 20]))
    assert passes(model) == before
    assert np.array_equal(features["conv2"], repeated["conv2"])


@pytest.mark.parametrize(
    ("fit", "message"),
    [
        (np.array([0, 30]), "positions 0 to 30 are not all among 30"),
        (np.array([-1, 3]), "positions -1 to 3"),
        (np.arange(30) < 20, "expected whole positions, found bool"),
        (np.array([0.5, 1.0]), "expected whole positions"),
        (np.array([4, 4]), "two stimuli or more to be fitted on, found 1"),
        (np.array([], dtype=int), "found 0"),
    ],
)
def test_bad_fitted_rows_are_named(cache: Cache, fit: np.ndarray, message: str) -> None:
    model = small_model()
    with pytest.raises(InputError, match=message):
        take(model, cache, fit=fit)
    assert passes(model) == 0


@pytest.mark.parametrize(("projection", "width"), [(NONE, 24), (SRP, 24), (PCA5, 5)])
def test_grid_pooling(cache: Cache, projection: ProjectionConfig, width: int) -> None:
    model = small_model()
    grid = projection.model_copy(update={"grid": 2})
    features = take(model, cache, projection=grid, taps=["conv2", "head"])
    assert features["conv2"].shape == (30, width)
    assert features["head"].shape == (30, 5)
    if projection.kind != "pca":
        raw = plain(model, pictures())["conv2"].reshape(30, 4, 4, 6)
        expected = raw.reshape(30, 2, 2, 2, 2, 6).mean((2, 4)).reshape(30, -1)
        np.testing.assert_allclose(features["conv2"], expected, rtol=1e-4, atol=1e-5)


def test_pca_of_a_sketch(cache: Cache) -> None:
    """Taps wider than the sketch are folded first; the others get the same PCA as without it."""
    model, how = small_model(), ProjectionConfig(components=20, sketch=100)
    sketched, exact = (
        take(model, cache, projection=p) for p in (how, how.model_copy(update={"sketch": None}))
    )
    for tap, raw in plain(model, pictures()).items():
        if raw.shape[1] <= 100:
            assert np.array_equal(sketched[tap], exact[tap])
            continue
        folded = projection_module.SparseProjection.draw(raw.shape[1], 100, 0)(
            torch.from_numpy(raw)
        )
        expected = PCA(20, svd_solver="full").fit_transform(folded.double().numpy())
        sketched_sizes = np.abs(sketched[tap]).sum(0)
        np.testing.assert_allclose(sketched_sizes, np.abs(expected).sum(0), rtol=1e-3)
    cost = predict_cost(model, 30, 30, how)
    assert cost.scratch == 4 * 30 * (97 + 96 + 5)


def test_sketch_that_no_pca_follows_is_refused() -> None:
    with pytest.raises(ValueError, match="sketch: 50 goes before a PCA to fewer components"):
        ProjectionConfig(sketch=50)
    with pytest.raises(ValueError, match="found kind: srp"):
        ProjectionConfig(kind="srp", components=10, sketch=50)


def test_srp_equals_the_projection_of_the_plain_pass(cache: Cache) -> None:
    model = small_model()
    features = take(model, cache, projection=SRP, batch_size=7)
    for tap, raw in plain(model, pictures()).items():
        expected = torch.from_numpy(raw)
        if raw.shape[1] > 40:
            sketch = projection_module.SparseProjection.draw(raw.shape[1], 40, 0)
            expected = sketch(expected)
        np.testing.assert_allclose(features[tap], expected, rtol=1e-4, atol=1e-4)


# --- modes


def test_mode_and_batch_norm_are_as_before_and_dropout_is_off(cache: Cache) -> None:
    model = small_model()
    model.train()
    model.network.bn.eval()
    modes = [m.training for m in model.modules()]
    state = {k: v.clone() for k, v in model.state_dict().items()}
    features = take(model, cache, projection=NONE)
    assert [m.training for m in model.modules()] == modes
    assert all(torch.equal(v, state[k]) for k, v in model.state_dict().items())
    expected = plain(small_model(), pictures())
    np.testing.assert_allclose(features["head"], expected["head"], rtol=1e-4, atol=1e-5)


def test_bf16_is_close_to_single_precision(cache: Cache) -> None:
    model, images = load("squeezenet1_1@random", image_size=64), pictures(12, 64)
    how: dict[str, Any] = {"taps": ["features.4", "features.12"], "projection": SRP}
    single = take(model, cache, images, **how)
    half = take(model, cache, images, precision="bf16", **how)
    for tap in single:
        assert half[tap].dtype == np.float32
        difference = np.linalg.norm(half[tap] - single[tap]) / np.linalg.norm(single[tap])
        assert 1e-5 < difference < 0.02


# --- bad input


def test_activation_that_is_not_finite_is_named(cache: Cache) -> None:
    model, images = small_model(), pictures()
    images[:] //= 2
    images[13] = 255

    def spoil(module: object, inputs: object, output: torch.Tensor) -> torch.Tensor:
        bright = output.flatten(1).amax(1) > limit
        return torch.where(bright[:, None, None, None], torch.nan, output)

    x = plain(model, images)["conv1"].max(1)
    order = np.argsort(x)
    limit = float(x[order[-2:]].mean())
    worst = int(order[-1])
    model.network.conv1.register_forward_hook(spoil)
    for projection in (NONE, SRP, PCA5):
        with pytest.raises(InputError, match=rf"tap 'conv1' gives NaN .* position {worst}\."):
            take(model, cache, images, projection=projection, fit=np.arange(20, 30))
    assert not list(cache.root.glob("features/*/*/features.npy"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": pictures(30, 13)}, r"takes uint8 images of shape \(N, 12, 12, 3\), found"),
        ({"images": pictures().astype(np.float32)}, "found float32"),
        ({"images": pictures(0), "hashes": []}, "0 images"),
        ({"hashes": names(29)}, "30 images for 29 content hashes"),
        ({"taps": ["conv3"]}, "unknown tap 'conv3'. Did you mean conv"),
        ({"precision": "16"}, "precision '16'"),
        ({"device": "cuba"}, "device 'cuba' cannot be used here"),
    ],
)
def test_bad_input_is_named(cache: Cache, change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        take(small_model(), cache, **change)


def test_full_disk_is_an_error_with_advice(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.os, "fsync", full)
    with pytest.raises(StriateError, match="disk full while writing"):
        take(small_model(), cache)
    monkeypatch.undo()
    assert not list(cache.root.glob("features/*/*/features.npy"))
    assert [p.name for p in (cache.root / "scratch").iterdir()] == ["lock"]
    assert take(small_model(), cache)["head"].shape == (30, 5)


# --- cache


def other_weight(model: Model, how: dict[str, Any]) -> None:
    with torch.no_grad():
        model.network.conv1.weight[0, 0, 0, 0] += 1e-3


def other_buffer(model: Model, how: dict[str, Any]) -> None:
    model.network.bn.running_mean[0] += 1e-3


def other_preprocessing(model: Model, how: dict[str, Any]) -> None:
    model.preprocessing = replace(model.preprocessing, channels="bgr")


def other_image(model: Model, how: dict[str, Any]) -> None:
    how["hashes"][3] = "other"


def other_pixel(model: Model, how: dict[str, Any]) -> None:
    how["images"][3, 0, 0, 0] ^= 1  # the same stimuli, resized in another way


def other_order(model: Model, how: dict[str, Any]) -> None:
    how["images"][[3, 4]] = how["images"][[4, 3]]
    how["hashes"][3:5] = how["hashes"][3:5][::-1]


def other(**values: Any) -> Callable[[Model, dict[str, Any]], None]:
    return lambda model, how: how.update(values)


CHANGES = {
    "weight": other_weight,
    "buffer": other_buffer,
    "preprocessing": other_preprocessing,
    "image": other_image,
    "pixel": other_pixel,
    "order": other_order,
    "tap": other(taps=["conv1"]),
    "kind": other(projection=SRP),
    "components": other(projection=ProjectionConfig(components=6)),
    "seed": other(projection=ProjectionConfig(components=5, seed=1)),
    "grid": other(projection=ProjectionConfig(components=5, grid=2)),
    "fit": other(fit=np.arange(21)),
    "precision": other(precision="bf16"),
}


def counted(model: Model, cache: Cache, how: dict[str, Any]) -> int:
    before = passes(model)
    take(model, cache, **how)
    return passes(model) - before


@pytest.mark.parametrize("change", [None, *CHANGES], ids=str)
def test_cache_finds_the_same_and_nothing_else(cache: Cache, change: str | None) -> None:
    def asked() -> dict[str, Any]:
        return {
            "images": pictures(),
            "hashes": names(30),
            "taps": ["conv2"],
            "fit": np.arange(20),
        }

    first = counted(small_model(), cache, asked())
    assert first == 1 + 4  # the sizes, and four batches
    model, how = small_model(), asked()
    if change is None:
        assert counted(model, cache, how) == 0
        assert counted(model, cache, {**how, "batch_size": 5}) == 0
        return
    CHANGES[change](model, how)
    assert counted(model, cache, how) > 0
    assert counted(model, cache, how) == 0
    assert counted(small_model(), cache, asked()) == 0  # the first is still there


def test_only_absent_taps_are_computed(cache: Cache) -> None:
    model = small_model()
    first = take(model, cache, taps=["conv1"])
    ran: list[str] = []

    def note(name: str, output: torch.Tensor) -> None:
        if len(output) != PROBES:  # a fingerprint runs the whole network
            ran.append(name)

    for name in ("conv2", "head"):
        module = model.network.get_submodule(name)
        module.register_forward_hook(lambda m, x, y, n=name: note(n, y))
    both = take(model, cache, taps=["conv2", "conv1", "conv2"])
    assert list(both) == ["conv2", "conv1"]
    assert set(ran) == {"conv2"}
    assert np.array_equal(first["conv1"], both["conv1"])


def test_fitted_rows_play_no_part_without_pca(cache: Cache) -> None:
    how = {"projection": SRP}
    assert counted(small_model(), cache, {**how, "fit": np.arange(9)}) > 0
    assert counted(small_model(), cache, {**how, "fit": np.arange(20)}) == 0


# --- processes


@contextlib.contextmanager
def start(cache: Cache, mode: str) -> Iterator[subprocess.Popen[str]]:
    """Another process, killed at the end at the latest."""
    command = [sys.executable, features_worker.__file__, str(cache.root), mode]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def told(process: subprocess.Popen[str]) -> dict[str, Any]:
    out, _ = process.communicate(timeout=HANG)
    assert process.returncode == 0
    return json.loads(out)


def test_killed_build_leaves_no_entry_and_no_scratch_for_long(cache: Cache) -> None:
    with start(cache, "stuck") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "stuck\n"
        left = [p for p in (cache.root / "scratch").iterdir() if p.is_dir()]
        assert len(left) == 1  # taken away neither by its own end nor while it runs
        take(small_model(seed=1), cache)
        assert left[0].exists()
        before = set(cache.root.glob("features/*/*/features.npy"))
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert set(cache.root.glob("features/*/*/features.npy")) == before
    assert left[0].exists()
    features = take(small_model(), cache)
    assert not left[0].exists()
    expected = take(small_model(), Cache(cache.root.parent / "fresh"))
    assert all(np.array_equal(features[tap], expected[tap]) for tap in expected)


def test_of_two_processes_one_builds(cache: Cache) -> None:
    with start(cache, "slow") as first, start(cache, "slow") as second:
        done = sorted(told(p)["passes"] for p in (first, second))
    assert done == [-1, 4]
    model = small_model()
    model.network.wait = 0.1  # as it was there: what a network holds is part of what it is
    assert counted(model, cache, {}) == 0


@pytest.mark.slow
def test_memory_stays_under_what_was_predicted(cache: Cache) -> None:
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("peak memory can be measured on Linux only")
    cache.root.mkdir()
    with start(cache, "memory") as process:
        memory = told(process)
    assert list(memory) == ["srp", "pca", "randomized"]
    for measured in memory.values():
        assert 0 < measured["added"] < measured["predicted"]
    for kind in ("pca", "randomized"):  # bounded: not the whole of it
        assert memory[kind]["added"] < 0.8 * memory[kind]["scratch"]


def test_cost_counts_what_is_kept_and_scratch(cache: Cache) -> None:
    model = small_model()
    widths = {"conv1": 400, "conv2": 96, "head": 5}
    cost = predict_cost(model, 30, 20, PCA5)
    assert cost.kept == 4 * 30 * (5 + 5 + 5)
    assert cost.scratch == 4 * 30 * sum(widths.values())
    assert predict_cost(model, 30, 20, NONE).kept == 4 * 30 * sum(widths.values())
    assert predict_cost(model, 30, 20, SRP).kept == 4 * 30 * (37 + 37 + 5)
    few = predict_cost(model, 30, 4, PCA5, ["conv1"])
    assert few.kept == 4 * 30 * 3
    take(model, cache)
    size = sum(p.stat().st_size for p in cache.root.glob("features/*/*/features.npy"))
    assert cost.kept < size < cost.kept + 3 * 200  # headers
    text = str(cost)
    assert "GB of memory" in text and "scratch disk" in text and "kept" in text
