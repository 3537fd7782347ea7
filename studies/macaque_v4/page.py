"""Write docs/results/macaque-v4.md and its figures from run folders; no number is typed by hand.

    python studies/macaque_v4/page.py EXPLORE.csv RUN [RUN …]

EXPLORE.csv is what explore.py wrote; each RUN is a folder that `striate compare` finished.
The words between the tables are in notes.md beside this file.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pandas as pd
import yaml
from matplotlib.figure import Figure

from striate.report.figures.common import colors, label
from striate.report.markdown import fill, markdown, portable

HERE = Path(__file__).parent
OUT = HERE.parents[1] / "docs" / "results"


def number(value: float, digits: int = 3, sign: bool = False) -> str:
    """A number for the page; a dash where there is none. What would read 0 and is not keeps one."""
    if pd.isna(value):
        return "–"
    kind = "f" if value == 0 or abs(value) >= 0.5 * 10**-digits else "g"
    return f"{value:{'+' if sign else ''}.{digits if kind == 'f' else 1}{kind}}"


def interval(row: pd.Series, name: str, digits: int = 3) -> str:
    """A 95 % interval for the page."""
    if pd.isna(row[f"{name}_low"]):
        return "–"
    return f"[{row[f'{name}_low']:+.{digits}f}, {row[f'{name}_high']:+.{digits}f}]"


def group_table(run: Path) -> str:
    """Means over sessions, apart for new images and new sessions."""
    group = pd.read_parquet(run / "tables" / "group.parquet")
    rois = pd.read_parquet(run / "tables" / "rois.parquet")
    median = rois.groupby(["generalization", "model"])["r_median"].mean()
    rows = []
    for _, row in group.iterrows():
        kind = str(row["generalization"]).replace("subjects", "sessions")
        tested = "" if pd.isna(row["p"]) else number(row["p"], 3)
        rows.append(
            [
                kind, label(row["model"]), f"{row['n_subjects']}", f"{row['n_units']}",
                number(row["r"]), number(median[(row["generalization"], row["model"])]),
                number(row["delta"], 4, sign=True), interval(row, "delta", 4),
                "" if row["model"] == "untuned" else f"{row['subjects_improved']}",
                number(100 * row["share_improved"], 0), tested,
            ]
        )  # fmt: skip
    columns = [
        "generalizes to", "model", "sessions", "neurons", "mean r", "median r",
        "gain over untuned", "95 % over sessions", "sessions better", "% neurons better", "p",
    ]  # fmt: skip
    return markdown(columns, rows)


def session_table(run: Path) -> str:
    """Each session's gain with its bootstrap interval over test images."""
    rois = pd.read_parquet(run / "tables" / "rois.parquet")
    models = [m for m in dict.fromkeys(rois["model"]) if m not in ("untuned", "random")]
    rows = []
    for (kind, session), scores in rois.groupby(["generalization", "subject"], sort=False):
        by_model = scores.set_index("model")
        base = by_model.loc["untuned"]
        cells = []
        for model in models:
            if model in by_model.index:
                row = by_model.loc[model]
                cells.append(f"{number(row['delta'], 3, sign=True)} {interval(row, 'delta')}")
            else:
                cells.append("–")
        held = "held out" if kind == "new subjects" else "tuned"
        ceiling = number(base["ceiling"])
        rows.append(
            [str(session), held, str(base["n_units"]), str(base["n_stimuli"]), ceiling,
             f"{number(base['r'])} [{base['r_low']:.3f}, {base['r_high']:.3f}]", *cells]
        )  # fmt: skip
    columns = ["session", "", "neurons", "test images", "ceiling", "untuned r"]
    return markdown([*columns, *(label(m) for m in models)], rows)


def picture(run: Path, name: str) -> str:
    """Draw each session's gain over the untuned network, with intervals."""
    rois = pd.read_parquet(run / "tables" / "rois.parquet")
    models = [m for m in dict.fromkeys(rois["model"]) if m not in ("untuned", "random")]
    sessions = list(dict.fromkeys(rois.sort_values("generalization")["subject"]))
    held = set(rois.loc[rois["generalization"] == "new subjects", "subject"])
    color = colors(models)
    figure = Figure(figsize=(8.2, 3.4), layout="constrained")
    axes = figure.add_subplot()
    for i, model in enumerate(models):
        scores = rois[rois["model"] == model].set_index("subject")
        here = [s for s in sessions if s in scores.index]
        at = [sessions.index(s) + 0.18 * (i - (len(models) - 1) / 2) for s in here]
        delta = scores.loc[here, "delta"]
        low, high = delta - scores.loc[here, "delta_low"], scores.loc[here, "delta_high"] - delta
        axes.errorbar(
            at, delta, yerr=[low.clip(lower=0), high.clip(lower=0)], fmt="o", ms=4.5, lw=1.2,
            color=color[model], label=label(model),
        )  # fmt: skip
    axes.axhline(0, color="black", lw=0.7)
    first = min((sessions.index(s) for s in held), default=len(sessions)) - 0.5
    axes.axvspan(first, len(sessions) - 0.5, color="#f0f0f0", zorder=0)
    axes.text(first + 0.05, 0.98, "sessions never\nused for tuning", fontsize=8, va="top",
              transform=axes.get_xaxis_transform())  # fmt: skip
    axes.set_xlim(-0.5, len(sessions) - 0.5)
    axes.set_xticks(range(len(sessions)), sessions, fontsize=8)
    axes.set_xlabel("recording session", fontsize=9)
    axes.set_ylabel("gain in mean r over untuned", fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
    figure.legend(fontsize=8, frameon=False, ncols=len(models), loc="outside lower center")
    axes.set_title(f"Macaque V4, {name}: each session's gain on test images", fontsize=9.5)
    file = f"macaque-v4-{name}.png"
    figure.savefig(OUT / file, dpi=130, facecolor="white")
    return f"![Gain of each session over the untuned {name}]({file})"


def network(run: Path) -> str:
    """The part of the page about one run."""
    config = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
    provenance = json.loads((run / "provenance.json").read_text(encoding="utf-8"))
    leaks = json.loads((run / "leaks.json").read_text(encoding="utf-8"))
    null = pd.read_parquet(run / "tables" / "null.parquet")
    name = config["model"]["id"]
    machine = provenance["machine"]
    warnings = json.loads((run / "warnings.json").read_text(encoding="utf-8"))
    shuffled = null.groupby("model")["null_mean"].mean()["untuned"]
    return "\n\n".join(
        [
            f"## {name} at {config['model']['image_size']} pixels",
            picture(run, name),
            group_table(run),
            "By session: mean r of the untuned network, and each model's gain, with 95 % bootstrap "
            "intervals over test images.",
            session_table(run),
            f"Leak check: {leaks['images']} different images, {leaks['images_in_two_parts']} in "
            f"two parts of the split; {len(leaks['checks'])} comparisons of a session's test "
            "images with what a model saw (an image in both would have ended the run). Mean r "
            f"with shuffled stimuli, untuned: {shuffled:+.3f}.",
            f"Command (config: `studies/macaque_v4/{name}.yaml`):",
            f"    {portable(provenance['command'])}",
            f"Machine: {machine['processor']}, {machine['cores']} cores, "
            f"{machine['memory_gb']} GB, GPUs: {', '.join(machine['gpus']) or 'none'}; torch "
            f"{provenance['versions']['torch']}.",
            "The run's own warnings:\n\n" + "\n".join(f"- {w}" for w in warnings),
        ]
    )


def tried(path: Path) -> str:
    """What was tried, by the select part."""
    table = pd.read_csv(path, keep_default_na=False)
    columns = [c.replace("subjects", "sessions") for c in table.columns]
    shown = table[table["method"] != "untuned"]
    return markdown(columns, [[str(v) for v in row] for row in shown.to_numpy()])


def main() -> None:
    explore, *runs = (Path(a) for a in sys.argv[1:])
    notes = (HERE / "notes.md").read_text(encoding="utf-8")
    parts = {"runs": "\n\n".join(network(run) for run in runs), "tried": tried(explore)}
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "macaque-v4.md").write_text(fill(notes, parts), encoding="utf-8")
    print(OUT / "macaque-v4.md")


if __name__ == "__main__":
    main()
