"""Scientific questions, one file each, on top of one story of read, split, tune and score."""

from striate.evaluate.compare import compare
from striate.evaluate.config import (
    CompareConfig,
    DataConfig,
    EncodeRunConfig,
    ModelConfig,
    RunConfig,
    TuneRunConfig,
)
from striate.evaluate.grow import GrowRunConfig, grow_model
from striate.evaluate.probe_config import ProbeConfig
from striate.evaluate.probe_run import probe
from striate.evaluate.rsa import RsaResult, rsa
from striate.evaluate.single import score_models, tune_models
from striate.evaluate.story import Options, Result

__all__ = [
    "CompareConfig",
    "DataConfig",
    "EncodeRunConfig",
    "GrowRunConfig",
    "ModelConfig",
    "Options",
    "ProbeConfig",
    "Result",
    "RsaResult",
    "RunConfig",
    "TuneRunConfig",
    "compare",
    "grow_model",
    "probe",
    "rsa",
    "score_models",
    "tune_models",
]
