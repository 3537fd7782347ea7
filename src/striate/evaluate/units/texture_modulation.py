"""Texture modulation by stage, with intervals: the signature of V2 is that it exceeds V1's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd

from striate.core.errors import InputError
from striate.data.textures.stimuli import Textures
from striate.encoding import Resampling, make_resampling, percentile_interval, sign_flip_p
from striate.encoding.inference import bootstrap_counts
from striate.evaluate.units.gratings import PIXELS_PER_DEGREE
from striate.evaluate.units.texture_indices import mean_of
from striate.evaluate.units.texture_tuning import (
    Baseline,
    Negative,
    TextureTuning,
    texture_responses,
    texture_tuning,
)
from striate.models import Model


@dataclass(frozen=True)
class TextureModulation:
    """Texture modulation of a model's taps.

    Attributes:
        units: `TextureTuning.units` of every tap, with a column `tap`.
        families: one row a tap and family: mean over units of the index and of the control.
        taps: one row a tap: `units`, `active`, `families`, `mean` (over active units of their
            mean over families) with `mean_families_low`, `_high` and `mean_units_low`, `_high`,
            the same of `control`, `positive` (share of active units above 0), `negative_share` and
            `negative_units` (activations below 0, set to 0).
        differences: one row a pair of taps that follow each other: `later`, `earlier`,
            `difference` of their means with both intervals, `p_families` (sign flips over
            families) and `larger_families` (in how many the later tap's mean is larger).
    """

    units: pd.DataFrame
    families: pd.DataFrame
    taps: pd.DataFrame
    differences: pd.DataFrame


def texture_modulation(
    model: Model,
    taps: Sequence[str],
    textures: Textures,
    *,
    pixels_per_degree: float = PIXELS_PER_DEGREE,
    negative: Negative = "rectify",
    baseline: Baseline = "subtract",
    samples: int = 1000,
    seed: int = 0,
) -> TextureModulation:
    """Show a model textures and noise of their spectrum, and compare its taps, shallow to deep.

    Args:
        model: runs on the device it is on.
        taps: module paths of maps, in the order of the stages.
        textures: the stimuli (`make_textures`).
        pixels_per_degree: at which the model sees them.
        negative, baseline: see `texture_tuning`.
        samples, seed: of the bootstraps.

    Raises:
        InputError: an unknown tap or one that is no map; negative activations that are refused.
    """
    tunings = {
        tap: texture_tuning(
            texture_responses(model, tap, textures, pixels_per_degree=pixels_per_degree),
            negative=negative,
            baseline=baseline,
        )
        for tap in taps
    }
    return compare_taps(tunings, textures.families, samples=samples, seed=seed)


def compare_taps(
    tunings: Mapping[str, TextureTuning],
    families: Sequence[str],
    *,
    samples: int = 1000,
    seed: int = 0,
) -> TextureModulation:
    """Summarize the taps of one model and the differences between those that follow each other.

    Two kinds of resamples, never mixed: over families (the units stay), which says whether it
    holds for other textures, and over units (the families stay), which says whether it holds for
    other units. Families are resampled alike for all taps, so that differences are paired, and
    fewer than `resampling.FEW` are left out one at a time, as a bootstrap of six is too narrow
    (`encoding.make_resampling`); units are drawn, those of two taps apart.

    Raises:
        InputError: no tap.
    """
    if not tunings:
        raise InputError("texture modulation needs at least one tap.")
    draws = {
        tap: _Draws(own.index, own.control, samples, seed + i)
        for i, (tap, own) in enumerate(tunings.items())
    }
    drawn = make_resampling(len(families), samples=samples, seed=seed)
    taps, by_family, differences = [], [], []
    for tap, own in tunings.items():
        active = own.units["active"]
        index = own.units.loc[active, "texture_modulation_index"]
        row = {"tap": tap, "units": len(active), "active": int(active.sum())}
        row["families"] = len(families)
        row |= draws[tap].row("mean", "index", drawn)
        row |= draws[tap].row("control", "control", drawn)
        row["positive"] = float((index > 0).mean()) if len(index) else float("nan")
        row["negative_share"], row["negative_units"] = own.negative_share, own.negative_units
        taps.append(row)
        means = mean_of(own.index, axis=0), mean_of(own.control, axis=0)
        for name, value, control in zip(families, *means, strict=True):
            by_family.append({"tap": tap, "family": name, "index": value, "control": control})
    for earlier, later in pairwise(tunings):
        row = {"later": later, "earlier": earlier}
        differences.append(row | draws[later].difference(draws[earlier], drawn))
    units = [own.units.assign(tap=tap) for tap, own in tunings.items()]
    return TextureModulation(
        pd.concat(units, ignore_index=True),
        pd.DataFrame(by_family),
        pd.DataFrame(taps),
        pd.DataFrame(differences),
    )


def mean_over_units(index: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Mean over units of each unit's mean over resampled families.

    Args:
        index: (n_units, n_families); NaN where a unit does not respond to a family.
        counts: (n_samples, n_families), how often each family was drawn.

    Returns:
        (n_samples,). A unit that responds to none of the drawn families is left out there.
    """
    known = np.isfinite(index)
    total = counts @ np.where(known, index, 0).T
    n = counts @ known.T.astype(float)
    return mean_of(np.divide(total, n, out=np.full(total.shape, np.nan), where=n > 0))


class _Draws:
    """The bootstraps of one tap."""

    def __init__(self, index: np.ndarray, control: np.ndarray, samples: int, seed: int) -> None:
        self.values = {"index": index, "control": control}
        self.samples, self.seed = samples, seed

    def mean(self, kind: str) -> float:
        return float(mean_of(mean_of(self.values[kind]), axis=0))

    def units(self, kind: str) -> np.ndarray:
        """Means of resampled units; none where there are not two."""
        own = mean_of(self.values[kind])
        own = own[np.isfinite(own)]
        if len(own) < 2:
            return np.empty(0)
        return np.asarray(bootstrap_counts(len(own), self.samples, self.seed) @ own / len(own))

    def families(self, kind: str, drawn: Resampling) -> np.ndarray:
        return mean_over_units(self.values[kind], drawn.counts)

    def row(self, name: str, kind: str, drawn: Resampling) -> dict[str, float]:
        value = self.mean(kind)
        return _intervals(name, value, drawn, self.families(kind, drawn), self.units(kind))

    def difference(self, earlier: _Draws, drawn: Resampling) -> dict[str, float]:
        """Of the means of two taps, this one less the earlier one."""
        pairs = self.units("index"), earlier.units("index")
        units = pairs[0] - pairs[1] if all(p.size for p in pairs) else np.empty(0)
        families = self.families("index", drawn) - earlier.families("index", drawn)
        own = [mean_of(d.values["index"], axis=0) for d in (self, earlier)]
        value = self.mean("index") - earlier.mean("index")
        row = _intervals("difference", value, drawn, families, units)
        row["p_families"] = sign_flip_p(own[0] - own[1])
        row["larger_families"] = int(np.sum(own[0] > own[1]))
        row["families"] = len(own[0])
        return row


def _intervals(
    name: str, value: float, drawn: Resampling, families: np.ndarray, units: np.ndarray
) -> dict[str, float]:
    over_families = drawn.interval(value, families)
    over_units = percentile_interval(value, units)
    return {
        name: value,
        f"{name}_families_low": over_families.low,
        f"{name}_families_high": over_families.high,
        f"{name}_units_low": over_units.low,
        f"{name}_units_high": over_units.high,
    }
