"""The properties of units that are compared and plotted: names, units, usual bins and medians.

Where the quantity is the same, bins are those by which Marques, Schrimpf & DiCarlo 2021 compare
models with V1 neurons (Brain-Score); those of `preferred_orientation`, `peak_frequency`,
`frequency_bandwidth`, `c50` and of what is not compared there are ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from striate.core.errors import InputError
from striate.encoding import percentile_interval
from striate.evaluate.units.tuning_curves import half_contrast

Stimuli = Literal["gratings", "textures"]
Curve = Literal["orientation", "frequency", "size", "contrast"]
Measure = Callable[[np.ndarray, np.ndarray], np.ndarray]
RESAMPLES = 1000
"""Bootstrap samples of a median (ours)."""


@dataclass(frozen=True)
class Property:
    """One property of a unit.

    Attributes:
        label: for figures.
        edges: of the bins.
        stimuli: that it is read from.
        log: whether the bins are evenly spaced on a logarithmic axis.
        curve: the tuning curve that `measure` takes.
        measure: the property (n_units,) of curves (n_units, n_values) at values (n_values,), for
            one that is a function of one curve; `grating_tuning.tuning_table` adds its column. None
            for those that are computed together with others.
    """

    label: str
    edges: tuple[float, ...]
    stimuli: Stimuli
    log: bool = False
    curve: Curve | None = None
    measure: Measure | None = None


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
    "c50": Property(
        "contrast of half maximum",
        _space_evenly(0, 1, 10),
        "gratings",
        curve="contrast",
        measure=half_contrast,
    ),
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
SUMMARIZED = [
    "circular_variance", "orientation_bandwidth", "peak_frequency", "frequency_bandwidth",
    "modulation_ratio", "suppression_index",
]  # fmt: skip
"""Properties whose medians a scorecard shows; there is no better or worse without neurons."""
ADDED: list[str] = []
"""Properties that were registered from outside."""


def register(name: str, definition: Property, *, summarized: bool = False) -> None:
    """Make a property of units known to tables, figures, histograms and, if asked, scorecards.

    Raises:
        InputError: its name is taken.
    """
    if name in PROPERTIES:
        raise InputError(f"property {name!r} is taken. Register yours under another name.")
    PROPERTIES[name] = definition
    ADDED.append(name)
    if summarized:
        SUMMARIZED.append(name)


def unregister(name: str) -> None:
    """Forget a property that `register` made known."""
    ADDED.remove(name)
    del PROPERTIES[name]
    if name in SUMMARIZED:
        SUMMARIZED.remove(name)


def of(stimuli: Stimuli, columns: Iterable[str]) -> list[str]:
    """Return the properties read from these stimuli that a table has."""
    table_columns = set(columns)
    return [k for k, p in PROPERTIES.items() if p.stimuli == stimuli and k in table_columns]


def median_table(tuning: pd.DataFrame) -> pd.DataFrame:
    """Medians of the `SUMMARIZED` properties over the units of each tap that respond to gratings.

    Args:
        tuning: one row a unit: `model`, `tap`, `responds`, and a column a property.

    Returns:
        `model`, `tap`, `property`, `median`, and `low` and `high` of its 95 % interval (percentile
        bootstrap of the units); no row where no unit has the property.
    """
    generator = np.random.default_rng(0)
    rows: list[dict[str, Any]] = []
    for (model, tap), units in tuning.groupby(["model", "tap"], sort=False):
        responding = units[units["responds"]]
        for name in (n for n in SUMMARIZED if n in responding):
            values = responding[name].to_numpy(dtype=float)
            values = values[np.isfinite(values)]
            if not values.size:
                continue
            drawn = np.median(generator.choice(values, (RESAMPLES, values.size)), axis=1)
            interval = percentile_interval(float(np.median(values)), drawn)
            place = {"model": model, "tap": tap, "property": name}
            rows.append({**place, "median": interval.value, "low": interval.low,
                         "high": interval.high})  # fmt: skip
    return pd.DataFrame(rows, columns=["model", "tap", "property", "median", "low", "high"])
