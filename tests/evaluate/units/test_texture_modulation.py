"""Texture modulation of units of which it is known whether they see more than the spectrum."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from striate.core.errors import InputError
from striate.data.textures.stimuli import Textures, spectrally_matched_noise
from striate.evaluate.units.texture_indices import mean_of
from striate.evaluate.units.texture_modulation import (
    compare_taps,
    mean_over_units,
    texture_modulation,
)
from striate.evaluate.units.texture_tuning import texture_responses, texture_tuning
from striate.models import Model, Preprocessing

SIDE = 48


@pytest.fixture(scope="module")
def textures() -> Textures:
    """Five families of sparse bars of some length and orientation, and their noise."""
    rng = np.random.default_rng(0)
    images = np.zeros((3, 5, 12, SIDE, SIDE), np.float32)
    for k in range(5):
        for i in range(12):
            image = np.zeros((SIDE, SIDE))
            for _ in range(25):
                y, x = rng.integers(0, SIDE, 2)
                for step in range(3 + k):
                    image[(y + step * (k % 2)) % SIDE, (x + step * (1 - k % 2)) % SIDE] = 1
            image = 0.15 * (image - image.mean()) / image.std()
            images[:, k, i] = [image, *(spectrally_matched_noise(image, rng) for _ in range(2))]
    return Textures(images, tuple("abcde"), pd.DataFrame(), 4.0)


class Units(nn.Module):
    """Averages over the image of functions of a filter's output, as maps of one position."""

    def __init__(self) -> None:
        super().__init__()
        weight = torch.tensor([[-1.0, 2.0, -1.0]]).repeat(3, 1)
        self.filter = nn.Conv2d(3, 1, 3, padding=1, bias=False)
        self.filter.weight.data = weight.view(1, 1, 3, 3).repeat(1, 3, 1, 1) / 3
        self.stage1, self.stage2, self.signed = nn.Identity(), nn.Identity(), nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = self.filter(x)
        mean = x.mean(dim=(1, 2, 3), keepdim=True)
        energy, fourth = ((y**p).mean(dim=(2, 3), keepdim=True) for p in (2, 4))
        silent = 0 * energy - 1
        first = self.stage1(torch.cat([mean + 1, energy], 1))
        second = self.stage2(torch.cat([fourth, energy + fourth, silent], 1))
        return self.signed(torch.cat([first, second, y[:, :, 20:21, 20:21]], 1))


@pytest.fixture(scope="module")
def model() -> Model:
    plain = Preprocessing(size=SIDE, scale=128.0, mean=(1.0,) * 3, std=(1.0,) * 3)
    return Model("units", Units(), plain, ["stage1", "stage2"])


@pytest.fixture(scope="module")
def result(model, textures):
    return texture_modulation(
        model, ["stage1", "stage2"], textures, pixels_per_degree=12.0, baseline="keep", samples=200
    )


def test_linear_and_energy_units_have_none_and_higher_orders_do(result):
    first = result.units[result.units["tap"] == "stage1"]["texture_modulation_index"].to_numpy()
    second = result.units[result.units["tap"] == "stage2"]["texture_modulation_index"].to_numpy()
    assert abs(first[0]) < 0.01  # linear in pixels: what the mean alone decides
    assert abs(first[1]) < 0.08  # energy: what the spectrum alone decides
    assert second[0] > 0.2
    assert (result.units["control_modulation_index"].dropna().abs() < 0.08).all()


def test_the_second_stage_exceeds_the_first_one(result):
    row = result.differences.iloc[0]
    assert (row["later"], row["earlier"]) == ("stage2", "stage1")
    assert row["difference"] == pytest.approx(result.taps["mean"][1] - result.taps["mean"][0])
    assert row["difference_families_low"] > 0 and row["larger_families"] == 5
    assert row["p_families"] == 2 / 2**5
    taps = result.taps.set_index("tap")
    assert (taps["mean_families_low"] <= taps["mean"]).all()
    assert (taps["mean_families_high"] >= taps["mean"]).all()
    assert abs(taps["control"]).max() < 0.05


def test_a_unit_that_never_responds_is_counted_and_left_out(result):
    taps = result.taps.set_index("tap")
    assert (taps["units"]["stage2"], taps["active"]["stage2"]) == (3, 2)
    silent = result.units[result.units["tap"] == "stage2"].iloc[2]
    assert (
        not silent["active"] and silent["reason"] == "no response above 0 to any texture or noise"
    )
    assert silent.drop(["tap", "unit", "active", "reason", "blank"]).isna().all()
    assert taps["negative_units"]["stage2"] == 1


def test_negative_responses_are_told_or_refused(model, textures):
    responses = texture_responses(model, "signed", textures, pixels_per_degree=12.0)
    assert responses.dims == ("type", "family", "sample", "unit")
    tuning = texture_tuning(responses)
    assert tuning.negative_units == 2 and 0.1 < tuning.negative_share < 0.5
    assert tuning.units["texture_modulation_index"].abs().max() <= 1
    with pytest.raises(InputError, match=r"tap 'signed'.*negative \(of 2 of 6 units; unit"):
        texture_tuning(responses, negative="refuse")


def test_the_response_to_gray_is_subtracted(model, textures):
    responses = texture_responses(model, "stage1", textures, pixels_per_degree=12.0)
    assert responses["blank"].to_numpy() == pytest.approx([1, 0])
    with_gray = texture_tuning(responses, baseline="keep").units["max_texture"]
    less = texture_tuning(responses).units["max_texture"]
    assert less[0] < 0.1 * with_gray[0] and less[1] > 0


def test_intervals_over_families_and_over_units_are_apart(rng):
    class Own:
        negative_share, negative_units = 0.0, 0

        def __init__(self, index: np.ndarray) -> None:
            self.index, self.control = index, 0 * index
            self.units = pd.DataFrame({"active": True, "texture_modulation_index": mean_of(index)})

    names = [str(i) for i in range(6)]
    families = np.repeat(rng.uniform(-0.5, 0.5, (1, 6)), 40, axis=0)  # all units alike
    units = np.repeat(rng.uniform(-0.5, 0.5, (40, 1)), 6, axis=1)  # all families alike
    row = compare_taps({"t": Own(families)}, names).taps.iloc[0]
    assert row["mean_units_high"] - row["mean_units_low"] < 1e-9
    assert row["mean_families_high"] - row["mean_families_low"] > 0.1
    row = compare_taps({"t": Own(units)}, names).taps.iloc[0]
    assert row["mean_families_high"] - row["mean_families_low"] < 1e-9
    assert row["mean_units_high"] - row["mean_units_low"] > 0.1
    alone = compare_taps({"t": Own(units[:1, :1])}, names[:1]).taps.iloc[0]
    assert np.isnan(alone["mean_families_low"]) and np.isnan(alone["mean_units_low"])
    with pytest.raises(InputError, match="at least one tap"):
        compare_taps({}, names)


def test_resampled_means_are_those_of_the_drawn_families():
    index = np.array([[0.0, 1.0, np.nan], [0.5, np.nan, np.nan]])
    counts = np.array([[1.0, 1.0, 1.0], [3.0, 0.0, 0.0], [0.0, 2.0, 1.0], [0.0, 0.0, 3.0]])
    np.testing.assert_allclose(mean_over_units(index, counts), [0.5, 0.25, 1.0, np.nan])


def test_bad_taps_are_named(model, textures):
    with pytest.raises(InputError, match=r"unknown tap 'stage3'\. Did you mean stage"):
        texture_modulation(model, ["stage3"], textures)
