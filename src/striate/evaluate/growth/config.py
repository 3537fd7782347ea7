"""The config of `striate grow`: what is grown, from which photographs."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator

from striate.learning.growing.config import GrowConfig


class GrowRunConfig(GrowConfig):
    """What is grown, from what and where."""

    photographs: tuple[str, ...] = Field(min_length=1)
    """Folders of images, searched with all that is below them."""
    device: str = "auto"

    @field_validator("photographs", mode="before")
    @classmethod
    def _wrap_one_folder(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    def growth(self) -> GrowConfig:
        """The settings of growing alone."""
        settings = {k: v for k, v in self.to_dict().items() if k not in ("photographs", "device")}
        return GrowConfig.from_dict(settings)
