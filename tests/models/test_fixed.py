"""The fixed baselines do what textbooks say of V1, and of what follows it."""

from __future__ import annotations

from math import pi
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from striate.core.compute import Compute
from striate.core.errors import InputError
from striate.encoding.features import extract
from striate.encoding.projection import ProjectionConfig
from striate.models import Model, load, random_twin, save
from striate.models.networks.gabor import GaborConfig, gabor_pairs

SIDE = 224
MIDDLE = 14
PHASES = np.linspace(0, 2 * pi, 16, endpoint=False)


def grating(
    orientation: float, wavelength: float, phase: float = 0.0, contrast: float = 0.5
) -> Tensor:
    """uint8 (1, H, W, 3): bars `orientation` degrees anticlockwise from horizontal."""
    theta = np.deg2rad(orientation)
    y, x = np.mgrid[:SIDE, :SIDE] - 8.0 * MIDDLE  # the position that is read lies in the middle
    wave = np.cos(2 * pi / wavelength * (x * np.sin(theta) + y * np.cos(theta)) + phase)
    gray = np.round(127.5 + 127.5 * contrast * wave).astype(np.uint8)
    return torch.from_numpy(np.repeat(gray[None, ..., None], 3, -1))


def middle(model: Model, tap: str, images: Tensor) -> np.ndarray:
    with torch.no_grad():
        out = model.activations(images, [tap])[tap]
    return out[..., out.shape[-2] // 2, out.shape[-1] // 2].numpy()


@pytest.fixture(scope="module")
def gabor() -> Model:
    return load("gabor_energy")


CHOSEN = [0, 3, 12, 20, 37, 47]
"""Channels of `complex`, over all wavelengths and several orientations."""


@pytest.mark.parametrize("channel", CHOSEN)
def test_complex_cells_do_not_care_for_phase_and_simple_cells_do(
    gabor: Model, channel: int
) -> None:
    cell = gabor.network.complex_cells[channel]
    images = torch.cat([grating(cell.orientation, cell.wavelength, p) for p in PHASES])
    energy = middle(gabor, "complex", images)[:, channel]
    assert np.ptp(energy) < 0.03 * energy.mean()
    assert energy.mean() == pytest.approx(0.5, rel=0.05)  # the contrast of the grating
    n = len(gabor.network.complex_cells)
    simple = middle(gabor, "simple", images)[:, channel::n]
    assert simple.shape[1] == 4
    # half-rectified cosines, a quarter of a period apart
    for quarter, response in enumerate(simple.T):
        expected = np.maximum(0, 0.5 * np.cos(PHASES + quarter * pi / 2))
        np.testing.assert_allclose(response, expected, atol=0.03)
        modulation = 2 * abs(np.fft.rfft(response)[1]) / np.fft.rfft(response)[0].real
        assert modulation > 1.4  # F1/F0, pi/2 for a half-rectified cosine
        named = gabor.network.simple_cells[channel + quarter * n]
        assert (named.orientation, named.wavelength) == (cell.orientation, cell.wavelength)
        assert named.phase == 90.0 * quarter


@pytest.mark.parametrize("channel", CHOSEN)
def test_tuning_peaks_where_it_is_said_to(gabor: Model, channel: int) -> None:
    cell = gabor.network.complex_cells[channel]
    turns = np.arange(0, 180, 7.5)
    images = torch.cat([grating(cell.orientation + t, cell.wavelength) for t in turns])
    responses = middle(gabor, "complex", images)[:, channel]
    assert responses.argmax() == 0
    assert responses[12] < 0.05 * responses[0]  # at 90 degrees
    octaves = np.arange(-2, 2.01, 0.25)
    octaves = octaves[cell.wavelength * 2.0**-octaves > 2.2]
    images = torch.cat([grating(cell.orientation, cell.wavelength * 2.0**-o) for o in octaves])
    responses = middle(gabor, "complex", images)[:, channel]
    assert abs(octaves[responses.argmax()]) <= 0.25
    above = octaves[responses > responses.max() / 2]
    if octaves[-1] > 1:
        assert np.ptp(above) + 0.25 == pytest.approx(1.4, abs=0.3)  # the bandwidth asked for


def test_orientation_is_anticlockwise_from_horizontal(gabor: Model) -> None:
    slash = torch.zeros(1, SIDE, SIDE, 3, dtype=torch.uint8)
    for i in range(-1, 2):  # a bright line that rises to the right
        columns = torch.arange(2, SIDE - 2)
        slash[0, SIDE - columns + i, columns] = 255
    responses = middle(gabor, "complex", slash)[0]
    best = gabor.network.complex_cells[int(responses.argmax())]
    assert best.orientation == 45


def test_normalized_responses_saturate_with_contrast_and_mask_each_other(gabor: Model) -> None:
    def response(contrast: float, mask: float = 0.0) -> float:
        plaid = grating(0, 8, 0, contrast).float() + grating(90, 8, 0, mask).float() - 127.5
        return float(middle(gabor, "normalized", plaid.round().to(torch.uint8))[0, channel])

    channel = next(
        i
        for i, c in enumerate(gabor.network.complex_cells)
        if (c.orientation, c.wavelength) == (0, 8)
    )
    low, middling, high = response(0.05), response(0.25), response(0.5)
    assert low < middling < high
    assert middling / low > 3 * high / middling  # saturation
    assert response(0.25, mask=0.5) < 0.6 * middling  # cross-orientation suppression


def test_gray_screen_gives_nothing(gabor: Model) -> None:
    gray = torch.full((1, SIDE, SIDE, 3), 128, dtype=torch.uint8)
    for model in (gabor, load("scattering_v2")):
        with torch.no_grad():
            for out in model.activations(gray, model.taps).values():
                assert out.abs().max() < 1 / 255  # 128 is not quite the middle of 0..255


def test_filters_follow_the_options() -> None:
    options = {"orientations": 3, "wavelengths": [6.0], "stride": 2}
    model = load("gabor_energy", options=options, image_size=64)
    assert model.tap_shapes() == {
        "simple": (12, 16, 16),
        "complex": (3, 16, 16),
        "normalized": (3, 16, 16),
    }
    assert [c.orientation for c in model.network.complex_cells] == [0, 60, 120]
    for wavelength in GaborConfig().wavelengths:
        pairs = gabor_pairs(wavelength, 8)
        assert pairs.sum((2, 3)).abs().max() < 1e-4  # no response to the mean
        assert pairs.shape[-1] % 2 == 1


# --- scattering --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def scattering() -> Model:
    return load("scattering_v2")


@pytest.mark.parametrize("scale", range(4))
@pytest.mark.parametrize("orientation", [0, 45, 90, 135])
def test_first_layer_is_tuned_as_said(scattering: Model, scale: int, orientation: int) -> None:
    images = torch.cat([grating(orientation, 4.0 * 2**scale, p) for p in PHASES[:6]])
    responses = middle(scattering, "layer1", images)
    assert (responses.argmax(1) == 4 * scale + orientation // 45).all()
    best = responses.max(1)
    assert np.ptp(best) < 0.03 * best.mean()


def second_channel(second_scale: int, first: int, orientation: int) -> int:
    """Place of one map of the second layer; `first` is a channel of the first layer."""
    before = sum(16 * (k + 1) for k in range(1, second_scale))
    return before + 4 * first + orientation // 45


def test_second_layer_sees_the_envelope_of_a_texture(scattering: Model) -> None:
    """A fine vertical grating whose contrast varies: the second layer tells how, in what phase not.

    The first layer's mean energy is the same whichever way the contrast varies.
    """
    y, x = np.mgrid[:SIDE, :SIDE] - SIDE / 2
    carrier = np.cos(2 * pi / 4 * x)
    first = 2  # scale 0, vertical bars

    def responses(wave: np.ndarray) -> np.ndarray:
        gray = np.round(127.5 + 100 * carrier * (1 + wave) / 2).astype(np.uint8)
        image = torch.from_numpy(np.repeat(gray[None, ..., None], 3, -1))
        return middle(scattering, "layer2", image)[0]

    for orientation, along in ((0, y), (90, x)):
        waves = [np.cos(2 * pi / 32 * along + p) for p in PHASES[:4]]
        energies = np.stack([responses(w) for w in waves])
        of_first = [second_channel(3, first, o) for o in (0, 45, 90, 135)]
        assert energies[:, of_first].mean(0).argmax() == orientation // 45
        best = energies[:, second_channel(3, first, orientation)]
        assert np.ptp(best) < 0.1 * best.mean()
        scales = [energies[:, second_channel(k, first, orientation)].mean() for k in range(1, 5)]
        assert int(np.argmax(scales)) + 1 == 3  # 32 pixels
    flat = responses(np.ones_like(y))
    assert flat[of_first].max() < 0.05 * best.mean()


def test_number_of_second_layer_maps(scattering: Model) -> None:
    assert scattering.tap_shapes() == {"layer1": (20, 28, 28), "layer2": (224, 14, 14)}
    assert second_channel(4, 19, 135) == 223


# --- as models ---------------------------------------------------------------------------------


@pytest.mark.parametrize("id", ["gabor_energy", "scattering_v2"])
def test_fixed_networks_are_models_like_any_other(id: str, tmp_path: Path) -> None:
    model = load(id, image_size=96)
    assert sum(p.numel() for p in model.parameters()) == 0
    assert model.device == torch.device("cpu")
    second = load(id, image_size=96, seed=7)
    assert model.fingerprint() == second.fingerprint()
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (6, 96, 96, 3), dtype=np.uint8)
    with torch.no_grad():
        output, second_output = (m(torch.from_numpy(images)) for m in (model, second))
    assert torch.equal(output, second_output)
    back = load(save(model, tmp_path / "m"))
    assert back.fingerprint() == model.fingerprint()
    features = extract(
        model,
        images,
        [f"{i}" for i in range(6)],
        projection=ProjectionConfig(kind="none", grid=2),
        compute=Compute(progress=False),
    )
    for tap, shape in model.tap_shapes().items():
        assert features[tap].shape == (6, 4 * shape[0])
        assert np.isfinite(features[tap]).all() and features[tap].std() > 0


@pytest.mark.parametrize("id", ["gabor_energy", "scattering_v2"])
def test_fixed_networks_have_no_weights_to_give_or_to_randomize(id: str, tmp_path: Path) -> None:
    for call in (
        lambda: load(f"{id}@random"),
        lambda: load(id, weights=tmp_path / "w.pt"),
        lambda: random_twin(load(id)),
    ):
        with pytest.raises(InputError, match=f"{id} has fixed filters and no weights"):
            call()


def test_gradients_are_finite_on_a_flat_image(gabor: Model) -> None:
    x = torch.zeros(1, 3, 64, 64, requires_grad=True)
    gabor.network(x).sum().backward()
    assert torch.isfinite(x.grad).all()
