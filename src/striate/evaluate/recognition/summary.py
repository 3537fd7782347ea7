"""What a page tells of a training in few numbers, from its log."""

from __future__ import annotations

import pandas as pd


def epoch_means(metrics: pd.DataFrame) -> pd.DataFrame:
    """Mean `loss` and `accuracy` of each epoch's batches, at the epoch's last step.

    Args:
        metrics: one row a step: `epoch`, `step`, `loss`, `accuracy`.
    """
    epochs = metrics.groupby("epoch")
    means = epochs.agg(step=("step", "last"), loss=("loss", "mean"), accuracy=("accuracy", "mean"))
    return means.reset_index()
