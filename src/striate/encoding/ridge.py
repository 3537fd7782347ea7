"""Ridge with an alpha for each unit: the choice of alpha, and the estimator `RidgeCV`.

The arithmetic is in `striate.encoding.solver`.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from typing import Any, Self

import numpy as np

from striate.core.errors import InputError, unknown_name
from striate.encoding.base import UnitRegressor
from striate.encoding.folds import Fold, make_folds, mean_over_folds
from striate.encoding.solver import Design, fold_scores, solve

ALPHAS = tuple(float(10.0**k) for k in range(-1, 8))
"""The grid of Mulrooney & Brockmeier 2024; docs/papers/contrastive-tuning.md 3.1."""
EDGE_SHARE = 0.1
"""Share of units at one end of the alpha grid from which we warn (ours)."""


def choose_alpha(scores: np.ndarray, alphas: Sequence[float]) -> np.ndarray:
    """Choose each unit's alpha by its mean fold score.

    Args:
        scores: (n_alphas, T). A unit without any score gets the largest alpha.
        alphas: the penalties; of equal scores the first wins.

    Returns:
        (T,) penalties.
    """
    best = np.where(np.isnan(scores), -np.inf, scores).argmax(axis=0)
    unknown = np.isnan(scores).all(axis=0)
    return np.where(unknown, max(alphas), np.asarray(alphas, dtype=np.float64)[best])


def edge_text(alpha: np.ndarray, alphas: Sequence[float]) -> str:
    """Say whether more than a tenth of the units sit at an end of the alpha grid; else ``."""
    penalties = alpha[np.isfinite(alpha)]
    if not penalties.size or len(alphas) < 2:
        return ""
    said = []
    for name, value, way in (("smallest", min(alphas), "down"), ("largest", max(alphas), "up")):
        if float(np.mean(penalties == value)) > EDGE_SHARE:
            said.append(
                f"More than {EDGE_SHARE:.0%} of the units chose the {name} alpha, {value:g}: the "
                f"grid may be too narrow. Extend it {way}."
            )
    return " ".join(said)


class RidgeCV(UnitRegressor):
    """Ridge with an intercept and an alpha for each unit, chosen by cross-validation.

    Args:
        alphas: penalties to choose from, each > 0.
        folds: number of folds (shuffled by `seed`), a scikit-learn splitter, or pairs of
            (training, validation) positions.
        scoring: what the choice goes by: mean over folds of Pearson `r`, or of `r2`.
        seed: of the shuffled folds.
        dtype: `float64`, or `float32` for faster, coarser fold scores (see `fold_scores`).
        device: where to compute, such as `cpu` or `cuda`.

    Attributes:
        alpha_: (T,) chosen penalty; NaN for a unit that was left out.
        coef_: (p, T) weights; intercept_: (T,).
        cv_scores_: (n_alphas, T) mean fold score.
        left_out_: (k,) positions of units with NaN, infinities or no variance.

    After a fit to responses of shape (n,) the last axis of `alpha_`, `coef_` and `intercept_` is
    dropped.

    Examples:
        >>> rng = np.random.default_rng(1)
        >>> X = rng.normal(size=(60, 20)) * np.geomspace(10, 0.1, 20)
        >>> Y = X @ rng.normal(size=(20, 3)) + 9 * rng.normal(size=(60, 3))
        >>> model = RidgeCV(folds=3).fit(X, Y)
        >>> model.alpha_
        array([ 100., 1000.,  100.])
        >>> model.coef_.shape, model.predict(X).shape
        ((20, 3), (60, 3))
        >>> model.fit(X[:4], Y[:4])
        Traceback (most recent call last):
        ...
        striate.core.errors.InputError: 3 folds of 4 rows: at least 2 folds with 2 rows each \
are needed. Use fewer folds or more stimuli.
    """

    def __init__(
        self,
        alphas: Sequence[float] = ALPHAS,
        folds: int | Iterable[Fold] | Any = 5,
        *,
        scoring: str = "r",
        seed: int = 0,
        dtype: str = "float64",
        device: str = "cpu",
    ) -> None:
        self.alphas = alphas
        self.folds = folds
        self.scoring = scoring
        self.seed = seed
        self.dtype = dtype
        self.device = device

    def fit(self, X: np.ndarray, y: np.ndarray, unit_ids: Sequence[str] | None = None) -> Self:
        """Choose an alpha for each unit and fit all rows with it.

        Args:
            X: (n, p) features.
            y: (n, T) or (n,) responses. Units with NaN, infinities or no variance are named in
                one warning, get NaN, and change nothing for the others.
            unit_ids: names for that warning.

        Raises:
            InputError: shapes that do not fit, features that are not finite, bad alphas or folds.

        Warns:
            UserWarning: units that cannot be used; more than a tenth of the units at an end of
                the alpha grid.
        """
        if self.scoring not in ("r", "r2"):
            raise unknown_name("scoring", self.scoring, ("r", "r2"))
        alphas = check_alphas(self.alphas)
        X, Y, bad, flat = self._check_training_data(X, y, "ridge", unit_ids)
        folds, good = make_folds(len(X), self.folds, self.seed), np.flatnonzero(~bad)
        design = Design(X, self.device)
        scores = fold_scores(
            design, Y, folds, alphas, scoring=self.scoring, dtype=self.dtype, units=good
        )
        self.cv_scores_ = mean_over_folds(scores)
        self.alpha_ = np.where(bad, np.nan, choose_alpha(self.cv_scores_, alphas))
        if edge := edge_text(self.alpha_, alphas):
            warnings.warn(edge, UserWarning, stacklevel=2)
        self.coef_, self.intercept_ = solve(design, Y, self.alpha_, good)
        if flat:
            self._drop_unit_axis(alpha_=0, intercept_=0, coef_=1)
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Predict responses, (n, T), or (n,) after a fit to responses of shape (n,)."""
        return np.asarray(self._check_features(X, "coef_") @ self.coef_ + self.intercept_)


def check_alphas(alphas: Sequence[float]) -> tuple[float, ...]:
    """Return the penalties as floats, ascending; InputError unless all are finite and > 0."""
    values = tuple(sorted(float(a) for a in alphas))
    if not values or not all(np.isfinite(a) and a > 0 for a in values):
        raise InputError(f"alphas must be finite and > 0, found {tuple(alphas)}.")
    return values
