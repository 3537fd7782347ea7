"""Show stimuli of a known size in degrees to a model with a known field of view.

Where the model sees more than a stimulus (D degrees > d degrees), the stimulus is put in the center
of a canvas of D degrees with gray 128 around it; where it sees less, the stimulus is cut to its
central D degrees. The whole is then resized to the model's input. Brain-Score places images on its
screen in this way (docs/papers/lcl-v2.md 5.1); its default D is 8.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from striate.core.errors import InputError
from striate.data.images.decode import resize_image
from striate.data.images.stimuli import StimulusSet

GRAY = 128
Aperture = Literal["auto", "add", "none"]


def place_in_degrees(
    rgb: np.ndarray, degrees: float, canvas_degrees: float, gray: int = GRAY
) -> np.ndarray:
    """Put an image of `degrees` in the middle of a field of `canvas_degrees`, at its own scale.

    Args:
        rgb: uint8 (H, W, 3).
        degrees: size of the image.
        canvas_degrees: size of the result; a size below `degrees` cuts out the center.
        gray: gray level around the image.

    Returns:
        uint8, sides of round(canvas_degrees / degrees * side) pixels.

    >>> place_in_degrees(np.zeros((2, 2, 3), np.uint8), 4, 8)[..., 0]
    array([[128, 128, 128, 128],
           [128,   0,   0, 128],
           [128,   0,   0, 128],
           [128, 128, 128, 128]], dtype=uint8)
    """
    if not (degrees > 0 and canvas_degrees > 0):
        raise InputError(
            f"degrees must be positive, found an image of {degrees} on a canvas of "
            f"{canvas_degrees} degrees."
        )
    size = np.array(rgb.shape[:2])
    target = np.maximum(np.rint(size * canvas_degrees / degrees).astype(int), 1)
    # numpy rounds halves to even, and so does the published procedure
    top, left = np.rint(np.abs(target - size) / 2).astype(int)
    if canvas_degrees < degrees:
        return rgb[top : top + target[0], left : left + target[1]]
    out = np.full((*target, 3), gray, np.uint8)
    out[top : top + size[0], left : left + size[1]] = rgb
    return out


def raised_cosine(side: int, radius: float) -> np.ndarray:
    """Weights (side, side): 1/2 (1 + cos(pi d / radius)) at distance d from the middle, 0 beyond.

    The middle is pixel side / 2, counted from 0, as in the published aperture.

    >>> raised_cosine(4, 2.0).round(2)
    array([[0. , 0. , 0. , 0. ],
           [0. , 0.2, 0.5, 0.2],
           [0. , 0.5, 1. , 0.5],
           [0. , 0.2, 0.5, 0.2]])
    """
    offset = np.arange(side) - side / 2
    distance = np.hypot(offset[:, None], offset)
    return np.where(distance < radius, 0.5 * (1 + np.cos(np.pi * distance / radius)), 0.0)


def add_aperture(
    rgb: np.ndarray, degrees: float = 4.0, radius: float = 2.0, gray: int = GRAY
) -> np.ndarray:
    """Fade a square image to gray: (image - gray) times a raised cosine, plus gray.

    Args:
        rgb: uint8 (H, H, 3).
        degrees: size of the image.
        radius: distance from the center, in degrees, from which the image is gray.
        gray: gray level to which the image fades.

    Returns:
        uint8 (H, H, 3); fractions are cut off, as in the published images.
    """
    height, width = rgb.shape[:2]
    if height != width:
        raise InputError(f"an aperture needs a square image, found {height} x {width} pixels.")
    weights = raised_cosine(height, radius / degrees * height)[..., None]
    return np.asarray((rgb - float(gray)) * weights + gray).astype(np.uint8)


def has_aperture(rgb: np.ndarray, gray: int = GRAY) -> bool:
    """Whether an image has faded already: its corners, a sixteenth of the side, are all gray."""
    n = max(1, min(rgb.shape[:2]) // 16)
    corners = (rgb[:n, :n], rgb[:n, -n:], rgb[-n:, :n], rgb[-n:, -n:])
    return all(bool((corner == gray).all()) for corner in corners)


def shown(
    stimuli: StimulusSet,
    size: int,
    *,
    degrees: float = 4.0,
    canvas_degrees: float = 8.0,
    aperture: Aperture = "auto",
    resize: str = "squash",
) -> tuple[np.ndarray, str]:
    """Present all stimuli to a model whose input of `size` pixels spans `canvas_degrees`.

    Args:
        stimuli: square images of `degrees`.
        size: size of the model's input in pixels.
        degrees: size of the stimuli.
        canvas_degrees: size of the model's field of view.
        aperture: `add` fades every image, `none` fades no image, `auto` fades the images of a set
            without apertures.
        resize: rule as for `striate.data.images.decode.resize_image`.

    Returns:
        uint8 (N, size, size, 3), and what was done about the aperture: `added`, `already there`
        or `none`.

    Raises:
        InputError: some images have an aperture and others do not.
    """
    treatment = {"add": "added", "none": "none"}.get(aperture)
    if treatment is None:
        faded = [has_aperture(stimuli.image(i)) for i in range(len(stimuli))]
        if len(set(faded)) > 1:
            first = stimuli.ids[faded.index(not faded[0])]
            raise InputError(
                f"{sum(faded)} of {len(stimuli)} images fade to gray at their corners, others do "
                f"not (first that differs: {first}). Use images of one kind, or say which with "
                "aperture=add or aperture=none."
            )
        treatment = "already there" if faded[0] else "added"
    out = np.empty((len(stimuli), size, size, 3), np.uint8)
    for i in range(len(stimuli)):
        rgb = stimuli.image(i)
        if treatment == "added":
            rgb = add_aperture(rgb, degrees, degrees / 2)
        out[i] = resize_image(place_in_degrees(rgb, degrees, canvas_degrees), size, resize)
    return out, treatment
