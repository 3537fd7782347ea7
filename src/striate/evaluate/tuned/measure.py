"""The pieces of a comparison: tune one model, take its features, score one subject.

Each piece is kept in the run folder under the hash of what decides it, so that a run which was
stopped goes on where it was.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from striate.core.compute import Compute
from striate.core.errors import InputError
from striate.core.hashing import hash_array, hash_json
from striate.core.run import Pieces
from striate.data import PARTS, Dataset, Split, StimulusSet, Target, assert_unseen_in
from striate.encoding import Encoding, encode, extract
from striate.evaluate.common.lookalikes import lookalike_facts
from striate.evaluate.tuned.config import RunConfig
from striate.learning import TuneConfig, TuneData, tune
from striate.models import Model

VERSION = 1
"""Raised when the meaning of a kept score changes, so that older ones are not found."""
GROUPS_VERSION = 2
"""The same for scores of stimuli in groups: since 2 their null shuffles whole groups."""


@dataclass(frozen=True)
class Bench:
    """What every piece of a run shares.

    Attributes:
        config: the run's config.
        dataset: the recordings.
        split: the part of every stimulus.
        folder: the run folder.
        compute: how features are computed, and where they and decoded images are kept.
        notes: what was changed or left out when the data were read.
        given: models that were given, by name.
        leaks: one entry for each leak check that was passed (else the run stops), in order.
    """

    config: RunConfig
    dataset: Dataset
    split: Split
    folder: Path
    compute: Compute
    notes: tuple[str, ...] = ()
    given: Mapping[str, Model] = field(default_factory=dict)
    leaks: list[dict[str, Any]] = field(default_factory=list)

    @cached_property
    def means(self) -> dict[str, np.ndarray]:
        """Responses averaged over repeats, (N, V), by subject."""
        return {s: r.responses.mean() for s, r in self.dataset.items()}

    def decoded(self, stimuli: StimulusSet, model: Model) -> np.ndarray:
        """Decode images at the size the model takes, uint8 (N, size, size, 3)."""
        shape = model.preprocessing
        return stimuli.decoded(shape.size, shape.resize, self.compute.cache)

    def note(self, what: str, **facts: Any) -> None:
        """Add a line to the run's `metrics.jsonl`."""
        with (self.folder / "metrics.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps({"what": what, **facts}) + "\n")


def roi_key(target: Target) -> str:
    """Name a target within a subject: `lh/V1v`."""
    return f"{target.hemisphere}/{target.roi}" if target.hemisphere else target.roi


def tuned_model(
    bench: Bench, base: Model, targets: Sequence[Target], config: TuneConfig, name: str
) -> Model:
    """Tune `base` to one target, or pooled to several; resume and reuse `models/<name>`."""
    started = time.monotonic()
    folder = bench.folder / "models" / name
    data = [_make_tune_data(bench, target, base) for target in targets]
    compute = bench.compute
    model = tune(base, data, config, folder, device=compute.device, progress=compute.progress)
    bench.note("tuned", model=name, seconds=round(time.monotonic() - started, 2))
    return model


def _make_tune_data(bench: Bench, target: Target, model: Model) -> TuneData:
    """Gather the images and responses that a model is tuned to for one target."""
    recording = bench.dataset[target.subject]
    unit_ids = recording.responses.unit_ids
    return TuneData(
        name=target.name,
        subject=target.subject,
        images=bench.decoded(recording.stimuli, model),
        hashes=recording.stimuli.hashes,
        file_hashes=recording.stimuli.file_hashes,
        responses=np.asarray(bench.means[target.subject][:, target.units], dtype=np.float32),
        tune=bench.split.part(target.subject, "tune"),
        select=bench.split.part(target.subject, "select"),
        simulated=recording.responses.simulated,
        unit_ids=[unit_ids[u] for u in target.units],
    )


def score_subject(
    bench: Bench,
    model: Model,
    name: str,
    subject: str,
    targets: Sequence[Target],
    chosen: Encoding | None = None,
) -> Path:
    """Score a model on one subject's units, and keep the scores in the run folder.

    Args:
        bench: what the run shares.
        model: what is scored.
        name: of the model, for messages and the record of leak checks.
        subject: whose responses.
        targets: the ROIs, all of `subject`.
        chosen: the untuned network's encoding, for protocol `paper_a`.

    Returns:
        The folder of the `Encoding`; its ROIs are named by `roi_key`.

    Raises:
        LeakError: when the model has seen a stimulus it would be scored on.
    """
    recording, config = bench.dataset[subject], bench.config.encode
    check_unseen(bench, model, name, subject)
    rows = bench.split.part(subject, *config.parts)
    parts: dict[str, np.ndarray] = {
        part: np.searchsorted(rows, bench.split.part(subject, part))
        for part in PARTS
        if part in config.parts
    }
    units = np.unique(np.concatenate([t.units for t in targets]))
    unit_ids = recording.responses.unit_ids
    responses = np.asarray(bench.means[subject][rows][:, units])
    stimuli = recording.stimuli.subset(rows)
    taps = tuple(config.taps or model.taps)
    key: dict[str, Any] = {
        "model": model.fingerprint(),
        "images": hash_json(list(stimuli.hashes)),
        "responses": hash_array(responses),
        "rois": {roi_key(t): hash_array(t.units) for t in targets},
        "parts": {part: hash_array(i) for part, i in parts.items()},
        "encode": config.to_dict(),
        "taps": list(taps),
        "precision": bench.compute.precision,
        "chosen": chosen.settings_key() if chosen else None,
        "version": VERSION,
    }
    labels = bench.split.groups(subject, rows)
    groups = labels if any(labels) else None
    if groups:
        key["groups"] = {"labels": list(groups), "version": GROUPS_VERSION}
    pieces = Pieces(bench.folder / "pieces")
    if pieces.load(key) is not None:
        return pieces.path(key)
    started = time.monotonic()
    features = extract(
        model,
        bench.decoded(stimuli, model),
        stimuli.hashes,
        taps=taps,
        projection=config.projection,
        fit=np.sort(np.concatenate([parts[p] for p in config.fitted_parts])),
        compute=bench.compute,
    )
    try:
        encoding = encode(
            features,
            responses,
            {roi_key(t): np.searchsorted(units, t.units) for t in targets},
            parts,
            config,
            unit_ids=[unit_ids[u] for u in units],
            chosen=chosen,
            groups=groups,
        )
    except InputError as error:
        raise type(error)(f"{name}, subject {subject}: {error}") from error
    encoding.save(pieces.path(key))
    seconds = round(time.monotonic() - started, 2)
    pieces.store(key, {"model": name, "subject": subject, "seconds": seconds})
    bench.note("scored", model=name, subject=subject, seconds=seconds)
    return pieces.path(key)


def check_unseen(bench: Bench, model: Model, name: str, subject: str) -> None:
    """Refuse to score on stimuli that the model has seen; else note what was compared.

    Raises:
        LeakError: as `striate.data.assert_unseen`.
    """
    assert_unseen_in(model, bench.dataset, bench.split, subject, f"{name}, subject {subject}")
    tested = bench.split.part(subject, "test")
    hashes = bench.dataset[subject].stimuli.hashes
    bench.leaks.append(
        {
            "model": name,
            "subject": subject,
            "seen": len(model.seen),
            "test": len({hashes[row] for row in tested}),
        }
    )


def leak_facts(bench: Bench) -> dict[str, Any]:
    """Say what was checked for leaks, and count images that are in two parts of the split."""
    table = bench.split.table
    parts = table[table["part"] != "unused"].groupby("hash")["part"].nunique()
    return {
        "images": int(table["hash"].nunique()),
        "images_in_two_parts": int((parts > 1).sum()),
        "images_of_several_subjects": int((table.groupby("hash")["subject"].nunique() > 1).sum()),
        # What was compared before each score. An image in both raises LeakError, so that
        # nothing is written: a check that stands here has found none.
        "on_overlap": "refused",
        "lookalikes": lookalike_facts(bench.split, bench.config.split),
        "checks": bench.leaks,
    }
