"""Tables of a behavioral comparison: experiments, means over them, categories, differences."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from striate.data.behavior.observers import Observers
from striate.encoding.inference import bootstrap_p, mean_interval, sign_flip_p
from striate.encoding.ties import merge_relative_ties
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

FOUR = ("accuracy", *MEASURES)
NOT_MEASURED = "not measured"
Everything = Mapping[str, Mapping[Key, Measured]]
"""What `measure` found, by experiment."""


def human_table(experiments: Iterable[Observers], found: Everything) -> pd.DataFrame:
    """Humans with each other: one row an experiment, the last the mean over experiments."""
    rows: list[dict[str, Any]] = []
    for one in experiments:
        place = {
            "experiment": one.experiment,
            "observers": len(one.names),
            "conditions": len(np.unique(one.conditions)),
            "trials": len(one.images),
        }
        known = {m: found[one.experiment].get((HUMANS, m, ALL)) for m in FOUR}
        rows.append({**place, **_wide(known)})
    mean = {"experiment": "mean", **{k: sum(r[k] for r in rows) for k in list(rows[0])[1:4]}}
    joined = {}
    for name in FOUR:
        values = [own.get((HUMANS, name, ALL)) for own in found.values()]
        joined[name] = None if None in values else mean_measured([v for v in values if v])
    return pd.DataFrame([*rows, {**mean, **_wide(joined)}])


def _wide(known: Mapping[str, Measured | None]) -> dict[str, float]:
    out = {}
    for name, one in known.items():
        found = one and centered_interval(one, _lowest(name))
        out[name] = found.value if found else float("nan")
        out[f"{name}_low"] = found.low if found else float("nan")
        out[f"{name}_high"] = found.high if found else float("nan")
    return out


def _lowest(measure: str) -> float:
    return -1.0 if measure == "error_consistency" else 0.0


def benchmark_table(found: Everything, models: Sequence[str]) -> pd.DataFrame:
    """One row an experiment x observer x measure; `status` says what was not measured."""
    rows = []
    for experiment, own in found.items():
        for observer in (HUMANS, *models):
            names = FOUR + ((*BIAS, CONGRUENT) if experiment == CUE_CONFLICT else ())
            for name in names:
                one = own.get((observer, name, ALL))
                place = {"experiment": experiment, "observer": observer, "measure": name}
                rows.append({**place, **_row(one, name)})
    return pd.DataFrame(rows)


def _row(one: Measured | None, measure: str) -> dict[str, Any]:
    if one is None:
        nan = float("nan")
        return {"value": nan, "low": nan, "high": nan, "status": NOT_MEASURED}
    found = centered_interval(one, _lowest(measure))
    return {"value": found.value, "low": found.low, "high": found.high, "status": "measured"}


def measured_experiments(found: Everything, observer: str) -> list[str]:
    """The experiments in which an observer was measured."""
    return [e for e, own in found.items() if (observer, "accuracy", ALL) in own]


def mean_table(found: Everything, models: Sequence[str]) -> pd.DataFrame:
    """Means over the experiments a model was measured in, beside those of humans in the same.

    One row an observer x measure. `mean_rank` is over the models that were measured in the same
    experiments: the mean of a model's ranks by the three measures of consistency, 1 the best.
    """
    rows = []
    for observer in (HUMANS, *models):
        own = measured_experiments(found, observer)
        for name in FOUR:
            both = {o: [found[e].get((o, name, ALL)) for e in own] for o in (observer, HUMANS)}
            known = {o: [p for p in ps if p] for o, ps in both.items()}
            whole = own and len(known[observer]) == len(own)
            one = mean_measured(known[observer]) if whole else None
            human = mean_measured(known[HUMANS]).value if known[HUMANS] else float("nan")
            place = {"observer": observer, "measure": name, "n_experiments": len(own)}
            place |= {"experiments": ", ".join(own), "humans": human}
            rows.append({**place, **_row(one, name)})
    table = pd.DataFrame(rows)
    table["mean_rank"] = _mean_ranks(table)
    return table


def _mean_ranks(table: pd.DataFrame) -> pd.Series:
    ranked = table[(table["observer"] != HUMANS) & table["measure"].isin(MEASURES)]
    ranked = ranked[ranked["status"] == "measured"]
    signed = ranked["value"].where(ranked["measure"] == "accuracy_difference", -ranked["value"])
    places = signed.groupby([ranked["experiments"], ranked["measure"]])
    ranks = places.transform(_rank_values)
    return table["observer"].map(ranks.groupby(ranked["observer"]).mean())


def _rank_values(values: pd.Series) -> pd.Series:
    """Rank numbers; those that rounding alone parts share a rank."""
    known = values.dropna()
    merged = pd.Series(merge_relative_ties(known.to_numpy(dtype=np.float64)), known.index)
    return merged.rank().reindex(values.index)


def category_table(found: Everything, models: Sequence[str]) -> pd.DataFrame:
    """One row an experiment x observer x category x measure: accuracy, and shape bias."""
    rows = []
    for experiment, own in found.items():
        for (observer, name, category), one in own.items():
            if observer in (HUMANS, *models) and name in ("accuracy", *BIAS) and category != ALL:
                place = {"experiment": experiment, "observer": observer, "category": category}
                rows.append({**place, "measure": name, **_row(one, name)})
    return pd.DataFrame(rows)


def each_human(experiments: Iterable[Observers]) -> pd.DataFrame:
    """One row an experiment x human: accuracy, and the mean measures with the other humans."""
    rows = []
    for one in experiments:
        n = len(one.names)
        pairs = all_pairs(n)
        found = pair_measures(one.correct, one.correct, pairs, one.groups) if n > 1 else {}
        right = accuracy(one.correct)[0]
        for i, name in enumerate(one.names):
            mine = (pairs == i).any(axis=1)
            own = {m: float(found[m][0, mine].mean()) if found else float("nan") for m in MEASURES}
            place = {"experiment": one.experiment, "observer": name, "accuracy": right[i]}
            rows.append({**place, **own})
    return pd.DataFrame(rows)


def each_human_bias(experiments: Iterable[Observers]) -> pd.DataFrame:
    """One row a human x category (and `ALL`): shape bias in the cue-conflict experiment."""
    rows = []
    for one in experiments:
        if one.experiment != CUE_CONFLICT:
            continue
        texture = texture_categories(one.images.tolist(), one.categories)
        for category, here in parts(one):
            found = shape_bias(one.response[:, here], one.category[here], texture[here])
            values = found["shape_bias"][0]
            rows += [
                {"observer": name, "category": category, "shape_bias": float(value)}
                for name, value in zip(one.names, values, strict=True)
            ]
    return pd.DataFrame(rows, columns=["observer", "category", "shape_bias"])


def difference_table(
    found: Everything, references: Mapping[str, str], groups: Mapping[str, str]
) -> pd.DataFrame:
    """Each model less its reference, on the same resamples of images and humans.

    One row an experiment (or `mean`, over those both were measured in) x model x measure: `delta`
    with its 95 % interval, and `p`, two-sided, of no difference.

    Args:
        found: by experiment.
        references: the reference of each model that has one.
        groups: the group of each model that is in one.
    """
    rows = []
    for model, reference in references.items():
        both = [e for e in measured_experiments(found, model)
                if (reference, "accuracy", ALL) in found[e]]  # fmt: skip
        apart: dict[str, list[Measured]] = {}
        for experiment in both:
            own = found[experiment]
            for name in (*FOUR, *BIAS, CONGRUENT):
                if (model, name, ALL) not in own:
                    continue
                gap = own[model, name, ALL].less(own[reference, name, ALL])
                rows.append(_difference(experiment, model, reference, name, gap))
                if name in FOUR:
                    apart.setdefault(name, []).append(gap)
        for name, gaps in apart.items():
            rows.append(_difference("mean", model, reference, name, mean_measured(gaps)))
    table = pd.DataFrame(rows)
    if len(table):
        table["group"] = table["model"].map(lambda m: groups.get(m, ""))
    return table


def _difference(
    experiment: str, model: str, reference: str, name: str, gap: Measured
) -> dict[str, Any]:
    found = centered_interval(gap)
    place = {"experiment": experiment, "model": model, "reference": reference, "measure": name}
    p = bootstrap_p(gap.draws - (gap.draws.mean() - gap.value))
    return {**place, "delta": found.value, "low": found.low, "high": found.high, "p": p}


def group_table(differences: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """Mean difference over the models of a group, such as one tuned network a session.

    The interval is Student's t over models and `p` from flips of their signs: what other models of
    that kind would do, on these images and humans.
    """
    rows = []
    if len(differences):
        inside = differences[differences["group"] != ""]
        for (group, experiment, name), own in inside.groupby(
            ["group", "experiment", "measure"], sort=False
        ):
            found = mean_interval(own["delta"].to_numpy())
            rows.append(
                {
                    "group": group,
                    "experiment": experiment,
                    "measure": name,
                    "models": len(own),
                    "delta": found.value,
                    "low": found.low,
                    "high": found.high,
                    "smallest": own["delta"].min(),
                    "largest": own["delta"].max(),
                    "p": sign_flip_p(own["delta"].to_numpy(), seed),
                }
            )
    return pd.DataFrame(rows)
