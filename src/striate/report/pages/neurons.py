"""The page of `striate predict`: neurons predicted, with controls. No science here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from striate.core.config import read_yaml
from striate.core.files import read_json, read_parquet, write_text
from striate.evaluate.common.model_records import FILE as MODELS
from striate.report.html.page import Table, make_table, render
from striate.report.html.run import read_provenance, read_unrelated

DIGITS = 3
"""Of an interval."""


@dataclass(frozen=True)
class ShownTextures:
    """V1 and V2 by Brain-Score's protocol.

    Attributes:
        components: of PLS.
        about: what the intervals are over.
        table: a row a model, weights and region.
        choice: how taps were chosen, where they were.
    """

    components: int
    about: str
    table: Table
    choice: Table | None


@dataclass(frozen=True)
class DataSet:
    """One set of recordings: scores, and gains over random weights where there are any.

    Attributes:
        name: with a mark where it is simulated.
        shares: whether the table holds shares of explainable variance.
        table: a row a readout, kind and model.
        gains: a row a model and its random twin.
    """

    name: str
    shares: bool
    table: Table
    gains: Table | None


def build_neurons(run: Path) -> Path:
    """Write `report.html` into the folder of a prediction and return its path."""
    config = read_yaml(run / "config.yaml")
    tables = {f.stem: read_parquet(f) for f in sorted((run / "tables").glob("*.parquet"))}
    html = render(
        "neurons.html.j2",
        title="Striate: neurons predicted by " + ", ".join(config["models"]),
        simulated=any(bool(t["simulated"].any()) for t in tables.values() if "simulated" in t),
        unrelated=read_unrelated(run),
        notes=read_json(run / "notes.json"),
        textures=_describe_textures(tables),
        sets=_describe_sets(tables),
        similarity=_tabulate_similarity(tables),
        provenance=read_provenance(run, config),
        models=_tabulate_models(run),
    )
    write_text(run / "report.html", html)
    return run / "report.html"


def _describe_textures(tables: dict[str, pd.DataFrame]) -> ShownTextures | None:
    if "freeman_ziemba" not in tables:
        return None
    scores = tables["freeman_ziemba"]
    over = _name_resampled(scores)
    simulated = scores["simulated"].map({True: " (SIMULATED)", False: ""})
    columns = {
        "model": scores["model"],
        "weights": scores["weights"],
        "region": scores["region"] + simulated,
        "tap": scores["tap"],
        "r": scores["r"],
        "± over splits": scores["r_sem"],
        "ceiling": scores["ceiling"],
        "(r/c)²": scores["r_over_c_squared"],
        "r²/c": scores["r_squared_over_c"],
        f"95 % over {over} (ours)": _write_intervals(scores, "low", "high"),
        "95 % over neurons (ours)": _write_intervals(scores, "neurons_low", "neurons_high"),
        f"{over} shuffled": scores["null"],
        "over random": scores["over_random"],
        "its 95 %": _write_intervals(scores, "over_random_low", "over_random_high"),
        "stimuli": scores["stimuli"],
        "neurons": scores["neurons"],
    }
    choice = tables.get("freeman_ziemba_taps")
    return ShownTextures(
        components=scores["components"].iloc[0],
        about=_write_about_families(scores),
        table=make_table(pd.DataFrame(columns), names=4),
        choice=None if choice is None else make_table(choice, names=2),
    )


def _describe_sets(tables: dict[str, pd.DataFrame]) -> list[DataSet]:
    if "scores" not in tables:
        return []
    sets = []
    for name, scores in tables["scores"].groupby("data", sort=False):
        differences = tables["differences"]
        if "data" in differences:
            differences = differences[differences["data"] == name]
        over = f"95 % over {scores['over'].iloc[0] if 'over' in scores else 'images'}"
        sets.append(
            DataSet(
                name=f"{name}{' (SIMULATED)' if scores['simulated'].any() else ''}",
                shares="share_explained" in scores,
                table=_tabulate_scores(scores, over),
                gains=_tabulate_gains(differences, over) if len(differences) else None,
            )
        )
    return sets


def _tabulate_scores(scores: pd.DataFrame, over: str) -> Table:
    groups = f" ({scores['n_groups'].iloc[0]})" if "n_groups" in scores else ""
    columns = {
        "readout": scores["readout"],
        "kind": scores["kind"],
        "model": scores["model"],
        "tap": scores["tap"],
        "r": scores["r"],
        over + groups: _write_intervals(scores, "low", "high"),
        "95 % over sessions": _write_intervals(scores, "session_low", "session_high"),
        "r / ceiling": scores["r_normalized"],
    }
    if "share_explained" in scores:  # runs of earlier versions have none
        columns |= {
            "of explainable variance": scores["share_explained"],
            "its 95 % over sessions": _write_intervals(scores, "share_low", "share_high"),
            "ceiling": scores["ceiling"],
            "ceiling from": scores["ceiling_source"],
            "units with one": scores["n_reliable"],
        }
    columns |= {
        "stimuli shuffled": scores["null"],
        "sessions": scores["sessions"],
        "units": scores["units"],
    }
    return make_table(pd.DataFrame(columns), names=4)


def _tabulate_gains(differences: pd.DataFrame, over: str) -> Table:
    better = zip(differences["sessions_better"], differences["sessions"], strict=True)
    columns = {
        "readout": differences["readout"],
        "kind": differences["kind"],
        "model": differences["reference"],
        "less": differences["model"],
        "difference": differences["delta"],
        over: _write_intervals(differences, "low", "high"),
        "sessions better": [f"{a} of {b}" for a, b in better],
        "p over sessions": differences["p"],
    }
    return make_table(pd.DataFrame(columns), names=4)


def _tabulate_similarity(tables: dict[str, pd.DataFrame]) -> Table | None:
    """Representational similarity with IT; None where it was not measured."""
    if "rdms_92images" not in tables:
        return None
    scores = tables["rdms_92images"]
    columns = {
        "brain": scores["data"],
        "method": scores["method"],
        "model": scores["model"],
        "similarity": scores["similarity"],
        "95 % over stimuli": _write_intervals(scores, "low", "high"),
        "noise ceiling": _write_intervals(scores, "ceiling_low", "ceiling_high"),
        "stimuli shuffled": scores["null"],
        "its 95th percentile": scores["null_95"],
        "p": scores["p"],
    }
    return make_table(pd.DataFrame(columns), names=3)


def _write_intervals(data: pd.DataFrame, low: str, high: str) -> list[str]:
    pairs = zip(data[low], data[high], strict=True)
    return ["–" if pd.isna(a) else f"[{a:.{DIGITS}f}, {b:.{DIGITS}f}]" for a, b in pairs]


def _tabulate_models(run: Path) -> Table | None:
    """Which networks the names stand for; runs of earlier versions do not tell."""
    if not (run / MODELS).exists():
        return None
    models = read_json(run / MODELS)["models"]
    rows = [[model["name"], model["id"], model["weights"][:12]] for model in models]
    return Table(["model", "network", "weights"], rows, names=3)


def _name_resampled(scores: pd.DataFrame) -> str:
    """What the intervals of the textures are over; runs of earlier versions had stimuli."""
    return str(scores["over"].iloc[0]) if "over" in scores else "stimuli"


def _write_about_families(scores: pd.DataFrame) -> str:
    if _name_resampled(scores) == "families":
        return (
            f"Intervals and the shuffled null take each of the {scores['families'].iloc[0]} "
            "texture families as a whole: they say what other families would give. Fits are not "
            "repeated."
        )
    return (
        "Intervals and the shuffled null are over single stimuli, of which fifteen share a family: "
        "they hold for these families only, and are too narrow for others."
    )
