"""Seed textures, their synthesis, noise of the same spectrum, and how they are shown."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from striate.core.cache import Cache
from striate.core.errors import InputError
from striate.data.textures import make as texture_synthesis
from striate.data.textures.make import make_textures
from striate.data.textures.portilla_simoncelli import (
    Synthesis,
    require_plenoptic,
    scales,
    synthesize,
)
from striate.data.textures.seed_images import PACKAGED, find_seeds
from striate.data.textures.stimuli import (
    GRAY,
    TextureConfig,
    Textures,
    aperture,
    spectrally_matched_noise,
)

needs_plenoptic = pytest.mark.skipif(
    find_spec("plenoptic") is None, reason="plenoptic is not installed (extra: textures)"
)


def write_seeds(folder: Path, names: str = "ab", side: int = 48) -> Path:
    """Pictures of blurred bars, one a name, gray but for the first."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(1)
    for k, name in enumerate(names):
        gray = rng.integers(40, 215, (side, side)).astype(float)
        for _ in range(2 + k):
            gray = (gray + np.roll(gray, 1, axis=k % 2)) / 2
        rgb = np.repeat(gray[..., None], 3, axis=2).astype(np.uint8)
        if k == 0:
            rgb[..., 0] //= 2
        Image.fromarray(rgb).save(folder / f"{name}.png")
    return folder


@pytest.fixture
def seeds(tmp_path: Path) -> Path:
    return write_seeds(tmp_path / "seeds")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A stand-in for the synthesis that costs nothing; the list counts its calls."""
    calls: list[int] = []

    def fake(seed: np.ndarray, generator: np.random.Generator, *rest: Any) -> Synthesis:
        calls.append(1)
        pixels = np.roll(seed, generator.integers(0, len(seed), 2), axis=(0, 1))
        return Synthesis(pixels.astype(np.float32), 0.5, 0.01, 7, 0.1)

    class Nothing:
        def __init__(self, side: int, device: str = "cpu") -> None:
            self.device = "cpu"

        def __call__(self, image: Any) -> Any:
            return image

    monkeypatch.setattr(texture_synthesis, "synthesize", fake)
    monkeypatch.setattr(texture_synthesis, "Statistics", Nothing)
    monkeypatch.setattr(texture_synthesis, "require_plenoptic", lambda: None)
    return calls


SMALL = {"side": 32, "samples": 2, "n_families": 2}


def small(folder: Path, **more: Any) -> TextureConfig:
    return TextureConfig.from_dict({"seeds": str(folder), **SMALL, **more})


@pytest.mark.parametrize("shape", [(16, 16), (15, 15), (12, 17)])
def test_noise_has_exactly_the_power_spectrum(shape, rng):
    image = 3.0 + rng.standard_normal(shape) ** 3
    noise = spectrally_matched_noise(image, np.random.default_rng(5))
    spectra = [np.abs(np.fft.fft2(x)) for x in (image, noise)]
    np.testing.assert_allclose(spectra[0], spectra[1], rtol=1e-9, atol=1e-9)
    assert noise.mean() == pytest.approx(image.mean()) and noise.std() == pytest.approx(image.std())
    assert abs(np.corrcoef(image.ravel(), noise.ravel())[0, 1]) < 0.3


def test_noise_loses_what_the_spectrum_does_not_hold(rng):
    sparse = np.zeros((64, 64))
    sparse[rng.integers(0, 64, 20), rng.integers(0, 64, 20)] = 1
    noise = spectrally_matched_noise(sparse, rng)

    def kurtosis(x: np.ndarray) -> float:
        return float(np.mean((x - x.mean()) ** 4) / x.var() ** 2)

    assert kurtosis(sparse) > 50 and kurtosis(noise) == pytest.approx(3, abs=0.5)


def test_the_aperture_is_a_raised_cosine():
    window = aperture(113, 28.0, 4.0)
    assert window[56, 56] == 1 and window[0, 0] == 0 and window[56, 0] == pytest.approx(0, abs=1e-9)
    assert window[56, 84] == pytest.approx(0.5)  # 1 degree from the center


def test_seeds_of_a_folder(seeds):
    families, notes = find_seeds(32, seeds)
    assert [s.name for s in families] == ["a", "b"] and families[0].pixels.shape == (32, 32)
    assert [s.color for s in families] == [True, False] and "luma" in notes[0]
    assert find_seeds(32, seeds, most=1)[0][0].name == "a"
    assert [s.name for s in find_seeds(32, seeds, families=["b"])[0]] == ["b"]


def test_bad_seeds_are_named(seeds, tmp_path):
    with pytest.raises(InputError, match=r"a\.png has 48 x 48 pixels, smaller .* 64 x 64"):
        find_seeds(64, seeds)
    with pytest.raises(InputError, match=r"unknown texture family 'bb'"):
        find_seeds(32, seeds, families=["bb"])
    (seeds / "b2.png").write_bytes((seeds / "b.png").read_bytes())
    with pytest.raises(InputError, match=r"b2\.png is the same picture as family b"):
        find_seeds(32, seeds)
    (seeds / "b2.png").write_bytes(b"not an image")
    with pytest.raises(InputError, match=r"b2\.png is not an image"):
        find_seeds(32, seeds)
    Image.fromarray(np.full((48, 48), 9, np.uint8)).save(seeds / "b2.png")
    with pytest.raises(InputError, match=r"b2\.png has next to no contrast"):
        find_seeds(32, seeds)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no images in"):
        find_seeds(32, tmp_path / "empty")


def test_packaged_seeds_that_are_absent_are_named(monkeypatch):
    monkeypatch.setattr("striate.data.textures.seed_images.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"no seed textures .*striate\[textures\]"):
        find_seeds(32)


@pytest.mark.skipif(find_spec("skimage") is None, reason="scikit-image is not installed")
def test_packaged_seeds():
    families, notes = find_seeds(128)
    assert {"brick", "grass", "gravel"} <= {s.name for s in families} <= set(PACKAGED)
    assert len(families) == len(PACKAGED) or "not installed" in notes[0]


def test_textures_are_kept_and_the_same_for_a_seed(seeds, tmp_path, quick):
    cache = Cache(tmp_path / "c")
    said: list[str] = []
    made = make_textures(small(seeds), cache=cache, say=said.append)
    assert made.images.shape == (3, 2, 2, 32, 32) and len(quick) == 4
    assert "4 of 4 textures are to be synthesized" in said[0]
    repeated = make_textures(small(seeds), cache=cache)
    assert len(quick) == 4 and np.array_equal(made.images, repeated.images)
    assert made.key() == repeated.key()
    more = make_textures(small(seeds, samples=3), cache=cache)
    assert len(quick) == 6 and np.array_equal(more.images[:, :, :2], made.images)
    other = make_textures(small(seeds, seed=1), cache=cache)
    assert not np.array_equal(other.images, made.images)
    alone = make_textures(small(seeds, families=["b"]), cache=cache)  # its own numbers
    assert np.array_equal(alone.images[:, 0], made.images[:, 1])


def test_a_stopped_synthesis_goes_on(seeds, tmp_path, quick, monkeypatch):
    cache, original = Cache(tmp_path / "c"), texture_synthesis.synthesize

    def stop(*args: Any) -> Synthesis:
        if len(quick) == 3:
            raise KeyboardInterrupt
        return original(*args)

    monkeypatch.setattr(texture_synthesis, "synthesize", stop)
    with pytest.raises(KeyboardInterrupt):
        make_textures(small(seeds), cache=cache)
    monkeypatch.setattr(texture_synthesis, "synthesize", original)
    made = make_textures(small(seeds), cache=cache)
    assert len(quick) == 4 and len(made.synthesis) == 4


def test_all_types_have_the_same_contrast_and_noise_the_same_spectrum(seeds, quick):
    made = make_textures(small(seeds))
    np.testing.assert_allclose(made.images.std(axis=(-2, -1)), 0.2, rtol=1e-4)
    spectra = np.abs(np.fft.fft2(made.images.astype(float)))
    np.testing.assert_allclose(spectra[1], spectra[0], atol=1e-4 * spectra.max())
    np.testing.assert_allclose(spectra[2], spectra[0], atol=1e-4 * spectra.max())
    assert not np.allclose(made.images[1], made.images[2])


def test_what_a_reader_must_know_is_told(seeds, quick, monkeypatch):
    made = make_textures(small(seeds, n_families=15))
    assert any("2 of 15 texture families" in note for note in made.notes)
    assert "2 of 15 texture families (a, b) x 2 samples" in made.describe()
    assert made.poor() == [] and made.poor(0.01) == ["a", "b"]
    loud = make_textures(small(seeds, contrast=1.0))
    assert any("cut off at black or white" in note for note in loud.notes)


def test_images_are_centered_on_the_receptive_field():
    images = np.zeros((3, 1, 1, 32, 32), np.float32)
    images[0] = 0.5
    shown = Textures(images, ("a",), None, 4.0)  # type: ignore[arg-type]
    blocks = list(shown.blocks(40, 8.0, (10.0, 25.0), block=2))
    assert [b.shape for b in blocks] == [(2, 40, 40, 3), (1, 40, 40, 3)]
    first = blocks[0][0, :, :, 0].astype(int)
    assert (blocks[1] == GRAY).all() and (blocks[0][1] == GRAY).all()
    top = np.argwhere(first == first.max())
    np.testing.assert_allclose(top.mean(axis=0), (10, 25), atol=0.6)  # to the nearest pixel
    assert first.max() == pytest.approx(GRAY * 1.5, abs=1) and (first[:, 0] == GRAY).all()
    cropped = next(shown.blocks(9, 8.0))[0, :, :, 0]
    assert cropped.min() > GRAY


def test_scales_of_the_pyramid():
    assert [scales(s) for s in (32, 64, 128, 320)] == [2, 3, 4, 4]
    with pytest.raises(InputError, match="multiple of 4 and at least 28"):
        scales(30)


def test_without_plenoptic_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "plenoptic", None)
    with pytest.raises(InputError, match=r"pip install 'striate\[textures\]'"):
        require_plenoptic()


@needs_plenoptic
@pytest.mark.filterwarnings("default")  # those of plenoptic are its own
def test_synthesis_nears_the_statistics_and_repeats(seeds):
    seed = find_seeds(32, seeds)[0][0].pixels
    first, second = (synthesize(seed, np.random.default_rng(3), 30) for _ in range(2))
    assert np.array_equal(first.pixels, second.pixels)
    assert first.remaining < 0.2 and first.end < first.start and first.evaluations <= 31
    assert first.pixels.mean() == pytest.approx(seed.mean(), rel=0.05)
    assert first.pixels.std() == pytest.approx(seed.std(), rel=0.1)
    other = synthesize(seed, np.random.default_rng(4), 30)
    assert np.corrcoef(first.pixels.ravel(), other.pixels.ravel())[0, 1] < 0.5
    with pytest.raises(InputError, match="must be square and have contrast"):
        synthesize(np.zeros((32, 32)), np.random.default_rng(0))
