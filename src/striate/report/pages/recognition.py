"""The page of a trained recognition model: accuracy, and how it generalizes. No science here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from striate.core.config import read_yaml
from striate.core.files import read_json_lines, write_text
from striate.evaluate.recognition.summary import epoch_means
from striate.evaluate.recognition.tables import read_results
from striate.report.figures.recognition import learning_curves, severity_curves
from striate.report.html.page import Table, make_picture, make_table, render
from striate.report.html.run import read_provenance


def build_training(run: Path) -> Path:
    """Write `report.html` into the folder of a training run and return its path."""
    config = read_yaml(run / "config.yaml")
    results, accuracy, means = read_results(run)
    metrics = pd.DataFrame(read_json_lines(run / "model" / "metrics.jsonl"))
    severity = severity_curves({"this model": accuracy}, results["chance"])
    words = "accuracy over severity of each distortion"
    curves = learning_curves(metrics, epoch_means(metrics))
    html = render(
        "recognition.html.j2",
        title=f"Striate: recognition behind {_name_front(config, results)}",
        subtitle=_write_subtitle(config, results, metrics),
        answers=_write_answers(results),
        notes=results["notes"],
        severity=make_picture(severity, words) if severity else None,
        means=make_table(means),
        conditions=_tabulate_conditions(accuracy),
        learning=make_picture(curves, "loss and accuracy over steps"),
        provenance=read_provenance(run, config),
    )
    write_text(run / "report.html", html)
    return run / "report.html"


def _write_subtitle(config: dict[str, Any], results: dict[str, Any], metrics: pd.DataFrame) -> str:
    front, attack = results["front"], config["training"]["attack"]
    attacked = f", on images attacked with eps {attack['eps']:g}" if attack["eps"] else ""
    return (
        f"{_name_front(config, results)} up to {front['tap']}, "
        f"{'frozen' if front['frozen'] else 'trained too'}, and an AlexNet-shaped "
        f"back-end{attacked}; {len(metrics):,} steps in "
        f"{metrics['seconds'].sum() / 60:.1f} minutes."
    )


def _name_front(config: dict[str, Any], results: dict[str, Any]) -> str:
    """The front as it was asked for: of one network there are many, and random ones."""
    network, asked = results["front"]["id"], config["front"]["id"]
    if config["front"]["weights"]:
        return f"{network} (weights {config['front']['weights']})"
    return str(asked) if asked.partition("@")[0] == network else f"{network} of {asked}"


def _write_answers(results: dict[str, Any]) -> list[str]:
    clean = results["accuracy"]
    lines = [
        f"Accuracy on {results['test_images']:,} clean test images: {clean['accuracy']:.3f} "
        f"[{clean['low']:.3f}, {clean['high']:.3f}] (95 % over images); chance is "
        f"{results['chance']:.3f}."
    ]
    if results["distorted"] is not None:
        lines.append(
            f"On distorted images: {results['distorted']:.3f} (mean over distortions, without the "
            "conditions that the benchmark leaves out)."
        )
    return lines


def _tabulate_conditions(accuracy: pd.DataFrame) -> Table:
    excluded = accuracy["excluded"].map({True: "left out of means", False: ""})
    return make_table(accuracy.drop(columns="level").assign(excluded=excluded), names=2)
