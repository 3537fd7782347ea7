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
    """Mean along an axis of what is there; NaN where nothing is.

    >>> mean_of(np.array([[1.0, np.nan, 3.0], [np.nan] * 3]))
    array([ 2., nan])
    """
    values = np.asarray(values, dtype=float)
    known = np.isfinite(values)
    count = known.sum(axis=axis)
    total = np.where(known, values, 0).sum(axis=axis)
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
    """Index of each family, (t - n) / (t + n) of the means over samples (Freeman et al. 2013).

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
        responses: (n_units, n), not negative; n is what of them is not NaN.

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
    good = (n > 1) & (square > 0)
    ratio = np.divide(mean**2, square, out=np.full(len(n), np.nan), where=good)
    scale = np.divide(1, n, out=np.zeros(len(n)), where=n > 0)
    return np.divide(1 - ratio, 1 - scale, out=np.full(len(n), np.nan), where=good)


def stabilized(counts: np.ndarray) -> np.ndarray:
    """sqrt(c) + sqrt(c + 1) of spike counts, whose variance hardly depends on their mean.

    (Freeman & Tukey 1950, as in Ziemba et al. 2016.)
    """
    counts = np.asarray(counts, dtype=float)
    return np.asarray(np.sqrt(counts) + np.sqrt(counts + 1))


def variance_ratio(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How much more responses vary between texture families than between samples of one.

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
    nothing = np.full(units, np.nan)
    if families < 2 or samples < 2:
        return nothing, nothing.copy(), nothing.copy()
    values = stabilized(counts)
    means = values.mean(axis=2)
    within = ((values - means[..., None]) ** 2).sum(axis=(1, 2)) / (families * (samples - 1))
    between = means.var(axis=1, ddof=1) * samples
    of_families = (between - within) / samples
    total = within + of_families
    good = np.isfinite(total) & (total > 1e-12)
    shares = [
        np.divide(part, total, out=nothing.copy(), where=good) for part in (within, of_families)
    ]
    low = shares[0] + SHRINK
    ratio = np.divide(shares[1] + SHRINK, low, out=nothing.copy(), where=good & (low > 0))
    return ratio, shares[0], shares[1]
