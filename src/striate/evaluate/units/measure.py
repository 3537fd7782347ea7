"""What the units of each model and tap do: tuning to gratings, responses to textures.

Each piece is kept in the run folder under the hash of what decides it, so that a run which was
stopped goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from striate.core.files import write_arrays, write_table
from striate.core.run import Pieces
from striate.data.textures.stimuli import TYPES, Textures
from striate.evaluate.units.config import ProbeConfig
from striate.evaluate.units.grating_tuning import GratingSets, physiology
from striate.evaluate.units.inputs import Probed, TapPlace
from striate.evaluate.units.properties import ADDED
from striate.evaluate.units.texture_tuning import DIMS, texture_responses

VERSION = 1
"""Raised when the meaning of a kept table changes, so that older ones are made again."""
BLOCK = 64
"""Images a forward pass."""


@dataclass(frozen=True)
class UnitResponses:
    """What was measured of each model and tap.

    Attributes:
        tuning: one row a unit, its tuning to gratings; empty where none were shown.
        textures: responses to textures; empty where none were shown.
    """

    tuning: dict[TapPlace, pd.DataFrame] = field(default_factory=dict)
    textures: dict[TapPlace, xr.DataArray] = field(default_factory=dict)


def measure(
    config: ProbeConfig,
    probed: Sequence[Probed],
    grating_sets: GratingSets,
    textures: Textures | None,
    pieces: Pieces,
    say: Callable[[str], None] = lambda line: None,
) -> UnitResponses:
    """Show gratings and textures to the units of every model and tap, or read what was kept.

    Args:
        config: which stimuli.
        probed: the models.
        grating_sets: the gratings.
        textures: None where none are shown.
        pieces: where finished pieces are kept.
        say: called before each piece is made.
    """
    responses = UnitResponses()
    for network in probed:
        for tap in network.taps:
            place = TapPlace(network.name, tap)
            if "gratings" in config.stimuli:
                path = _measure_tuning(network, tap, grating_sets, pieces, say)
                responses.tuning[place] = pd.read_parquet(path)
            if textures is not None:
                path = _measure_textures(
                    network, tap, textures, config.pixels_per_degree, pieces, say
                )
                responses.textures[place] = _load_texture_responses(path, textures, tap)
    return responses


def grating_key(network: Probed, tap: str, grating_sets: GratingSets) -> dict[str, object]:
    """Return what decides the tuning of a tap to gratings."""
    added = {"added": sorted(ADDED)} if ADDED else {}  # columns that kept tables lack
    return {
        **added,
        "what": "gratings",
        "model": network.fingerprint,
        "tap": tap,
        "protocol": repr(grating_sets),
        "version": VERSION,
    }


def _measure_tuning(
    network: Probed,
    tap: str,
    grating_sets: GratingSets,
    pieces: Pieces,
    say: Callable[[str], None],
) -> Path:
    """Make the tuning table of a tap unless it is kept, and return its file."""
    key = grating_key(network, tap, grating_sets)
    path = pieces.path(key) / "tuning.parquet"
    if pieces.load(key) is None:
        say(f"{network.name}, {tap}: gratings")
        write_table(path, physiology(network.model, tap, grating_sets))
        pieces.store(key, {"name": network.name})
    return path


def _measure_textures(
    network: Probed,
    tap: str,
    textures: Textures,
    pixels_per_degree: float,
    pieces: Pieces,
    say: Callable[[str], None],
) -> Path:
    """Record the responses of a tap to textures unless they are kept, and return their file."""
    key = {
        "what": "textures",
        "model": network.fingerprint,
        "tap": tap,
        "textures": textures.key(),
        "pixels_per_degree": pixels_per_degree,
        "version": VERSION,
    }
    path = pieces.path(key) / "responses.npz"
    if pieces.load(key) is None:
        say(f"{network.name}, {tap}: textures")
        responses = texture_responses(
            network.model, tap, textures, pixels_per_degree=pixels_per_degree, block=BLOCK
        )
        blank = responses["blank"].to_numpy()
        write_arrays(path, {"values": responses.to_numpy(), "blank": blank})
        pieces.store(key, {"name": network.name})
    return path


def _load_texture_responses(path: Path, textures: Textures, tap: str) -> xr.DataArray:
    with np.load(path) as arrays:
        values, blank = arrays["values"], arrays["blank"]
    coords = {
        "type": list(TYPES),
        "family": list(textures.families),
        "unit": np.arange(len(blank)),
        "blank": ("unit", blank),
    }
    return xr.DataArray(values, dims=DIMS, coords=coords, attrs={"tap": tap})
