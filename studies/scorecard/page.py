"""Write docs/results/scorecard.md from a scorecard; no number is typed by hand.

    python studies/scorecard/page.py SCORECARD RUN [RUN …]

SCORECARD is a folder that `striate report RUN … --out SCORECARD` wrote, of the same runs. The words
are in notes.md beside this file.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pandas as pd

from striate.core.files import read_json, read_parquet, write_text
from striate.models import load
from striate.report.markdown import fill, markdown, portable

HERE = Path(__file__).parent
OUT = HERE.parents[1] / "docs" / "results"
MODELS = ("lcl_v2", "squeezenet1_1", "efficientnet_lite0", "gabor_energy", "scattering_v2")
CONTROLS = {"normalized": "of ceiling", "ceiling": "ceiling", "random": "random", "null": "null"}


def cell(row: Any) -> str:
    """Value, interval, ceiling and controls."""
    if row["status"] != "measured":
        return "not measured"
    parts = [f"**{row['value']:.3f}**"]
    if pd.notna(row["low"]):
        parts.append(f"[{row['low']:.3f}, {row['high']:.3f}]")
    parts += [f"{said} {row[k]:.3f}" for k, said in CONTROLS.items() if pd.notna(row[k])]
    return "<br>".join(parts)


def table(card: pd.DataFrame) -> str:
    """Rows are what was measured, columns models."""
    first = card["names"].str.split(", ").str[0]
    card = card[first.isin(MODELS)].assign(short=first)
    rows = []
    for (measure, what), part in card.groupby(["measure", "row"], sort=False):
        by_model = {r["short"]: r for _, r in part.iterrows()}
        measured = [r for r in by_model.values() if r["status"] == "measured"]
        over = f" (95 % over {measured[0]['over']})" if measured and measured[0]["over"] else ""
        if not measured and what:
            continue
        rows.append([measure, f"{what}{over}", *(cell(by_model[m]) for m in MODELS)])
    return markdown(["", "", *MODELS], rows)


def commands(scorecard: Path, runs: list[Path]) -> str:
    """How the runs and the scorecard were made."""
    made = [read_json(run / "provenance.json")["command"] for run in runs]
    report = " ".join(["striate report", *map(str, runs), "--out", str(scorecard)])
    return "\n".join(f"    {portable(c)}" for c in (*made, report))


def main(scorecard: Path, runs: list[Path]) -> None:
    parts = {
        "table": table(read_parquet(scorecard / "scorecard.parquet")),
        "photographs": f"{len(load('lcl_v2').seen):,}",
        "commands": commands(scorecard, runs),
    }
    text = (HERE / "notes.md").read_text(encoding="utf-8")
    write_text(OUT / "scorecard.md", fill(text, parts))
    print(OUT / "scorecard.md")


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(a) for a in sys.argv[2:]])
