"""Write docs/results/lcl-v2net.md and its figure from run folders; no number is typed by hand.

    python studies/lcl_v2net/page.py RUNS LONGER

RUNS is the folder that run_all.py filled, LONGER another one, with more epochs. The words are in
notes.md beside this file.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from scipy.stats import t as student

from striate.core.files import read_json_lines
from striate.evaluate.recognition.tables import read_results
from striate.report.figures.common import label
from striate.report.figures.recognition import severity_curves
from striate.report.markdown import fill, markdown, portable

HERE = Path(__file__).parent
OUT = HERE.parents[1] / "docs" / "results"
REFERENCE = "lcl"
LOST = "share lost by distortion"
"""Of what accuracy on clean images is above chance: nobody falls below chance, so that in points of
accuracy a network that is good on clean images would always lose more."""
EVEN = {
    "clean": "on clean images not told apart",
    "mean": "on distorted images not told apart",
    LOST: "by distortion it loses a share not told apart from its",
}


def interval(values: np.ndarray) -> tuple[float, float, float]:
    """Mean and 95 % interval over seeds; the interval is NaN for a single one."""
    mean, n = float(values.mean()), len(values)
    if n < 2:
        return mean, np.nan, np.nan
    half = float(student.ppf(0.975, n - 1) * values.std(ddof=1) / np.sqrt(n))
    return mean, mean - half, mean + half


def cell(values: np.ndarray, sign: bool = False) -> str:
    """Mean and interval for the page."""
    plus = "+" if sign else ""
    mean, low, high = interval(values)
    between = "" if np.isnan(low) else f" [{low:{plus}.3f}, {high:{plus}.3f}]"
    return f"{mean:{plus}.3f}{between}"


class Runs:
    """All finished runs: one row a run and a measure in `means`, a row a condition in `every`."""

    def __init__(self, root: Path) -> None:
        order = yaml.safe_load((root / "fronts.yaml").read_text(encoding="utf-8"))
        means, every = [], []
        self.facts: list[dict[str, object]] = []
        for name in order:
            for run in sorted(root.glob(f"{name}-[0-9]*")):
                if not (run / "training.json").exists():
                    continue
                seed = int(run.name.rpartition("-")[2])
                summary, accuracy, mean = read_results(run)
                clean = {"experiment": "clean", "accuracy": summary["accuracy"]["accuracy"]}
                both = pd.concat([pd.DataFrame([clean]), mean], ignore_index=True)
                wide = both.set_index("experiment")["accuracy"]
                if "mean" in wide:
                    share = (wide["clean"] - wide["mean"]) / (wide["clean"] - summary["chance"])
                    lost = {"experiment": LOST, "accuracy": share}
                    both = pd.concat([both, pd.DataFrame([lost])], ignore_index=True)
                means.append(both.assign(front=name, seed=seed))
                every.append(accuracy.assign(front=name, seed=seed))
                provenance = json.loads((run / "provenance.json").read_text(encoding="utf-8"))
                lines = read_json_lines(run / "model" / "metrics.jsonl")
                seconds = sum(line["seconds"] for line in lines)
                self.facts.append({"run": run, "summary": summary, "known": provenance,
                                   "minutes": seconds / 60})  # fmt: skip
        if not means:
            raise SystemExit(f"{root} holds no finished run.")
        self.means = pd.concat(means, ignore_index=True)
        self.every = pd.concat(every, ignore_index=True)
        self.fronts = [n for n in order if n in set(self.means["front"])]
        self.experiments = list(dict.fromkeys(self.means["experiment"]))

    def values(self, front: str, experiment: str) -> pd.Series:
        """Accuracy by seed."""
        means = self.means
        means = means[(means["front"] == front) & (means["experiment"] == experiment)]
        return means.set_index("seed")["accuracy"]

    def gap(self, other: str, experiment: str) -> np.ndarray:
        """Reference less another front-end, for the seeds that both have."""
        both = pd.concat(
            [self.values(REFERENCE, experiment), self.values(other, experiment)], axis=1
        ).dropna()
        return (both.iloc[:, 0] - both.iloc[:, 1]).to_numpy()


def accuracy_table(runs: Runs) -> str:
    rows = [
        [label(e), *(cell(runs.values(f, e).to_numpy()) for f in runs.fronts)]
        for e in runs.experiments
    ]
    return markdown(["", *map(label, runs.fronts)], rows)


def difference_table(runs: Runs) -> str:
    others = [f for f in runs.fronts if f != REFERENCE]
    rows = []
    for e in runs.experiments:
        gaps = [runs.gap(f, e) for f in others]
        rows.append([label(e), *(cell(g, sign=True) if len(g) else "–" for g in gaps)])
    return markdown(["lcl less …", *map(label, others)], rows)


def answer(runs: Runs) -> str:
    """Whether the LCL front-end generalizes better, in words made from the numbers."""
    if REFERENCE not in runs.fronts or "mean" not in runs.experiments:
        return "The LCL front-end has not been tested yet."
    asked = {
        "clean": ("on clean images {}", "better", "worse"),
        "mean": ("on distorted images {}", "better", "worse"),
        LOST: ("by distortion it loses a {} share", "larger", "smaller"),
    }
    lines = []
    for front in (f for f in runs.fronts if f != REFERENCE):
        if not len(runs.gap(front, "mean")):
            continue
        words = []
        for e, (phrase, more, less) in asked.items():
            gap = runs.gap(front, e)
            _, low, high = interval(gap)
            sure = more if low > 0 else less if high < 0 else ""
            words.append(f"{phrase.format(sure) if sure else EVEN[e]} ({cell(gap, sign=True)})")
        seeds = len(runs.gap(front, "mean"))
        many = f"{seeds} seeds" if seeds > 1 else "1 seed"
        lines.append(f"- Against {label(front)} ({many}): {', '.join(words)}.")
    return "\n".join(lines)


def figure(runs: Runs) -> str:
    tables = {}
    keys = ["experiment", "severity", "level", "excluded"]
    for front in runs.fronts:
        measured = runs.every[runs.every["front"] == front]
        rows = []
        for key, part in measured.groupby(keys, sort=False):
            mean, low, high = interval(part["accuracy"].to_numpy())
            rows.append({**dict(zip(keys, key, strict=True)), "accuracy": mean,
                         "low": low, "high": high})  # fmt: skip
        tables[front] = pd.DataFrame(rows)
    drawn = severity_curves(tables, float(runs.facts[0]["summary"]["chance"]))  # type: ignore[index]
    if drawn is None:
        return ""
    drawn.savefig(OUT / "lcl-v2net.png", dpi=130, facecolor="white", bbox_inches="tight")
    return (
        "![Accuracy over severity of each distortion](lcl-v2net.png)\n\nMean over seeds; shaded: "
        "95 % over seeds. Open marks: controls, and conditions that the means leave out. As in the "
        "experiments with humans all images but those of false-colour are gray, and noise is added "
        "to images of low contrast, so that its curves start low."
    )


def setup(runs: Runs) -> str:
    first = runs.facts[0]["run"]
    assert isinstance(first, Path)
    config = yaml.safe_load((first / "config.yaml").read_text(encoding="utf-8"))
    data, training = config["data"], config["training"]
    machine = runs.facts[0]["known"]["machine"]  # type: ignore[index]
    return (
        f"- {data['name']}: {data['train_images'] or 'all'} training and "
        f"{data['test_images'] or 'all'} test images, the same for all, enlarged to "
        f"{config['image_size']} px; {training['epochs']} epochs in batches of "
        f"{training['batch_size']}, {training['optimizer']}, learning rate "
        f"{training['learning_rate']:g}, {training['schedule']}, label smoothing "
        f"{training['label_smoothing']:g}.\n"
        f"- Back-end: AlexNet-shaped, {config['back']['channels']} channels, "
        f"{config['back']['hidden']} hidden units.\n"
        f"- Machine: {machine['processor']}, {machine['cores']} cores."
    )


def run_table(runs: Runs) -> str:
    rows = []
    for facts in runs.facts:
        summary, run = facts["summary"], facts["run"]
        assert isinstance(summary, dict) and isinstance(run, Path)
        clean = summary["accuracy"]
        wide = summary["distorted"]
        rows.append(
            [run.name, f"{clean['accuracy']:.3f} [{clean['low']:.3f}, {clean['high']:.3f}]",
             "–" if wide is None else f"{wide:.3f}", f"{facts['minutes']:.1f}"]
        )  # fmt: skip
    return markdown(["run", "clean (95 % over images)", "distorted, mean", "minutes"], rows)


def attack(runs: Runs) -> str:
    """How the adversarial front-end was attacked."""
    for facts in runs.facts:
        run = facts["run"]
        assert isinstance(run, Path)
        training = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))["training"]
        if training["attack"]["eps"]:
            return f"radius {training['attack']['eps']:g}, {training['attack']['steps']} steps"
    return "none here"


def repeat(runs: Runs) -> str:
    """The command of each run."""
    commands = [facts["known"]["command"] for facts in runs.facts]  # type: ignore[index]
    return "\n".join(f"    {portable(c)}" for c in commands)


def epochs(runs: Runs) -> str:
    first = runs.facts[0]["run"]
    assert isinstance(first, Path)
    config = yaml.safe_load((first / "config.yaml").read_text(encoding="utf-8"))
    return str(config["training"]["epochs"])


def short_table(runs: Runs) -> str:
    """Clean, distorted and what is lost, a row a front-end."""
    rows = []
    for front in runs.fronts:
        row = [label(front)]
        for e in ("clean", "mean", LOST):
            row.append(cell(runs.values(front, e).to_numpy()))
            row.append("" if front == REFERENCE else cell(runs.gap(front, e), sign=True))
        rows.append(row)
    names = ("clean", "distorted, mean", LOST)
    return markdown(["", *(c for n in names for c in (n, "lcl less this"))], rows)


def main() -> None:
    runs, longer = (Runs(Path(a)) for a in sys.argv[1:])
    OUT.mkdir(parents=True, exist_ok=True)
    text = (HERE / "notes.md").read_text(encoding="utf-8")
    parts = {"answer": answer, "setup": setup, "table": accuracy_table, "figure": figure,
             "differences": difference_table, "runs": run_table}  # fmt: skip
    filled = {name: make(runs) for name, make in parts.items()}
    filled |= {
        "longer": short_table(longer),
        "epochs": epochs(runs),
        "attack": attack(runs),
        "repeat": repeat(runs),
        "longer_epochs": epochs(longer),
    }
    page = fill(text, filled)
    (OUT / "lcl-v2net.md").write_text(page, encoding="utf-8")
    print(OUT / "lcl-v2net.md")


if __name__ == "__main__":
    main()
