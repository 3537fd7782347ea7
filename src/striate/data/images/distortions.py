"""The parametric distortions of Geirhos et al.: graded tests of generalization, made by us.

Geirhos et al. 2018 (arXiv 1808.08750, section 2 and their published image code) and 2021 (arXiv
2106.07411) showed 224 x 224 px photographs under twelve graded distortions to humans and networks.
The functions here follow those descriptions; what is ours is said where it is. Every strength that
is a length is given in pixels of 224 and scaled with the image, so that it is the same share of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from striate.core.draws import generator_at
from striate.core.errors import InputError, unknown_name
from striate.data.behavior.conditions import EXCLUDED
from striate.data.images.eidolons import GRAIN, disarray

SIDE = 224
"""Side of the images that the published strengths are for, in pixels."""
LUMINANCE = (0.2126, 0.7152, 0.0722)
"""Weights of R, G and B in the luminance of ITU-R BT.709: what gray is made with, as there."""
GRAY = 0.4423
"""What lies beyond the edge of a filtered image: the mean of the experiments' images, as there."""
NOISE_CONTRAST = 0.3
"""Contrast to which images are brought before uniform noise is added, as there."""
KIND = 11
"""Kind of draws (see `core.draws`)."""
VERSION = 1
"""Raised when pixels change, so that older copies in a cache are made again."""

SEVERITIES: dict[str, tuple[str, ...]] = {
    "contrast": ("c100", "c50", "c30", "c15", "c10", "c05", "c03", "c01"),
    "high-pass": ("inf", "3", "1.5", "1", "0.7", "0.55", "0.45", "0.4"),
    "low-pass": ("0", "1", "3", "5", "7", "10", "15", "40"),
    "phase-scrambling": ("0", "30", "60", "90", "120", "150", "180"),
    "power-equalisation": ("0", "pow"),
    "uniform-noise": ("0", "0.03", "0.05", "0.1", "0.2", "0.35", "0.6", "0.9"),
    "rotation": ("0", "90", "180", "270"),
    "false-colour": ("true", "false"),
    "eidolonI": tuple(f"{2**k}-10-10" for k in range(8)),
    "eidolonII": tuple(f"{2**k}-3-10" for k in range(8)),
    "eidolonIII": tuple(f"{2**k}-0-10" for k in range(8)),
}
"""Conditions of each experiment in the spelling of its trials, the mildest first; `UNITS` says of
what."""
UNITS: dict[str, str] = {
    "contrast": "contrast (%)",
    "high-pass": "SD of the filter (px)",
    "low-pass": "SD of the filter (px)",
    "phase-scrambling": "largest phase shift (degrees)",
    "power-equalisation": "power spectrum",
    "uniform-noise": "half width (share of range)",
    "rotation": "rotation (degrees)",
    "false-colour": "colors true or false",
    "eidolonI": "reach (px) - 10 coherence - grain (px)",
    "eidolonII": "reach (px) - 10 coherence - grain (px)",
    "eidolonIII": "reach (px) - 10 coherence - grain (px)",
}
"""What the conditions of each experiment count."""


@dataclass(frozen=True)
class Condition:
    """One distortion at one severity.

    Attributes:
        experiment: key of `SEVERITIES`.
        severity: one of its conditions.
        level: place in the order of severity, from 0.
        excluded: whether the benchmark leaves it out of its means (see `data.behavior.conditions`).
    """

    experiment: str
    severity: str
    level: int
    excluded: bool


def conditions(experiments: Sequence[str] | None = None) -> list[Condition]:
    """List all conditions of some experiments, of all by default.

    Raises:
        InputError: an unknown experiment, the nearest offered.

    >>> [c.severity for c in conditions(["rotation"])]
    ['0', '90', '180', '270']
    """
    out = []
    for name in SEVERITIES if experiments is None else experiments:
        if name not in SEVERITIES:
            raise unknown_name("distortion", name, SEVERITIES)
        for level, severity in enumerate(SEVERITIES[name]):
            out.append(Condition(name, severity, level, severity in EXCLUDED[name]))
    return out


def distort(
    images: np.ndarray,
    condition: Condition,
    *,
    seed: int = 0,
    amplitude: np.ndarray | None = None,
    first: int = 0,
) -> np.ndarray:
    """Distort images; all but `false-colour` give gray ones, as in the experiments.

    Args:
        images: uint8 (N, H, W, 3).
        condition: which distortion, how much.
        seed: of what is random (phases, noise, eidolons); each image has draws of its own.
        amplitude: (H, W), `mean_amplitude` of all images of the experiment; None: of these.
        first: number of `images[0]` among all images; draws go by this number.

    Returns:
        uint8 (N, H, W, 3).

    Raises:
        InputError: images of another dtype or shape, or a condition that is not known.
    """
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] != 3 or not len(images):
        raise InputError(
            f"images to distort must be uint8 (N, H, W, 3), found {images.dtype} {images.shape}."
        )
    name, severity = condition.experiment, condition.severity
    if severity not in SEVERITIES.get(name, ()):
        raise unknown_name(f"condition of {name}", severity, SEVERITIES.get(name, ()))
    if name == "false-colour":
        return images.copy() if severity == "true" else false_color(images)
    x, scale = gray(images), images.shape[2] / SIDE
    kinds = list(SEVERITIES)

    def draws() -> list[np.random.Generator]:
        # one stream an experiment, so that severities of one image share their draws
        numbers = range(first, first + len(images))
        return [generator_at(seed, n, KIND, kinds.index(name)) for n in numbers]

    if name == "contrast":
        x = contrast(x, int(severity[1:]) / 100)
    elif name == "high-pass":
        x = x if severity == "inf" else high_pass(x, float(severity) * scale)
    elif name == "low-pass":
        x = low_pass(x, float(severity) * scale)
    elif name == "phase-scrambling":
        x = phase_noise(x, float(severity), draws())
    elif name == "power-equalisation":
        if severity == "pow":
            x = equalize_power(x, mean_amplitude(images) if amplitude is None else amplitude)
    elif name == "uniform-noise":
        x = uniform_noise(contrast(x, NOISE_CONTRAST), float(severity), draws())
    elif name == "rotation":
        x = np.rot90(x, int(severity) // 90, axes=(1, 2))
    else:
        reach, tenths, _ = (int(part) for part in severity.split("-"))
        x = disarray(x, reach * scale, tenths / 10, GRAIN * scale, draws())
    return np.repeat(to_bytes(x)[..., None], 3, axis=-1)


def to_bytes(x: np.ndarray) -> np.ndarray:
    """Clip values to 0..1 and bring them to uint8."""
    return np.rint(x.clip(0, 1) * 255).astype(np.uint8)


def gray(images: np.ndarray) -> np.ndarray:
    """Luminance of uint8 (N, H, W, 3) as float64 (N, H, W) from 0 to 1, of the values as stored."""
    return np.asarray(images @ np.array(LUMINANCE) / 255)


def contrast(x: np.ndarray, level: float) -> np.ndarray:
    """Shrink values 0..1 towards mid gray: `(1 - level) / 2 + level x`."""
    return (1 - level) / 2 + level * x


def low_pass(x: np.ndarray, sigma: float) -> np.ndarray:
    """Blur (N, H, W) with a Gaussian of standard deviation `sigma` px; gray beyond the edges.

    By the Gaussian's transfer function exp(-2 (pi sigma f)^2), which holds for standard deviations
    below a pixel too, where a sampled kernel is none (ours; strengths scaled to small images).
    """
    if sigma == 0:
        return x
    height, width = x.shape[1:]
    border = int(np.ceil(4 * sigma)) + 1
    padded = np.pad(x - GRAY, ((0, 0), (border, border), (border, border)))
    rows = np.fft.fftfreq(padded.shape[1])[:, None]
    columns = np.fft.rfftfreq(padded.shape[2])
    transfer = np.exp(-2 * (np.pi * sigma) ** 2 * (rows**2 + columns**2))
    out = np.fft.irfft2(np.fft.rfft2(padded) * transfer, s=padded.shape[1:])
    return np.asarray(out[:, border : border + height, border : border + width] + GRAY)


def high_pass(x: np.ndarray, sigma: float) -> np.ndarray:
    """Take `low_pass` away from (N, H, W) and bring the mean to `GRAY`."""
    rest = x - low_pass(x, sigma)
    return rest - rest.mean(axis=(1, 2), keepdims=True) + GRAY


def phase_noise(x: np.ndarray, width: float, draws: Sequence[np.random.Generator]) -> np.ndarray:
    """Shift the phase of every frequency of (N, H, W) by up to +-`width` degrees, evenly drawn.

    A frequency and its negative get opposite shifts, so the result is real; the mean and the
    frequencies that are their own negatives stay.
    """
    if width == 0:
        return x
    height, columns = x.shape[1:]
    place = np.arange(height * columns).reshape(height, columns)
    partner = np.roll(place[::-1, ::-1], 1, axis=(0, 1))
    sign = np.sign(partner - place)  # 0 where a frequency is its own negative
    shifts = np.stack([d.uniform(-1, 1, (height, columns)) for d in draws])
    both = np.where(sign > 0, shifts, np.roll(shifts[:, ::-1, ::-1], 1, axis=(1, 2))) * sign
    spectrum = np.fft.fft2(x) * np.exp(1j * np.deg2rad(width) * both)
    return np.asarray(np.fft.ifft2(spectrum).real)


def mean_amplitude(images: np.ndarray, block: int = 512) -> np.ndarray:
    """Mean amplitude spectrum of gray images, uint8 (N, H, W, 3) to float64 (H, W)."""
    total = np.zeros(images.shape[1:3])
    for start in range(0, len(images), block):
        total += np.abs(np.fft.fft2(gray(np.asarray(images[start : start + block])))).sum(axis=0)
    return total / len(images)


def equalize_power(x: np.ndarray, amplitude: np.ndarray) -> np.ndarray:
    """Give images (N, H, W) one amplitude spectrum (H, W) and leave them their phases."""
    if amplitude.shape != x.shape[1:]:
        raise InputError(
            f"the mean amplitude spectrum is {amplitude.shape}, the images are {x.shape[1:]}: take "
            "it of images of the same size."
        )
    return np.asarray(np.fft.ifft2(amplitude * np.exp(1j * np.angle(np.fft.fft2(x)))).real)


def uniform_noise(x: np.ndarray, width: float, draws: Sequence[np.random.Generator]) -> np.ndarray:
    """Add to each pixel of (N, H, W) a value drawn evenly from +-`width`.

    Pixels are those of the image at the size that it has here (ours: noise is not enlarged).
    """
    return x + width * np.stack([d.uniform(-1, 1, x.shape[1:]) for d in draws])


def false_color(images: np.ndarray) -> np.ndarray:
    """Turn every color into its opponent at the same luminance, uint8 (N, H, W, 3) to the same.

    To negate both chromatic axes of a space of Derrington, Krauskopf and Lennie's kind is to
    reflect linear RGB x at the gray of its luminance Y: `2 Y - x`. The experiments measured cone
    responses to their monitor; BT.709 luminance and the curve of sRGB stand in for it (ours).
    """
    table = np.arange(256) / 255
    linear = np.where(table <= 0.04045, table / 12.92, ((table + 0.055) / 1.055) ** 2.4)
    x = linear[images]
    x = (2 * (x @ np.array(LUMINANCE))[..., None] - x).clip(0, 1)
    return to_bytes(np.where(x <= 0.0031308, 12.92 * x, 1.055 * x ** (1 / 2.4) - 0.055))
