"""Kept scores of models, resampled alike, and the interval of a value from its resamples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from striate.core.errors import InputError
from striate.core.files import read_json
from striate.core.walk import files_below
from striate.encoding import Interval, Resampling, mean_r, score_r
from striate.encoding.inference import resampled_means
from striate.encoding.resampling import resample_groups

BEST = "best tap"
"""Name of the readout that chooses among all taps of a model."""


@dataclass(frozen=True)
class ResampledScore:
    """One model's score of one readout and kind.

    Attributes:
        by_session: (S,) mean r over units.
        draws: (samples,) mean over sessions in each resample.
        resampling: what the resamples are of.
    """

    by_session: np.ndarray
    draws: np.ndarray
    resampling: Resampling

    @property
    def r(self) -> float:
        """Mean over sessions."""
        return mean_r(self.by_session)

    @property
    def interval(self) -> Interval:
        """95 % over images or groups."""
        return self.resampling.interval(self.r, self.draws)

    @property
    def p(self) -> float:
        """Two-sided, over images or groups, of the value being 0."""
        return self.resampling.p(self.r, self.draws)

    def less(self, other: ResampledScore) -> ResampledScore:
        """The paired difference."""
        return ResampledScore(
            self.by_session - other.by_session, self.draws - other.draws, self.resampling
        )


class Key(NamedTuple):
    """Whose score it is, and of which readout."""

    model: str
    seed: int
    readout: str
    kind: str


def folders(root: str | Path) -> list[Path]:
    """Folders of finished scores below `root`, sorted; InputError if there are none."""
    finished = sorted(path.parent for path in files_below(root, lambda p: p.name == "done.json"))
    if not finished:
        raise InputError(f"{root} has no finished scores (no done.json).")
    return finished


def load_scored(
    scored: Sequence[Path], samples: int = 1000, seed: int = 0
) -> dict[Key, ResampledScore]:
    """Resample all models of one data set in the same way, groups of stimuli whole.

    Args:
        scored: their folders.
        samples: number of resamples of the stimuli.
        seed: of the draws.

    Raises:
        InputError: they were scored on other stimuli, or with other settings.
    """
    out: dict[Key, ResampledScore] = {}
    counts: dict[str, np.ndarray] = {}
    rounds: dict[str, np.ndarray] = {}
    tested: dict[str, np.ndarray] = {}
    first: object = None
    resampling: Resampling | None = None
    for folder in scored:
        facts = read_json(folder / "done.json")
        with np.load(folder / "predictions.npz") as file:
            arrays = dict(file)
        subjects = list(dict.fromkeys(name.split("/")[0] for name in arrays))
        if any(f"{s}/round" not in arrays for s in subjects):
            raise InputError(
                f"{folder} was scored by an earlier version, which did not keep the rounds of "
                "stimuli. Delete it and score again."
            )
        labels = {s: arrays[f"{s}/label"] for s in subjects}
        settings = facts["key"]["config"]
        if resampling is None:
            tested, first = labels, settings
            rounds = {s: arrays[f"{s}/round"] for s in subjects}
            resampling, counts = _shared_resampling(labels, rounds, samples, seed)
        same = list(tested) == subjects and first == settings
        if not same or any((tested[s].tolist() != labels[s].tolist()) for s in subjects):
            raise InputError(
                f"{folder} was scored on other stimuli or with other settings than {scored[0]}. "
                "Score it again with this config, or delete it."
            )
        keys = [n.split("/", 1)[1] for n in arrays if n.startswith(f"{subjects[0]}/")]
        for name in (k for k in keys if k not in ("label", "round", "observed")):
            readout, kind = name.rsplit("/", 1)
            r, draws = [], []
            for s in subjects:
                y, x = arrays[f"{s}/observed"], arrays[f"{s}/{name}"]
                r.append(mean_r(score_r(y, x)))
                draws.append(resampled_means(y, x, counts[s], rounds[s]))
            key = Key(str(facts["model"]), int(facts["seed"]), readout, kind)
            out[key] = ResampledScore(np.array(r), np.nanmean(draws, axis=0), resampling)
    return out


def _shared_resampling(
    labels: Mapping[str, np.ndarray], rounds: Mapping[str, np.ndarray], samples: int, seed: int
) -> tuple[Resampling, dict[str, np.ndarray]]:
    """Resamples of the images or groups of all subjects, and (samples, n) counts of each one's."""
    every = np.unique(np.concatenate(list(labels.values())))
    alone = all(len(np.unique(label)) == len(label) for label in labels.values())
    n_rounds = max(len(np.unique(numbers)) for numbers in rounds.values())
    drawn = resample_groups(len(every), not alone, samples, seed, n_rounds)
    counts = {s: drawn.counts[:, np.searchsorted(every, label)] for s, label in labels.items()}
    return drawn, counts
