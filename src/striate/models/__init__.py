"""Networks with named taps: the registry, weights and saved model folders."""

from striate.models import entries as entries  # registers them
from striate.models.model import Model
from striate.models.preprocessing import Preprocessing
from striate.models.receptive_field import (
    Field,
    ReceptiveField,
    matched_taps,
    probe_receptive_field,
    receptive_field,
)
from striate.models.recognition import recognition_model
from striate.models.registry import build_network, list_models, load, random_twin
from striate.models.stages import check_stages
from striate.models.store import is_model_folder, save
from striate.models.taps import evaluating, resolve_tap
from striate.models.validate import validate
from striate.models.weights import load_state

__all__ = [
    "Field",
    "Model",
    "Preprocessing",
    "ReceptiveField",
    "build_network",
    "check_stages",
    "evaluating",
    "is_model_folder",
    "list_models",
    "load",
    "load_state",
    "matched_taps",
    "probe_receptive_field",
    "random_twin",
    "receptive_field",
    "recognition_model",
    "resolve_tap",
    "save",
    "validate",
]
