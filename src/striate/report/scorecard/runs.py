"""Run folders and model folders as a scorecard takes them in: scores, models, where they lie."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from striate.core.config import read_yaml
from striate.core.errors import InputError
from striate.core.files import read_json
from striate.core.hashing import hash_json
from striate.evaluate.common.measurement import FILE as SCORED
from striate.evaluate.common.measurement import Measurement, average_models
from striate.evaluate.common.model_records import FILE as MODELS
from striate.evaluate.common.model_records import model_record
from striate.evaluate.neurons.config import TWIN
from striate.models import load
from striate.models.store import is_model_folder
from striate.report.scorecard.sources import measurements_of
from striate.verbs import VERBS, find_verb, verb_of


@dataclass(frozen=True)
class RunModel:
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
    models: dict[str, RunModel]
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
        return _read_model(folder, folder.resolve().name)
    if not (folder / "config.yaml").is_file():
        what = "is no run or model folder: it has no config.yaml and no config.json"
        scoring = [verb.name for verb in VERBS.values() if verb.scorecard or verb.page]
        raise InputError(
            f"{folder} {what if folder.is_dir() else 'does not exist'}. Give folders that striate "
            f"{', '.join(scoring[:-1])} or {scoring[-1]} wrote, or folders of models."
        )
    config = read_yaml(folder / "config.yaml")
    scored = (folder / SCORED).exists()  # which tells all that a scorecard needs
    verb = find_verb(folder) if scored else verb_of(folder)
    if verb and verb.finished and not (folder / verb.finished).exists():
        raise InputError(
            f"{folder} holds a run that was stopped before its end. Call the same command again; "
            "it goes on where it was."
        )
    if is_model_folder(folder / "model") and not scored:  # grown: nothing was measured
        return _read_model(folder / "model", folder.resolve().name)
    try:
        measurements = measurements_of(folder, config, verb)
        records, notes = _read_records(folder, measurements)
        models, members = _group_models(records)
    except InputError as error:  # names the file
        what = "its tables are damaged or those of another version"
        raise InputError(f"{folder}: {what}: {error}") from error
    except (KeyError, AttributeError, TypeError, ValueError, OSError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise InputError(
            f"{folder}: its tables are damaged or those of another version ({what}). Call its "
            "command again with this version, into a new folder."
        ) from error
    path = folder / "provenance.json"
    provenance = read_json(path) if path.exists() else {}
    if not measurements:
        notes.append(f"{folder} holds nothing that a scorecard shows.")
    return Run(
        folder,
        models,
        tuple(_average_groups(_add_random(measurements, records), members)),
        str(provenance.get("started", "")),
        {str(k): str(v) for k, v in provenance.get("versions", {}).items()},
        tuple(notes),
    )


def _read_model(folder: Path, name: str) -> Run:
    record = model_record(name, load(str(folder)))
    model = RunModel(name, record["weights"], record["id"], simulated=record["simulated"])
    return Run(folder, {name: model}, is_model=True)


def _read_records(
    run: Path, measurements: Sequence[Measurement]
) -> tuple[list[dict[str, Any]], list[str]]:
    """Records of `models.json`; for models without one, records that match in no other run."""
    records: list[dict[str, Any]] = []
    content = read_json(run / MODELS) if (run / MODELS).exists() else None
    if isinstance(content, dict):
        records = list(content["models"])
    named = {r["name"] for r in records} | {r["group"] for r in records}
    facts: dict[str, Any] = {}
    for name in ("probe.json", "behavior.json"):  # of a run before there was a models.json
        if (run / name).exists():
            facts |= read_json(run / name)["models"]
    missing = [m for m in dict.fromkeys(m.model for m in measurements) if m not in named]
    for name in missing:
        about = facts.get(name, {})
        alone = hash_json([str(run.resolve()), name])
        records.append(
            {
                "name": name,
                "group": about.get("group"),
                "id": about.get("id", ""),
                "weights": alone,
                "fingerprint": about.get("fingerprint", ""),
                "simulated": bool(about.get("simulated", False)),
                "matched": False,
            }
        )
    unknown = f"{run.name} tells no weights of its models"
    if named and missing:
        unknown = f"{run.name} tells no weights of {', '.join(missing[:3])}"
        unknown += f" and {len(missing) - 3} more" if len(missing) > 3 else ""
    notes = [
        f"{unknown}: they are matched with no model of another run. For a run of an earlier "
        "version, call its command again; what that version kept may be computed anew. Decisions "
        "made elsewhere have no weights."
    ]
    return records, notes if missing else []


def _group_models(
    records: Sequence[dict[str, Any]],
) -> tuple[dict[str, RunModel], dict[str, list[str]]]:
    """Models by name, groups in place of their members; and the members of each group."""
    models: dict[str, RunModel] = {}
    groups: dict[str, list[dict[str, Any]]] = {}
    for record in records:
        groups.setdefault(record["group"] or record["name"], []).append(record)
    for name, members in groups.items():
        weights = sorted({r["weights"] for r in members})
        models[name] = RunModel(
            name,
            weights[0] if len(weights) == 1 else hash_json(weights),
            members[0]["id"],
            len(weights),
            any(r["simulated"] for r in members),
            all(r.get("matched", True) for r in members),
        )
    return models, {group: [r["name"] for r in members] for group, members in groups.items()}


def _average_groups(
    measurements: Sequence[Measurement], members: dict[str, list[str]]
) -> list[Measurement]:
    """Measurements of the models of a group as one."""
    group_of = {name: group for group, names in members.items() for name in names}
    parts: dict[str, list[Measurement]] = {}
    for measurement in measurements:
        group = group_of.get(measurement.model, measurement.model)
        what = [measurement.measure, measurement.row, measurement.protocol, measurement.simulated]
        parts.setdefault(hash_json([*what, group]), []).append(measurement)
    averaged = []
    for same in parts.values():
        group = group_of.get(same[0].model, same[0].model)
        if len({m.model for m in same}) == 1:
            averaged += [replace(m, model=group) for m in same]
        else:
            averaged.append(average_models(group, same))
    return averaged


def _add_random(
    measurements: Sequence[Measurement], records: Sequence[dict[str, Any]]
) -> list[Measurement]:
    """Where a run scored a network with random weights too, that is the others' control."""
    ids = {r["name"]: str(r["id"]) for r in records}

    def key(measurement: Measurement, id: str) -> tuple[str, str, str, str]:
        protocol = json.dumps(measurement.protocol)
        return id, measurement.measure, measurement.row, protocol

    random = {
        key(m, ids[m.model].removesuffix(TWIN)): m.value
        for m in measurements
        if ids.get(m.model, "").endswith(TWIN)
    }
    controlled = []
    for measurement in measurements:
        value = random.get(key(measurement, ids.get(measurement.model, "")))
        if value is not None and pd.isna(measurement.random):
            measurement = replace(measurement, random=value)
        controlled.append(measurement)
    return controlled
