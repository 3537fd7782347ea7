"""The network and its heads as one module whose output is the loss of a batch."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from striate.core.errors import InputError
from striate.learning.common.distributed import gather
from striate.learning.tuning.config import TuneConfig
from striate.learning.tuning.heads import ContrastiveHeads, build_heads
from striate.learning.tuning.objectives import (
    at_least_float32,
    info_nce,
    mean_unit_r,
    mse,
    retrieval_top1,
)
from striate.models import Model, evaluating, resolve_tap

SCORE_ROWS = 1024
"""Most stimuli among which `select` is scored at once."""


class Tuner(nn.Module):
    """A model with heads for one or more targets.

    Args:
        model: changed in place.
        units: number of units of each target.
        config: the settings.

    Raises:
        InputError: unknown tap or frozen module (nearest offered), or nothing left to learn.
    """

    def __init__(self, model: Model, units: Sequence[int], config: TuneConfig) -> None:
        super().__init__()
        self.model = model
        self.config = config
        self._freeze_modules()
        self.heads = build_heads(self._find_feature_length(), units, config)

    def _freeze_modules(self) -> None:
        if next(self.model.parameters(), None) is None:
            raise InputError(
                f"{self.model.id} is fixed: it has no parameters, so nothing in it can be tuned. "
                "Tune a network that has weights; a fixed one can be encoded and compared."
            )
        for path in self.config.freeze:
            resolve_tap(self.model.network, path).requires_grad_(False)
        if not any(p.requires_grad for p in self.model.parameters()):
            raise InputError(
                f"freeze {list(self.config.freeze)} leaves no parameter of {self.model.id} to "
                "tune. Freeze fewer modules."
            )

    def _find_feature_length(self) -> int:
        size = self.model.preprocessing.size
        device = self.model.device
        gray = torch.full((1, size, size, 3), 128, dtype=torch.uint8, device=device)
        with evaluating(self.model), torch.no_grad():
            return self.features(gray).shape[1]

    def train(self, mode: bool = True) -> Tuner:
        """Set training mode; frozen batch norm stays in eval mode."""
        super().train(mode)
        if mode:
            for name, module in self.model.network.named_modules():
                if isinstance(module, _BatchNorm) and (
                    self.config.batchnorm == "frozen" or self._is_frozen(name)
                ):
                    module.eval()
        return self

    def _is_frozen(self, name: str) -> bool:
        return any(name == path or name.startswith(f"{path}.") for path in self.config.freeze)

    def features(self, images: Tensor) -> Tensor:
        """Map uint8 images (B, H, W, 3) to the tuned output (B, D), flattened, float32 or wider."""
        tap, grid = self.config.tap, self.config.tap_grid
        features = self.model(images) if tap is None else self.model.activations(images, [tap])[tap]
        if grid is not None:
            if features.ndim != 4:
                raise InputError(
                    f"tap_grid needs a tap that gives maps (channels, height, width); {tap!r} "
                    f"gives {tuple(features.shape[1:])}. Leave tap_grid out."
                )
            features = F.adaptive_avg_pool2d(features, grid)
        return features.to(at_least_float32(features)).flatten(1)

    def forward(
        self,
        images: Tensor,
        responses: Tensor,
        target: int,
        sizes: Sequence[int],
        heads_only: bool = False,
    ) -> Tensor:
        """Return the loss of the batch that all processes share.

        Args:
            images: uint8 (b, H, W, 3), this process's share of the batch.
            responses: (B, V), of the whole batch.
            target: number of the target that they belong to.
            sizes: number of images of each process; they sum to B.
            heads_only: give the network no gradient.
        """
        with torch.set_grad_enabled(torch.is_grad_enabled() and not heads_only):
            features = gather(self.features(images), sizes)
        a, b = self.heads(features, responses, target)
        if isinstance(self.heads, ContrastiveHeads):
            return info_nce(a, b, self.heads.temperature, self.config.direction)
        return mse(a, b)

    def scores(self, features: Tensor, responses: Tensor, target: int) -> dict[str, float]:
        """Score the `select` stimuli of a target as a training step would see them.

        Contrastive: InfoNCE and top-1 retrieval among blocks of at most 1024 stimuli (both depend
        on the number of candidates). The batch norm of the shared head uses the statistics of the
        block, for images and responses apart, as in a training step, and does not update its
        running ones. The running statistics mix two modalities with unlike statistics
        (docs/papers/contrastive-tuning.md 2.1) and fit neither, so scores under them do not follow
        what was learned (ours).
        Regression: MSE, and r averaged over units.

        Args:
            features: (n, D) as `features` gives them, in eval mode; n > 1.
            responses: (n, V).
            target: number of the target that they belong to.
        """
        with torch.no_grad(), evaluating(self), _use_block_statistics(self.heads):
            if not isinstance(self.heads, ContrastiveHeads):
                predicted, observed = self.heads(features, responses, target)
                return {
                    "loss": mse(predicted, observed).item(),
                    "r": mean_unit_r(predicted, observed).item(),
                }
            loss = top1 = 0.0
            blocks = -(-len(features) // SCORE_ROWS)
            for f, y in zip(
                features.tensor_split(blocks), responses.tensor_split(blocks), strict=True
            ):
                image, brain = self.heads(f, y, target)
                share = len(f) / len(features)
                value = info_nce(image, brain, self.heads.temperature, self.config.direction)
                loss += share * value.item()
                top1 += share * retrieval_top1(image, brain).item()
            return {"loss": loss, "top1": top1}


@contextlib.contextmanager
def _use_block_statistics(heads: nn.Module) -> Iterator[None]:
    """Make batch norm use the statistics of its input, without updating its running ones."""
    norms = [m for m in heads.modules() if isinstance(m, _BatchNorm)]
    modes = [(m.training, m.track_running_stats) for m in norms]
    for norm in norms:
        norm.training, norm.track_running_stats = True, False
    try:
        yield
    finally:
        for norm, (training, tracked) in zip(norms, modes, strict=True):
            norm.training, norm.track_running_stats = training, tracked
