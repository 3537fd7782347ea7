"""Macaque V4 responses to photographs (Cowley, Stan, Pillow & Smith 2023).

Layout: `images/images_SESSION.zip`, `responses_repeat_averaged/responses_SESSION.npy` (neurons x
images), and `responses_raw/responses_SESSION.npy` (neurons x images x repeats, NaN = no trial)
where single trials exist. The neurons differ in every session, so a session is a subject here.
Column i belongs to the i-th image by sorted name.

Images recur within and between sessions under other names. They stay separate stimuli; a split
goes by content, so all copies of an image fall into one part.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from striate.core.errors import InputError, unknown_name
from striate.data.images.stimuli import StimulusSet
from striate.data.readers.arrays import load_npy
from striate.data.responses.dataset import Dataset, Recording
from striate.data.responses.noise_ceilings import noise_ceiling
from striate.data.responses.numbers import counted_dtype
from striate.data.responses.responses import Responses

SOURCE = "Cowley, Stan, Pillow & Smith 2023, github cowleygroup/V4_compact_models, GPL-3.0"


def read_cowley_v4(
    path: Path, *, subjects: Sequence[str] | None = None, repeats: bool = False
) -> Dataset:
    """Read V4 sessions; call it through `striate.data.read("cowley_v4", path)`.

    Args:
        path: the folder that holds `images` and `responses_repeat_averaged`.
        subjects: sessions to read, such as `["190925"]`; default all that are there.
        repeats: return single trials where they exist (dims stimulus, repeat, unit). The noise
            ceiling is computed from them either way.

    Returns:
        One recording a session, ROI `V4`, spike counts per 100 ms bin.
    """
    known = sorted(p.stem.removeprefix("images_") for p in (path / "images").glob("images_*.zip"))
    if not known:
        raise InputError(f"{path} has no images/images_SESSION.zip. Is it the V4 data folder?")
    for session in subjects or ():
        if str(session) not in known:
            raise unknown_name("V4 session", str(session), known)
    recordings = {
        session: _session(path, session, repeats) for session in map(str, subjects or known)
    }
    return Dataset("cowley_v4", recordings, {"source": SOURCE})


def _session(path: Path, session: str, repeats: bool) -> Recording:
    stimuli = StimulusSet.from_zip(path / "images" / f"images_{session}.zip")
    averaged = path / "responses_repeat_averaged" / f"responses_{session}.npy"
    values = load_npy(averaged)
    if values.ndim != 2 or values.shape[1] != len(stimuli):
        raise InputError(
            f"{averaged}: expected (neurons, {len(stimuli)} images), found {values.shape}. "
            f"images_{session}.zip and the responses do not belong together."
        )
    values = values.T
    ceiling = None
    raw = path / "responses_raw" / f"responses_{session}.npy"
    if raw.exists():
        trials = load_npy(raw)
        if trials.ndim != 3 or trials.shape[:2] != values.T.shape:
            raise InputError(
                f"{raw}: expected {values.T.shape} neurons x images, and repeats, found "
                f"{trials.shape}."
            )
        counted_dtype(trials.dtype, str(raw))
        trials = trials.transpose(1, 2, 0)
        ceiling = noise_ceiling(trials)
        if repeats:
            values = trials
    n_units = values.shape[-1]
    responses = Responses.build(
        values,
        stimuli.ids,
        subject=session,
        session=session,
        unit_ids=[f"{session}-{i:03d}" for i in range(n_units)],
        rois={"V4": np.ones(n_units, dtype=bool)},
        noise_ceiling=ceiling,
        attrs={"source": SOURCE, "units": "spikes per 100 ms"},
    )
    return Recording(session, stimuli, responses)
