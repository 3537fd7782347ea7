"""IT RDMs of 92 images: a stand-in of the published files, and the real ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat
from scipy.spatial.distance import squareform

from striate.core.errors import InputError
from striate.data import read_rdms_92images
from striate.data.responses.rdms_92images import FIGURE, SESSIONS


def write(root: Path, *, images: int = 92, pairs: int = 4186, change=None) -> None:
    """Write both files; `change` is given the first session's RDM."""
    rng = np.random.default_rng(0)
    groups = [
        {"name": name, "color": [0, 0, 1], "RDM": rng.random((1, pairs))}
        for name in ("mIT_674neurons", "hITvisStim_316vx")
    ]
    pictures = [{"image": np.full((2, 2, 3), i, np.uint8)} for i in range(images)]
    sessions = []
    for subject in ("BE", "KO"):
        for number in (1, 2):
            rdm = squareform(rng.random(4186)).astype(np.float32)
            sessions.append(
                {"RDM": rdm, "name": f"hIT | {subject} | Session: {number}", "color": [0, 0, 1]}
            )
    if change is not None:
        change(sessions[0]["RDM"])
    savemat(
        root / FIGURE,
        {
            "RDMs_mIT_hIT_fig1": records(groups),
            "stimuli_92objs": records(pictures),
            "categoryLabels": np.array([["animate", "face"]], dtype=object),
            "categoryVectors": (rng.random((92, 2)) < 0.5).astype(np.uint8),
        },
    )
    savemat(root / SESSIONS, {"RDMs": records(sessions).reshape(2, 2)})


def records(entries: list[dict]) -> np.ndarray:
    """A MATLAB struct array."""
    out = np.zeros(len(entries), dtype=[(name, object) for name in entries[0]])
    for i, entry in enumerate(entries):
        for name, value in entry.items():
            out[name][i] = value
    return out


def test_stand_in(tmp_path):
    write(tmp_path)
    rdms = read_rdms_92images(tmp_path)
    assert rdms.names[:3] == ("monkey_IT", "human_IT", "human_BE_1")
    assert rdms.values.shape == (6, 92, 92)
    assert rdms.starting("human_KO").shape == (2, 92, 92)
    assert rdms.stimuli.image(7)[0, 0, 0] == 7
    assert rdms.categories["face"].dtype == bool
    with pytest.raises(InputError, match=r"unknown RDM 'monkey'. Did you mean monkey_IT"):
        rdms["monkey"]
    with pytest.raises(InputError, match="unknown RDM 'ape'"):
        rdms.starting("ape")


def test_damaged_files(tmp_path):
    with pytest.raises(InputError, match=rf"{FIGURE} does not exist"):
        read_rdms_92images(tmp_path)
    write(tmp_path, images=91)
    with pytest.raises(InputError, match=r"expected 92 images .* found 91"):
        read_rdms_92images(tmp_path)
    write(tmp_path, pairs=4185)
    with pytest.raises(InputError, match=r"supplementalData\.mat does not hold what"):
        read_rdms_92images(tmp_path)
    write(tmp_path, pairs=6)
    with pytest.raises(InputError, match=r"monkey_IT has shape \(4, 4\)"):
        read_rdms_92images(tmp_path)
    write(tmp_path, change=lambda rdm: rdm.__setitem__((3, 4), 9))
    with pytest.raises(InputError, match="human_BE_1 is not symmetric: stimuli 3 and 4 are 9"):
        read_rdms_92images(tmp_path)
    for change, said in (
        (lambda rdm: rdm.__setitem__((3, 4), np.nan), "human_BE_1 is not finite"),
        (lambda rdm: rdm.__isub__((1 - np.eye(92, dtype=np.float32)) / 2), "has negative entries"),
        (lambda rdm: rdm.__imul__(np.tri(92)), "only the lower half"),
        (lambda rdm: np.subtract(1, rdm, out=rdm), "It seems to hold similarities"),
    ):
        write(tmp_path, change=change)
        with pytest.raises(InputError, match=said):
            read_rdms_92images(tmp_path)
    write(tmp_path)
    whole = (tmp_path / SESSIONS).read_bytes()
    (tmp_path / SESSIONS).write_bytes(whole[:3000])
    with pytest.raises(InputError, match=r"92_brainRDMs\.mat is damaged"):
        read_rdms_92images(tmp_path)
    savemat(tmp_path / SESSIONS, {"other": 1})
    with pytest.raises(InputError, match=r"92_brainRDMs\.mat does not hold"):
        read_rdms_92images(tmp_path)


def test_real(shared_data):
    rdms = read_rdms_92images(shared_data / "data" / "rdms_92images")
    assert len(rdms.names) == 10
    assert rdms.stimuli.image(0).shape == (175, 175, 3)
    assert rdms.categories["animate"].sum() == 48
    sessions = [n for n in rdms.names if n.startswith("human") and n != "human_IT"]
    mean = np.mean([rdms[n] for n in sessions], axis=0)
    np.testing.assert_allclose(mean, rdms["human_IT"], atol=1e-6)
