"""Tune and score: `compare`, and its halves `tune_models` and `score_models`, as one story."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import pandas as pd

from striate.core.files import locked, write_dataset, write_json, write_table
from striate.core.run import RunFolder, check_run_folder, holds_same_run
from striate.data import Dataset, Split, load_split, make_split, tidy
from striate.data.splits.split import SPLIT_FILE
from striate.encoding import Encoding
from striate.evaluate.common.lookalikes import describe_lookalikes
from striate.evaluate.common.model_records import model_record, write_models
from striate.evaluate.common.options import Options
from striate.evaluate.common.unrelated import find_unrelated
from striate.evaluate.tuned import tables
from striate.evaluate.tuned.checks import (
    check_sizes,
    check_taps,
    find_targets,
    load_given,
)
from striate.evaluate.tuned.config import (
    CONTROLS,
    CompareConfig,
    EncodeRunConfig,
    RunConfig,
    TuneRunConfig,
)
from striate.evaluate.tuned.lookalike_scores import effect_table
from striate.evaluate.tuned.measure import Bench, leak_facts, score_subject, tuned_model
from striate.evaluate.tuned.models import Groups, ModelSpec, compare_specs, encode_specs, tune_specs
from striate.evaluate.tuned.plan import make_plan
from striate.evaluate.tuned.subjects import Generalization
from striate.evaluate.tuned.warnings import find_warnings
from striate.models import Model, random_twin

C = TypeVar("C", bound=RunConfig)


@dataclass(frozen=True)
class Result:
    """What a run that scores returns.

    Attributes:
        folder: the run folder.
        group: the ROI x method table over subjects.
        rois: the same by subject.
        warnings: what a reader of these scores must be told.
    """

    folder: Path
    group: pd.DataFrame
    rois: pd.DataFrame
    warnings: list[str]


def compare(config: CompareConfig, out: str | Path, options: Options | None = None) -> Result:
    """Tune and score every method of a config on one split, and write a run folder.

    The folder gets `config.yaml`, `provenance.json`, `splits.parquet`, `plan.json`,
    `metrics.jsonl`, `models/`, `models.json`, `pieces/` (what is kept), `scores.parquet`,
    `scores.nc`, `tables/`, `leaks.json` and `warnings.json`. A run that was stopped goes on
    when called again.

    Args:
        config: what to compare on which data.
        out: the run folder; new, empty, or holding this same run.
        options: how to carry it out.

    Raises:
        InputError: data, names or settings that do not fit, before anything is computed.
        LeakError: a score would use a stimulus that its model has seen.
    """
    options = options or Options()
    with started("compare", config, out, compare_specs, options) as (bench, specs, base):
        return score(bench, specs, base, options)


def tune_models(
    config: TuneRunConfig, out: str | Path, options: Options | None = None
) -> list[Path]:
    """Tune one model a target (or one a ROI, pooled) and return their folders, `out/models/…`.

    Each folder can be given to `striate.models.load`, or to `score_models` with the same split.

    Raises:
        InputError: data, names or settings that do not fit, before anything is computed.
    """
    options = options or Options()
    with started("tune", config, out, tune_specs, options, scoring=False) as (bench, specs, base):
        for number, spec in enumerate(specs, 1):
            options.say(f"[{number}/{len(specs)}] {spec.name}")
            make_model(bench, spec, base)
        return [bench.folder / "models" / spec.name for spec in specs]


def score_models(
    config: EncodeRunConfig, out: str | Path, options: Options | None = None
) -> Result:
    """Score saved models beside the untuned and the random network, and write a run folder.

    Raises:
        InputError: data, names or settings that do not fit, before anything is computed.
        LeakError: a model has seen a test stimulus; use the split it was tuned with.
    """
    options = options or Options()
    with started("encode", config, out, encode_specs, options) as (bench, specs, base):
        return score(bench, specs, base, options)


@contextmanager
def started(
    verb: str,
    config: C,
    out: str | Path,
    specs_of: Callable[[C, Groups], list[ModelSpec]],
    options: Options,
    *,
    scoring: bool = True,
) -> Iterator[tuple[Bench, list[ModelSpec], Model]]:
    """Read and split the data, say what will be done, and hold the run folder while it is done.

    Raises:
        InputError: data, names or settings that do not fit, before anything is computed or
            written; another process at work in the folder.
    """
    check_run_folder(out, config, overwrite=options.overwrite)
    compute = config.compute(options.cache, options.progress)
    compute.torch_device()  # refused now, not after the data are read
    options.say(f"reading {config.data.name} from {config.data.path}")
    dataset, notes = tidy(config.data.read())
    split = _load_or_make_split(dataset, config, Path(out), options)
    targets, left_out = find_targets(config, dataset, split)
    check_sizes(config, dataset, split)
    specs = specs_of(config, targets)
    base = config.model.build()
    given = load_given(specs, base)
    check_taps(config, specs, [base, *given.values()])
    notes += left_out + describe_lookalikes(split, config.split)
    for note in notes:
        options.say(f"note: {note}")
    options.say(_describe_data(dataset, split, targets))
    plan = make_plan(config, dataset, split, specs, base, compute, scoring=scoring)
    options.say(str(plan))
    # Only now is anything written: a folder made for a mistyped name would be in the way.
    run = RunFolder(out, config, command=options.command, verb=verb, overwrite=options.overwrite)
    with locked(run / ".lock", wait=False):
        split.save(run / SPLIT_FILE)
        write_json(run / "plan.json", plan.to_dict())
        yield (
            Bench(config, dataset, split, run.path, compute, tuple(notes), given),
            specs,
            base,
        )


def _load_or_make_split(dataset: Dataset, config: RunConfig, out: Path, options: Options) -> Split:
    """Load the split that a run with these settings saved before, else make one."""
    same = holds_same_run(out, config)
    saved = load_split(out / SPLIT_FILE, dataset) if same and not options.overwrite else None
    return saved or make_split(dataset, config.split)


def _describe_data(dataset: Dataset, split: Split, targets: Groups) -> str:
    """Say how many subjects, ROIs, units and stimuli there are."""
    counts = split.counts()
    label = " (SIMULATED responses)" if dataset.simulated else ""
    lines = [f"{len(dataset)} subject{'s' if len(dataset) > 1 else ''}{label}:"]
    for subject, rois in targets.items():
        parts = ", ".join(f"{part} {n}" for part, n in counts.loc[subject].items())
        units = sum(len(roi.units) for roi in rois)
        lines.append(f"  {subject}: {len(rois)} ROIs, {units} units; stimuli: {parts}")
    return "\n".join(lines)


def make_model(bench: Bench, spec: ModelSpec, base: Model) -> Model:
    """Return a spec's model: the base itself, random weights, a saved one, or tuned here."""
    if spec.given is not None:  # first: its folder may be called like a control
        return bench.given[spec.name]
    if spec.tuning is not None:
        return tuned_model(bench, base, spec.tuned_to, spec.tuning, spec.name)
    return random_twin(base, bench.config.seed) if spec.method == "random" else base


def score(bench: Bench, specs: Sequence[ModelSpec], base: Model, options: Options) -> Result:
    """Make and score each spec's model, then write the tables of the run folder.

    Raises:
        LeakError: a score would use a stimulus that its model has seen.
    """
    scored: list[tables.ScoredTarget] = []
    generalization = Generalization(bench.dataset, bench.means, bench.config.split.held_out)
    notes: dict[str, None] = {}  # ordered, each once
    untuned: dict[str, Path] = {}
    records = []
    for number, spec in enumerate(specs, 1):
        options.say(f"[{number}/{len(specs)}] {spec.name}")
        model = make_model(bench, spec, base)
        group = spec.method if spec.name != spec.method else None
        records.append(model_record(spec.name, model, group))
        for subject, targets in spec.scored.items():
            chosen = None
            if bench.config.encode.protocol == "paper_a" and spec.method != "untuned":
                chosen = Encoding.load(untuned[subject])
            folder = score_subject(bench, model, spec.name, subject, targets, chosen)
            if spec.method == "untuned":
                untuned[subject] = folder
            for target in targets:
                kind = generalization.kind(model, target)
                notes |= dict.fromkeys(kind.notes)
                scored.append(tables.ScoredTarget(spec.method, kind.name, target, folder))
    for note in notes:
        options.say(f"note: {note}")
    write_models(bench.folder, records)
    return _write_results(replace(bench, notes=(*bench.notes, *notes)), with_controls(scored))


def with_controls(scored: Sequence[tables.ScoredTarget]) -> list[tables.ScoredTarget]:
    """Put the controls of a target beside every kind of generalization that it is scored for."""
    kinds: dict[str, dict[str, None]] = {}
    for scored_target in scored:
        if scored_target.method not in CONTROLS:
            target_kinds = kinds.setdefault(scored_target.target.name, {})
            target_kinds[scored_target.generalization] = None
    repeated = []
    for scored_target in scored:
        control_kinds = kinds.get(scored_target.target.name, {})
        if scored_target.method in CONTROLS and control_kinds:
            repeated += [replace(scored_target, generalization=kind) for kind in control_kinds]
        else:
            repeated.append(scored_target)
    return repeated


def _write_results(bench: Bench, scored: Sequence[tables.ScoredTarget]) -> Result:
    """Write the tables of the run folder, and what a reader must be told."""
    folder, config = bench.folder, bench.config.encode
    parts = {s: bench.split.part(s, *config.parts) for s in bench.dataset}
    units = tables.unit_table(scored, bench.dataset, parts)
    rois = tables.roi_table(scored, units, config.bootstrap, config.seed)
    group = tables.group_table(rois, config.seed)
    taps, null = tables.tap_table(scored), tables.null_table(scored)
    for name, table in (
        ("scores", units),
        ("tables/rois", rois),
        ("tables/group", group),
        ("tables/taps", taps),
        ("tables/null", null),
        ("tables/lookalikes", effect_table(bench, scored)),
    ):
        write_table(folder / f"{name}.parquet", table)
    write_dataset(folder / "scores.nc", tables.score_dataset(units, taps))
    write_json(folder / "leaks.json", leak_facts(bench))
    unrelated, warnings = find_unrelated(null), find_warnings(bench, scored, rois, null)
    write_json(folder / "unrelated.json", unrelated)
    write_json(folder / "warnings.json", warnings)
    return Result(folder, group, rois, unrelated + warnings)
