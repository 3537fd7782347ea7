"""Tables of many scored models side by side, from the files of `predictivity_run`.

Three kinds of uncertainty are kept apart. `low` and `high` are 95 % intervals over images, or over
groups of images such as movies, with the same resamples for every model, subject and seed, so that
differences are paired; they say what other images would give with these fits (fits are not
repeated). `session_low` and `session_high` are Student's t over subjects (sessions), and `p` is
from sign flips of theirs. `seed_low` and `seed_high` are the smallest and largest over seeds, not
an interval.

With many images the resamples are a percentile bootstrap. With fewer than `FEW` images or groups
they leave out one at a time (jackknife, Tukey 1958; Student's t with one degree of freedom less
than groups): a bootstrap of ten movies holds about six different ones, some several times, which
moves a correlation and even more an RDM's similarity, so that its intervals may not even hold the
estimate.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from striate.core.errors import InputError
from striate.core.files import read_json
from striate.encoding import (
    Interval,
    compare_rdms,
    fdr,
    mean_interval,
    mean_r,
    noise_ceiling_rdms,
    percentile_interval,
    score_r,
    sign_flip_p,
)
from striate.encoding.inference import bootstrap_counts, resampled_means
from striate.encoding.ridge import group_numbers
from striate.evaluate.rsa import bootstrap_p

FEW = 30
"""Images or groups below which one at a time is left out instead of a bootstrap (ours)."""
BEST = "best tap"
"""Name of the readout that chooses among all taps of a model."""


@dataclass(frozen=True)
class Scored:
    """One model's score of one readout and kind.

    Attributes:
        by_session: (S,) mean r over units.
        draws: (samples,) mean over sessions in each resample.
        jackknife: whether resample i is all but the i-th image or group.
    """

    by_session: np.ndarray
    draws: np.ndarray
    jackknife: bool = False

    @property
    def r(self) -> float:
        """Mean over sessions."""
        return mean_r(self.by_session)

    @property
    def interval(self) -> Interval:
        """95 % over images or groups."""
        return resampled_interval(self.r, self.draws, self.jackknife)[0]

    def less(self, other: Scored) -> Scored:
        """The paired difference."""
        return Scored(self.by_session - other.by_session, self.draws - other.draws, self.jackknife)


def resampled_interval(value: float, draws: np.ndarray, jackknife: bool) -> tuple[Interval, float]:
    """95 % interval of a value from its resamples, and a two-sided p of zero.

    >>> interval, p = resampled_interval(2.0, np.array([1.0, 2.0, 3.0]), True)
    >>> round(interval.high, 3), round(p, 3)
    (6.968, 0.225)
    """
    if not jackknife:
        return percentile_interval(value, draws), bootstrap_p(draws)
    known = draws[np.isfinite(draws)]
    n = len(known)
    if n < 2:
        return Interval(value, float("nan"), float("nan")), float("nan")
    error = float(np.sqrt((n - 1) / n * np.square(known - known.mean()).sum()))
    reach = float(stats.t.ppf(0.975, n - 1)) * error
    p = float(2 * stats.t.sf(abs(value) / error, n - 1)) if error > 0 else float(value == 0)
    return Interval(value, value - reach, value + reach), p


Key = tuple[str, int, str, str]
"""Model, seed, readout, kind."""


def folders(root: str | Path) -> list[Path]:
    """Folders of finished scores below `root`, sorted; InputError if there are none."""
    found = sorted(path.parent for path in Path(root).rglob("done.json"))
    if not found:
        raise InputError(f"{root} has no finished scores (no done.json).")
    return found


def load_scored(scored: Sequence[Path], samples: int = 1000, seed: int = 0) -> dict[Key, Scored]:
    """Resample all models of one data set in the same way.

    Args:
        scored: their folders.
        samples: number of resamples of the stimuli.
        seed: of the draws.

    Raises:
        InputError: they were scored on other stimuli, or with other settings.
    """
    out: dict[Key, Scored] = {}
    counts: dict[str, np.ndarray] = {}
    tested: dict[str, np.ndarray] = {}
    first: object = None
    few = False
    for folder in scored:
        facts = read_json(folder / "done.json")
        with np.load(folder / "predictions.npz") as file:
            arrays = dict(file)
        subjects = list(dict.fromkeys(name.split("/")[0] for name in arrays))
        labels = {s: arrays[f"{s}/label"] for s in subjects}
        settings = facts["key"]["config"]
        if not tested:
            tested, first = labels, settings
            every = np.unique(np.concatenate(list(labels.values())))
            few = len(every) < FEW
            drawn = 1 - np.eye(len(every)) if few else bootstrap_counts(len(every), samples, seed)
            counts = {s: drawn[:, np.searchsorted(every, own)] for s, own in labels.items()}
        same = list(tested) == subjects and first == settings
        if not same or any((tested[s].tolist() != labels[s].tolist()) for s in subjects):
            raise InputError(
                f"{folder} was scored on other stimuli or with other settings than {scored[0]}. "
                "Score it again with this config, or delete it."
            )
        keys = [n.split("/", 1)[1] for n in arrays if n.startswith(f"{subjects[0]}/")]
        for name in (k for k in keys if k not in ("label", "observed")):
            readout, kind = name.rsplit("/", 1)
            r, draws = [], []
            for s in subjects:
                y, x = arrays[f"{s}/observed"], arrays[f"{s}/{name}"]
                r.append(mean_r(score_r(y, x)))
                draws.append(_resampled(y, x, counts[s]))
            key = (str(facts["model"]), int(facts["seed"]), readout, kind)
            out[key] = Scored(np.array(r), np.nanmean(draws, axis=0), few)
    return out


def _resampled(y: np.ndarray, x: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Mean r over units in each resample; NaN in one that holds fewer than two of these stimuli."""
    enough = (counts > 0).sum(axis=1) > 1
    out = np.full(len(counts), np.nan)
    out[enough] = resampled_means(y, x, counts[enough])
    return out


def over_seeds(scored: Mapping[Key, Scored], model: str, readout: str, kind: str) -> list[Scored]:
    """A model's scores, one a seed, ascending."""
    found = sorted((k[1], k) for k in scored if (k[0], k[2], k[3]) == (model, readout, kind))
    return [scored[key] for _, key in found]


def _mean(scores: Sequence[Scored]) -> Scored:
    return Scored(
        np.mean([s.by_session for s in scores], axis=0),
        np.mean([s.draws for s in scores], axis=0),
        scores[0].jackknife,
    )


def _places(scored: Mapping[Key, Scored]) -> list[tuple[str, str, str]]:
    """Readout, kind and model, models in the order given."""
    return sorted({(r, k, m) for m, _, r, k in scored}, key=lambda place: place[:2])


def score_table(
    scored: Mapping[Key, Scored], units: pd.DataFrame, nulls: pd.DataFrame
) -> pd.DataFrame:
    """One row a readout x kind x model: mean r over seeds, with three kinds of uncertainty.

    Args:
        scored: what `load_scored` returned.
        units: their unit tables together, for ceilings; nulls: their null tables.
    """
    rows = []
    by = ["readout", "kind", "model"]
    null = nulls.groupby(by)["null"].mean()
    share = units.groupby([*by, "seed", "subject"])["r_normalized"].mean()
    with_ceiling = share.unstack("subject").notna().any().sum()
    share = share.groupby(by).mean()  # NaN, a session without ceilings, is left out
    taps = units.groupby(by)["tap"].agg(
        lambda tap: ", ".join(sorted(set("+".join(tap).split("+"))))
    )
    known = units[units["r"].notna()].drop_duplicates(["model", "subject", "unit_id"])
    counts = known.groupby("model").size()
    for place in _places(scored):
        readout, kind, model = place
        own = over_seeds(scored, model, readout, kind)
        both = _mean(own)
        images, sessions = both.interval, mean_interval(both.by_session)
        rows.append(
            dict(zip(by, place, strict=True))
            | {
                "tap": taps[place],
                "seeds": len(own),
                "sessions": len(both.by_session),
                "units": int(counts[model]),
                "r": both.r,
                "low": images.low,
                "high": images.high,
                "session_low": sessions.low,
                "session_high": sessions.high,
                "seed_low": min(s.r for s in own),
                "seed_high": max(s.r for s in own),
                "r_normalized": float(share[place]),
                "sessions_with_ceiling": int(with_ceiling),
                "null": float(null[place]),
            }
        )
    return pd.DataFrame(rows)


def seed_table(scored: Mapping[Key, Scored]) -> pd.DataFrame:
    """One row a model x seed x readout x kind: r with its interval over images."""
    rows: list[dict[str, Any]] = []
    for (model, seed, readout, kind), one in scored.items():
        found = one.interval
        place = {"readout": readout, "kind": kind, "model": model, "seed": seed}
        rows.append({**place, "r": found.value, "low": found.low, "high": found.high})
    return pd.DataFrame(rows)


def difference_table(scored: Mapping[Key, Scored], reference: str, seed: int = 0) -> pd.DataFrame:
    """One row a readout x kind x other model: the reference less it, means over seeds.

    `q` is the FDR of the sign-flip `p` over the other models of a readout and kind; `seed_low` and
    `seed_high` are over all pairs of a seed of the one with a seed of the other.
    """
    rows = []
    for readout, kind, model in _places(scored):
        first = over_seeds(scored, reference, readout, kind)
        second = over_seeds(scored, model, readout, kind)
        if model == reference or not first:
            continue
        apart = _mean(first).less(_mean(second))
        gains = apart.by_session
        pairs = [x.r - y.r for x in first for y in second]
        images, p_images = resampled_interval(apart.r, apart.draws, apart.jackknife)
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
                "p_images": p_images,
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


def _part(rdms: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """RDMs of some of the stimuli, (k, n, n)."""
    return rdms[:, rows][:, :, rows]


def rsa_tables(
    scored: Iterable[Path],
    data: np.ndarray,
    groups: Sequence[str],
    reference: str,
    methods: Sequence[str] = ("rho_a", "cosine"),
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """RSA of every stage's taps: similarities, and the reference's less another model's.

    Intervals leave out one group of stimuli at a time.

    Args:
        scored: folders of models with `rdms.npz`.
        data: (S, N, N) RDMs of the sessions.
        groups: one label a stimulus (`StimulusSet.groups`).
        reference: name of the model that others are compared with.
        methods: `striate.encoding.rdm_compare`.

    Returns:
        One row a method x readout x model x tap with the noise ceiling; and one a method x readout
        x other model x tap. Means over seeds.
    """
    rdms: list[np.ndarray] = []
    places: dict[tuple[str, str, str], list[int]] = {}
    for folder in scored:
        facts = read_json(folder / "done.json")
        with np.load(folder / "rdms.npz") as file:
            for readout, taps in facts["readouts"].items():
                for tap in taps if readout != BEST else ():
                    places.setdefault((readout, str(facts["model"]), tap), []).append(len(rdms))
                    rdms.append(file[tap])
    models = np.array(rdms)
    member = group_numbers(groups, models.shape[-1])
    rows, apart = [], []
    for method in methods:
        whole = compare_rdms(models, data, method).mean(axis=1)
        left = []
        for number in range(int(member.max()) + 1):
            kept = np.flatnonzero(member != number)
            some = compare_rdms(_part(models, kept), _part(data, kept), method)
            left.append(some.mean(axis=1))
        draws = np.array(left)  # (groups, models)
        ceiling = noise_ceiling_rdms(data, method)
        for place, own in places.items():
            value, _ = resampled_interval(float(whole[own].mean()), draws[:, own].mean(1), True)
            row = {"method": method, **dict(zip(("readout", "model", "tap"), place, strict=True))}
            rows.append(
                {
                    **row,
                    "similarity": value.value,
                    "low": value.low,
                    "high": value.high,
                    "seeds": len(own),
                    "seed_low": whole[own].min(),
                    "seed_high": whole[own].max(),
                    "ceiling_low": ceiling[0],
                    "ceiling_high": ceiling[1],
                }
            )
            first = next((p for p in places if p[:2] == (place[0], reference)), None)
            if first is None or place[1] == reference:
                continue
            gap = draws[:, places[first]].mean(1) - draws[:, own].mean(1)
            delta = float(whole[places[first]].mean() - whole[own].mean())
            found, p = resampled_interval(delta, gap, True)
            values = {"delta": delta, "low": found.low, "high": found.high, "p": p}
            apart.append({**row, "reference": reference, **values})
    table = pd.DataFrame(apart)
    if len(table):
        by = table.groupby(["method", "readout"])["p"]
        table["q"] = by.transform(lambda p: fdr(p.to_numpy()))
    return pd.DataFrame(rows), table
