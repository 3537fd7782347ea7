"""Scientific questions, one file each, on top of one story of read, split, tune and score."""

from striate.evaluate.behavior.config import BehaveConfig
from striate.evaluate.behavior.run import BehaveResult, behave
from striate.evaluate.common.choices import DataConfig, ModelConfig
from striate.evaluate.common.options import Options
from striate.evaluate.growth.run import GrowRunConfig, grow_model
from striate.evaluate.neurons.config import PredictRunConfig
from striate.evaluate.neurons.run import predict_neurons
from striate.evaluate.recognition.config import TrainRunConfig
from striate.evaluate.recognition.run import train_model
from striate.evaluate.similarity.measure import RsaResult, rsa
from striate.evaluate.tuned.compare import compare
from striate.evaluate.tuned.config import (
    CompareConfig,
    EncodeRunConfig,
    RunConfig,
    TuneRunConfig,
)
from striate.evaluate.tuned.run import Result
from striate.evaluate.tuned.single import score_models, tune_models
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
