"""The tables of a probing run, from what was measured of each model and tap."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from striate.core.files import write_arrays, write_table
from striate.data.textures.stimuli import Textures
from striate.evaluate.units.config import ProbeConfig
from striate.evaluate.units.firing_rates import RateScale, rate_scale
from striate.evaluate.units.inputs import TapPlace
from striate.evaluate.units.measure import UnitResponses
from striate.evaluate.units.published_histograms import Histogram, compare
from striate.evaluate.units.texture_modulation import compare_taps
from striate.evaluate.units.texture_tuning import TextureTuning, texture_tuning

MANY = 0.01
"""Share of negative responses above which a reader is told (ours)."""


def write_tables(
    folder: Path,
    config: ProbeConfig,
    responses: UnitResponses,
    textures: Textures | None,
    published: Mapping[str, Histogram],
) -> list[str]:
    """Write the tables of a run and examples of its textures; return notes for the reader.

    Raises:
        InputError: negative responses to textures, where they are refused.
    """
    tables, notes = make_tables(config, responses, published)
    if textures is not None:
        tables["synthesis"] = textures.synthesis
        notes = [*textures.notes, *notes]
        examples = {"images": textures.images[:, :, 0], "families": np.array(textures.families)}
        write_arrays(folder / "examples.npz", examples)
    for old in (folder / "tables").glob("*.*"):  # of a run with other settings
        old.unlink()
    for name, table in tables.items():
        write_table(folder / f"tables/{name}.parquet", table)
        if name not in ("tuning", "textures"):
            write_table(folder / f"tables/{name}.csv", table)
    return notes


def make_tables(
    config: ProbeConfig, responses: UnitResponses, published: Mapping[str, Histogram]
) -> tuple[dict[str, pd.DataFrame], list[str]]:
    """Make every table of a run but that of the stimuli, by name, and notes for the reader.

    Raises:
        InputError: negative responses to textures, where they are refused.
    """
    tables: dict[str, pd.DataFrame] = {}
    notes: list[str] = []
    tuning = responses.tuning
    if tuning:
        tables["tuning"] = _stack_tables(tuning)
        silent = _count_silent({place: table["responds"] for place, table in tuning.items()})
        if silent:
            notes.append(f"units that do not respond to gratings have no properties: {silent}.")
    if responses.textures:
        texture_tunings = {
            place: _tune_to_textures(config, shown, tuning.get(place))
            for place, shown in responses.textures.items()
        }
        tables["textures"] = _stack_tables({p: t.units for p, t in texture_tunings.items()})
        families = [str(f) for f in next(iter(responses.textures.values()))["family"].to_numpy()]
        tables |= _compare_taps(config, texture_tunings, families)
        for place, texture_tuned in texture_tunings.items():
            notes += _note_negative(place, texture_tuned)
        silent = _count_silent({p: t.units["active"] for p, t in texture_tunings.items()})
        if silent:
            notes.append(
                f"units that never respond to textures or noise are left out of means: {silent}."
            )
    if published:
        tables["similarity"] = _compare_with_neurons(config, tables, published)
    return tables, notes


def _stack_tables(tables: Mapping[TapPlace, pd.DataFrame]) -> pd.DataFrame:
    """Join tables to one with `model` and `tap` in front."""
    labeled_tables = []
    for place, table in tables.items():
        labeled = table.copy()
        labeled.insert(0, "model", place.model)
        labeled.insert(1, "tap", place.tap)
        labeled_tables.append(labeled)
    return pd.concat(labeled_tables, ignore_index=True)


def _tune_to_textures(
    config: ProbeConfig, responses: xr.DataArray, tuning: pd.DataFrame | None
) -> TextureTuning:
    """Tabulate tuning to textures, in spikes/s on the scale that gratings give where they do."""
    scale: RateScale | None = None
    if tuning is not None and tuning["responds"].any():
        responding = tuning[tuning["responds"]]
        scale = rate_scale(responding["max_f0"].to_numpy(), responding["blank"].to_numpy())
        scale = scale if np.isfinite(scale.slope) else None
    return texture_tuning(
        responses, negative=config.negative, baseline=config.baseline, scale=scale
    )


def _compare_taps(
    config: ProbeConfig, tunings: Mapping[TapPlace, TextureTuning], families: list[str]
) -> dict[str, pd.DataFrame]:
    """Compare texture modulation by tap, family and pair of taps, for each model."""
    joined: dict[str, list[pd.DataFrame]] = {
        "texture_modulation": [],
        "texture_differences": [],
        "texture_families": [],
    }
    for name in dict.fromkeys(place.model for place in tunings):
        by_tap = {place.tap: t for place, t in tunings.items() if place.model == name}
        compared = compare_taps(by_tap, families, samples=config.bootstrap, seed=config.seed)
        model_tables = (compared.taps, compared.differences, compared.families)
        for tables, table in zip(joined.values(), model_tables, strict=True):
            if len(table):
                tables.append(table.assign(model=name)[["model", *table.columns]])
    return {kind: pd.concat(tables, ignore_index=True) for kind, tables in joined.items() if tables}


def _note_negative(place: TapPlace, tuning: TextureTuning) -> list[str]:
    """Say how many responses to textures were negative; nothing where none was."""
    if not tuning.negative_share > 0:
        return []
    amount = f"{tuning.negative_share:.1%}" if tuning.negative_share > MANY else "few"
    return [
        f"{place.model}, {place.tap}: {amount} of the responses to textures are negative "
        f"({tuning.negative_units} units) and were set to 0, as a modulation index has no meaning "
        "otherwise. These are not the units as the network uses them."
    ]


def _count_silent(responding: Mapping[TapPlace, pd.Series]) -> str:
    """Say how many units of each tap do not respond; empty where all do."""
    return ", ".join(
        f"{place.model} {place.tap} {int((~responds).sum())} of {len(responds)}"
        for place, responds in responding.items()
        if not responds.all()
    )


def _compare_with_neurons(
    config: ProbeConfig, tables: Mapping[str, pd.DataFrame], published: Mapping[str, Histogram]
) -> pd.DataFrame:
    """Compare each published distribution with that of each tap."""
    rows: list[dict[str, Any]] = []
    for name, histogram in published.items():
        for table, responding in (
            (tables.get("tuning"), "responds"),
            (tables.get("textures"), "active"),
        ):
            if table is None or name not in table:
                continue
            for (model, tap), units in table.groupby(["model", "tap"], sort=False):
                values = units.loc[units[responding], name].to_numpy(dtype=float)
                similarity = compare(values, histogram, config.bootstrap, config.seed)
                rows.append({"model": model, "tap": tap, "property": name, **vars(similarity)})
    return pd.DataFrame(rows, columns=[*("model", "tap", "property"), *_SIMILARITY])


_SIMILARITY = ("mean", "low", "high", "ceiling", "units", "undefined", "neurons")
