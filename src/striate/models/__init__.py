"""Networks with named taps: the registry, weights and saved model folders."""

from striate.models.model import Model
from striate.models.preprocessing import Preprocessing
from striate.models.registry import build_network, list_models, load, random_twin
from striate.models.store import is_model_folder, save
from striate.models.taps import evaluating, resolve_tap
from striate.models.weights import load_state

__all__ = [
    "Model",
    "Preprocessing",
    "build_network",
    "evaluating",
    "is_model_folder",
    "list_models",
    "load",
    "load_state",
    "random_twin",
    "resolve_tap",
    "save",
]
