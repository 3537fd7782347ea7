"""Macaque V1 spike counts for frames of natural movies (Hénaff et al. 2021).

Layout: `v1_spike_counts.npz` with `SESSION_counts`, uint8 of dims (zoom, category, movie, frame,
unit, repeat), 255 = no trial, and the images `stimSelected-zoom{z}x/movie{m}/natural{f:02d}.png`.
Only the natural frames are read, not the categories synthetic and contrast: frames 1 to 11 of 10
movies at two zooms. The units differ in every session, so a session is a subject here.

Frames of one movie are near copies, at either zoom. They form a group (`StimulusSet.groups`), so
a split puts a movie into one part. Trials are missing unit by unit: the repeats of two units are
not known to be simultaneous.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from striate.core.errors import InputError, unknown_name
from striate.data.doctor.findings import (
    Look,
    Notes,
    check_copies,
    check_images,
    check_values,
    list_first,
)
from striate.data.doctor.pairing import check_pairing
from striate.data.images.stimuli import StimulusSet
from striate.data.readers.reader import Reader
from striate.data.responses.dataset import Dataset, Recording
from striate.data.responses.noise_ceilings import noise_ceiling, split_half
from striate.data.responses.responses import Responses

SOURCE = (
    "Hénaff, Bai, Charlton, Nauhaus, Simoncelli & Goris 2021; counts: github wongyoJung/"
    "Primary-visual-cortex-straightens-natural-video-trajectories, images: github "
    "olivierhenaff/neural-straightening; no license stated"
)
COUNTS = "v1_spike_counts.npz"
NO_TRIAL = 255
ZOOMS, MOVIES, FRAMES = (1, 2), tuple(range(1, 11)), tuple(range(1, 12))
DIMS = (len(ZOOMS), 3, len(MOVIES), len(FRAMES))
"""Zooms, categories, movies and frames of the counts; units and repeats follow."""


def read_henaff_v1(
    path: Path,
    *,
    subjects: Sequence[str] | None = None,
    zooms: Sequence[int] = ZOOMS,
    movies: Sequence[int] = MOVIES,
    repeats: bool = True,
    min_reliability: float | None = None,
) -> Dataset:
    """Read V1 sessions; call it through `striate.data.read("henaff_v1", path)`.

    Args:
        path: the folder that holds `v1_spike_counts.npz`.
        subjects: sessions to read, such as `["ay3_u001"]`; default all seven.
        zooms: 1, 2 or both.
        movies: of 1 to 10.
        repeats: return single trials (dims stimulus, repeat, unit), or else their averages.
        min_reliability: keep units whose split-half reliability
            (`data.responses.noise_ceilings.split_half`, over the stimuli read) is at least this;
            default all units.

    Returns:
        One recording a session, ROI `V1`, spike counts as float64, NaN = no trial.

    Raises:
        InputError: unknown session, zoom or movie; missing or damaged files; counts of another
            shape or type; no unit reliable enough.
    """
    sessions = session_names(path)
    for session in subjects or ():
        if str(session) not in sessions:
            raise unknown_name("V1 session", str(session), sessions)
    stimuli = _find_stimuli(path, _choose("zoom", zooms, ZOOMS), _choose("movie", movies, MOVIES))
    recordings = {}
    for session in map(str, subjects or sessions):
        counts = load_counts(path, session)
        recordings[session] = _read_session(
            path, session, counts, stimuli, repeats, min_reliability
        )
    return Dataset("henaff_v1", recordings, {"source": SOURCE, "min_reliability": min_reliability})


def session_names(path: Path) -> list[str]:
    """Names of the sessions in a folder, sorted.

    Raises:
        InputError: no counts there, or a damaged file.
    """
    with _open_counts(path) as file:
        names = sorted(n.removesuffix("_counts") for n in file.files if n.endswith("_counts"))
    if not names:
        raise InputError(f"{path / COUNTS} has no array SESSION_counts.")
    return names


def load_counts(path: Path, session: str) -> np.ndarray:
    """Read one session's counts of natural frames, uint8 (2, 10, 11, n_units, n_repeats).

    Raises:
        InputError: a damaged file; another shape or type.
    """
    with _open_counts(path) as file:
        if f"{session}_counts" not in file.files:
            raise unknown_name("array", f"{session}_counts", file.files, f"File {path / COUNTS}.")
        counts = file[f"{session}_counts"]
    if counts.ndim != 6 or counts.shape[:4] != DIMS or 0 in counts.shape:
        raise InputError(
            f"{path / COUNTS}: {session}_counts should be (2 zooms, 3 categories, 10 movies, 11 "
            f"frames, units, repeats), found {counts.shape}."
        )
    if counts.dtype != np.uint8:
        raise InputError(
            f"{path / COUNTS}: {session}_counts should be uint8 with {NO_TRIAL} for no trial, "
            f"found {counts.dtype}."
        )
    return np.asarray(counts[:, 0])


def image_path(path: Path, zoom: int, movie: int, frame: int) -> Path:
    """Where the image of a natural frame lies."""
    return path / f"stimSelected-zoom{zoom}x" / f"movie{movie}" / f"natural{frame:02d}.png"


@contextmanager
def _open_counts(path: Path) -> Iterator[np.lib.npyio.NpzFile]:
    """Open the counts; what the block cannot read of them is an InputError."""
    file = path / COUNTS
    try:
        # np.load would leave a damaged file open
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            yield archive
    except InputError:
        raise
    except FileNotFoundError as error:
        raise InputError(f"{path} has no {COUNTS}. Is it the V1 data folder?") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, TypeError) as error:
        raise InputError(f"{file} cannot be read: {error}. Copy or download it again.") from error


def _choose(kind: str, wanted: Sequence[int], known: Sequence[int]) -> list[int]:
    """Return the wanted numbers in the order of `known`; names of numbers are taken too."""
    names = {str(n): n for n in known}
    asked = [str(n) for n in np.atleast_1d(np.asarray(wanted))]
    for name in asked:
        if name not in names:
            raise unknown_name(kind, name, names)
    if not asked:
        raise InputError(f"no {kind} is asked for. Known: {', '.join(names)}.")
    return [n for name, n in names.items() if name in asked]


def _find_stimuli(path: Path, zooms: Sequence[int], movies: Sequence[int]) -> StimulusSet:
    """Natural frames, by zoom, movie and frame; one group a movie."""
    shown = [(z, m, f) for z in zooms for m in movies for f in FRAMES]
    files = [image_path(path, *key) for key in shown]
    missing = [file for file in files if not file.is_file()]
    if missing:
        raise InputError(
            f"{len(missing)} of {len(files)} images are missing (first: {missing[0]}). Copy the "
            "folders stimSelected-zoom1x and stimSelected-zoom2x again."
        )
    return StimulusSet(
        [f"zoom{z}x/movie{m}/natural{f:02d}" for z, m, f in shown],
        files,
        [f"movie{m}" for _, m, _ in shown],
    )


def _read_session(
    path: Path,
    session: str,
    counts: np.ndarray,
    stimuli: StimulusSet,
    repeats: bool,
    min_reliability: float | None,
) -> Recording:
    rows = [_locate(name) for name in stimuli.ids]
    trials = np.stack([counts[row] for row in rows]).transpose(0, 2, 1)
    values = np.where(trials == NO_TRIAL, np.nan, trials.astype(np.float64))
    unit_ids = np.array([f"{session}-{i:03d}" for i in range(values.shape[2])])
    if min_reliability is not None:
        reliability = split_half(values)
        reliable = np.nan_to_num(reliability, nan=-np.inf) >= min_reliability
        if not reliable.any():
            raise InputError(
                f"{path / COUNTS}: no unit of session {session} has a split-half reliability of "
                f"{min_reliability:g}; the best has {np.nanmax(reliability, initial=-1):.3f}. "
                "Lower min_reliability or leave the session out (subjects)."
            )
        values, unit_ids = values[..., reliable], unit_ids[reliable]
    responses = Responses.build(
        values,
        stimuli.ids,
        subject=session,
        session=session,
        unit_ids=unit_ids.tolist(),
        rois={"V1": np.ones(len(unit_ids), dtype=bool)},
        noise_ceiling=noise_ceiling(values),
        attrs={"source": SOURCE, "units": "spikes per presentation"},
    )
    if not repeats:
        mean = responses.mean()
        responses = Responses(responses.data.isel(repeat=0, drop=True).copy(data=mean))
    return Recording(session, stimuli, responses)


def _locate(name: str) -> tuple[int, int, int]:
    """Positions of zoom, movie and frame in the counts, of a stimulus id."""
    zoom, movie, frame = name.split("/")
    return (
        int(zoom.removeprefix("zoom").removesuffix("x")) - 1,
        int(movie.removeprefix("movie")) - 1,
        int(frame.removeprefix("natural")) - 1,
    )


def is_henaff(path: Path) -> bool:
    """Whether a folder looks like the macaque V1 data, whole or not."""
    return (path / COUNTS).exists() or any(path.glob("stimSelected-zoom[12]x"))


def examine_henaff(notes: Notes, path: Path, deep: bool) -> None:
    """Examine images once and every session; one damaged array does not hide the next."""
    shown = [(z, m, f) for z in ZOOMS for m in MOVIES for f in FRAMES]
    names = [f"zoom{z}x/movie{m}/natural{f:02d}" for z, m, f in shown]
    files = [image_path(path, *key) for key in shown]
    present = [i for i, file in enumerate(files) if file.is_file()]
    missing = [names[i] for i in range(len(names)) if i not in set(present)]
    if missing:
        found = (
            f"{len(missing)} of {len(names)} natural frames have no image ({list_first(missing)})."
        )
        notes.error("images", found, "Copy stimSelected-zoom1x and -zoom2x again.")
    looks: Mapping[str, Look] = {}
    if present:
        movies = [f"movie{m}" for _, m, _ in shown]
        stimuli = StimulusSet(names, files, movies).subset(present)
        looks = check_images(notes, stimuli, "images", deep)
        check_copies(notes, {"images": looks})
        advice = "A split puts all frames of a movie into one part, as they are near copies."
        notes.ok("images", f"{len(set(movies))} movies, each a group.", advice)
    sessions: list[str] = []
    with notes.guard(COUNTS):
        sessions = session_names(path)
    for session in sessions:
        before = notes.errors
        with notes.guard(session):
            counts = load_counts(path, session)
            trials = counts.reshape(-1, *counts.shape[3:]).swapaxes(1, 2)
            values = np.where(trials == NO_TRIAL, np.nan, trials.astype(np.float32))
            units = [f"unit {i}" for i in range(values.shape[2])]
            check_values(notes, values, names, units, session)
        if notes.errors == before and not missing:
            with notes.guard(session):
                responses = read_henaff_v1(path, subjects=[session])[session].responses
                check_pairing(notes, responses, looks, f"{session} pairing")


READER = Reader(
    name="henaff_v1",
    layout="v1_spike_counts.npz and stimSelected-zoom1x/",
    recognize=is_henaff,
    read=read_henaff_v1,
    examine=examine_henaff,
    area="V1",
)
