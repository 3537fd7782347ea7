"""Responses, targets and recordings: labels that fit, pairing by id."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from striate.core.errors import InputError
from striate.data import Dataset, Recording, Responses, StimulusSet
from tests.data.layouts import picture

IDS = ["a", "b", "c", "d"]


def build(values=None, ids=IDS, **labels):
    values = np.arange(len(ids) * 3, dtype=float).reshape(-1, 3) if values is None else values
    return Responses.build(values, ids, subject="s1", **labels)


def stimuli(ids):
    return StimulusSet(ids, [picture(ord(i[0])) for i in ids])


def test_labels():
    responses = build(
        session="day1",
        unit_ids=["x", "y", "z"],
        hemisphere=["lh", "rh", "rh"],
        rois={"V1v": np.array([1, 1, 0]), "hV4": np.array([0, 1, 1])},
        noise_ceiling=np.array([0.5, np.nan, 1]),
        attrs={"units": "spikes"},
    )
    assert responses.data.dims == ("stimulus", "unit")
    assert (responses.subject, responses.stimulus_ids, responses.unit_ids) == (
        "s1",
        IDS,
        ["x", "y", "z"],
    )
    assert (responses.rois, responses.hemispheres) == (["V1v", "hV4"], ["lh", "rh"])
    assert responses.data.coords["roi_V1v"].dtype == bool
    assert set(responses.data.coords["session"].values) == {"day1"}
    assert responses.data.attrs["units"] == "spikes"
    np.testing.assert_array_equal(responses.noise_ceiling, [0.5, np.nan, 1])
    assert not responses.simulated
    assert build(simulated=True).simulated


def test_a_memory_map_is_not_copied(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((4, 3)))
    values = np.load(tmp_path / "a.npy", mmap_mode="r")
    responses = build(values)
    assert np.shares_memory(responses.data.values, values)
    assert np.shares_memory(responses.mean(), values)


def test_trailing_blanks_of_roi_names_go():
    assert build(rois={"mTL-words  ": np.ones(3)}).rois == ["mTL-words"]


def test_more_or_fewer_rows_than_ids():
    for ids in (IDS[:3], [*IDS, "e"]):
        with pytest.raises(InputError, match=f"subject s1: 4 rows for {len(ids)} stimulus ids"):
            build(np.zeros((4, 3)), ids)


def test_duplicate_ids_are_named():
    with pytest.raises(InputError, match=r"1 stimulus ids occur .*: b \('b' in row 2 and row 3\)"):
        build(ids=["a", "b", "b", "b"])
    with pytest.raises(InputError, match=r"3 units .* found 3 \(2 unique\)"):
        build(unit_ids=["x", "x", "y"])
    with pytest.raises(InputError, match=r"3 units .* found 2 \(2 unique\)"):
        build(unit_ids=["x", "y"])


@pytest.mark.parametrize("shape", [(4,), (4, 3, 2, 1)])
def test_wrong_number_of_dims(shape):
    with pytest.raises(InputError, match="expected 2 or 3 dims"):
        build(np.zeros(shape))


@pytest.mark.parametrize("dtype", ["U3", "complex128", "M8[s]", "m8[s]", "object"])
def test_values_that_are_no_numbers(dtype):
    with pytest.raises(InputError, match="expected numbers, found dtype"):
        build(np.zeros((4, 3)).astype(dtype))


@pytest.mark.parametrize(
    ("labels", "named"),
    [
        ({"noise_ceiling": np.ones(2)}, "noise ceilings"),
        ({"rois": {"V1v ": np.ones(4)}}, "labels of ROI V1v"),
        ({"hemisphere": ["lh"]}, "hemispheres"),
    ],
)
def test_labels_of_another_length(labels, named):
    with pytest.raises(InputError, match=rf"subject s1: {named} have shape .* expected .*\(3,\)"):
        build(**labels)


def test_arrays_with_other_dims_or_without_labels_are_refused():
    with pytest.raises(InputError, match="expected dims"):
        Responses(xr.DataArray(np.zeros((2, 2)), dims=("unit", "stimulus")))
    with pytest.raises(InputError, match="lack the coordinates stimulus_id, unit_id"):
        Responses(xr.DataArray(np.zeros((2, 2)), dims=("stimulus", "unit")))


def test_mean_leaves_missing_trials_out():
    trials = np.array([[[1.0, 2.0], [3.0, np.nan]], [[np.nan, 5.0], [np.nan, 7.0]]])
    responses = build(trials, ["a", "b"])
    assert responses.data.dims == ("stimulus", "repeat", "unit")
    np.testing.assert_array_equal(responses.mean(), [[2.0, 2.0], [np.nan, 6.0]])
    counts = build(np.array([[[1], [2]]], dtype=np.int32), ["a"])
    np.testing.assert_array_equal(counts.mean(), [[1.5]])


ROIS = {
    "V1v": np.array([True, True, False]),
    "early": np.array([True, True, True]),  # overlaps
    "mTL-faces": np.zeros(3, dtype=bool),  # empty
}


def test_targets_overlap_and_leave_empty_rois_out():
    targets = build(rois=ROIS, hemisphere=["lh", "lh", "rh"]).targets()
    assert [t.name for t in targets] == ["s1_lh_V1v", "s1_lh_early", "s1_rh_early"]
    assert [t.units.tolist() for t in targets] == [[0, 1], [0, 1], [2]]


def test_targets_of_an_empty_roi_are_none():
    assert build(rois=ROIS).targets(["mTL-faces"]) == []
    assert build(rois=ROIS, hemisphere=["lh", "lh", "rh"]).targets(["V1v"], ["rh"]) == []


def test_without_rois_all_units_are_one_target():
    (target,) = build().targets()
    assert (target.name, target.units.tolist()) == ("s1_all", [0, 1, 2])


def test_a_target_name_can_be_a_folder():
    (target,) = build(rois={"V1 / dorsal": np.ones(3)}).targets()
    assert target.name.startswith("s1_V1---dorsal-")
    (other,) = build(rois={"V1 - dorsal": np.ones(3)}).targets()
    assert other.name != target.name


def test_a_ceiling_that_is_no_correlation_is_refused():
    with pytest.raises(InputError, match=r"ceiling of unit u00001: 50 .* percentages by 100"):
        build(noise_ceiling=np.array([0.5, 50.0, np.nan]))


def test_only_ids_are_needed_of_a_labeled_array():
    ids = {"stimulus_id": ("stimulus", ["a", "b"]), "unit_id": ("unit", ["u", "v", "w"])}
    got = Responses(xr.DataArray(np.zeros((2, 3)), dims=("stimulus", "unit"), coords=ids))
    assert np.isnan(got.noise_ceiling).all()
    assert [t.name for t in got.targets()] == ["all"]


def test_unknown_roi_and_hemisphere_offer_the_nearest():
    responses = build(rois=ROIS, hemisphere="lh")
    with pytest.raises(InputError, match=r"unknown ROI 'v1V_'\. Did you mean V1v.* Subject s1"):
        responses.targets(["v1V_"])
    with pytest.raises(InputError, match=r"unknown hemisphere 'rh'\. Did you mean lh"):
        responses.targets(hemispheres=["Right"])


def test_pairing_is_by_id_whatever_the_order():
    shuffled = ["c", "a", "d", "b"]
    recording = Recording.pair("s1", stimuli(shuffled), build())
    assert list(recording.stimuli.ids) == IDS == recording.responses.stimulus_ids
    for i, name in enumerate(IDS):
        np.testing.assert_array_equal(recording.stimuli.image(i), picture(ord(name)))


def test_another_order_is_refused_where_none_was_asked_for():
    with pytest.raises(InputError, match=r"another order. Use Recording\.pair"):
        Recording("s1", stimuli(IDS[::-1]), build())


def test_missing_and_extra_ids_are_named():
    for make in (Recording, Recording.pair):
        with pytest.raises(InputError) as error:
            make("s1", stimuli(["b", "c", "x"]), build())
        text = str(error.value)
        assert "4 rows of responses and 3 images" in text
        assert "2 without an image (a, d), 1 images without responses (x)" in text


def test_dataset_is_a_mapping():
    recording = Recording("s1", stimuli(IDS), build())
    data = Dataset("memory", {"s1": recording})
    assert (list(data), len(data), data["s1"]) == (["s1"], 1, recording)
    assert "s1" in data
    assert "s2" not in data
    assert data.hashes()["s1"].shape == (4,)
    assert not data.simulated
    assert Dataset("m", {"s1": Recording("s1", stimuli(IDS), build(simulated=True))}).simulated
    with pytest.raises(InputError, match=r"unknown subject 's2'\. Did you mean s1"):
        data["s2"]
