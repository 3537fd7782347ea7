"""`build`: from a run folder to one self-contained `report.html`. No science is computed here."""

from __future__ import annotations

from pathlib import Path

from striate.core.config import read_yaml
from striate.core.errors import InputError
from striate.report.html.run import assert_finished
from striate.report.pages.behavior import build_behavior, is_behavior
from striate.report.pages.growth import build_growth, is_growth
from striate.report.pages.neurons import build_neurons, is_prediction
from striate.report.pages.recognition import build_training, is_training
from striate.report.pages.tuned.page import build_tuned
from striate.report.pages.units import build_probe, is_probe


def build(run: str | Path) -> Path:
    """Write `report.html` into a run folder and return its path.

    Args:
        run: a folder that `striate compare`, `encode`, `predict`, `demo`, `grow`, `train`, `probe`
            or `behave` wrote.

    Raises:
        InputError: no run there, or one that has not got as far as its scores.
    """
    run = Path(run)
    if not (run / "config.yaml").exists():
        raise InputError(f"{run} is no run folder: it has no config.yaml.")
    if is_growth(run):
        return build_growth(run)
    if is_training(run):
        return build_training(run)
    config = read_yaml(run / "config.yaml")
    if is_behavior(config):
        return build_behavior(run, config)
    if is_prediction(config):
        return build_neurons(run)
    if is_probe(config):
        return build_probe(run)
    for kind, record in (("front", "train"), ("photographs", "grow")):
        if kind in config:  # stopped before it began to learn
            assert_finished(run, f"model/{record}.yaml")
    if not ("encode" in config and config.keys() & {"methods", "models"}):
        raise InputError(
            f"{run} holds no run that has a page: striate tune writes models alone, and only "
            "compare, encode, predict, demo, grow, train, probe and behave write what a page shows."
        )
    return build_tuned(run, config)
