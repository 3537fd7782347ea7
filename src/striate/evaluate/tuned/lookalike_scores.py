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
    """Average r over all test stimuli, and without those that look like an image outside of test.

    The table has one row a subject x ROI x model, only for subjects with such stimuli; it is empty
    where no subject has any. `r` and `r_without` are of the predictions of all test stimuli
    together.
    """
    rows = []
    for scored_target in {(s.folder, roi_key(s.target), s.method): s for s in scored}.values():
        target, roi = scored_target.target, scored_target.roi
        lookalikes = crossing(bench.split, target.subject)
        if not len(lookalikes):
            continue
        rows_read = bench.split.part(target.subject, *bench.config.encode.parts)
        rest = ~np.isin(rows_read[scored_target.stimuli], lookalikes)
        r_without = float("nan")
        if rest.sum() > 2:
            r_without = mean_r(score_r(roi.observed[rest], roi.predictions[rest]))
        values = (
            target.subject,
            target.hemisphere,
            target.roi,
            scored_target.method,
            len(rest),
            mean_r(score_r(roi.observed, roi.predictions)),
            int(rest.sum()),
            r_without,
        )
        rows.append(dict(zip(COLUMNS, values, strict=True)))
    return pd.DataFrame(rows, columns=COLUMNS)
