"""`validate`: whether a model can be scored, told in a second and not after an hour."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import torch

from striate.core.errors import InputError
from striate.models.model import Model
from striate.models.receptive_field import receptive_field
from striate.models.taps import evaluating

PROBES = 3
"""Images that are passed together, and one by one."""
TOLERANCE = 1e-4
"""Of an output alone against the same among others, relative to the largest (ours)."""


def validate(model: Model, taps: Sequence[str] | None = None) -> pd.DataFrame:
    """Check that a model can be scored: every tap exists, is finite and depends on its image alone.

    Args:
        model: the model, such as one of a network of your own.
        taps: the taps to look at; default the model's own.

    Returns:
        One row a tap: `tap`, `shape` (of one image's output), `positive` (whether it never is
        below 0 for the images shown) and `receptive_field` (side in pixels; NA where the
        network cannot be followed).

    Raises:
        InputError: naming the tap: it is unknown, the image size does not fit, outputs are not
            finite, change from call to call, or depend on the other images of their batch, as
            those of a network do that normalizes over batches in eval mode.

    >>> from striate.models import load
    >>> validate(load("lcl_v2", image_size=72))[["tap", "shape"]].to_dict("list")
    {'tap': ['stage1', 'stage2'], 'shape': [(64, 8, 8), (192, 3, 3)]}
    >>> validate(load("lcl_v2"), ["stage3"])
    Traceback (most recent call last):
    ...
    striate.core.errors.InputError: unknown tap 'stage3'...
    """
    names = list(taps or model.taps)
    shapes = model.tap_shapes(names)
    model.fingerprint()  # refuses a network that draws in eval mode
    size = model.preprocessing.size
    draw = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (PROBES, size, size, 3), generator=draw, dtype=torch.uint8)
    images = images.to(model.device)
    with evaluating(model), torch.no_grad():
        together = model.activations(images, names)
        alone = [model.activations(image[None], names) for image in images]
    rows = []
    for name in names:
        output = together[name]
        if not torch.isfinite(output).all():
            raise InputError(
                f"{model.id}: tap {name} gives values that are not finite. Look for NaN weights."
            )
        apart = torch.cat([outputs[name] for outputs in alone])
        if (output - apart).abs().max() > TOLERANCE * output.abs().max():
            raise InputError(
                f"{model.id}: tap {name} gives an image other values among {PROBES} images than "
                "alone. Features must not depend on the batch: fix the statistics of batch norm."
            )
        rows.append((name, shapes[name], bool((output >= 0).all()), _find_field(model, name)))
    return pd.DataFrame(rows, columns=["tap", "shape", "positive", "receptive_field"]).astype(
        {"receptive_field": "Int64"}
    )


def _find_field(model: Model, tap: str) -> int | None:
    try:
        return receptive_field(model, tap).size
    except InputError:
        return None
