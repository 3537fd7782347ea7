"""The parametric distortions of Geirhos et al.: graded tests of generalization.

Geirhos et al. 2018 (arXiv 1808.08750, section 2 and their published image code) and 2021 (arXiv
2106.07411) showed 224 x 224 px photographs under twelve graded distortions to humans and networks.
The functions here follow those descriptions; each docstring says what is ours. A strength that is a
length is given in pixels of 224 and scaled with the image, so that it stays the same share of it.
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
"""Side in pixels of the images that the published strengths refer to."""
LUMINANCE = (0.2126, 0.7152, 0.0722)
"""Weights of R, G and B in the luminance of ITU-R BT.709, from which the experiments made gray."""
GRAY = 0.4423
"""Gray beyond the edges of a filtered image: the mean of the experiments' images, as published."""
NOISE_CONTRAST = 0.3
"""Contrast of images before uniform noise is added to them, as published."""
KIND = 11
"""Kind of random draws (see `core.draws`)."""
VERSION = 1
"""Raised whenever the pixels change, so that older copies in a cache are made again."""

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
"""Conditions of each experiment as its trials spell them, the mildest first; `UNITS` names the
quantity."""
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
"""The quantity that the conditions of each experiment state."""


@dataclass(frozen=True)
class Condition:
    """One distortion at one severity.

    Attributes:
        experiment: key of `SEVERITIES`.
        severity: one of its conditions.
        level: rank of the severity, from 0.
        excluded: whether the benchmark leaves it out of its means (see `data.behavior.conditions`).
    """

    experiment: str
    severity: str
    level: int
    excluded: bool


def conditions(experiments: Sequence[str] | None = None) -> list[Condition]:
    """List all conditions of some experiments; by default those of all experiments.

    Raises:
        InputError: an unknown experiment; the nearest names are offered.

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
    """Distort images; all distortions but `false-colour` give gray images, as in the experiments.

    Args:
        images: uint8 (N, H, W, 3).
        condition: which distortion at which severity.
        seed: seed of phases, noise and eidolons; each image has draws of its own.
        amplitude: (H, W), `mean_amplitude` of all images of the experiment; None: of `images`.
        first: number of `images[0]` among all images; the draws depend on this number.

    Returns:
        uint8 (N, H, W, 3).

    Raises:
        InputError: images of another dtype or shape, or an unknown condition.
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
        # each experiment has one stream, so that all severities of an image share their draws
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
    """Clip values to 0..1 and scale them to uint8."""
    return np.rint(x.clip(0, 1) * 255).astype(np.uint8)


def gray(images: np.ndarray) -> np.ndarray:
    """Luminance of stored values, uint8 (N, H, W, 3), as float64 (N, H, W) from 0 to 1."""
    return np.asarray(images @ np.array(LUMINANCE) / 255)


def contrast(x: np.ndarray, level: float) -> np.ndarray:
    """Shrink values 0..1 towards mid gray: `(1 - level) / 2 + level x`."""
    return (1 - level) / 2 + level * x


def low_pass(x: np.ndarray, sigma: float) -> np.ndarray:
    """Blur (N, H, W) with a Gaussian of standard deviation `sigma` px; gray beyond the edges.

    The spectrum is multiplied by the Gaussian's transfer function exp(-2 (pi sigma f)^2). This is
    ours: it also holds for standard deviations below a pixel, which strengths scaled to small
    images have and where a sampled kernel is no Gaussian.
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
    """Subtract `low_pass` from images (N, H, W) and set their mean to `GRAY`."""
    rest = x - low_pass(x, sigma)
    return rest - rest.mean(axis=(1, 2), keepdims=True) + GRAY


def phase_noise(x: np.ndarray, width: float, draws: Sequence[np.random.Generator]) -> np.ndarray:
    """Shift the phase of every frequency of (N, H, W) by up to +-`width` degrees, evenly drawn.

    A frequency and its negative get opposite shifts, so that the result is real. The mean and the
    frequencies that are their own negatives keep their phases.
    """
    if width == 0:
        return x
    height, columns = x.shape[1:]
    number = np.arange(height * columns).reshape(height, columns)
    partner = np.roll(number[::-1, ::-1], 1, axis=(0, 1))
    sign = np.sign(partner - number)  # 0 where a frequency is its own negative
    shifts = np.stack([d.uniform(-1, 1, (height, columns)) for d in draws])
    odd_shifts = np.where(sign > 0, shifts, np.roll(shifts[:, ::-1, ::-1], 1, axis=(1, 2))) * sign
    spectrum = np.fft.fft2(x) * np.exp(1j * np.deg2rad(width) * odd_shifts)
    return np.asarray(np.fft.ifft2(spectrum).real)


def mean_amplitude(images: np.ndarray, block: int = 512) -> np.ndarray:
    """Mean amplitude spectrum of images turned gray, uint8 (N, H, W, 3) to float64 (H, W)."""
    total = np.zeros(images.shape[1:3])
    for start in range(0, len(images), block):
        total += np.abs(np.fft.fft2(gray(np.asarray(images[start : start + block])))).sum(axis=0)
    return total / len(images)


def equalize_power(x: np.ndarray, amplitude: np.ndarray) -> np.ndarray:
    """Give images (N, H, W) one amplitude spectrum (H, W); they keep their phases."""
    if amplitude.shape != x.shape[1:]:
        raise InputError(
            f"the mean amplitude spectrum is {amplitude.shape}, the images are {x.shape[1:]}: take "
            "it of images of the same size."
        )
    return np.asarray(np.fft.ifft2(amplitude * np.exp(1j * np.angle(np.fft.fft2(x)))).real)


def uniform_noise(x: np.ndarray, width: float, draws: Sequence[np.random.Generator]) -> np.ndarray:
    """Add to each pixel of (N, H, W) a value drawn evenly from +-`width`.

    The noise is per pixel of the image as given; it is not enlarged with the image (ours).
    """
    return x + width * np.stack([d.uniform(-1, 1, x.shape[1:]) for d in draws])


def false_color(images: np.ndarray) -> np.ndarray:
    """Turn every color into its opponent at the same luminance, uint8 (N, H, W, 3) to the same.

    Negating both chromatic axes of a color space like that of Derrington, Krauskopf and Lennie
    means reflecting linear RGB x at the gray of its luminance Y: `2 Y - x`. The experiments used
    the measured cone responses to their monitor; we use BT.709 luminance and the sRGB curve.
    """
    table = np.arange(256) / 255
    linear = np.where(table <= 0.04045, table / 12.92, ((table + 0.055) / 1.055) ** 2.4)
    x = linear[images]
    x = (2 * (x @ np.array(LUMINANCE))[..., None] - x).clip(0, 1)
    return to_bytes(np.where(x <= 0.0031308, 12.92 * x, 1.055 * x ** (1 / 2.4) - 0.055))
