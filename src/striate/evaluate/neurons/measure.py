"""Score one model on one data set and keep it: the readout on features, data and files.

A folder is written for each model and data set: `units.parquet` (`tables.unit_table`),
`predictions.npz` (what was tested, for bootstraps), `taps.parquet`, `null.parquet`, `rdms.npz`
(where single trials allow RDMs of the responses) and, last, `done.json`. A folder whose `done.json`
has the same key, all that decides the scores, is not scored again.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from striate.core.cache import Cache
from striate.core.files import read_json, write_arrays, write_json, write_table
from striate.core.hashing import hash_array, hash_json
from striate.data import (
    assert_unseen_in,
)
from striate.encoding import (
    Predicted,
    ProjectionConfig,
    Round,
    extract,
    mean_r,
    null_means,
    predict,
    rdm_squared_euclidean,
)
from striate.encoding.null import null_row
from striate.evaluate.neurons.inputs import Material
from striate.evaluate.neurons.tables import ceilings, unit_table
from striate.models import Model

VERSION = 3
"""Raised when the meaning of a kept score changes, so that older ones are made again.

Since 2 nulls shuffle whole groups, rounds are kept beside predictions, ceilings have a source;
since 3 nulls over several rounds fit every round anew."""


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
            compute=config.compute(cache, progress=False),
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
