"""Tables of one scored model, and of many side by side from the files of `measure`.

Three kinds of uncertainty are kept apart. `low` and `high` are 95 % intervals over images, or over
groups of images such as movies, with the same resamples for every model, subject and seed, so that
differences are paired; they say what other images would give with these fits (fits are not
repeated). `session_low` and `session_high` are Student's t over subjects (sessions), and `p` is
from sign flips of theirs. `seed_low` and `seed_high` are the smallest and largest over seeds, not
an interval.

Resamples are those of `encoding.resampling`: a percentile bootstrap of many images that stand
alone, else one group at a time is left out. Scores over several rounds are of what is left within
rounds, in every resample anew, and rounds share what they are fitted on, so Student's t has one
degree of freedom less than rounds: of simulated movies with and without signal 92 to 97 % of
intervals then held the truth. Where frames of one movie are fitted and tested
(`divide: stimuli`), movies are left out all the same: the interval is over movies, of the question
how frames are predicted whose movie is known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from striate.data import Responses
from striate.data.responses.noise_ceilings import NONE, Ceilings, scored_ceilings, sources
from striate.encoding import (
    Predicted,
    explained_variance,
    fdr,
    mean_interval,
    pooled_share,
    score_columns,
    sign_flip_p,
)
from striate.encoding.groups import count_groups
from striate.evaluate.neurons.resampled import (
    Key,
    ResampledScore,
)


def ceilings(responses: Responses, predicted: Predicted) -> Ceilings:
    """Noise ceilings of what is scored (`data.responses.noise_ceilings.scored_ceilings`).

    Where scores are of responses less their means within rounds, so is the ceiling: differences
    between rounds are signal that no prediction is asked for.

    Args:
        responses: what the predictions are of.
        predicted: what is scored.
    """
    return scored_ceilings(responses, predicted.rows, rounds=predicted.round)


def unit_table(
    predicted: Predicted,
    unit_ids: Sequence[str],
    limits: Ceilings | None = None,
    groups: Sequence[str] | None = None,
    **facts: Any,
) -> pd.DataFrame:
    """One row a unit x readout x kind.

    Columns: `facts`; unit_id, readout, tap (those chosen, `+` between), kind, r, r2
    (`Predicted.score`), ceiling, ceiling_source, reliability, r_normalized, n (test stimuli),
    freedom (n less the number of rounds), n_groups (each of `groups` counted once).

    Args:
        predicted: responses and predictions.
        unit_ids: names of the units.
        limits: their noise ceilings (`ceilings`); default none.
        groups: one label a tested stimulus, `` for one that stands alone.
        facts: further columns.
    """
    tables = []
    unknown = np.full(len(unit_ids), np.nan)
    limits = limits or Ceilings(unknown, unknown, np.full(len(unit_ids), NONE, dtype=object))
    for readout, kind in predicted.predictions:
        columns: dict[str, Any] = {
            **facts,
            "unit_id": list(unit_ids),
            "readout": readout,
            "tap": "+".join(dict.fromkeys(predicted.taps[readout])),
            "kind": kind,
            **score_columns(*predicted.score(readout, kind), limits),
            "n": len(predicted.rows),
            "freedom": len(predicted.rows) - len(np.unique(predicted.round)),
            "n_groups": count_groups(groups, len(predicted.rows)),
        }
        tables.append(pd.DataFrame(columns))
    return pd.concat(tables, ignore_index=True)


def over_seeds(
    scored: Mapping[Key, ResampledScore], model: str, readout: str, kind: str
) -> list[ResampledScore]:
    """A model's scores, one a seed, ascending."""
    keys = sorted(
        (key.seed, key)
        for key in scored
        if (key.model, key.readout, key.kind) == (model, readout, kind)
    )
    return [scored[key] for _, key in keys]


def _average(scores: Sequence[ResampledScore]) -> ResampledScore:
    return ResampledScore(
        np.mean([s.by_session for s in scores], axis=0),
        np.mean([s.draws for s in scores], axis=0),
        scores[0].resampling,
    )


def _list_places(scored: Mapping[Key, ResampledScore]) -> list[tuple[str, str, str]]:
    """Readout, kind and model, models in the order given."""
    return sorted(dict.fromkeys((r, k, m) for m, _, r, k in scored), key=lambda place: place[:2])


def score_table(
    scored: Mapping[Key, ResampledScore], units: pd.DataFrame, nulls: pd.DataFrame
) -> pd.DataFrame:
    """One row a readout x kind x model: mean r over seeds, with three kinds of uncertainty.

    `share_explained` is the share of explainable variance, pooled over the units of a session and
    over sessions (`encoding.explained`), its interval over sessions; `n_reliable` units have a
    known reliability.

    Args:
        scored: what `load_scored` returned.
        units: their unit tables together, for ceilings; nulls: their null tables.
    """
    rows: list[dict[str, Any]] = []
    by = ["readout", "kind", "model"]
    null = nulls.groupby(by)["null"].mean()
    null_95 = nulls.groupby(by)["null_95"].mean()
    share = units.groupby([*by, "seed", "subject"])["r_normalized"].mean()
    with_ceiling = share.unstack("subject").notna().any().sum()
    share = share.groupby(by).mean()  # NaN, a session without ceilings, is left out
    variance = _pool_units(units, by)
    ceiling = units.groupby(by)["ceiling"].mean()
    source = units.groupby(by)["ceiling_source"].agg(lambda names: sources(names.to_numpy()))
    taps = units.groupby(by)["tap"].agg(
        lambda tap: ", ".join(sorted(set("+".join(tap).split("+"))))
    )
    scored_units = units[units["r"].notna()].drop_duplicates(["model", "subject", "unit_id"])
    counts = scored_units.groupby("model").size()
    for place in _list_places(scored):
        readout, kind, model = place
        by_seed = over_seeds(scored, model, readout, kind)
        both = _average(by_seed)
        images, sessions = both.interval, mean_interval(both.by_session)
        here = variance.loc[[place]]
        explained = pooled_share(here["explained"].to_numpy(), here["explainable"].to_numpy())
        rows.append(
            dict(zip(by, place, strict=True))
            | {
                "tap": taps[place],
                "seeds": len(by_seed),
                "sessions": len(both.by_session),
                "units": int(counts[model]),
                "r": both.r,
                "low": images.low,
                "high": images.high,
                "over": both.resampling.over,
                "n_groups": both.resampling.n_groups,
                "session_low": sessions.low,
                "session_high": sessions.high,
                "seed_low": min(s.r for s in by_seed),
                "seed_high": max(s.r for s in by_seed),
                "ceiling": float(ceiling[place]),
                "ceiling_source": source[place],
                "r_normalized": float(share[place]),
                "sessions_with_ceiling": int(with_ceiling),
                "share_explained": explained.value,
                "share_low": explained.low,
                "share_high": explained.high,
                "n_reliable": int(here["units"].sum()),
                "null": float(null[place]),
                "null_95": float(null_95[place]),
            }
        )
    return pd.DataFrame(rows)


def _pool_units(units: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """What is explained and explainable of each session, means over seeds; index `by`."""
    rows = []
    for place, group in units.groupby([*by, "seed", "subject"]):
        variance = explained_variance(
            group["r"].to_numpy(), group["reliability"].to_numpy(), float(group["freedom"].iloc[0])
        )
        rows.append((*place, variance.explained, variance.explainable, variance.units))
    columns = [*by, "seed", "subject", "explained", "explainable", "units"]
    table = pd.DataFrame(rows, columns=columns).drop(columns="seed")
    return table.groupby([*by, "subject"]).mean().reset_index("subject", drop=True)


def seed_table(scored: Mapping[Key, ResampledScore]) -> pd.DataFrame:
    """One row a model x seed x readout x kind: r with its interval over images."""
    rows: list[dict[str, Any]] = []
    for (model, seed, readout, kind), score in scored.items():
        interval = score.interval
        place = {"readout": readout, "kind": kind, "model": model, "seed": seed}
        rows.append({**place, "r": interval.value, "low": interval.low, "high": interval.high})
    return pd.DataFrame(rows)


def difference_table(
    scored: Mapping[Key, ResampledScore], reference: str, seed: int = 0
) -> pd.DataFrame:
    """One row a readout x kind x other model: the reference less it, means over seeds.

    `q` is the FDR of the sign-flip `p` over the other models of a readout and kind; `seed_low` and
    `seed_high` are over all pairs of a seed of the one with a seed of the other.
    """
    rows = []
    for readout, kind, model in _list_places(scored):
        first = over_seeds(scored, reference, readout, kind)
        second = over_seeds(scored, model, readout, kind)
        if model == reference or not first:
            continue
        apart = _average(first).less(_average(second))
        gains = apart.by_session
        pairs = [x.r - y.r for x in first for y in second]
        images = apart.interval
        sessions = mean_interval(gains)
        rows.append(
            {
                "readout": readout,
                "kind": kind,
                "reference": reference,
                "model": model,
                "delta": images.value,
                "low": images.low,
                "high": images.high,
                "p_images": apart.p,
                "sessions": len(gains),
                "sessions_better": int((gains > 0).sum()),
                "session_low": sessions.low,
                "session_high": sessions.high,
                "p": sign_flip_p(gains, seed),
                "seeds": len(first),
                "seeds_other": len(second),
                "seed_low": min(pairs),
                "seed_high": max(pairs),
            }
        )
    table = pd.DataFrame(rows)
    if len(table):
        groups = table.groupby(["readout", "kind"])["p"]
        table["q"] = groups.transform(lambda p: fdr(p.to_numpy()))
    return table
