"""Tables of a behavioral comparison: experiments, means over them, categories, differences."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from striate.data.behavior.observers import Observers
from striate.encoding.inference import bootstrap_p, mean_interval, sign_flip_p
from striate.encoding.ties import merge_relative_ties
from striate.evaluate.behavior.config import BehaveConfig
from striate.evaluate.behavior.consistency import MEASURES, accuracy, all_pairs, pair_measures
from striate.evaluate.behavior.measure import (
    ALL,
    BIAS,
    CONGRUENT,
    CUE_CONFLICT,
    HUMANS,
    Key,
    Measured,
    centered_interval,
    mean_measured,
    parts,
)
from striate.evaluate.behavior.shape_bias import shape_bias, texture_categories

BENCHMARK_MEASURES = ("accuracy", *MEASURES)
NOT_MEASURED = "not measured"
MeasuredExperiments = Mapping[str, Mapping[Key, Measured]]
"""What `measure` found, by experiment."""


def make_tables(
    config: BehaveConfig,
    humans: Mapping[str, Observers],
    measured: MeasuredExperiments,
    models: Sequence[str],
) -> dict[str, pd.DataFrame]:
    """Make every table of a run, by name.

    Args:
        config: references and groups of the models, and the seed.
        humans: by experiment.
        measured: by experiment.
        models: names of the observers beside the humans.
    """
    references = {n: m.reference for n, m in config.models.items() if m.reference}
    groups = {n: m.group for n, m in config.models.items() if m.group}
    differences = difference_table(measured, references, groups)
    return {
        "humans": human_table(humans.values(), measured),
        "each_human": each_human(humans.values()),
        "each_human_bias": each_human_bias(humans.values()),
        "benchmark": benchmark_table(measured, models),
        "means": mean_table(measured, models),
        "categories": category_table(measured, models),
        "differences": differences,
        "groups": group_table(differences, config.seed),
    }


def human_table(experiments: Iterable[Observers], measured: MeasuredExperiments) -> pd.DataFrame:
    """Tabulate humans with each other: one row an experiment, the last the mean over them."""
    rows: list[dict[str, Any]] = []
    for humans in experiments:
        place = {
            "experiment": humans.experiment,
            "observers": len(humans.names),
            "conditions": len(np.unique(humans.conditions)),
            "trials": len(humans.images),
        }
        by_measure = {
            m: measured[humans.experiment].get(Key(HUMANS, m)) for m in BENCHMARK_MEASURES
        }
        rows.append({**place, **_spread_measures(by_measure)})
    totals = {"experiment": "mean", **{k: sum(r[k] for r in rows) for k in list(rows[0])[1:4]}}
    means = {}
    for name in BENCHMARK_MEASURES:
        values = [by_key.get(Key(HUMANS, name)) for by_key in measured.values()]
        means[name] = None if None in values else mean_measured([v for v in values if v])
    return pd.DataFrame([*rows, {**totals, **_spread_measures(means)}])


def _spread_measures(by_measure: Mapping[str, Measured | None]) -> dict[str, float]:
    """Spread measures over columns: each measure, and the low and high end of its interval."""
    columns = {}
    for name, measured in by_measure.items():
        interval = measured and centered_interval(measured, _find_lowest(name))
        columns[name] = interval.value if interval else float("nan")
        columns[f"{name}_low"] = interval.low if interval else float("nan")
        columns[f"{name}_high"] = interval.high if interval else float("nan")
    return columns


def _find_lowest(measure: str) -> float:
    """Return the smallest value that a measure can have."""
    return -1.0 if measure == "error_consistency" else 0.0


def benchmark_table(measured: MeasuredExperiments, models: Sequence[str]) -> pd.DataFrame:
    """Tabulate all measures, one row an experiment x observer x measure.

    `status` says what was not measured.
    """
    rows = []
    for experiment, by_key in measured.items():
        for observer in (HUMANS, *models):
            names = BENCHMARK_MEASURES + ((*BIAS, CONGRUENT) if experiment == CUE_CONFLICT else ())
            for name in names:
                place = {"experiment": experiment, "observer": observer, "measure": name}
                rows.append({**place, **_make_row(by_key.get(Key(observer, name)), name)})
    return pd.DataFrame(rows)


def _make_row(measured: Measured | None, measure: str) -> dict[str, Any]:
    """Make the columns of a measure: its value with its interval, and its status."""
    if measured is None:
        nan = float("nan")
        return {"value": nan, "low": nan, "high": nan, "status": NOT_MEASURED}
    interval = centered_interval(measured, _find_lowest(measure))
    columns = {"value": interval.value, "low": interval.low, "high": interval.high}
    return {**columns, "status": "measured"}


def measured_experiments(measured: MeasuredExperiments, observer: str) -> list[str]:
    """List the experiments in which an observer was measured."""
    return [e for e, by_key in measured.items() if Key(observer, "accuracy") in by_key]


def mean_table(measured: MeasuredExperiments, models: Sequence[str]) -> pd.DataFrame:
    """Average over the experiments a model was measured in, beside the mean of humans in them.

    One row an observer x measure. `mean_rank` is over the models that were measured in the same
    experiments: the mean of a model's ranks by the three measures of consistency, 1 the best.
    """
    rows = []
    for observer in (HUMANS, *models):
        experiments = measured_experiments(measured, observer)
        for name in BENCHMARK_MEASURES:
            values, human_values = (
                [m for e in experiments if (m := measured[e].get(Key(o, name)))]
                for o in (observer, HUMANS)
            )
            complete = experiments and len(values) == len(experiments)
            mean = mean_measured(values) if complete else None
            human = mean_measured(human_values).value if human_values else float("nan")
            place = {"observer": observer, "measure": name, "n_experiments": len(experiments)}
            place |= {"experiments": ", ".join(experiments), "humans": human}
            rows.append({**place, **_make_row(mean, name)})
    table = pd.DataFrame(rows)
    table["mean_rank"] = _compute_mean_ranks(table)
    return table


def _compute_mean_ranks(table: pd.DataFrame) -> pd.Series:
    """Average the ranks of each model by the measures of consistency."""
    ranked = table[(table["observer"] != HUMANS) & table["measure"].isin(MEASURES)]
    ranked = ranked[ranked["status"] == "measured"]
    signed = ranked["value"].where(ranked["measure"] == "accuracy_difference", -ranked["value"])
    places = signed.groupby([ranked["experiments"], ranked["measure"]])
    ranks = places.transform(_rank_values)
    return table["observer"].map(ranks.groupby(ranked["observer"]).mean())


def _rank_values(values: pd.Series) -> pd.Series:
    """Rank numbers; those that differ only by rounding share a rank."""
    measured = values.dropna()
    merged = pd.Series(merge_relative_ties(measured.to_numpy(dtype=np.float64)), measured.index)
    return merged.rank().reindex(values.index)


def category_table(measured: MeasuredExperiments, models: Sequence[str]) -> pd.DataFrame:
    """Tabulate accuracy and shape bias, one row an experiment x observer x category x measure."""
    rows = []
    for experiment, by_key in measured.items():
        for (observer, name, category), value in by_key.items():
            if observer in (HUMANS, *models) and name in ("accuracy", *BIAS) and category != ALL:
                place = {"experiment": experiment, "observer": observer, "category": category}
                rows.append({**place, "measure": name, **_make_row(value, name)})
    return pd.DataFrame(rows)


def each_human(experiments: Iterable[Observers]) -> pd.DataFrame:
    """Tabulate accuracy and the mean measures with other humans, one row an experiment x human."""
    rows = []
    for humans in experiments:
        correct, n_humans = humans.correct, len(humans.names)
        pairs = all_pairs(n_humans)
        values = pair_measures(correct, correct, pairs, humans.groups) if n_humans > 1 else {}
        accuracies = accuracy(correct)[0]
        for i, name in enumerate(humans.names):
            with_human = (pairs == i).any(axis=1)
            means = {
                m: float(values[m][0, with_human].mean()) if values else float("nan")
                for m in MEASURES
            }
            place = {"experiment": humans.experiment, "observer": name, "accuracy": accuracies[i]}
            rows.append({**place, **means})
    return pd.DataFrame(rows)


def each_human_bias(experiments: Iterable[Observers]) -> pd.DataFrame:
    """Tabulate shape bias on cue-conflict images, one row a human x category (and `ALL`)."""
    rows = []
    for humans in experiments:
        if humans.experiment != CUE_CONFLICT:
            continue
        texture = texture_categories(humans.images.tolist(), humans.categories)
        for category, images in parts(humans):
            response, shape = humans.response[:, images], humans.category[images]
            bias = shape_bias(response, shape, texture[images])["shape_bias"][0]
            rows += [
                {"observer": name, "category": category, "shape_bias": float(value)}
                for name, value in zip(humans.names, bias, strict=True)
            ]
    return pd.DataFrame(rows, columns=["observer", "category", "shape_bias"])


def difference_table(
    measured: MeasuredExperiments, references: Mapping[str, str], groups: Mapping[str, str]
) -> pd.DataFrame:
    """Tabulate each model less its reference, on the same resamples of images and humans.

    One row an experiment (or `mean`, over those both were measured in) x model x measure: `delta`
    with its 95 % interval, and `p`, two-sided, of no difference.

    Args:
        measured: by experiment.
        references: the reference of each model that has one.
        groups: the group of each model that is in one.
    """
    rows = []
    for model, reference in references.items():
        experiments = [
            e
            for e in measured_experiments(measured, model)
            if Key(reference, "accuracy") in measured[e]
        ]
        gaps_by_measure: dict[str, list[Measured]] = {}
        for experiment in experiments:
            by_key = measured[experiment]
            for name in (*BENCHMARK_MEASURES, *BIAS, CONGRUENT):
                if Key(model, name) not in by_key:
                    continue
                gap = by_key[Key(model, name)].less(by_key[Key(reference, name)])
                rows.append(_make_difference(experiment, model, reference, name, gap))
                if name in BENCHMARK_MEASURES:
                    gaps_by_measure.setdefault(name, []).append(gap)
        for name, gaps in gaps_by_measure.items():
            rows.append(_make_difference("mean", model, reference, name, mean_measured(gaps)))
    table = pd.DataFrame(rows)
    if len(table):
        table["group"] = table["model"].map(lambda m: groups.get(m, ""))
    return table


def _make_difference(
    experiment: str, model: str, reference: str, name: str, gap: Measured
) -> dict[str, Any]:
    """Make a row of `difference_table`."""
    interval = centered_interval(gap)
    place = {"experiment": experiment, "model": model, "reference": reference, "measure": name}
    p = bootstrap_p(gap.draws - (gap.draws.mean() - gap.value))
    delta = {"delta": interval.value, "low": interval.low, "high": interval.high}
    return {**place, **delta, "p": p}


def group_table(differences: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """Average differences over the models of a group, such as one tuned network a session.

    The interval is Student's t over models and `p` is from flips of their signs: they say what
    other models of that kind would do on these images and humans.
    """
    rows = []
    if len(differences):
        grouped = differences[differences["group"] != ""]
        for (group, experiment, name), members in grouped.groupby(
            ["group", "experiment", "measure"], sort=False
        ):
            deltas = members["delta"].to_numpy()
            interval = mean_interval(deltas)
            rows.append(
                {
                    "group": group,
                    "experiment": experiment,
                    "measure": name,
                    "models": len(members),
                    "delta": interval.value,
                    "low": interval.low,
                    "high": interval.high,
                    "smallest": members["delta"].min(),
                    "largest": members["delta"].max(),
                    "p": sign_flip_p(deltas, seed),
                }
            )
    return pd.DataFrame(rows)
