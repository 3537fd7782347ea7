"""What look-alikes outside of test do to scores: with and without them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from striate.encoding import mean_r
from striate.encoding.scores import score_r
from striate.evaluate.common.lookalikes import crossing
from striate.evaluate.tuned.measure import Bench, roi_key
from striate.evaluate.tuned.tables import ScoredTarget

COLUMNS = ["subject", "hemisphere", "roi", "model", "n", "r", "n_without", "r_without"]


def effect_table(bench: Bench, scored: Sequence[ScoredTarget]) -> pd.DataFrame:
    """Mean r on all test stimuli, and without those that look like an image outside of test.

    One row a subject x ROI x model, for subjects with such stimuli alone; empty where none has.
    `r` is of the predictions of all test stimuli together, and so is `r_without`.
    """
    rows = []
    for one in {(s.folder, roi_key(s.target), s.method): s for s in scored}.values():
        subject, roi = one.target.subject, one.roi
        near = crossing(bench.split, subject)
        if not len(near):
            continue
        read = bench.split.part(subject, *bench.config.encode.parts)
        keep = ~np.isin(read[one.stimuli], near)
        known = keep.sum() > 2
        without = score_r(roi.observed[keep], roi.predictions[keep]) if known else np.array([])
        values = (
            subject,
            one.target.hemisphere,
            one.target.roi,
            one.method,
            len(keep),
            mean_r(score_r(roi.observed, roi.predictions)),
            int(keep.sum()),
            mean_r(without) if known else float("nan"),
        )
        rows.append(dict(zip(COLUMNS, values, strict=True)))
    return pd.DataFrame(rows, columns=COLUMNS)
