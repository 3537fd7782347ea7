"""Write docs/results/lcl-v2.md and its figures from scored models; no number is typed by hand.

    python studies/lcl_v2/page.py SCORES [SWEEP.csv] [--out FOLDER]

SCORES is the folder that score.py wrote; of grown models the files of their run folders are read
as well (units.json, units.npz, tables/, model/metrics.jsonl). SWEEP.csv, one row a setting, is
shown as it is. The words between the tables are in notes.md beside this file.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from matplotlib.figure import Figure

from striate.core.files import read_json_lines
from striate.report.figures.common import label
from striate.report.figures.filters import own_scale
from striate.report.markdown import fill, markdown, portable

HERE = Path(__file__).parent
OUT = HERE.parents[1] / "docs" / "results"
NAMES = {
    "v4": "Macaque V4",
    "v1": "Macaque V1, held-out movies",
    "v1_frames": "Macaque V1, held-out frames",
}
READOUTS = ("stage 1", "stage 2", "best tap")
METHODS = {"rho_a": "rho_a", "cosine": "cosine"}
COLUMNS = 16


def number(value: float, digits: int = 3, sign: bool = False) -> str:
    """A number for the page; a dash where there is none. What would read 0 and is not keeps one."""
    if pd.isna(value):
        return "–"
    kind = "f" if value == 0 or abs(value) >= 0.5 * 10**-digits else "g"
    return f"{value:{'+' if sign else ''}.{digits if kind == 'f' else 1}{kind}}"


def between(row: Any, low: str = "low", high: str = "high", sign: bool = False) -> str:
    """An interval for the page."""
    if pd.isna(row[low]):
        return "–"
    return f"[{number(row[low], sign=sign)}, {number(row[high], sign=sign)}]"


def seed_range(row: Any, seeds: int, sign: bool = False) -> str:
    """The range over seeds; a dash for a single one."""
    if seeds < 2:
        return "–"
    return f"{number(row['seed_low'], sign=sign)} to {number(row['seed_high'], sign=sign)}"


class Scores:
    """The tables and facts of a scored folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        names = ("scores", "seeds", "differences", "rsa", "rsa_differences")
        files = {name: root / "tables" / f"{name}.parquet" for name in names}
        self.tables = {n: pd.read_parquet(f) for n, f in files.items() if f.exists()}
        self.config = yaml.safe_load((root / "config.yaml").read_text(encoding="utf-8"))
        self.models = json.loads((root / "models.json").read_text(encoding="utf-8"))
        self.known = json.loads((root / "provenance.json").read_text(encoding="utf-8"))
        done_files = sorted(root.glob("*/*/done.json"))
        self.done = [(p.parts[-3], json.loads(p.read_text(encoding="utf-8"))) for p in done_files]
        self.reference = self.config["reference"]

    @property
    def grown(self) -> list[dict[str, Any]]:
        """Models that were grown and whose run folder is there, the reference first."""
        models = [m for m in self.models if m["grown"] and (_run(m) / "units.json").exists()]
        return sorted(models, key=lambda m: (m["name"] != self.reference, m["name"], m["seed"]))

    @property
    def ablations(self) -> list[str]:
        """Names of the grown models that are not the reference."""
        names = {m["name"] for m in self.models if m["grown"]}
        return sorted(names - {self.reference})

    def of(self, table: str, **where: str) -> pd.DataFrame:
        """Some rows of a table; none if it is not there."""
        rows = self.tables.get(table, pd.DataFrame())
        for column, value in where.items():
            rows = rows[rows[column] == value] if column in rows else rows
        return rows


def _run(model: dict[str, Any]) -> Path:
    return Path(model["source"]).parent


def verdict(row: Any) -> str:
    """Say whether the reference is better, worse or neither, by images or movies.

    `same`: exactly equal, as the first stages of models that differ in the second alone.
    """
    if row["low"] == row["high"] == 0:
        return "same"
    return "better" if row["low"] > 0 else "worse" if row["high"] < 0 else "neither"


def unsteady(row: Any, pls: Any) -> str:
    """What a reader must add to a difference: other signs by seed, by session or by PLS."""
    said = []
    if pls is not None and verdict(pls) != verdict(row):
        said.append(f"by PLS {number(pls['delta'], sign=True)} {between(pls, sign=True)}")
    if row["seeds"] * row["seeds_other"] > 1 and row["seed_low"] * row["seed_high"] <= 0:
        said.append("not for every pair of seeds")
    if row["p"] > 0.05:
        better, sessions = int(row["sessions_better"]), int(row["sessions"])
        ahead = better if row["delta"] > 0 else sessions - better
        said.append(f"in {ahead} of {sessions} sessions, p = {number(row['p'])}")
    return "".join(f"; {text}" for text in said)


def sentence(scores: Scores, data: str, readout: str) -> str:
    """What the reference is better than, worse than and not told apart from."""
    rows = scores.of("differences", data=data, readout=readout, kind="ridge")
    if rows.empty:
        return ""
    pls = scores.of("differences", data=data, readout=readout, kind="pls")
    by_pls = {row["model"]: row for _, row in pls.iterrows()}
    told: dict[str, list[str]] = {"better": [], "worse": [], "neither": [], "same": []}
    for _, row in rows.sort_values("delta", ascending=False).iterrows():
        kind = verdict(row)
        if kind == "same":
            told[kind].append(label(row["model"]))
            continue
        extra = unsteady(row, by_pls.get(row["model"])) if kind != "neither" else ""
        signed = between(row, sign=True)
        gap = f"{number(row['delta'], sign=True)} {signed}{extra}"
        told[kind].append(f"{label(row['model'])} ({gap})")
    name = label(scores.reference)
    parts = []
    if told["better"]:
        parts.append(f"{name} is better than {', '.join(told['better'])}")
    if told["worse"]:
        parts.append(f"{name} is worse than {', '.join(told['worse'])}")
    if told["neither"]:
        parts.append(f"{name} cannot be told apart from {', '.join(told['neither'])}")
    if told["same"]:
        parts.append(f"{name} is the same here as {', '.join(told['same'])}, by construction")
    return f"- **{NAMES.get(data, data)}, {readout}.** {'; '.join(parts)}."


def short(scores: Scores) -> str:
    """Whether the reference wins over its ablations, in one paragraph."""
    lines = []
    name = label(scores.reference)
    for data in scores.config["sets"]:
        for readout in READOUTS[:2]:
            rows = scores.of("differences", data=data, readout=readout, kind="ridge")
            ablations = rows[rows["model"].isin(scores.ablations)] if len(rows) else rows
            if ablations.empty:
                continue
            kinds = ablations.apply(verdict, axis=1)
            same, ablations = ablations[kinds == "same"], ablations[kinds != "same"]
            if ablations.empty:
                continue
            kinds = ablations.apply(verdict, axis=1)
            better, worse = ablations[kinds == "better"], ablations[kinds == "worse"]
            place = f"{NAMES.get(data, data)}, {readout}"
            if len(better) == len(ablations):
                said = f"{name} is better than every ablation"
            elif better.empty and worse.empty:
                said = f"{name} cannot be told apart from any ablation"
            else:
                said = f"{name} is better than {len(better)} of {len(ablations)} ablations"
                if len(worse):
                    said += f" and worse than {', '.join(map(label, worse['model']))}"
            if len(same):
                said += f" (and by construction the same as {', '.join(map(label, same['model']))})"
            lines.append(f"{place}: {said}")
    if not lines:
        return "No grown ablation has been scored yet."
    return "\n".join(f"- {line}." for line in lines)


def score_rows(scores: Scores, data: str, readout: str) -> str:
    """One table: all models at one readout, the highest first."""
    rows = scores.of("scores", data=data, readout=readout, kind="ridge")
    if rows.empty:
        return ""
    pls = scores.of("scores", data=data, readout=readout, kind="pls").set_index("model")
    gaps = scores.of("differences", data=data, readout=readout, kind="ridge")
    gaps = gaps.set_index("model") if len(gaps) else gaps
    also = scores.of("differences", data=data, readout=readout, kind="pls")
    also = also.set_index("model") if len(also) else also
    out = []
    for _, row in rows.sort_values("r", ascending=False).iterrows():
        model = row["model"]
        cells = [
            f"**{label(model)}**" if model == scores.reference else label(model),
            row["tap"],
            f"{number(row['r'])} {between(row)}",
            seed_range(row, row["seeds"]),
            number(row["r_normalized"]),
            number(pls.loc[model, "r"]) if model in pls.index else "–",
            number(row["null"], sign=True),
        ]
        if model in gaps.index:
            gap = gaps.loc[model]
            cells += [
                f"{number(gap['delta'], sign=True)} {between(gap, sign=True)}",
                f"{gap['sessions_better']} of {gap['sessions']}",
                f"{number(gap['p'])} ({number(gap['q'])})",
                seed_range(gap, gap["seeds"] * gap["seeds_other"], sign=True),
                f"{number(also.loc[model, 'delta'], sign=True)} "
                f"{between(also.loc[model], sign=True)}",
            ]
        else:
            cells += [""] * 5
        out.append(cells)
    columns = [
        "model", "tap", "mean r", "over seeds", "r / ceiling", "PLS r", "shuffled",
        f"{label(scores.reference)} less this", "sessions better", "p (q) over sessions",
        "over pairs of seeds", "by PLS",
    ]  # fmt: skip
    return f"### {readout}\n\n" + markdown(columns, out)


def bars(scores: Scores, data: str, out: Path) -> str:
    """Draw mean r of all models, with intervals over images and a dot for each seed."""
    rows = scores.of("scores", data=data, kind="ridge")
    seeds = scores.of("seeds", data=data, kind="ridge")
    order = rows.groupby("model")["r"].max().sort_values().index
    figure = Figure(figsize=(9.5, 0.9 + 0.24 * len(order)), layout="constrained")
    panels = [r for r in READOUTS if (rows["readout"] == r).any()]
    axes = figure.subplots(1, len(panels), sharey=True, sharex=True, squeeze=False)[0]
    for ax, readout in zip(axes, panels, strict=True):
        scored = rows[rows["readout"] == readout].set_index("model")
        for i, model in enumerate(order):
            if model not in scored.index:
                continue
            row = scored.loc[model]
            color = "#0072b2" if model == scores.reference else "#b9b9b9"
            error = [[max(0, row["r"] - row["low"])], [max(0, row["high"] - row["r"])]]
            ax.barh(i, row["r"], color=color, height=0.7)
            ax.errorbar(row["r"], i, xerr=error, color="black", lw=1, capsize=2)
            dots = seeds[(seeds["model"] == model) & (seeds["readout"] == readout)]["r"]
            if len(dots) > 1:
                ax.plot(dots, np.full(len(dots), i), "o", ms=3, color="#d55e00")
        ax.set_title(readout, fontsize=9)
        ax.axvline(0, color="black", lw=0.7)
        ax.spines[["top", "right"]].set_visible(False)
        ax.tick_params(labelsize=8)
        ax.set_xlabel("mean r (ridge)", fontsize=8)
    axes[0].set_yticks(range(len(order)), [label(m) for m in order])
    file = f"lcl-v2-{data.replace('_', '-')}.png"
    figure.savefig(out / file, dpi=130, facecolor="white")
    over = "images" if data == "v4" else "movies"
    return f"![Mean r of each model; bars: 95 % over {over}, dots: seeds]({file})"


def data_set(scores: Scores, data: str, out: Path) -> str:
    """The part of the page about one data set."""
    rows = scores.of("scores", data=data, kind="ridge")
    facts = (
        f"{rows['sessions'].iloc[0]} sessions, {rows['units'].max()} units that can be scored. "
        "`r / ceiling` is the mean over units with a known ceiling of .1 or more, of the "
        f"sessions with single trials: {rows['sessions_with_ceiling'].iloc[0]} of "
        f"{rows['sessions'].iloc[0]}."
    )
    parts = [f"## {NAMES.get(data, data)}", facts, bars(scores, data, out)]
    parts += [table for r in READOUTS if (table := score_rows(scores, data, r))]
    return "\n\n".join(parts)


def rsa_part(scores: Scores) -> str:
    """Similarities of RDMs, both measures side by side."""
    rows = scores.of("rsa")
    if rows.empty:
        return "Not computed."
    parts = []
    for readout in READOUTS[:2]:
        similarities = rows[rows["readout"] == readout]
        if similarities.empty:
            continue
        by = {
            m: similarities[similarities["method"] == m].set_index(["model", "tap"])
            for m in METHODS
        }
        gaps = scores.of("rsa_differences", readout=readout)
        apart = {}
        for method in METHODS if len(gaps) else ():
            apart[method] = gaps[gaps["method"] == method].set_index(["model", "tap"])
        lines = []
        for place in by["rho_a"].sort_values("similarity", ascending=False).index:
            model, tap = place
            cells = [f"**{label(model)}**" if model == scores.reference else label(model), tap]
            for method in METHODS:
                row = by[method].loc[place]
                cells += [f"{number(row['similarity'])} {between(row)}"]
                cells += [seed_range(row, row["seeds"])]
                gap = apart.get(method)
                cells.append(
                    f"{number(gap.loc[place, 'delta'], sign=True)} "
                    f"{between(gap.loc[place], sign=True)}"
                    if gap is not None and place in gap.index
                    else ""
                )
            lines.append(cells)
        less = f"{label(scores.reference)} less this"
        columns = ["model", "tap"]
        for name in METHODS.values():
            columns += [name, "over seeds", less]
        ceilings = ", ".join(
            f"{name} {by[m]['ceiling_low'].iloc[0]:.3f} to {by[m]['ceiling_high'].iloc[0]:.3f}"
            for m, name in METHODS.items()
        )
        parts.append(f"### {readout}\n\nNoise ceiling over sessions: {ceilings}.")
        parts.append(markdown(columns, lines))
    return "\n\n".join(parts)


def seeds_part(scores: Scores) -> str:
    """Each seed by itself, where a model has several."""
    rows = scores.of("seeds", kind="ridge")
    many = rows.groupby("model")["seed"].nunique()
    rows = rows[rows["model"].isin(many[many > 1].index)]
    if rows.empty:
        return "Every model was scored with a single seed."
    wide = rows.assign(place=rows["data"] + ", " + rows["readout"])
    places = list(dict.fromkeys(wide["place"]))
    lines = []
    for model, of_model in wide.groupby("model"):
        for seed, of_seed in of_model.groupby("seed"):
            values = of_seed.set_index("place")["r"]
            lines.append([label(str(model)), str(seed), *(number(values.get(p)) for p in places)])
        means = of_model.groupby("place")["r"].agg(["mean", "std"])
        shown = [f"{number(means['mean'].get(p))} ({number(means['std'].get(p))})" for p in places]
        lines.append([label(str(model)), "mean (sd)", *shown])
    return "Mean r over sessions (ridge), each seed by itself.\n\n" + markdown(
        ["model", "seed", *(p.replace("_", " ") for p in places)], lines
    )


def grown_part(scores: Scores) -> str:
    """What was grown and what its units are like."""
    lines = []
    for model in scores.grown:
        run = _run(model)
        config = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
        units = json.loads((run / "units.json").read_text(encoding="utf-8"))
        metrics = pd.DataFrame(read_json_lines(run / "model" / "metrics.jsonl"))
        tuning = pd.read_parquet(run / "tables" / "tuning.parquet")
        selective = tuning.groupby("tap")["orientation_selective"].mean()
        cells = [
            label(model["name"]), str(model["seed"]),
            str(config["deformation"]).replace("_", " "), str(config["credit"]).replace("_", " "),
            f"{config['a']:g}", f"{config['steps']:,}",
            number(metrics["seconds"].sum() / 60, 0), number(100 * units.get("gabors", np.nan), 0),
        ]  # fmt: skip
        for tap in units["taps"][:2]:
            cells.append(number(100 * selective.get(tap, np.nan), 0))
            rank = metrics.get(f"{tap}_rank", pd.Series(dtype=float)).dropna()
            cells.append(number(rank.iloc[-1], 1) if len(rank) else "–")
        lines.append(cells)
    if not lines:
        return "No grown model is among the scored ones, or its run folder is not there."
    columns = [
        "model", "seed", "deformation", "credit", "a", "steps", "minutes",
        "% kernels like a Gabor (R² > .7)", "% of stage 1 orientation-selective", "rank, stage 1",
        "% of stage 2 orientation-selective", "rank, stage 2",
    ]  # fmt: skip
    return markdown(columns, lines)


def filters_part(scores: Scores, out: Path) -> str:
    """Draw the first stage's kernels, one seed of each grown model."""
    first: dict[str, dict[str, Any]] = {}
    for model in scores.grown:
        first.setdefault(model["name"], model)
    mosaics = {}
    for name, model in first.items():
        with np.load(_run(model) / "units.npz") as arrays:
            if "kernels" in arrays:
                fits = _run(model) / "tables" / "gabors.parquet"
                order = np.arange(len(arrays["kernels"]))
                if fits.exists():
                    table = pd.read_parquet(fits).sort_values("r2", ascending=False)
                    order = table["unit"].to_numpy()
                mosaics[f"{label(name)}, seed {model['seed']}"] = mosaic(arrays["kernels"][order])
    if not mosaics:
        return ""
    figure = Figure(figsize=(7, 1.95 * len(mosaics)), layout="constrained")
    axes = figure.subplots(len(mosaics), 1, squeeze=False)[:, 0]
    for ax, (title, picture) in zip(axes, mosaics.items(), strict=True):
        ax.imshow(picture, interpolation="nearest")
        ax.set_title(title, fontsize=9)
        ax.axis("off")
    figure.savefig(out / "lcl-v2-filters.png", dpi=130, facecolor="white")
    return (
        "Kernels of stage 1, best Gabor fit first, each on its own scale; gray is 0.\n\n"
        "![Kernels of the first stage of each grown model](lcl-v2-filters.png)"
    )


def mosaic(kernels: np.ndarray) -> np.ndarray:
    """Put kernels (C, 1 or 3, k, k) side by side: (rows, columns, 3), 0 to 1."""
    k = kernels.shape[-1] + 1
    rows = -(-len(kernels) // COLUMNS)
    out = np.ones((rows * k, COLUMNS * k, 3))
    for i, kernel in enumerate(kernels):
        y, x = divmod(i, COLUMNS)
        shown = own_scale(kernel)
        shown = shown[..., None] if shown.ndim == 2 else shown
        out[y * k : y * k + k - 1, x * k : x * k + k - 1] = shown
    return out


def taps_part(scores: Scores) -> str:
    """Each model's taps with their receptive fields."""
    lines = []
    for name in dict.fromkeys(m["name"] for m in scores.models):
        models = [m for m in scores.models if m["name"] == name]
        fields = ", ".join(
            f"`{tap}` {f'{size} px' if size else 'unknown'}"
            for tap, size in models[0]["receptive_fields"].items()
        )
        kind = "grown here" if models[0]["grown"] else models[0]["id"]
        seeds = ", ".join(str(m["seed"]) for m in models) if len(models) > 1 else "–"
        lines.append([label(name), kind, seeds, fields])
    return markdown(["model", "what", "seeds", "taps and receptive fields"], lines)


def repeat_part(scores: Scores) -> str:
    """Commands, configs, machine and leak check."""
    machine, versions = scores.known["machine"], scores.known["versions"]
    specs = " \\\n        ".join(
        f"{m['name']}={m['source']}" + (f":{m['seed']}" if not _fixed(m) else "")
        for m in scores.models
    )
    commands = [
        f"    python studies/lcl_v2/score.py studies/lcl_v2/score.yaml OUT \\\n        {specs}",
        "    python studies/lcl_v2/page.py OUT runs/lcl-sweep/sweep.csv",
    ]
    grown = []
    for model in scores.grown:
        provenance = json.loads((_run(model) / "provenance.json").read_text(encoding="utf-8"))
        grown.append(f"    {portable(provenance['command'])}")
    checks = [(facts["model"], leak) for _, facts in scores.done for leak in facts["leaks"]]
    seen = max((leak["seen"] for _, leak in checks), default=0)
    seconds = pd.Series([facts["seconds"] for _, facts in scores.done])
    parts = ["Scores and this page:", "\n".join(commands)]
    if grown:
        parts += ["The models were grown by:", "\n".join(dict.fromkeys(grown))]
    parts += [
        f"Leak check: {len(checks)} comparisons of a session's test images with the images that a "
        f"model was grown on (up to {seen:,}), by the hash of the pixels; one in common would have "
        "ended the run. Published networks do not list what they were trained on, and a copy "
        "that was saved anew has other pixels: for those the check says nothing.",
        f"Machine: {machine['processor']}, {machine['cores']} cores, {machine['memory_gb']} GB, "
        f"GPUs: {', '.join(machine['gpus']) or 'none'}; torch {versions['torch']}. Scoring a model "
        f"on a data set took {seconds.median():.0f} s (median; at most {seconds.max():.0f} s).",
        "The config of the scores in full:",
        "\n".join("    " + x for x in yaml.safe_dump(scores.config, sort_keys=False).splitlines()),
    ]
    return "\n\n".join(parts)


def _fixed(model: dict[str, Any]) -> bool:
    return not model["grown"] and "@random" not in model["source"]


def facts(scores: Scores) -> dict[str, str]:
    """Short facts for the words of the page."""
    sets = scores.config["sets"]
    grids = ", ".join(f"{NAMES.get(k, k)}: {v['grid']} x {v['grid']}" for k, v in sets.items())
    sizes = [n for _, done in scores.done for n in done["features"].values()]
    parts = sets.get("v4", {}).get("split", {})
    return {
        "grids": grids,
        "dims": f"{min(sizes):,} to {max(sizes):,} features a tap",
        "v4_size": str(sets.get("v4", {}).get("image_size", "–")),
        "v1_size": str(sets.get("v1", {}).get("image_size", "–")),
        "v4_parts": ", ".join(
            f"{100 * parts[p]:.0f} % {p}" for p in ("fit", "select", "test") if p in parts
        ),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("scores", type=Path)
    parser.add_argument("sweep", type=Path, nargs="?")
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args(sys.argv[1:])
    given.out.mkdir(parents=True, exist_ok=True)
    scores = Scores(given.scores)
    sentences = [sentence(scores, d, r) for d in scores.config["sets"] for r in READOUTS[:2]]
    sweep = "None was given to the script that writes this page."
    if given.sweep is not None:
        table = pd.read_csv(given.sweep, keep_default_na=False, dtype=str)
        sweep = markdown(list(table.columns), [list(row) for row in table.to_numpy()])
    parts = {
        "short": short(scores),
        "summary": "\n".join(s for s in sentences if s),
        "taps": taps_part(scores),
        "sets": "\n\n".join(data_set(scores, d, given.out) for d in scores.config["sets"]),
        "rsa": rsa_part(scores),
        "seeds": seeds_part(scores),
        "grown": grown_part(scores),
        "filters": filters_part(scores, given.out),
        "sweep": sweep,
        "repeat": repeat_part(scores),
        **facts(scores),
    }
    text = (HERE / "notes.md").read_text(encoding="utf-8")
    (given.out / "lcl-v2.md").write_text(fill(text, parts), encoding="utf-8")
    print(given.out / "lcl-v2.md")


if __name__ == "__main__":
    main()
