"""Recordings made ready to be predicted: copies joined, divided into rounds, RDMs of the trials."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from striate.core.errors import InputError
from striate.data import Split
from striate.data.responses.dataset import Dataset, Recording
from striate.data.responses.tidy import tidy
from striate.data.splits.split import group_stimuli, load_split, make_split
from striate.encoding.crossnobis import rdm_crossnobis
from striate.encoding.readout import check_components
from striate.encoding.rounds import Round, check_rounds, grouped_rounds, split_rounds
from striate.evaluate.common.lookalikes import describe_lookalikes
from striate.evaluate.neurons.config import PredictivityConfig


@dataclass(frozen=True)
class Material:
    """A data set made ready.

    Attributes:
        name: of the data set in tables.
        config: how it is scored.
        dataset: the recordings, copies of an image joined.
        split: the part of every stimulus for `divide: split`; otherwise it knows the groups alone.
        notes: what was changed or left out.
    """

    name: str
    config: PredictivityConfig
    dataset: Dataset
    split: Split
    notes: tuple[str, ...] = ()

    @classmethod
    def read(
        cls, name: str, config: PredictivityConfig, saved: str | Path | None = None
    ) -> Material:
        """Read and divide a data set; InputError where it does not fit."""
        return cls.of(name, config, config.data.read(), saved)

    @classmethod
    def of(
        cls,
        name: str,
        config: PredictivityConfig,
        dataset: Dataset,
        saved: str | Path | None = None,
    ) -> Material:
        """Divide a data set that is there already, or take the split of an earlier run.

        Args:
            name: of the data set in tables.
            config: how it is scored.
            dataset: the recordings.
            saved: where an earlier run with the same settings may have saved its split.
        """
        dataset, notes = tidy(dataset)
        split = None if saved is None else load_split(saved, dataset)
        if config.divide == "split":
            split = split or make_split(dataset, config.split)
            notes += describe_lookalikes(split, config.split)
        else:
            split = split or group_stimuli(dataset, config.split.lookalikes)
        return cls(name, config, dataset, split, tuple(notes))

    def groups(self, subject: str) -> tuple[str, ...]:
        """What each stimulus is resampled and shuffled with, `` where it stands alone.

        Groups that the data state and look-alikes, also where `divide: stimuli` tests their members
        apart.
        """
        return tuple(self.split.groups(subject))

    def rounds(self, subject: str) -> list[Round]:
        """What is fitted and tested of a subject's stimuli.

        Raises:
            LeakError: an image or a group of images would be both.
        """
        config, stimuli = self.config, self.dataset[subject].stimuli
        readout, together = config.readout, self.groups(subject)
        groups = together if any(together) else None
        if config.divide == "split":
            parts = {p: self.split.part(subject, p) for p in ("fit", "select", "test")}
            out = split_rounds(parts, readout.folds, readout.seed, groups)
        else:
            if config.divide == "stimuli":
                groups = None
            elif not any(stimuli.groups):
                raise InputError(f"{self.name}: its stimuli have no groups to divide by.")
            labels = groups or ("",) * len(stimuli)
            out = grouped_rounds(labels, config.rounds, readout.folds, readout.seed)
        check_rounds(out, stimuli.hashes, groups)
        return out

    def check(self) -> None:
        """Refuse settings that the stimuli of a subject do not allow, before anything is computed.

        Raises:
            InputError: naming the data set and the subject.
        """
        for subject in self.dataset:
            where = f"{self.name}, subject {subject}: "
            check_components(self.rounds(subject), self.config.readout, where)

    def labels(self, subject: str) -> np.ndarray:
        """What each stimulus is resampled with, (N,) strings: its group, or else its image."""
        pairs = zip(self.groups(subject), self.dataset[subject].stimuli.hashes, strict=True)
        return np.array([group or digest for group, digest in pairs])

    def rdms(self) -> np.ndarray:
        """Crossnobis RDMs of all subjects, who must have seen the same stimuli, (S, N, N)."""
        recordings = list(self.dataset.values())
        if any(r.stimuli.ids != recordings[0].stimuli.ids for r in recordings):
            raise InputError(f"{self.name}: subjects saw other stimuli; RDMs cannot be averaged.")
        noise = str(self.config.rsa)
        return np.array([rdm_crossnobis(varying(r), noise=noise) for r in recordings])


def varying(recording: Recording) -> np.ndarray:
    """Single trials (N, n_repeats, V) of the units whose trials differ for 3 stimuli or more.

    A pair of stimuli is weighed by the noise of the others, so fewer leave nothing to divide by.
    """
    trials = recording.responses.data.values
    return np.asarray(trials[..., (np.nanvar(trials, axis=1) > 0).sum(axis=0) >= 3])
