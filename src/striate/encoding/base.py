"""What the estimators over units share: checked arrays, unusable units, Pearson r as the score."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

from striate.core.errors import InputError
from striate.encoding.scores import pearson_r
from striate.encoding.solver import BLOCK


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


class UnitRegressor(MultiOutputMixin, RegressorMixin, BaseEstimator):
    """Base of estimators that predict units (n, T) from features (n, p)."""

    def score(self, X: np.ndarray, y: np.ndarray) -> Any:
        """Return Pearson r of each unit, (T,); one number for responses of shape (n,)."""
        predicted = self.predict(X)
        observed = np.asarray(y, dtype=np.float64)
        if observed.shape != predicted.shape:
            raise InputError(
                f"responses have shape {observed.shape}, predictions {predicted.shape}."
            )
        if predicted.ndim == 1:
            return float(pearson_r(observed[:, None], predicted[:, None])[0])
        return pearson_r(observed, predicted)

    def _check_training_data(
        self, X: np.ndarray, Y: np.ndarray, what: str, unit_ids: Sequence[str] | None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, bool]:
        """Return X (n, p), Y (n, T), which units cannot be used (T,), and whether Y came as (n,).

        To be called by `fit`, whose caller is warned of those units. `what` begins messages.
        """
        if Y is None:
            name = type(self).__name__
            raise InputError(f"{name} requires y to be passed, but the target y is None.")
        try:
            X = validate_data(self, X, dtype=(np.float64, np.float32), ensure_min_samples=2)
            Y = check_array(Y, ensure_2d=False, ensure_all_finite=False, dtype="numeric")
        except ValueError as error:
            raise InputError(f"{what}: {error}") from error
        if Y.ndim not in (1, 2) or len(X) != len(Y):
            raise InputError(
                f"{what} needs features (n, p) and responses (n, T) of the same n; found "
                f"{X.shape} and {Y.shape}."
            )
        flat = Y.ndim == 1
        Y = Y[:, None] if flat else Y
        bad = unusable_units(Y)
        if bad.any():
            warn_unusable(bad, unit_ids, level=4)
        self.left_out_ = np.flatnonzero(bad)
        return X, Y, bad, flat

    def _drop_unit_axis(self, **axes: int) -> None:
        """Give attributes of a single unit without their axis of units, after responses (n,)."""
        for name, axis in axes.items():
            setattr(self, name, np.take(getattr(self, name), 0, axis=axis))

    def _check_features(self, X: np.ndarray, fitted: str) -> np.ndarray:
        """Return features to predict from, after a fit that has set the attribute `fitted`."""
        check_is_fitted(self, fitted)
        try:
            X = validate_data(self, X, reset=False, dtype=(np.float64, np.float32))
        except ValueError as error:
            raise InputError(f"features: {error}") from error
        return X
