"""One of several processes that train one model; started by test_train under torchrun."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import Tensor

from striate.learning import TrainConfig
from striate.learning.common.distributed import make_fabric
from striate.learning.recognition.loop import TrainLoop
from striate.learning.recognition.module import Recognizer
from tests.learning.tiny import tiny_labeled, tiny_recognizer
from tests.learning.worker import work_train

ATTACK = {"eps": 0.3, "steps": 2}
CASES = {"frozen": (True, {}), "attacked": (False, {"attack": ATTACK, "label_smoothing": 0.1})}
RUN = {"epochs": 2, "batch_size": 9, "learning_rate": 0.05, "frozen": False, "dropout": 0.0}


def gradients(name: str, batch: int, folder: Path) -> dict[str, Tensor]:
    """The gradients of the first step after data-parallel averaging, in float64."""
    frozen, changes = CASES[name]
    config = TrainConfig.from_dict({"batch_size": batch, "learning_rate": 1e-9, **changes})
    recognizer = Recognizer(tiny_recognizer(frozen, dropout=0.0), config).double()
    recognizer.network.register_forward_pre_hook(lambda _, x: (x[0].double(),))
    images, labels, _ = tiny_labeled()
    loop = TrainLoop(
        make_fabric("cpu", "32"), recognizer, images, labels, config, folder, progress=False
    )
    loop._do_step(*loop._load_batch(0), 1.0)
    return {n: p.grad.clone() for n, p in recognizer.named_parameters() if p.grad is not None}


def main(out: Path) -> None:
    torch.set_num_threads(1)
    for name in CASES:
        for batch in (8, 5):
            batch_gradients = gradients(name, batch, out / f"{name}-{batch}")
            if torch.distributed.get_rank() == 0:
                torch.save(batch_gradients, out / f"{name}-{batch}.pt")
    work_train({**RUN, "cache_gb": 0}, out / "run")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
