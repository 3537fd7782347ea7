"""Macaque V1 and V2 responses to naturalistic textures and noise (Freeman, Ziemba et al. 2013).

Layout: one file of recordings, the original `FreemanZiemba2013_V1V2data.mat` or an assembly as
Brain-Score publishes it (`.nc`, with the table of its stimuli, `.csv`), and the images
`tex-320x320-im{family}-smp{sample}.png` and `noise-…`, anywhere below the folder. 15 families x
texture and spectrally matched noise x 15 samples, 4 degrees; 102 V1 and 103 V2 cells; 20
repetitions. `striate.data.readers.freeman_ziemba_files` says what of this is known from where: the
files themselves were not at hand, so the reader is tested on stand-ins of their exact shape.

Samples of one family are other images of the same statistics: a split by image tests new samples
of known families, as Brain-Score does, and says nothing about new families.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from sklearn.model_selection import StratifiedShuffleSplit

from striate.core.errors import InputError, unknown_name
from striate.core.names import clean_name
from striate.core.tables import read_header, read_table
from striate.core.walk import files_below
from striate.data.images.stimuli import StimulusSet
from striate.data.readers.freeman_ziemba_files import (
    CELLS,
    Assembly,
    Texture,
    all_textures,
    read_mat,
    read_netcdf,
)
from striate.data.responses.dataset import Dataset, Recording
from striate.data.responses.noise_ceilings import noise_ceiling
from striate.data.responses.responses import Responses

SOURCE = (
    "Freeman, Ziemba, Heeger, Simoncelli & Movshon 2013, Nature Neuroscience 16; Ziemba, Freeman, "
    "Movshon & Simoncelli 2016, PNAS 113; assemblies: Brain-Score"
)
WINDOW = (50, 200)
"""Milliseconds after onset over which counts are averaged (docs/papers/lcl-v2.md 5.1)."""
SUBSETS = {"all": 450, "public": 135, "private": 315}
KNOWN = {
    "761c08f796db4e342555cdb60eef23a4f19ead43": "Brain-Score's public assembly, aperture",
    "63f636fa2e2b51b47a676768a69b06ce95efdd8f": "Brain-Score's private assembly, aperture",
    "f03f1630f0ab1e2dbd51816b47fbf2916876134e": "Brain-Score's whole assembly",
    "68dd9e1da7207dc2ae17dbbb1adf628e922d15fa": "Brain-Score's public assembly, no aperture",
    "9ffa772ce61754f6f5b7b391436680ebc25bb8dd": "Brain-Score's private assembly, no aperture",
}
"""Published files by SHA-1."""


def read_freeman_ziemba(
    path: Path,
    *,
    rois: Sequence[str] | None = None,
    subset: str | Sequence[str] = "all",
    file: str | Sequence[str] | None = None,
    window: tuple[int, int] = WINDOW,
    repeats: bool = True,
) -> Dataset:
    """Read V1 and V2; call it through `striate.data.read("freeman_ziemba", path)`.

    Args:
        path: the folder with the recordings and the images.
        rois: `V1`, `V2` or both.
        subset: `all` that the file holds, or, of a file that holds all 450 stimuli, Brain-Score's
            `public` 30 % or `private` 70 % (`public_textures`).
        file: name of the file of recordings, where there are several.
        window: milliseconds after onset over which counts are averaged.
        repeats: return single trials (dims stimulus, repeat, unit), or else their averages.

    Returns:
        One recording, `macaques`: cells of several animals that saw the same images, ROIs V1 and
        V2. Its facts say which subset it is and whether the file is a known one.

    Raises:
        InputError: no or several files of recordings, other axes, a region that is absent,
            stimuli without an image (named), an unknown subset.
    """
    subset, file = _single(subset), None if file is None else _single(file)
    if subset not in SUBSETS:
        raise unknown_name("subset", subset, SUBSETS)
    source = _recordings(path, file)
    read = read_netcdf if source.suffix == ".nc" else read_mat
    assembly = read(source, window)
    rois = None if rois is None else [clean_name(roi) for roi in rois]
    for roi in rois or ():
        if roi not in CELLS:
            raise unknown_name("ROI", roi, CELLS)
        if roi not in assembly.regions:
            found = ", ".join(sorted(set(assembly.regions))) or "none"
            raise InputError(f"{source} has no cells of {roi}; found {found}.")
    images = files_below(path, lambda p: p.suffix == ".png")
    textures, files = _identify(path, assembly, images)
    rows = _rows(source, textures, subset)
    cells = np.flatnonzero(np.isin(assembly.regions, list(rois or CELLS)))
    trials = assembly.trials[rows][..., cells]
    names = [textures[i].name for i in rows]
    regions = np.array(assembly.regions)[cells]
    responses = Responses.build(
        trials,
        names,
        subject="macaques",
        unit_ids=[assembly.unit_ids[i] for i in cells],
        rois={roi: regions == roi for roi in CELLS if (regions == roi).any()},
        noise_ceiling=noise_ceiling(trials),
        simulated=(path / "SIMULATED.json").exists(),
        attrs={"source": SOURCE, "units": f"spikes per bin of 1 ms, {window[0]}-{window[1]} ms"},
    )
    if not repeats:
        mean = responses.mean()
        responses = Responses(responses.data.isel(repeat=0, drop=True).copy(data=mean))
    stimuli = StimulusSet(names, [files[i] for i in rows])
    facts = {
        "source": SOURCE,
        "subset": subset_name([textures[i] for i in rows]),
        "repetitions": trials.shape[1],
        "bins": assembly.bins,
        **_digest(source),
    }
    return Dataset("freeman_ziemba", {"macaques": Recording("macaques", stimuli, responses)}, facts)


def public_textures() -> set[Texture]:
    """The 135 stimuli of Brain-Score's public subset.

    One stratified shuffle split by texture type, 30 %, seed 12, over the stimuli in the order in
    which the original file was packed (its packaging script; docs/papers/lcl-v2.md 5.1). Not
    checked against the published assembly, which was not at hand: `subset_name` tells whether it
    agrees.
    """
    every = all_textures()
    types = [texture.type for texture in every]
    draw = StratifiedShuffleSplit(1, train_size=0.3, random_state=np.random.RandomState(12))
    rows, _ = next(draw.split(np.zeros(len(every)), types))
    return {every[i] for i in rows}


def subset_name(textures: Iterable[Texture]) -> str:
    """Name the subset that stimuli are: by number, and whether they are those expected.

    >>> subset_name(all_textures()), subset_name(public_textures())
    ('all', 'public')
    """
    found = set(textures)
    public = public_textures()
    expected = {
        "all": set(all_textures()),
        "public": public,
        "private": set(all_textures()) - public,
    }
    for name, own in expected.items():
        if found == own:
            return name
    for name, number in SUBSETS.items():
        if len(found) == number:
            return f"{name} by its number of stimuli, though not those that seed 12 gives here"
    return f"none of Brain-Score's ({len(found)} stimuli)"


def _single(value: str | Sequence[str]) -> str:
    return value if isinstance(value, str) else str(value[0])


def _recordings(path: Path, file: str | None) -> Path:
    """Find the file of recordings."""
    found = files_below(path, lambda p: p.suffix in (".nc", ".mat"))
    if file is not None:
        named = [p for p in found if p.name == file]
        if not named:
            raise unknown_name("file of recordings", file, [p.name for p in found])
        return named[0]
    if not found:
        raise InputError(
            f"{path} has no file of recordings: expected FreemanZiemba2013_V1V2data.mat, or an "
            "assembly .nc of Brain-Score. Is it the FreemanZiemba2013 folder?"
        )
    if len(found) > 1:
        names = ", ".join(p.name for p in found)
        raise InputError(f"{path} has several files of recordings: {names}. Say which: file=NAME.")
    return found[0]


def _identify(
    path: Path, assembly: Assembly, images: Sequence[Path]
) -> tuple[tuple[Texture, ...], list[Path]]:
    """Say what each stimulus is, and where its image lies."""
    named = {p.name: p for p in images}
    table = _table(path) if assembly.textures is None else {}
    by_digest: dict[str, Path] = {}
    if assembly.textures is None and not set(assembly.ids) <= set(table):
        by_digest = {_sha1(p): p for p in images}  # older ids are the SHA-1 of the image file
    textures: list[Texture | None] = []
    files: list[Path | None] = []
    for i, name in enumerate(assembly.ids):
        texture, candidates = None, [f"{name}.png"]
        if assembly.textures is not None:
            texture = assembly.textures[i]
        elif name in table:
            texture, filename = table[name]
            candidates.append(filename)
        elif name in by_digest:
            texture = Texture.of(by_digest[name].stem)
            candidates.append(by_digest[name].name)
        texture = texture or Texture.of(name)
        candidates += [texture.name + ".png"] if texture else []
        place = next((named[c] for c in candidates if c in named), None)
        if place is None and texture is not None:
            place = next((p for p in images if Texture.of(p.stem) == texture), None)
        textures.append(texture)
        files.append(place)
    unknown = [n for n, t in zip(assembly.ids, textures, strict=True) if t is None]
    if unknown:
        raise InputError(
            f"{path}: {len(unknown)} stimuli are not known to be of a texture family (first: "
            f"{unknown[0]}). Put the table of stimuli (.csv) or the images with their names there."
        )
    absent = [t.name for t, p in zip(textures, files, strict=True) if t and not p]
    if absent:
        raise InputError(
            f"{path}: {len(absent)} of {len(files)} stimuli have no image ({', '.join(absent[:5])}"
            f"{', …' if len(absent) > 5 else ''}). Put NAME.png into the folder stim."
        )
    return tuple(t for t in textures if t), [p for p in files if p]


def _table(path: Path) -> Mapping[str, tuple[Texture, str]]:
    """Stimuli by id, from tables as Brain-Score distributes them."""
    out: dict[str, tuple[Texture, str]] = {}
    for file in files_below(path, lambda p: p.suffix == ".csv"):
        try:
            header = {clean_name(name) for name in read_header(file)}
        except InputError as error:
            raise InputError(
                f"{file} is no table of stimuli that can be read: {error} Copy it again, or take "
                "it out of the folder."
            ) from error
        ids = next((c for c in ("stimulus_id", "image_id") if c in header), None)
        if ids is None or not {"texture_type", "texture_family", "sample"} <= header:
            continue  # another table
        name = next((c for c in ("filename", "image_file_name") if c in header), ids)
        wanted = {ids, name, "texture_type", "texture_family", "sample"}
        table = read_table(file, only=wanted.__contains__)
        family, sample = (table.whole(c) for c in ("texture_family", "sample"))
        kinds, files = table.texts("texture_type"), table.texts(name)
        for i, key in enumerate(table.texts(ids)):
            kind = "noise" if kinds[i] == "noise" else "texture"
            row = (Texture(kind, family[i], sample[i]), files[i])
            if not key or out.setdefault(key, row) != row:
                what = f"stimulus {key!r} is another texture before" if key else f"no {ids}"
                raise InputError(f"{file}, {table.place(i)}: {what}. Copy the table again.")
    return out


def _rows(source: Path, textures: Sequence[Texture], subset: str) -> np.ndarray:
    """Positions of a subset's stimuli."""
    if len(set(textures)) < len(textures):
        raise InputError(f"{source}: a stimulus is there under two names. Copy the table again.")
    found = subset_name(textures)
    if subset == "all" or subset == found.split()[0]:
        return np.arange(len(textures))
    if found != "all":
        raise InputError(
            f"{source} holds {len(textures)} stimuli, {found}, not the {subset} ones. Leave subset "
            f"out, or read the file of the {subset} assembly."
        )
    public = public_textures()
    return np.flatnonzero([(t in public) == (subset == "public") for t in textures])


def _sha1(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha1").hexdigest()


def _digest(source: Path) -> dict[str, str]:
    digest = _sha1(source)
    return {"file": source.name, "sha1": digest, "known_as": KNOWN.get(digest, "not a known file")}
