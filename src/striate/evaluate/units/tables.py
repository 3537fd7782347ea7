"""The tables of a probing run, from what was measured of each model and tap."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from striate.evaluate.units.config import ProbeConfig
from striate.evaluate.units.firing_rates import RateScale, rate_scale
from striate.evaluate.units.published_histograms import Histogram, compare
from striate.evaluate.units.texture_modulation import compare_taps
from striate.evaluate.units.texture_tuning import TextureTuning, texture_tuning

Place = tuple[str, str]
"""A model's name and a tap."""
MANY = 0.01
"""Share of negative responses above which a reader is told (ours)."""


def assemble(
    config: ProbeConfig,
    tuning: Mapping[Place, pd.DataFrame],
    responses: Mapping[Place, xr.DataArray],
    published: Mapping[str, Histogram],
) -> tuple[dict[str, pd.DataFrame], list[str]]:
    """Make every table of a run that is not of the stimuli, by name, and notes for the reader.

    Raises:
        InputError: negative responses to textures, where they are refused.
    """
    tables: dict[str, pd.DataFrame] = {}
    notes: list[str] = []
    if tuning:
        tables["tuning"] = _stacked(tuning)
        silent = _silent({place: own["responds"] for place, own in tuning.items()})
        if silent:
            notes.append(f"units that do not respond to gratings have no properties: {silent}.")
    if responses:
        tunings = {
            place: _textures(config, own, tuning.get(place)) for place, own in responses.items()
        }
        tables["textures"] = _stacked({place: own.units for place, own in tunings.items()})
        families = [str(f) for f in next(iter(responses.values()))["family"].to_numpy()]
        tables |= _modulation(config, tunings, families)
        notes += [note for place, own in tunings.items() for note in _told(place, own)]
        silent = _silent({place: own.units["active"] for place, own in tunings.items()})
        if silent:
            notes.append(
                f"units that never respond to textures or noise are left out of means: {silent}."
            )
    if published:
        tables["similarity"] = _similarity(config, tables, published)
    return tables, notes


def _stacked(tables: Mapping[Place, pd.DataFrame]) -> pd.DataFrame:
    """One table with `model` and `tap` in front."""
    parts = []
    for (name, tap), own in tables.items():
        part = own.copy()
        part.insert(0, "model", name)
        part.insert(1, "tap", tap)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def _textures(
    config: ProbeConfig, responses: xr.DataArray, tuning: pd.DataFrame | None
) -> TextureTuning:
    scale: RateScale | None = None
    if tuning is not None and tuning["responds"].any():
        known = tuning[tuning["responds"]]
        scale = rate_scale(known["max_f0"].to_numpy(), known["blank"].to_numpy())
        scale = scale if np.isfinite(scale.slope) else None
    return texture_tuning(
        responses, negative=config.negative, baseline=config.baseline, scale=scale
    )


def _modulation(
    config: ProbeConfig, tunings: Mapping[Place, TextureTuning], families: list[str]
) -> dict[str, pd.DataFrame]:
    """Texture modulation by tap, family and pair of taps, for each model."""
    parts: dict[str, list[pd.DataFrame]] = {"modulation": [], "differences": [], "families": []}
    for name in dict.fromkeys(model for model, _ in tunings):
        own = {tap: t for (model, tap), t in tunings.items() if model == name}
        found = compare_taps(own, families, samples=config.bootstrap, seed=config.seed)
        for kind, table in zip(parts, (found.taps, found.differences, found.families), strict=True):
            if len(table):
                parts[kind].append(table.assign(model=name)[["model", *table.columns]])
    return {
        f"texture_{kind}": pd.concat(tables, ignore_index=True)
        for kind, tables in parts.items()
        if tables
    }


def _told(place: Place, own: TextureTuning) -> list[str]:
    name, tap = place
    notes = []
    if own.negative_share > 0:
        much = f"{own.negative_share:.1%}" if own.negative_share > MANY else "few"
        notes.append(
            f"{name}, {tap}: {much} of the responses to textures are negative "
            f"({own.negative_units} units) and were set to 0, as a modulation index has no meaning "
            "otherwise. These are not the units as the network uses them."
        )
    return notes


def _silent(there: Mapping[Place, pd.Series]) -> str:
    """How many units of each tap are not there, in a few words; empty where all are."""
    return ", ".join(
        f"{name} {tap} {int((~own).sum())} of {len(own)}"
        for (name, tap), own in there.items()
        if not own.all()
    )


def _similarity(
    config: ProbeConfig, tables: Mapping[str, pd.DataFrame], published: Mapping[str, Histogram]
) -> pd.DataFrame:
    """Similarity of each published distribution with that of each tap."""
    rows: list[dict[str, Any]] = []
    for name, histogram in published.items():
        for table, there in (
            (tables.get("tuning"), "responds"),
            (tables.get("textures"), "active"),
        ):
            if table is None or name not in table:
                continue
            for (model, tap), own in table.groupby(["model", "tap"], sort=False):
                values = own.loc[own[there], name].to_numpy(dtype=float)
                found = compare(values, histogram, config.bootstrap, config.seed)
                rows.append({"model": model, "tap": tap, "property": name, **vars(found)})
    return pd.DataFrame(rows, columns=[*("model", "tap", "property"), *_SIMILARITY])


_SIMILARITY = ("mean", "low", "high", "ceiling", "units", "undefined", "neurons")
