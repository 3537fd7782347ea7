"""What the units of a grown model are like: Gabor fits, grating tuning, what a stage pools."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from torch import nn

from striate.core.errors import InputError
from striate.evaluate.units.gabor_fits import MIN_SIDE, fit_gabors
from striate.evaluate.units.grating_tuning import physiology
from striate.evaluate.units.stage2_weights import PoolingMaps, pooling_maps
from striate.models import Model


@dataclass(frozen=True)
class GrownUnits:
    """What the units of each stage are like.

    Attributes:
        taps: of the model.
        tuning: one row a unit of each tap: tuning to gratings.
        kernels: (C, channels, k, k) of the first convolution; None where there is none.
        gabors: one row a kernel; None where kernels are too small for a fit.
        pooling: what the second stage pools; None where that is not known.
    """

    taps: tuple[str, ...]
    tuning: pd.DataFrame
    kernels: np.ndarray | None
    gabors: pd.DataFrame | None
    pooling: PoolingMaps | None


def measure_units(model: Model) -> GrownUnits:
    """Measure the units of each stage of a model."""
    tuning = pd.concat(
        [physiology(model, tap).assign(tap=tap) for tap in model.taps], ignore_index=True
    )
    weights = [m.weight.detach().numpy() for m in model.modules() if isinstance(m, nn.Conv2d)]
    kernels = weights[0] if weights else None
    gabors = pooling = None
    if kernels is not None and kernels.shape[-1] >= MIN_SIDE:
        gabors = fit_gabors(kernels)
    if len(model.taps) > 1 and len(weights) > 1:
        pooling = _map_pooling(tuning[tuning["tap"] == model.taps[0]], weights[1])
    return GrownUnits(tuple(model.taps), tuning, kernels, gabors, pooling)


def _map_pooling(tuning: pd.DataFrame, weights: np.ndarray) -> PoolingMaps | None:
    """Map what the second stage pools by what first-stage units prefer; None if none does."""
    try:
        return pooling_maps(
            weights,
            tuning["preferred_orientation"].to_numpy(),
            tuning["peak_frequency"].to_numpy(),
        )
    except InputError:
        return None
