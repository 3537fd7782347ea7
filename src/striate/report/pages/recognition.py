"""The page of a trained recognition model: accuracy, and how it generalizes. No science here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from striate.core.config import read_yaml
from striate.core.files import read_json_lines, write_text
from striate.evaluate.recognition.tables import read_results
from striate.report.figures.common import png
from striate.report.figures.recognition import learning_curves, severity_curves
from striate.report.html.page import (
    Raw,
    bullets,
    folded,
    frame,
    image,
    page,
    paragraph,
    section,
    text,
)
from striate.report.html.run import assert_finished, provenance_section


def is_training(run: Path) -> bool:
    """Whether a run folder is that of `striate train`."""
    return (run / "model" / "train.yaml").exists()


def build_training(run: Path) -> Path:
    """Write `report.html` into the folder of a training run and return its path.

    Raises:
        InputError: the run was stopped before its end.
    """
    assert_finished(run, "training.json")
    config = read_yaml(run / "config.yaml")
    found, accuracy, means = read_results(run)
    metrics = pd.DataFrame(read_json_lines(run / "model" / "metrics.jsonl"))
    title = f"Striate: recognition behind {_front(config, found)}"
    parts = [
        Raw(f"<h1>{text(title)}</h1>"),
        paragraph(_subtitle(config, found, metrics), "quiet"),
        _answer(found),
        bullets(found["notes"], "warn") if found["notes"] else Raw(""),
        _distortions(accuracy, means, found["chance"]),
        section("Training", image(png(learning_curves(metrics)), "loss and accuracy over steps")),
        provenance_section(run, config),
    ]
    write_text(run / "report.html", page(title, parts))
    return run / "report.html"


def _subtitle(config: dict[str, Any], found: dict[str, Any], metrics: pd.DataFrame) -> str:
    front, attack = found["front"], config["training"]["attack"]
    attacked = f", on images attacked with eps {attack['eps']:g}" if attack["eps"] else ""
    return (
        f"{_front(config, found)} up to {front['tap']}, "
        f"{'frozen' if front['frozen'] else 'trained too'}, and an AlexNet-shaped "
        f"back-end{attacked}; {len(metrics):,} steps in "
        f"{metrics['seconds'].sum() / 60:.1f} minutes. After LCL-V2Net of Parthasarathy, Hénaff & "
        "Simoncelli 2024, whose back-end and recipe are not known to us: all settings are "
        "Striate's own."
    )


def _front(config: dict[str, Any], found: dict[str, Any]) -> str:
    """The front as it was asked for: of one network there are many, and random ones."""
    network, asked = found["front"]["id"], config["front"]["id"]
    if config["front"]["weights"]:
        return f"{network} (weights {config['front']['weights']})"
    return str(asked) if asked.partition("@")[0] == network else f"{network} of {asked}"


def _answer(found: dict[str, Any]) -> Raw:
    own = found["accuracy"]
    lines = [
        f"Accuracy on {found['test_images']:,} clean test images: {own['accuracy']:.3f} "
        f"[{own['low']:.3f}, {own['high']:.3f}] (95 % over images); chance is "
        f"{found['chance']:.3f}."
    ]
    if found["distorted"] is not None:
        lines.append(
            f"On distorted images: {found['distorted']:.3f} (mean over distortions, without the "
            "conditions that the benchmark leaves out)."
        )
    return bullets(lines, "answer")


def _distortions(accuracy: pd.DataFrame, means: pd.DataFrame, chance: float) -> Raw:
    figure = severity_curves({"this model": accuracy}, chance)
    if figure is None:
        return Raw("")
    shown = accuracy.drop(columns=["level"]).copy()
    shown["excluded"] = shown["excluded"].map({True: "left out of means", False: ""})
    note = (
        "Accuracy over severity, mildest first; shaded: 95 % over images. Open marks are "
        "controls, and conditions in which humans fail, which means leave out. Distortions were "
        "made by Striate after Geirhos et al. 2018; lengths are scaled with the image."
    )
    return section(
        "Generalization",
        paragraph(note, "quiet"),
        image(png(figure), "accuracy over severity of each distortion"),
        frame(means),
        folded("Every condition", frame(shown, names=2)),
    )
