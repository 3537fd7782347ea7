"""Tuning networks to brain responses, growing them from photographs, training them with labels."""

from striate.learning.common.config import AugmentConfig
from striate.learning.growing.config import GrowConfig
from striate.learning.growing.run import grow
from striate.learning.recognition.config import AttackConfig, TrainConfig
from striate.learning.recognition.run import train
from striate.learning.tuning.config import TuneConfig
from striate.learning.tuning.run import tune
from striate.learning.tuning.targets import TuneData

__all__ = [
    "AttackConfig",
    "AugmentConfig",
    "GrowConfig",
    "TrainConfig",
    "TuneConfig",
    "TuneData",
    "grow",
    "train",
    "tune",
]
