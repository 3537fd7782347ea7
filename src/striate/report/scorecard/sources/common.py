"""What readers of tables share: rows, areas, and which settings make values comparable."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from striate.core.files import read_parquet
from striate.data import READERS

MOVED = ("path", "device", "batch_size", "bootstrap", "permutations", "pca_images", "intervals")
"""Settings that say where things lie or how exact an interval is: values stay comparable."""
SHUFFLED = "stimuli shuffled"

Config = Mapping[str, Any]


def table_of(run: Path, name: str) -> pd.DataFrame:
    """A table of a run."""
    return read_parquet(run / "tables" / f"{name}.parquet")


def rows_of(table: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Rows as mappings."""
    for row in table.to_dict("records"):
        yield {str(k): v for k, v in row.items()}


def comparable(settings: Any) -> Any:
    """Settings without those that do not change what is measured."""
    if isinstance(settings, Mapping):
        return {k: comparable(v) for k, v in settings.items() if k not in MOVED}
    return settings


def area_of_data(name: str) -> str:
    """The area that a data set is of, as its reader tells; '' where it is of several or unknown."""
    reader = READERS.get(name)
    return reader.area if reader else ""


def area_of_roi(roi: str) -> str:
    """The area that a ROI is of, such as V1 for V1v; else the ROI itself."""
    match = re.fullmatch(r"h?(V[1-4])[vd]?", roi)
    return match[1] if match else roi
