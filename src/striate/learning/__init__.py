"""Tuning networks to brain responses: contrastive, regression, one subject or pooled."""

from striate.learning.config import AugmentConfig, TuneConfig
from striate.learning.targets import TuneData
from striate.learning.tune import tune

__all__ = ["AugmentConfig", "TuneConfig", "TuneData", "tune"]
