"""The steps of growing: views for the stages that learn, their losses, and signs of collapse."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from striate.data.patches.pairs import PatchSource
from striate.learning.common.batches import shard_sizes
from striate.learning.common.batchnorm import share_statistics
from striate.learning.common.distributed import gather
from striate.learning.common.loop import Loop, prefetched, rate_factor
from striate.learning.growing.collapse import collapsed, dead_share, effective_rank
from striate.learning.growing.config import GrowConfig
from striate.learning.growing.module import Layerwise, StageOutcome, Views
from striate.models import evaluating


class GrowLoop(Loop):
    """Grows a `Layerwise` learner.

    Args:
        fabric: launched; decides device, precision and processes.
        learner: the module that learns, in place.
        sources: the patches of each stage.
        config: the settings.
        folder: where metrics.jsonl and checkpoints/ go.
        held_out: patches of held-out photographs for each stage; empty for none.
        progress: whether to draw a bar.
    """

    def __init__(
        self,
        fabric: Fabric,
        learner: Layerwise,
        sources: Sequence[PatchSource],
        config: GrowConfig,
        folder: Path,
        *,
        held_out: Sequence[PatchSource] = (),
        progress: bool = True,
    ) -> None:
        if fabric.world_size > 1:
            share_statistics(learner)
        optimizer = make_optimizer(learner, config)
        super().__init__(
            fabric, learner, optimizer, folder, progress=progress, tensorboard=config.tensorboard
        )
        self.layerwise, self.sources, self.config = learner, sources, config
        self.held_out = held_out
        self._warned_stages: set[int] = set()

    @property
    def total_steps(self) -> int:
        """Number of steps of all stages."""
        sequential = self.config.order == "sequential"
        return self.config.steps * (len(self.sources) if sequential else 1)

    def learning_stages(self, step: int) -> tuple[int, ...]:
        """Return the stages that have a loss at a step."""
        stages = tuple(range(len(self.sources)))
        if self.config.credit == "end_to_end":
            return stages[-1:]
        return (step // self.config.steps,) if self.config.order == "sequential" else stages

    def steps(self) -> Iterator[tuple[dict[str, Any], bool]]:
        """See `Loop.steps`."""
        standing, config = self.standing, self.config
        self.learner.train()
        started = time.perf_counter()
        for step, views in self._prepare_views(range(standing.step, self.total_steps)):
            factor = rate_factor(
                step % config.steps, config.steps, config.warmup_steps, config.schedule
            )
            outcomes = self._do_step(views, factor)
            standing.step += 1
            terms = {
                f"stage{k + 1}_{name}": v
                for k, o in outcomes.items()
                for name, v in _list_loss_terms(o)
            }
            line: dict[str, Any] = {
                "step": standing.step,
                "loss": sum(v for name, v in terms.items() if name.endswith("_loss")),
                "learning_rate": factor * config.learning_rate,
                **terms,
            }
            is_last_step = standing.step == self.total_steps
            if standing.step % config.measure_every == 0 or is_last_step:
                for k, outcome in outcomes.items():
                    line |= self._measure_collapse(k, outcome.features)
                line |= self._compute_held_out_losses(tuple(outcomes))
            now = time.perf_counter()
            line["seconds"], started = round(now - started, 4), now
            yield line, standing.step % config.checkpoint_every == 0 or is_last_step

    def _prepare_views(self, steps: range) -> Iterator[tuple[int, Views]]:
        if self.fabric.device.type == "cuda":
            return prefetched(steps, self._load_views)
        # On a CPU, loading and learning both use all cores: loading ahead would only be in the way.
        return ((step, self._load_views(step)) for step in steps)

    def _load_views(self, step: int) -> Views:
        stages = self.learning_stages(step)
        return {k: self._load_share(self.sources[k], step) for k in stages}

    def _load_share(self, source: PatchSource, step: int) -> Tensor:
        """Return this process's share of the views of a step."""
        return source.views(step, rank=self.fabric.global_rank, world=self.fabric.world_size)

    def _do_step(self, views: Views, factor: float) -> dict[int, StageOutcome]:
        """Do one optimizer step; return the outcomes before it."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.learning_rate * factor
        self.optimizer.zero_grad(set_to_none=True)
        outcomes: dict[int, StageOutcome] = self.module(views)
        loss = torch.stack([o.correlation.loss for o in outcomes.values()]).sum()
        value = float(loss.detach())
        if not math.isfinite(value):
            diverged_stages = ", ".join(
                f"stage{k + 1}"
                for k, o in outcomes.items()
                if not math.isfinite(float(o.correlation.loss.detach()))
            )
            hint = "a lower learning_rate, warmup_steps or precision: '32'"
            raise self.diverged(value, diverged_stages or "all stages together", hint)
        self.fabric.backward(loss)
        self.optimizer.step()
        return outcomes

    def _measure_collapse(self, k: int, features: Tensor) -> dict[str, Any]:
        """Return the rank and the share of dead channels of a stage; warn of a collapse once."""
        world = self.fabric.world_size
        joined = gather(features, shard_sizes(self.config.batch_size, world))
        rank, dead = effective_rank(joined), dead_share(joined)
        has_collapsed = collapsed(rank, dead, joined.shape[1])
        if has_collapsed and k not in self._warned_stages and self.fabric.is_global_zero:
            self._warned_stages.add(k)
            warnings.warn(
                f"stage{k + 1} has collapsed by step {self.standing.step}: effective rank "
                f"{rank:.1f} of {joined.shape[1]}, {dead:.0%} of the channels dead. Try a lower "
                "learning_rate or weight_decay, a larger batch_size, or a larger lambda.",
                stacklevel=2,
            )
        name = f"stage{k + 1}"
        return {f"{name}_rank": rank, f"{name}_dead": dead, f"{name}_collapsed": has_collapsed}

    @torch.no_grad()
    def _compute_held_out_losses(self, stages: tuple[int, ...]) -> dict[str, float]:
        """Return the losses on held-out photographs in eval mode; the views are always the same."""
        if not self.held_out:
            return {}
        views = {k: self._load_share(self.held_out[k], 0) for k in stages}
        with evaluating(self.learner), self.fabric.autocast():
            outcomes = self.layerwise(views)
        return {f"stage{k + 1}_held_out": float(o.correlation.loss) for k, o in outcomes.items()}


def _list_loss_terms(outcome: StageOutcome) -> list[tuple[str, float]]:
    """Return the loss, its parts, and the mean square of the off-diagonal correlations."""
    loss, similarity, redundancy, width = outcome.correlation
    return [
        ("loss", float(loss.detach())),
        ("similarity", float(similarity.detach())),
        ("redundancy", float(redundancy.detach())),
        ("off_diagonal", float(redundancy.detach()) / max(1, width * (width - 1))),
    ]


def make_optimizer(learner: nn.Module, config: GrowConfig) -> torch.optim.Optimizer:
    """Return AdamW, under which only convolution kernels decay (docs/papers/lcl-v2.md 7)."""
    kernels = [
        p
        for m in learner.modules()
        if isinstance(m, nn.Conv2d)
        for n, p in m.named_parameters()
        if n == "weight" and p.requires_grad
    ]
    kernel_ids = {id(p) for p in kernels}
    not_decayed = [p for p in learner.parameters() if id(p) not in kernel_ids and p.requires_grad]
    groups = [
        {"params": kernels, "weight_decay": config.weight_decay},
        {"params": not_decayed, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.learning_rate, fused=True)
