"""The page of `striate predict`: neurons predicted, with controls. No science here."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

import pandas as pd

from striate.core.config import read_yaml
from striate.core.files import read_json, read_table, write_text
from striate.evaluate.common.model_records import FILE as MODELS
from striate.report.html.page import (
    SHARES,
    Raw,
    bullets,
    folded,
    frame,
    page,
    paragraph,
    section,
    table,
)
from striate.report.html.run import assert_finished, provenance_section, unrelated_notice

SHOWN = 3
"""Digits of an interval."""


def is_prediction(config: dict[str, Any]) -> bool:
    """Whether a run's config is that of `striate predict`."""
    return {"sets", "freeman_ziemba", "models"} <= set(config)


def build_neurons(run: Path) -> Path:
    """Write `report.html` into the folder of a prediction and return its path.

    Raises:
        InputError: the run was stopped before its end.
    """
    assert_finished(run, "notes.json")
    config = read_yaml(run / "config.yaml")
    tables = {f.stem: read_table(f) for f in sorted((run / "tables").glob("*.parquet"))}
    simulated = any(bool(t["simulated"].any()) for t in tables.values() if "simulated" in t)
    title = "Striate: neurons predicted by " + ", ".join(config["models"])
    parts = [
        Raw(f"<h1>{escape(title)}</h1>"),
        Raw('<div class="simulated">SIMULATED: what is marked so is about no brain.</div>')
        if simulated
        else Raw(""),
        unrelated_notice(run),
        bullets(read_json(run / "notes.json"), "warn"),
        _textures(tables),
        *_sets(tables),
        _it(tables),
        provenance_section(run, config, _models(run)),
    ]
    write_text(run / "report.html", page(title, parts))
    return run / "report.html"


def _textures(tables: dict[str, pd.DataFrame]) -> Raw:
    if "freeman_ziemba" not in tables:
        return Raw("")
    t = tables["freeman_ziemba"]
    over = _over(t)
    shown = pd.DataFrame(
        {
            "model": t["model"],
            "weights": t["weights"],
            "region": t["region"] + t["simulated"].map({True: " (SIMULATED)", False: ""}),
            "tap": t["tap"],
            "r": t["r"],
            "± over splits": t["r_sem"],
            "ceiling": t["ceiling"],
            "(r/c)²": t["r_over_c_squared"],
            "r²/c": t["r_squared_over_c"],
            f"95 % over {over} (ours)": _interval(t, "low", "high"),
            "95 % over neurons (ours)": _interval(t, "neurons_low", "neurons_high"),
            f"{over} shuffled": t["null"],
            "over random": t["over_random"],
            "its 95 %": _interval(t, "over_random_low", "over_random_high"),
            "stimuli": t["stimuli"],
            "neurons": t["neurons"],
        }
    )
    choice = tables.get("freeman_ziemba_taps")
    return section(
        "V1 and V2, FreemanZiemba2013, by Brain-Score's protocol",
        paragraph(
            "r: median over neurons, mean over splits, of PLS with "
            f"{t['components'].iloc[0]} components. (r/c)² was Brain-Score's score until January "
            "2026, r²/c is since: numbers of the one must not be compared with the other. The "
            "ceiling is a reliability, so a perfect model has r²/c = 1 and (r/c)² above 1.",
            "quiet",
        ),
        paragraph(_about_families(t), "quiet"),
        frame(shown, names=4),
        folded("How taps were chosen: the same score on the public stimuli", frame(choice, names=2))
        if choice is not None
        else "",
    )


def _sets(tables: dict[str, pd.DataFrame]) -> list[Raw]:
    out: list[Raw] = []
    if "scores" not in tables:
        return out
    for data, own in tables["scores"].groupby("data", sort=False):
        apart = tables["differences"]
        apart = apart[apart["data"] == data] if "data" in apart else apart
        mark = " (SIMULATED)" if own["simulated"].any() else ""
        over = f"95 % over {own['over'].iloc[0] if 'over' in own else 'images'}"
        groups = f" ({own['n_groups'].iloc[0]})" if "n_groups" in own else ""
        shown = pd.DataFrame(
            {
                "readout": own["readout"],
                "kind": own["kind"],
                "model": own["model"],
                "tap": own["tap"],
                "r": own["r"],
                over + groups: _interval(own, "low", "high"),
                "95 % over sessions": _interval(own, "session_low", "session_high"),
                "r / ceiling": own["r_normalized"],
                **_explained(own),
                "stimuli shuffled": own["null"],
                "sessions": own["sessions"],
                "units": own["units"],
            }
        )
        gains = (
            pd.DataFrame(
                {
                    "readout": apart["readout"],
                    "kind": apart["kind"],
                    "model": apart["reference"],
                    "less": apart["model"],
                    "difference": apart["delta"],
                    over: _interval(apart, "low", "high"),
                    "sessions better": [
                        f"{a} of {b}"
                        for a, b in zip(apart["sessions_better"], apart["sessions"], strict=True)
                    ],
                    "p over sessions": apart["p"],
                }
            )
            if len(apart)
            else None
        )
        out.append(
            section(
                f"{data}{mark}",
                paragraph(
                    "Mean over units of Pearson r on test stimuli; taps and penalties are chosen "
                    "without them." + _about_ceilings(own),
                    "quiet",
                ),
                frame(shown, names=4),
                paragraph("Against random weights:") if gains is not None else "",
                frame(gains, names=4) if gains is not None else "",
            )
        )
    return out


def _it(tables: dict[str, pd.DataFrame]) -> Raw:
    if "rdms_92images" not in tables:
        return Raw("")
    t = tables["rdms_92images"]
    shown = pd.DataFrame(
        {
            "brain": t["data"],
            "method": t["method"],
            "model": t["model"],
            "similarity": t["similarity"],
            "95 % over stimuli": _interval(t, "low", "high"),
            "noise ceiling": _interval(t, "ceiling_low", "ceiling_high"),
            "stimuli shuffled": t["null"],
            "its 95th percentile": t["null_95"],
            "p": t["p"],
        }
    )
    return section(
        "IT of 92 images: representational similarity",
        paragraph(
            "Monkey IT is one RDM and has no ceiling. The cosine of distances without a true zero, "
            "as 1 - r, is near 1 whatever the model: read it against the shuffled stimuli.",
            "quiet",
        ),
        frame(shown, names=3),
    )


def _interval(data: pd.DataFrame, low: str, high: str) -> list[str]:
    pairs = zip(data[low], data[high], strict=True)
    return ["–" if pd.isna(a) else f"[{a:.{SHOWN}f}, {b:.{SHOWN}f}]" for a, b in pairs]


def _models(run: Path) -> Raw:
    """Which networks the names stand for; runs of earlier versions do not tell."""
    if not (run / MODELS).exists():
        return Raw("")
    known = read_json(run / MODELS)["models"]
    rows = [[one["name"], one["id"], one["weights"][:12]] for one in known]
    return table(["model", "network", "weights"], rows, names=3)


def _over(t: pd.DataFrame) -> str:
    """What the intervals of the textures are over; runs of earlier versions had stimuli."""
    return str(t["over"].iloc[0]) if "over" in t else "stimuli"


def _about_families(t: pd.DataFrame) -> str:
    if _over(t) == "families":
        return (
            f"Intervals and the shuffled null take each of the {t['families'].iloc[0]} texture "
            "families as a whole: they say what other families would give. Fits are not repeated."
        )
    return (
        "Intervals and the shuffled null are over single stimuli, of which fifteen share a family: "
        "they hold for these families only, and are too narrow for others."
    )


def _explained(own: pd.DataFrame) -> dict[str, Any]:
    """Ceilings and shares of explainable variance; runs of earlier versions have none."""
    if "share_explained" not in own:
        return {}
    return {
        "of explainable variance": own["share_explained"],
        "its 95 % over sessions": _interval(own, "share_low", "share_high"),
        "ceiling": own["ceiling"],
        "ceiling from": own["ceiling_source"],
        "units with one": own["n_reliable"],
    }


def _about_ceilings(own: pd.DataFrame) -> str:
    return f" {SHARES}" if "share_explained" in own else ""
