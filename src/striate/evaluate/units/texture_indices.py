"""Properties of units from their responses to textures and noise; docs/papers/lcl-v2.md 5.2.

The definitions are those of Freeman et al. 2013 and Ziemba et al. 2016 as Marques, Schrimpf &
DiCarlo 2021 compute them. Responses are arrays (n_units, n_families, n_samples) and must not be
negative where a ratio of sums is taken; NaN stands for what was not measured, and a property is NaN
where it is not defined.
"""

from __future__ import annotations

import numpy as np

from striate.core.errors import InputError

SHRINK = 0.02
"""Added to both shares of variance before their ratio is taken (Ziemba et al. 2016)."""


def mean_of(values: np.ndarray, axis: int = -1) -> np.ndarray:
    """Average the finite values along an axis; NaN where there is none.

    >>> mean_of(np.array([[1.0, np.nan, 3.0], [np.nan] * 3]))
    array([ 2., nan])
    """
    values = np.asarray(values, dtype=float)
    finite = np.isfinite(values)
    count = finite.sum(axis=axis)
    total = np.where(finite, values, 0).sum(axis=axis)
    return np.divide(total, count, out=np.full(np.shape(total), np.nan), where=count > 0)


def modulation_index(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(a - b) / (a + b), from -1 to 1; NaN where both are 0 or one is NaN (Freeman et al. 2013).

    Raises:
        InputError: a negative response, which would bring the index out of its range.

    >>> modulation_index(np.array([3.0, 1.0, 0.0]), np.array([1.0, 3.0, 0.0]))
    array([ 0.5, -0.5,  nan])
    """
    a, b = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    for values in (a, b):
        if np.any(values < 0):
            raise InputError(
                f"a modulation index of a negative response ({np.nanmin(values):.3g}) has no "
                "meaning. Set negative responses to 0 first, or read units after their "
                "rectification."
            )
    total = a + b
    out = np.full(np.shape(total), np.nan)
    return np.divide(a - b, total, out=out, where=np.isfinite(total) & (total > 0))


def texture_modulation_index(texture: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Compute (t - n) / (t + n) of the means over samples, by family (Freeman et al. 2013).

    A unit's texture modulation index is the mean over the families where it is defined.

    Args:
        texture, noise: (n_units, n_families, n_samples), not negative.

    Returns:
        (n_units, n_families), from -1 to 1.
    """
    return modulation_index(mean_of(texture), mean_of(noise))


def sparseness(responses: np.ndarray) -> np.ndarray:
    """(1 - mean^2 / mean square) / (1 - 1 / n): 0 for equal responses, 1 for one alone.

    Over the means of families this is called selectivity, over all samples sparseness (Vinje &
    Gallant 2000; docs/papers/lcl-v2.md 5.2).

    Args:
        responses: (n_units, n), not negative; NaN does not count to n.

    Returns:
        (n_units,), NaN for fewer than two responses or none above 0.

    >>> sparseness(np.array([[1.0, 1.0, 1.0, 1.0], [0.0, 0.0, 0.0, 2.0]]))
    array([0., 1.])
    """
    responses = np.asarray(responses, dtype=float)
    if np.any(responses < 0):
        raise InputError("sparseness is defined for responses that are not negative.")
    n = np.isfinite(responses).sum(axis=1)
    mean, square = mean_of(responses), mean_of(responses**2)
    defined = (n > 1) & (square > 0)
    ratio = np.divide(mean**2, square, out=np.full(len(n), np.nan), where=defined)
    scale = np.divide(1, n, out=np.zeros(len(n)), where=n > 0)
    return np.divide(1 - ratio, 1 - scale, out=np.full(len(n), np.nan), where=defined)


def stabilized(counts: np.ndarray) -> np.ndarray:
    """sqrt(c) + sqrt(c + 1) of spike counts, whose variance hardly depends on their mean.

    (Freeman & Tukey 1950, as in Ziemba et al. 2016.)
    """
    counts = np.asarray(counts, dtype=float)
    return np.asarray(np.sqrt(counts) + np.sqrt(counts + 1))


def variance_ratio(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compute how much more responses vary between texture families than between their samples.

    A nested analysis of variance of `stabilized` responses (Ziemba et al. 2016): with the mean
    squares within families s and between them f, the variances are s and (f - s) / n_samples, and
    the ratio is (share of families + 0.02) / (share of samples + 0.02). The estimate of the
    families' variance may be below 0; it is kept as it is, as Marques et al. do.

    Args:
        counts: (n_units, n_families, n_samples) spike counts, without NaN.

    Returns:
        The ratio, the share of samples and that of families, each (n_units,); NaN for a unit
        whose responses do not vary, with fewer than two families or samples, or with a NaN.

    Raises:
        InputError: negative counts.
    """
    counts = np.asarray(counts, dtype=float)
    if np.any(counts < 0):
        raise InputError("spike counts must not be negative.")
    units, families, samples = counts.shape
    undefined = np.full(units, np.nan)
    if families < 2 or samples < 2:
        return undefined, undefined.copy(), undefined.copy()
    values = stabilized(counts)
    means = values.mean(axis=2)
    within = ((values - means[..., None]) ** 2).sum(axis=(1, 2)) / (families * (samples - 1))
    between = means.var(axis=1, ddof=1) * samples
    family_variance = (between - within) / samples
    total = within + family_variance
    defined = np.isfinite(total) & (total > 1e-12)
    sample_share, family_share = (
        np.divide(variance, total, out=undefined.copy(), where=defined)
        for variance in (within, family_variance)
    )
    low = sample_share + SHRINK
    ratio = np.divide(family_share + SHRINK, low, out=undefined.copy(), where=defined & (low > 0))
    return ratio, sample_share, family_share
