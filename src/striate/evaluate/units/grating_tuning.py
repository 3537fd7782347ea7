"""Units of a model probed with gratings, as a physiologist would: one row of properties a unit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from striate.core.errors import InputError
from striate.evaluate.units.firing_rates import PEAK, SPONTANEOUS, rate_scale
from striate.evaluate.units.gratings import (
    AXES,
    PIXELS_PER_DEGREE,
    Gratings,
    cycle,
    octaves,
    turns,
)
from striate.evaluate.units.properties import PROPERTIES
from striate.evaluate.units.recording import Position, record, window
from striate.evaluate.units.tuning_curves import (
    circular_variance,
    cv_bandwidth_ratio,
    fourier_components,
    frequency_tuning,
    low_high_ratio,
    modulation_ratio,
    orientation_bandwidth,
    orthogonal_preferred_ratio,
    preferred_orientation,
    size_tuning,
)
from striate.models import Model

THRESHOLD = 5 / round(PEAK - SPONTANEOUS)
"""Of the median unit's response: 5 spikes/s, that being 33.8 - 0.82 (Marques et al. 2021)."""
FLAGS = ("orientation_selective", "frequency_selective")
"""Properties that are true or false."""


def responses_to(
    model: Model,
    tap: str,
    gratings: Gratings,
    position: Position = "center",
    *,
    block: int = 64,
) -> xr.DataArray:
    """Record the responses of one position's units (channels) to gratings on their fields.

    Gratings are centered on the receptive field.

    Args:
        model: runs on the device it is on, in eval mode.
        tap: module path of a map (B, C, H, W).
        gratings: the stimuli.
        position: row and column in the map; `center` is its middle.
        block: images a forward pass, which bounds memory.

    Returns:
        float32, dims `AXES` then `unit`, with the axes' values as coordinates and a coordinate
        `blank` on `unit`: the response to plain gray. As the tap gives them, not rectified.

    Raises:
        InputError: an unknown tap or one that is no map, responses that are not finite.
    """
    where = window(model, tap, position)
    empty = Gratings((0.0,), (0.0,), (0.0,), contrasts=(0.0,))
    blank = record(model, tap, where, empty.blocks(where.size))[0]
    values = record(model, tap, where, gratings.blocks(where.size, block, where.center))
    units = np.arange(len(blank))
    return xr.DataArray(
        values.reshape(*gratings.shape, len(blank)),
        dims=(*AXES, "unit"),
        coords={**gratings.axes, "unit": units, "blank": ("unit", blank)},
        name="response",
        attrs={
            "model": model.id,
            "tap": tap,
            "position": list(where.position),
            "center": list(where.center),
            "image_size": where.size,
            "pixels_per_degree": gratings.pixels_per_degree,
        },
    )


@dataclass(frozen=True)
class GratingSets:
    """The sets of gratings that `physiology` shows. The defaults span stages of V1 and V2 size.

    Attributes:
        orientation: 12 orientations x 8 frequencies x 8 phases, in two diameters.
        frequency: 12 orientations x 18 frequencies x 8 phases, full field.
        size: 12 diameters up to full field x 12 orientations x 5 frequencies x 4 phases.
        contrast: 7 contrasts x 12 orientations x 5 frequencies x 4 phases; None to leave it out.
    """

    orientation: Gratings
    frequency: Gratings
    size: Gratings
    contrast: Gratings | None = None


def make_grating_sets(
    pixels_per_degree: float = PIXELS_PER_DEGREE, contrast: bool = False
) -> GratingSets:
    """Return the default protocol: 6,144 gratings, and 1,680 for contrast.

    Frequencies go from 1/56 to 0.4 cycles per pixel: 0.5 to 11.2 per degree at 28 pixels.
    """
    low, high = pixels_per_degree / 56, pixels_per_degree * 0.401
    few, coarse = octaves(low, high, 1), octaves(low, high, 2)[1:9]
    p = pixels_per_degree
    sizes = (*(6 / p * 1.45**i for i in range(11)), np.inf)
    contrasts = (0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 1.0)
    edge = 2.8 / p
    return GratingSets(
        Gratings(turns(12), coarse, cycle(8), (28 / p, np.inf), pixels_per_degree=p, edge=edge),
        Gratings(turns(12), octaves(low, high, 4), cycle(8), pixels_per_degree=p),
        Gratings(turns(12), few, cycle(4), sizes, pixels_per_degree=p, edge=edge),
        Gratings(turns(12), few, cycle(4), contrasts=contrasts, pixels_per_degree=p)
        if contrast
        else None,
    )


def physiology(model: Model, tap: str, shown: GratingSets | None = None) -> pd.DataFrame:
    """Probe the central units of a tap with the whole protocol; see `tuning_table`."""
    shown = shown or make_grating_sets()
    return tuning_table(
        responses_to(model, tap, shown.orientation),
        responses_to(model, tap, shown.frequency),
        responses_to(model, tap, shown.size),
        None if shown.contrast is None else responses_to(model, tap, shown.contrast),
    )


def tuning_table(
    orientation: xr.DataArray,
    frequency: xr.DataArray | None = None,
    size: xr.DataArray | None = None,
    contrast: xr.DataArray | None = None,
    *,
    threshold: float = THRESHOLD,
) -> pd.DataFrame:
    """Tabulate the properties of units from their responses (`responses_to`), one row a unit.

    Negative responses are set to 0 first, as for firing rates. Each property is read from the
    curve through the unit's best condition. Orientation properties and the bandwidth of spatial
    frequency take the mean over phases (F0), peak frequency, size and contrast the component (F0
    above the blank response, or F1) with the larger maximum, as Marques et al. 2021 do. Marques
    et al. map activations to spikes/s with a small offset first (0.82 where the median maximum is
    33.8), which moves ratios by about 0.02 and is not done here.

    Args:
        orientation: orientations x anything; gives the orientation properties and F1/F0.
        frequency: gives peak and bandwidth of spatial frequency.
        size: gives size tuning.
        contrast: gives c50.
        threshold: a unit responds when its larger component exceeds this share of the median of
            the units with any response, in the `orientation` set.

    Returns:
        `unit`, `responds`, `reason` (why not, else empty), `blank`, `max_f0`, `max_f1`,
        `preferred_orientation`, `circular_variance`, `orientation_bandwidth` (half width, degrees),
        `orthogonal_preferred_ratio`, `orientation_selective` (has a bandwidth),
        `cv_bandwidth_ratio`, `opr_cv_difference` (orthogonal/preferred ratio less circular
        variance, Ringach et al. 2002), `modulation_ratio`, `max_dc` (`max_f0` in spikes/s, see
        `firing_rates`), then where the set was given `peak_frequency` (cycles/degree),
        `frequency_bandwidth` (octaves), `frequency_bandwidth_ratio` (100 low / high),
        `frequency_selective` (has a bandwidth), `preferred_diameter`, `summation_field`,
        `surround_diameter` (degrees), `suppression_index`, `c50`, and what else
        `properties.PROPERTIES` measures on one curve. Properties of a unit that does
        not respond are NaN; so are those that its curve does not define, such as the bandwidth of
        an untuned unit.

    Raises:
        InputError: sets of other units, or whose phases or orientations are not evenly spaced.
    """
    for name, other in (("frequency", frequency), ("size", size), ("contrast", contrast)):
        if other is not None and other.sizes["unit"] != orientation.sizes["unit"]:
            raise InputError(
                f"{name} responses are of {other.sizes['unit']} units, orientation responses of "
                f"{orientation.sizes['unit']}: take them from the same tap."
            )
    angles = orientation["orientation"].to_numpy()
    f0, f1, larger = _split_components(orientation)
    table = pd.DataFrame({"unit": orientation["unit"].to_numpy()})
    peak = larger.reshape(len(larger), -1).max(axis=1)
    reason = _explain_silence(f0, peak, threshold)
    table["responds"], table["reason"] = reason == "", reason
    table["blank"] = np.maximum(orientation["blank"].to_numpy(), 0)

    curves = _cut_through_best(f0, 0)
    best = f0.reshape(len(f0), -1).argmax(axis=1)[:, None]
    at_best = [np.take_along_axis(x.reshape(len(x), -1), best, axis=1)[:, 0] for x in (f0, f1)]
    table["max_f0"], table["max_f1"] = at_best
    table["preferred_orientation"] = preferred_orientation(curves, angles)
    table["circular_variance"] = circular_variance(curves, angles)
    table["orientation_bandwidth"] = orientation_bandwidth(curves, angles)
    table["orthogonal_preferred_ratio"] = orthogonal_preferred_ratio(curves, angles)
    table["orientation_selective"] = table["orientation_bandwidth"].notna()
    variance = table["circular_variance"].to_numpy()
    table["cv_bandwidth_ratio"] = cv_bandwidth_ratio(
        variance, table["orientation_bandwidth"].to_numpy()
    )
    table["opr_cv_difference"] = table["orthogonal_preferred_ratio"] - variance
    table["modulation_ratio"] = modulation_ratio(*at_best)
    measured = {"orientation": (curves, angles)}
    if frequency is not None:
        f = frequency["spatial_frequency"].to_numpy()
        f0, _, larger = _split_components(frequency)
        measured["frequency"] = _cut_through_best(larger, 1), f
        table["peak_frequency"] = frequency_tuning(measured["frequency"][0], f)[0]
        table["frequency_bandwidth"] = frequency_tuning(_cut_through_best(f0, 1), f)[1]
        table["frequency_bandwidth_ratio"] = low_high_ratio(table["frequency_bandwidth"].to_numpy())
        table["frequency_selective"] = table["frequency_bandwidth"].notna()
    if size is not None:
        curves = _cut_through_best(_split_components(size)[2], 2)
        measured["size"] = curves, size["diameter"].to_numpy()
        for name, values in vars(size_tuning(*measured["size"])).items():
            table[name] = values
    if contrast is not None:
        curves = _cut_through_best(_split_components(contrast)[2], 3)
        measured["contrast"] = curves, contrast["contrast"].to_numpy()
    for name, values in _measure_properties(measured).items():
        table[name] = values
    scale = rate_scale(*(table.loc[table["responds"], c] for c in ("max_f0", "blank")))
    table["max_dc"] = scale(table["max_f0"].to_numpy())
    properties = table.columns[list(table.columns).index("preferred_orientation") :]
    flags = [c for c in properties if c in FLAGS]
    table.loc[~table["responds"], [c for c in properties if c not in flags]] = np.nan
    table.loc[~table["responds"], flags] = False
    return table


def _measure_properties(
    measured: Mapping[str, tuple[np.ndarray, np.ndarray]],
) -> dict[str, np.ndarray]:
    """The properties that are a function of one curve, of the curves that were measured."""
    return {
        name: definition.measure(*measured[definition.curve])
        for name, definition in PROPERTIES.items()
        if definition.measure and definition.curve and definition.curve in measured
    }


def _split_components(responses: xr.DataArray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compute F0, F1 and the larger of the two above blank, each (units, all axes but phase)."""
    phases = responses["phase"].to_numpy()
    n = len(phases)
    if n < 4 or not np.allclose(np.diff(phases), 360 / n):
        raise InputError(
            f"phases must be at least 4 and evenly spaced over 360 degrees, found {phases}."
        )
    rates = responses.transpose("unit", *AXES).to_numpy().clip(0, None).astype(float)
    f0, f1 = fourier_components(rates)
    blank = responses["blank"].to_numpy().clip(0, None).reshape(-1, 1, 1, 1, 1)
    driven = f0 - blank
    axes = (1, 2, 3, 4)
    modulated = f1.max(axis=axes, keepdims=True) > driven.max(axis=axes, keepdims=True)
    return f0, f1, np.where(modulated, f1, driven)


def _cut_through_best(values: np.ndarray, axis: int) -> np.ndarray:
    """Cut out the curve of each unit along one axis through its largest value, (units, n)."""
    moved = np.moveaxis(values, axis + 1, -1)
    lines = moved.reshape(len(moved), -1, moved.shape[-1])
    best = lines.max(axis=2).argmax(axis=1)
    return np.asarray(lines[np.arange(len(lines)), best])


def _explain_silence(f0: np.ndarray, peak: np.ndarray, threshold: float) -> np.ndarray:
    """Say why a unit's tuning cannot be read; an empty text where it can."""
    above_blank = peak[peak > 0]
    limit = threshold * float(np.median(above_blank)) if above_blank.size else np.inf
    top = f0.reshape(len(f0), -1).max(axis=1)
    conditions = {
        "no response above 0 to any grating": top <= 0,
        "no response above that to gray": peak <= 1e-6 * top,
        "weaker than the threshold": peak <= limit,
    }
    return np.select(list(conditions.values()), list(conditions), default="").astype(object)
