"""The share of explainable variance that a model explains, pooled over units.

A mean of r / ceiling over units is biased where units are weak: ceilings are noisy there, cannot be
below zero, and stand in a denominator. Here numerator and denominator are averaged over units, each
without bias, before a ratio is taken: the mean squared population correlation of predictions with
averaged responses over the mean reliability of these averages. A perfect model has 1, one that
follows nothing has 0, also for weak units and few stimuli. It is a share of variance: its scale is
that of r^2, not of r. No unit is left out for being weak: that choice would be made on the same
data.

Sums of squares over sums of variances, with the noise taken out of both, are those of Pospisil &
Bair (2021, PLoS Computational Biology 17(8), e1009212) for one unit; the pooling is ours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from striate.encoding.inference import Interval

SMALLEST_RELIABILITY = 0.01
"""Below this mean reliability (ours) there is nothing to explain, and no share of it is given."""
CLEAR = 3.0
"""Standard errors beyond which a unit's r counts as of the other sign (ours)."""
TERMS = 30


@dataclass(frozen=True)
class Explained:
    """What is explained and what could be, means over units.

    Attributes:
        explained: mean squared correlation; it can be below zero.
        explainable: mean reliability.
        units: how many units they are over.
    """

    explained: float
    explainable: float
    units: int

    @property
    def share(self) -> float:
        """Explained over explainable; NaN where hardly anything is explainable."""
        return pooled_share(np.array([self.explained]), np.array([self.explainable])).value


def squared_correlation(r: np.ndarray, freedom: float) -> np.ndarray:
    """Estimate the squared population correlation without bias from sample correlations.

    Olkin & Pratt (1958, Annals of Mathematical Statistics 29, p. 201), for one predictor:
    1 - (n - 3) / (n - 2) (1 - r^2) F(1, 1; n / 2; 1 - r^2) with the hypergeometric function F, by
    its series. r^2 itself is 1 / (n - 1) on average where there is no correlation.

    Args:
        r: correlations of any shape.
        freedom: n - 1, or stimuli less rounds where r is of values less their means within rounds.

    >>> squared_correlation(np.array([0.0, 0.5, 1.0]), 19).round(4)
    array([-0.0625,  0.2295,  1.    ])
    """
    n, rest = freedom + 1, 1 - np.asarray(r, dtype=np.float64) ** 2
    if n < 4:
        return np.full(rest.shape, np.nan)
    term, series = np.ones_like(rest), np.ones_like(rest)
    for k in range(1, TERMS):
        term = term * rest * k / (n / 2 + k - 1)
        series = series + term
    return np.asarray(1 - (n - 3) / (n - 2) * rest * series)


def explained_variance(r: np.ndarray, reliability: np.ndarray, freedom: float) -> Explained:
    """Mean over units of what is explained, and of what could be.

    A square does not know its sign. Here it is that of the mean r over units; a unit whose r lies
    on the other side of zero by more than `CLEAR` standard errors is subtracted (ours). So the
    opposite predictions have the opposite value, and chance is 0 on average. An r of exactly 0, by
    which constant predictions are scored, is nothing explained.

    Args:
        r: (n_units,) correlations with averaged responses.
        reliability: (n_units,) not clipped (`data.responses.noise_ceilings.Ceilings`).
        freedom: of r (`squared_correlation`).

    Returns:
        Means over the units where both are defined; NaN without any.
    """
    r, reliability = np.asarray(r, dtype=np.float64), np.asarray(reliability, dtype=np.float64)
    square = squared_correlation(r, freedom)
    defined = np.isfinite(square) & np.isfinite(reliability)
    if not defined.any():
        return Explained(float("nan"), float("nan"), 0)
    r, square = r[defined], np.where(r[defined] == 0, 0.0, square[defined])
    direction = np.sign(r.mean())
    opposite = direction * r * np.sqrt(freedom) < -CLEAR
    explained = direction * np.where(opposite, -square, square)
    return Explained(
        float(explained.mean()), float(reliability[defined].mean()), int(defined.sum())
    )


def pooled_share(explained: np.ndarray, explainable: np.ndarray) -> Interval:
    """Sum of what is explained over the sum of what could be, with 95 % over subjects.

    Student's t with the linearised error of a ratio, residuals being explained - share
    explainable (Cochran 1977, Sampling Techniques, section 6.4).

    Args:
        explained, explainable: (n_subjects,); NaN, a subject without a ceiling, is left out.

    Returns:
        NaN where the mean of `explainable` is below `SMALLEST_RELIABILITY`; no interval for one
        subject.

    >>> pooled_share(np.array([0.2, 0.3]), np.array([0.5, 0.5])).value
    0.5
    """
    nan = float("nan")
    a, b = np.asarray(explained, dtype=np.float64), np.asarray(explainable, dtype=np.float64)
    defined = np.isfinite(a) & np.isfinite(b)
    a, b, n = a[defined], b[defined], int(defined.sum())
    if not n or b.mean() < SMALLEST_RELIABILITY:
        return Interval(nan, nan, nan)
    share = float(a.sum() / b.sum())
    if n == 1:
        return Interval(share, nan, nan)
    error = np.sqrt(n / (n - 1) * np.square(a - share * b).sum()) / b.sum()
    reach = float(stats.t.ppf(0.975, n - 1) * error)
    return Interval(share, share - reach, share + reach)
