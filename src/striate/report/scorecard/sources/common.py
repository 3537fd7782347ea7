"""What readers of tables share: rows, areas, and which settings make values comparable."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from striate.core.files import read_table

TWIN = "@random"
AREAS = {"cowley_v4": "V4", "henaff_v1": "V1"}
"""The area of data sets that are of one."""
MOVED = ("path", "device", "batch_size", "bootstrap", "permutations", "pca_images", "intervals")
"""Settings that say where things lie or how exact an interval is: values stay comparable."""
SHUFFLED = "stimuli shuffled"

Config = Mapping[str, Any]


def table_of(run: Path, name: str) -> pd.DataFrame:
    """A table of a run."""
    return read_table(run / "tables" / f"{name}.parquet")


def rows_of(table: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Rows as mappings."""
    for row in table.to_dict("records"):
        yield {str(k): v for k, v in row.items()}


def comparable(settings: Any) -> Any:
    """Settings without those that do not change what is measured."""
    if isinstance(settings, Mapping):
        return {k: comparable(v) for k, v in settings.items() if k not in MOVED}
    return settings


def area_of(roi: str) -> str:
    """The area that a ROI is of, such as V1 for V1v; else the ROI itself."""
    found = re.fullmatch(r"h?(V[1-4])[vd]?", roi)
    return found[1] if found else roi
