"""Neural predictivity of V1 and V2 by the FreemanZiemba2013 protocol of Brain-Score.

The protocol (docs/papers/lcl-v2.md 5.1): textures of 4 degrees on a field of 8, counts of 50 to
200 ms, the flattened activations of one tap, PLS with 25 components and no scaling, ten
stratified splits, the median over neurons and then the mean over splits; a ceiling from halves of
the repetitions. Both
normalizations stand beside the raw r: `(r / c)^2`, Brain-Score's until January 2026, and `r^2 / c`,
since then. The ceiling c is a reliability: a perfect model reaches r = sqrt(c), so that `r^2 / c`
is 1 there and `(r / c)^2` is 1 / c, more than 1.

What cannot be known from here: the order in which Brain-Score's stimuli enter the splits. Here
they are sorted by name, so single splits hold other stimuli than theirs.

Ours, and named so: the random-weight twin, the null of shuffled stimuli, and intervals over
neurons and over texture families. Fifteen samples share a family and, with it, much of a response:
families are resampled and shuffled as a whole (`intervals`), or else single stimuli are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from striate.core.cache import Cache
from striate.core.errors import InputError, LeakError, unknown_name
from striate.core.hashing import hash_json
from striate.data import Dataset, Recording, Responses, StimulusSet, assert_unseen_by
from striate.data.images.resizing import Resizing
from striate.data.images.stimuli import same_pictures
from striate.data.images.visual_angle import shown
from striate.data.readers.freeman_ziemba import public_textures
from striate.data.readers.freeman_ziemba_files import Texture
from striate.encoding import ProjectionConfig, extract, percentile_interval, permutation_p
from striate.evaluate.neurons.brain_score import (
    SplitScores,
    half_consistency,
    median,
    neuron_interval,
    score_splits,
    shuffled_scores,
    standard_error,
    stimulus_draws,
    stratified_splits,
)
from striate.evaluate.neurons.config import FreemanZiembaConfig
from striate.models import Model, random_twin


@dataclass(frozen=True)
class Population:
    """One region's neurons, ready to be predicted; stimuli sorted by name.

    Attributes:
        region: V1 or V2.
        stimuli: the images.
        responses: (N, V) averaged over repetitions.
        trials: (N, repetitions, V), or None.
        types: texture type of each stimulus.
        families: texture family of each stimulus.
        simulated: whether the responses are.
    """

    region: str
    stimuli: StimulusSet
    responses: np.ndarray
    trials: np.ndarray | None
    types: tuple[str, ...]
    families: tuple[str, ...]
    simulated: bool

    @classmethod
    def of(cls, recording: Recording, region: str) -> Population:
        """Take a region's cells; InputError where there are none or names are no textures'."""
        responses = recording.responses
        if region not in responses.rois:
            raise unknown_name("ROI", region, responses.rois, "Read the data with this region.")
        textures = [Texture.of(name) for name in responses.stimulus_ids]
        wrong = [n for n, t in zip(responses.stimulus_ids, textures, strict=True) if t is None]
        if wrong:
            raise InputError(f"stimulus {wrong[0]} is no texture of FreemanZiemba2013.")
        order = np.argsort(np.array(responses.stimulus_ids, dtype=str), kind="stable")
        cells = np.flatnonzero(responses.data.coords[f"roi_{region}"].values)
        values = responses.data.values
        return cls(
            region,
            recording.stimuli.subset(order),
            responses.mean()[order][:, cells],
            values[order][..., cells] if values.ndim == 3 else None,
            tuple(t.type for t in (textures[i] for i in order) if t),
            tuple(str(t.family) for t in (textures[i] for i in order) if t),
            responses.simulated,
        )


def parts_of(dataset: Dataset) -> tuple[Recording, Recording | None]:
    """The recording that is scored, and one to choose taps on: of all stimuli, the public ones.

    A data set that is one of Brain-Score's subsets is scored whole and has none to choose on.
    """
    recording = next(iter(dataset.values()))
    if dataset.facts.get("subset") != "all":
        return recording, None
    public = {texture.name for texture in public_textures()}
    inside = np.array([name in public for name in recording.stimuli.ids])
    return _select_stimuli(recording, ~inside), _select_stimuli(recording, inside)


def _select_stimuli(recording: Recording, chosen: np.ndarray) -> Recording:
    rows = np.flatnonzero(chosen)
    data = recording.responses.data.isel(stimulus=rows)
    return Recording(recording.subject, recording.stimuli.subset(rows), Responses(data))


def freeman_ziemba(
    model: Model,
    recording: Recording,
    taps: Mapping[str, str],
    config: FreemanZiembaConfig | None = None,
    *,
    name: str = "",
    chosen_on: Recording | None = None,
    twin_seed: int = 0,
    cache: Cache | None = None,
) -> pd.DataFrame:
    """Score a model's taps, its random twin's, and shuffled stimuli.

    Args:
        model: its whole input spans `config.canvas_degrees`.
        recording: what is scored (`parts_of`).
        taps: tap by region, such as `{"V1": "features.2"}`.
        config: the protocol.
        name: of the model in the table; default its id.
        chosen_on: where the taps were chosen (`choose_taps`), to be checked for leaks.
        twin_seed: of the random twin's weights.
        cache: for features.

    Returns:
        One row a region x (model, and its random twin where it can have one); see `score_row`.

    Raises:
        LeakError: the model has seen, or taps were chosen on, a stimulus that is tested.
        InputError: a region without a tap, unknown taps, data that do not fit.
    """
    config = config or FreemanZiembaConfig()
    assert_unseen_by(model, recording.stimuli, f"{name or model.id} on FreemanZiemba2013")
    both = 0 if chosen_on is None else len(same_pictures(recording.stimuli, chosen_on.stimuli))
    if both:
        raise LeakError(
            f"{both} stimuli would be scored on which taps were chosen. Choose on the public "
            "stimuli and score the private ones, or give the taps."
        )
    rows = []
    for region in config.regions:
        if region not in taps:
            raise InputError(f"no tap is given for {region}. Give one, or choose_taps.")
        population = Population.of(recording, region)
        splits = stratified_splits(population.types, config.splits, config.train, config.seed)
        scored = {}
        for label, net in _add_twin(model, config, twin_seed).items():
            features, aperture = presented(net, population, [taps[region]], config, cache=cache)
            scored[label] = score_splits(
                features[taps[region]], population.responses, splits, config.components
            )
        for label, scores in scored.items():
            facts = {
                "model": name or model.id,
                "weights": label,
                "tap": taps[region],
                "tap_chosen": "given" if chosen_on is None else "on other stimuli",
                "aperture": aperture,
                "canvas_degrees": config.canvas_degrees,
            }
            rows.append(facts | score_row(scores, population, config, scored.get("random")))
    return pd.DataFrame(rows)


def _add_twin(model: Model, config: FreemanZiembaConfig, seed: int) -> dict[str, Model]:
    nets = {"own": model}
    if config.random_twin and any(True for _ in model.network.parameters()):
        nets["random"] = random_twin(model, seed)
    return nets


def score_row(
    scores: SplitScores,
    population: Population,
    config: FreemanZiembaConfig | None = None,
    random: SplitScores | None = None,
) -> dict[str, Any]:
    """Everything that is reported of one score.

    Columns: region, simulated, stimuli, neurons, components; r and r_sem (over splits); ceiling
    and ceiling_sem; r_over_c_squared, r_squared_over_c (NaN where the ceiling is not above zero);
    ours: low and high `over` the families or stimuli (`families` is how many), neurons_low and
    neurons_high, null, null_95 and p (shuffled in the same way), and the difference to random
    weights with its paired interval. NaN without repetitions or a twin.
    """
    config = config or FreemanZiembaConfig()
    r, nan = scores.value, float("nan")
    ceiling = ceiling_sem = nan
    if population.trials is not None:
        halves = median(half_consistency(population.trials, config.splits, config.seed))
        ceiling, ceiling_sem = float(halves.mean()), standard_error(halves)
    groups = population.families if config.intervals == "families" else None
    draws = stimulus_draws(scores, config.bootstrap, groups=groups)
    stimuli = percentile_interval(r, draws)
    neurons = neuron_interval(scores, config.bootstrap)
    kinds = population.types if groups else None
    null = shuffled_scores(scores, config.permutations, groups=groups, kinds=kinds)
    gain = (nan, nan, nan)
    if random is not None and random is not scores:
        other = stimulus_draws(random, config.bootstrap, groups=groups)
        apart = percentile_interval(r - random.value, draws - other)
        gain = (apart.value, apart.low, apart.high)
    return {
        "region": population.region,
        "simulated": population.simulated,
        "stimuli": len(population.stimuli),
        "families": len(set(population.families)),
        "neurons": population.responses.shape[1],
        "components": config.components,
        "r": r,
        "r_sem": scores.sem,
        "ceiling": ceiling,
        "ceiling_sem": ceiling_sem,
        "r_over_c_squared": (r / ceiling) ** 2 if ceiling > 0 else nan,
        "r_squared_over_c": r**2 / ceiling if ceiling > 0 else nan,
        "over": config.intervals,
        "low": stimuli.low,
        "high": stimuli.high,
        "neurons_low": neurons.low,
        "neurons_high": neurons.high,
        "null": float(null.mean()),
        "null_95": float(np.percentile(null, 95)),
        "p": permutation_p(r, null),
        "over_random": gain[0],
        "over_random_low": gain[1],
        "over_random_high": gain[2],
    }


def choose_taps(
    model: Model,
    recording: Recording,
    taps: Sequence[str] | None = None,
    config: FreemanZiembaConfig | None = None,
    *,
    pca: StimulusSet | None = None,
    pca_components: int = 1000,
    cache: Cache | None = None,
) -> tuple[dict[str, str], pd.DataFrame]:
    """Choose each region's tap by the protocol's score, on stimuli that are not scored after.

    Brain-Score does so on its public stimuli, with activations first reduced by a PCA to 1000
    components that was fitted on other images (of ImageNet); the score uses no PCA.

    Args:
        model: the model.
        recording: the stimuli to choose on, such as the public ones (`parts_of`).
        taps: to choose among; default the model's.
        config: the protocol.
        pca: images that a PCA is fitted on; default no PCA: activations as they are.
        pca_components: of that PCA.
        cache: for features.

    Returns:
        Tap by region, and a table of region, tap, r, r_sem and pca_components (0 for none).
    """
    config, names = config or FreemanZiembaConfig(), list(taps or model.taps)
    best: dict[str, str] = {}
    rows: list[dict[str, Any]] = []
    for region in config.regions:
        population = Population.of(recording, region)
        splits = stratified_splits(population.types, config.splits, config.train, config.seed)
        features, _ = presented(
            model, population, names, config, pca=pca, components=pca_components, cache=cache
        )
        scored = {
            tap: score_splits(x, population.responses, splits, config.components)
            for tap, x in features.items()
        }
        best[region] = max(scored, key=lambda tap: np.nan_to_num(scored[tap].value, nan=-np.inf))
        rows += [
            {"region": region, "tap": tap, "r": scores.value, "r_sem": scores.sem,
             "pca_components": pca_components if pca is not None else 0,
             "chosen": tap == best[region]}
            for tap, scores in scored.items()
        ]  # fmt: skip
    return best, pd.DataFrame(rows)


def presented(
    model: Model,
    population: Population,
    taps: Sequence[str],
    config: FreemanZiembaConfig,
    *,
    pca: StimulusSet | None = None,
    components: int = 1000,
    cache: Cache | None = None,
) -> tuple[dict[str, np.ndarray], str]:
    """Flattened activations of taps (N, p) for the textures as they are shown, and the aperture.

    With `pca`, their scores on principal components that were fitted on those images instead.
    """
    size = model.preprocessing.size
    # a canvas of known degrees is shown whole: the network's own cut would change its field of view
    resize = Resizing.read(model.preprocessing.resize).whole()
    images, aperture = shown(
        population.stimuli,
        size,
        degrees=config.degrees,
        canvas_degrees=config.canvas_degrees,
        aperture=config.aperture,
        resize=resize,
    )
    hashes = list(population.stimuli.hashes)
    projection, fit = ProjectionConfig(kind="none"), None
    if pca is not None:
        images = np.concatenate([pca.decoded(size, resize, cache), images])
        fit, hashes = np.arange(len(pca)), [*pca.hashes, *hashes]
        projection = ProjectionConfig(kind="pca", components=components)
    shown_as = {k: config.to_dict()[k] for k in ("degrees", "canvas_degrees")}
    features = extract(
        model,
        images,
        [hash_json([digest, aperture, shown_as]) for digest in hashes],
        taps=list(taps),
        projection=projection,
        fit=fit,
        compute=config.compute(cache or Cache(), progress=False),
    )
    start = 0 if pca is None else len(pca)
    return {tap: np.asarray(values[start:]) for tap, values in features.items()}, aperture
