"""The two containers of the FreemanZiemba2013 recordings, brought to one form.

What is known of them, and from where:

- `FreemanZiemba2013_V1V2data.mat` (MATLAB 7.3, so HDF5 with its axes reversed): arrays `v1` and
  `v2`, texture family x type x sample x repetition x 1 ms bin x cell, noise before texture,
  families in the order of `FAMILIES`. So it is read by the packaging script of Brain-Score, which
  cites the data's readme; the files were not at hand.
- Brain-Score's netCDF assembly: dims presentation, neuroid and time_bin, with `stimulus_id`
  (earlier `image_id`: the SHA-1 of the image file) and `repetition` on presentation, `neuroid_id`
  and `region` on neuroid, `time_bin_start` on time_bin. What a stimulus is stands in the table of
  stimuli (a csv) beside it; here coordinates `texture_type`, `texture_family` and `sample` are
  taken as well. The order of dims and the name of the variable are not relied on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from striate.core.errors import InputError
from striate.core.names import clean_name

FAMILIES = (327, 336, 393, 402, 13, 18, 23, 30, 38, 48, 52, 56, 60, 71, 99)
TYPES = ("noise", "texture")
SAMPLES = 15
CELLS = {"V1": 102, "V2": 103}
AXES = "family (15) x type (2) x sample (15) x repetition (20) x 1 ms bin (300) x cell"
BLOCK_BYTES = 2**27
"""Memory for what is read at once."""
# What readers of .mat and netCDF raise on damaged files; NotImplementedError is SciPy's answer to a
# .mat of version 7.3.
_DAMAGE = (OSError, ValueError, TypeError, KeyError, IndexError, NotImplementedError, EOFError)


@dataclass(frozen=True)
class Texture:
    """What a stimulus is: `noise` or `texture`, its family and sample."""

    type: str
    family: int
    sample: int

    @property
    def name(self) -> str:
        """As the image files are named, without suffix."""
        kind = "tex" if self.type == "texture" else "noise"
        return f"{kind}-320x320-im{self.family}-smp{self.sample}"

    @classmethod
    def of(cls, name: str) -> Texture | None:
        """Read a name such as `tex-320x320-im13-smp8`, its parts in any order; None if it is none.

        >>> Texture.of("im13-smp8-noise"), Texture.of("cat")
        (Texture(type='noise', family=13, sample=8), None)
        """
        kind = re.search(r"(?:^|[-_])(texture|tex|noise)(?=[-_]|$)", name)
        family, sample = (
            re.search(rf"(?:^|[-_]){mark}(\d+)(?=[-_]|$)", name) for mark in ("im", "smp")
        )
        if not (kind and family and sample):
            return None
        what = "noise" if kind[1] == "noise" else "texture"
        return cls(what, int(family[1]), int(sample[1]))


@dataclass(frozen=True)
class Assembly:
    """Single trials averaged over a time window.

    Attributes:
        ids: (S,) unique names of the stimuli, as the container has them.
        textures: (S,) what they are; None where the container does not say.
        trials: (S, repetitions, cells) float64, mean count a bin; NaN where there was no trial.
        regions, unit_ids: (cells,).
        bins: number of time bins in the file.
    """

    ids: tuple[str, ...]
    textures: tuple[Texture, ...] | None
    trials: np.ndarray
    regions: tuple[str, ...]
    unit_ids: tuple[str, ...]
    bins: int


def all_textures() -> tuple[Texture, ...]:
    """All 450 stimuli in the order in which the original file is packed: type, family, sample."""
    return tuple(Texture(t, f, s + 1) for t in TYPES for f in FAMILIES for s in range(SAMPLES))


def read_mat(file: Path, window: tuple[int, int]) -> Assembly:
    """Read the original MATLAB file, of version 7.3 or earlier.

    Raises:
        InputError: a damaged file; no arrays of these axes, with what was found; too few bins.
    """
    try:
        with file.open("rb") as stream:
            head = stream.read(512 + 8)
        modern = head.startswith(b"\x89HDF") or head[512:516] == b"\x89HDF"
        return _read_hdf(file, window) if modern else _read_old_mat(file, window)
    except InputError:
        raise
    except _DAMAGE as error:
        raise InputError(f"{file} cannot be read: {error}. Copy it again.") from error


def _read_hdf(file: Path, window: tuple[int, int]) -> Assembly:
    import h5py

    with h5py.File(file) as archive:
        arrays = {k: v for k, v in archive.items() if isinstance(v, h5py.Dataset)}
        shapes = {k: tuple(reversed(v.shape)) for k, v in arrays.items()}
        parts = {}
        for region, name in _find_regions(file, shapes).items():
            data = arrays[name]
            _check_window(file, shapes[name][4], window)
            # a cell at a time: the whole is half a gigabyte
            cells = [
                data[c, slice(*window)].mean(axis=0, dtype=np.float64) for c in range(len(data))
            ]
            # (cell, repetition, sample, type, family)
            parts[region] = np.array(cells).transpose(3, 4, 2, 1, 0)
        return _join_regions(parts, shapes[name][4])


def _read_old_mat(file: Path, window: tuple[int, int]) -> Assembly:
    from scipy.io import loadmat

    arrays = {k: v for k, v in loadmat(file).items() if isinstance(v, np.ndarray)}
    shapes = {k: v.shape for k, v in arrays.items()}
    parts = {}
    for region, name in _find_regions(file, shapes).items():
        _check_window(file, shapes[name][4], window)
        cells = arrays[name][:, :, :, :, slice(*window)].mean(axis=4, dtype=np.float64)
        parts[region] = cells.transpose(1, 0, 2, 3, 4)
    return _join_regions(parts, shapes[name][4])


def _find_regions(file: Path, shapes: Mapping[str, Sequence[int]]) -> dict[str, str]:
    """Variable of each region, by name or else by its number of cells."""
    fitting = {k: s for k, s in shapes.items() if len(s) == 6 and tuple(s[:3]) == (15, 2, 15)}
    named = {r: [k for k in fitting if r.lower() in k.lower()] for r in CELLS}
    counted = {r: [k for k, s in fitting.items() if s[5] == n] for r, n in CELLS.items()}
    for candidates in (named, counted):
        if all(len(names) < 2 for names in candidates.values()) and any(candidates.values()):
            return {region: names[0] for region, names in candidates.items() if names}
    seen = ", ".join(f"{k} {tuple(s)}" for k, s in shapes.items()) or "no array"
    raise InputError(
        f"{file}: expected arrays v1 (102 cells) and v2 (103 cells) of axes {AXES}; found {seen}. "
        "Use FreemanZiemba2013_V1V2data.mat as it is distributed."
    )


def _check_window(file: Path, bins: int, window: tuple[int, int]) -> None:
    if bins < window[1] or not 0 <= window[0] < window[1]:
        raise InputError(
            f"{file}: {bins} bins of 1 ms do not hold the window {window[0]} to {window[1]} ms. "
            "The published file has 300; choose another window for another file."
        )


def _join_regions(parts: Mapping[str, np.ndarray], bins: int) -> Assembly:
    """Join regions (type, family, sample, repetition, cell) along cells."""
    if len({part.shape[:4] for part in parts.values()}) > 1:
        found = ", ".join(f"{region} {part.shape}" for region, part in parts.items())
        raise InputError(f"V1 and V2 have other stimuli or repetitions: {found}.")
    textures = all_textures()
    trials = np.concatenate(list(parts.values()), axis=-1)
    regions = [region for region, part in parts.items() for _ in range(part.shape[-1])]
    units = [f"{r}-{i:03d}" for r, part in parts.items() for i in range(part.shape[-1])]
    return Assembly(
        tuple(texture.name for texture in textures),
        textures,
        trials.reshape(len(textures), *trials.shape[3:]),
        tuple(regions),
        tuple(units),
        bins,
    )


def read_netcdf(file: Path, window: tuple[int, int]) -> Assembly:
    """Read a netCDF assembly as Brain-Score publishes them.

    Raises:
        InputError: a damaged file; dims or coordinates that are missing, with what was found;
            a window that is not in it; a trial that occurs twice.
    """
    try:
        with file.open("rb") as stream:
            engine: Any = "scipy" if stream.read(3) == b"CDF" else "h5netcdf"
        # bins "in milliseconds" are numbers; xarray would make them durations
        with xr.open_dataset(
            file, engine=engine, decode_times=False, decode_timedelta=False
        ) as data:
            return _convert_dataset(file, data, window)
    except InputError:
        raise
    except _DAMAGE as error:
        raise InputError(f"{file} cannot be read as netCDF: {error}. Copy it again.") from error


def _convert_dataset(file: Path, data: xr.Dataset, window: tuple[int, int]) -> Assembly:
    wanted = {"presentation", "neuroid", "time_bin"}
    fitting = [v for v in data.variables.values() if set(v.dims) == wanted]
    if len(fitting) != 1:
        found = ", ".join(f"{k} {tuple(v.dims)}" for k, v in data.variables.items())
        raise InputError(
            f"{file}: expected one array of dims presentation, neuroid and time_bin; found {found}."
        )
    array = fitting[0]
    names = np.array(_read_labels(file, data, "presentation", "stimulus_id", "image_id"))
    repetition = np.array(_read_labels(file, data, "presentation", "repetition"))
    regions = _read_labels(file, data, "neuroid", "region")
    units = _read_labels(file, data, "neuroid", "neuroid_id", "neuroid")
    start = _take_coordinate(file, data, "time_bin", "time_bin_start").astype(float)
    bins = np.flatnonzero((start >= window[0]) & (start < window[1]))
    if len(bins) != window[1] - window[0] or (np.diff(start[bins]) != 1).any():
        raise InputError(
            f"{file}: the window {window[0]} to {window[1]} ms holds {len(bins)} time bins, "
            f"expected one of 1 ms each; bins start at {start.min():g} to {start.max():g} ms."
        )
    means = np.empty((array.sizes["presentation"], array.sizes["neuroid"]))
    for rows, values in _average_blocks(array, bins):
        means[rows] = values
    ids, first, row = np.unique(names, return_index=True, return_inverse=True)
    repeats, column = np.unique(repetition, return_inverse=True)
    places = row * len(repeats) + column
    if len(np.unique(places)) < len(places):
        raise InputError(f"{file}: a stimulus has one repetition twice. Copy the file again.")
    trials = np.full((len(ids), len(repeats), means.shape[1]), np.nan)
    trials[row, column] = means
    textures = None
    fields = ("texture_type", "texture_family", "sample")
    if all(f in data.variables and data[f].dims == ("presentation",) for f in fields):
        kind, family, sample = (np.asarray(data[f].values)[first] for f in fields)
        textures = tuple(
            Texture(t, int(f), int(s))
            for t, f, s in zip(_clean_texts(kind), family, sample, strict=True)
        )
    unit_ids = tuple(f"{r}-{u}" for r, u in zip(regions, units, strict=True))
    return Assembly(
        tuple(ids.tolist()), textures, trials, tuple(regions), unit_ids, array.sizes["time_bin"]
    )


def _average_blocks(array: xr.Variable, bins: np.ndarray) -> Iterator[tuple[Any, np.ndarray]]:
    """Yield means over bins, (presentations, neuroids), and where they go, some at a time."""
    along = next(d for d in array.dims if d != "time_bin")  # the outer one: blocks lie together
    other = "neuroid" if along == "presentation" else "presentation"
    step = max(1, BLOCK_BYTES // (8 * array.sizes[other] * len(bins)))
    for i in range(0, array.sizes[along], step):
        part = array.isel({along: slice(i, i + step), "time_bin": slice(bins[0], bins[-1] + 1)})
        mean = part.transpose("presentation", "neuroid", "time_bin").values.mean(2, np.float64)
        place = slice(i, i + step)
        yield (place if along == "presentation" else (slice(None), place)), mean


def _take_coordinate(file: Path, data: xr.Dataset, dim: str, *names: str) -> np.ndarray:
    for name in names:
        if name in data.variables and data[name].dims == (dim,):
            return np.asarray(data[name].values)
    known = ", ".join(str(k) for k, v in data.variables.items() if v.dims == (dim,)) or "none"
    raise InputError(
        f"{file}: no coordinate {' or '.join(names)} on {dim}; found {known}. Is it an assembly "
        "as Brain-Score publishes them?"
    )


def _read_labels(file: Path, data: xr.Dataset, dim: str, *names: str) -> list[str]:
    return _clean_texts(_take_coordinate(file, data, dim, *names))


def _clean_texts(values: np.ndarray) -> list[str]:
    return [clean_name(value) for value in values.tolist()]
