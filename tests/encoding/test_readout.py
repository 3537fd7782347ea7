"""The one readout: chance is chance, PLS is the estimator's, encode and predict are the same."""

from __future__ import annotations

import numpy as np
import pytest

from striate.core.errors import InputError
from striate.encoding import (
    PLSRegression,
    ReadoutConfig,
    Round,
    grouped_rounds,
    mean_r,
    null_means,
    predict,
)


def test_features_of_nothing_score_nothing():
    """Readouts of noise: no artifact of fold means, by ridge or by PLS."""
    rng = np.random.default_rng(1)
    movies = [f"m{i // 10}" for i in range(120)]
    level = rng.normal(size=(12, 40)).repeat(10, axis=0)  # movies differ, as fold means then do
    y = level + 0.3 * rng.normal(size=(120, 40))
    rounds = grouped_rounds(movies, 6, 4)
    features = {"a": rng.normal(size=(120, 15))}
    predicted = predict(features, y, rounds, {"x": ["a"]}, ReadoutConfig(components=3))
    for kind in ("ridge", "pls"):
        assert abs(mean_r(predicted.score("x", kind)[0])) < 0.06
    raw = [np.corrcoef(y[:, i], predicted.predictions["x", "ridge"][:, i])[0, 1] for i in range(40)]
    assert np.nanmean(raw) < -0.1  # what the centering is for
    null = null_means(predicted, "x", "ridge", groups=movies, features=features, rounds=rounds)
    assert np.abs(null.mean()) < 0.03


def test_pls_is_that_of_the_estimator():
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(60, 90)), rng.normal(size=(60, 4))
    first_round = grouped_rounds([""] * 60, 3, 2)[0]
    predicted = predict({"a": x}, y, [first_round], {"x": ["a"]}, ReadoutConfig(components=5))
    fitted = PLSRegression(5, algorithm="svd").fit(x[first_round.train], y[first_round.train])
    np.testing.assert_allclose(
        predicted.predictions["x", "pls"], fitted.predict(x[first_round.test]), atol=1e-5
    )


def test_bad_input():
    rng = np.random.default_rng(0)
    rounds = grouped_rounds([""] * 40, 4, 2)
    y, x = rng.normal(size=(40, 3)), rng.normal(size=(40, 5))
    with pytest.raises(InputError, match="25 PLS components of 25 training"):
        predict({"a": x}, y, [Round(np.arange(25), np.arange(25, 30), ())], {"x": ["a"]})
    with pytest.raises(InputError, match="unknown tap 'b'"):
        predict({"a": x}, y, rounds, {"x": ["b"]})
    with pytest.raises(InputError, match="no taps to choose from"):
        predict({"a": x}, y, rounds, {"x": []})
    with pytest.raises(InputError, match="not finite"):
        predict({"a": np.full((40, 5), np.nan)}, y, rounds, {"x": ["a"]})
