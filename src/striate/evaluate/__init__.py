"""Scientific questions, one file each: does tuning to a brain area help."""

from striate.evaluate.compare import Result, compare
from striate.evaluate.config import CompareConfig, DataConfig, ModelConfig, RunConfig

__all__ = ["CompareConfig", "DataConfig", "ModelConfig", "Result", "RunConfig", "compare"]
