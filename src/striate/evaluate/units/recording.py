"""Recording from the units at one position of a map, with images as small as their fields."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from striate.core.errors import InputError
from striate.models import Model, evaluating
from striate.models.receptive_field import receptive_field

Position = Literal["center"] | tuple[int, int]
"""Row and column in a map; `center` is its middle."""


@dataclass(frozen=True)
class Window:
    """Where a unit is probed.

    Attributes:
        size: side of the images in pixels.
        position: row and column of the unit in the tap's map for such images.
        center: row and column in pixels of the middle of its receptive field.
    """

    size: int
    position: tuple[int, int]
    center: tuple[float, float]


def window(model: Model, tap: str, position: Position = "center") -> Window:
    """Find where to look for a unit, and the smallest images that give exactly its response.

    A unit sees nothing outside of its receptive field, so at `center` it is enough to draw the
    gratings, and to run the network, there: the same numbers up to rounding at a fraction of the
    work. Images have the model's own size where the network cannot be followed (the gratings are
    then centered on the image), where no position is free of padding, and for any other position.

    Raises:
        InputError: a position outside the map, or a tap that is no map.
    """
    size = model.preprocessing.size
    shape = model.tap_shapes([tap])[tap]
    if len(shape) != 3:
        raise InputError(f"tap {tap!r} gives {shape} for an image, not a map (C, H, W).")
    rows, columns = shape[1:]
    place = (rows // 2, columns // 2) if position == "center" else position
    if not (0 <= place[0] < rows and 0 <= place[1] < columns):
        raise InputError(f"position {place} is outside the map of {rows} x {columns} at {tap!r}.")
    try:
        field = receptive_field(model, tap)
    except InputError:
        return Window(size, place, ((size - 1) / 2, (size - 1) / 2))
    if position == "center":
        try:
            side = field.patch(1)
        except InputError:
            side = size
        clean = field.clean(side)
        if side < size and clean.stop > clean.start:
            field, size, place = receptive_field(model, tap, side), side, (clean.start, clean.start)
    top, left = field.center
    center = top + place[0] * field.jumps[0], left + place[1] * field.jumps[1]
    return Window(size, place, center)


def record(model: Model, tap: str, where: Window, batches: Iterable[np.ndarray]) -> np.ndarray:
    """Record the responses of one position's units to images, batch by batch, in eval mode.

    Args:
        model: runs on the device it is on.
        tap: module path of a map (B, C, H, W).
        where: the position, and the size that the images must have.
        batches: uint8 (n, size, size, 3) each.

    Returns:
        float32 (n_images, n_units), as the tap gives them.

    Raises:
        InputError: responses that are not finite.
    """
    row, column = where.position
    responses = []
    with evaluating(model), torch.no_grad():
        for images in batches:
            batch = torch.from_numpy(np.ascontiguousarray(images)).to(model.device)
            out = model.activations(batch, [tap])[tap][:, :, row, column]
            responses.append(out.float().cpu().numpy())
    values = np.concatenate(responses)
    bad = ~np.isfinite(values).all(axis=0)
    if bad.any():
        raise InputError(
            f"tap {tap!r}: responses of unit {int(bad.argmax())} are not finite "
            f"({int(bad.sum())} such units). Check the model's weights."
        )
    return values
