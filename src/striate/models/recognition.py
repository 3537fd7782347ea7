"""Recognition models: a front taken from any model, with its weights, and a back-end to train."""

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
        front: any model whose network can be built by its id; not changed. Of a recognition model
            the front is taken (taps with or without `front.`).
        classes: names of what is to be told apart.
        tap: the front's last module; None: the last of its default taps.
        frozen: whether the front stays as it is.
        image_size: side of the images in pixels; None: the front's own.
        seed: of the back-end's random weights.
        back: further fields of `RecognitionConfig`.

    Returns:
        A model in eval mode; its default taps are the front's up to `tap`, as `front.…`, and all
        stages of the back-end. `provenance["seen"]` is the front's.

    Raises:
        InputError: unknown tap (nearest offered), one that gives no map, a network that has no id,
            or images smaller than the receptive field of the front.
    """
    id, options, network, taps = _inner(front)
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
    built = build_network(ID, seed, config.to_dict())
    assert isinstance(built, RecognitionNet)
    state = network.state_dict()
    built.front.load_state_dict({k: state[k] for k in built.front.state_dict()})
    shown = taps[: taps.index(tap) + 1] if tap in taps else (tap,)
    return Model(
        ID,
        built,
        replace(front.preprocessing, size=size),
        [*(f"front.{t}" for t in shown), *BACK_TAPS],
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


def _inner(front: Model) -> tuple[str, dict[str, Any], Any, tuple[str, ...]]:
    """Id, options, network and taps of what is to be the front."""
    network = front.network
    if isinstance(network, RecognitionNet):
        own = network.config.front
        taps = tuple(t.removeprefix("front.") for t in front.taps if t.startswith("front."))
        return own.id, own.options, network.front, taps or (own.tap,)
    return front.id.partition("@")[0], front.options, network, front.taps


def _check_size(front: Model, network: Any, tap: str, size: int) -> None:
    """Refuse images that one unit of the front would see more than the whole of."""
    try:
        field = receptive_field(network, tap, input_size=max(size, front.preprocessing.size)).size
    except InputError:
        return  # no field of fixed size: the map's shape is checked when it is built
    if size < field:
        raise InputError(
            f"images of {size} px are smaller than the receptive field of {front.id}'s {tap} "
            f"({field} px). Choose image_size={field} or more, or an earlier tap."
        )
