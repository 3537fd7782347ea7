"""Do models decide like humans? Trials of humans and of classifiers, compared image by image."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from striate.core.errors import InputError
from striate.core.files import locked, write_json, write_table
from striate.core.run import RunFolder, check_run_folder
from striate.data.behavior.conditions import exclude
from striate.data.behavior.observers import Observers, line_up
from striate.data.behavior.trials import read_trials
from striate.evaluate.behavior.config import BehaveConfig
from striate.evaluate.behavior.decisions import Categories, decide_all
from striate.evaluate.behavior.inputs import build_models, find_stimuli, read_decisions
from striate.evaluate.behavior.measure import measure
from striate.evaluate.behavior.plan import describe
from striate.evaluate.behavior.tables import human_table, make_tables
from striate.evaluate.common.model_records import model_record, write_models
from striate.evaluate.common.options import Options


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
    compute = config.compute(options.cache, options.progress)
    compute.torch_device()  # refused now, not after the trials are read
    categories = Categories.read(config.categories) if config.categories else None
    trials = exclude(read_trials(config.humans), config.exclude)
    humans = {e: line_up(trials, e) for e in sorted(trials["experiment"].unique())}
    options.say(f"{len(trials):,} trials of humans in {len(humans)} experiments, after exclusions")
    given = read_decisions(config, humans)
    stimuli = find_stimuli(config, humans)
    if out is None:
        if config.models or config.decisions:
            raise InputError("models and decisions need a run folder: give one (--out).")
        measured = {e: measure(h, {}, config.bootstrap, config.seed) for e, h in humans.items()}
        return BehaveResult({"humans": human_table(humans.values(), measured)})
    models, facts = build_models(config, stimuli)
    options.say(describe(models, stimuli, compute))
    run = RunFolder(
        out, config, command=options.command, verb="behave", overwrite=options.overwrite
    )
    with locked(run / ".lock", wait=False):
        (run / "behavior.json").unlink(missing_ok=True)
        decided = {}
        if categories is not None:
            decided = decide_all(models, stimuli, categories, compute, options.say)
        trials_of = {**given, **decided}
        observers: dict[str, dict[str, Observers]] = {e: {} for e in humans}
        for name, table in trials_of.items():
            for experiment in table["experiment"].unique():
                observers[experiment][name] = line_up(table, experiment, humans[experiment])
        measured = {
            e: measure(h, observers[e], config.bootstrap, config.seed) for e, h in humans.items()
        }
        tables = make_tables(config, humans, measured, [*config.models, *given])
        result = BehaveResult(tables, facts, folder=run.path)
        result.notes = _collect_notes(result)
        if trials_of:
            every_trial = pd.concat([t.assign(observer=n) for n, t in trials_of.items()])
            write_table(run / "decisions.parquet", every_trial)
        for name, table in result.tables.items():
            write_table(run / "tables" / f"{name}.parquet", table)
        write_models(
            run.path, [model_record(n, m, config.models[n].group) for n, m in models.items()]
        )
        write_json(run / "behavior.json", {"models": facts, "notes": result.notes})
    return result


def _collect_notes(result: BehaveResult) -> list[str]:
    """Say what a reader of the tables must be told."""
    notes = [f"{n}: {f['status']}." for n, f in result.models.items() if f["status"] != "measured"]
    simulated = [n for n, f in result.models.items() if f["simulated"]]
    notes += [f"{n} was tuned to SIMULATED responses." for n in simulated]
    humans = result.tables["humans"]["experiment"].iloc[:-1]
    means = result.tables["means"].drop_duplicates("observer").iloc[1:]
    for experiments, rows in means.groupby("experiments", sort=False):
        decided = str(experiments).split(", ")
        missing = [e for e in humans if e not in decided]
        if missing:
            notes.append(
                f"{_shorten_list(list(rows['observer']))}: not measured, for want of decisions, in "
                f"{len(missing)} of {len(humans)} experiments ({', '.join(missing)}). Means are "
                "not those of the whole benchmark."
            )
    for name, facts in result.models.items():
        if facts.get("no_start"):
            notes.append(
                f"{name} did not start from its reference {facts['reference']}, but from "
                f"{facts['no_start']}: the difference of the two is not what its last stage of "
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


def _shorten_list(names: list[str]) -> str:
    """Name all, or the first of many."""
    return ", ".join(names) if len(names) < 4 else f"{names[0]} and {len(names) - 1} more"
