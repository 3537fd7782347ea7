"""Write docs/results/physiology.md and its figure from a run; no number is typed by hand.

    python studies/physiology/page.py RUN SEEDS

RUN is a folder that `striate probe` finished with gratings and textures, SEEDS the folder of seed
textures that seeds.py wrote. A model whose name ends in `-0`, `-1` … is a seed of one that was
grown several times; `matched` is the reference. Models that were grown on photographs that textures
come from stand in the tables of all models, and in no comparison. The words between the tables are
in notes.md beside this file.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from matplotlib.figure import Figure

from striate.core.files import read_json, write_text
from striate.encoding import percentile_interval, sign_flip_p
from striate.encoding.inference import bootstrap_counts
from striate.evaluate.units.properties import PROPERTIES
from striate.models import load
from striate.report.figures.common import label
from striate.report.figures.filters import LINES
from striate.report.html.page import number
from striate.report.markdown import fill, markdown, portable
from striate.report.pages.units import span

HERE = Path(__file__).parent
OUT = HERE.parents[1] / "docs" / "results"
REFERENCE = "matched"
ALPHA = 0.05
SHOWN = (
    "circular_variance",
    "orientation_bandwidth",
    "orthogonal_preferred_ratio",
    "modulation_ratio",
    "peak_frequency",
    "frequency_bandwidth",
    "summation_field",
    "suppression_index",
)
"""Properties whose medians tell something; the others are in the run's tables."""
COUNTED = re.compile(r"units that (do not|never) respond")
"""Notes that the tables of the page tell too."""
SEEDS = re.compile(r"-\d+$")


def base(name: str) -> str:
    """A model's name without its seed."""
    return SEEDS.sub("", name)


class Run:
    """The tables of a probing run.

    Attributes:
        rises: (families, models) later less earlier tap, a column a model, by family.
        control: the same of noise against noise.
        saw: how many photographs that textures come from each model was grown on.
    """

    def __init__(self, root: Path, seeds: Path) -> None:
        self.root = root
        self.sources = read_json(seeds / "sources.json")
        self.config = yaml.safe_load((root / "config.yaml").read_text(encoding="utf-8"))
        self.facts = read_json(root / "probe.json")
        self.known = read_json(root / "provenance.json")
        names = ("texture_modulation", "texture_differences", "texture_families", "synthesis",
                 "tuning")  # fmt: skip
        self.tables = {n: pd.read_parquet(root / "tables" / f"{n}.parquet") for n in names}
        self.rises, self.control = self._rises("index"), self._rises("control")
        self.saw = {
            name: len(
                set(load(model["id"], weights=model["weights"]).seen) & {*self.sources.values()}
            )
            for name, model in self.config["models"].items()
        }

    def _rises(self, values: str) -> pd.DataFrame:
        families, rises = self.tables["texture_families"], {}
        for _, row in self.tables["texture_differences"].iterrows():
            rows = families[families["model"] == row["model"]]
            by_tap = rows.pivot(index="family", columns="tap", values=values)
            rises[row["model"]] = by_tap[row["later"]] - by_tap[row["earlier"]]
        return pd.DataFrame(rises)

    @property
    def kinds(self) -> list[str]:
        """Models without their seeds, the reference first, then by how much they rise."""
        means = self.rises.mean().groupby(base).mean().sort_values(ascending=False)
        return [REFERENCE, *(name for name in means.index if name != REFERENCE)]

    def seeds(self, kind: str, control: bool = False) -> pd.DataFrame:
        """Rises of each seed of a model that saw no source of a texture, (families, seeds)."""
        rises = self.control if control else self.rises
        return rises[[n for n in rises if base(str(n)) == kind and not self.saw[str(n)]]]


def estimate(values: pd.Series) -> dict[str, Any]:
    """Mean over families, its 95 % interval by bootstrap and the sign-flip p."""
    finite = values.dropna().to_numpy(dtype=float)
    draws = bootstrap_counts(len(finite)) @ finite / len(finite)
    mean = percentile_interval(float(finite.mean()), draws)
    return {"value": mean.value, "low": mean.low, "high": mean.high, "p": sign_flip_p(finite),
            "larger": int((finite > 0).sum()), "families": len(finite)}  # fmt: skip


def shown(effect: dict[str, Any]) -> str:
    return f"{effect['value']:+.3f} [{effect['low']:+.3f}, {effect['high']:+.3f}]"


def verdict(effect: dict[str, Any]) -> str:
    """Whether a difference is sure: by its interval and by the test, as few families bound both."""
    if effect["p"] >= ALPHA:
        return "neither"
    return "more" if effect["low"] > 0 else "less" if effect["high"] < 0 else "neither"


def against(run: Run) -> dict[str, dict[str, Any]]:
    """The reference's rise less that of every other model, paired over families."""
    reference = run.seeds(REFERENCE).mean(axis=1)
    return {k: estimate(reference - run.seeds(k).mean(axis=1)) for k in run.kinds if k != REFERENCE}


def answer(run: Run) -> str:
    """What rises, and whether the reference does so more than others, in words."""
    rises: dict[str, list[str]] = {"more": [], "less": [], "neither": []}
    for kind in run.kinds:
        rise = estimate(run.seeds(kind).mean(axis=1))
        rises[verdict(rise)].append(f"{label(kind)} ({shown(rise)})")
    told: dict[str, list[str]] = {"more": [], "less": [], "neither": []}
    for kind, gap in against(run).items():
        told[verdict(gap)].append(f"{label(kind)} ({shown(gap)})")
    words = {
        "more": "Texture modulation **rises** from the earlier to the later stage in",
        "neither": "Neither can be said of",
        "less": "It **falls** in",
    }
    lines = [f"- {words[k]} {', '.join(rises[k])}." for k in words if rises[k]]
    pairs = {
        "more": "more than in",
        "less": "less than in",
        "neither": "and cannot be told apart from",
    }
    said = [f"{pairs[k]} {', '.join(told[k])}" for k in pairs if told[k]]
    return "\n".join([*lines, f"- In {REFERENCE} it rises {'; '.join(said)}."])


def modulation(run: Run) -> str:
    rows = [
        [named(run, r["model"]), r["tap"], f"{r['active']} of {r['units']}", f"{r['mean']:+.3f}",
         span(r, "mean_families"), span(r, "mean_units"),
         f"{r['control']:+.3f} {span(r, 'control_families')}", f"{r['positive']:.0%}"]
        for _, r in run.tables["texture_modulation"].iterrows()
    ]  # fmt: skip
    return markdown(
        ["model", "tap", "active units", "mean index", "95 % over families", "95 % over units",
         "control, 95 % over families", "units above 0"],
        rows,
    )  # fmt: skip


def named(run: Run, model: str) -> str:
    """A model's name, marked where it was grown on photographs that textures come from."""
    return f"{model} (saw {run.saw[model]})" if run.saw[model] else model


def differences(run: Run) -> str:
    rows = [
        [named(run, r["model"]), f"{r['later']} - {r['earlier']}", f"{r['difference']:+.3f}",
         span(r, "difference_families"), span(r, "difference_units"),
         f"{r['larger_families']} of {r['families']}", number(r['p_families'])]
        for _, r in run.tables["texture_differences"].iterrows()
    ]  # fmt: skip
    return markdown(
        ["model", "taps", "difference", "95 % over families", "95 % over units",
         "families in which it is larger", "p over families"],
        rows,
    )  # fmt: skip


def against_table(run: Run) -> str:
    rows, gaps = [], against(run)
    for kind in run.kinds:
        means = run.seeds(kind).mean()
        seeds = f"{means.min():+.3f} to {means.max():+.3f}" if len(means) > 1 else "–"
        rise, control = (estimate(run.seeds(kind, c).mean(axis=1)) for c in (False, True))
        less = ["", "", ""]
        if kind in gaps:
            gap = gaps[kind]
            less = [shown(gap), f"{gap['larger']} of {gap['families']}", number(gap["p"])]
        rows.append([label(kind), shown(rise), seeds, shown(control), *less])
    return markdown(
        ["model", "rise, 95 % over families", "over seeds", "rise of the control",
         f"{REFERENCE} less this", "families in which it is larger", "p over families"],
        rows,
    )  # fmt: skip


def synthesis(run: Run) -> str:
    rows = [
        [str(name), f"{len(part)}", f"{part['start'].median():.3f}", f"{part['end'].median():.4f}",
         f"{part['remaining'].median():.1%}", f"{part['seconds'].median():.1f}"]
        for name, part in run.tables["synthesis"].groupby("family", sort=False)
    ]  # fmt: skip
    return markdown(
        ["family", "samples", "first error", "last error", "remains", "seconds a texture"], rows
    )


def gratings(run: Run) -> str:
    """A row a tap, a column a property; of several seeds the first."""
    units = run.tables["tuning"]
    rows = []
    for (model, tap), part in units.groupby(["model", "tap"], sort=False):
        if SEEDS.search(model) and not model.endswith("-0"):
            continue
        active = part[part["responds"]]
        medians = active[list(SHOWN)].astype(float).median()
        selective = active["orientation_selective"].astype(float).mean()
        cells = ["–" if pd.isna(m) else f"{m:.2g}" for m in medians]
        rows.append([label(base(model)), tap, f"{len(active)} of {len(part)}", f"{selective:.0%}",
                     *cells])  # fmt: skip
    names = [PROPERTIES[n].label for n in SHOWN]
    return markdown(["model", "tap", "respond", "orientation selective", *names], rows)


def figure(run: Run) -> None:
    kinds = run.kinds[::-1]
    drawn = Figure(figsize=(6.4, 0.34 * len(kinds) + 0.9), layout="constrained")
    axes = drawn.subplots()
    for y, kind in enumerate(kinds):
        rise = estimate(run.seeds(kind).mean(axis=1))
        color = LINES[0] if kind == REFERENCE else "#555555"
        axes.plot([rise["low"], rise["high"]], [y, y], color=color, lw=2)
        axes.plot(rise["value"], y, "o", color=color, ms=6)
        means = run.seeds(kind).mean()
        if len(means) > 1:
            axes.plot(means, np.full(len(means), y), "|", color=color, ms=9)
    axes.axvline(0, color="#999999", lw=0.8, zorder=0)
    axes.set_yticks(range(len(kinds)), [label(k) for k in kinds], fontsize=8)
    axes.set_xlabel("texture modulation, later stage less earlier stage", fontsize=8)
    axes.tick_params(axis="x", labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title("dots: mean; bars: 95 % over families; ticks: seeds, where there are several",
                   fontsize=8, loc="left")  # fmt: skip
    drawn.savefig(OUT / "physiology.png", dpi=130, facecolor="white")


def setup(run: Run) -> str:
    textures, machine = run.config["textures"], run.known["machine"]
    families = run.tables["synthesis"]["family"].nunique()
    return (
        f"- {families} families x {textures['samples']} textures of {textures['side']} pixels for "
        f"{textures['degrees']:g} degrees, standard deviation {textures['contrast']:g} of gray, at "
        f"{run.config['pixels_per_degree']:g} pixels per degree. {machine['processor']}, "
        f"{machine['cores']} cores, {', '.join(machine['gpus']) or 'no GPU'}."
    )


def repeat(run: Run) -> str:
    """How the textures, the run and this page were made."""
    made = re.sub(r"(?<=textures\.seeds=)\S+", "SEEDS", run.known["command"])
    lines = (
        "python studies/physiology/seeds.py SEEDS ../shared/data/bsds500 "
        "../shared/data/imagenet_sample_1000 --chosen",
        portable(made),
        f"python studies/physiology/page.py {run.root} SEEDS",
    )
    return "\n".join(f"    {line}" for line in lines)


def main(root: Path, seeds: Path) -> None:
    run = Run(root, seeds)
    text = (HERE / "notes.md").read_text(encoding="utf-8")
    parts = {
        "answer": answer(run),
        "setup": setup(run),
        "modulation": modulation(run),
        "differences": differences(run),
        "against": against_table(run),
        "gratings": gratings(run),
        "synthesis": synthesis(run),
        "repeat": repeat(run),
        "notes": "\n".join(f"- {n}" for n in run.facts["notes"] if not COUNTED.search(n)),
    }
    figure(run)
    write_text(OUT / "physiology.md", fill(text, parts))
    print(OUT / "physiology.md")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
