"""`striate train`: train a recognition network behind a fixed front-end, and test it."""

from __future__ import annotations

from pathlib import Path

from striate.cli.common import (
    ConfigFile,
    Json,
    Out,
    Overrides,
    Overwrite,
    Quiet,
    options,
    records,
    tell_json,
)

NAME = "train"


def run(
    overrides: Overrides = None,
    config: ConfigFile = None,
    out: Out = Path("striate-train"),
    overwrite: Overwrite = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train a back-end with labels behind the first taps of a model; test it on distorted images.

    For example: striate train data.train=TRAIN data.test=TEST front.id=lcl_v2 --out runs/net
    """
    from striate.evaluate import TrainRunConfig, train_model
    from striate.evaluate.recognition.tables import read_results
    from striate.learning.common.distributed import is_first_process
    from striate.report import build

    how = options(as_json, quiet, overwrite, shared=True)
    folder = train_model(TrainRunConfig.load(config, overrides or ()), out, how)
    if not is_first_process():
        return
    page = build(folder)
    summary, accuracy, means = read_results(folder)
    found = summary["accuracy"]
    how.say(f"accuracy: {found['accuracy']:.3f} [{found['low']:.3f}, {found['high']:.3f}]")
    for row in means.to_dict("records"):
        how.say(f"  {row['experiment']:<20} {row['accuracy']:.3f}")
    how.say(f"report: {page}")
    if as_json:
        tell_json(
            {
                "folder": str(folder),
                "report": str(page),
                "summary": summary,
                "means": records(means),
                "accuracy": records(accuracy),
            }
        )
