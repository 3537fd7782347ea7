"""One of several processes that grow stages; started by test_layerwise under torchrun."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import nn

from striate.core.draws import share_of
from striate.learning.common.batchnorm import share_statistics
from striate.learning.common.distributed import make_fabric
from striate.learning.growing.module import Layerwise

BATCH = 12


def tiny_stages() -> list[nn.Module]:
    torch.manual_seed(3)
    return [
        nn.Sequential(
            nn.Conv2d(3, 6, 3, stride=2), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2, 1)
        ),
        nn.Sequential(nn.Conv2d(6, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU()),
    ]


def tiny_learner(**options: object) -> Layerwise:
    stages = tiny_stages()
    torch.manual_seed(4)
    how: dict = {"projector": 5, **options}
    return Layerwise(stages, [6, 8], [slice(0, 3), slice(1, 4)], **how)


def tiny_views(batch: int = BATCH) -> dict[int, torch.Tensor]:
    draw = torch.Generator().manual_seed(5)
    first = {k: torch.randn(batch, 3, 9 + 4 * k, 9 + 4 * k, generator=draw) for k in (0, 1)}
    noise = {k: 0.3 * torch.randn(x.shape, generator=draw) for k, x in first.items()}
    return {k: torch.stack([x, x + noise[k]]) for k, x in first.items()}


def gradients(**options: object) -> dict[str, torch.Tensor]:
    """Gradients and statistics after one step on the shared batch, in float64."""
    fabric = make_fabric("cpu", "32")
    learner = tiny_learner(**options).double()
    if fabric.world_size > 1:
        share_statistics(learner)
    module, _ = fabric.setup(learner, torch.optim.SGD(learner.parameters(), 0.1))
    learner.train()
    share = share_of(BATCH, fabric.global_rank, fabric.world_size)
    views = {k: pair[:, share].double() for k, pair in tiny_views().items()}
    if options.get("credit") == "end_to_end":
        views.pop(0)
    outcomes = module(views)
    fabric.backward(sum(o.correlation.loss for o in outcomes.values()))
    results = {n: p.grad.clone() for n, p in learner.named_parameters() if p.grad is not None}
    results |= {n: b.clone() for n, b in learner.named_buffers() if "running" in n}
    return results | {f"loss{k}": o.correlation.loss.detach() for k, o in outcomes.items()}


CASES: dict[str, dict[str, object]] = {
    "layerwise": {},
    "end_to_end": {"credit": "end_to_end"},
    "bare": {"projector": None, "position": "mean"},
}


def main(out: Path) -> None:
    torch.set_num_threads(1)
    for name, options in CASES.items():
        results = gradients(**options)
        if torch.distributed.get_rank() == 0:
            torch.save(results, out / f"{name}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
