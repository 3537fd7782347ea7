"""What the estimators over units have in common: checked arrays, and Pearson r as the score."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

from striate.core.errors import InputError
from striate.encoding.scores import pearson_r


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

    def _check(self, X: np.ndarray, Y: np.ndarray, what: str) -> tuple[np.ndarray, np.ndarray]:
        """Return features and responses as arrays that fit each other; `what` begins messages."""
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
        return X, Y

    def _features(self, X: np.ndarray, fitted: str) -> np.ndarray:
        """Return features to predict from, after a fit that has set the attribute `fitted`."""
        check_is_fitted(self, fitted)
        try:
            X = validate_data(self, X, reset=False, dtype=(np.float64, np.float32))
        except ValueError as error:
            raise InputError(f"features: {error}") from error
        return X
