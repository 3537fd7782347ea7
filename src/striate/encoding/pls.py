"""Partial least squares for many units at once, `PLSRegression`, and its arithmetic.

The model is scikit-learn's `PLSRegression(scale=False)`: NIPALS for several targets, PLS2 (Wold
et al. 1983; Wegelin 2000, section 4.1), all units together, as Brain-Score fits them. Nothing is
iterated on the features themselves, only on inner products: with features X (n, p) and responses
Y (n, T), both centered, weights and scores of each component follow from X'X and X'Y, of which
X'Y alone has to be deflated (Dayal & MacGregor 1997, the second of their improved kernel
algorithms). Where p > n, X is first written in the basis of its n rows (`solver.Design`), which
changes no inner product; where T is larger than what is left, X'Y is replaced by the triangle of
its LQ decomposition for the same reason. So a component costs as much for 50,000 features and
1,000 units as for n of either.

A weight vector is the first left singular vector of the deflated X'Y. NIPALS finds it by power
iteration and stops early: at scikit-learn's tolerance of 1e-6 on the *squared* change, the vector
may be off by about 1e-3, and so may predictions. `algorithm="nipals"` makes the same iterations
and stops at the same one, so that numbers can be compared with published ones; `"svd"` is exact.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from scipy import linalg
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from striate.core.errors import InputError, unknown_name
from striate.encoding.base import UnitRegressor
from striate.encoding.solver import Design

ALGORITHMS = ("nipals", "svd")
EXHAUSTED = 1e-12
"""Share of the size of X'Y, or of the variance of X, that counts as rounding."""
SMALL = 24
"""Size of matrices up to which all eigenvectors are found as fast as one."""


@dataclass(frozen=True)
class Components:
    """What `components_of` finds, in the basis of its arguments.

    Attributes:
        rotations: (k, A) weights that turn features into scores.
        loadings: (T, A) regression of the responses on the scores.
        iterations: power iterations of each component; 0 where none were needed.
    """

    rotations: Tensor
    loadings: Tensor
    iterations: list[int]


def components_of(
    gram: Tensor,
    cross: Tensor,
    components: int,
    *,
    algorithm: str = "nipals",
    max_iter: int = 500,
    tol: float = 1e-6,
) -> Components:
    """Extract PLS components from inner products.

    Args:
        gram: (k, k) X'X of the centered features.
        cross: (k, T) X'Y with the centered responses.
        components: number of components A.
        algorithm: `nipals` (power iteration, as scikit-learn) or `svd` (exact).
        max_iter, tol: of the power iteration: it stops where the squared change of the unit-length
            weights is below `tol`, or after `max_iter`.

    Returns:
        At most A components: fewer where features or responses are used up.
    """
    left, right = _reduce(cross)  # left @ right.T is what is left of X'Y
    whole, variance = left.norm(), gram.diagonal().sum()
    rotations: list[Tensor] = []
    loadings: list[Tensor] = []  # of the features, (k,) each
    sizes: list[Tensor] = []
    iterations = []
    for _ in range(components):
        if float(left.norm()) <= EXHAUSTED * float(whole):
            break
        if algorithm == "svd":
            weights, count = _dominant(left), 0
        else:
            weights, count = _power_iteration(left, right, max_iter, tol)
        rotation = weights.clone()
        for earlier, loading in zip(rotations, loadings, strict=True):
            rotation -= (loading @ weights) * earlier
        along = gram @ rotation
        size = rotation @ along
        if not float(size) > EXHAUSTED * float(variance):
            break
        loading = along / size
        left = left - torch.outer(loading, rotation @ left)
        rotations.append(rotation)
        loadings.append(loading)
        sizes.append(size)
        iterations.append(count)
    if not rotations:
        empty = cross.new_zeros
        return Components(empty(len(cross), 0), empty(cross.shape[1], 0), [])
    stacked = torch.stack(rotations, 1)
    return Components(stacked, cross.T @ stacked / torch.stack(sizes), iterations)


def _reduce(cross: Tensor) -> tuple[Tensor, Tensor | None]:
    """Write X'Y, (k, T), as (k, m) times the transpose of an orthonormal (T, m), m = min(k, T)."""
    if cross.shape[1] <= cross.shape[0]:
        return cross, None
    basis, triangle = torch.linalg.qr(cross.T)
    return triangle.T.contiguous(), basis


def _power_iteration(
    left: Tensor, right: Tensor | None, max_iter: int, tol: float
) -> tuple[Tensor, int]:
    """First left singular vector as scikit-learn's NIPALS finds it; starts from the first unit."""
    transposed = left.T.contiguous()
    weights = _first_column(left, right)
    if len(right if right is not None else transposed) == 1:
        return weights, 1
    for i in range(2, max_iter + 1):
        before, weights = weights, left @ (transposed @ weights)
        weights = weights / weights.norm()
        if float((weights - before).square().sum()) < tol:
            return weights, i
    if max_iter > 1:
        warnings.warn(
            f"PLS: no convergence of a component in {max_iter} iterations. Raise max_iter, or use "
            'algorithm="svd".',
            UserWarning,
            stacklevel=4,
        )
    return weights, max_iter


def _first_column(left: Tensor, right: Tensor | None) -> Tensor:
    """First column of what is left of X'Y that is not used up, scaled to length 1."""
    floor = EXHAUSTED * left.norm()
    for j in range(len(right) if right is not None else left.shape[1]):
        column = left @ right[j] if right is not None else left[:, j]
        if column.norm() > floor:
            break
    return column / column.norm()


def _constant(design: Design) -> bool:
    """Whether the features vary by no more than rounding of their means."""
    rounding = 16 * torch.finfo(torch.float64).eps * design.mean
    return float(design.gram.diagonal().sum()) <= len(design) * float(rounding.square().sum())


def _dominant(left: Tensor) -> Tensor:
    """First left singular vector, from the eigenvectors of the smaller side's products."""
    if left.shape[0] <= left.shape[1]:
        return _last_eigenvector(left @ left.T)
    weights = left @ _last_eigenvector(left.T @ left)
    return weights / weights.norm()


def _last_eigenvector(gram: Tensor) -> Tensor:
    """Eigenvector of the largest eigenvalue of a symmetric matrix.

    LAPACK finds it alone three to four times as fast as all of them; of small matrices the call
    itself takes longer.
    """
    last = len(gram) - 1
    if last < SMALL or gram.device.type != "cpu":
        return torch.linalg.eigh(gram).eigenvectors[:, last]
    _, vectors = linalg.eigh(gram.numpy(), subset_by_index=(last, last), check_finite=False)
    return torch.from_numpy(vectors[:, 0])


def predict_pls(design: Design, y: np.ndarray, test: np.ndarray, components: int) -> np.ndarray:
    """Fit as `PLSRegression` with `algorithm="svd"`, but to a design that exists already.

    Args:
        design: the features of n training rows.
        y: (n, T) responses, finite.
        test: (n_test, p) features to predict from.
        components: of PLS.

    Returns:
        (n_test, T).
    """
    mean = y.mean(axis=0)
    cross = design.rows.T @ torch.from_numpy(y - mean).to(design.rows.device)
    extracted = components_of(design.gram, cross, components, algorithm="svd")
    rotations = design.to_features(extracted.rotations).cpu().numpy()
    scores = (test - design.mean.cpu().numpy()) @ rotations
    return np.asarray(scores @ extracted.loadings.cpu().numpy().T + mean)


class PLSRegression(UnitRegressor):
    """Partial least squares of all units together, without scaling.

    Args:
        components: number of components; 25 in Brain-Score (docs/papers/lcl-v2.md 5.1).
        algorithm: `nipals` stops where scikit-learn stops, with its predictions; `svd` is exact.
        max_iter, tol: of `nipals`, as in scikit-learn.
        device: where to compute, such as `cpu` or `cuda`.

    Attributes:
        x_rotations_: (p, A) weights that turn centered features into scores.
        y_loadings_: (T, A) weights of the scores in each unit; NaN for a unit that was left out.
        x_mean_: (p,); intercept_: (T,) mean responses, the prediction at `x_mean_`.
        n_components_: A, less than `components` where features or responses were used up.
        n_iter_: power iterations of each component.
        left_out_: (k,) positions of units with NaN, infinities or no variance.

    After a fit to responses of shape (n,) `intercept_` is a number and `y_loadings_` (A,).

    Examples:
        >>> rng = np.random.default_rng(1)
        >>> X = rng.normal(size=(60, 200))
        >>> Y = X[:, :4] @ rng.normal(size=(4, 3)) + rng.normal(size=(60, 3))
        >>> model = PLSRegression(5).fit(X, Y)
        >>> model.x_rotations_.shape, model.predict(X).shape
        ((200, 5), (60, 3))
        >>> PLSRegression(61).fit(X, Y)
        Traceback (most recent call last):
        ...
        striate.core.errors.InputError: 61 components of 60 stimuli and 200 features: at most 60 \
are possible. Use fewer components.
    """

    def __init__(
        self,
        components: int = 25,
        *,
        algorithm: str = "nipals",
        max_iter: int = 500,
        tol: float = 1e-6,
        device: str = "cpu",
    ) -> None:
        self.components = components
        self.algorithm = algorithm
        self.max_iter = max_iter
        self.tol = tol
        self.device = device

    def fit(self, X: np.ndarray, y: np.ndarray, unit_ids: Sequence[str] | None = None) -> Self:
        """Fit all units together.

        Args:
            X: (n, p) features.
            y: (n, T) or (n,) responses. Units with NaN, infinities or no variance are named in
                one warning, get NaN, and change nothing for the others.
            unit_ids: names for that warning.

        Raises:
            InputError: shapes that do not fit, features that are not finite, more components than
                stimuli or features.

        Warns:
            UserWarning: units that cannot be used; fewer components than asked for; a component
                that did not converge.
        """
        X, Y, bad, flat = self._check_training_data(X, y, "PLS", unit_ids)
        self._check_settings(*X.shape)
        n_units, good = Y.shape[1], np.flatnonzero(~bad)
        design = Design(X, self.device)
        responses = torch.from_numpy(np.array(Y[:, good], dtype=np.float64)).to(self.device)
        mean = responses.mean(0)
        extracted = components_of(
            design.gram,
            design.rows.T @ (responses - mean),
            0 if _constant(design) else self.components,
            algorithm=self.algorithm,
            max_iter=self.max_iter,
            tol=self.tol,
        )
        self.n_components_, self.n_iter_ = len(extracted.iterations), extracted.iterations
        if good.size and self.n_components_ < self.components:
            warnings.warn(
                f"PLS: features or responses are used up after {self.n_components_} of "
                f"{self.components} components; the others are left out.",
                UserWarning,
                stacklevel=2,
            )
        self.x_mean_ = design.mean.cpu().numpy()
        self.x_rotations_ = design.to_features(extracted.rotations).cpu().numpy()
        self.y_loadings_ = np.full((n_units, self.n_components_), np.nan)
        self.y_loadings_[good] = extracted.loadings.cpu().numpy()
        self.intercept_ = np.full(n_units, np.nan)
        self.intercept_[good] = mean.cpu().numpy()
        if flat:
            self._drop_unit_axis(intercept_=0, y_loadings_=0)
        return self

    @property
    def coef_(self) -> np.ndarray:
        """Weights of the features, (p, T), or (p,); made anew at each call, as they are many."""
        check_is_fitted(self, "x_rotations_")
        return np.asarray(self.x_rotations_ @ self.y_loadings_.T)

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Predict responses, (n, T), or (n,) after a fit to responses of shape (n,)."""
        scores = self._check_features(X, "x_rotations_") @ self.x_rotations_
        offset = self.x_mean_ @ self.x_rotations_
        return np.asarray((scores - offset) @ self.y_loadings_.T + self.intercept_)

    def _check_settings(self, n: int, p: int) -> None:
        if self.algorithm not in ALGORITHMS:
            raise unknown_name("algorithm", self.algorithm, ALGORITHMS)
        if not isinstance(self.components, (int, np.integer)) or self.components < 1:
            raise InputError(f"components must be a number of 1 or more, found {self.components}.")
        if self.components > min(n, p):
            raise InputError(
                f"{self.components} components of {n} stimuli and {p} features: at most "
                f"{min(n, p)} are possible. Use fewer components."
            )
        if self.max_iter < 1 or not self.tol >= 0:
            raise InputError(
                f"max_iter must be 1 or more and tol 0 or more, found {self.max_iter}, {self.tol}."
            )
