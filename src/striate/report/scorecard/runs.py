"""Run folders and model folders as a scorecard takes them in: scores, models, where they lie."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from striate.core.config import read_yaml
from striate.core.errors import InputError
from striate.core.files import read_json
from striate.core.hashing import hash_json
from striate.encoding.inference import mean_interval
from striate.evaluate.common.measurement import FILE as SCORED
from striate.evaluate.common.measurement import Measurement
from striate.evaluate.common.model_records import FILE as MODELS
from striate.evaluate.common.model_records import model_record
from striate.models import load
from striate.models.store import is_model_folder
from striate.report.scorecard.sources import TWIN, measurements_of

ENDS = (
    (("humans", "stimuli"), "behavior.json"),
    (("stimuli", "textures"), "probe.json"),
    (("sets", "freeman_ziemba", "models"), "notes.json"),
    (("encode", "methods"), "warnings.json"),
    (("front", "training"), "training.json"),
    (("photographs", "credit"), "model/config.json"),
)
"""The settings by which a run is known, and the file that is there when it has come to its end."""


@dataclass(frozen=True)
class Known:
    """A model of a run, or a group of them that is shown as one.

    Attributes:
        name: in the tables of the run.
        identity: the same in every run that scored these weights.
        id: of the network.
        models: how many a group holds; 1 for a model.
        simulated: whether it was tuned to simulated responses.
        matched: whether the run tells its weights; else it is like no model of another run.
    """

    name: str
    identity: str
    id: str
    models: int = 1
    simulated: bool = False
    matched: bool = True


@dataclass(frozen=True)
class Run:
    """A run folder, or a model folder (which has a model and no scores).

    Attributes:
        folder: where it lies.
        models: by name in its tables, groups in place of their members.
        measurements: what it measured, a group's as one.
        started: when, as text that sorts; '' where unknown.
        versions: of the libraries.
        notes: what a reader must be told.
        is_model: whether it is a model folder.
    """

    folder: Path
    models: dict[str, Known]
    measurements: tuple[Measurement, ...] = ()
    started: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    is_model: bool = False


def read_run(folder: str | Path) -> Run:
    """Read a run folder or a model folder.

    Raises:
        InputError: neither of them, or a run that was stopped before its end.
    """
    folder = Path(folder)
    if is_model_folder(folder):
        return _model(folder, folder.resolve().name)
    if not (folder / "config.yaml").is_file():
        what = "is no run or model folder: it has no config.yaml and no config.json"
        raise InputError(
            f"{folder} {what if folder.is_dir() else 'does not exist'}. Give folders that striate "
            "predict, probe, behave, train, compare or encode wrote, or folders of models."
        )
    config = read_yaml(folder / "config.yaml")
    if any(config.keys() >= set(k) and not (folder / last).exists() for k, last in ENDS):
        raise InputError(
            f"{folder} holds a run that was stopped before its end. Call the same command again; "
            "it goes on where it was."
        )
    scored = (folder / SCORED).exists()
    if is_model_folder(folder / "model") and not scored:  # grown: nothing was measured
        return _model(folder / "model", folder.resolve().name)
    try:
        found = measurements_of(folder, config)
        records, notes = _records(folder, found)
        models, members = _grouped(records)
    except InputError as error:  # names the file
        what = "its tables are damaged or those of another version"
        raise InputError(f"{folder}: {what}: {error}") from error
    except (KeyError, AttributeError, TypeError, ValueError, OSError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise InputError(
            f"{folder}: its tables are damaged or those of another version ({what}). Call its "
            "command again with this version, into a new folder."
        ) from error
    told = read_json(folder / "provenance.json") if (folder / "provenance.json").exists() else {}
    if not found:
        notes.append(f"{folder} holds nothing that a scorecard shows.")
    return Run(
        folder,
        models,
        tuple(_as_groups(_beside_random(found, records), members)),
        str(told.get("started", "")),
        {str(k): str(v) for k, v in told.get("versions", {}).items()},
        tuple(notes),
    )


def _model(folder: Path, name: str) -> Run:
    record = model_record(name, load(str(folder)))
    known = Known(name, record["weights"], record["id"], simulated=record["simulated"])
    return Run(folder, {name: known}, is_model=True)


def _records(run: Path, found: Sequence[Measurement]) -> tuple[list[dict[str, Any]], list[str]]:
    """Records of `models.json`; for models without one, records that match in no other run."""
    records: list[dict[str, Any]] = []
    kept = read_json(run / MODELS) if (run / MODELS).exists() else None
    if isinstance(kept, dict):
        records = list(kept["models"])
    told = {r["name"] for r in records} | {r["group"] for r in records}
    ids: dict[str, Any] = {}
    for name in ("probe.json", "behavior.json"):  # of a run before there was a models.json
        if (run / name).exists():
            ids |= read_json(run / name)["models"]
    missing = [m for m in dict.fromkeys(m.model for m in found) if m not in told]
    for name in missing:
        own = ids.get(name, {})
        alone = hash_json([str(run.resolve()), name])
        records.append(
            {
                "name": name,
                "group": own.get("group"),
                "id": own.get("id", ""),
                "weights": alone,
                "fingerprint": own.get("fingerprint", ""),
                "simulated": bool(own.get("simulated", False)),
                "matched": False,
            }
        )
    unknown = f"{run.name} tells no weights of its models"
    if told and missing:
        unknown = f"{run.name} tells no weights of {', '.join(missing[:3])}"
        unknown += f" and {len(missing) - 3} more" if len(missing) > 3 else ""
    notes = [
        f"{unknown}: they are matched with no model of another run. For a run of an earlier "
        "version, call its command again; what that version kept may be computed anew. Decisions "
        "made elsewhere have no weights."
    ]
    return records, notes if missing else []


def _grouped(records: Sequence[dict[str, Any]]) -> tuple[dict[str, Known], dict[str, list[str]]]:
    """Models by name, groups in place of their members; and the members of each group."""
    models: dict[str, Known] = {}
    groups: dict[str, list[dict[str, Any]]] = {}
    for record in records:
        groups.setdefault(record["group"] or record["name"], []).append(record)
    for name, own in groups.items():
        weights = sorted({r["weights"] for r in own})
        models[name] = Known(
            name,
            weights[0] if len(weights) == 1 else hash_json(weights),
            own[0]["id"],
            len(weights),
            any(r["simulated"] for r in own),
            all(r.get("matched", True) for r in own),
        )
    return models, {g: [r["name"] for r in own] for g, own in groups.items()}


def _as_groups(found: Sequence[Measurement], members: dict[str, list[str]]) -> list[Measurement]:
    """Measurements of the models of a group as one: their mean, Student's t over models."""
    group_of = {name: group for group, names in members.items() for name in names}
    parts: dict[str, list[Measurement]] = {}
    for one in found:
        group = group_of.get(one.model, one.model)
        key = hash_json([one.measure, one.row, one.protocol, one.simulated, group])
        parts.setdefault(key, []).append(one)
    out = []
    for own in parts.values():
        group = group_of.get(own[0].model, own[0].model)
        if len({m.model for m in own}) == 1:
            out += [replace(m, model=group) for m in own]
            continue
        mean = mean_interval(np.array([m.value for m in own], dtype=float))
        out.append(
            replace(
                own[0],
                model=group,
                value=mean.value,
                low=mean.low,
                high=mean.high,
                over=f"{len(own)} models",
                normalized=_mean([m.normalized for m in own]),
                explained=_mean([m.explained for m in own]),
                random=_mean([m.random for m in own]),
                null=_mean([m.null for m in own]),
                detail=f"mean of {len(own)} models",
            )
        )
    return out


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))


def _beside_random(
    found: Sequence[Measurement], records: Sequence[dict[str, Any]]
) -> list[Measurement]:
    """Where a run scored a network with random weights too, that is the others' control."""
    ids = {r["name"]: str(r["id"]) for r in records}
    random = {
        (ids[m.model].removesuffix(TWIN), m.measure, m.row, json.dumps(m.protocol)): m.value
        for m in found
        if ids.get(m.model, "").endswith(TWIN)
    }
    out = []
    for one in found:
        own = ids.get(one.model, "")
        value = random.get((own, one.measure, one.row, json.dumps(one.protocol)))
        fits = value is not None and pd.isna(one.random)
        out.append(replace(one, random=value) if fits and value is not None else one)
    return out
