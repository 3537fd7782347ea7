"""Recognition models: the front of any model, with its weights, and a back-end to train."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from striate.core.errors import InputError
from striate.models.lineage import describe_weights
from striate.models.model import Model
from striate.models.networks.recognition import RecognitionConfig, RecognitionNet
from striate.models.receptive_field import receptive_field
from striate.models.registry import build_network
from striate.models.taps import resolve_tap

ID = "recognition"
BACK_TAPS = ("conv3", "conv4", "conv5", "fc6", "fc7", "classifier")


def recognition_model(
    front: Model,
    classes: Sequence[str],
    *,
    tap: str | None = None,
    frozen: bool = True,
    image_size: int | None = None,
    seed: int = 0,
    back: Mapping[str, Any] | None = None,
) -> Model:
    """Put an untrained AlexNet-shaped back-end behind the first taps of a model.

    Args:
        front: any model whose network can be built by its id; not changed. A recognition model
            gives its own front (taps with or without `front.`).
        classes: names of the classes.
        tap: the front's last module; None: the last of its default taps.
        frozen: whether the front stays unchanged in training.
        image_size: side of the images in pixels; None: the front's own.
        seed: seed of the back-end's random weights.
        back: further fields of `RecognitionConfig`.

    Returns:
        A model in eval mode. Its default taps are the front's up to `tap`, as `front.…`, and all
        stages of the back-end. `provenance["seen"]` is that of the front.

    Raises:
        InputError: unknown tap (nearest offered), one that gives no map, a network that has no id,
            or images smaller than the receptive field of the front.
    """
    id, options, network, taps = _describe_front(front)
    tap = tap.removeprefix("front.") if tap and network is not front.network else tap
    tap = tap or taps[-1]
    resolve_tap(network, tap)
    size = image_size or front.preprocessing.size
    _check_size(front, network, tap, size)
    config = RecognitionConfig.from_dict(
        {
            **(back or {}),
            "front": {"id": id, "options": options, "tap": tap, "frozen": frozen},
            "classes": tuple(classes),
        },
        source="the back-end",
    )
    recognition_net = build_network(ID, seed, config.to_dict())
    assert isinstance(recognition_net, RecognitionNet)
    state = network.state_dict()
    recognition_net.front.load_state_dict({k: state[k] for k in recognition_net.front.state_dict()})
    front_taps = taps[: taps.index(tap) + 1] if tap in taps else (tap,)
    return Model(
        ID,
        recognition_net,
        replace(front.preprocessing, size=size),
        [*(f"front.{t}" for t in front_taps), *BACK_TAPS],
        {
            **copy.deepcopy(front.provenance),
            "base": front.id,
            "front": describe_weights(front),
            "source": f"front of {front.id} ({describe_weights(front)}), back-end of random "
            f"weights (seed {seed})",
            "stages_in_source": len(front.provenance["stages"]),
        },
        config.to_dict(),
    ).eval()


def _describe_front(front: Model) -> tuple[str, dict[str, Any], Any, tuple[str, ...]]:
    """Return id, options, network and taps of the front."""
    network = front.network
    if isinstance(network, RecognitionNet):
        front_config = network.config.front
        taps = tuple(t.removeprefix("front.") for t in front.taps if t.startswith("front."))
        return front_config.id, front_config.options, network.front, taps or (front_config.tap,)
    return front.id.partition("@")[0], front.options, network, front.taps


def _check_size(front: Model, network: Any, tap: str, size: int) -> None:
    """Refuse images that are smaller than the receptive field of the front's units."""
    try:
        field = receptive_field(network, tap, input_size=max(size, front.preprocessing.size)).size
    except InputError:
        return  # without a field of fixed size, the map's shape is checked when it is built
    if size < field:
        raise InputError(
            f"images of {size} px are smaller than the receptive field of {front.id}'s {tap} "
            f"({field} px). Choose image_size={field} or more, or an earlier tap."
        )
