"""Probing of units whose physiology is known: simple, complex and divisively normalized cells."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.core.errors import InputError
from striate.evaluate.units.gabor_fits import Gabor
from striate.evaluate.units.grating_tuning import (
    GratingSets,
    make_grating_sets,
    physiology,
    responses_to,
    tuning_table,
)
from striate.evaluate.units.gratings import Gratings, cycle, octaves, turns
from striate.evaluate.units.recording import window
from striate.evaluate.units.tuning_curves import HEIGHT, orientation_bandwidth
from striate.models import Model, Preprocessing

PPD = 28.0
ORIENTATIONS = np.array([0.0, 45.0, 105.0])
FREQUENCY, SIGMA = 0.1, 6.0
"""Of the cells: cycles per pixel and pixels; 2.8 cycles per degree."""
SIDE = 41


def bank(phase: float) -> Tensor:
    """Gabors at each orientation, response 1 to their own grating at contrast 1, (n, 3, k, k)."""
    filters = np.stack(
        [Gabor(0, 0, o, FREQUENCY, phase, SIGMA, SIGMA).draw(SIDE) for o in ORIENTATIONS]
    )
    filters -= filters.mean(axis=(1, 2), keepdims=True)
    filters /= (filters**2).sum(axis=(1, 2), keepdims=True) / np.abs(filters).max()
    return torch.from_numpy(filters).float()[:, None].repeat(1, 3, 1, 1) / 3


class Cells(nn.Module):
    """A simple, a complex and a silent set of units; stride 2 as in a real stage."""

    def __init__(self) -> None:
        super().__init__()
        self.even = nn.Conv2d(3, 3, SIDE, stride=2, padding=SIDE // 2, bias=False)
        self.odd = nn.Conv2d(3, 3, SIDE, stride=2, padding=SIDE // 2, bias=False)
        self.even.weight.data, self.odd.weight.data = bank(0.0), bank(90.0)
        self.out = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        even, odd = self.even(x), self.odd(x)
        energy = (even.square() + odd.square()).sqrt()
        silent = 0 * energy[:, :1] - 1
        steady = 0 * energy[:, :1] + 2
        return self.out(torch.cat([F.relu(even), energy, silent, steady], 1))


class Normalized(nn.Module):
    """Local contrast energy over a small Gaussian, divided by that over a large one."""

    center, surround, constant = 6.0, 24.0, 0.1

    def __init__(self) -> None:
        super().__init__()
        self.small, self.large = self.blur(self.center), self.blur(self.surround)

    @staticmethod
    def blur(sigma: float, side: int = 161) -> nn.Sequential:
        line = np.exp(-((np.arange(side) - side // 2) ** 2) / (2 * sigma**2))
        weight = torch.from_numpy(line / line.sum()).float()
        out = nn.Sequential()
        for name, shape in (("rows", (side, 1)), ("columns", (1, side))):
            padding = (shape[0] // 2, shape[1] // 2)
            conv = nn.Conv2d(1, 1, shape, padding=padding, bias=False)
            conv.weight.data = weight.view(1, 1, *shape)
            out.add_module(name, conv)
        return out

    def forward(self, x: Tensor) -> Tensor:
        energy = x.mean(1, keepdim=True).square()
        return self.small(energy) / (self.constant + self.large(energy))


def model(network: nn.Module, tap: str, size: int = 128) -> Model:
    plain = Preprocessing(size=size, scale=127.0, mean=(1.0,) * 3, std=(1.0,) * 3)
    return Model("cells", network, plain, [tap])


@pytest.fixture(scope="module")
def table():
    edge, p = 0.1, PPD
    shown = GratingSets(
        Gratings(turns(24), (2.0, 2.8, 4.0), cycle(16)),
        Gratings(turns(12), octaves(1.0, 8.0, 4), cycle(16)),
        Gratings(turns(12), (2.8,), cycle(8), (*octaves(8 / p, 112 / p, 2), np.inf), edge=edge),
        Gratings(turns(12), (2.8,), cycle(8), contrasts=(0.1, 0.2, 0.4, 0.8, 1.0)),
    )
    return physiology(model(Cells(), "out"), "out", shown)


def test_simple_and_complex_cells_prefer_what_they_were_built_for(table):
    cells = table.iloc[:6]
    assert cells["responds"].all() and (cells["reason"] == "").all()
    off = (cells["preferred_orientation"] - np.tile(ORIENTATIONS, 2) + 90) % 180 - 90
    assert np.abs(off).max() < 1.0
    # half an octave between them, smoothed
    assert np.abs(np.log2(cells["peak_frequency"] / (FREQUENCY * PPD))).max() < 0.1
    assert cells["orientation_selective"].all()
    assert (cells["orthogonal_preferred_ratio"] < 0.02).all()
    assert (cells["blank"] < 1e-3).all()


def test_properties_made_of_others(table):
    cells = table.iloc[:6]
    ratio = cells["circular_variance"] / cells["orientation_bandwidth"]
    np.testing.assert_allclose(cells["cv_bandwidth_ratio"], ratio)
    less = cells["orthogonal_preferred_ratio"] - cells["circular_variance"]
    np.testing.assert_allclose(cells["opr_cv_difference"], less)
    assert cells["frequency_selective"].all() and not table["frequency_selective"].iloc[6]
    octaves_wide = cells["frequency_bandwidth"].to_numpy()
    np.testing.assert_allclose(cells["frequency_bandwidth_ratio"], 100 / 2**octaves_wide)
    # Gaussian of sigma px in space: half width in frequency at 1/sqrt(2) is sqrt(ln 2)/(2 pi sigma)
    half = np.sqrt(np.log(2)) / (2 * np.pi * SIGMA)
    expected = np.log2((FREQUENCY + half) / (FREQUENCY - half))
    np.testing.assert_allclose(octaves_wide[3:], expected, atol=0.15)
    rates = cells["max_dc"] / cells["max_f0"]
    np.testing.assert_allclose(rates, rates[0], rtol=0.05)
    assert cells["max_dc"].median() == pytest.approx(33.8, rel=0.05)


def test_f1_over_f0_tells_simple_from_complex_cells(table):
    np.testing.assert_allclose(table["modulation_ratio"][:3], np.pi / 2, atol=0.04)
    assert (table["modulation_ratio"][3:6] < 0.05).all()
    assert (table["max_f0"][3:6] > 2.5 * table["max_f0"][:3].to_numpy()).all()


def test_bandwidths_are_those_of_the_gabor(table):
    """A Gabor's amplitude to a full-field grating is a Gaussian about (0, f0), in closed form."""
    spread = 1 / (2 * np.pi * SIGMA)
    angles = np.deg2rad(np.linspace(0, 90, 9001))
    gain = np.exp(-(FREQUENCY**2) * (1 - np.cos(angles)) / spread**2)
    half_width = np.rad2deg(angles[np.argmax(gain <= HEIGHT)])
    smoothed = np.sqrt(half_width**2 + np.log(2) * 0.44 * 7.5**2)
    np.testing.assert_allclose(table["orientation_bandwidth"][:6], smoothed, atol=1.0)
    reach = np.sqrt(np.log(2)) * spread
    octaves_wide = np.log2((FREQUENCY + reach) / (FREQUENCY - reach))
    np.testing.assert_allclose(table["frequency_bandwidth"][:6], octaves_wide, atol=0.1)
    off = np.deg2rad(np.array(turns(24)) - 90)
    gain = np.exp(-(FREQUENCY**2) * (1 - np.cos(off)) / spread**2)
    variance = 1 - np.abs(gain @ np.exp(2j * off)) / gain.sum()
    np.testing.assert_allclose(table["circular_variance"][:6], variance, atol=0.01)


def test_linear_cells_have_no_surround_and_respond_in_proportion_to_contrast(table):
    assert (table["suppression_index"][:6] < 0.03).all()
    # 95 % of a Gaussian's integral over a disc: d = 2 sigma sqrt(2 ln 20) = 29 pixels
    exact = 2 * SIGMA * np.sqrt(2 * np.log(20)) / PPD
    ratio = table["summation_field"][:6] / exact
    assert (np.abs(np.log2(ratio)) < 0.51).all()  # half-octave steps
    np.testing.assert_allclose(table["c50"][:6], 0.5, rtol=0.06)


def test_units_that_do_not_respond_say_why_and_are_nan(table):
    silent, steady = table.iloc[6], table.iloc[7]
    assert silent["reason"] == "no response above 0 to any grating"
    assert steady["reason"] == "no response above that to gray" and steady["blank"] == 2
    for row in (silent, steady):
        assert not row["responds"] and not row["orientation_selective"]
        assert np.isnan(row["circular_variance"]) and np.isnan(row["preferred_diameter"])


def test_a_divisively_normalized_cell_is_suppressed_as_its_formula_says():
    """Mean energy of a disc of diameter d under a Gaussian s: (1 - exp(-d^2 / 8 s^2)) / 2."""
    pixels = np.array([8, 12, 16, 20, 26, 34, 44, 58, 76, 100, 130.0])
    shown = Gratings(turns(4), (7.0,), cycle(4), tuple(pixels / PPD), edge=0.0)
    cell = Normalized()
    probe = model(nn.Sequential(cell), "0", 161)
    tuning = tuning_table(responses_to(probe, "0", shown), size=responses_to(probe, "0", shown))
    small, large = (
        0.5 * (1 - np.exp(-(pixels**2) / (8 * s**2))) for s in (cell.center, cell.surround)
    )
    curve = small / (cell.constant + large)
    assert tuning["suppression_index"][0] == pytest.approx(1 - curve[-1] / curve.max(), abs=0.02)
    best = pixels[curve.argmax()] / PPD
    assert tuning["preferred_diameter"][0] == pytest.approx(best, rel=0.35)  # a step up or down
    assert tuning["surround_diameter"][0] > tuning["preferred_diameter"][0]
    assert tuning["circular_variance"][0] == pytest.approx(1, abs=0.02)
    assert np.isnan(tuning["orientation_bandwidth"][0])


def test_small_images_give_the_same_responses_as_whole_ones():
    cells = model(Cells(), "out", 160)
    where = window(cells, "out")
    assert where.size < 90
    shown = Gratings(turns(3), (1.7,), cycle(4), (0.9, np.inf), (0.6,))
    small = responses_to(cells, "out", shown)
    whole = responses_to(cells, "out", shown, position=(40, 40))
    assert whole.attrs["image_size"] == 160 and small.attrs["image_size"] == where.size
    np.testing.assert_allclose(small, whole, atol=2e-3)  # pixels are rounded
    # units off the middle see gratings that are centered on them
    other = responses_to(cells, "out", shown, position=(33, 46))
    np.testing.assert_allclose(other, whole, atol=2e-3)


def test_responses_have_named_axes_and_leave_the_model_as_it_was():
    cells = model(Cells(), "out")
    cells.train()
    shown = Gratings(turns(4), (1.0, 2.0), cycle(4))
    got = responses_to(cells, "out", shown, block=7)
    assert cells.training
    assert got.dims == ("orientation", "spatial_frequency", "diameter", "contrast", "phase", "unit")
    assert got.shape == (*shown.shape, 8)
    assert got["orientation"].values.tolist() == [0, 45, 90, 135]
    np.testing.assert_array_equal(got, responses_to(cells, "out", shown, block=64))


def test_a_network_that_cannot_be_followed_is_shown_whole_images():
    class Odd(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x - x.mean(dim=(2, 3), keepdim=True)

    where = window(model(nn.Sequential(Odd()), "0", 32), "0")
    assert where.size == 32 and where.center == (15.5, 15.5)


def test_input_that_cannot_be_probed_is_refused():
    cells = model(Cells(), "out", 64)
    shown = Gratings(turns(4), (1.0,), cycle(4))
    with pytest.raises(InputError, match="outside the map"):
        responses_to(cells, "out", shown, position=(99, 0))
    with pytest.raises(InputError, match="not a map"):
        flat = model(nn.Sequential(nn.Flatten()), "0", 8)
        responses_to(flat, "0", shown)
    good = responses_to(cells, "out", shown)
    with pytest.raises(InputError, match="same tap"):
        tuning_table(good, size=good.isel(unit=slice(3)))
    with pytest.raises(InputError, match="phases"):
        tuning_table(good.isel(phase=slice(3)))
    cells.network.even.weight.data[1] = float("nan")
    with pytest.raises(InputError, match="unit 1 are not finite"):
        responses_to(cells, "out", shown)


def test_the_default_protocol_is_what_its_documentation_says():
    shown = make_grating_sets(contrast=True)
    assert shown.contrast is not None and make_grating_sets().contrast is None
    assert len(shown.orientation) + len(shown.frequency) + len(shown.size) == 6144
    assert len(shown.contrast) == 1680
    fine = make_grating_sets(56.0)
    assert fine.size.diameters[0] * 56 == pytest.approx(shown.size.diameters[0] * 28)


def test_linear_units_are_not_read_by_their_mean():
    """Before rectification around a high resting level, the mean over phases says nothing."""

    class Linear(Cells):
        def forward(self, x: Tensor) -> Tensor:
            return self.out(self.even(x) + 5)

    linear = model(Linear(), "out")
    shown = Gratings(turns(12), (2.0, 2.8), cycle(8))
    got = responses_to(linear, "out", shown)
    assert (tuning_table(got)["circular_variance"] > 0.9).all()


def test_bandwidth_without_smoothing_agrees_with_the_closed_form():
    cells = model(Cells(), "out")
    got = responses_to(cells, "out", Gratings(turns(24), (2.8,), cycle(8)))
    curve = got.mean("phase").squeeze(drop=True).transpose("unit", "orientation").to_numpy()[3:6]
    spread = 1 / (2 * np.pi * SIGMA)
    width = np.rad2deg(np.arccos(1 - np.log(np.sqrt(2)) * (spread / FREQUENCY) ** 2))
    np.testing.assert_allclose(
        orientation_bandwidth(curve, np.array(turns(24)), smooth=False), width, atol=0.5
    )
