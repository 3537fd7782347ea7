"""Does tuning to a brain area help? Every method, tuned and scored on one split."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from striate.core.cache import Cache
from striate.core.errors import InputError
from striate.core.files import read_json, write_json
from striate.core.run import RunFolder
from striate.data import Dataset, Split, Target, make_split
from striate.encoding import Encoding
from striate.evaluate import tables
from striate.evaluate.cells import Bench, score_subject, tuned_model
from striate.evaluate.config import CompareConfig
from striate.evaluate.jobs import NEW_IMAGES, NEW_SUBJECTS, Job, make_jobs
from striate.evaluate.plan import make_plan
from striate.models import Model


@dataclass
class Result:
    """What `compare` returns.

    Attributes:
        folder: the run folder.
        group: the ROI x method table over subjects.
        rois: the same by subject.
        warnings: what a reader of these scores must be told.
    """

    folder: Path
    group: pd.DataFrame
    rois: pd.DataFrame
    warnings: list[str] = field(default_factory=list)


def compare(
    config: CompareConfig,
    out: str | Path,
    *,
    command: str = "",
    overwrite: bool = False,
    progress: bool = True,
    cache: Cache | None = None,
    say: Callable[[str], None] = print,
) -> Result:
    """Tune and score every method of a config on one split, and write a run folder.

    The folder gets `config.yaml`, `provenance.json`, `splits.parquet`, `plan.json`,
    `metrics.jsonl`, `models/`, `cells/` (kept pieces), `scores.parquet`, `scores.nc`, `tables/`,
    `leaks.json` and `warnings.json`. A run that was stopped goes on when called again.

    Args:
        config: what to compare on which data.
        out: the run folder; new, empty, or holding this same run.
        command: the command line that repeats the run.
        overwrite: go on in a folder that holds a run with another config.
        progress: whether to draw progress bars.
        cache: where decoded images and features are kept.
        say: called with each line for the user.

    Raises:
        InputError: data, names or settings that do not fit, before anything is computed.
        LeakError: a score would use a stimulus that its model has seen.
    """
    run = RunFolder(out, config, command=command, overwrite=overwrite)
    say(f"reading {config.data.name} from {config.data.path}")
    dataset = config.data.read()
    split = make_split(dataset, config.split)
    split.save(run / "splits.parquet")
    bench = Bench(config, dataset, split, run.path, cache or Cache(), progress)
    targets = {s: _targets(config, dataset, s) for s in dataset}
    jobs = make_jobs(config, targets)
    base = config.model.build()
    plan = make_plan(config, dataset, split, jobs, base)
    write_json(run / "plan.json", plan.to_dict())
    say(_what(dataset, split, targets))
    say(str(plan))
    scored = _score_all(bench, config, jobs, base, say)
    return _write(run.path, bench, config, dataset, scored)


def _targets(config: CompareConfig, dataset: Dataset, subject: str) -> list[Target]:
    found = dataset[subject].responses.targets(config.rois, config.hemispheres)
    if not found:
        raise InputError(
            f"subject {subject} has no units in the ROIs asked for "
            f"({', '.join(config.rois or ['all'])}). Leave the subject out or name other ROIs."
        )
    return found


def _what(dataset: Dataset, split: Split, targets: dict[str, list[Target]]) -> str:
    counts = split.counts()
    lines = []
    for subject, own in targets.items():
        parts = ", ".join(f"{part} {n}" for part, n in counts.loc[subject].items())
        units = sum(len(t.units) for t in own)
        lines.append(f"  {subject}: {len(own)} ROIs, {units} units; stimuli: {parts}")
    label = " (SIMULATED responses)" if dataset.simulated else ""
    return f"{len(dataset)} subjects{label}:\n" + "\n".join(lines)


def _score_all(
    bench: Bench,
    config: CompareConfig,
    jobs: Sequence[Job],
    base: Model,
    say: Callable[[str], None],
) -> list[tables.Scored]:
    scored: list[tables.Scored] = []
    untuned: dict[str, Path] = {}
    for number, job in enumerate(jobs, 1):
        say(f"[{number}/{len(jobs)}] {job.name}")
        model = _model(bench, config, job, base)
        for subject, targets in job.scored.items():
            chosen = None
            if config.encode.protocol == "paper_a" and job.method != "untuned":
                chosen = Encoding.load(untuned[subject])
            folder = score_subject(bench, model, job.name, subject, targets, chosen)
            if job.method == "untuned":
                untuned[subject] = folder
            held = subject in config.split.held_out
            kind = NEW_SUBJECTS if held else NEW_IMAGES
            scored += [tables.Scored(job.method, kind, target, folder) for target in targets]
    return scored


def _model(bench: Bench, config: CompareConfig, job: Job, base: Model) -> Model:
    if job.method == "untuned":
        return base
    if job.method == "random":
        return config.model.build(random=True, seed=config.seed)
    return tuned_model(bench, base, job.tuned_to, config.tuning(job.method), job.name)


def _write(
    folder: Path,
    bench: Bench,
    config: CompareConfig,
    dataset: Dataset,
    scored: Sequence[tables.Scored],
) -> Result:
    units = tables.unit_table(scored, dataset)
    rois = tables.roi_table(scored, units, config.encode.bootstrap, config.encode.seed)
    group = tables.group_table(rois, config.encode.seed)
    taps = tables.tap_table(scored)
    for name, table in (
        ("scores", units),
        ("tables/rois", rois),
        ("tables/group", group),
        ("tables/taps", taps),
        ("tables/null", tables.null_table(scored)),
    ):
        tables.write_table(table, folder / f"{name}.parquet")
    tables.write_dataset(tables.score_dataset(units, taps), folder / "scores.nc")
    write_json(folder / "leaks.json", _leaks(bench))
    warnings = _warnings(config, dataset, scored, rois)
    write_json(folder / "warnings.json", warnings)
    return Result(folder, group, rois, warnings)


def _leaks(bench: Bench) -> dict[str, Any]:
    table = bench.split.table
    parts = table[table["part"] != "unused"].groupby("hash")["part"].nunique()
    return {
        "images": int(table["hash"].nunique()),
        "images_in_two_parts": int((parts > 1).sum()),
        "images_of_several_subjects": int((table.groupby("hash")["subject"].nunique() > 1).sum()),
        "checks": bench.leaks,
    }


def _warnings(
    config: CompareConfig,
    dataset: Dataset,
    scored: Sequence[tables.Scored],
    rois: pd.DataFrame,
) -> list[str]:
    """What must stand beside the scores, each once."""
    found = []
    if dataset.simulated:
        found.append("The responses are SIMULATED: nothing here is about a brain.")
    for one in scored:
        found += read_json(one.folder / "encoding.json")["caveats"]
    without = sorted(set(rois.loc[rois["ceiling"].isna(), "subject"]))
    if without:
        found.append(
            f"No noise ceiling for {', '.join(without)}: the data have no repeats there, so r "
            "cannot be compared with what noise allows."
        )
    for kind, group in rois.groupby("generalization"):
        n = group["subject"].nunique()
        if n < 6:
            found.append(
                f"{kind}: with {n} subject{'s' if n > 1 else ''} the sign-flip test over subjects "
                + ("does not exist." if n < 2 else f"cannot give a p below {2 / 2**n:.3g}.")
            )
    return list(dict.fromkeys(found))
