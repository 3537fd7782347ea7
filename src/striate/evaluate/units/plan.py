"""What `striate probe` will do and what it will take, said before it starts."""

from __future__ import annotations

from collections.abc import Sequence

from striate.core.run import Pieces
from striate.evaluate.common.cost import (
    FORWARD_COPIES,
    TIMED_IMAGES,
    StepCost,
    duration,
    gray_images,
    measure_step,
    peak_memory,
)
from striate.evaluate.units.config import ProbeConfig
from striate.evaluate.units.grating_tuning import GratingSets
from striate.evaluate.units.inputs import Probed
from striate.evaluate.units.measure import BLOCK, grating_key
from striate.evaluate.units.recording import record, window

DRAWING = 2.5e-8
"""Seconds to draw a pixel of a grating, as measured on a processor of 2023."""


def describe(
    config: ProbeConfig, probed: Sequence[Probed], grating_sets: GratingSets, pieces: Pieces
) -> list[str]:
    """Say what will be done, with memory and time as far as they can be predicted."""
    lines = [f"{p.name}: {p.model.id}, taps {', '.join(p.taps)}" for p in probed]
    if "gratings" not in config.stimuli:
        return lines
    sets = (
        grating_sets.orientation,
        grating_sets.frequency,
        grating_sets.size,
        grating_sets.contrast,
    )
    n_gratings = sum(len(gratings) for gratings in sets if gratings is not None)
    costs = [
        _measure_block(network, tap)
        for network in probed
        for tap in network.taps
        if pieces.load(grating_key(network, tap, grating_sets)) is None
    ]
    if costs:
        seconds = sum(cost.seconds * n_gratings / BLOCK for cost in costs)
        memory = peak_memory(max(cost.values for cost in costs), FORWARD_COPIES)
        lines.append(
            f"{n_gratings:,} gratings for each of {len(costs)} taps: about {duration(seconds)}, "
            f"at most {memory / 1e9:.1f} GB of memory"
        )
    return lines


def _measure_block(network: Probed, tap: str) -> StepCost:
    """Predict what a block of gratings takes from a few gray images."""
    model, place = network.model, window(network.model, tap)
    gray = gray_images(TIMED_IMAGES, place.size).numpy()
    cost = measure_step(model.network, lambda: record(model, tap, place, [gray]), model.device)
    return StepCost(
        cost.seconds * BLOCK / TIMED_IMAGES + DRAWING * BLOCK * place.size**2,
        cost.values * BLOCK // TIMED_IMAGES,
    )
