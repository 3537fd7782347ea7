"""Tuning networks to brain responses, and growing them layer by layer from photographs."""

from striate.learning.config import AugmentConfig, TuneConfig
from striate.learning.grow import grow
from striate.learning.grow_config import GrowConfig
from striate.learning.targets import TuneData
from striate.learning.tune import tune

__all__ = ["AugmentConfig", "GrowConfig", "TuneConfig", "TuneData", "grow", "tune"]
