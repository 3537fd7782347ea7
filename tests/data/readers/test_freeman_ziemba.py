"""V1 and V2 recordings of textures: stand-ins in the published containers, of the exact shape."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
import xarray as xr
from scipy.io import savemat

from striate.core.errors import InputError
from striate.data import diagnose, read
from striate.data.readers.freeman_ziemba import public_textures, subset_name
from striate.data.readers.freeman_ziemba_files import FAMILIES, Texture, all_textures
from tests.data.layouts import write_freeman_ziemba

ORDER = [t.name for t in all_textures()]


@pytest.mark.parametrize("container", ["mat73", "mat5", "netcdf"])
def test_containers_agree_with_what_was_written(tmp_path, container):
    means = write_freeman_ziemba(tmp_path, container)
    data = read("freeman_ziemba", tmp_path)
    assert data.simulated
    assert data.facts["subset"] == "all"
    assert data.facts["known_as"] == "not a known file"
    recording = data["macaques"]
    assert recording.responses.data.dims == ("stimulus", "repeat", "unit")
    rows = [ORDER.index(name) for name in recording.responses.stimulus_ids]
    assert sorted(rows) == list(range(450))
    np.testing.assert_allclose(recording.responses.data.values, means[rows], atol=1e-12)
    assert recording.responses.rois == ["V1", "V2"]
    assert recording.responses.data.coords["roi_V2"].values.tolist() == [False] * 2 + [True] * 3
    for i in (0, 224, 449):  # each with its own image
        expected = np.random.default_rng([0, rows[i]]).integers(0, 256, (8, 8), dtype=np.uint8)
        np.testing.assert_array_equal(recording.stimuli.image(i)[..., 0], expected)


def test_exact_shape(tmp_path):
    """102 + 103 cells, 15 families x 2 types x 15 samples, 20 repetitions, 300 bins; SIMULATED."""
    means = write_freeman_ziemba(tmp_path, cells=(102, 103), repetitions=20)
    with h5py.File(tmp_path / "FreemanZiemba2013_V1V2data.mat") as file:
        assert file["v1"].shape == (102, 300, 20, 15, 2, 15)
        assert file["v2"].shape == (103, 300, 20, 15, 2, 15)
    responses = read("freeman_ziemba", tmp_path)["macaques"].responses
    assert responses.simulated
    assert responses.data.shape == (450, 20, 205)
    np.testing.assert_allclose(responses.data.values, means, atol=1e-12)
    assert {r: int(responses.data.coords[f"roi_{r}"].sum()) for r in responses.rois} == {
        "V1": 102,
        "V2": 103,
    }


def test_subsets_and_regions(tmp_path):
    write_freeman_ziemba(tmp_path)
    parts = {
        name: read("freeman_ziemba", tmp_path, subset=name, rois="V2", repeats=False)
        for name in ("public", "private")
    }
    assert [len(p["macaques"].stimuli) for p in parts.values()] == [135, 315]
    assert [p.facts["subset"] for p in parts.values()] == ["public", "private"]
    ids = [set(p["macaques"].stimuli.ids) for p in parts.values()]
    assert not ids[0] & ids[1]
    assert parts["public"]["macaques"].responses.data.shape == (135, 3)
    assert parts["public"]["macaques"].responses.rois == ["V2"]
    types = [t.type for t in public_textures()]
    assert sorted(map(types.count, set(types))) == [67, 68]
    other = sorted(all_textures(), key=lambda t: t.sample)[:135]
    assert subset_name(other).startswith("public by its number of stimuli, though not")
    assert subset_name(other[:9]) == "none of Brain-Score's (9 stimuli)"


def test_what_a_stimulus_is(tmp_path):
    assert len(set(FAMILIES)) == 15
    for texture in (Texture("texture", 13, 8), Texture("noise", 327, 15)):
        assert Texture.of(texture.name) == texture
    assert Texture.of("im13-smp8-320x320-texture") == Texture("texture", 13, 8)
    assert Texture.of("latex-im1x-smp2") is None
    # in the assembly itself, in a table, or in the names of images found by their SHA-1
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    write_freeman_ziemba(tmp_path / "a", "netcdf", fields=True)
    write_freeman_ziemba(tmp_path / "b", "netcdf")
    (tmp_path / "b" / "stimulus_set.csv").unlink()
    ids = [read("freeman_ziemba", tmp_path / x)["macaques"].stimuli.ids for x in "ab"]
    assert ids[0] == ids[1]


def test_bad_folders(tmp_path):
    with pytest.raises(InputError, match=r"no file of recordings: expected FreemanZiemba2013_V1V2"):
        read("freeman_ziemba", tmp_path)
    write_freeman_ziemba(tmp_path, cells=(1, 1))
    with pytest.raises(InputError, match="unknown ROI 'V3'"):
        read("freeman_ziemba", tmp_path, rois=["V3"])
    with pytest.raises(InputError, match=r"unknown subset 'publik'\. Did you mean public"):
        read("freeman_ziemba", tmp_path, subset="publik")
    with pytest.raises(InputError, match="300 bins of 1 ms do not hold the window 250 to 400"):
        read("freeman_ziemba", tmp_path, window=(250, 400))
    (tmp_path / "stim" / "noise-320x320-im13-smp8.png").unlink()
    (tmp_path / "stim" / "tex-320x320-im99-smp1.png").unlink()
    with pytest.raises(
        InputError, match=r"2 of 450 .* have no image \(noise-320x320-im13-smp8, tex-320x320-im99"
    ):
        read("freeman_ziemba", tmp_path)
    (tmp_path / "other.nc").write_bytes(b"CDF and no more")
    with pytest.raises(InputError, match=r"several files of recordings: Freeman.*, other\.nc"):
        read("freeman_ziemba", tmp_path)
    with pytest.raises(InputError, match=r"other\.nc cannot be read as netCDF"):
        read("freeman_ziemba", tmp_path, file="other.nc")


def test_bad_mat_files(tmp_path):
    file = tmp_path / "data.mat"
    file.write_bytes(b"nothing of use" * 100)
    with pytest.raises(InputError, match=r"data\.mat cannot be read"):
        read("freeman_ziemba", tmp_path)
    savemat(file, {"resp": np.zeros((15, 15, 2, 2, 300, 3))})
    with pytest.raises(InputError, match=r"expected arrays v1 .* found resp \(15, 15, 2, 2, 300"):
        read("freeman_ziemba", tmp_path)
    savemat(file, {"v1": np.zeros((15, 2, 15, 2, 200, 3), np.uint8)})
    with pytest.raises(InputError, match=r"no cells of V2; found V1"):
        read("freeman_ziemba", tmp_path, rois=["V2"])


def test_bad_assemblies(tmp_path):
    write_freeman_ziemba(tmp_path, "netcdf", cells=(1, 1), bins=220)
    file = tmp_path / "assembly.nc"
    whole = file.read_bytes()

    def change(act, message):
        file.write_bytes(whole)
        with h5py.File(file, "a") as archive:
            act(archive)
        with pytest.raises(InputError, match=message):
            read("freeman_ziemba", tmp_path)

    change(lambda f: f.__delitem__("region"), "no coordinate region on neuroid; found neuroid_id")
    change(lambda f: f["repetition"].__setitem__(0, 1), "a stimulus has one repetition twice")
    change(lambda f: f["time_bin_start"].write_direct(np.arange(100, 320)), "holds 100 time bins")
    change(lambda f: f.__delitem__("responses"), "expected one array of dims presentation")
    file.write_bytes(whole)
    with xr.open_dataset(file, engine="h5netcdf") as data:
        part = data.isel(presentation=np.arange(1800) % 450 < 300).load()
    part.to_netcdf(file, engine="h5netcdf")
    with pytest.raises(InputError, match="holds 300 stimuli, none of Brain-Score's"):
        read("freeman_ziemba", tmp_path, subset="public")
    (tmp_path / "stimulus_set.csv").write_bytes(b"")
    with pytest.raises(InputError, match=r"stimulus_set\.csv is no table of stimuli that can be"):
        read("freeman_ziemba", tmp_path)
    (tmp_path / "stimulus_set.csv").unlink()
    for image in (tmp_path / "stim").iterdir():
        image.rename(image.with_name("x" + image.name.replace("smp", "s")))
    with pytest.raises(InputError, match="300 stimuli are not known to be of a texture family"):
        read("freeman_ziemba", tmp_path)


def test_doctor(tmp_path):
    write_freeman_ziemba(tmp_path, cells=(1, 1))
    diagnosis = diagnose(tmp_path)
    assert diagnosis.dataset == "freeman_ziemba" and diagnosis.ok
    told = " ".join(f.found for f in diagnosis.findings)
    assert "1 of V1, 1 of V2, 450 stimuli (subset: all), 4 repetitions" in told
    assert "SIMULATED" in told
    (tmp_path / "stim" / "noise-320x320-im13-smp8.png").write_bytes(b"no image")
    (tmp_path / "stim" / "noise-320x320-im13-smp9.png").unlink()
    diagnosis = diagnose(tmp_path)
    assert not diagnosis.ok
    told = " ".join(f.found for f in diagnosis.findings)
    assert "im13-smp8.png is not an image" in told and "im13-smp9" in told
