"""The properties of units that are compared and plotted: their names, units and usual bins.

Where the quantity is the same, bins are those by which Marques, Schrimpf & DiCarlo 2021 compare
models with V1 neurons (Brain-Score); those of `preferred_orientation`, `peak_frequency`,
`frequency_bandwidth`, `c50` and of what is not compared there are ours.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np

Stimuli = Literal["gratings", "textures"]


@dataclass(frozen=True)
class Property:
    """One property of a unit.

    Attributes:
        label: for figures.
        edges: of the bins.
        stimuli: that it is read from.
        log: whether the bins are evenly spaced on a logarithmic axis.
    """

    label: str
    edges: tuple[float, ...]
    stimuli: Stimuli
    log: bool = False


def _space_evenly(low: float, high: float, bins: int) -> tuple[float, ...]:
    """Return edges of bins of one width."""
    return tuple(np.linspace(low, high, bins + 1).tolist())


def _space_log(low: float, high: float, bins: int) -> tuple[float, ...]:
    """Return edges of bins of one width on a logarithmic axis."""
    return tuple(np.geomspace(low, high, bins + 1).tolist())


_DIAMETERS = _space_log(1 / 16, 16, 8)
PROPERTIES: dict[str, Property] = {
    "preferred_orientation": Property(
        "preferred orientation (degrees)", _space_evenly(0, 180, 8), "gratings"
    ),
    "circular_variance": Property("circular variance", _space_evenly(0, 1, 13), "gratings"),
    "orientation_bandwidth": Property(
        "orientation bandwidth (half width, degrees)", _space_evenly(0, 90, 17), "gratings"
    ),
    "orthogonal_preferred_ratio": Property(
        "orthogonal / preferred ratio", _space_evenly(0, 1, 13), "gratings"
    ),
    "orientation_selective": Property("orientation selective", _space_evenly(0, 1, 2), "gratings"),
    "cv_bandwidth_ratio": Property(
        "circular variance / bandwidth", _space_log(1e-3, 1, 15), "gratings", log=True
    ),
    "opr_cv_difference": Property(
        "orthogonal / preferred ratio - circular variance", _space_evenly(-1, 1, 19), "gratings"
    ),
    "modulation_ratio": Property("modulation ratio F1/F0", _space_evenly(0, 2, 10), "gratings"),
    "max_dc": Property("largest F0 (spikes/s)", _space_log(1, 1000, 9), "gratings", log=True),
    "peak_frequency": Property(
        "peak spatial frequency (cycles/degree)", _space_log(0.35, 11.2, 10), "gratings", log=True
    ),
    "frequency_bandwidth": Property(
        "frequency bandwidth (octaves)", _space_evenly(0, 4, 8), "gratings"
    ),
    "frequency_bandwidth_ratio": Property(
        "frequency bandwidth, 100 low / high", _space_evenly(0, 100, 10), "gratings"
    ),
    "frequency_selective": Property("frequency selective", _space_evenly(0, 1, 2), "gratings"),
    "summation_field": Property(
        "grating summation field (degrees)", _DIAMETERS, "gratings", log=True
    ),
    "surround_diameter": Property("surround diameter (degrees)", _DIAMETERS, "gratings", log=True),
    "suppression_index": Property(
        "surround suppression index", _space_evenly(0, 2, 10), "gratings"
    ),
    "c50": Property("contrast of half maximum", _space_evenly(0, 1, 10), "gratings"),
    "texture_modulation_index": Property(
        "texture modulation index", _space_evenly(-1, 1, 24), "textures"
    ),
    "absolute_texture_modulation_index": Property(
        "absolute texture modulation index", _space_evenly(0, 1, 12), "textures"
    ),
    "texture_selectivity": Property("texture selectivity", _space_evenly(0, 1, 10), "textures"),
    "noise_selectivity": Property("noise selectivity", _space_evenly(0, 1, 10), "textures"),
    "texture_sparseness": Property("texture sparseness", _space_evenly(0, 1, 10), "textures"),
    "noise_sparseness": Property("noise sparseness", _space_evenly(0, 1, 10), "textures"),
    "texture_variance_ratio": Property(
        "variance ratio, families / samples", _space_log(0.01, 10, 12), "textures", log=True
    ),
    "max_texture": Property(
        "largest response to a texture (spikes/s)", _space_log(0.1, 1000, 12), "textures", log=True
    ),
    "max_noise": Property(
        "largest response to noise (spikes/s)", _space_log(0.1, 1000, 12), "textures", log=True
    ),
}
"""By their names in the tables."""


def of(stimuli: Stimuli, columns: Iterable[str]) -> list[str]:
    """Return the properties read from these stimuli that a table has."""
    table_columns = set(columns)
    return [k for k, p in PROPERTIES.items() if p.stimuli == stimuli and k in table_columns]
