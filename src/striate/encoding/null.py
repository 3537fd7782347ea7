"""The null of shuffled stimuli for predictions of one round or of several, and how it is told.

With one round the stimuli that are tested have nothing to do with those that were fitted, and
predictions may simply change places. Several rounds share what they are fitted on: each stimulus
is tested once and fitted in all other rounds, and where single frames are divided
(`divide: stimuli`), a model of nothing can know a movie by its other frames. There the responses
change places, whole groups of them, and every round is fitted anew to what then stands where.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from striate.core.errors import InputError
from striate.encoding.config import EncodeConfig, ReadoutConfig
from striate.encoding.groups import (
    FEWEST_ARRANGEMENTS,
    centered,
    count_arrangements,
    count_groups,
    shuffled_orders,
)
from striate.encoding.inference import permutation_p, shuffled_means
from striate.encoding.pls import components_of
from striate.encoding.readout import Predicted, scaled_design, take
from striate.encoding.rounds import Round
from striate.encoding.scores import mean_r, score_r

BLOCK_VALUES = 2**23
"""Responses of several shuffles that are fitted at once (64 MB)."""


def null_means(
    predicted: Predicted,
    readout: str,
    kind: str,
    config: ReadoutConfig | EncodeConfig | None = None,
    groups: Sequence[str] | None = None,
    *,
    features: Mapping[str, np.ndarray] | None = None,
    rounds: Sequence[Round] = (),
) -> np.ndarray:
    """Mean r over units with the stimuli shuffled, groups whole.

    One round is `inference.shuffled_means`. Of several each is fitted anew for every shuffle, with
    the taps and penalties that were chosen for the responses as they are. To choose anew would
    cost fifty times as much and change little: over nine simulated designs models of nothing were
    rejected in 5.0 % so and in 4.7 % with penalties chosen anew (standard error 0.6).

    Args:
        predicted: what is scored.
        readout, kind: which of its predictions.
        config: number and seed of the permutations, and components of PLS.
        groups: one label a tested stimulus (`predicted.rows`), `` for one that stands alone.
        features, rounds: what `predict` was given; needed for several rounds.

    Returns:
        (at most `permutations`,): fewer where there are no more arrangements of the groups
        (`groups.count_arrangements`).

    Raises:
        InputError: several rounds without features.
    """
    config = config or ReadoutConfig()
    observed, values = predicted.observed_by(readout), predicted.predictions[readout, kind]
    if len(np.unique(predicted.round)) < 2:
        return shuffled_means(observed, values, config.permutations, config.seed, groups)
    if features is None or not rounds:
        raise InputError(
            "a null over several rounds needs their fits: give null_means the features and rounds "
            "that predict was given."
        )
    n = len(predicted.rows)
    orders = shuffled_orders(n, config.permutations, config.seed, groups)
    units = np.flatnonzero(np.isfinite(values).all(axis=0))
    if not units.size:
        return np.full(len(orders), np.nan)
    components = config.components if isinstance(config, ReadoutConfig) and kind == "pls" else 0
    fits = [
        _RoundFit(predicted, features, fitted, i, readout, units, components)
        for i, fitted in enumerate(rounds)
    ]
    null = []
    for block in _split_shuffles(orders, n * len(units)):
        y = observed[:, units][block.T].reshape(n, -1)  # (n, shuffles x units)
        guess = np.empty_like(y)
        for fit in fits:
            guess[fit.test] = fit.predict(y[fit.train], len(block))
        r = score_r(centered(y, predicted.round), centered(guess, predicted.round))
        null += [mean_r(shuffle) for shuffle in r.reshape(len(block), -1)]
    return np.array(null)


class _RoundFit:
    """One round, factorized, ready to be fitted to any responses.

    Attributes:
        train, test: positions among the tested stimuli (`Predicted.rows`); what is fitted and
            never tested in any round does not exist where there are several.
        components: of PLS; 0: ridge.
    """

    def __init__(
        self,
        predicted: Predicted,
        features: Mapping[str, np.ndarray],
        fitted: Round,
        number: int,
        readout: str,
        units: np.ndarray,
        components: int,
    ) -> None:
        values = features[predicted.taps[readout][number]]
        self.design, factor = scaled_design(values, fitted.train)
        test = torch.from_numpy(take(values, fitted.test) * factor) - self.design.mean
        basis = torch.eye(self.design.rows.shape[1], dtype=torch.float64)
        self.shown = test @ self.design.to_features(basis)  # test stimuli in the basis of the rows
        self.train = np.searchsorted(predicted.rows, fitted.train)
        self.test = np.searchsorted(predicted.rows, fitted.test)
        self.components = components
        if not components:
            eigenvalues, self.vectors = self.design.spectrum
            penalties = torch.from_numpy(predicted.penalties[readout][number, units])
            self.shrink = 1 / (eigenvalues[:, None] + penalties)

    def predict(self, y: np.ndarray, shuffles: int) -> np.ndarray:
        """Fit responses (n_train, shuffles x units) and predict, up to a number a column."""
        products = self.design.rows.T @ torch.from_numpy(y - y.mean(axis=0))
        if self.components:
            parts = [self._predict_pls(part) for part in products.chunk(shuffles, dim=1)]
            return torch.cat(parts, dim=1).numpy()
        shrunk = (self.vectors.T @ products) * self.shrink.repeat(1, shuffles)
        return np.asarray((self.shown @ self.vectors) @ shrunk)

    def _predict_pls(self, products: Tensor) -> Tensor:
        extracted = components_of(self.design.gram, products, self.components, algorithm="svd")
        return self.shown @ extracted.rotations @ extracted.loadings.T


def _split_shuffles(orders: np.ndarray, size: int) -> Iterator[np.ndarray]:
    """Some shuffles at a time, so that memory is bounded."""
    step = max(1, BLOCK_VALUES // size)
    for start in range(0, len(orders), step):
        yield orders[start : start + step]


def null_row(
    r: float, null: np.ndarray, n_stimuli: int, groups: Sequence[str] | None = None
) -> dict[str, float]:
    """What a table says of a null: a score beside what shuffled stimuli give.

    Args:
        r: the score, a mean over units.
        null: what it is with the stimuli shuffled (`null_means`).
        n_stimuli: how many were shuffled.
        groups: one label each, `` for one that stands alone.

    Returns:
        `r`; `null_mean` and `null_95` (95th percentile), NaN where nothing can be shuffled; `p` of
        the score, NaN as well with fewer than `FEWEST_ARRANGEMENTS` ways to arrange the groups, of
        which none reaches 0.05; `permutations`; `n_groups`; `arrangements`, at most 10^15.
    """
    means = null[np.isfinite(null)]
    arrangements = count_arrangements(n_stimuli, groups)
    nan = float("nan")
    return {
        "r": r,
        "null_mean": float(means.mean()) if means.size else nan,
        "null_95": float(np.percentile(means, 95)) if means.size else nan,
        "p": permutation_p(r, means) if arrangements >= FEWEST_ARRANGEMENTS else nan,
        "permutations": len(means),
        "n_groups": count_groups(groups, n_stimuli),
        "arrangements": float(min(arrangements, 10**15)),
    }


def describe_unresolved(null: pd.DataFrame) -> list[str]:
    """Say, in at most one sentence, where groups are too few to be shuffled into a null.

    Args:
        null: rows of `null_row` with their `subject`; `n_groups` may be left out.
    """
    few = null[null["arrangements"] < FEWEST_ARRANGEMENTS]
    if few.empty:
        return []
    names = ", ".join(sorted(set(few["subject"].astype(str))))
    tested = f"{int(few['n_groups'].min())} test groups" if "n_groups" in few else "the test groups"
    return [
        f"No null of shuffled stimuli for {names}: {tested} can be arranged in "
        f"{int(few['arrangements'].min())} ways only, so no p of 0.05 exists "
        f"({FEWEST_ARRANGEMENTS} are needed, as 4 groups of several stimuli give)."
    ]
