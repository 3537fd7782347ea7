"""What deciding on images will take, said before it starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from striate.core.compute import Compute
from striate.data import StimulusSet
from striate.encoding import ProjectionConfig, predict_cost
from striate.evaluate.common.cost import duration, time_pass
from striate.models import Model


class Architecture(NamedTuple):
    """What decides how long a pass takes, whatever the weights."""

    id: str
    image_size: int


def describe(
    models: Mapping[str, Model], stimuli: Mapping[str, StimulusSet], compute: Compute
) -> str:
    """Say what deciding will take at most, from the shapes and the time of a few gray images."""
    if not models:
        return "no models to decide: tables of humans and of the decisions given"
    n_images, seconds, memory = sum(map(len, stimuli.values())), 0.0, 0
    batch = min(compute.batch_size, max(n_images, 1))
    seconds_per_image: dict[Architecture, float] = {}
    for model in models.values():
        network = Architecture(model.id, model.preprocessing.size)
        if network not in seconds_per_image:
            on_cpu = replace(compute, device="cpu")
            seconds_per_image[network], _ = time_pass(model, (), on_cpu, backward=False)
            unprojected = ProjectionConfig(kind="none")
            cost = predict_cost(model, n_images, 0, unprojected, model.taps[-1:], batch)
            memory = max(memory, cost.memory)
        seconds += seconds_per_image[network] * n_images
    return (
        f"{len(models)} models decide on {n_images:,} images: at most {memory / 1e9:.2f} GB of "
        f"memory, about {duration(seconds)} on the CPU (less what the cache holds)"
    )
