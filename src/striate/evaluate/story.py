"""The story every run shares: read, split, plan, make models, score them, write the tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from striate.core.cache import Cache
from striate.core.errors import InputError
from striate.core.files import read_json, write_json
from striate.core.run import RunFolder, check_run_folder
from striate.data import Dataset, Split, Target, make_split
from striate.encoding import Encoding
from striate.evaluate import tables
from striate.evaluate.cells import Bench, score_subject, tuned_model
from striate.evaluate.config import RunConfig
from striate.evaluate.jobs import NEW_IMAGES, NEW_SUBJECTS, Groups, Job
from striate.evaluate.plan import make_plan
from striate.models import Model, load, random_twin

C = TypeVar("C", bound=RunConfig)


@dataclass
class Options:
    """How a run is carried out; nothing here changes its numbers.

    Attributes:
        command: the command line that repeats the run.
        overwrite: go on in a folder that holds a run with another config.
        progress: whether to draw progress bars.
        cache: where decoded images and features are kept.
        say: called with each line for the user.
    """

    command: str = ""
    overwrite: bool = False
    progress: bool = True
    cache: Cache = field(default_factory=Cache)
    say: Callable[[str], None] = print


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


def start(
    config: C,
    out: str | Path,
    jobs_of: Callable[[C, Groups], list[Job]],
    options: Options,
    *,
    scoring: bool = True,
) -> tuple[Bench, list[Job], Model]:
    """Open the run folder, read and split the data, and say what will be done.

    Raises:
        InputError: data, names or settings that do not fit, before anything is computed.
    """
    check_run_folder(out, config, overwrite=options.overwrite)
    options.say(f"reading {config.data.name} from {config.data.path}")
    dataset = config.data.read()
    split = make_split(dataset, config.split)
    targets = {s: _targets(config, dataset, s) for s in dataset}
    jobs = jobs_of(config, targets)
    base = config.model.build()
    options.say(_what(dataset, split, targets))
    plan = make_plan(config, dataset, split, jobs, base, scoring=scoring)
    options.say(str(plan))
    # Only now is anything written: a folder made for a mistyped name would be in the way.
    run = RunFolder(out, config, command=options.command, overwrite=options.overwrite)
    split.save(run / "splits.parquet")
    write_json(run / "plan.json", plan.to_dict())
    return Bench(config, dataset, split, run.path, options.cache, options.progress), jobs, base


def _targets(config: RunConfig, dataset: Dataset, subject: str) -> list[Target]:
    found = dataset[subject].responses.targets(config.rois, config.hemispheres)
    if not found:
        raise InputError(
            f"subject {subject} has no units in the ROIs asked for "
            f"({', '.join(config.rois or ['all'])}). Leave the subject out or name other ROIs."
        )
    return found


def _what(dataset: Dataset, split: Split, targets: Groups) -> str:
    counts = split.counts()
    label = " (SIMULATED responses)" if dataset.simulated else ""
    lines = [f"{len(dataset)} subject{'s' if len(dataset) > 1 else ''}{label}:"]
    for subject, own in targets.items():
        parts = ", ".join(f"{part} {n}" for part, n in counts.loc[subject].items())
        units = sum(len(t.units) for t in own)
        lines.append(f"  {subject}: {len(own)} ROIs, {units} units; stimuli: {parts}")
    return "\n".join(lines)


def make_model(bench: Bench, job: Job, base: Model) -> Model:
    """Return a job's model: the base itself, random weights, a saved one, or tuned here."""
    if job.tuning is not None:
        return tuned_model(bench, base, job.tuned_to, job.tuning, job.name)
    if job.source == "untuned":
        return base
    if job.source == "random":
        return random_twin(base, bench.config.seed)
    return load(job.source, image_size=bench.config.model.image_size)


def score(bench: Bench, jobs: Sequence[Job], base: Model, options: Options) -> Result:
    """Make and score each job's model, then write the tables of the run folder.

    Raises:
        LeakError: a score would use a stimulus that its model has seen.
    """
    scored: list[tables.Scored] = []
    untuned: dict[str, Path] = {}
    for number, job in enumerate(jobs, 1):
        options.say(f"[{number}/{len(jobs)}] {job.name}")
        model = make_model(bench, job, base)
        for subject, targets in job.scored.items():
            chosen = None
            if bench.config.encode.protocol == "paper_a" and job.source != "untuned":
                chosen = Encoding.load(untuned[subject])
            folder = score_subject(bench, model, job.name, subject, targets, chosen)
            if job.method == "untuned":
                untuned[subject] = folder
            held = subject in bench.config.split.held_out
            kind = NEW_SUBJECTS if held else NEW_IMAGES
            scored += [tables.Scored(job.method, kind, target, folder) for target in targets]
    return _write(bench, scored)


def _write(bench: Bench, scored: Sequence[tables.Scored]) -> Result:
    folder, config = bench.folder, bench.config.encode
    units = tables.unit_table(scored, bench.dataset)
    rois = tables.roi_table(scored, units, config.bootstrap, config.seed)
    group = tables.group_table(rois, config.seed)
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
    warnings = _warnings(bench.dataset, scored, rois)
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


def _warnings(dataset: Dataset, scored: Sequence[tables.Scored], rois: pd.DataFrame) -> list[str]:
    """What must stand beside the scores, each once, naming whom it is about."""
    found = []
    if dataset.simulated:
        found.append("The responses are SIMULATED: nothing here is about a brain.")
    about: dict[str, list[str]] = {}
    for one in scored:
        for caveat in read_json(one.folder / "encoding.json")["caveats"]:
            about.setdefault(caveat, []).append(f"{one.method}/{one.target.name}")
    for caveat, places in about.items():
        everywhere = len(set(places)) == len({f"{s.method}/{s.target.name}" for s in scored})
        found.append(caveat if everywhere else f"{', '.join(dict.fromkeys(places))}: {caveat}")
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
