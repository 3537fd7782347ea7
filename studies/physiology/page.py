"""Write docs/results/physiology.md from run folders; no number is typed by hand.

    python studies/physiology/page.py RUN [RUN …]

Each RUN is a folder that `striate probe` finished.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
import yaml

from striate.core.files import read_json, write_text
from striate.evaluate.properties import PROPERTIES, of
from striate.report.probe import span

OUT = Path(__file__).parents[2] / "docs" / "results" / "physiology.md"


def markdown(columns: list[str], rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def modulation(run: Path) -> str:
    taps = pd.read_parquet(run / "tables" / "texture_modulation.parquet")
    rows = [
        [r["model"], r["tap"], f"{r['active']} of {r['units']}", f"{r['mean']:+.3f}",
         span(r, "mean_families"), span(r, "mean_units"),
         f"{r['control']:+.3f} {span(r, 'control_families')}", f"{r['positive']:.0%}"]
        for _, r in taps.iterrows()
    ]  # fmt: skip
    return markdown(
        ["model", "tap", "active units", "mean index", "95 % over families", "95 % over units",
         "control, 95 % over families", "units above 0"],
        rows,
    )  # fmt: skip


def differences(run: Path) -> str:
    path = run / "tables" / "texture_differences.parquet"
    rows = [
        [r["model"], f"{r['later']} - {r['earlier']}", f"{r['difference']:+.3f}",
         span(r, "difference_families"), span(r, "difference_units"),
         f"{r['larger_families']} of {r['families']}", f"{r['p_families']:.3f}"]
        for _, r in pd.read_parquet(path).iterrows()
    ]  # fmt: skip
    return markdown(
        ["model", "taps", "difference", "95 % over families", "95 % over units",
         "families in which it is larger", "p over families"],
        rows,
    )  # fmt: skip


def synthesis(run: Path) -> str:
    own = pd.read_parquet(run / "tables" / "synthesis.parquet").groupby("family", sort=False)
    rows = [
        [str(name), f"{len(part)}", f"{part['start'].median():.3f}", f"{part['end'].median():.4f}",
         f"{part['remaining'].median():.1%}", f"{part['seconds'].median():.1f}"]
        for name, part in own
    ]  # fmt: skip
    return markdown(
        ["family", "samples", "first error", "last error", "remains", "seconds a texture"], rows
    )


def tuning(run: Path) -> str:
    units = pd.read_parquet(run / "tables" / "tuning.parquet")
    names = of("gratings", units.columns)
    places = list(units[units["responds"]].groupby(["model", "tap"], sort=False))
    rows = [
        [
            PROPERTIES[name].label,
            *(f"{part[name].astype(float).median():.3g}" for _, part in places),
        ]
        for name in names
    ]
    return markdown(["median of units that respond", *(f"{m}, {t}" for (m, t), _ in places)], rows)


def page(run: Path) -> str:
    config = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
    parts = []
    if "textures" in config["stimuli"]:
        parts += ["## Texture modulation by stage", modulation(run), differences(run)]
        parts += ["## Synthesis of the textures", synthesis(run)]
    if "gratings" in config["stimuli"]:
        parts += ["## Gratings", tuning(run)]
    notes = read_json(run / "probe.json")["notes"]
    return "\n\n".join([*parts, "Notes:", "\n".join(f"- {note}" for note in notes)])


def main(runs: list[str]) -> None:
    head = "# Physiology of models\n\nWritten by `studies/physiology/page.py` from `striate probe`."
    write_text(OUT, "\n\n".join([head, *(page(Path(run)) for run in runs)]) + "\n")
    print(OUT)


if __name__ == "__main__":
    main(sys.argv[1:])
