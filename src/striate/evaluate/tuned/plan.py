"""What a run will do and what it will take, said before it starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from striate.core.compute import Compute
from striate.data import Dataset, Split
from striate.encoding import predict_cost
from striate.evaluate.common.cost import duration, time_pass, training_bytes
from striate.evaluate.tuned.config import RunConfig
from striate.evaluate.tuned.models import ModelSpec
from striate.learning import TuneConfig
from striate.models import Model

RUNTIME_GB = 0.4
"""What Python and PyTorch take before anything is loaded."""


@dataclass(frozen=True)
class Step:
    """One line of a plan.

    Attributes:
        what: in words.
        models: how many models it makes or scores.
        images: image passes in all (forward and backward for tuning).
        seconds: predicted, from a timed batch on this machine; caches make it less.
        memory_gb: predicted peak.
    """

    what: str
    models: int
    images: int
    seconds: float
    memory_gb: float


@dataclass(frozen=True)
class Plan:
    """The steps of a run, in order."""

    steps: tuple[Step, ...]

    @property
    def seconds(self) -> float:
        """Predicted time of all steps."""
        return sum(step.seconds for step in self.steps)

    @property
    def memory_gb(self) -> float:
        """Predicted peak over the steps."""
        return max(step.memory_gb for step in self.steps)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "steps": [asdict(step) for step in self.steps],
            "seconds": self.seconds,
            "memory_gb": self.memory_gb,
        }

    def __str__(self) -> str:
        lines = [
            f"  {s.what}: {s.models} model{'s' if s.models > 1 else ''}, {s.images:,} images "
            f"passed, about {duration(s.seconds)}, up to {s.memory_gb:.1f} GB"
            for s in self.steps
        ]
        lines.append(
            f"  predicted on this machine: {duration(self.seconds)}, at most "
            f"{self.memory_gb:.1f} GB of memory"
        )
        return "\n".join(lines)


def make_plan(
    config: RunConfig,
    dataset: Dataset,
    split: Split,
    specs: Sequence[ModelSpec],
    model: Model,
    compute: Compute,
    *,
    scoring: bool = True,
) -> Plan:
    """Predict time and memory of a run from its shapes and a few timed batches."""
    # The forward pass is the same for every method, so it is timed once.
    taps = tuple(config.encode.taps or model.taps)
    seconds, _ = time_pass(model, taps, compute, backward=False) if scoring else (0.0, 0)
    steps = []
    for method in dict.fromkeys(spec.method for spec in specs):
        method_specs = [spec for spec in specs if spec.method == method]
        tuning = method_specs[0].tuning
        if tuning is not None:
            steps.append(_plan_tuning(split, method_specs, tuning, model, compute))
        if scoring:
            steps.append(_plan_scoring(config, dataset, split, method_specs, model, taps, seconds))
    return Plan(tuple(steps))


def _plan_scoring(
    config: RunConfig,
    dataset: Dataset,
    split: Split,
    specs: Sequence[ModelSpec],
    model: Model,
    taps: Sequence[str],
    seconds: float,
) -> Step:
    sizes = [len(split.part(s, *config.encode.parts)) for spec in specs for s in spec.scored]
    cost = predict_cost(
        model, max(sizes), max(sizes), config.encode.projection, taps, config.batch_size
    )
    responses = max(8 * len(dataset[s].responses.unit_ids) * max(sizes) for s in dataset)
    # Projection and ridge come on top of the forward pass: about a third of it, as measured on
    # recordings of a thousand images.
    return Step(
        f"score {specs[0].method}",
        len(specs),
        sum(sizes),
        1.3 * sum(sizes) * seconds,
        (cost.memory + 4 * responses) / 1e9 + RUNTIME_GB,
    )


def _plan_tuning(
    split: Split, specs: Sequence[ModelSpec], tuning: TuneConfig, model: Model, compute: Compute
) -> Step:
    sizes = [len(split.part(t.subject, "tune")) for spec in specs for t in spec.tuned_to]
    taps = (tuning.tap,) if tuning.tap else ()
    compute = replace(compute, precision=tuning.precision)
    seconds, saved_bytes = time_pass(model, taps, compute, backward=True)
    images = tuning.epochs * sum(sizes)
    in_memory = min(tuning.batch_size, max(sizes)) * saved_bytes + training_bytes(model)
    memory = in_memory / 1e9 + RUNTIME_GB
    return Step(f"tune {specs[0].method}", len(specs), images, images * seconds, memory)
