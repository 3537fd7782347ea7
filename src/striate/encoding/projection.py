"""Projections that make tap outputs small enough to fit: PCA, sparse random projection, none."""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from math import isqrt
from typing import Literal, Self

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor

from striate.core.config import Config
from striate.core.errors import InputError

GRAM_ROWS = 4000
"""Up to this many fitted rows PCA goes through their Gram matrix, which is exact."""
BLOCK_VALUES = 2**24
"""Values held at once while a large array is walked through (64 MB of float32)."""
GROUP = 16
"""Rows copied between two releases of a memory map's pages (touching a row may map 2 MB)."""
OVERSAMPLING, POWER = 10, 4
"""Extra directions and power iterations of the randomized PCA (Halko et al. 2011, section 1.3)."""
TINY = 1e-12
"""Variance, relative to the largest, that counts as none."""


class ProjectionConfig(Config):
    """How features are projected.

    PCA to 1000 components: of Mulrooney & Brockmeier 2024 (docs/papers/contrastive-tuning.md 3.1).
    """

    kind: Literal["pca", "srp", "none"] = "pca"
    components: int = Field(1000, gt=0)
    seed: int = 0
    grid: int | None = Field(None, gt=0)
    """Average convolutional maps to grid x grid first; a side that has fewer positions keeps them.
    None keeps every position."""
    sketch: int | None = Field(None, gt=0)
    """Fold wider taps to so many random sums before a PCA; None keeps the PCA exact (ours)."""

    @model_validator(mode="after")
    def _check_sketch(self) -> Self:
        if self.sketch is not None and (self.kind != "pca" or self.sketch < self.components):
            raise ValueError(
                f"sketch: {self.sketch} goes before a PCA to fewer components, found kind: "
                f"{self.kind} with {self.components} components. Leave it out or raise it."
            )
        return self

    def folded_to(self, d: int) -> int:
        """Number of features of a tap of `d` that leave the pass over the images."""
        sums = {"pca": self.sketch, "srp": self.components, "none": None}[self.kind]
        return d if sums is None else sketch_size(sums, d)


def pooled(activation: Tensor, grid: int | None) -> Tensor:
    """Flatten a tap's output (B, …) to (B, d); maps are averaged to `grid` x `grid` first
    (a side that has fewer positions keeps them: there is nothing to average).

    Features of a map are ordered by row, column and then channel, as they lie in channels-last
    memory, so that flattening copies nothing there.
    """
    if activation.ndim == 4:
        if grid is not None:
            size = (min(grid, activation.shape[2]), min(grid, activation.shape[3]))
            activation = torch.nn.functional.adaptive_avg_pool2d(activation, size)
        activation = activation.permute(0, 2, 3, 1)
    return activation.flatten(1)


@dataclass(frozen=True)
class SparseProjection:
    """A random projection that costs one addition a feature.

    Each feature gets a random sign and goes to one sum, as in the count sketch (Charikar, Chen &
    Farach-Colton 2002), a sparse Johnson-Lindenstrauss map with one nonzero a column (Li, Hastie &
    Church 2006 for very sparse ones). To read memory in order and only once, feature i goes to sum
    i modulo a prime instead of a random one (ours): being prime it is no multiple of the number
    of channels, so that each channel is spread over all sums. Inner products are kept in
    expectation over the signs, with an error that falls as 1 / sqrt(components).

    Attributes:
        signs: (d,) +1 or -1.
        components: length of the result, a prime.
    """

    signs: Tensor
    components: int

    @classmethod
    def draw(cls, d: int, components: int, seed: int) -> SparseProjection:
        """Draw the projection of `d` features to `sketch_size(components, d)` sums."""
        size = sketch_size(components, d)
        generator = np.random.default_rng([seed, d, size])
        signs = generator.choice(np.array([-1.0, 1.0], dtype=np.float32), size=d)
        return cls(torch.from_numpy(signs), size)

    def to(self, device: torch.device) -> SparseProjection:
        """Return the same projection for tensors on a device."""
        return SparseProjection(self.signs.to(device), self.components)

    def __call__(self, x: Tensor) -> Tensor:
        """Project (B, d) to (B, components), float32."""
        d, k = len(self.signs), self.components
        whole = d - d % k
        runs, signs = x[:, :whole].unflatten(1, (-1, k)), self.signs[:whole].view(-1, k)
        if x.device.type == "cpu":  # one by one: the product stays in the processor's cache
            out = torch.stack([(row * signs).sum(0) for row in runs])
        else:
            out = (runs * signs).sum(1)
        out[:, : d - whole] += x[:, whole:] * self.signs[whole:]
        return out


def sketch_size(components: int, d: int) -> int:
    """Number of sums that `d` features are folded to: the largest prime within `components`.

    Features that are no more than `components` are left as they are.
    """
    if d <= components:
        return d
    return next(n for n in range(components, 0, -1) if all(n % i for i in range(2, isqrt(n) + 1)))


@dataclass(frozen=True)
class Pca:
    """Principal components: centered, not whitened.

    Attributes:
        mean: (d,) of the fitted rows.
        loadings: (d, k) orthonormal columns; zero where the fitted rows have no more variance.
        rank: number of columns that are not zero.
    """

    mean: np.ndarray
    loadings: np.ndarray
    rank: int

    @classmethod
    def fit(cls, raw: np.ndarray, n_fit: int, components: int, seed: int) -> Pca:
        """Fit on the first `n_fit` rows of `raw`; the others are not looked at.

        `raw` may be a memory map: it is read in blocks, so memory stays bounded. With few fitted
        rows the components come from their Gram matrix (exact); else from a randomized
        decomposition (Halko, Martinsson & Tropp 2011, algorithms 4.4 and 5.1).

        Args:
            raw: (N, d) float32, those on which the PCA is fitted first.
            n_fit: number of fitted rows, two or more.
            components: number of components asked for; `pca_size` says how many there can be.
            seed: of the randomized decomposition.
        """
        d = raw.shape[1]
        k = pca_size(components, n_fit, d)
        total = np.zeros(d)
        for rows in row_blocks(n_fit, d):
            total += read(raw, rows).sum(axis=0, dtype=np.float64)
        mean = (total / n_fit).astype(np.float32)
        if n_fit > GRAM_ROWS:
            loadings, rank = _fit_randomized(raw, mean, n_fit, k, seed)
        else:
            loadings, rank = _fit_by_gram(raw, mean, n_fit, k)
        return cls(mean, loadings, rank)

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """Return the scores (B, k) of rows (B, d), float32."""
        return torch.mm(torch.from_numpy(rows - self.mean), torch.from_numpy(self.loadings)).numpy()


def _fit_by_gram(raw: np.ndarray, mean: np.ndarray, n_fit: int, k: int) -> tuple[np.ndarray, int]:
    """Compute loadings by way of the Gram matrix of the centered rows, in double precision."""
    d = raw.shape[1]
    fitted = slice(0, n_fit)
    gram = torch.zeros(n_fit, n_fit, dtype=torch.float64)
    for columns in row_blocks(d, n_fit):
        block = torch.from_numpy(read(raw, fitted, columns) - mean[columns]).double()
        gram.addmm_(block, block.T)
    weights, rank = _solve_weights(gram, k)
    loadings = torch.empty(d, k)
    for columns in row_blocks(d, n_fit):
        block = torch.from_numpy(read(raw, fitted, columns) - mean[columns])
        torch.mm(block.T, weights, out=loadings[columns])
    return loadings.numpy(), rank


def _fit_randomized(
    raw: np.ndarray, mean: np.ndarray, n_fit: int, k: int, seed: int
) -> tuple[np.ndarray, int]:
    """Compute loadings by a randomized range finder with power iterations, in blocks of rows."""
    d = raw.shape[1]
    width = min(k + OVERSAMPLING, n_fit, d)
    basis = torch.randn(d, width, generator=torch.Generator().manual_seed(seed))
    samples = torch.empty(n_fit, width)
    for power in range(POWER + 1):
        if power:
            _orthonormalize(basis)
        for rows in row_blocks(n_fit, d):
            samples[rows] = torch.from_numpy(read(raw, rows) - mean) @ basis
        _orthonormalize(samples)
        basis.zero_()
        for rows in row_blocks(n_fit, d):
            basis.addmm_(torch.from_numpy(read(raw, rows) - mean).T, samples[rows])
    weights, rank = _solve_weights(_compute_gram(basis), k)
    return (basis @ weights).numpy(), rank


def _solve_weights(gram: Tensor, k: int | None = None) -> tuple[Tensor, int]:
    """Solve for the eigenvectors of x x', largest first, divided by the root of their eigenvalue.

    x' times them is orthonormal; those without variance are zero. Also returns how many are not.
    """
    squares, vectors = torch.linalg.eigh(gram)
    squares, vectors = squares.flip(0)[:k], vectors.flip(1)[:, :k]
    varying = squares > max(float(squares[0]), 0.0) * TINY
    roots = squares.clamp(min=1e-300).sqrt()
    return torch.where(varying, vectors / roots, 0.0).float(), int(varying.sum())


def _compute_gram(x: Tensor) -> Tensor:
    """Return x' x of a tall matrix in double precision."""
    out = torch.zeros(x.shape[1], x.shape[1], dtype=torch.float64)
    for rows in row_blocks(*x.shape):
        block = x[rows].double()
        out.addmm_(block.T, block)
    return out


def _orthonormalize(x: Tensor) -> None:
    """Make the columns of a tall matrix orthonormal in place; directions it lacks become zero.

    The eigenvectors of x' x do it, applied twice because once loses half of the digits.
    """
    for _ in range(2):
        weights, _ = _solve_weights(_compute_gram(x))
        for rows in row_blocks(*x.shape):
            x[rows] = x[rows] @ weights


def pca_size(components: int, n_fit: int, d: int) -> int:
    """Number of components that `n_fit` centered rows of `d` features can have."""
    if n_fit < 2:
        raise InputError(f"PCA needs two stimuli or more to be fitted on, found {n_fit}.")
    return min(components, n_fit - 1, d)


def row_blocks(n: int, width: int) -> list[slice]:
    """Slices over `n` rows of `width` values, each of a bounded number of values."""
    step = max(1, BLOCK_VALUES // max(width, 1))
    return [slice(i, min(i + step, n)) for i in range(0, n, step)]


def read(raw: np.ndarray, rows: slice | np.ndarray, columns: slice = slice(None)) -> np.ndarray:
    """Copy a block out of an array; the pages of a memory map do not stay in our memory."""
    chosen = np.arange(rows.start, rows.stop) if isinstance(rows, slice) else rows
    out = np.empty((len(chosen), *raw[:0, columns].shape[1:]), dtype=raw.dtype)
    for start in range(0, len(chosen), GROUP):
        part = slice(start, start + GROUP)
        out[part] = raw[chosen[part], columns]
        pages = getattr(raw, "_mmap", None)
        if pages is not None:
            pages.madvise(mmap.MADV_DONTNEED)
    return out
