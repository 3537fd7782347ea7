"""The losses of tuning and the scores computed during it, as pure functions of tensors."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from striate.core.errors import InputError

DIRECTIONS = ("image_to_brain", "brain_to_image", "symmetric")


def info_nce(
    z_image: Tensor,
    z_brain: Tensor,
    temperature: float | Tensor = 0.3,
    direction: str = "image_to_brain",
) -> Tensor:
    r"""InfoNCE between the embeddings of images and of their responses.

    `image_to_brain` is Mulrooney & Brockmeier 2024 (docs/papers/contrastive-tuning.md 2.1):
    `L = -(1/B) sum_j log [exp(s_jj / t) / sum_i exp(s_ij / t)]`, with `s_ij` the cosine of response
    i and image j. The image is the anchor and the responses are its candidates; the denominator
    includes its own response. `brain_to_image` swaps the roles; `symmetric` is the mean of the
    two. The softmax is a logsumexp, so no temperature overflows. For one pair the loss is 0.

    Args:
        z_image: (B, z).
        z_brain: (B, z), row i belongs to the same stimulus as row i of `z_image`.
        temperature: positive.
        direction: one of `DIRECTIONS`.

    Returns:
        The mean over anchors in nats, a scalar, computed in float32 or wider.

    Raises:
        InputError: shapes that differ, an empty batch, or an unknown direction.

    Examples:
        >>> z = torch.eye(4)
        >>> round(info_nce(z, z, temperature=0.05).item(), 6)
        0.0
        >>> round(info_nce(z, z.flip(0), temperature=1.0).item(), 4)
        1.7437
    """
    if z_image.shape != z_brain.shape or z_image.ndim != 2 or not len(z_image):
        raise InputError(
            "info_nce needs two embeddings of one shape (B, z) with B > 0, found "
            f"{tuple(z_image.shape)} and {tuple(z_brain.shape)}."
        )
    if direction not in DIRECTIONS:
        raise InputError(f"direction {direction!r} is not one of {', '.join(DIRECTIONS)}.")
    scores = cosines(z_image, z_brain) / temperature
    matching = scores.diagonal()
    loss = scores.new_zeros(())
    if direction in ("image_to_brain", "symmetric"):
        loss = loss + (torch.logsumexp(scores, 1) - matching).mean()
    if direction in ("brain_to_image", "symmetric"):
        loss = loss + (torch.logsumexp(scores, 0) - matching).mean()
    return loss / 2 if direction == "symmetric" else loss


def cosines(a: Tensor, b: Tensor) -> Tensor:
    """Return the cosine of each row of a (B, z) with each row of b: (B, B), float32 or wider."""
    dtype = at_least_float32(a, b)
    with torch.autocast(a.device.type, enabled=False):
        return F.normalize(a.to(dtype), dim=1) @ F.normalize(b.to(dtype), dim=1).T


def at_least_float32(*tensors: Tensor) -> torch.dtype:
    """Return a dtype for all tensors, float32 or wider: sums in half precision lose too much."""
    dtype = torch.float32
    for tensor in tensors:
        dtype = torch.promote_types(dtype, tensor.dtype)
    return dtype


def mse(predicted: Tensor, observed: Tensor) -> Tensor:
    """Return the mean squared error over stimuli and units (docs/papers/contrastive-tuning.md 2.2).

    Args:
        predicted: (B, V).
        observed: (B, V).

    Raises:
        InputError: shapes that differ (broadcasting would hide it).
    """
    if predicted.shape != observed.shape:
        raise InputError(f"mse: shapes {tuple(predicted.shape)} and {tuple(observed.shape)}.")
    dtype = at_least_float32(predicted, observed)
    return F.mse_loss(predicted.to(dtype), observed.to(dtype))


def retrieval_top1(z_image: Tensor, z_brain: Tensor) -> Tensor:
    """Return the share of images whose own response is nearest of all B by cosine; chance is 1 / B.

    A tie counts as a miss, so collapsed embeddings score 0 and not 1.
    """
    scores = cosines(z_image, z_brain)
    rivals = scores.masked_fill(torch.eye(len(scores), dtype=torch.bool, device=scores.device), -2)
    return (scores.diagonal() > rivals.max(1).values).float().mean()


def mean_unit_r(predicted: Tensor, observed: Tensor) -> Tensor:
    """Return the mean over units of Pearson's r over stimuli; constant predictions count as 0.

    Args:
        predicted: (N, V).
        observed: (N, V).
    """
    predicted_deviation, observed_deviation = predicted.double(), observed.double()
    predicted_deviation, observed_deviation = (
        predicted_deviation - predicted_deviation.mean(0),
        observed_deviation - observed_deviation.mean(0),
    )
    scale = predicted_deviation.norm(dim=0) * observed_deviation.norm(dim=0)
    return torch.where(
        scale > 0, (predicted_deviation * observed_deviation).sum(0) / scale.clamp_min(1e-300), 0.0
    ).mean()
