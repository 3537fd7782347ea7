"""Does tuning to a brain area help? Every method, tuned and scored on one split."""

from __future__ import annotations

from pathlib import Path

from striate.evaluate.common.options import Options
from striate.evaluate.tuned.config import CompareConfig
from striate.evaluate.tuned.models import compare_jobs
from striate.evaluate.tuned.run import Result, score, started


def compare(config: CompareConfig, out: str | Path, options: Options | None = None) -> Result:
    """Tune and score every method of a config on one split, and write a run folder.

    The folder gets `config.yaml`, `provenance.json`, `splits.parquet`, `plan.json`,
    `metrics.jsonl`, `models/`, `models.json`, `cells/` (kept pieces), `scores.parquet`,
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
    with started(config, out, compare_jobs, options) as (bench, jobs, base):
        return score(bench, jobs, base, options)
