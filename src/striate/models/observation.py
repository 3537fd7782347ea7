"""What a network gives for a few fixed images, and what of its description a pass changes."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from striate.core.errors import InputError
from striate.core.hashing import hash_json
from striate.models.description import describe
from striate.models.taps import evaluating

SLOW = 2.0
"""A network is not run again if a pass takes more seconds and its description is unchanged."""


def probe_images(size: int) -> Tensor:
    """Return fixed images of noise, ramps of color, and extremes; uint8 (3, S, S, 3).

    The extremes are checks of a few pixels in black and white beside plain halves, so that
    functions that cut off or saturate do so.
    """
    indices = torch.arange(size)
    y, x = indices[:, None].expand(size, size), indices[None, :].expand(size, size)
    mixed = ((x * 7919 + y * 104729 + 12345) * 48271) % 65521
    noise = torch.stack([(mixed * k // 7) % 256 for k in (3, 5, 11)], -1)
    ramp = 255 * indices // max(size - 1, 1)
    ramps = torch.stack([ramp.expand(size, size), ramp[:, None].expand(size, size),
                         (255 - ramp).expand(size, size)], -1)  # fmt: skip
    checks = 255 * ((x // 3 + y // 3) % 2)
    halves = torch.where(x < size // 2, torch.zeros_like(x), torch.full_like(x, 255))
    extremes = torch.where(y < size // 2, checks, halves)[..., None].expand(size, size, 3)
    return torch.stack([noise, ramps, extremes]).to(torch.uint8)


@dataclass(frozen=True)
class Observation:
    """What was observed of a network.

    Attributes:
        described: the result of `describe`, without what a pass changes (counters, and what a
            network keeps of the last images).
        outputs: hash of the output of every module, by its place and the number of the call; None
            if the network cannot take the images.
        volatile: places that a pass changes.
        seconds: duration of a pass.
    """

    described: Mapping[str, str]
    outputs: Mapping[str, str] | None
    volatile: frozenset[str] = frozenset()
    seconds: float = 0.0

    def agrees(self, described: Mapping[str, str]) -> bool:
        """Whether a network's description is the same, apart from what a pass changes."""
        return {k: v for k, v in described.items() if k not in self.volatile} == self.described


@torch.no_grad()
def observe(
    network: nn.Module, x: Tensor, *, code: bool = True, before: Observation | None = None
) -> Observation:
    """Run a network in eval mode on normalized images, and describe it.

    It uses one thread and no autocast, so that one machine always gives the same. The network's
    mode and the random state are restored afterwards.

    Args:
        network: on the CPU.
        x: normalized images.
        code: see `describe`.
        before: an earlier observation of the same network with the same tensors. If the
            description has not changed since, the second pass, which finds what passes change, is
            left out, and also the first one if it took longer than `SLOW`.

    Raises:
        InputError: the output changes from call to call.
    """
    previous = before if before is not None and before.outputs is not None else None
    if previous and previous.seconds > SLOW and previous.agrees(describe(network, code=code)):
        return previous
    started = time.perf_counter()
    first_outputs, tensors = _run_pass(network, x, 0)
    seconds = time.perf_counter() - started
    settled = describe(network, code=code)  # includes what is made at the first call
    if first_outputs is None:
        return Observation(settled, None)
    if previous and previous.agrees(settled):
        return replace(previous, outputs=first_outputs, seconds=seconds)
    second_outputs, tensors_again = _run_pass(network, x, 1)
    if first_outputs != second_outputs:
        for a, b in zip(tensors, tensors_again, strict=False):
            if a.shape != b.shape or not torch.allclose(a, b, 1e-4, 1e-5, equal_nan=True):
                raise InputError(
                    f"{type(network).__name__} gives another output for the same images from call "
                    "to call, in eval mode: something in it is drawn at random (dropout with "
                    "training=True?) or counted. Scores would be of one draw. Make it follow eval "
                    "mode, or fix its draws."
                )
    redescribed = describe(network, code=code)
    volatile = frozenset(
        k for k in settled.keys() | redescribed.keys() if settled.get(k) != redescribed.get(k)
    )
    stable = {k: digest for k, digest in settled.items() if k not in volatile}
    return Observation(stable, first_outputs, volatile, seconds)


def _run_pass(
    network: nn.Module, x: Tensor, seed: int
) -> tuple[dict[str, str] | None, list[Tensor]]:
    """Return hashes of the outputs of all modules, and the tensors of the network's output."""
    hashes: dict[str, str] = {}
    last_tensors: list[tuple[Tensor, int]] = []

    def make_hook(place: str) -> Any:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            tensors = [(t, t._version) for t in _find_tensors(output)]
            same = [
                a is b and n == m for (a, n), (b, m) in zip(tensors, last_tensors, strict=False)
            ]
            if len(tensors) == len(last_tensors) and all(same):
                return  # a container returns the output of its last part
            last_tensors[:] = tensors
            hashes[f"{place}#{len(hashes)}"] = hash_json([_hash_output(t) for t, _ in tensors])

        return hook

    handles = [m.register_forward_hook(make_hook(place)) for place, m in network.named_modules()]
    try:
        with (
            evaluating(network),
            one_thread(),
            torch.autocast("cpu", enabled=False),
            torch.random.fork_rng(devices=[]),
        ):
            torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed GPUs as well
            output = network(x.clone())
    except Exception:  # broken networks, and those for other images, raise anything
        return None, []
    finally:
        for handle in handles:
            handle.remove()
    return hashes, [t.detach().clone() for t in _find_tensors(output)]


def _hash_output(tensor: Tensor) -> list[Any]:
    values = tensor.detach().cpu().contiguous()
    data = values.reshape(-1).view(torch.uint8).numpy().tobytes() if values.numel() else b""
    digest = hashlib.sha256(data).hexdigest()
    return [str(tensor.dtype), list(tensor.shape), digest]


def _find_tensors(output: Any) -> Iterator[Tensor]:
    if isinstance(output, Tensor):
        yield output
    elif isinstance(output, Mapping):
        for value in output.values():
            yield from _find_tensors(value)
    elif isinstance(output, list | tuple):
        for value in output:
            yield from _find_tensors(value)


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute with one thread of torch, because sums in another order give other numbers."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
