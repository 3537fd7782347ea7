"""Ridge regression for many units at once: one factorization a fold serves all alphas and units.

For centered features X (n, p) and responses Y (n, T) ridge has the weights
`(X'X + alpha I)^-1 X'Y` (Hoerl & Kennard 1970). With X'X = V diag(s) V' these are
`V diag(1 / (s + alpha)) V'X'Y`, so the eigenvectors serve every alpha and every unit. A fold's
X'X is that of all rows less that of the rows it leaves out. Where p > n the rows are first turned
into the n-dimensional space they span, which changes no inner product and so no prediction (the
dual form, Saunders et al. 1998); everything after is the same.

Fold scores are had without predictions. With z = V'X'Y, f = 1 / (s + alpha) and B the validation
rows in the eigenbasis, centered: `<y, prediction> = f'(z * B'y)`, and `|prediction| = |B (f * z)|`,
where the triangle R of B's QR decomposition does as well as B.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from striate.core.errors import unknown_name
from striate.encoding.folds import Fold

BLOCK = 512
"""Units handled at once, which bounds memory."""
TRIANGLE_BLOCK = 128
"""Rows of R multiplied at once; the zeros to the left of each are skipped."""


class Design:
    """Features, centered, with what all fits to them share.

    Args:
        X: (n, p) features, finite.
        device: where to compute.

    Attributes:
        mean: (p,) mean of the features.
        rows: (n, k) the centered features; for p > n in an orthonormal basis of the rows, k <= n.
        gram: (k, k) rows' rows.
    """

    def __init__(self, X: np.ndarray, device: str = "cpu") -> None:
        x = torch.from_numpy(np.array(X, dtype=np.float64)).to(device)
        self.mean = x.mean(0)
        x -= self.mean
        self._x: Tensor | None = None
        self._from_rows: Tensor | None = None
        if x.shape[1] > x.shape[0]:
            values, vectors = torch.linalg.eigh(x @ x.T)
            keep = values > values[-1] * len(values) * torch.finfo(torch.float64).eps
            keep[-1] = True
            root = values[keep].clamp(min=1e-300).sqrt()
            self._x, self._from_rows = x, vectors[:, keep] / root
            x = vectors[:, keep] * root
        self.rows = x
        self.gram = x.T @ x

    def __len__(self) -> int:
        return self.rows.shape[0]

    @cached_property
    def spectrum(self) -> tuple[Tensor, Tensor]:
        """Eigenvalues (k,) of `gram`, none below 0, and its eigenvectors (k, k)."""
        values, vectors = torch.linalg.eigh(self.gram)
        return values.clamp(min=0), vectors

    def to_features(self, weights: Tensor) -> Tensor:
        """Turn weights of `rows`, (k, T), into weights of the features, (p, T)."""
        if self._x is None or self._from_rows is None:
            return weights
        return self._x.T @ (self._from_rows @ weights)


@dataclass(frozen=True)
class FoldSystem:
    """One fold, factorized.

    Attributes:
        validation, left_out: (n_validation,), (n_left_out,) positions of rows.
        n_train: number of training rows.
        values: (k,) eigenvalues of the training rows' Gram matrix; vectors: (k, k).
        triangle: (min(n_validation, k), k) R of the centered validation rows in the eigenbasis.
        train_mean, validation_mean: (k,) means of rows.
    """

    validation: Tensor
    left_out: Tensor
    n_train: int
    values: Tensor
    vectors: Tensor
    triangle: Tensor
    train_mean: Tensor
    validation_mean: Tensor


def factorize(design: Design, fold: Fold, dtype: torch.dtype = torch.float64) -> FoldSystem:
    """Factorize the training rows of a fold: (k, k) eigenvectors and a triangle."""
    rows, device = design.rows, design.rows.device
    train = torch.as_tensor(fold[0], dtype=torch.long, device=device)
    validation = torch.as_tensor(fold[1], dtype=torch.long, device=device)
    outside = torch.ones(len(rows), dtype=torch.bool, device=device)
    outside[train] = False
    left_out = torch.nonzero(outside)[:, 0]
    n = len(train)
    if len(left_out) < n:
        gone = rows[left_out]
        mean = -gone.sum(0) / n  # the rows of all sum to nought
        gram = design.gram - gone.T @ gone - n * torch.outer(mean, mean)
    else:
        fitted = rows[train]
        mean = fitted.mean(0)
        fitted = fitted - mean
        gram = fitted.T @ fitted
    values, vectors = torch.linalg.eigh(gram)
    held = rows[validation]
    held_mean = held.mean(0)
    triangle = torch.linalg.qr((held - held_mean) @ vectors, mode="r").R
    values = values.clamp(min=0)
    return FoldSystem(validation, left_out, n, values, vectors, triangle.to(dtype), mean, held_mean)


def fold_scores(
    design: Design,
    Y: np.ndarray,
    folds: Sequence[Fold],
    alphas: Sequence[float],
    *,
    scoring: str = "r",
    dtype: str = "float64",
    units: np.ndarray | None = None,
) -> np.ndarray:
    """Score every alpha on the validation rows of every fold.

    Args:
        design: the features of all rows.
        Y: (n, T) responses; only the columns in `units` are read.
        folds: positions of training and validation rows.
        alphas: penalties, > 0.
        scoring: `r` (Pearson) or `r2`.
        dtype: `float32` takes the norms of predictions, most of the work, in single precision;
            everything else is always in double.
        units: positions of the columns to score; default all. Others get NaN.

    Returns:
        (n_folds, n_alphas, T). NaN where the responses of the validation rows do not vary; a
        prediction that does not vary has r = 0.
    """
    precision = _precision(dtype)
    systems = [factorize(design, fold, precision) for fold in folds]
    out = np.full((len(folds), len(alphas), Y.shape[1]), np.nan)
    grid = torch.tensor(list(alphas), dtype=torch.float64, device=design.rows.device)
    share = _shares_products(systems)
    for columns, y, _ in _blocks(Y, units, design):
        total, products = _cross_products(design, systems, y, share)
        for i, system in enumerate(systems):
            gone = products[i] if share else design.rows[system.left_out].T @ y[system.left_out]
            block = _score_block(system, y, total - gone, products[i], grid, scoring)
            out[i][:, columns] = block.cpu().numpy()
    return out


def _precision(dtype: str) -> torch.dtype:
    if dtype not in ("float32", "float64"):
        raise unknown_name("dtype", dtype, ("float32", "float64"))
    return torch.float32 if dtype == "float32" else torch.float64


def _blocks(
    Y: np.ndarray, units: np.ndarray | None, design: Design
) -> Iterator[tuple[np.ndarray, Tensor, Tensor]]:
    """Yield positions of some units, their centered responses and the means of these."""
    units = np.arange(Y.shape[1]) if units is None else units
    for start in range(0, len(units), BLOCK):
        columns = units[start : start + BLOCK]
        # Neighbors are taken as a slice: indexing would read a strided column at a time.
        together = columns[-1] - columns[0] + 1 == len(columns)
        block = Y[:, columns[0] : columns[-1] + 1] if together else Y[:, columns]
        y = torch.from_numpy(np.array(block, dtype=np.float64, order="C"))
        y = y.to(design.rows.device)
        mean = y.mean(0)
        y -= mean
        yield columns, y, mean


def _shares_products(systems: Sequence[FoldSystem]) -> bool:
    """Whether each fold leaves out just its validation rows, and no row is in two folds."""
    rows = torch.cat([s.validation for s in systems]) if systems else torch.empty(0)
    return len(torch.unique(rows)) == len(rows) and all(
        torch.equal(torch.sort(s.validation).values, s.left_out) for s in systems
    )


def _cross_products(
    design: Design, systems: Sequence[FoldSystem], y: Tensor, share: bool
) -> tuple[Tensor, list[Tensor]]:
    """Return X'Y of all rows and that of each fold's validation rows; one pass if they add up."""
    products = [design.rows[s.validation].T @ y[s.validation] for s in systems]
    if not share:
        return design.rows.T @ y, products
    never = torch.ones(len(design), dtype=torch.bool, device=y.device)
    for system in systems:
        never[system.validation] = False
    total = design.rows[never].T @ y[never]
    for product in products:
        total += product
    return total, products


def _score_block(
    system: FoldSystem, y: Tensor, cross: Tensor, held_cross: Tensor, alphas: Tensor, scoring: str
) -> Tensor:
    """Score all alphas for a block of units, (n_alphas, units); see the head of this file."""
    held = y[system.validation]
    varies = held.amax(0) > held.amin(0)
    n_held, held_mean = len(held), held.mean(0)
    y_size = (held - held_mean).square_().sum(0)
    gone = y[system.left_out]
    y_mean = -gone.sum(0) / system.n_train
    cross = cross - system.n_train * torch.outer(system.train_mean, y_mean)
    held_cross = held_cross - n_held * torch.outer(system.validation_mean, held_mean)
    z, along = (system.vectors.T @ torch.cat([cross, held_cross], 1)).chunk(2, dim=1)
    # A unit that varies only in rows left out: subtracting them leaves rounding, not zero.
    whole = y.square().sum(0)
    remaining = whole - gone.square().sum(0) - system.n_train * y_mean.square()
    z = torch.where(remaining > 1e-13 * whole, z, 0.0)
    shrink = 1.0 / (system.values[:, None] + alphas)
    product = shrink.T @ (z * along)
    size = _prediction_sizes(system.triangle, z, shrink)
    if scoring == "r":
        # What rounding leaves of a constant prediction, judged by its spread over training rows.
        spread = (system.values[:, None] * shrink.square()).T @ z.square()
        floor = 1e-24 * spread * n_held / system.n_train
        size = size.clamp(min=0)
        r = torch.where(size > floor, product / torch.sqrt(size * y_size), 0.0)
        return torch.where(varies, r.clamp(-1, 1), torch.nan)
    shift = system.vectors.T @ (system.validation_mean - system.train_mean)
    bias = held_mean - y_mean - shrink.T @ (shift[:, None] * z)
    errors = y_size - 2 * product + size + n_held * bias.square()
    return torch.where(varies, 1.0 - errors / y_size, torch.nan)


def _prediction_sizes(triangle: Tensor, z: Tensor, shrink: Tensor) -> Tensor:
    """Return |R (f * z)|^2 for every alpha, (n_alphas, units)."""
    z, shrink = z.to(triangle.dtype), shrink.to(triangle.dtype)
    out = torch.zeros(shrink.shape[1], z.shape[1], dtype=torch.float64, device=z.device)
    for i in range(shrink.shape[1]):
        weights = z * shrink[:, i : i + 1]
        for start in range(0, len(triangle), TRIANGLE_BLOCK):
            part = triangle[start : start + TRIANGLE_BLOCK, start:] @ weights[start:]
            out[i] += part.square_().sum(0)
    return out


def solve(
    design: Design, Y: np.ndarray, alpha: np.ndarray, units: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Fit all rows, each unit with its own alpha, from one factorization.

    Args:
        design: the features.
        Y: (n, T) responses; only the columns in `units` are read.
        alpha: (T,) penalties, > 0.
        units: positions of the columns to fit; default all. Others get NaN.

    Returns:
        Weights (p, T) and intercepts (T,), float64.
    """
    values, vectors = design.spectrum
    coef = np.full((len(design.mean), Y.shape[1]), np.nan)
    intercept = np.full(Y.shape[1], np.nan)
    for columns, y, mean in _blocks(Y, units, design):
        penalty = torch.as_tensor(alpha[columns], dtype=torch.float64, device=y.device)
        z = vectors.T @ (design.rows.T @ y)
        weights = design.to_features(vectors @ (z / (values[:, None] + penalty)))
        coef[:, columns] = weights.cpu().numpy()
        intercept[columns] = (mean - design.mean @ weights).cpu().numpy()
    return coef, intercept
