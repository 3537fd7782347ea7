"""What `striate grow` will do and what it will take, said before it starts."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from striate.evaluate.common.cost import (
    PAIR_COPIES,
    Prediction,
    measure_step,
    peak_memory,
)
from striate.learning import GrowConfig
from striate.learning.growing.run import make_learner
from striate.models import Model
from striate.models.receptive_field import ReceptiveField

TIMED_PATCHES = 32
"""Patches of the steps on noise from which time and memory are predicted."""


def describe(fields: Sequence[ReceptiveField], config: GrowConfig) -> str:
    """Say what will be grown."""
    sides = [field.patch(config.clean) for field in fields]
    stages = ", ".join(
        f"stage {i} sees {f.size} px (patches of {side} px)"
        for i, (f, side) in enumerate(zip(fields, sides, strict=True), 1)
    )
    total = config.steps * (len(fields) if config.order == "sequential" else 1)
    number = f"{len(fields)} stage{'s' if len(fields) > 1 else ''}"
    return (
        f"{number}, {config.credit.replace('_', ' ')}: {stages}; deformation "
        f"{config.deformation}, a = {config.a:g}; {total:,} steps of {config.batch_size} patches"
    )


def predict_cost(
    model: Model, fields: Sequence[ReceptiveField], config: GrowConfig, device: torch.device
) -> Prediction:
    """Predict memory and time of all steps from a few steps on noise, of few patches each."""
    learner = make_learner(model.copy(), fields, config).to(device).train()
    patches, draw = min(config.batch_size, TIMED_PATCHES), torch.Generator().manual_seed(0)
    views = {}
    for stage, field in enumerate(fields):
        side = field.patch(config.clean)
        views[stage] = torch.randn(2, patches, 3, side, side, generator=draw).to(device)
    if config.credit == "end_to_end":
        views = {stage: views[stage] for stage in list(views)[-1:]}

    def step() -> None:
        outcomes = learner(views)
        torch.stack([o.correlation.loss for o in outcomes.values()]).sum().backward()

    cost = measure_step(learner, step, device, repeats=2)
    batches = config.batch_size / patches
    return Prediction(
        peak_memory(cost.values * batches, PAIR_COPIES), cost.seconds * batches * config.steps
    )
