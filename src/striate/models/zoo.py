"""Any network of timm or torchvision, through the optional extra `zoo`."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

from striate.core.errors import InputError, unknown_name
from striate.models.model import Model
from striate.models.preprocessing import Preprocessing
from striate.models.weights import fill, load_state

MANY_TAPS = 8


def _library(name: str) -> ModuleType:
    package = name.partition(".")[0]
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or package
        raise InputError(
            f"{package} needs {missing}, which is not installed: pip install 'striate[zoo]'."
            if missing.partition(".")[0] != package
            else f"{package} is not installed: pip install 'striate[zoo]'."
        ) from error
    except (ImportError, RuntimeError, OSError) as error:  # built for another torch
        raise InputError(
            f"{package} is installed but cannot be imported ({error}). Install the version that "
            f"belongs to torch {torch.__version__}."
        ) from error


def build_zoo_network(id: str, seed: int = 0, *, pretrained: bool = False) -> nn.Module:
    """Build `timm:NAME` or `torchvision:NAME`, randomly initialised unless `pretrained`."""
    kind, _, name = id.partition(":")
    library = _library("torchvision.models" if kind == "torchvision" else "timm")
    names = library.list_models()
    if name.partition(".")[0] not in names:
        raise unknown_name(f"{kind} model", name, names)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed GPUs as well
        if kind == "timm":
            return library.create_model(name, pretrained=pretrained)
        return library.get_model(name, weights="DEFAULT" if pretrained else None)


def load_zoo(id: str, *, weights: str | Path | None, seed: int) -> Model:
    """Load a timm or torchvision network with its own preprocessing and evenly spread taps."""
    name, _, variant = id.partition("@")
    if variant not in ("", "random"):
        raise InputError(f"model {id!r}: after '@' only 'random' is known.")
    if variant and weights is not None:
        raise InputError(f"{id}: random weights and weights={weights} exclude each other.")
    network = build_zoo_network(name, seed, pretrained=not variant and weights is None)
    if weights is not None:
        fill(network, load_state(weights), f"weights file {weights}")
    facts: dict[str, Any] = {"base": id, "source": f"{name}, published"}
    if variant:
        facts |= {"source": "random weights", "seed": seed}
    elif weights is not None:
        facts["source"] = f"local file {Path(weights).name}"
    return Model(id, network, _preprocessing(network, name), _spread_taps(network), facts)


def _preprocessing(network: nn.Module, id: str) -> Preprocessing:
    if id.startswith("timm:"):
        data: dict[str, Any] = _library("timm.data").resolve_model_data_config(network)
        return Preprocessing(data["input_size"][-1], mean=data["mean"], std=data["std"])
    stated = _library("torchvision.models").get_model_weights(id.partition(":")[2]).DEFAULT
    transforms = stated.transforms()
    return Preprocessing(
        transforms.crop_size[0], mean=tuple(transforms.mean), std=tuple(transforms.std)
    )


def _spread_taps(network: nn.Module) -> tuple[str, ...]:
    """Choose at most eight modules, evenly over the blocks that hold parameters (ours)."""
    blocks = [n for n, m in network.named_modules() if n.count(".") == 1 and list(m.parameters())]
    if not blocks:
        blocks = [n for n, m in network.named_modules() if n and list(m.parameters())]
    step = max(1, -(-len(blocks) // MANY_TAPS))
    return tuple(blocks[step - 1 :: step])
