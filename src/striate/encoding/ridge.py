"""Ridge with an alpha for each unit: the choice of alpha, and the estimator `RidgeCV`.

The arithmetic is in `striate.encoding.solver`.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from typing import Any, Self

import numpy as np
from sklearn.model_selection import GroupKFold, KFold

from striate.core.errors import InputError, unknown_name
from striate.data.splits.bundles import group_numbers
from striate.encoding.estimator import UnitRegressor
from striate.encoding.solver import BLOCK, Design, Fold, fold_scores, solve

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


def mean_over_folds(scores: np.ndarray) -> np.ndarray:
    """Average (n_folds, ...) over the folds in which the score is defined; NaN if none."""
    known = np.isfinite(scores)
    total = np.where(known, scores, 0.0).sum(axis=0)
    count = known.sum(axis=0)
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)


def make_folds(
    n: int, folds: Any, seed: int = 0, groups: Sequence[str] | None = None
) -> list[Fold]:
    """Return (training, validation) positions for n rows.

    Args:
        n: number of rows.
        folds: number of folds (rows are shuffled by `seed`), a scikit-learn splitter, or pairs of
            positions.
        seed: of the shuffling.
        groups: one label a row (`StimulusSet.groups`), `` for a row that stands alone: a group,
            such as the frames of a movie, is validated whole. None: every row stands alone.

    Raises:
        InputError: fewer than two rows a fold, positions outside 0..n-1, a fold whose training
            and validation rows overlap or share a group, fewer groups than folds.
    """
    members = group_numbers(groups, n)
    together = int(members.max(initial=-1)) + 1 < n
    if isinstance(folds, (int, np.integer)) and together:
        if not 2 <= folds <= members.max() + 1:
            raise InputError(
                f"{folds} folds of {members.max() + 1} groups of stimuli: at least 2 folds with a "
                "group each are needed. Use fewer folds or more stimuli."
            )
        folds = list(
            GroupKFold(int(folds), shuffle=True, random_state=seed).split(members, groups=members)
        )
    if isinstance(folds, (int, np.integer)):
        if not 2 <= folds <= n // 2:
            raise InputError(
                f"{folds} folds of {n} rows: at least 2 folds with 2 rows each are needed. "
                "Use fewer folds or more stimuli."
            )
        return list(KFold(int(folds), shuffle=True, random_state=seed).split(np.empty((n, 1))))
    if hasattr(folds, "split"):
        pairs = folds.split(np.empty((n, 1)), groups=members if together else None)
    else:
        pairs = folds
    out = [(np.asarray(a, dtype=np.int64), np.asarray(b, dtype=np.int64)) for a, b in pairs]
    if not out:
        raise InputError("folds is empty: give a number, a splitter, or pairs of positions.")
    for i, (train, validation) in enumerate(out):
        both = np.concatenate([train, validation])
        if len(train) < 2 or len(validation) < 2:
            raise InputError(
                f"fold {i} has {len(train)} training and {len(validation)} validation rows; "
                "each needs 2 or more."
            )
        if both.min() < 0 or both.max() >= n:
            raise InputError(f"fold {i} has positions outside 0..{n - 1}.")
        if len(np.unique(both)) < len(both):
            raise InputError(f"fold {i}: a row is twice among its training and validation rows.")
        if together and np.intersect1d(members[train], members[validation]).size:
            raise InputError(f"fold {i} divides a group between training and validation rows.")
    return out


def folds_within(n: int, inside: np.ndarray, folds: Sequence[Fold]) -> list[Fold]:
    """Folds of some of n rows, with the other rows always among those that are fitted.

    Args:
        n: number of rows.
        inside: positions of those that are held out in turn.
        folds: theirs, positions within `inside`.
    """
    out = []
    for _, held in folds:
        held = np.sort(inside[held])
        out.append((np.setdiff1d(np.arange(n), held), held))
    return out


def unusable_units(Y: np.ndarray) -> np.ndarray:
    """Units that cannot be fitted: NaN, infinities or no variance. Boolean, shape (T,)."""
    bad = np.zeros(Y.shape[1], dtype=bool)
    for start in range(0, Y.shape[1], BLOCK):
        block = np.asarray(Y[:, start : start + BLOCK])
        low, high = block.min(axis=0), block.max(axis=0)  # NaN goes through both
        bad[start : start + BLOCK] = ~np.isfinite(low) | ~np.isfinite(high) | (low == high)
    return bad


def warn_unusable(bad: np.ndarray, unit_ids: Sequence[str] | None = None, level: int = 3) -> str:
    """Name the units that are left out, in one warning; return its text."""
    names = [str(unit_ids[i] if unit_ids is not None else i) for i in np.flatnonzero(bad)[:5]]
    more = ", …" if bad.sum() > 5 else ""
    text = (
        f"{bad.sum()} of {len(bad)} units have NaN, infinite or constant responses and get NaN: "
        f"{', '.join(names)}{more}."
    )
    warnings.warn(text, UserWarning, stacklevel=level)
    return text


def edge_text(alpha: np.ndarray, alphas: Sequence[float]) -> str:
    """Say whether more than a tenth of the units sit at an end of the alpha grid; else ``."""
    known = alpha[np.isfinite(alpha)]
    if not known.size or len(alphas) < 2:
        return ""
    said = []
    for name, value, way in (("smallest", min(alphas), "down"), ("largest", max(alphas), "up")):
        if float(np.mean(known == value)) > EDGE_SHARE:
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
        X, Y = self._check(X, y, "ridge")
        flat = Y.ndim == 1
        Y = Y[:, None] if flat else Y
        alphas = check_alphas(self.alphas)
        folds = make_folds(len(X), self.folds, self.seed)
        bad = unusable_units(Y)
        if bad.any():
            warn_unusable(bad, unit_ids)
        good = np.flatnonzero(~bad)
        design = Design(X, self.device)
        scores = fold_scores(
            design, Y, folds, alphas, scoring=self.scoring, dtype=self.dtype, units=good
        )
        self.cv_scores_ = mean_over_folds(scores)
        self.alpha_ = np.where(bad, np.nan, choose_alpha(self.cv_scores_, alphas))
        if edge := edge_text(self.alpha_, alphas):
            warnings.warn(edge, UserWarning, stacklevel=2)
        self.coef_, self.intercept_ = solve(design, Y, self.alpha_, good)
        self.left_out_ = np.flatnonzero(bad)
        if flat:
            self.alpha_, self.intercept_ = self.alpha_[0], self.intercept_[0]
            self.coef_ = self.coef_[:, 0]
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Predict responses, (n, T), or (n,) after a fit to responses of shape (n,)."""
        return np.asarray(self._features(X, "coef_") @ self.coef_ + self.intercept_)


def check_alphas(alphas: Sequence[float]) -> tuple[float, ...]:
    """Return the penalties as floats, ascending; InputError unless all are finite and > 0."""
    values = tuple(sorted(float(a) for a in alphas))
    if not values or not all(np.isfinite(a) and a > 0 for a in values):
        raise InputError(f"alphas must be finite and > 0, found {tuple(alphas)}.")
    return values
