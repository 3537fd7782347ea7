"""The pieces of a comparison: tune one model, take its features, score one subject.

Each piece is kept in the run folder under the hash of what decides it, so that a run which was
stopped goes on where it was.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from striate.core.cache import Cache
from striate.core.files import atomic_path
from striate.core.hashing import hash_array, hash_json
from striate.core.run import Cells
from striate.data import Dataset, Recording, Split, Target, assert_unseen
from striate.encoding import EncodeConfig, Encoding, encode, extract
from striate.evaluate.config import RunConfig
from striate.learning import TuneConfig, TuneData, tune
from striate.models import Model


@dataclass(frozen=True)
class Bench:
    """What every piece of one comparison shares.

    Attributes:
        config: the run's config.
        dataset: the recordings.
        split: the part of every stimulus.
        folder: the run folder.
        cache: where decoded images and features are kept.
        progress: whether to draw progress bars.
    """

    config: RunConfig
    dataset: Dataset
    split: Split
    folder: Path
    cache: Cache
    progress: bool = True
    leaks: list[dict[str, Any]] = field(default_factory=list)

    def images(self, recording: Recording, model: Model) -> np.ndarray:
        """A subject's images at the size the model takes, uint8 (N, size, size, 3)."""
        shape = model.preprocessing
        return recording.stimuli.decoded(shape.size, shape.resize, self.cache)

    def held_out(self, subject: str) -> bool:
        """Whether a subject is never used for tuning."""
        return subject in self.config.split.held_out

    def tune_data(self, target: Target, model: Model) -> TuneData:
        """What tuning needs of one target: images, responses of its units, and the parts."""
        recording = self.dataset[target.subject]
        return TuneData(
            name=target.name,
            subject=target.subject,
            images=self.images(recording, model),
            hashes=recording.stimuli.hashes,
            responses=np.asarray(recording.responses.mean()[:, target.units], dtype=np.float32),
            tune=self.split.part(target.subject, "tune"),
            select=self.split.part(target.subject, "select"),
        )


def tuned_model(
    bench: Bench, base: Model, targets: Sequence[Target], config: TuneConfig, name: str
) -> tuple[Model, dict[str, Any]]:
    """Tune `base` to one target, or pooled to several; resumes and reuses `models/<name>`."""
    folder = bench.folder / "models" / name
    started = time.monotonic()
    model = tune(
        base,
        [bench.tune_data(t, base) for t in targets],
        config,
        folder,
        device=bench.config.device,
        progress=bench.progress,
    )
    facts = {
        "folder": str(folder.relative_to(bench.folder)),
        "subjects": sorted({t.subject for t in targets}),
        "seconds": round(time.monotonic() - started, 1),
        "seen": len(model.seen),
    }
    return model, facts


def score_subject(
    bench: Bench,
    model: Model,
    method: str,
    subject: str,
    targets: Sequence[Target],
    chosen: Mapping[str, Encoding] | None = None,
) -> Encoding:
    """Score a model on one subject's units; kept in the run folder.

    Args:
        bench: what the comparison shares.
        model: what is scored.
        method: its name in the tables.
        subject: whose responses.
        targets: the ROIs, all of `subject`.
        chosen: settings of an earlier encoding, for protocol `paper_a`.

    Raises:
        LeakError: when the model has seen a stimulus it would be scored on.
    """
    recording = bench.dataset[subject]
    hashes = np.array(recording.stimuli.hashes)
    test = bench.split.part(subject, "test")
    what = f"{method}, subject {subject}"
    assert_unseen(model.seen, list(hashes[test]), what)
    bench.leaks.append(
        {"what": what, "seen": len(model.seen), "test": len(test), "overlap": 0, "ok": True}
    )
    config = bench.config.encode
    parts = {p: bench.split.part(subject, p) for p in ("tune", "fit", "select", "test")}
    responses = recording.responses.mean()
    units = np.unique(np.concatenate([t.units for t in targets]))
    key = {
        "model": model.fingerprint(),
        "images": hash_json(list(recording.stimuli.hashes)),
        "responses": hash_array(responses[:, units]),
        "preprocessing": model.preprocessing.to_dict(),
        "rois": {roi_key(t): hash_array(t.units) for t in targets},
        "parts": {p: hash_array(i) for p, i in parts.items()},
        "encode": config.to_dict(),
        "taps": list(_taps(bench, model)),
        "precision": bench.config.precision,
        "chosen": {k: v.settings_key() for k, v in (chosen or {}).items()},
        "version": 1,
    }
    cells = Cells(bench.folder / "cells")
    if cells.load(key) is not None:
        return Encoding.load(cells.path(key))
    features = extract(
        model,
        bench.images(recording, model),
        list(hashes),
        taps=_taps(bench, model),
        projection=config.projection,
        fit=_projection_rows(parts, config),
        cache=bench.cache,
        batch_size=bench.config.batch_size,
        device=bench.config.device,
        precision=bench.config.precision,
        progress=bench.progress,
    )
    encoding = encode(
        features,
        responses[:, units],
        {roi_key(t): np.searchsorted(units, t.units) for t in targets},
        parts,
        config,
        unit_ids=[recording.responses.unit_ids[u] for u in units],
    )
    encoding.save(cells.path(key))
    cells.store(key, {"method": method, "subject": subject})
    return encoding


def _taps(bench: Bench, model: Model) -> tuple[str, ...]:
    return tuple(bench.config.encode.taps or model.taps)


def _projection_rows(parts: Mapping[str, np.ndarray], config: EncodeConfig) -> np.ndarray:
    """Rows that a PCA may be fitted on: those the readout is fitted on, never `test`."""
    return np.sort(np.concatenate([parts[p] for p in (*config.readout_parts, "select")]))


def roi_key(target: Target) -> str:
    """One name for a target within a subject: `lh/V1v`."""
    return f"{target.hemisphere}/{target.roi}"


def unit_rows(
    encoding: Encoding, recording: Recording, targets: Iterable[Target], method: str, kind: str
) -> pd.DataFrame:
    """One row a unit of every target, in the columns of `scores.parquet`."""
    coords = recording.responses.data.coords
    rows = []
    for target in targets:
        roi = encoding.rois[roi_key(target)]
        ceiling = recording.responses.noise_ceiling[target.units]
        rows.append(
            pd.DataFrame(
                {
                    "subject": target.subject,
                    "session": coords["session"].values[target.units].astype(str),
                    "hemisphere": target.hemisphere,
                    "roi": target.roi,
                    "unit_id": [recording.responses.unit_ids[u] for u in target.units],
                    "model": method,
                    "generalization": kind,
                    "tap": roi.tap,
                    "alpha": roi.alpha,
                    "r": roi.r,
                    "r2": roi.r2,
                    "ceiling": ceiling,
                    "r_normalized": roi.normalized(ceiling),
                    "simulated": recording.responses.simulated,
                }
            )
        )
    return pd.concat(rows, ignore_index=True)


def write_parquet(table: pd.DataFrame, path: Path) -> None:
    """Write a table as parquet, atomically."""
    with atomic_path(path) as temporary:
        table.to_parquet(temporary, index=False)
