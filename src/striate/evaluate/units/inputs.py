"""What probing takes in: models with their maps, which have not seen the pictures shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from striate.core.errors import InputError
from striate.data import assert_unseen
from striate.data.textures.make import check_textures
from striate.data.textures.stimuli import TextureConfig
from striate.evaluate.units.config import ProbeConfig
from striate.models import Model


class TapPlace(NamedTuple):
    """Where units are: a model's name, and a tap."""

    model: str
    tap: str


@dataclass(frozen=True)
class Probed:
    """One model, ready to be probed.

    Attributes:
        name: yours.
        model: on its device.
        taps: maps, shallow to deep.
        fingerprint: of the model.
    """

    name: str
    model: Model
    taps: tuple[str, ...]
    fingerprint: str


def load_probed(config: ProbeConfig, name: str, device: str) -> Probed:
    """Load a model and find its taps that are maps.

    Raises:
        InputError: naming the model: one that cannot be loaded, an unknown tap, no map.
    """
    model_config = config.models[name]
    try:
        model = model_config.build().to(device)
        shapes = model.tap_shapes(model_config.taps)
    except InputError as error:
        raise InputError(f"models.{name}: {error}") from error
    flat = [tap for tap, shape in shapes.items() if len(shape) != 3]
    if model_config.taps and flat:
        raise InputError(
            f"models.{name}: tap {flat[0]!r} gives {shapes[flat[0]]} for an image, not a map "
            "(C, H, W). Name taps that are maps."
        )
    taps = tuple(tap for tap in shapes if tap not in flat)
    if not taps:
        raise InputError(f"models.{name}: none of its taps is a map. Name some: models.{name}.taps")
    return Probed(name, model, taps, model.fingerprint())


def check_seeds_unseen(textures: TextureConfig, probed: Sequence[Probed]) -> None:
    """Refuse models that have seen a picture that textures would be made of.

    Raises:
        InputError: pictures that cannot be used.
        LeakError: naming the model.
    """
    seeds, _ = check_textures(textures)
    for network in probed:
        assert_unseen(
            network.model.seen,
            [seed.hash for seed in seeds],
            f"{network.name} on textures of {', '.join(seed.name for seed in seeds)}",
            seen_files=network.model.seen_files,
            file_hashes=[seed.file_hash for seed in seeds],
        )
