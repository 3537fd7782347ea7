"""Measured dissimilarity matrices (RDMs): monkey and human IT for 92 object images.

They are read here and not by `striate.data.read`, as they are no responses: only the dissimilarity
of each pair of images is distributed.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.distance import squareform

from striate.core.errors import InputError, unknown_name
from striate.data.images.stimuli import StimulusSet
from striate.data.responses.rdm_checks import check_rdms

SOURCE = "Kriegeskorte et al. 2008, Neuron 60; github rsagroup/rsatoolbox (demos), MIT"
FIGURE = "Kriegeskorte_Neuron2008_supplementalData.mat"
SESSIONS = "92_brainRDMs.mat"
N_IMAGES = 92
GROUPS = {"mIT": "monkey_IT", "hIT": "human_IT"}
# loadmat raises nearly anything on bytes that are no .mat file.
_DAMAGE = (OSError, ValueError, TypeError, KeyError, IndexError, NotImplementedError, zlib.error)


@dataclass(frozen=True)
class Rdms:
    """Dissimilarities of the same stimuli, measured several times.

    Attributes:
        names: unique name of each RDM.
        values: (n_rdms, n_stimuli, n_stimuli) float64, symmetric, 0 on the diagonal.
        stimuli: the images, in the order of rows and columns.
        categories: boolean (n_stimuli,) by name of the category; categories overlap.
        source: where the RDMs come from.
    """

    names: tuple[str, ...]
    values: np.ndarray
    stimuli: StimulusSet
    categories: Mapping[str, np.ndarray]
    source: str = ""

    def __post_init__(self) -> None:
        """Refuse values that are no stack of RDMs of these stimuli."""
        values = check_rdms(self.values, f"RDMs {', '.join(self.names)}")
        shape = (len(self.names), len(self.stimuli), len(self.stimuli))
        if values.shape != shape or len(set(self.names)) != len(self.names):
            raise InputError(
                f"RDMs of shape {values.shape} with names {', '.join(self.names)}: expected "
                f"{shape} and every name once."
            )

    def __getitem__(self, name: str) -> np.ndarray:
        """Return one RDM, (n_stimuli, n_stimuli)."""
        if name not in self.names:
            raise unknown_name("RDM", name, self.names)
        return np.asarray(self.values[self.names.index(name)])

    def starting(self, prefix: str) -> np.ndarray:
        """Return all RDMs whose names start with `prefix`, (n_rdms, n_stimuli, n_stimuli).

        Raises:
            InputError: there are none.
        """
        matching = [i for i, name in enumerate(self.names) if name.startswith(prefix)]
        if not matching:
            raise unknown_name("RDM", prefix, self.names)
        return np.asarray(self.values[matching])


def read_rdms_92images(path: str | Path) -> Rdms:
    """Read the IT RDMs of 92 object images (Kriegeskorte et al. 2008), with the images.

    The entries of all RDMs are 1 - Pearson r between response patterns.

    Args:
        path: the folder with `Kriegeskorte_Neuron2008_supplementalData.mat` and
            `92_brainRDMs.mat`.

    Returns:
        `monkey_IT` (674 neurons), `human_IT` (316 voxels; the mean of the following) and
        `human_SUBJECT_SESSION` for four subjects in two sessions each, such as `human_BE_1`.

    Raises:
        InputError: missing or damaged files, or matrices of another form.
    """
    path = Path(path).expanduser()
    figure, sessions = _load_mat(path / FIGURE), _load_mat(path / SESSIONS)
    rdms: dict[str, np.ndarray] = {}
    try:
        for entry in figure["RDMs_mIT_hIT_fig1"].ravel():
            label = str(entry["name"][0])
            rdms[GROUPS[label[:3]]] = squareform(np.ravel(entry["RDM"]).astype(np.float64))
        pictures = figure["stimuli_92objs"].ravel()
        images = [np.asarray(picture["image"], dtype=np.uint8) for picture in pictures]
        labels = [str(label[0]) for label in figure["categoryLabels"].ravel()]
        masks = np.asarray(figure["categoryVectors"]).astype(bool)
    except _DAMAGE as error:
        raise _build_form_error(path / FIGURE, error) from error
    try:
        for entry in sessions["RDMs"].ravel():
            _, subject, session = (part.strip() for part in str(entry["name"][0]).split("|"))
            number = session.removeprefix("Session:").strip()
            rdms[f"human_{subject}_{number}"] = np.asarray(entry["RDM"], dtype=np.float64)
    except _DAMAGE as error:
        raise _build_form_error(path / SESSIONS, error) from error
    rdms = {name: _check_rdm(path, name, rdm) for name, rdm in rdms.items()}
    if len(images) != N_IMAGES or masks.shape != (N_IMAGES, len(labels)):
        raise InputError(
            f"{path / FIGURE}: expected {N_IMAGES} images and as many rows of categories, found "
            f"{len(images)} images and categories of shape {masks.shape}."
        )
    return Rdms(
        tuple(rdms),
        np.stack(list(rdms.values())),
        StimulusSet([f"image{i + 1:02d}" for i in range(N_IMAGES)], images),
        {label: masks[:, i] for i, label in enumerate(labels)},
        SOURCE,
    )


def _load_mat(file: Path) -> dict[str, Any]:
    """Read a .mat file; InputError if it is missing or damaged."""
    from scipy.io import loadmat  # slow to import, and few need it

    if not file.is_file():
        raise InputError(f"{file} does not exist. Is it the folder of the 92 images?")
    try:
        return dict(loadmat(file))
    except _DAMAGE as error:
        raise InputError(f"{file} is damaged: {error}. Copy or download it again.") from error


def _build_form_error(file: Path, error: Exception) -> InputError:
    """Build the error for a file that does not hold what is distributed."""
    return InputError(f"{file} does not hold what is distributed ({error!r}). Copy it again.")


def _check_rdm(path: Path, name: str, rdm: np.ndarray) -> np.ndarray:
    """Return an RDM; InputError if it is no dissimilarity matrix of the 92 images."""
    if rdm.shape != (N_IMAGES, N_IMAGES):
        raise InputError(f"{path}: RDM {name} has shape {rdm.shape}, expected (92, 92).")
    if not np.isfinite(rdm).all():
        raise InputError(f"{path}: RDM {name} is not finite. Copy the files again.")
    return check_rdms(rdm, f"{path}: RDM {name}", negative=False)
