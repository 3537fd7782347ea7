"""How well do models predict neurons? Neural predictivity, from data sets to tables.

- `freeman_ziemba`, `choose_taps`: V1 and V2 by Brain-Score's protocol;
- `score_model`: ridge and PLS for any recording (`striate.encoding.predict`), tap and penalty
  chosen without the test stimuli, and the tables of many models side by side.
"""

from striate.evaluate.neurons.brain_score import (
    SplitScores,
    half_consistency,
    score_splits,
    shuffled_scores,
    stratified_splits,
)
from striate.evaluate.neurons.config import FreemanZiembaConfig, PredictivityConfig
from striate.evaluate.neurons.freeman_ziemba import (
    Population,
    choose_taps,
    freeman_ziemba,
    parts_of,
    score_row,
)
from striate.evaluate.neurons.inputs import Material
from striate.evaluate.neurons.measure import score_model
from striate.evaluate.neurons.resampled import load_scored
from striate.evaluate.neurons.tables import difference_table, score_table, unit_table

__all__ = [
    "FreemanZiembaConfig",
    "Material",
    "Population",
    "PredictivityConfig",
    "SplitScores",
    "choose_taps",
    "difference_table",
    "freeman_ziemba",
    "half_consistency",
    "load_scored",
    "parts_of",
    "score_model",
    "score_row",
    "score_splits",
    "score_table",
    "shuffled_scores",
    "stratified_splits",
    "unit_table",
]
