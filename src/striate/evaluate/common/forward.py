"""A model's outputs for many images, a batch at a time, and the model back where it was."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from striate.core.compute import Compute
from striate.models import Model, evaluating


def each_batch(
    model: Model,
    images: np.ndarray,
    use: Callable[[slice, Tensor], None],
    compute: Compute,
) -> None:
    """Call `use` with the rows of each batch and the model's output for them, without gradients.

    Args:
        model: in eval mode meanwhile, and on its own device again afterwards.
        images: uint8 (N, H, W, 3), may be a memory map.
        use: called in the order of the images.
        compute: device and batch size.
    """
    home, device = model.device, compute.torch_device()
    try:
        model.to(device)
        with evaluating(model), torch.inference_mode():
            for start in range(0, len(images), compute.batch_size):
                pixels = np.array(images[start : start + compute.batch_size])
                batch = torch.from_numpy(pixels).to(device)
                use(slice(start, start + len(batch)), model(batch))
    finally:
        model.to(home)
