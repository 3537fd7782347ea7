"""Networks that are lists of stages, each of which takes the map of the stage before it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from striate.core.errors import InputError
from striate.models.taps import evaluating


def check_stages(stages: Sequence[nn.Module], example: Tensor) -> list[tuple[int, ...]]:
    """Run an example through a list of stages, and refuse stages that are no chain of maps.

    Args:
        stages: modules in order, from the image on.
        example: images (B, C, H, W) as the first stage takes them, normalized.

    Returns:
        The shape (C, H, W) of one image's map after each stage.

    Raises:
        InputError: there is no stage, or one is no module; a stage expects other channels or a
            larger map than it gets, or gives anything but a map (B, C, H, W) with the batch size
            of its input. The message names the stage, what it expects and what was found.

    Examples:
        >>> first, second = nn.Conv2d(3, 8, 5, stride=2), nn.Conv2d(16, 4, 3)
        >>> check_stages([first], torch.zeros(1, 3, 31, 31))
        [(8, 14, 14)]
        >>> check_stages([first, second], torch.zeros(1, 3, 31, 31))
        Traceback (most recent call last):
        striate.core.errors.InputError: stage 2 (Conv2d) expects 16 channels, found 8 from...
    """
    stages = list(stages)
    if not stages:
        raise InputError("a network needs at least one stage, found an empty list.")
    for number, stage in enumerate(stages, 1):
        if not isinstance(stage, nn.Module):
            raise InputError(
                f"stage {number} is {_name_type(stage)}, expected a torch.nn.Module. Wrap "
                "functions in a module of their own."
            )
    if example.ndim != 4:
        raise InputError(f"the example must be (B, C, H, W), found {tuple(example.shape)}.")
    shapes = []
    x: Any = example
    for number, stage in enumerate(stages, 1):
        name = f"stage {number} ({type(stage).__name__})"
        previous = f"stage {number - 1}" if number > 1 else "the example"
        x = _run_stage(stage, x, name, previous)
        shapes.append(tuple(x.shape[1:]))
    return shapes


def _run_stage(stage: nn.Module, x: Tensor, name: str, previous: str) -> Tensor:
    with evaluating(stage), torch.no_grad():
        try:
            # stages may work in place, and the example is the caller's
            output = stage(x.clone())
        except (RuntimeError, TypeError, ValueError) as error:
            expected = _find_input_channels(stage)
            if expected not in (None, x.shape[1]):
                raise InputError(
                    f"{name} expects {expected} channels, found {x.shape[1]} from {previous}. "
                    "Stages must be a chain, each taking the map of the one before."
                ) from error
            raise InputError(
                f"{name} cannot take the map {tuple(x.shape[1:])} (channels, rows, columns) of "
                f"{previous}: {error}"
            ) from error
    if not isinstance(output, Tensor):
        raise InputError(f"{name} gives {_name_type(output)}, expected one tensor (B, C, H, W).")
    if output.ndim != 4 or len(output) != len(x) or 0 in output.shape:
        raise InputError(
            f"{name} gives the shape {tuple(output.shape)}, expected a map (B, C, H, W) with "
            f"B = {len(x)} and at least one position. Flatten behind the last stage, not in it."
        )
    return output


def _find_input_channels(stage: nn.Module) -> int | None:
    """Return the number of channels that the first layer with weights expects."""
    for module in stage.modules():
        if isinstance(module, nn.Conv2d):
            return module.in_channels
        if isinstance(module, nn.BatchNorm2d):
            return module.num_features
    return None


def _name_type(value: Any) -> str:
    return f"a {type(value).__name__}"
