"""Deformations matched to a receptive field, and the resampling that carries them out."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import ceil, cos, exp, pi, sin

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from striate.core.config import Config
from striate.core.draws import generator_at
from striate.core.errors import InputError

LARGEST = 0.5
"""Largest relative amplitude, at which patches are scaled by up to e and turned by up to 1 rad."""
AFFINE, WARP = 1, 2
"""Kinds of random draws (see `core.draws`)."""


class DeformConfig(Config):
    """Movements of which a deformation is made, all scaled by the relative amplitude.

    The family and the equal shares are ours (docs/papers/lcl-v2.md 7), as those of the paper are
    unknown.
    """

    translation: bool = True
    rotation: bool = True
    scale: bool = True
    warp: float = Field(0.0, ge=0)
    """Largest displacement of a smooth local warp, in units of the largest translation."""
    warp_grid: int = Field(6, ge=4)
    """Control points of the warp along a side: the more, the finer."""


@dataclass(frozen=True)
class Deformation:
    """Source positions of the pixels of each view of each sample, in pixels of the source.

    Attributes:
        matrix: float32 (N, V, 2, 3). The output pixel at (x, y) from the center of the patch
            shows the source at `matrix @ (x, y, 1)` from the same center; x goes right, y down.
        warp: float32 (N, V, 2, G, G) or None: displacements (x, y) at the control points of a
            uniform cubic B-spline over the patch, rows first, which are added to these positions.
    """

    matrix: np.ndarray
    warp: np.ndarray | None = None


def deformation(
    count: int,
    *,
    field: float,
    amplitude: float,
    config: DeformConfig | None = None,
    views: int = 2,
    seed: int = 0,
    step: int = 0,
    stream: int = 0,
) -> Deformation:
    """Draw the deformations of a batch; each depends only on seed, stream, step and sample number.

    With the relative amplitude a and a receptive field of R pixels (docs/papers/lcl-v2.md 7),
    translation is uniform in +-aR along x and y, rotation is uniform in +-2a rad, and log2-scale is
    uniform in +-2a / ln 2. Rotation and scale each move a point at radius R/2 by at most aR (an
    enlargement moves it by R/2 (exp(2a) - 1), which is aR to first order in a).

    Args:
        count: number of samples N in the whole batch.
        field: receptive field R of the stage, px.
        amplitude: relative amplitude a, 0 to 0.5.
        config: movements of which deformations are made.
        views: number of independent deformations of each sample.
        seed, step, stream: where random draws begin, see `core.draws.generator_at`.

    Raises:
        InputError: the amplitude or the field is out of range.
    """
    config = config or DeformConfig()
    _check_scale(field, amplitude)
    unit = 2 * generator_at(seed, step, AFFINE, stream).random((count, views, 4)) - 1
    angle = unit[..., 0] * 2 * amplitude * config.rotation
    scale = np.exp(unit[..., 1] * 2 * amplitude * config.scale)
    matrix = np.empty((count, views, 2, 3), dtype=np.float32)
    matrix[..., 0, 0] = matrix[..., 1, 1] = scale * np.cos(angle)
    matrix[..., 1, 0] = scale * np.sin(angle)
    matrix[..., 0, 1] = -matrix[..., 1, 0]
    matrix[..., 2] = unit[..., 2:] * amplitude * field * config.translation
    if not config.warp:
        return Deformation(matrix)
    shape = (count, views, 2, config.warp_grid, config.warp_grid)
    warp = 2 * generator_at(seed, step, WARP, stream).random(shape, dtype=np.float32) - 1
    return Deformation(matrix, warp * np.float32(config.warp * amplitude * field))


def margin(
    patch: int, *, field: float, amplitude: float, config: DeformConfig | None = None
) -> int:
    """Return how many pixels around a patch its largest deformation may reach.

    Args:
        patch: side of the patch, px.
        field, amplitude, config: as for `deformation`.
    """
    config = config or DeformConfig()
    _check_scale(field, amplitude)
    if patch < 1:
        raise InputError(f"a patch has a side of at least 1 px, found {patch}.")
    turn = min(2 * amplitude, pi / 4) * config.rotation
    corner = (patch - 1) / 2 * (cos(turn) + sin(turn)) * exp(2 * amplitude * config.scale)
    shift = amplitude * field * (config.translation + config.warp)
    # A hundredth of a pixel is more than rounding in float32 can add.
    return ceil(corner + shift - (patch - 1) / 2 + (0.01 if amplitude else 0.0))


def resample(windows: Tensor, matrix: Tensor, patch: int, warp: Tensor | None = None) -> Tensor:
    """Resample the views of each patch from the window around it, once and bilinearly.

    Args:
        windows: float32 (N, C, S, S) with the patch in the middle and `margin` pixels around it.
        matrix: float32 (N, V, 2, 3), see `Deformation`.
        patch: side P of the patch, px; S - P is even.
        warp: float32 (N, V, 2, G, G), see `Deformation`.

    Returns:
        float32 (N, C, V, P, P).
    """
    n, channels, size = windows.shape[:3]
    views = matrix.shape[1]
    grid = sampling_grid(matrix, patch, size, warp).flatten(1, 2)  # all views as one tall view
    # Padding is never sampled (see `margin`); "border" saves a test for it at every pixel.
    out = F.grid_sample(windows, grid, "bilinear", "border", align_corners=False)
    return out.view(n, channels, views, patch, patch)


def sampling_grid(matrix: Tensor, patch: int, size: int, warp: Tensor | None = None) -> Tensor:
    """Return the positions for `grid_sample`, float32 (N, V, P, P, 2), x and y in [-1, 1].

    With `align_corners=False`, -1 and 1 are the outer edges of the first and the last pixel of a
    window of `size`, so its center is 0 and a pixel is 2 / size.
    """
    n, views = matrix.shape[:2]
    unit = matrix * (2 / size)
    offset = torch.arange(patch, device=matrix.device, dtype=matrix.dtype) - (patch - 1) / 2
    columns = unit[..., 0, None] * offset  # (N, V, 2, P): what x adds to each coordinate
    rows = torch.addcmul(unit[..., 2, None], unit[..., 1, None], offset)
    # x and y in separate planes are written four times faster than side by side, and read as fast
    grid = matrix.new_empty(2, n, views, patch, patch)
    for axis in range(2):
        torch.add(columns[:, :, axis, None, :], rows[:, :, axis, :, None], out=grid[axis])
    if warp is not None:
        basis = spline_basis(patch, warp.shape[-1]).to(matrix.device)
        grid += (basis @ (warp * (2 / size)) @ basis.T).permute(2, 0, 1, 3, 4)
    return grid.permute(1, 2, 3, 4, 0)


@lru_cache(maxsize=16)
def spline_basis(patch: int, points: int) -> Tensor:
    """Uniform cubic B-splines over a patch: float32 (patch, points), rows >= 0 that add up to 1.

    With these a warp is smooth and never exceeds its largest value at a control point (free-form
    deformations: Rueckert et al. 1999, equation 2).
    """
    position = (np.arange(patch) + 0.5) / patch * (points - 3)
    span = np.minimum(position.astype(np.int64), points - 4)
    fraction = position - span
    weights = [
        (1 - fraction) ** 3,
        3 * fraction**3 - 6 * fraction**2 + 4,
        -3 * fraction**3 + 3 * fraction**2 + 3 * fraction + 1,
        fraction**3,
    ]
    basis = np.zeros((patch, points))
    for k, weight in enumerate(weights):
        basis[np.arange(patch), span + k] = weight / 6
    return torch.from_numpy(basis.astype(np.float32))


def _check_scale(field: float, amplitude: float) -> None:
    """Refuse an amplitude or a receptive field that is out of range."""
    if not 0 <= amplitude <= LARGEST:
        raise InputError(
            f"relative amplitude {amplitude:g}: expected 0 to {LARGEST:g} (a share of the "
            "receptive field, such as 0.2)."
        )
    if not field > 0:
        raise InputError(f"receptive field of {field:g} px: expected more than 0.")
