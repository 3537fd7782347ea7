"""What a reader of a data set is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from inspect import signature
from pathlib import Path

from striate.data.doctor.findings import Notes
from striate.data.responses.dataset import Dataset


@dataclass(frozen=True)
class Reader:
    """One data set: how it is known, read and examined; in a module of its own.

    Attributes:
        name: for `striate.data.read`, `data.name` of a config, and `striate doctor`.
        layout: files by which a person knows it, in words.
        recognize: tells from a folder, by names alone, whether it holds these data, whole or not.
        read: reads a folder; its keywords besides the path are the selectors of the data set.
        examine: looks at every subject and file of a folder and notes what it finds; the last
            argument says whether to decode every image fully.
        area: of the brain, where all its units are of one; the section of a scorecard.
    """

    name: str
    layout: str
    recognize: Callable[[Path], bool]
    read: Callable[..., Dataset]
    examine: Callable[[Notes, Path, bool], None]
    area: str = ""

    @property
    def selectors(self) -> list[str]:
        """Names of the keywords that `read` takes besides the path."""
        return [name for name in signature(self.read).parameters if name != "path"]
