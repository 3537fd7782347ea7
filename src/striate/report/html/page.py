"""Small pieces of HTML: sections, tables, figures, and the page around them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib.resources import files
from typing import Any

import pandas as pd

SHARES = (
    "r / ceiling is a mean over units with a ceiling of .1 or more; it is biased where units are "
    "weak. The share of explainable variance is on the scale of r²: mean squared correlation over "
    "mean reliability, of all units whose reliability is known, each without bias, so that a "
    "perfect model has 1 and chance has 0."
)
"""What the two numbers beside a ceiling are, for every page that shows them."""


class Raw(str):
    """Text that is HTML already."""


def text(value: Any) -> str:
    """Escape a value for HTML; numbers as `number` writes them."""
    if isinstance(value, Raw):
        return value
    if isinstance(value, float):
        return number(value)
    return escape(str(value))


def number(value: float) -> str:
    """Three decimals, a dash for NaN; what would read 0.000 and is not keeps a digit.

    >>> number(0.0421), number(3e-12), number(-0.0002), number(0.0), number(float("nan"))
    ('0.042', '3e-12', '-0.0002', '0.000', '–')
    """
    if pd.isna(value):
        return "–"
    return f"{value:.1g}" if 0 < abs(value) < 0.0005 else f"{value:.3f}"


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], names: int = 1) -> Raw:
    """A table; the first `names` columns are left-aligned."""

    def cells(tag: str, values: Sequence[Any]) -> str:
        out = []
        for i, value in enumerate(values):
            kind = ' class="name"' if i < names else ""
            out.append(f"<{tag}{kind}>{text(value)}</{tag}>")
        return "<tr>" + "".join(out) + "</tr>"

    body = "\n".join(cells("td", row) for row in rows)
    head = cells("th", columns)
    return Raw(
        f'<div class="scroll"><table><thead>{head}</thead><tbody>{body}</tbody></table></div>'
    )


def frame(data: pd.DataFrame, names: int = 1) -> Raw:
    """A data frame as a table."""
    return table(list(data.columns), data.itertuples(index=False, name=None), names)


def paragraph(content: Any, kind: str = "") -> Raw:
    """A paragraph, optionally of a CSS class."""
    mark = f' class="{kind}"' if kind else ""
    return Raw(f"<p{mark}>{text(content)}</p>")


def bullets(items: Iterable[Any], kind: str = "") -> Raw:
    """A list; nothing where there is no item."""
    inner = "".join(f"<li>{text(item)}</li>" for item in items)
    if not inner:
        return Raw("")
    return Raw(f'<div class="{kind}"><ul>{inner}</ul></div>')


def image(address: str, describes: str) -> Raw:
    """A figure with the text that stands for it."""
    return Raw(f'<p><img src="{address}" alt="{escape(describes)}"></p>')


def section(title: str, *parts: Any) -> Raw:
    """A heading with what belongs below it; nothing where there is nothing to show."""
    kept = [text(part) for part in parts if part]
    return Raw(f"<h2>{escape(title)}</h2>\n" + "\n".join(kept)) if kept else Raw("")


def folded(title: str, content: Any) -> Raw:
    """Content that opens on a click."""
    return Raw(f"<details><summary>{escape(title)}</summary>{text(content)}</details>")


def code(content: str) -> Raw:
    """Preformatted text."""
    return Raw(f"<pre>{escape(content)}</pre>")


def facts(values: Mapping[str, Any]) -> Raw:
    """Names and values, one a row, all left-aligned."""
    return table(["", ""], list(values.items()), names=2)


def page(title: str, parts: Iterable[str], style: str = "") -> str:
    """The whole document, with further style; it needs nothing from a network."""
    body = "\n".join(parts)
    style = files("striate.report").joinpath("page.css").read_text(encoding="utf-8") + style
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style></head>\n<body>\n{body}\n"
        "</body></html>\n"
    )
