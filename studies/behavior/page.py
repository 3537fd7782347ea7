"""Write docs/results/behavior.md and its figures from run folders; no number is typed by hand.

    python studies/behavior/page.py RUN [RUN …]

Each RUN is a folder that `striate behave` finished. The words are in notes.md beside this file.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pandas as pd
import yaml

from striate.report.figures.behavior import consistency_plot, shape_bias_plot
from striate.report.figures.common import label
from striate.report.html.page import number
from striate.report.markdown import fill, markdown, portable
from striate.report.pages.behavior import BIAS, HUMANS, MEASURES, cell

HERE = Path(__file__).parent
OUT = HERE.parents[1] / "docs" / "results"


def human_table(run: Path) -> str:
    """Humans with each other, in every experiment."""
    humans = pd.read_parquet(run / "tables" / "humans.parquet")
    rows = []
    for _, row in humans.iterrows():
        cells = [f"{row[m]:.4f} [{row[f'{m}_low']:.3f}, {row[f'{m}_high']:.3f}]" for m in MEASURES]
        counts = [str(row[c]) for c in ("observers", "conditions", "trials")]
        rows.append([str(row["experiment"]), *counts, *cells])
    columns = ["experiment", "observers", "conditions", "images", *MEASURES.values()]
    return markdown(columns, rows)


def measure_table(run: Path, experiment: str, measures: dict[str, str]) -> str:
    """Every observer in one experiment."""
    benchmark = pd.read_parquet(run / "tables" / "benchmark.parquet")
    measured = benchmark[benchmark["experiment"] == experiment]
    rows = []
    for observer, part in measured.groupby("observer", sort=False):
        by = part.set_index("measure")
        rows.append([label(str(observer)), *(cell(by.loc[m]) for m in measures)])
    return markdown(["", *measures.values()], rows)


def change_table(run: Path) -> str:
    """What tuning changed: each model alone, and the mean over the models of a group."""
    each = pd.read_parquet(run / "tables" / "differences.parquet")
    groups = pd.read_parquet(run / "tables" / "groups.parquet")
    wanted = {
        ("cue-conflict", "shape_bias"): BIAS["shape_bias"],
        ("cue-conflict", "shape"): BIAS["shape"],
        ("cue-conflict", "texture"): BIAS["texture"],
        ("cue-conflict", "congruent_accuracy"): BIAS["congruent_accuracy"],
        **{("mean", m): f"{MEASURES[m]}, mean" for m in ("accuracy", "error_consistency")},
    }
    rows = []
    for source, who in ((each, "model"), (groups, "group")):
        if source.empty:
            continue
        for name, changes in source.groupby(who, sort=False):
            by = changes.set_index(["experiment", "measure"])
            cells = []
            for key in wanted:
                row = by.loc[key]
                cells.append(f"{row['delta']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}]")
            count = f" (mean of {changes['models'].iloc[0]})" if who == "group" else ""
            p = by.loc[("cue-conflict", "shape_bias")]["p"]
            rows.append([f"{label(str(name))}{count}", *cells, number(p)])
    return markdown(["less untuned", *wanted.values(), "p (shape bias)"], rows)


def category_table(run: Path) -> str:
    """Shape bias of each category: humans, models, and means of groups."""
    categories = pd.read_parquet(run / "tables" / "categories.parquet")
    groups = _groups(run)
    bias = categories[categories["measure"] == "shape_bias"].copy()
    bias["shown"] = bias["observer"].map(lambda o: groups.get(o) or o)
    wide = bias.pivot_table(index="category", columns="shown", values="value", aggfunc="mean")
    order = [HUMANS, *dict.fromkeys(g or m for m, g in groups.items())]
    order = [o for o in order if o in wide.columns]
    rows = [
        [str(c), *("–" if pd.isna(wide.loc[c, o]) else f"{wide.loc[c, o]:.2f}" for o in order)]
        for c in wide.index
    ]
    return markdown(["shape", *(label(o) for o in order)], rows)


def _groups(run: Path) -> dict[str, str | None]:
    behavior = json.loads((run / "behavior.json").read_text(encoding="utf-8"))
    return {name: facts["group"] for name, facts in behavior["models"].items()}


def pictures(run: Path, name: str) -> str:
    """The two standard figures as files; lines of markdown."""
    tables = {
        t: pd.read_parquet(run / "tables" / f"{t}.parquet")
        for t in ("categories", "benchmark", "each_human", "each_human_bias")
    }
    groups = _groups(run)
    benchmark, categories = tables["benchmark"], tables["categories"]
    bias = shape_bias_plot(
        categories[categories["measure"] == "shape_bias"],
        benchmark[benchmark["measure"] == "shape_bias"],
        tables["each_human_bias"],
        groups,
    )
    measured = benchmark[benchmark["observer"].isin(groups) & (benchmark["status"] == "measured")]
    experiments = list(dict.fromkeys(measured["experiment"]))
    consistency = consistency_plot(benchmark, tables["each_human"], groups, experiments)
    lines = []
    for figure, kind, words in (
        (bias, "shape-bias", "Shape bias by category"),
        (consistency, "consistency", "Error consistency against accuracy"),
    ):
        if figure is not None:
            file = f"behavior-{kind}-{name}.png"
            figure.savefig(OUT / file, dpi=130, facecolor="white", bbox_inches="tight")
            lines.append(f"![{words}: {name}]({file})")
    return "\n\n".join(lines)


def network(run: Path) -> str:
    """The part of the page about one run."""
    config = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
    provenance = json.loads((run / "provenance.json").read_text(encoding="utf-8"))
    facts = json.loads((run / "behavior.json").read_text(encoding="utf-8"))
    name = config["models"]["untuned"]["id"]
    machine = provenance["machine"]
    return "\n\n".join(
        [
            f"## {name} at {config['image_size']} pixels",
            pictures(run, name),
            "What tuning changed, with 95 % intervals: of a model over images and humans on the "
            "same resamples as untuned, of a group Student's t over its models. p of shape bias: "
            "of a model by the same resamples, which cannot give less than two in as many as there "
            "are; of a group by sign flips over its models, of which there are few. Nothing is "
            "corrected for the number of comparisons.",
            change_table(run),
            "Cue-conflict:",
            measure_table(run, "cue-conflict", {**BIAS, **MEASURES}),
            *(
                f"{experiment.capitalize()}:\n\n{measure_table(run, experiment, MEASURES)}"
                for experiment in config["stimuli"]
                if experiment != "cue-conflict"
            ),
            "Shape bias of each category of the shape:",
            category_table(run),
            f"Command (config: `studies/behavior/{name}.yaml`):",
            f"    {portable(provenance['command'])}",
            f"Machine: {machine['processor']}, {machine['cores']} cores, "
            f"{machine['memory_gb']} GB; torch {provenance['versions']['torch']}.",
            "The run's own notes:\n\n" + "\n".join(f"- {n}" for n in facts["notes"]),
        ]
    )


def main() -> None:
    runs = [Path(a) for a in sys.argv[1:]]
    OUT.mkdir(parents=True, exist_ok=True)
    notes = (HERE / "notes.md").read_text(encoding="utf-8")
    parts = {"humans": human_table(runs[0]), "runs": "\n\n".join(network(run) for run in runs)}
    (OUT / "behavior.md").write_text(fill(notes, parts), encoding="utf-8")
    print(OUT / "behavior.md")


if __name__ == "__main__":
    main()
