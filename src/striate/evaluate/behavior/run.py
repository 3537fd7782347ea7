"""Do models decide like humans? Trials of humans and of classifiers, compared image by image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from striate.core.device import device_name
from striate.core.errors import InputError
from striate.core.files import locked, write_json, write_table
from striate.core.run import RunFolder, check_run_folder
from striate.data import StimulusSet
from striate.data.behavior.conditions import exclude
from striate.data.behavior.observers import Observers, line_up
from striate.data.behavior.trials import read_trials
from striate.evaluate.behavior import tables
from striate.evaluate.behavior.config import BehaveConfig
from striate.evaluate.behavior.decisions import Categories, decision_table, kept_decisions
from striate.evaluate.behavior.inputs import build_models, find_stimuli, predict, read_decisions
from striate.evaluate.behavior.measure import Key, Measured, measure
from striate.evaluate.common.model_records import model_record, write_models
from striate.evaluate.common.options import Options
from striate.models import Model


@dataclass
class BehaveResult:
    """What a comparison returns.

    Attributes:
        tables: `humans` (humans with each other) and, where a folder is written, `each_human`,
            `each_human_bias`, `benchmark`, `means`, `categories`, `differences`, `groups`
            (`striate.evaluate.behavior.tables`).
        models: status and facts of each model.
        notes: what a reader must be told.
        folder: the run folder, None where nothing was written.
    """

    tables: dict[str, pd.DataFrame]
    models: dict[str, dict[str, Any]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    folder: Path | None = None


def behave(
    config: BehaveConfig, out: str | Path | None = None, options: Options | None = None
) -> BehaveResult:
    """Compare humans with each other and models with humans.

    Args:
        config: humans, models and stimuli.
        out: the run folder; None writes nothing, and is for humans alone.
        options: how to carry it out.

    The folder gets `decisions.parquet` (tidy trials of the models), `tables/`, and
    `behavior.json` last. Decisions are kept in the cache, so that a run that was stopped goes on.

    Raises:
        InputError: trials, stimuli, models or settings that do not fit, before anything is written.
        LeakError: a model was trained on a stimulus.
    """
    options = options or Options()
    if out is not None:
        check_run_folder(out, config, overwrite=options.overwrite)
    device_name(config.device)
    categories = Categories.read(config.categories) if config.categories else None
    trials = exclude(read_trials(config.humans), config.exclude)
    humans = {e: line_up(trials, e) for e in sorted(trials["experiment"].unique())}
    options.say(f"{len(trials):,} trials of humans in {len(humans)} experiments, after exclusions")
    given = read_decisions(config, humans)
    stimuli = find_stimuli(config, humans)
    if out is None:
        if config.models or config.decisions:
            raise InputError("models and decisions need a run folder: give one (--out).")
        found = {e: measure(one, {}, config.bootstrap, config.seed) for e, one in humans.items()}
        return BehaveResult({"humans": tables.human_table(humans.values(), found)})
    models, facts = build_models(config, stimuli)
    options.say(predict(models, stimuli, config))
    run = RunFolder(
        out, config, command=options.command, verb="behave", overwrite=options.overwrite
    )
    with locked(run / ".lock", wait=False):
        (run / "behavior.json").unlink(missing_ok=True)
        decided = decide_all(models, stimuli, categories, config, options)
        lined: dict[str, dict[str, Observers]] = {e: {} for e in humans}
        for name, table in {**given, **decided}.items():
            for experiment in table["experiment"].unique():
                lined[experiment][name] = line_up(table, experiment, humans[experiment])
        found = {
            e: measure(one, lined[e], config.bootstrap, config.seed) for e, one in humans.items()
        }
        result = BehaveResult(
            _tables(config, humans, found, [*config.models, *given]), facts, folder=run.path
        )
        result.notes = _notes(config, result)
        if decided or given:
            every = pd.concat([t.assign(observer=n) for n, t in {**given, **decided}.items()])
            write_table(run / "decisions.parquet", every)
        for name, table in result.tables.items():
            write_table(run / "tables" / f"{name}.parquet", table)
        write_models(
            run.path, [model_record(n, m, config.models[n].group) for n, m in models.items()]
        )
        write_json(run / "behavior.json", {"models": facts, "notes": result.notes})
    return result


def decide_all(
    models: Mapping[str, Model],
    stimuli: Mapping[str, StimulusSet],
    categories: Categories | None,
    config: BehaveConfig,
    options: Options,
) -> dict[str, pd.DataFrame]:
    """Tidy trials of each model over all its experiments."""
    decided: dict[str, pd.DataFrame] = {}
    if categories is None:
        return decided
    for name, model in models.items():
        options.say(f"deciding: {name}")
        parts = []
        for experiment, images in stimuli.items():
            shape = model.preprocessing
            found = kept_decisions(
                model,
                images.decoded(shape.size, shape.resize, options.cache),
                categories,
                options.cache,
                batch_size=config.batch_size,
                device=config.device,
            )
            parts.append(decision_table(experiment, name, images, found, categories))
        decided[name] = pd.concat(parts, ignore_index=True)
    return decided


def _tables(
    config: BehaveConfig,
    humans: Mapping[str, Observers],
    found: Mapping[str, Mapping[Key, Measured]],
    names: list[str],
) -> dict[str, pd.DataFrame]:
    references = {n: m.reference for n, m in config.models.items() if m.reference}
    groups = {n: m.group for n, m in config.models.items() if m.group}
    differences = tables.difference_table(found, references, groups)
    return {
        "humans": tables.human_table(humans.values(), found),
        "each_human": tables.each_human(humans.values()),
        "each_human_bias": tables.each_human_bias(humans.values()),
        "benchmark": tables.benchmark_table(found, names),
        "means": tables.mean_table(found, names),
        "categories": tables.category_table(found, names),
        "differences": differences,
        "groups": tables.group_table(differences, config.seed),
    }


def _notes(config: BehaveConfig, result: BehaveResult) -> list[str]:
    """What a reader of the tables must be told."""
    notes = [f"{n}: {f['status']}." for n, f in result.models.items() if f["status"] != "measured"]
    simulated = [n for n, f in result.models.items() if f["simulated"]]
    notes += [f"{n} was tuned to SIMULATED responses." for n in simulated]
    humans = result.tables["humans"]["experiment"].iloc[:-1]
    means = result.tables["means"].drop_duplicates("observer").iloc[1:]
    for experiments, own in means.groupby("experiments", sort=False):
        there = str(experiments).split(", ")
        gone = [e for e in humans if e not in there]
        if gone:
            notes.append(
                f"{_few(list(own['observer']))}: not measured, for want of decisions, in "
                f"{len(gone)} of {len(humans)} experiments ({', '.join(gone)}). Means are not "
                "those of the whole benchmark."
            )
    for name, about in result.models.items():
        if about.get("no_start"):
            notes.append(
                f"{name} did not start from its reference {about['reference']}, but from "
                f"{about['no_start']}: the difference of the two is not what its last stage of "
                "learning changed."
            )
    if any(f["tuned"] for f in result.models.values()):
        notes.append(
            "A tuned network keeps the classifier and all layers behind the tap it was tuned at, "
            "as they were in the network that it started from; they were not fitted again to what "
            "the tuned layers give. "
            "congruent_accuracy, on images whose shape and texture agree, says what it still knows."
        )
    return notes


def _few(names: list[str]) -> str:
    """Names, or the first of many."""
    return ", ".join(names) if len(names) < 4 else f"{names[0]} and {len(names) - 1} more"
