"""Half a comparison each: tune models without scoring, or score models that are there."""

from __future__ import annotations

from pathlib import Path

from striate.evaluate.common.options import Options
from striate.evaluate.tuned.config import EncodeRunConfig, TuneRunConfig
from striate.evaluate.tuned.models import encode_jobs, tune_jobs
from striate.evaluate.tuned.run import Result, make_model, score, started


def tune_models(
    config: TuneRunConfig, out: str | Path, options: Options | None = None
) -> list[Path]:
    """Tune one model a target (or one a ROI, pooled) and return their folders, `out/models/…`.

    Each folder can be given to `striate.models.load`, or to `score_models` with the same split.

    Raises:
        InputError: data, names or settings that do not fit, before anything is computed.
    """
    options = options or Options()
    with started(config, out, tune_jobs, options, scoring=False) as (bench, jobs, base):
        for number, job in enumerate(jobs, 1):
            options.say(f"[{number}/{len(jobs)}] {job.name}")
            make_model(bench, job, base)
        return [bench.folder / "models" / job.name for job in jobs]


def score_models(
    config: EncodeRunConfig, out: str | Path, options: Options | None = None
) -> Result:
    """Score saved models beside the untuned and the random network, and write a run folder.

    Raises:
        InputError: data, names or settings that do not fit, before anything is computed.
        LeakError: a model has seen a test stimulus; use the split it was tuned with.
    """
    options = options or Options()
    with started(config, out, encode_jobs, options) as (bench, jobs, base):
        return score(bench, jobs, base, options)
