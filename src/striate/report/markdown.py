"""Pages in Markdown that studies write from run folders: tables, and words with gaps to fill."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from striate.core.errors import InputError


def markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Render a table in Markdown; every row has a cell for each column."""
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def fill(text: str, parts: Mapping[str, str]) -> str:
    """Put parts where a text has their names in double braces.

    Raises:
        InputError: a gap that no part fills, or a part that has no gap.

    >>> print(fill("{{n}} cells", {"n": "12"}), end="")
    12 cells
    """
    gaps = set(re.findall(r"{{(\w+)}}", text))
    if gaps != set(parts):
        unmatched = sorted(gaps ^ set(parts))
        raise InputError(
            f"gaps {sorted(gaps)} of the text and parts {sorted(parts)} do not agree: {unmatched}. "
            "Name each gap as the part that fills it."
        )
    return re.sub(r"{{(\w+)}}", lambda gap: parts[gap[1]], text).rstrip() + "\n"


def portable(command: str) -> str:
    """A command with the absolute paths of one machine as they are from the repository's root.

    Of what lies elsewhere only the name is given.

    >>> portable("striate grow -c /home/me/studies/lcl_v2/matched.yaml photographs=[/data/bsds]")
    'striate grow -c studies/lcl_v2/matched.yaml photographs=[bsds]'
    """

    def shorten(path: re.Match[str]) -> str:
        for folder, seen in (("shared", "../shared"), ("studies", "studies"), ("runs", "runs")):
            _, inside, rest = path[0].partition(f"/{folder}/")
            if inside:
                return f"{seen}/{rest}"
        return path[0].rpartition("/")[2]

    return re.sub(r"(?<![^\s,\[=])/[^\s,\]=]+", shorten, command)
