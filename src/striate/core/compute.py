"""How something is computed: device, batch size, precision, cache and progress, as one value."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from striate.core.cache import Cache
from striate.core.device import device_name
from striate.core.errors import InputError

if TYPE_CHECKING:
    import torch

PRECISIONS = ("32", "bf16")


@dataclass(frozen=True)
class Compute:
    """How something is computed, which no result depends on beyond rounding.

    Attributes:
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        batch_size: images a forward pass.
        precision: `32`, or `bf16` for autocast.
        cache: where decoded images, features and decisions are kept.
        progress: whether to draw progress bars.

    Raises:
        InputError: a precision that is not known.
    """

    device: str = "auto"
    batch_size: int = 64
    precision: str = "32"
    cache: Cache = field(default_factory=Cache)
    progress: bool = True

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise InputError(f"precision {self.precision!r}: expected '32' or 'bf16'.")

    def torch_device(self) -> torch.device:
        """Return the device, a GPU for `auto` where there is one.

        Raises:
            InputError: a device that is not known or not there.
        """
        import torch  # here, as the core is imported where nothing is computed

        return torch.device(device_name(self.device))
