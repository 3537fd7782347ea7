"""Representational similarity analysis: whose RDM is most like the brain's, and how surely."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import numpy as np

from striate.core.errors import InputError
from striate.data.splits.bundles import group_numbers
from striate.encoding.inference import Interval, fdr
from striate.encoding.rdm_similarity import (
    checked_pairs,
    compare_pairs,
    noise_ceiling_pairs,
    pair_weights,
    prepared,
)
from striate.encoding.resampling import Resampling, make_resampling

BLOCK_BYTES = 2**26
"""Memory for resamples handled at once."""


@dataclass(frozen=True)
class Difference:
    """First model less second, on the same resamples.

    Attributes:
        interval: the difference with its 95 % interval.
        p: two-sided, of no difference; p_fdr: adjusted over all pairs of models.
    """

    interval: Interval
    p: float
    p_fdr: float


class ModelPair(NamedTuple):
    """The names of two models, in the order in which they were given."""

    first: str
    second: str


@dataclass(frozen=True)
class RsaResult:
    """Similarities of models to data.

    Attributes:
        method: how RDMs were compared.
        scores: mean similarity over subjects with its interval over stimuli, by model.
        by_subject: (n_subjects,) similarity, by model.
        differences: by pair of models, in the order in which they were given.
        ceiling: lower and upper bound of the noise ceiling; NaN for a single subject.
        samples: (n_samples,) scores in each resample, by model; resamples are shared.
        n_pairs: pairs of stimuli that were compared.
    """

    method: str
    scores: dict[str, Interval]
    by_subject: dict[str, np.ndarray]
    differences: dict[ModelPair, Difference]
    ceiling: tuple[float, float]
    samples: dict[str, np.ndarray]
    n_pairs: int


def rsa(
    models: Mapping[str, np.ndarray],
    data: np.ndarray,
    *,
    method: str = "rho_a",
    groups: Sequence[str] | None = None,
    samples: int = 1000,
    seed: int = 0,
) -> RsaResult:
    """Compare the RDMs of models with those of subjects.

    Stimuli are resampled, the same for all models and subjects, and pairs of a stimulus with
    itself excluded (Nili et al. 2014). Intervals say how scores would vary with other stimuli of
    the same kind and these subjects; a bootstrap over stimuli tends to be too wide rather than too
    narrow (Schütt et al. 2023). Where stimuli come in groups, or are few, one group at a time is
    left out instead (`striate.encoding.make_resampling`).

    Args:
        models: (n, n) RDM by model, with sign and scale of distances: what is no RDM is refused.
        data: (n, n), or (n_subjects, n, n); a session counts as a subject where units differ.
            Pairs of stimuli that are NaN in any RDM, of model or subject, are left out of all.
        method: `rho_a`, `spearman` or `cosine` (`striate.encoding.rdm_similarity`).
        groups: one label a stimulus (`StimulusSet.groups`), `` for a stimulus that stands alone.
            A group, such as the frames of a movie, is resampled whole, as its stimuli do not vary
            independently.
        samples: number of resamples.
        seed: of the draws.

    Returns:
        Scores, differences of every two models, and the noise ceiling.

    Raises:
        InputError: no model, RDMs of other stimuli or what is no RDM (named by model), no pair
            defined in all, fewer than two groups, unknown method.
    """
    subjects = np.atleast_2d(checked_pairs(data, "RDM of the data"))
    if not models or not len(subjects):
        raise InputError(
            f"RSA needs a model and RDMs (n, n) or (n_subjects, n, n), found {len(models)} models "
            f"and shape {np.shape(data)}."
        )
    pairs = {name: checked_pairs(rdm, f"RDM of model {name}") for name, rdm in models.items()}
    shape = np.shape(data)[-2:]
    for name, rdm in models.items():
        if np.shape(rdm) != shape:
            raise InputError(
                f"model {name}: RDM of shape {np.shape(rdm)}, the data's are {shape}. Compute it "
                "from the same stimuli, in the same order."
            )
    stack = np.stack(list(pairs.values()))
    defined = ~(np.isnan(stack).any(axis=0) | np.isnan(subjects).any(axis=0))
    if defined.sum() < 3:
        raise InputError(
            f"RSA: {defined.sum()} pairs of stimuli are defined in every RDM; 3 or more are "
            "needed. Look for constant patterns (NaN) in one of the RDMs."
        )
    stack, subjects = stack[:, defined], subjects[:, defined]
    similarities = compare_pairs(stack, subjects, method)
    group_of = group_numbers(groups, shape[-1])
    if group_of.max() < 1:
        raise InputError(
            "RSA: all stimuli are of one group, so none can be left out for an interval. Divide "
            "them into two groups or more."
        )
    resampling = make_resampling(shape[-1], groups, samples, seed)
    n_rdms = len(stack) + len(subjects)
    drawn = np.concatenate(
        [
            _score_resamples(stack, subjects, method, weights)
            for weights in _yield_weights(resampling.counts, group_of, defined, n_rdms)
        ],
        axis=1,
    )
    means = dict(zip(models, similarities.mean(axis=1), strict=True))
    resampled = dict(zip(models, drawn, strict=True))
    return RsaResult(
        method,
        {name: resampling.interval(float(means[name]), resampled[name]) for name in models},
        dict(zip(models, similarities, strict=True)),
        _compare_models(means, resampled, resampling),
        noise_ceiling_pairs(subjects, method),
        resampled,
        int(defined.sum()),
    )


def _yield_weights(
    counts: np.ndarray, group_of: np.ndarray, defined: np.ndarray, n_rdms: int
) -> Iterator[np.ndarray]:
    """Yield weights of the pairs that are defined, a block of resamples at a time."""
    rows = max(1, BLOCK_BYTES // (8 * int(defined.sum()) * (n_rdms + 4)))
    for start in range(0, len(counts), rows):
        yield pair_weights(counts[start : start + rows], group_of)[:, defined]


def _score_resamples(
    models: np.ndarray, subjects: np.ndarray, method: str, weights: np.ndarray
) -> np.ndarray:
    """Average similarity over subjects in each resample, (n_models, n_samples).

    The mean over subjects of inner products is one inner product with the subjects' mean.
    """
    mean = np.zeros(weights.shape)
    for values in subjects:
        mean += prepared(values, method, weights) / len(subjects)
    return np.array([(prepared(values, method, weights) * mean).sum(-1) for values in models])


def _compare_models(
    means: Mapping[str, float], samples: Mapping[str, np.ndarray], resampling: Resampling
) -> dict[ModelPair, Difference]:
    """Compare every two models on the same resamples."""
    pairs = [ModelPair(*names) for names in combinations(means, 2)]
    draws = {pair: samples[pair.first] - samples[pair.second] for pair in pairs}
    gaps = {pair: float(means[pair.first] - means[pair.second]) for pair in pairs}
    intervals = [resampling.interval(gaps[pair], draws[pair]) for pair in pairs]
    p = np.array([resampling.p(gaps[pair], draws[pair]) for pair in pairs])
    adjusted = fdr(p)
    return {
        pair: Difference(interval, float(p[i]), float(adjusted[i]))
        for i, (pair, interval) in enumerate(zip(pairs, intervals, strict=True))
    }
