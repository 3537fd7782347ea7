"""Units of a model probed with textures and spectrally matched noise: one row a unit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
import xarray as xr

from striate.core.errors import InputError
from striate.data.textures.stimuli import GRAY, TYPES, Textures
from striate.evaluate.units.firing_rates import RateScale, rate_scale
from striate.evaluate.units.gratings import PIXELS_PER_DEGREE
from striate.evaluate.units.recording import record, window
from striate.evaluate.units.texture_indices import (
    mean_of,
    sparseness,
    texture_modulation_index,
    variance_ratio,
)
from striate.models import Model

DIMS = ("type", "family", "sample", "unit")
SECONDS = 0.1
"""Of the responses that spikes are counted in (Brain-Score; docs/papers/lcl-v2.md 5.2)."""
NEGLIGIBLE = 1e-6
"""Share of a unit's largest activation below which a response above gray is rounding (ours)."""
Negative = Literal["rectify", "refuse"]
Baseline = Literal["subtract", "keep"]


def texture_responses(
    model: Model,
    tap: str,
    textures: Textures,
    *,
    pixels_per_degree: float = PIXELS_PER_DEGREE,
    block: int = 64,
) -> xr.DataArray:
    """Record the responses of a tap's central units to textures centered on their receptive field.

    Args:
        model: runs on the device it is on, in eval mode.
        tap: module path of a map (B, C, H, W).
        textures: the stimuli.
        pixels_per_degree: at which the model sees them.
        block: images a forward pass, which bounds memory.

    Returns:
        float32 (type, family, sample, unit) with a coordinate `blank` on `unit`: the response to
        plain gray. As the tap gives them, not rectified.

    Raises:
        InputError: an unknown tap or one that is no map, responses that are not finite.
    """
    place = window(model, tap)
    gray = np.full((1, place.size, place.size, 3), GRAY, dtype=np.uint8)
    blank = record(model, tap, place, [gray])[0]
    images = textures.blocks(place.size, pixels_per_degree, place.center, block)
    values = record(model, tap, place, images)
    return xr.DataArray(
        values.reshape(*textures.images.shape[:3], -1),
        dims=DIMS,
        coords={
            "type": list(TYPES),
            "family": list(textures.families),
            "unit": np.arange(len(blank)),
            "blank": ("unit", blank),
        },
        name="response",
        attrs={"model": model.id, "tap": tap, "pixels_per_degree": pixels_per_degree},
    )


@dataclass(frozen=True)
class TextureTuning:
    """How the units of one tap respond to textures.

    Attributes:
        units: one row a unit: `unit`, `active` (any response above 0 to a texture or to noise),
            `reason` (why not), `blank`, `texture_modulation_index`,
            `absolute_texture_modulation_index`, `control_modulation_index` (noise against a
            second draw of it), `texture_selectivity`, `noise_selectivity` (sparseness over
            families), `texture_sparseness`, `noise_sparseness` (over all samples),
            `texture_variance_ratio`, `sample_variance`, `family_variance` (shares), `max_texture`,
            `max_noise` (spikes/s, see `firing_rates`). NaN for units that are not active.
        index: (n_units, n_families), the modulation index of each family; NaN where a unit does
            not respond to it.
        control: the same for noise against noise.
        negative_share: of the activations that were below 0.
        negative_units: how many units had any.
    """

    units: pd.DataFrame
    index: np.ndarray
    control: np.ndarray
    negative_share: float
    negative_units: int


def texture_tuning(
    responses: xr.DataArray,
    *,
    negative: Negative = "rectify",
    baseline: Baseline = "subtract",
    scale: RateScale | None = None,
) -> TextureTuning:
    """Tabulate the properties of units from their responses to textures (`texture_responses`).

    Negative activations are set to 0, then the response to gray is subtracted and what falls
    below 0 is set to 0, as with the neurons (docs/papers/lcl-v2.md 5.2). Without a rectification
    (t - n) / (t + n) would have no meaning, so a tap that gives negative values is either
    rectified, which changes what its units are, or refused.

    Args:
        responses: (type, family, sample, unit).
        negative: `refuse` raises where an activation is below 0.
        baseline: `keep` leaves the response to gray in.
        scale: of activations to spikes/s; default one that gives the median active unit of these
            a largest response of 33.8. One from gratings (`tuning_table`) compares better.

    Raises:
        InputError: negative activations, where they are refused.
    """
    values = responses.transpose("unit", "type", "family", "sample").to_numpy().astype(float)
    below = values < 0
    negative_share, negative_units = float(below.mean()), int(below.any(axis=(1, 2, 3)).sum())
    if negative_units and negative == "refuse":
        worst = int(np.argmin(values.min(axis=(1, 2, 3))))
        raise InputError(
            f"tap {responses.attrs.get('tap', '')!r}: {negative_share:.0%} of responses to "
            f"textures are negative (of {negative_units} of {len(values)} units; unit {worst} "
            f"reaches {values.min():.3g}), so (t - n) / (t + n) has no meaning. Name a tap behind "
            "a rectification, or set negative=rectify."
        )
    rates = values.clip(0, None)
    blank = np.maximum(responses["blank"].to_numpy().astype(float), 0)
    peak = rates.reshape(len(rates), -1).max(axis=1)
    base = blank if baseline == "subtract" else np.zeros_like(blank)
    driven = (rates - base[:, None, None, None]).clip(0, None)
    driven[driven <= NEGLIGIBLE * peak[:, None, None, None]] = 0
    active = driven.any(axis=(1, 2, 3))
    driven[~active] = np.nan
    types = [str(t) for t in responses["type"].to_numpy()]
    texture, noise, second_noise = (driven[:, types.index(t)] for t in TYPES)
    index = texture_modulation_index(texture, noise)
    control = texture_modulation_index(second_noise, noise)

    scale = scale or rate_scale(np.where(active, peak, np.nan), blank)
    counts = SECONDS * scale(rates[:, types.index("texture")])
    counts[~active] = np.nan
    ratio, sample_share, family_share = variance_ratio(counts)
    table = pd.DataFrame({"unit": responses["unit"].to_numpy(), "active": active})
    table["reason"] = np.select(
        [active, peak <= 0],
        ["", "no response above 0 to any texture or noise"],
        "no response above that to gray",
    )
    table["blank"] = blank
    table["texture_modulation_index"] = mean_of(index)
    table["absolute_texture_modulation_index"] = table["texture_modulation_index"].abs()
    table["control_modulation_index"] = mean_of(control)
    for name, shown in (("texture", texture), ("noise", noise)):
        table[f"{name}_selectivity"] = sparseness(mean_of(shown))
        table[f"{name}_sparseness"] = sparseness(shown.reshape(len(shown), -1))
    table["texture_variance_ratio"] = ratio
    table["sample_variance"], table["family_variance"] = sample_share, family_share
    for name, shown in (("texture", texture), ("noise", noise)):
        table[f"max_{name}"] = scale.slope * shown.reshape(len(shown), -1).max(axis=1)
    return TextureTuning(table, index, control, negative_share, negative_units)
