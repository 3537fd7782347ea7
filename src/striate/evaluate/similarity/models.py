"""RDMs of a model's taps, and the table of how like the brain's they are, with controls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from striate.core.compute import Compute
from striate.core.errors import InputError, unknown_name
from striate.data import StimulusSet
from striate.data.responses.rdm_checks import check_rdms, unmask
from striate.encoding import (
    ProjectionConfig,
    compare_rdms,
    extract,
    permutation_p,
    rdm_correlation,
    rdm_euclidean,
    rdm_squared_euclidean,
)
from striate.encoding.groups import FEWEST_ARRANGEMENTS, count_arrangements, shuffled_orders
from striate.evaluate.similarity.measure import RsaResult, rsa
from striate.models import Model, random_twin

MEASURES = {
    "correlation": rdm_correlation,
    "euclidean": rdm_euclidean,
    "squared_euclidean": rdm_squared_euclidean,
}
RDM_BATCH = 32
"""Images a forward pass where nothing is said: whole maps are kept, which take memory."""


def model_rdms(
    model: Model,
    stimuli: StimulusSet,
    taps: Sequence[str] | None = None,
    *,
    measure: str = "correlation",
    image_size: int | None = None,
    grid: int | None = None,
    compute: Compute | None = None,
) -> dict[str, np.ndarray]:
    """Compute the dissimilarities of a model's activations to a set of images.

    Args:
        model: the network.
        stimuli: the images.
        taps: default the model's.
        measure: `correlation`, `euclidean` or `squared_euclidean` (a model has no noise, so
            crossnobis would be the last).
        image_size: side at which the images are shown, instead of the model's own.
        grid: maps are averaged to grid x grid first; None keeps every position.
        compute: how features are computed; default batches of `RDM_BATCH`.

    Returns:
        (N, N) by tap.

    Raises:
        InputError: unknown measure or tap.
    """
    if measure not in MEASURES:
        raise unknown_name("measure", measure, MEASURES)
    compute = compute or Compute(batch_size=RDM_BATCH, progress=False)
    own_preprocessing = model.preprocessing
    size = image_size or own_preprocessing.size
    model.preprocessing = replace(own_preprocessing, size=size)
    try:
        features = extract(
            model,
            stimuli.decoded(size, own_preprocessing.resize, compute.cache),
            stimuli.hashes,
            taps=taps,
            projection=ProjectionConfig(kind="none", grid=grid),
            compute=compute,
        )
    finally:
        model.preprocessing = own_preprocessing
    return {tap: MEASURES[measure](np.asarray(values)) for tap, values in features.items()}


def with_twins(
    models: Mapping[str, Model],
    stimuli: StimulusSet,
    *,
    measure: str = "correlation",
    seed: int = 0,
    twins: bool = True,
    compute: Compute | None = None,
) -> dict[str, np.ndarray]:
    """Compute RDMs of all taps of models and of their random-weight twins, by `MODEL/TAP`.

    A twin is `MODEL@random/TAP`; fixed networks have none.
    """
    rdms: dict[str, np.ndarray] = {}
    for name, model in models.items():
        networks = {name: model}
        if twins and any(True for _ in model.network.parameters()):
            networks[f"{name}@random"] = random_twin(model, seed)
        for label, network in networks.items():
            by_tap = model_rdms(network, stimuli, measure=measure, compute=compute)
            rdms |= {f"{label}/{tap}": rdm for tap, rdm in by_tap.items()}
    return rdms


def shuffled_similarity(
    rdm: np.ndarray,
    data: np.ndarray,
    *,
    method: str = "rho_a",
    permutations: int = 100,
    seed: int = 0,
    groups: Sequence[str] | None = None,
) -> np.ndarray:
    """Average the similarity to the data's RDMs with the stimuli of the model's RDM shuffled.

    Rows and columns are permuted together (Mantel 1967). Groups of stimuli are permuted whole
    (`encoding.groups.shuffled_orders`): single frames of a movie would seem independent.

    Args:
        rdm: (N, N) of a model; data: (N, N) or (S, N, N).
        method: `striate.encoding.rdm_similarity`.
        permutations, seed: how many, and of the draws.
        groups: one label a stimulus, as for `striate.evaluate.rsa`.

    Returns:
        (permutations,), or fewer where there are no more arrangements of the groups.
    """
    check_rdms(rdm, "RDM of the model")
    check_rdms(data, "RDM of the data")
    rdm, data = unmask(rdm), unmask(data)  # in the precision that they came in
    data = data[None] if data.ndim == 2 else data
    if rdm.shape != data.shape[1:]:
        raise InputError(
            f"the model's RDM has shape {rdm.shape}, the data's are {data.shape[1:]}. Compute it "
            "from the same stimuli, in the same order."
        )
    orders = shuffled_orders(len(rdm), permutations, seed, groups)
    if not len(orders):
        return np.empty(0)
    shuffled = np.stack([rdm[np.ix_(order, order)] for order in orders])
    return np.asarray(compare_rdms(shuffled, data, method).mean(axis=1))


def rsa_table(
    models: Mapping[str, np.ndarray],
    data: np.ndarray,
    *,
    methods: Sequence[str] = ("spearman", "cosine"),
    groups: Sequence[str] | None = None,
    samples: int = 1000,
    permutations: int = 100,
    seed: int = 0,
) -> tuple[pd.DataFrame, dict[str, RsaResult]]:
    """Tabulate similarity, interval, ceiling and null, one row a method x model RDM.

    `p` is NaN where groups can be shuffled in fewer than 20 ways.

    Args:
        models: (N, N) by name, such as `with_twins` returns.
        data: (N, N) or (S, N, N) of subjects.
        methods: `striate.encoding.rdm_similarity`.
        groups, samples, seed: as `striate.evaluate.rsa`.
        permutations: of the null.

    Returns:
        The table, and by method what `rsa` returned (differences of every two models among it).
    """
    rows, results = [], {}
    has_p = count_arrangements(np.shape(data)[-1], groups) >= FEWEST_ARRANGEMENTS
    for method in methods:
        result = rsa(models, data, method=method, groups=groups, samples=samples, seed=seed)
        results[method] = result
        for name, rdm in models.items():
            null = shuffled_similarity(
                rdm, np.asarray(data), method=method, permutations=permutations, seed=seed,
                groups=groups,
            )  # fmt: skip
            score = result.scores[name]
            rows.append(
                {
                    "method": method,
                    "model": name,
                    "similarity": score.value,
                    "low": score.low,
                    "high": score.high,
                    "ceiling_low": result.ceiling[0],
                    "ceiling_high": result.ceiling[1],
                    "null": float(null.mean()) if null.size else float("nan"),
                    "null_95": float(np.percentile(null, 95)) if null.size else float("nan"),
                    "p": permutation_p(score.value, null) if has_p else float("nan"),
                    "subjects": len(result.by_subject[name]),
                    "pairs": result.n_pairs,
                }
            )
    return pd.DataFrame(rows), results
