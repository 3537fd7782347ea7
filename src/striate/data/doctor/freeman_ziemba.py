"""Examination of the FreemanZiemba2013 layout; see `striate.data.doctor.layouts`."""

from __future__ import annotations

from pathlib import Path

from striate.core.walk import files_below
from striate.data.doctor.findings import Notes, check_copies, check_images, check_values
from striate.data.images.stimuli import StimulusSet
from striate.data.readers import read
from striate.data.readers.freeman_ziemba_files import Texture


def is_freeman_ziemba(path: Path) -> bool:
    """Whether a folder looks like these data: by its recordings' name, or its images'."""
    if files_below(path, lambda p: "FreemanZiemba2013" in str(p.relative_to(path))):
        return True
    return any(Texture.of(p.stem) for p in path.glob("*/*smp*.png"))


def examine_freeman_ziemba(notes: Notes, path: Path, deep: bool) -> None:
    """Examine the images and then the recordings with their pairing."""
    images = files_below(path, lambda p: p.suffix == ".png" and Texture.of(p.stem) is not None)
    if images:
        stimuli = StimulusSet([p.stem for p in images], images)
        check_copies(notes, {"images": check_images(notes, stimuli, "images", deep)})
    with notes.guard("recordings"):
        data = read("freeman_ziemba", path)
        one, facts = data["macaques"].responses, data.facts
        check_values(notes, one.data, one.stimulus_ids, one.unit_ids, "recordings")
        cells = ", ".join(f"{int(one.data.coords[f'roi_{r}'].sum())} of {r}" for r in one.rois)
        notes.ok(
            "recordings",
            f"{facts['file']} ({facts['known_as']}): {cells}, {len(one.stimulus_ids)} stimuli "
            f"(subset: {facts['subset']}), {facts['repetitions']} repetitions.",
        )
        if data.simulated:
            notes.warning("recordings", "the responses are SIMULATED, not measured.")
