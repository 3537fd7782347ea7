"""From what a page shows to its HTML: templates, and the tables and figures handed to them.

All text is escaped by the templates (autoescape), so no name of a model, ROI, subject or unit can
become markup.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure

from striate.report.figures.common import png


@dataclass(frozen=True)
class Table:
    """A table as it is shown.

    Attributes:
        columns: their heads.
        rows: a value for each column; floats are written by `number`.
        names: how many columns from the left are names, which are left-aligned.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    names: int = 1


@dataclass(frozen=True)
class Picture:
    """A figure as it is shown.

    Attributes:
        address: a `data:` address.
        describes: the text that stands for it.
    """

    address: str
    describes: str


def make_table(data: pd.DataFrame, names: int = 1) -> Table:
    """A data frame as a table; its first `names` columns are left-aligned."""
    rows = data.itertuples(index=False, name=None)
    return Table([str(c) for c in data.columns], list(rows), names)


def make_picture(figure: Figure, describes: str, simulated: bool = False) -> Picture:
    """A drawn figure, marked where the responses are simulated."""
    return Picture(png(figure, simulated), describes)


def number(value: float) -> str:
    """Three decimals, a dash for NaN; what would read 0.000 and is not keeps a digit.

    >>> number(0.0421), number(3e-12), number(-0.0002), number(0.0), number(float("nan"))
    ('0.042', '3e-12', '-0.0002', '0.000', '–')
    """
    if pd.isna(value):
        return "–"
    return f"{value:.1g}" if 0 < abs(value) < 0.0005 else f"{value:.3f}"


def render(template: str, **shown: Any) -> str:
    """The whole document of a template; it needs nothing from a network.

    Args:
        template: its name, such as `tuned.html.j2`.
        shown: what it shows, by the names that it uses. A name that is missing is an error.
    """
    return environment().get_template(template).render(shown)


@cache
def environment() -> Environment:
    """The templates of this package: autoescaped, floats as `number` writes them."""
    return Environment(
        loader=PackageLoader("striate.report.html"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_write_value,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _write_value(value: Any) -> Any:
    return number(value) if isinstance(value, float) else value
