"""One of several processes that share batches; started by test_distributed under torchrun."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from striate.learning import TuneConfig, tune
from striate.learning.common.batches import shard_sizes
from striate.learning.common.distributed import make_fabric
from striate.learning.tuning.loop import make_optimizer
from striate.learning.tuning.module import Tuner
from tests.learning.tiny import tiny_data, tiny_model

BATCHES = (8, 7, 2, 1)
CONFIGS = {
    "contrastive": TuneConfig(learn_temperature=True, batch_size=7, epochs=2, order="mixed"),
    "symmetric_tap": TuneConfig(direction="symmetric", tap="features.3", tap_grid=2),
    "regression": TuneConfig.regression(batch_size=7, epochs=2),
}


def gradients(name: str, batch: int) -> dict[str, torch.Tensor]:
    """The gradients of one batch after data-parallel averaging, in float64."""
    fabric = make_fabric("cpu", "32")
    config = CONFIGS[name]
    data = tiny_data(units=9)
    tuner = Tuner(tiny_model(dropout=0.0), [9, 5], config).double()
    tuner.model.network.register_forward_pre_hook(lambda _, x: (x[0].double(),))
    module, _ = fabric.setup(tuner, make_optimizer(tuner, config))
    tuner.train()
    sizes = shard_sizes(batch, fabric.world_size)
    first = sum(sizes[: fabric.global_rank])
    share = slice(first, first + sizes[fabric.global_rank])
    images = torch.from_numpy(data.images[:batch])[share]
    if not len(images):
        images = torch.from_numpy(data.images[:1])
    responses = torch.from_numpy(data.responses[:batch]).double()
    fabric.backward(module(images, responses, 0, sizes))
    return {n: p.grad.clone() for n, p in tuner.named_parameters() if p.grad is not None}


def main(out: Path) -> None:
    torch.set_num_threads(1)
    for name in CONFIGS:
        for batch in BATCHES:
            if batch == 1 and name != "regression":
                continue
            batch_gradients = gradients(name, batch)
            if torch.distributed.get_rank() == 0:
                torch.save(batch_gradients, out / f"{name}-{batch}.pt")
    for name in ("contrastive", "regression"):
        data = [tiny_data("A", n=40), tiny_data("B", n=35, units=7, seed=1)]
        folder = out / name
        tune(tiny_model(dropout=0.0), data, CONFIGS[name], folder, device="cpu", progress=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
