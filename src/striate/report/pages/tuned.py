"""The page of `compare`, `encode` and `demo`: what tuning changed, with controls. No science."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from striate.core.files import read_json, read_json_lines, read_table, write_text
from striate.data.splits.split import SPLIT_FILE
from striate.encoding.inference import ENOUGH_SUBJECTS
from striate.report.figures import common as figures
from striate.report.html.page import (
    SHARES,
    Raw,
    bullets,
    code,
    facts,
    folded,
    frame,
    image,
    page,
    paragraph,
    section,
    table,
    text,
)
from striate.report.html.run import assert_finished, unrelated_notice

ALPHA = 0.05
TABLES = ("rois", "group", "taps", "null")


def build_tuned(run: Path, config: dict[str, Any]) -> Path:
    """Write the page of a run that scored tuned or given models."""
    needed = ["scores.parquet", SPLIT_FILE, "leaks.json", "warnings.json"]
    needed += [f"tables/{name}.parquet" for name in TABLES]
    assert_finished(run, *needed)
    scores = read_table(run / "scores.parquet")
    rois, group, taps, null = (read_table(run / f"tables/{n}.parquet") for n in TABLES)
    simulated = bool(scores["simulated"].any())
    title = f"Striate: {config['data']['name']}, {config['model']['id']}"
    parts: list[str] = [
        Raw(f"<h1>{text(title)}</h1>"),
        paragraph(_subtitle(scores, rois, config), "quiet"),
        Raw('<div class="simulated">SIMULATED responses: nothing here is about a brain.</div>')
        if simulated
        else Raw(""),
        unrelated_notice(run),
        _answer(group, rois),
        _planted(run),
        bullets(read_json(run / "warnings.json"), "warn"),
    ]
    for kind in dict.fromkeys(group["generalization"]):
        here = [t[t["generalization"] == kind] for t in (group, rois, scores, taps, null)]
        parts += _generalization(str(kind), *here, simulated=simulated)
    parts += [
        _ceilings(scores, group, simulated),
        _training(run, simulated),
        _split(run),
        _provenance(run, config),
    ]
    write_text(run / "report.html", page(title, parts))
    return run / "report.html"


def _subtitle(scores: pd.DataFrame, rois: pd.DataFrame, config: dict[str, Any]) -> str:
    units = scores.drop_duplicates(["subject", "hemisphere", "unit_id"])
    stimuli = f"{rois['n_stimuli'].min()} to {rois['n_stimuli'].max()}"
    protocol = config["encode"]["protocol"]
    tested = (
        "readouts and choices are made within the test images (see the notes)"
        if protocol == "paper_b"
        else "scores are on images that no tuning here used, "
        + (
            "nor, as far as they were found, copies of these"
            if config.get("split", {}).get("lookalikes") == "group"
            else "by exact pixels"
        )
    )
    return (
        f"{scores['subject'].nunique()} subjects, {len(units):,} units, "
        f"{scores.groupby(['hemisphere', 'roi']).ngroups} ROIs, "
        f"{scores['model'].nunique()} models, {stimuli} test images a subject; protocol "
        f"{protocol}: {tested}. What a network saw when it was pretrained elsewhere is not known."
    )


def _answer(group: pd.DataFrame, rois: pd.DataFrame) -> Raw:
    """In words: by how much each model differs from the untuned one, and whether that is sure."""
    lines = []
    for (kind, model), own in group.groupby(["generalization", "model"], sort=False):
        if model == "untuned":
            continue
        size = f"{len(own)} ROI{'s' if len(own) > 1 else ''}"
        lines.append(
            f"{figures.label(str(model))}, {kind}: mean r {own['r'].mean():.3f}, "
            f"{own['delta'].mean():+.4f} against untuned (mean over {size}), "
            f"{_share(own)} of units improved. "
            + _verdict(own, rois[(rois["generalization"] == kind) & (rois["model"] == model)])
        )
    return bullets(lines, "answer") if lines else Raw("")


def _share(own: pd.DataFrame) -> str:
    """Share of units improved, with its interval where it is of one ROI."""
    share = f"{own['share_improved'].mean():.0%}"
    if len(own) > 1 or "share_improved_low" not in own:  # runs of earlier versions have none
        return share
    low, high = own["share_improved_low"].iloc[0], own["share_improved_high"].iloc[0]
    return share if pd.isna(low) else f"{share} [{low:.0%}, {high:.0%}]"


def _verdict(own: pd.DataFrame, rois: pd.DataFrame) -> str:
    """Whether the gain is sure: over subjects where they are enough, else within each subject."""
    most = int(own["n_subjects"].max())
    if most >= ENOUGH_SUBJECTS:
        better = int(((own["q"] < ALPHA) & (own["delta"] > 0)).sum())
        worse = int(((own["q"] < ALPHA) & (own["delta"] < 0)).sum())
        return (
            f"Over {most} subjects: better in {better} and worse in {worse} of {len(own)} ROIs "
            f"(q < {ALPHA})."
        )
    above, below = int((rois["delta_low"] > 0).sum()), int((rois["delta_high"] < 0).sum())
    return (
        f"{most} subject{'s' if most > 1 else ''}: too few for a test over subjects. Within "
        f"subjects the 95 % interval over test images lies above 0 for {above} and below 0 for "
        f"{below} of {len(rois)} (subject, ROI) pairs."
    )


def _planted(run: Path) -> Raw:
    """What a simulation planted, where the run says so."""
    path = run / "planted.json"
    return bullets(read_json(path)["lines"], "answer") if path.exists() else Raw("")


def _generalization(
    kind: str,
    group: pd.DataFrame,
    rois: pd.DataFrame,
    scores: pd.DataFrame,
    taps: pd.DataFrame,
    null: pd.DataFrame,
    *,
    simulated: bool,
) -> list[Raw]:
    scatter, heat = figures.unit_scatter(scores), figures.tap_heat(taps)
    return [
        section(
            f"Scores: {kind}",
            paragraph(
                "Mean over units and subjects of Pearson r on test stimuli. Below it the gain "
                "over the untuned network with its 95 % interval over subjects (Student's t), the "
                "share of units improved with its own (cut at 0 and 1), and a star where "
                f"q < {ALPHA} (sign flips over subjects, FDR over ROIs). Colored where the "
                "interval leaves out 0; the largest r of the tuned models is in bold.",
                "quiet",
            ),
            _method_table(group),
            image(figures.png(figures.roi_bars(group, rois), simulated), f"Mean r by ROI, {kind}"),
            paragraph(
                "Bars: mean over subjects; dots: subjects with 95 % intervals over test stimuli, "
                "groups of them (such as the frames of a movie) whole. The share of units improved "
                "has one over the same stimuli, with these units and fits: 50 % where two models "
                "are equally good.",
                "quiet",
            ),
            folded("By subject", _subject_table(rois)),
        ),
        section(
            f"Units: {kind}",
            image(figures.png(scatter, simulated), "r of each unit, tuned against untuned")
            if scatter
            else "",
        ),
        section(
            f"Taps and ROIs: {kind}",
            paragraph(
                "Mean r over folds of the select part with each unit's best penalty, by which taps "
                "were chosen: a maximum, so higher than a test score. Framed: the best tap on "
                "average over subjects.",
                "quiet",
            )
            if heat
            else "",
            image(figures.png(heat, simulated), "Score of each tap by ROI") if heat else "",
        ),
        section(f"Controls: {kind}", _control_table(null)),
    ]


def _method_table(group: pd.DataFrame) -> Raw:
    models = list(dict.fromkeys(group["model"]))
    rows = []
    for (hemisphere, roi), own in group.groupby(["hemisphere", "roi"], sort=False):
        by_model = {str(row["model"]): row for _, row in own.iterrows()}
        tuned = {m: r["r"] for m, r in by_model.items() if m not in ("untuned", "random")}
        best = max(tuned, key=lambda m: tuned[m]) if len(tuned) > 1 else ""
        first = own.iloc[0]
        cells = [_method_cell(by_model.get(m), bold=m == best) for m in models]
        rows.append(
            [figures.place(str(hemisphere), str(roi)), int(first["n_subjects"]),
             int(first["n_units"]), *cells]
        )  # fmt: skip
    return table(["ROI", "subjects", "units", *map(figures.label, models)], rows)


def _method_cell(row: pd.Series | None, *, bold: bool) -> Raw:
    if row is None:
        return Raw("–")
    value = f"<b>{row['r']:.3f}</b>" if bold else f"{row['r']:.3f}"
    if pd.isna(row["delta"]):
        return Raw(value)
    star = "*" if row["q"] < ALPHA else ""
    kind = "good" if row["delta_low"] > 0 else "bad" if row["delta_high"] < 0 else ""
    low, high = row["delta_low"], row["delta_high"]
    interval = "" if pd.isna(low) else f"<br><small>[{low:+.3f}, {high:+.3f}]</small>"
    share = (
        "" if pd.isna(row["share_improved"]) else f"<br><small>{_share(row.to_frame().T)}</small>"
    )
    return Raw(
        f'{value}<br><small class="{kind}">{row["delta"]:+.4f}{star}</small>{interval}{share}'
    )


def _subject_table(rois: pd.DataFrame) -> Raw:
    known = "share_explained" in rois  # runs of earlier versions have none
    shown = pd.DataFrame(
        {
            "subject": rois["subject"],
            "ROI": [
                figures.place(h, r) for h, r in zip(rois["hemisphere"], rois["roi"], strict=True)
            ],
            "model": [figures.label(m) for m in rois["model"]],
            "tap": rois["tap"],
            "units": rois["n_units"],
            "stimuli": rois["n_stimuli"],
            "groups": rois["n_groups"] if "n_groups" in rois else rois["n_stimuli"],
            "r": rois["r"],
            "95 %": _interval(rois, "r"),
            "median r": rois["r_median"],
            "r / ceiling": rois["r_normalized"],
            **({"of explainable variance": rois["share_explained"]} if known else {}),
            "gain": rois["delta"],
            "gain 95 %": _interval(rois, "delta"),
            "improved": rois["share_improved"],
            "improved 95 %": _interval(rois, "share_improved"),
            "q": rois["q"],
        }
    )
    return frame(shown, names=4)


def _interval(data: pd.DataFrame, name: str) -> list[str]:
    if f"{name}_low" not in data:  # runs of earlier versions
        return ["–"] * len(data)
    pairs = zip(data[f"{name}_low"], data[f"{name}_high"], strict=True)
    return ["–" if pd.isna(a) else f"[{a:.3f}, {b:.3f}]" for a, b in pairs]


def _control_table(null: pd.DataFrame) -> Raw:
    known = null[null["permutations"] > 0]
    if known.empty:
        return Raw("")
    mean = known.groupby("model", sort=False).agg(
        r=("r", "mean"), null_mean=("null_mean", "mean"), null_95=("null_95", "mean"),
        largest_p=("p", "max"), targets=("p", "size"),
    )  # fmt: skip
    rows = [
        [figures.label(str(model)), float(r["r"]), float(r["null_mean"]), float(r["null_95"]),
         float(r["largest_p"]), int(r["targets"])]
        for model, r in mean.iterrows()
    ]  # fmt: skip
    columns = ["model", "mean r", "mean r, stimuli shuffled", "its 95th percentile",
               "largest p of a target", "targets"]  # fmt: skip
    return table(columns, rows)


def _ceilings(scores: pd.DataFrame, group: pd.DataFrame, simulated: bool) -> Raw:
    figure = figures.ceilings(scores)
    if figure is None:
        return section(
            "Noise ceilings",
            paragraph(
                "There is no noise ceiling: the data hold no repeats and state none. How much of "
                "the responses could be predicted at all is not known."
            ),
        )
    units = scores.drop_duplicates(["subject", "hemisphere", "unit_id"])
    known = units["ceiling"].notna()
    return section(
        "Noise ceilings",
        paragraph(
            f"Known for {int(known.sum()):,} of {len(units):,} units; median "
            f"{units['ceiling'].median():.3f}. A ceiling is the largest correlation that a perfect "
            "model could reach with the averaged responses." + _ceilings_from(units)
        ),
        image(figures.png(figure, simulated), "Noise ceilings and scores"),
        *_share_table(group),
    )


def _ceilings_from(units: pd.DataFrame) -> str:
    """Where ceilings are from, in words; runs of earlier versions do not tell."""
    if "ceiling_source" not in units:
        return ""
    told = {
        "repeats": "from repeats of the stimuli that are scored",
        "given": "given with the data, over all its stimuli",
    }
    counts = units["ceiling_source"].value_counts()
    parts = [f"of {counts[s]:,} units {words}" for s, words in told.items() if s in counts]
    return f" They are: {'; '.join(parts)}." if parts else ""


def _share_table(group: pd.DataFrame) -> list[Raw]:
    if "share_explained" not in group:
        return []
    own = group[group["n_reliable"] > 0]
    shown = pd.DataFrame(
        {
            "ROI": [
                figures.place(h, r) for h, r in zip(own["hemisphere"], own["roi"], strict=True)
            ],
            "to": own["generalization"],
            "model": [figures.label(m) for m in own["model"]],
            "r": own["r"],
            "r / ceiling": own["r_normalized"],
            "of explainable variance": own["share_explained"],
            "95 % over subjects": _interval(own, "share"),
            "units": own["n_reliable"],
            "ceiling from": own["ceiling_source"],
        }
    )
    return [paragraph(SHARES, "quiet"), frame(shown, names=3)]


def _log(path: Path) -> list[dict[str, Any]]:
    """The entries of a log; none where there is no log."""
    return read_json_lines(path) if path.exists() else []


def _training(run: Path, simulated: bool) -> Raw:
    curves = {}
    names = dict.fromkeys(check["model"] for check in read_json(run / "leaks.json")["checks"])
    for path in [run / "models" / name / "metrics.jsonl" for name in names]:
        epochs = pd.DataFrame([line for line in _log(path) if "epoch_loss" in line])
        if not epochs.empty:
            curves[f"{path.parent.parent.name}/{path.parent.name}"] = epochs
    figure = figures.training_curves(curves)
    if figure is None:
        return Raw("")
    seconds = {
        e["model"]: e["seconds"]
        for e in _log(run / "metrics.jsonl")
        if e["what"] == "tuned" and e["seconds"] > 1
    }
    minutes = sum(seconds.values()) / 60
    note = f"{len(curves)} model{'s' if len(curves) > 1 else ''}, {minutes:.1f} minutes in all."
    return section(
        "Training",
        paragraph(note, "quiet"),
        image(figures.png(figure, simulated), "Training curves"),
    )


def _split(run: Path) -> Raw:
    leaks = read_json(run / "leaks.json")
    parts = read_table(run / SPLIT_FILE)
    counts = pd.crosstab(parts["subject"], parts["part"]).reset_index()
    order = ["subject", *(p for p in ("tune", "fit", "select", "test", "unused") if p in counts)]
    checks = [[c["model"], c["subject"], c["seen"], c["test"]] for c in leaks["checks"]]
    return section(
        "Split and leak check",
        paragraph(
            f"{leaks['images']:,} different images by content; {leaks['images_in_two_parts']} in "
            f"two parts; {leaks['images_of_several_subjects']:,} shown to several subjects (the "
            "same part for all). Before each score the test images were compared with all images "
            "that its model had seen; an image in both would have ended the run. "
            f"{len(checks)} such checks, none found one."
        ),
        _lookalikes(run, leaks),
        frame(counts[order]),
        folded(
            "All checks",
            table(["model", "subject", "images seen", "test images"], checks, names=2),
        ),
    )


def _lookalikes(run: Path, leaks: dict[str, Any]) -> Raw:
    """How many images look like another one, where they stand, and what that does to scores."""
    facts = leaks.get("lookalikes")  # runs of version 0.1 do not tell
    if facts is None:
        return Raw("")
    if facts["mode"] == "ignore":
        return paragraph("Look-alikes were not looked for (split.lookalikes=ignore).")
    if not facts["pictures"]:
        return paragraph(f"No two images look alike ({facts['how']}).")
    said = (
        f"{facts['pictures']:,} images look like another one, in {facts['classes']:,} groups "
        f"({facts['how']}). {facts['test']:,} of them are test images, of which "
        f"{facts['crossing']:,} look like an image outside of test."
    )
    path = run / "tables/lookalikes.parquet"
    effect = read_table(path) if path.exists() else pd.DataFrame()
    if effect.empty:
        return paragraph(said)
    shown = effect.assign(model=[figures.label(m) for m in effect["model"]])
    shown.columns = pd.Index(
        ["subject", "hemisphere", "ROI", "model", "test images", "r", "without those", "r without"]
    )
    return Raw(paragraph(f"{said} Scores with and without these:") + frame(shown, names=4))


def _weights(run: Path) -> Raw:
    """What each model's weights are, as its own record says."""
    path = run / "models.json"
    known = read_json(path)["models"] if path.exists() else []
    rows = [[m["name"], m["id"], m["description"]] for m in known if m.get("description")]
    return (
        folded("Weights of each model", table(["model", "network", "weights"], rows, names=3))
        if rows
        else Raw("")
    )


def _provenance(run: Path, config: dict[str, Any]) -> Raw:
    known = read_json(run / "provenance.json")
    machine = known["machine"]
    shown = {
        "started": known["started"],
        "machine": f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gb']} GB; "
        f"GPUs: {', '.join(machine['gpus']) or 'none'}",
        "versions": ", ".join(f"{k} {v}" for k, v in known["versions"].items()),
    }
    return section(
        "Provenance",
        paragraph("To repeat this run (the folder holds its config.yaml):"),
        code(known["command"]),
        facts(shown),
        _weights(run),
        folded("Resolved config", code(yaml.safe_dump(config, sort_keys=False))),
    )
