"""The page of a run that scored tuned or given models: its head, and what stands below it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from striate.core.config import read_yaml
from striate.core.files import read_json, read_parquet, write_text
from striate.data.splits.split import SPLIT_FILE
from striate.evaluate.tuned.summary import ALPHA, summarize_gains
from striate.report.figures.common import label
from striate.report.html.page import render
from striate.report.html.run import assert_finished, read_provenance, read_unrelated
from striate.report.pages.tuned.data import (
    describe_ceilings,
    describe_split,
    describe_training,
    list_weights,
)
from striate.report.pages.tuned.scores import describe_scores, write_share

TABLES = ("rois", "group", "taps", "null")


def build_tuned(run: Path) -> Path:
    """Write the page of a run that scored tuned or given models."""
    needed = ["scores.parquet", SPLIT_FILE, "leaks.json", "warnings.json"]
    needed += [f"tables/{name}.parquet" for name in TABLES]
    assert_finished(run, *needed)
    config = read_yaml(run / "config.yaml")
    scores = read_parquet(run / "scores.parquet")
    rois, group, taps, null = (read_parquet(run / f"tables/{n}.parquet") for n in TABLES)
    simulated = bool(scores["simulated"].any())
    generalizations = []
    for kind in dict.fromkeys(group["generalization"]):
        tables = [t[t["generalization"] == kind] for t in (group, rois, scores, taps, null)]
        generalizations.append(describe_scores(str(kind), *tables, simulated=simulated))
    html = render(
        "tuned.html.j2",
        title=f"Striate: {config['data']['name']}, {config['model']['id']}",
        subtitle=_write_subtitle(scores, rois, config),
        simulated=simulated,
        unrelated=read_unrelated(run),
        answers=_write_answers(group, rois),
        planted=_read_planted(run),
        warnings=read_json(run / "warnings.json"),
        generalizations=generalizations,
        alpha=str(ALPHA),
        ceilings=describe_ceilings(scores, group, simulated),
        training=describe_training(run, simulated),
        split=describe_split(run),
        weights=list_weights(run),
        provenance=read_provenance(run, config),
    )
    write_text(run / "report.html", html)
    return run / "report.html"


def _write_subtitle(scores: pd.DataFrame, rois: pd.DataFrame, config: dict[str, Any]) -> str:
    units = scores.drop_duplicates(["subject", "hemisphere", "unit_id"])
    stimuli = f"{rois['n_stimuli'].min()} to {rois['n_stimuli'].max()}"
    protocol = config["encode"]["protocol"]
    tested = (
        "readouts and choices are made within the test images (see the notes)"
        if protocol == "paper_b"
        else "scores are on images that no tuning here used, "
        + (
            "nor, as far as they were found, copies of these"
            if config.get("split", {}).get("lookalikes") == "group"
            else "by exact pixels"
        )
    )
    return (
        f"{scores['subject'].nunique()} subjects, {len(units):,} units, "
        f"{scores.groupby(['hemisphere', 'roi']).ngroups} ROIs, "
        f"{scores['model'].nunique()} models, {stimuli} test images a subject; protocol "
        f"{protocol}: {tested}. What a network saw when it was pretrained elsewhere is not known."
    )


def _write_answers(group: pd.DataFrame, rois: pd.DataFrame) -> list[str]:
    """In words: by how much each model differs from the untuned one, and whether that is sure."""
    lines = []
    for _, gain in summarize_gains(group, rois).iterrows():
        size = f"{gain['n_rois']} ROI{'s' if gain['n_rois'] > 1 else ''}"
        share = write_share(gain["share_improved"], gain["share_low"], gain["share_high"])
        lines.append(
            f"{label(gain['model'])}, {gain['generalization']}: mean r {gain['r']:.3f}, "
            f"{gain['delta']:+.4f} against untuned (mean over {size}), {share} of units improved. "
            + _write_verdict(gain)
        )
    return lines


def _write_verdict(gain: pd.Series) -> str:
    """Whether a gain is sure: over subjects where they are enough, else within each subject."""
    subjects = gain["subjects"]
    if gain["tested"]:
        return (
            f"Over {subjects} subjects: better in {gain['better']} and worse in {gain['worse']} "
            f"of {gain['n_rois']} ROIs (q < {ALPHA})."
        )
    return (
        f"{subjects} subject{'s' if subjects > 1 else ''}: too few for a test over subjects. "
        f"Within subjects the 95 % interval over test images lies above 0 for {gain['above']} and "
        f"below 0 for {gain['below']} of {gain['pairs']} (subject, ROI) pairs."
    )


def _read_planted(run: Path) -> list[str]:
    """What a simulation planted, where the run says so."""
    path = run / "planted.json"
    return list(read_json(path)["lines"]) if path.exists() else []
