"""Networks of timm and torchvision, through the optional extra `zoo`."""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

from striate.core.errors import InputError, unknown_name
from striate.models.model import Model
from striate.models.preprocessing import Preprocessing
from striate.models.weights import fill, load_state, read_metadata, stated_preprocessing

MANY_TAPS = 8


def _import_library(name: str) -> ModuleType:
    """Import timm, torchvision or a module of theirs; InputError says what is not installed."""
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
    """Build `timm:NAME` or `torchvision:NAME`, randomly initialized unless `pretrained`."""
    kind, _, name = id.partition(":")
    library = _import_library("torchvision.models" if kind == "torchvision" else "timm")
    if kind == "torchvision" and name.startswith("quantized_"):
        raise InputError(
            f"{id} is a network of whole numbers, which has no floating-point weights to tune or "
            f"to read out. Take torchvision:{name.removeprefix('quantized_')}."
        )
    names = library.list_models()
    if name.partition(".")[0] not in names:
        raise unknown_name(f"{kind} model", name, names)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed GPUs as well
        if kind == "timm":
            return library.create_model(name, pretrained=pretrained)
        return library.get_model(name, weights="DEFAULT" if pretrained else None)


def load_zoo(id: str, *, weights: str | Path | None, seed: int) -> Model:
    """Load a timm or torchvision network with its own preparation and evenly spread taps.

    Raises:
        InputError: an unknown name, a library that is absent, weights that do not fit, or a
            network that does not take square color images.
    """
    name, _, variant = id.partition("@")
    if variant not in ("", "random"):
        raise InputError(f"model {id!r}: after '@' only 'random' is known.")
    if variant and weights is not None:
        raise InputError(f"{id}: random weights and weights={weights} exclude each other.")
    network = build_zoo_network(name, seed, pretrained=not variant and weights is None)
    preprocessing = _find_preprocessing(network, name)
    facts: dict[str, Any] = {"base": id, "source": f"{name}, published"}
    if weights is not None:
        fill(network, load_state(weights), f"weights file {weights}")
        stated = stated_preprocessing(read_metadata(weights), preprocessing.size)
        preprocessing = stated or preprocessing
        facts["source"] = f"local file {Path(weights).name}"
    elif variant:
        facts |= {"source": "random weights", "seed": seed}
    return Model(id, network, preprocessing, _spread_taps(network), facts)


def _find_preprocessing(network: nn.Module, id: str) -> Preprocessing:
    """Return the preparation of images with which a network's evaluation was published.

    For timm it is `timm.data.create_transform` of the network's own config, for evaluation. For
    torchvision it is the `transforms` of the default weights (`ImageClassification`).
    """
    if id.startswith("timm:"):
        config = _import_library("timm.data").resolve_model_data_config(network)
        return _read_timm_config(config, id)
    weights = _import_library("torchvision.models").get_model_weights(id.partition(":")[2]).DEFAULT
    transforms = weights.transforms()
    needed = {"crop_size", "resize_size", "mean", "std", "interpolation"}
    missing = sorted(n for n in needed if not hasattr(transforms, n))
    if missing:
        raise InputError(
            f"{id} is prepared by {type(transforms).__name__}, which says no {', '.join(missing)}: "
            "it is no network for classifying single images, and Striate has no others."
        )
    size, short = _read_side(transforms.crop_size, id), _read_side(transforms.resize_size, id)
    filter = getattr(transforms.interpolation, "value", transforms.interpolation)
    return _make_preprocessing(
        id, "center", short, size, str(filter), transforms.mean, transforms.std
    )


def _read_timm_config(data: Mapping[str, Any], id: str) -> Preprocessing:
    """Read timm's data config, as `timm.data.transforms_imagenet_eval` does."""
    channels, *sides = data["input_size"]
    if channels != 3:
        raise InputError(
            f"{id} takes images of {channels} channels; Striate shows RGB, which is 3."
        )
    size = _read_side(sides, id)
    mode = {"center": "center", "squash": "squash", "border": "border"}.get(
        str(data.get("crop_mode") or "center")
    )
    if mode is None or data.get("crop_border_pixels"):
        setting = "crop_border_pixels" if mode else f"crop_mode {data['crop_mode']!r}"
        raise InputError(f"{id} is prepared with {setting}, which Striate does not know.")
    short = math.floor(size / (data.get("crop_pct") or 0.875))  # timm's default
    filter = str(data.get("interpolation") or "bilinear")
    return _make_preprocessing(id, mode, short, size, filter, data["mean"], data["std"])


def _read_side(sides: int | Sequence[int], id: str) -> int:
    """Return the side of a square input."""
    distinct_sides = {int(s) for s in ([sides] if isinstance(sides, int) else sides)}
    if len(distinct_sides) > 1:
        raise InputError(f"{id} takes images of {sides} pixels; Striate shows square ones.")
    return distinct_sides.pop()


def _make_preprocessing(
    id: str,
    mode: str,
    short: int,
    size: int,
    filter: str,
    mean: Sequence[float],
    std: Sequence[float],
) -> Preprocessing:
    (m0, m1, m2), (s0, s1, s2) = (x if len(x) == 3 else [x[0]] * 3 for x in (mean, std))
    channel_means = (float(m0), float(m1), float(m2))
    channel_stds = (float(s0), float(s1), float(s2))
    rule = f"{mode} {short}:{size} {filter}"
    if mode == "border":
        rule += " " + ",".join(str(round(255 * v)) for v in channel_means)
    try:
        return Preprocessing(size, rule, mean=channel_means, std=channel_stds)
    except InputError as error:
        raise InputError(
            f"{id} is prepared in a way that Striate cannot follow: {error}"
        ) from error


def _spread_taps(network: nn.Module) -> tuple[str, ...]:
    """Choose at most eight modules, evenly over the blocks that hold parameters (ours)."""
    blocks = [n for n, m in network.named_modules() if n.count(".") == 1 and list(m.parameters())]
    if not blocks:
        blocks = [n for n, m in network.named_modules() if n and list(m.parameters())]
    step = max(1, -(-len(blocks) // MANY_TAPS))
    return tuple(blocks[step - 1 :: step])
