"""What a page tells of a training in few numbers."""

from __future__ import annotations

import pandas as pd

from striate.evaluate.recognition.summary import epoch_means


def test_an_epoch_is_the_mean_of_its_batches_at_its_last_step() -> None:
    log = pd.DataFrame(
        {
            "epoch": [1, 1, 2],
            "step": [1, 2, 3],
            "loss": [2.0, 1.0, 0.5],
            "accuracy": [0.0, 0.5, 1.0],
        }
    )
    first, second = epoch_means(log).to_dict("records")
    assert first == {"epoch": 1, "step": 2, "loss": 1.5, "accuracy": 0.25}
    assert (second["step"], second["loss"]) == (3, 0.5)
