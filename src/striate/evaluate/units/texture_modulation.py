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
    """Show a model textures and noise of their spectrum; compare its taps, shallow to deep.

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

    There are two kinds of resamples, which are never mixed: over families (the units stay), which
    say whether it holds for other textures, and over units (the families stay), which say whether
    it holds for other units. Families are resampled alike for all taps, so that differences are
    paired, and fewer than `resampling.FEW` are left out one at a time, as a bootstrap of six is too
    narrow (`encoding.make_resampling`). The units of each tap are drawn independently.

    Raises:
        InputError: no tap.
    """
    if not tunings:
        raise InputError("texture modulation needs at least one tap.")
    draws = {
        tap: _Draws(tuning.index, tuning.control, samples, seed + i)
        for i, (tap, tuning) in enumerate(tunings.items())
    }
    family_draws = make_resampling(len(families), samples=samples, seed=seed)
    taps, by_family, differences = [], [], []
    for tap, tuning in tunings.items():
        active = tuning.units["active"]
        index = tuning.units.loc[active, "texture_modulation_index"]
        row = {"tap": tap, "units": len(active), "active": int(active.sum())}
        row["families"] = len(families)
        row |= draws[tap].make_columns("mean", "index", family_draws)
        row |= draws[tap].make_columns("control", "control", family_draws)
        row["positive"] = float((index > 0).mean()) if len(index) else float("nan")
        row["negative_share"] = tuning.negative_share
        row["negative_units"] = tuning.negative_units
        taps.append(row)
        means = mean_of(tuning.index, axis=0), mean_of(tuning.control, axis=0)
        for name, value, control in zip(families, *means, strict=True):
            by_family.append({"tap": tap, "family": name, "index": value, "control": control})
    for earlier, later in pairwise(tunings):
        row = {"later": later, "earlier": earlier}
        differences.append(row | draws[later].subtract(draws[earlier], family_draws))
    units = [tuning.units.assign(tap=tap) for tap, tuning in tunings.items()]
    return TextureModulation(
        pd.concat(units, ignore_index=True),
        pd.DataFrame(by_family),
        pd.DataFrame(taps),
        pd.DataFrame(differences),
    )


def mean_over_units(index: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Average over units each unit's mean over resampled families.

    Args:
        index: (n_units, n_families); NaN where a unit does not respond to a family.
        counts: (n_samples, n_families), how often each family was drawn.

    Returns:
        (n_samples,). A unit that responds to none of the drawn families is left out there.
    """
    defined = np.isfinite(index)
    total = counts @ np.where(defined, index, 0).T
    n = counts @ defined.T.astype(float)
    return mean_of(np.divide(total, n, out=np.full(total.shape, np.nan), where=n > 0))


class _Draws:
    """The bootstraps of one tap."""

    def __init__(self, index: np.ndarray, control: np.ndarray, samples: int, seed: int) -> None:
        self.values = {"index": index, "control": control}
        self.samples, self.seed = samples, seed

    def average(self, kind: str) -> float:
        """Average over families, then over units."""
        return float(mean_of(mean_of(self.values[kind]), axis=0))

    def draw_units(self, kind: str) -> np.ndarray:
        """Average resampled units; empty where there are not two."""
        means = mean_of(self.values[kind])
        means = means[np.isfinite(means)]
        if len(means) < 2:
            return np.empty(0)
        counts = bootstrap_counts(len(means), self.samples, self.seed)
        return np.asarray(counts @ means / len(means))

    def draw_families(self, kind: str, family_draws: Resampling) -> np.ndarray:
        """Average over units with families resampled."""
        return mean_over_units(self.values[kind], family_draws.counts)

    def make_columns(self, name: str, kind: str, family_draws: Resampling) -> dict[str, float]:
        """Make the columns of a mean with its intervals."""
        families, units = self.draw_families(kind, family_draws), self.draw_units(kind)
        return _make_intervals(name, self.average(kind), family_draws, families, units)

    def subtract(self, earlier: _Draws, family_draws: Resampling) -> dict[str, float]:
        """Make the columns of this tap's mean less an earlier tap's."""
        units, earlier_units = self.draw_units("index"), earlier.draw_units("index")
        unit_gaps = units - earlier_units if units.size and earlier_units.size else np.empty(0)
        families = self.draw_families("index", family_draws)
        family_gaps = families - earlier.draw_families("index", family_draws)
        gap = self.average("index") - earlier.average("index")
        row = _make_intervals("difference", gap, family_draws, family_gaps, unit_gaps)
        by_family, earlier_by_family = (
            mean_of(draws.values["index"], axis=0) for draws in (self, earlier)
        )
        row["p_families"] = sign_flip_p(by_family - earlier_by_family)
        row["larger_families"] = int(np.sum(by_family > earlier_by_family))
        row["families"] = len(by_family)
        return row


def _make_intervals(
    name: str, value: float, family_draws: Resampling, families: np.ndarray, units: np.ndarray
) -> dict[str, float]:
    """Make the columns of a value with its intervals over families and over units."""
    over_families = family_draws.interval(value, families)
    over_units = percentile_interval(value, units)
    return {
        name: value,
        f"{name}_families_low": over_families.low,
        f"{name}_families_high": over_families.high,
        f"{name}_units_low": over_units.low,
        f"{name}_units_high": over_units.high,
    }
