"""Kept scores of models, resampled alike, and the interval of a value from its resamples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import stats

from striate.core.errors import InputError
from striate.core.files import read_json
from striate.core.walk import files_below
from striate.encoding import Interval, mean_r, percentile_interval, score_r
from striate.encoding.inference import bootstrap_counts, resampled_means
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
    found = sorted(path.parent for path in files_below(root, lambda p: p.name == "done.json"))
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
