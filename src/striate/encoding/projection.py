"""Projections that make tap outputs small enough to fit: PCA, sparse random projection, none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from pydantic import Field
from sklearn.utils.extmath import randomized_svd
from torch import Tensor

from striate.core.config import Config
from striate.core.errors import InputError

GRAM_ROWS = 4000
"""Up to this many fitted rows PCA goes through their Gram matrix, which is exact."""
BLOCK_VALUES = 2**24
"""Values held at once while a large array is walked through (64 MB of float32)."""


class ProjectionConfig(Config):
    """How features are projected.

    PCA to 1000 components is the papers' choice (papers/contrastive-tuning 3.1).
    """

    kind: Literal["pca", "srp", "none"] = "pca"
    components: int = Field(1000, gt=0)
    seed: int = 0
    grid: int | None = Field(None, gt=0)
    """Average convolutional maps to grid x grid first; None keeps every position."""


def pooled(activation: Tensor, grid: int | None) -> Tensor:
    """Flatten a tap's output (B, …) to (B, d); maps are averaged to `grid` x `grid` first."""
    if grid is not None and activation.ndim == 4:
        size = (min(grid, activation.shape[2]), min(grid, activation.shape[3]))
        activation = torch.nn.functional.adaptive_avg_pool2d(activation, size)
    return activation.flatten(1)


@dataclass(frozen=True)
class SparseProjection:
    """A random projection that costs one addition a feature.

    Each feature goes to one of `components` sums with a random sign: the count sketch (Charikar,
    Chen & Farach-Colton 2002), a sparse Johnson-Lindenstrauss map with one nonzero a column
    (Li, Hastie & Church 2006 for very sparse ones). Inner products are kept in expectation; the
    error falls as 1 / sqrt(components).

    Attributes:
        order: (components * width,) which feature each place takes; d means none.
        signs: (components * width,) +1 or -1.
        components: length of the result.
    """

    order: Tensor
    signs: Tensor
    components: int

    @classmethod
    def draw(cls, d: int, components: int, seed: int) -> SparseProjection:
        """Draw the projection of `d` features; the buckets are of equal size."""
        generator = np.random.default_rng([seed, d, components])
        width = -(-d // components)
        order = np.full(width * components, d, dtype=np.int64)
        order[generator.permutation(width * components)[:d]] = generator.permutation(d)
        signs = generator.choice(np.array([-1.0, 1.0], dtype=np.float32), size=order.size)
        signs[order == d] = 0.0
        order[order == d] = 0
        return cls(torch.from_numpy(order), torch.from_numpy(signs), components)

    def __call__(self, x: Tensor) -> Tensor:
        """Project (B, d) to (B, components)."""
        taken = x.index_select(1, self.order.to(x.device)) * self.signs.to(x)
        return taken.view(len(x), -1, self.components).sum(1)


def pca(raw: np.ndarray, n_fit: int, components: int, seed: int, out: np.ndarray) -> int:
    """Write PCA scores of `raw` into `out`; centred, not whitened, fitted on the first rows.

    `raw` may be a writable memory map: it is centred in place and read in blocks, so memory stays
    bounded. With few fitted rows the components come from their Gram matrix (exact); else from a
    randomised decomposition (Halko, Martinsson & Tropp 2011, scikit-learn's).

    Args:
        raw: (N, d) float32, rows the PCA is fitted on first; centred on return.
        n_fit: number of those rows.
        components: number of components asked for.
        seed: of the randomised decomposition.
        out: (N, k) float32 to fill, k = `pca_size(...)`.

    Returns:
        How many components carry variance; the rest of `out` is zero.
    """
    n, d = raw.shape
    k = pca_size(components, n_fit, d)
    mean = np.zeros(d)
    for rows in row_blocks(n_fit, d):
        mean += raw[rows].sum(axis=0, dtype=np.float64)
    mean = (mean / n_fit).astype(np.float32)
    for rows in row_blocks(n, d):
        raw[rows] -= mean
    fitted = raw[:n_fit]
    if n_fit > GRAM_ROWS:
        _, values, vt = randomized_svd(fitted, k, n_iter=4, random_state=seed)
        for rows in row_blocks(n, d):
            out[rows] = raw[rows] @ vt.T
        return int((values > 1e-6 * values[0]).sum())
    gram = np.zeros((n_fit, n_fit))
    for columns in row_blocks(d, n_fit):
        block = torch.from_numpy(np.ascontiguousarray(fitted[:, columns])).double()
        gram += (block @ block.T).numpy()
    squares, vectors = np.linalg.eigh(gram)
    squares, vectors = squares[::-1][:k], vectors[:, ::-1][:, :k]
    kept = squares > max(squares[0], 0) * 1e-12
    weights = np.zeros((n_fit, k))
    weights[:, kept] = vectors[:, kept] / np.sqrt(squares[kept])
    loadings = np.zeros((d, k), dtype=np.float32)
    for columns in row_blocks(d, n_fit):
        loadings[columns] = fitted[:, columns].T @ weights
    for rows in row_blocks(n, d):
        out[rows] = raw[rows] @ loadings
    return int(kept.sum())


def pca_size(components: int, n_fit: int, d: int) -> int:
    """Number of components that `n_fit` centred rows of `d` features can have."""
    if n_fit < 2:
        raise InputError(f"PCA needs two stimuli or more to be fitted on, found {n_fit}.")
    return min(components, n_fit - 1, d)


def row_blocks(n: int, width: int) -> list[slice]:
    """Slices over `n` rows of `width` values, each of a bounded number of values."""
    step = max(1, BLOCK_VALUES // max(width, 1))
    return [slice(i, min(i + step, n)) for i in range(0, n, step)]
