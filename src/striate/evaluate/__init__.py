"""Scientific questions, a room each: `config`, `run` (the verb), inputs, `measure`, `tables`."""

from striate.evaluate.behavior.config import BehaveConfig
from striate.evaluate.behavior.run import BehaveResult, behave
from striate.evaluate.common.choices import DataConfig, ModelConfig
from striate.evaluate.common.options import Options
from striate.evaluate.growth.config import GrowRunConfig
from striate.evaluate.growth.run import grow_model
from striate.evaluate.neurons.config import PredictRunConfig
from striate.evaluate.neurons.run import predict_neurons
from striate.evaluate.recognition.config import TrainRunConfig
from striate.evaluate.recognition.run import train_model
from striate.evaluate.similarity.measure import RsaResult, rsa
from striate.evaluate.tuned.config import (
    CompareConfig,
    EncodeRunConfig,
    RunConfig,
    TuneRunConfig,
)
from striate.evaluate.tuned.run import Result, compare, score_models, tune_models
from striate.evaluate.units.config import ProbeConfig
from striate.evaluate.units.run import probe

__all__ = [
    "BehaveConfig",
    "BehaveResult",
    "CompareConfig",
    "DataConfig",
    "EncodeRunConfig",
    "GrowRunConfig",
    "ModelConfig",
    "Options",
    "PredictRunConfig",
    "ProbeConfig",
    "Result",
    "RsaResult",
    "RunConfig",
    "TrainRunConfig",
    "TuneRunConfig",
    "behave",
    "compare",
    "grow_model",
    "predict_neurons",
    "probe",
    "rsa",
    "score_models",
    "train_model",
    "tune_models",
]
