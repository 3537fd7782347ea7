"""Pictures that look like one picture: where the split has put them, and what they do to scores."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from striate.data import Split, SplitConfig
from striate.data.lookalikes import ALIKE, SIDE
from striate.encoding import Encoding, mean_r
from striate.encoding.scores import score_r
from striate.evaluate.cells import Bench, roi_key
from striate.evaluate.tables import Scored

HOW = f"{SIDE} x {SIDE} thumbnails differ by at most {ALIKE:g} of their contrast"
COLUMNS = ["subject", "hemisphere", "roi", "model", "n", "r", "n_without", "r_without"]


def crossing(split: Split, subject: str) -> np.ndarray:
    """Positions of a subject's test stimuli that look like an image of another part."""
    table = split.table
    if "lookalike" not in table.columns:
        return np.empty(0, dtype=np.int64)
    others = table[~table["part"].isin(["test", "unused"]) & (table["lookalike"] != "")]
    own = table[table["subject"] == subject]
    return np.flatnonzero((own["part"] == "test") & own["lookalike"].isin(set(others["lookalike"])))


def lookalike_facts(split: Split, config: SplitConfig) -> dict[str, Any]:
    """Count the look-alikes of a split, each picture once whoever saw it.

    Returns:
        `mode` (`SplitConfig.lookalikes`), `how` they are found; `pictures` that look like another,
        `classes` of them, `test` pictures among them, and of these the `crossing` ones, which look
        like a picture outside test.
    """
    table = split.table[split.table["part"] != "unused"].drop_duplicates("hash")
    facts: dict[str, Any] = {"mode": config.lookalikes, "how": HOW}
    if "lookalike" not in table.columns:
        return facts | {"pictures": 0, "classes": 0, "test": 0, "crossing": 0}
    alike = table[table["lookalike"] != ""]
    test = alike["part"] == "test"
    return facts | {
        "pictures": len(alike),
        "classes": int(alike["lookalike"].nunique()),
        "test": int(test.sum()),
        "crossing": int(alike[test]["lookalike"].isin(set(alike[~test]["lookalike"])).sum()),
    }


def describe_lookalikes(split: Split, config: SplitConfig) -> list[str]:
    """Say what was found and what was done, in one line or two; nothing where there are none."""
    if config.lookalikes == "ignore":
        return ["Look-alikes of test images were not looked for (split.lookalikes=ignore)."]
    facts = lookalike_facts(split, config)
    if not facts["pictures"]:
        return []
    found = (
        f"{facts['pictures']} images look like another one, re-encoded or resized ({HOW}): "
        f"{facts['classes']} groups"
    )
    lines = []
    if config.lookalikes == "group":
        lines.append(
            f"{found}, each in one part of the split and drawn as one; {facts['test']} of the "
            "images are in test."
        )
    if facts["crossing"]:
        start = f"{found}. " if config.lookalikes == "warn" else ""
        why = (
            "split.lookalikes=group puts look-alikes into one part."
            if config.lookalikes == "warn"
            else "They are links of a long chain of look-alikes, which was cut; if they are frames "
            "of one movie, state the groups."
        )
        lines.append(
            f"{start}{facts['crossing']} test images look like an image outside of test (first: "
            f"{_first(split)}). Scores on them are not on new images. {why}"
        )
    elif config.lookalikes == "warn":
        lines.append(f"{found}; none is in test and in another part.")
    return lines


def _first(split: Split) -> str:
    """Name a test image and one outside of test that it looks like."""
    table = split.table[split.table["part"] != "unused"]
    test = table[(table["part"] == "test") & (table["lookalike"] != "")]
    others = table[(table["part"] != "test")].drop_duplicates("lookalike").set_index("lookalike")
    one = test[test["lookalike"].isin(others.index)].iloc[0]
    other = others.loc[one["lookalike"]]
    return (
        f"{one['subject']}/{one['stimulus_id']} in test, {other['subject']}/"
        f"{other['stimulus_id']} in {other['part']}"
    )


def effect_table(bench: Bench, scored: Sequence[Scored]) -> pd.DataFrame:
    """Mean r on all test stimuli, and without those that look like an image outside of test.

    One row a subject x ROI x model, for subjects with such stimuli alone; empty where none has.
    `r` is of the predictions of all test stimuli together, and so is `r_without`.
    """
    rows = []
    for one in {(s.folder, roi_key(s.target), s.method): s for s in scored}.values():
        subject, roi = one.target.subject, one.roi
        near = crossing(bench.split, subject)
        if not len(near):
            continue
        read = bench.split.part(subject, *bench.config.encode.parts)
        keep = ~np.isin(read[_stimuli(one.folder)], near)
        known = keep.sum() > 2
        without = score_r(roi.observed[keep], roi.predictions[keep]) if known else np.array([])
        values = (
            subject,
            one.target.hemisphere,
            one.target.roi,
            one.method,
            len(keep),
            mean_r(score_r(roi.observed, roi.predictions)),
            int(keep.sum()),
            mean_r(without) if known else float("nan"),
        )
        rows.append(dict(zip(COLUMNS, values, strict=True)))
    return pd.DataFrame(rows, columns=COLUMNS)


def _stimuli(folder: Path) -> np.ndarray:
    return Encoding.load(folder).stimuli
