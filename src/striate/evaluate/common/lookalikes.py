"""Pictures that look alike: where the split has put them, and what a reader is told of it."""

from __future__ import annotations

from typing import Any

import numpy as np

from striate.data import Split, SplitConfig
from striate.data.images.lookalikes import ALIKE, SIDE

HOW = f"{SIDE} x {SIDE} thumbnails differ by at most {ALIKE:g} of their contrast"


def crossing(split: Split, subject: str) -> np.ndarray:
    """Find the positions of a subject's test stimuli that look like an image of another part."""
    table = split.table
    if "lookalike" not in table.columns:
        return np.empty(0, dtype=np.int64)
    others = table[~table["part"].isin(["test", "unused"]) & (table["lookalike"] != "")]
    seen = table[table["subject"] == subject]
    crosses = (seen["part"] == "test") & seen["lookalike"].isin(set(others["lookalike"]))
    return np.flatnonzero(crosses)


def lookalike_facts(split: Split, config: SplitConfig) -> dict[str, Any]:
    """Count the look-alikes of a split, each picture once, whoever saw it.

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
    """Say what was found and what was done in one line or two; nothing where there are none."""
    if config.lookalikes == "ignore":
        return ["Look-alikes of test images were not looked for (split.lookalikes=ignore)."]
    facts = lookalike_facts(split, config)
    if not facts["pictures"]:
        return []
    summary = (
        f"{facts['pictures']} images look like another one, re-encoded or resized ({HOW}): "
        f"{facts['classes']} groups"
    )
    lines = []
    if config.lookalikes == "group":
        lines.append(
            f"{summary}, each in one part of the split and drawn as one; {facts['test']} of the "
            "images are in test."
        )
    if facts["crossing"]:
        start = f"{summary}. " if config.lookalikes == "warn" else ""
        why = (
            "split.lookalikes=group puts look-alikes into one part."
            if config.lookalikes == "warn"
            else "They are links of a long chain of look-alikes, which was cut; if they are frames "
            "of one movie, state the groups."
        )
        lines.append(
            f"{start}{facts['crossing']} test images look like an image outside of test (first: "
            f"{_name_first(split)}). Scores on them are not on new images. {why}"
        )
    elif config.lookalikes == "warn":
        lines.append(f"{summary}; none is in test and in another part.")
    return lines


def _name_first(split: Split) -> str:
    """Name a test image and one outside of test that it looks like."""
    table = split.table[split.table["part"] != "unused"]
    test = table[(table["part"] == "test") & (table["lookalike"] != "")]
    others = table[(table["part"] != "test")].drop_duplicates("lookalike").set_index("lookalike")
    tested = test[test["lookalike"].isin(others.index)].iloc[0]
    other = others.loc[tested["lookalike"]]
    return (
        f"{tested['subject']}/{tested['stimulus_id']} in test, {other['subject']}/"
        f"{other['stimulus_id']} in {other['part']}"
    )
