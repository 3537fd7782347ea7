"""How well do models predict neurons? `predict`, and all of neural predictivity under one name.

- `freeman_ziemba`, `choose_taps`: V1 and V2 by Brain-Score's protocol;
- `predict`, `score_model`: ridge and PLS for any recording, tap and penalty chosen without the
  test stimuli, and the tables of many models side by side;
"""

from striate.evaluate.neurons.brain_score import (
    SplitScores,
    half_consistency,
    score_splits,
    shuffled_scores,
    stratified_splits,
)
from striate.evaluate.neurons.freeman_ziemba import (
    FreemanZiembaConfig,
    Population,
    choose_taps,
    freeman_ziemba,
    parts_of,
    score_row,
)
from striate.evaluate.neurons.measure import Material, PredictivityConfig, score_model
from striate.evaluate.neurons.null import null_means
from striate.evaluate.neurons.predictivity import (
    Predicted,
    ReadoutConfig,
    Round,
    grouped_rounds,
    matched_taps,
    predict,
    split_rounds,
    unit_table,
)
from striate.evaluate.neurons.tables import difference_table, load_scored, score_table

__all__ = [
    "FreemanZiembaConfig",
    "Material",
    "Population",
    "Predicted",
    "PredictivityConfig",
    "ReadoutConfig",
    "Round",
    "SplitScores",
    "choose_taps",
    "difference_table",
    "freeman_ziemba",
    "grouped_rounds",
    "half_consistency",
    "load_scored",
    "matched_taps",
    "null_means",
    "parts_of",
    "predict",
    "score_model",
    "score_row",
    "score_splits",
    "score_table",
    "shuffled_scores",
    "split_rounds",
    "stratified_splits",
    "unit_table",
]
