"""Score one model on one data set and keep it: the readout on features, data and files.

A folder is written for each model and data set: `units.parquet` (`tables.unit_table`),
`predictions.npz` (what was tested, for bootstraps), `taps.parquet`, `null.parquet`, `rdms.npz`
(where single trials allow RDMs of the responses) and, last, `done.json`. A folder whose `done.json`
has the same key, all that decides the scores, is not scored again.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from striate.core.cache import Cache
from striate.core.compute import Compute
from striate.core.config import Config
from striate.core.errors import InputError
from striate.core.files import read_json, write_arrays, write_json, write_table
from striate.core.hashing import hash_array, hash_json
from striate.data import (
    Dataset,
    Recording,
    Split,
    SplitConfig,
    assert_unseen_in,
    group_stimuli,
    load_split,
    make_split,
    tidy,
)
from striate.encoding import (
    Predicted,
    ProjectionConfig,
    ReadoutConfig,
    Round,
    check_rounds,
    extract,
    grouped_rounds,
    mean_r,
    null_means,
    predict,
    rdm_crossnobis,
    rdm_squared_euclidean,
    split_rounds,
)
from striate.encoding.null import null_row
from striate.encoding.readout import check_components
from striate.evaluate.common.choices import DataConfig
from striate.evaluate.common.lookalikes import describe_lookalikes
from striate.evaluate.neurons.tables import ceilings, unit_table
from striate.models import Model

VERSION = 3
"""Raised when the meaning of a kept score changes, so that older ones are made again.

Since 2 nulls shuffle whole groups, rounds are kept beside predictions, ceilings have a source;
since 3 nulls over several rounds fit every round anew."""


class PredictivityConfig(Config):
    """One data set and how models are scored on it; the same for every model."""

    data: DataConfig
    image_size: int = Field(112, gt=0)
    """Side in pixels at which every model sees the images, whatever size it was trained at."""
    grid: int | None = Field(6, gt=0)
    """Maps are averaged to grid x grid, so that every tap is read at the same places; a map that
    has fewer positions keeps those it has. None keeps every position."""
    divide: Literal["split", "groups", "stimuli"] = "split"
    """`split`: by the hash of the image, tested once. `groups`: every group of stimuli, such as a
    movie, is tested in one of several rounds. `stimuli`: the same with single stimuli, whose near
    copies may then be fitted: an easier question."""
    split: SplitConfig = SplitConfig(tune=0.0, fit=0.75, select=0.10, test=0.15)
    rounds: int = Field(5, ge=2)
    """For `groups` and `stimuli`."""
    readout: ReadoutConfig = ReadoutConfig()
    rsa: Literal["covariance", "diagonal", "none"] | None = None
    """Also compare RDMs, whose noise is whitened so; needs single trials. None: do not."""
    batch_size: int = Field(64, gt=0)
    device: str = "auto"


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


def score_model(
    model: Model,
    material: Material,
    readouts: Mapping[str, Sequence[str]],
    folder: str | Path,
    *,
    name: str,
    seed: int = 0,
    cache: Cache | None = None,
) -> bool:
    """Score a model on every subject of a data set and write `folder`.

    Args:
        model: its input size is set to the data set's for the time of scoring.
        material: the data set.
        readouts: taps to choose from, by name (`encoding.predict`).
        folder: for the files; what is there with the same key is kept.
        name, seed: of the model, in tables.
        cache: for images and features.

    Returns:
        Whether anything had to be computed.

    Raises:
        LeakError: the model has seen a stimulus that it would be tested on.
        InputError: a tap or settings that do not fit.
    """
    folder, config, cache = Path(folder), material.config, cache or Cache()
    given = model.preprocessing
    model.preprocessing = replace(given, size=config.image_size)
    try:
        rounds = {s: material.rounds(s) for s in material.dataset}
        leaks = [_check_unseen(model, material, s, rounds[s], name) for s in material.dataset]
        key = _make_key(model, material, readouts, name, seed)
        done = folder / "done.json"
        if done.exists() and read_json(done).get("key") == key:
            return False
        done.unlink(missing_ok=True)
        started = time.monotonic()
        facts = _score_subjects(model, material, rounds, readouts, folder, name, seed, cache)
        facts |= {"model": name, "seed": seed, "id": model.id, "leaks": leaks}
        facts |= {"seconds": round(time.monotonic() - started, 1), "notes": list(material.notes)}
        write_json(done, {**facts, "key": key})
    finally:
        model.preprocessing = given
    return True


def _check_unseen(
    model: Model, material: Material, subject: str, rounds: Sequence[Round], name: str
) -> dict[str, Any]:
    """Refuse test stimuli that the model has seen; return what was compared."""
    tested = np.concatenate([fitted.test for fitted in rounds])
    what = f"{name} on {material.name}, subject {subject}"
    assert_unseen_in(model, material.dataset, material.split, subject, what, tested)
    return {"subject": subject, "seen": len(model.seen), "tested": len(tested)}


def _make_key(
    model: Model, material: Material, readouts: Mapping[str, Sequence[str]], name: str, seed: int
) -> dict[str, Any]:
    config = material.config.to_dict()
    for place in ("data", "device", "batch_size"):  # the content below counts, not where it lies
        config.pop(place)
    return {
        "name": [name, seed],
        "model": model.fingerprint(),
        "config": config,
        "readouts": {readout: list(taps) for readout, taps in readouts.items()},
        "images": {s: hash_json(list(r.stimuli.hashes)) for s, r in material.dataset.items()},
        "responses": {s: hash_array(r.responses.data.values) for s, r in material.dataset.items()},
        "ceilings": {s: hash_array(r.responses.noise_ceiling) for s, r in material.dataset.items()},
        "version": VERSION,
    }


def _score_subjects(
    model: Model,
    material: Material,
    rounds: Mapping[str, Sequence[Round]],
    readouts: Mapping[str, Sequence[str]],
    folder: Path,
    name: str,
    seed: int,
    cache: Cache,
) -> dict[str, Any]:
    config = material.config
    wanted = list(dict.fromkeys(tap for taps in readouts.values() for tap in taps))
    units, nulls, chosen = [], [], []
    arrays: dict[str, np.ndarray] = {}
    rdms: dict[str, np.ndarray] = {}
    sizes: dict[str, int] = {}
    for subject, recording in material.dataset.items():
        features = extract(
            model,
            recording.stimuli.decoded(config.image_size, model.preprocessing.resize, cache),
            recording.stimuli.hashes,
            taps=wanted,
            projection=ProjectionConfig(kind="none", grid=config.grid),
            compute=Compute(config.device, config.batch_size, cache=cache, progress=False),
        )
        sizes = {tap: values.shape[1] for tap, values in features.items()}
        predicted = predict(
            features, recording.responses.mean(), rounds[subject], readouts, config.readout
        )
        place = {"data": material.name, "model": name, "seed": seed, "subject": subject}
        limits = ceilings(recording.responses, predicted)
        groups = material.split.groups(subject, predicted.rows)
        facts = {**place, "simulated": recording.responses.simulated}
        units.append(unit_table(predicted, recording.responses.unit_ids, limits, groups, **facts))
        for readout, kind in predicted.predictions:
            null = null_means(
                predicted,
                readout,
                kind,
                config.readout,
                groups,
                features=features,
                rounds=rounds[subject],
            )
            r = mean_r(predicted.score(readout, kind)[0])
            row = null_row(r, null, len(predicted.rows), groups)
            row["null"] = row["null_mean"]
            columns = ("r", "null", "null_95", "p", "arrangements")
            shown = {column: row[column] for column in columns}
            nulls.append({**place, "readout": readout, "kind": kind, **shown})
        by_tap = {tap: s for scores in predicted.tap_scores.values() for tap, s in scores.items()}
        for tap, scores in by_tap.items():
            chosen += [{**place, "tap": tap, "round": i, "score": s} for i, s in enumerate(scores)]
        arrays |= _arrays_to_keep(subject, predicted, material.labels(subject))
        if config.rsa and not rdms:
            rdms = {tap: rdm_squared_euclidean(np.asarray(x)) for tap, x in features.items()}
    folder.mkdir(parents=True, exist_ok=True)
    for file, table in (("units", pd.concat(units)), ("null", nulls), ("taps", chosen)):
        write_table(folder / f"{file}.parquet", pd.DataFrame(table))
    write_arrays(folder / "predictions.npz", arrays, compressed=False)
    if rdms:
        write_arrays(folder / "rdms.npz", rdms, compressed=False)
    return {"features": sizes, "readouts": {r: list(taps) for r, taps in readouts.items()}}


def _arrays_to_keep(
    subject: str, predicted: Predicted, labels: np.ndarray
) -> dict[str, np.ndarray]:
    """What a bootstrap needs, less means within rounds, by `SUBJECT/what`."""
    arrays = {
        f"{subject}/label": labels[predicted.rows],
        f"{subject}/round": predicted.round,
        f"{subject}/observed": predicted.centered(predicted.observed).astype(np.float32),
    }
    for (readout, kind), values in predicted.predictions.items():
        arrays[f"{subject}/{readout}/{kind}"] = predicted.centered(values).astype(np.float32)
    return arrays
