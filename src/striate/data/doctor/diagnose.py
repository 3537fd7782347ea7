"""`diagnose`: what a data folder is, and all that is wrong with it, in one go."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from striate.core.errors import InputError
from striate.data.doctor.findings import Finding, Notes, list_first
from striate.data.readers import READERS, recognize


@dataclass(frozen=True)
class Diagnosis:
    """What was seen in a data folder.

    Attributes:
        path: the folder.
        dataset: the layout, a name that `striate.data.read` takes; None if none is recognized.
        findings: all that was looked at, in the order of the folder.
    """

    path: Path
    dataset: str | None
    findings: list[Finding] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong; warnings may remain."""
        return not any(f.level == "error" for f in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "path": str(self.path),
            "dataset": self.dataset,
            "ok": self.ok,
            "findings": [asdict(f) for f in self.findings],
        }


def diagnose(path: str | Path, *, deep: bool = True) -> Diagnosis:
    """Examine a data folder: every subject and every file, past the first problem.

    Args:
        path: the folder.
        deep: decode every image fully; that finds truncated ones and copies of a picture, and
            takes minutes for the whole of Algonauts 2023. Otherwise only headers are read.

    Returns:
        The findings. Bad data never raises.

    Raises:
        InputError: the path does not exist.
    """
    path = Path(path).expanduser()
    if not path.exists():
        raise InputError(f"{path} does not exist.")
    notes = Notes()
    dataset = None
    with notes.guard(str(path)):
        reader = recognize(path) if path.is_dir() else None
        if reader is not None:
            dataset = reader.name
            reader.examine(notes, path, deep)
        elif path.is_dir():
            names = list_first((p.name for p in sorted(path.iterdir())), 8) or "nothing"
            notes.error(str(path), f"no data set is recognized; it holds {names}.", _list_layouts())
        else:
            notes.error(str(path), "a file, not a folder.", _list_layouts())
    return Diagnosis(path, dataset, notes.findings)


def _list_layouts() -> str:
    """Say by what each data set is known, in the order in which they are looked for."""
    layouts = [f"{reader.name} ({reader.layout})" for reader in reversed(READERS.values())]
    return f"Layouts that are known: {', '.join(layouts)}."
