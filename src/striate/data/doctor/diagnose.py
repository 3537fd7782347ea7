"""`diagnose`: what a data folder is, and all that is wrong with it, in one go."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from striate.core.errors import InputError
from striate.data.doctor.findings import Finding, Notes, some
from striate.data.doctor.freeman_ziemba import examine_freeman_ziemba, is_freeman_ziemba
from striate.data.doctor.henaff import examine_henaff, is_henaff
from striate.data.doctor.layouts import (
    examine_algonauts,
    examine_cowley,
    examine_folder,
    is_algonauts,
)
from striate.data.readers.folder import response_files

LAYOUTS = (
    "Layouts that are known: algonauts2023 (subj01/training_split/…), cowley_v4 "
    "(images/images_SESSION.zip and responses_repeat_averaged/), henaff_v1 "
    "(v1_spike_counts.npz and stimSelected-zoom1x/), freeman_ziemba "
    "(FreemanZiemba2013_V1V2data.mat or an assembly .nc, and tex-320x320-im13-smp8.png …), folder "
    "(images/ and "
    "responses.csv, .parquet, .nc or .npy with stimulus_ids.txt)."
)


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
        dataset = _layout(path)
        if dataset == "algonauts2023":
            examine_algonauts(notes, path, deep)
        elif dataset == "cowley_v4":
            examine_cowley(notes, path, deep)
        elif dataset == "henaff_v1":
            examine_henaff(notes, path, deep)
        elif dataset == "freeman_ziemba":
            examine_freeman_ziemba(notes, path, deep)
        elif dataset == "folder":
            examine_folder(notes, path, deep)
        elif path.is_dir():
            found = some((p.name for p in sorted(path.iterdir())), 8) or "nothing"
            notes.error(str(path), f"no data set is recognized; it holds {found}.", LAYOUTS)
        else:
            notes.error(str(path), "a file, not a folder.", LAYOUTS)
    return Diagnosis(path, dataset, notes.findings)


def _layout(path: Path) -> str | None:
    """Tell the layout by the names of folders alone, so that damaged data is recognized too."""
    if not path.is_dir():
        return None
    below = [p for p in sorted(path.iterdir()) if p.is_dir()]
    if is_algonauts(path) or any(is_algonauts(p) for p in below):
        return "algonauts2023"
    if any((path / "images").glob("images_*.zip")) or (path / "responses_repeat_averaged").is_dir():
        return "cowley_v4"
    if is_henaff(path):
        return "henaff_v1"
    if is_freeman_ziemba(path):
        return "freeman_ziemba"
    if response_files(path) or any(map(response_files, below)) or (path / "images").is_dir():
        return "folder"
    return None
