"""PCA equals scikit-learn's; the sparse projection keeps inner products."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from striate.core.errors import InputError
from striate.encoding import projection as module
from striate.encoding.projection import (
    Pca,
    ProjectionConfig,
    SparseProjection,
    pca_size,
    pooled,
    read,
    row_blocks,
    sketch_size,
)

pytestmark = pytest.mark.usefixtures("one_thread")


def features(n: int, d: int, seed: int = 0) -> np.ndarray:
    """Correlated features away from zero, with variances that fall as those of networks do."""
    rng = np.random.default_rng(seed)
    turn, _ = np.linalg.qr(rng.normal(size=(d, d)))
    spread = 10 / (1 + np.arange(d)) ** 0.7
    return (rng.normal(size=(n, d)) * spread @ turn + 5).astype(np.float32)


def up_to_sign(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    return ours * np.sign((ours * theirs).sum(0))


@pytest.fixture(params=["gram", "randomized"])
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Take the path of many fitted rows, and blocks so small that there are many of them."""
    monkeypatch.setattr(module, "BLOCK_VALUES", 1000)
    if request.param == "randomized":
        monkeypatch.setattr(module, "GRAM_ROWS", 10)
    return request.param


@pytest.mark.parametrize(("n", "d"), [(60, 40), (50, 130), (30, 31)])
def test_equals_scikit_learn(path: str, n: int, d: int) -> None:
    x, k = features(n, d), 6
    fitted = n - 10
    pca = Pca.fit(x, fitted, k, seed=0)
    theirs = PCA(k, svd_solver="full").fit(x[:fitted].astype(np.float64))
    assert pca.rank == k
    assert pca.loadings.shape == (d, k)
    np.testing.assert_allclose(pca.mean, theirs.mean_, rtol=1e-6)
    expected = theirs.transform(x.astype(np.float64))
    scores = pca(x)
    assert scores.dtype == np.float32
    # the randomized path is exact only in the limit; most of it is in the last components
    tolerance = {"gram": 1e-4, "randomized": 2e-2}[path] * np.abs(expected).max()
    np.testing.assert_allclose(up_to_sign(scores, expected), expected, atol=tolerance)
    variance = (scores[:fitted] ** 2).sum(0) / (fitted - 1)
    np.testing.assert_allclose(variance, theirs.explained_variance_, rtol=1e-3)


def test_every_component_that_there_is(path: str) -> None:
    """With as many components as rows can have, distances between fitted rows are kept."""
    x = features(25, 60)
    pca = Pca.fit(x, 25, 1000, seed=0)
    assert pca.loadings.shape == (60, 24)
    scores, centered = pca(x), x - x.mean(0)
    np.testing.assert_allclose(scores @ scores.T, centered @ centered.T, atol=0.02)


def test_rows_outside_the_fitted_ones_change_nothing(path: str) -> None:
    x = features(60, 50)
    other = x.copy()
    other[40:] = 1e3 * features(20, 50, seed=1)
    pca, other_pca = Pca.fit(x, 40, 8, 0), Pca.fit(other, 40, 8, 0)
    assert np.array_equal(pca.mean, other_pca.mean)
    assert np.array_equal(pca.loadings, other_pca.loadings)
    alone = Pca.fit(x[:40], 40, 8, 0)
    assert np.array_equal(pca.loadings, alone.loadings)


def test_few_directions_give_zeros_behind_the_rank(path: str) -> None:
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(40, 3)) @ rng.normal(size=(3, 30)) * 4 + 100).astype(np.float32)
    pca = Pca.fit(x, 40, 10, 0)
    assert np.isfinite(pca.loadings).all()
    assert 3 <= pca.rank <= 10
    scores = pca(x)
    assert np.abs(scores[:, :3]).std(0).min() > 1
    assert np.abs(scores[:, 3:]).max() < 1e-2  # rounding of values near 100


def test_features_without_variance_give_zeros(path: str) -> None:
    pca = Pca.fit(np.full((30, 12), 7.0, np.float32), 30, 5, 0)
    assert pca.rank == 0
    assert not pca(np.full((4, 12), 7.0, np.float32)).any()


def test_a_memory_map_is_read_and_left_as_it_was(path: str, tmp_path: Path) -> None:
    x = features(50, 70)
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    of_mapped, of_array = Pca.fit(mapped, 40, 7, 3), Pca.fit(x, 40, 7, 3)
    assert np.array_equal(of_mapped.loadings, of_array.loadings)
    assert np.array_equal(np.load(tmp_path / "x.npy"), x)
    block = read(mapped, np.array([7, 3]), slice(2, 9))
    assert np.array_equal(block, x[[7, 3], 2:9])


def test_randomized_is_given_by_its_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GRAM_ROWS", 10)
    x = features(200, 150)
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    loadings, again, of_other_seed = (Pca.fit(x, 200, 20, s).loadings for s in (1, 1, 2))
    assert np.array_equal(loadings, again)
    assert not np.array_equal(loadings, of_other_seed)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_pca_size() -> None:
    assert pca_size(1000, 50, 300) == 49
    assert pca_size(1000, 5000, 300) == 300
    assert pca_size(10, 50, 300) == 10
    with pytest.raises(InputError, match="two stimuli or more to be fitted on, found 1"):
        pca_size(10, 1, 300)


def test_row_blocks_cover_each_row_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK_VALUES", 100)
    for n, width in [(0, 3), (1, 1000), (7, 30), (100, 1), (101, 0)]:
        blocks = row_blocks(n, width)
        assert [i for b in blocks for i in range(n)[b]] == list(range(n))
        assert all(len(range(n)[b]) * width <= max(100, width) for b in blocks)


def dense(sketch: SparseProjection) -> np.ndarray:
    """The projection as a matrix (components, d)."""
    return sketch(torch.eye(len(sketch.signs))).numpy().T


@pytest.mark.parametrize("d", [20, 21, 39, 57, 400])
def test_each_feature_goes_to_one_sum_with_a_sign(d: int) -> None:
    matrix = dense(SparseProjection.draw(d, 20, seed=1))
    assert len(matrix) == (20 if d == 20 else 19)
    assert (np.count_nonzero(matrix, axis=0) == 1).all()
    assert set(np.unique(matrix)) <= {-1.0, 0.0, 1.0}
    counts = np.count_nonzero(matrix, axis=1)
    assert counts.max() - counts.min() <= 1  # sums of equal size, but for the last run


def test_linear_seeded_and_float32() -> None:
    sketch = SparseProjection.draw(57, 20, seed=1)
    x = torch.randn(9, 57, generator=torch.Generator().manual_seed(0))
    np.testing.assert_allclose(sketch(x).numpy(), x.numpy() @ dense(sketch).T, atol=1e-5)
    assert torch.equal(sketch(x), SparseProjection.draw(57, 20, seed=1)(x))
    assert not torch.equal(sketch(x), SparseProjection.draw(57, 20, seed=2)(x))
    half = sketch(x.bfloat16())
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, sketch(x.bfloat16().float()))


def test_other_devices_get_the_same_shape() -> None:
    sketch = SparseProjection.draw(57, 20, seed=1).to(torch.device("meta"))
    assert sketch(torch.empty(4, 57, device="meta")).shape == (4, 19)


def test_sketch_size_is_the_largest_prime_within() -> None:
    assert [sketch_size(n, 5000) for n in (1, 2, 3, 4, 20, 1000, 1024)] == [
        1,
        2,
        3,
        3,
        19,
        997,
        1021,
    ]
    assert sketch_size(1000, 1000) == 1000


def errors(x: np.ndarray, k: int, draws: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean error of the inner products of unit vectors over draws of the signs, and its spread."""
    x = x / np.linalg.norm(x, axis=1, keepdims=True)
    products = np.empty((draws, len(x), len(x)))
    for seed in range(draws):
        y = SparseProjection.draw(x.shape[1], k, seed)(torch.from_numpy(x)).numpy()
        products[seed] = y @ y.T
    return products.mean(0) - x @ x.T, products.std(0)


def test_inner_products_are_kept_in_expectation() -> None:
    d, k, draws = 600, 53, 2000
    rng = np.random.default_rng(0)
    # as behind a ReLU: positive, with neighbors alike, so that signs have to do the work
    x = np.abs(np.cumsum(rng.normal(size=(3, d)), axis=1)).astype(np.float32)
    mean, spread = errors(x, k, draws)
    assert (np.abs(mean) < 4 * spread / np.sqrt(draws) + 1e-6).all()
    # Variance of the count sketch: (|x|^2 |y|^2 + (x.y)^2 - 2 sum x^2 y^2) / k, at most 2 / k.
    assert (spread**2 < 2.2 / k).all()


@pytest.mark.parametrize("channels", [16, 32, 64])
def test_maps_whose_energy_is_in_few_channels_are_kept_as_well(channels: int) -> None:
    """Were the sums a multiple of the channels, few channels would mean few sums."""
    rng = np.random.default_rng(1)
    maps = rng.gamma(1, size=(3, 400, channels)) * (np.arange(channels) < 4)
    _, spread = errors(maps.reshape(3, -1).astype(np.float32), 64, 300)
    assert (spread**2).max() < 2.5 / 61


def test_error_falls_with_the_root_of_the_components() -> None:
    x = torch.randn(40, 4000, generator=torch.Generator().manual_seed(0))
    x /= x.norm(dim=1, keepdim=True)
    spread = []
    for k in (50, 800):
        y = SparseProjection.draw(4000, k, 0)(x)
        spread.append(float((y @ y.T - x @ x.T).std()))
    assert 3 < spread[0] / spread[1] < 5.3  # sqrt(16) = 4


@pytest.mark.parametrize("grid", [None, 1, 2, 3, 50])
def test_pooling_averages_maps_and_flattens_by_position(grid: int | None) -> None:
    x = torch.randn(2, 3, 6, 12)
    size = (6, 12) if grid is None else (min(grid, 6), min(grid, 12))
    blocks = x.reshape(2, 3, size[0], 6 // size[0], size[1], 12 // size[1])
    expected = blocks.mean((3, 5)).permute(0, 2, 3, 1).reshape(2, -1)
    torch.testing.assert_close(pooled(x, grid), expected)
    last = x.to(memory_format=torch.channels_last)
    torch.testing.assert_close(pooled(last, grid), expected)


def test_flattening_a_channels_last_map_copies_nothing() -> None:
    x = torch.randn(2, 3, 6, 12).to(memory_format=torch.channels_last)
    assert pooled(x, None).data_ptr() == x.data_ptr()


def test_outputs_that_are_no_maps_are_flattened_as_they_are() -> None:
    tokens, vector = torch.randn(2, 5, 4), torch.randn(2, 7)
    assert torch.equal(pooled(tokens, 2), tokens.reshape(2, 20))
    assert torch.equal(pooled(vector, 2), vector)


@pytest.mark.parametrize(
    "values", [{"components": 0}, {"grid": 0}, {"kind": "lda"}, {"componets": 5}]
)
def test_config_refuses_what_has_no_meaning(values: dict[str, object]) -> None:
    with pytest.raises(InputError):
        ProjectionConfig.from_dict(values)
