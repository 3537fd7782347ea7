"""Following which input pixels each position of a map sees through a pass without values.

The network runs on the `meta` device, where tensors have shapes but no contents. For every tensor
operation that it executes, a rule of `field_rules` tells what the output sees. So functional code,
residual paths and concatenations are followed just like modules.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from striate.core.errors import InputError
from striate.models.field_rules import Operation, PositionsMixed, SeenArea, Side, follow
from striate.models.taps import evaluating, resolve_tap, visit_taps


def trace(
    network: nn.Module, tap: str, height: int, width: int | None = None, channels: int = 3
) -> tuple[Side, Side]:
    """Return what the rows and the columns of a tap's map see of an image of this size.

    Args:
        network: takes images (B, channels, height, width); it is left unchanged.
        tap: module path; `""` is the network's own output.
        height, width: sides of the image in pixels; it is square unless a width is given.
        channels: number of channels of the image.

    Raises:
        InputError: unknown tap; a tap that sees the whole image (the responsible module is named);
            an image that is too small; a network whose path depends on the values of an image.
    """
    if min(height, width or height, channels) < 1:
        raise InputError(
            f"an image of {height} x {width or height} pixels and {channels} channels: expected at "
            "least 1 of each."
        )
    if tap != "":
        resolve_tap(network, tap)
    image = torch.empty(1, channels, height, width or height, device="meta")
    blank_network = _BlankNetwork(network)
    outputs: list[Tensor] = []
    with evaluating(network), torch.no_grad(), _follow_network(network, image) as follower:
        try:
            visit_taps(
                blank_network,
                image,
                [f"network.{tap}".rstrip(".")],
                lambda _, output: outputs.append(output),
            )
        except RuntimeError as error:
            if "meta" in str(error):  # there are no values to ask for
                raise InputError(
                    f"tap {tap!r}: what it sees cannot be followed, as the network asks for the "
                    f"values of an image on its way ({error}). Use probe_receptive_field."
                ) from error
            raise InputError(  # a map shrank to nothing on its way
                f"tap {tap!r} cannot be reached with an image of {height} x {width or height} "
                f"pixels and {channels} channels ({error}). Choose a larger input_size, "
                "or give the channels that the network takes."
            ) from error
        seen = follower.find_seen(outputs[0])
    if seen is None:
        raise InputError(f"tap {tap!r} does not depend on the image: it has no receptive field.")
    if isinstance(seen, str):
        raise InputError(
            f"tap {tap!r} has no receptive field of fixed size and place: {seen} lets a unit see "
            "the whole image, or cannot be followed. Choose a tap before it."
        )
    return seen.sides


class _BlankNetwork(nn.Module):
    """The network with tensors that have only shapes; its own weights stay unchanged."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Any:
        tensors = [*self.network.named_parameters(), *self.network.named_buffers()]
        state = {name: self._make_blank(value, x.dtype) for name, value in tensors}
        return torch.func.functional_call(self.network, state, (x,))

    @staticmethod
    def _make_blank(value: Tensor, dtype: torch.dtype) -> Tensor:
        """Return the shape alone, in the image's precision, which may differ from the network's."""
        return value.detach().to("meta", dtype if value.is_floating_point() else value.dtype)


_VALUE_FREE = {"empty_like", "zeros_like", "ones_like", "full_like"} | {
    f"new_{kind}" for kind in ("empty", "zeros", "ones", "full", "empty_strided")
}
"""Operations whose output does not depend on the values of their inputs."""


@contextmanager
def _follow_network(network: nn.Module, image: Tensor) -> Iterator[_OperationFollower]:
    """Follow every operation, and note the module that runs it."""
    follower = _OperationFollower(image)

    def enter(name: str) -> Callable[..., None]:
        return lambda module, inputs: follower.running.append(
            f"{name!r} ({type(module).__name__})" if name else type(module).__name__
        )

    def leave(module: nn.Module, inputs: Any, output: Any) -> None:
        follower.running.pop()

    handles = []
    try:
        for name, module in network.named_modules():
            handles.append(module.register_forward_pre_hook(enter(name)))
            handles.append(module.register_forward_hook(leave))
        with follower:
            yield follower
    finally:
        for handle in handles:
            handle.remove()


class _OperationFollower(TorchDispatchMode):
    """Keeps what each tensor sees: a `SeenArea`, or words for what mixed all positions."""

    def __init__(self, image: Tensor) -> None:
        super().__init__()
        self.running: list[str] = []
        sides = [Side(0, 1, 1, 0, n) for n in image.shape[-2:]]
        # Tensors are kept, because Python reuses the id of a tensor that is gone.
        self.entries: dict[int, tuple[Tensor, SeenArea | str]] = {
            id(image): (image, SeenArea(sides[0], sides[1]))
        }

    def find_seen(self, tensor: Any) -> SeenArea | str | None:
        """Return what a tensor sees; None if it does not depend on the image."""
        entry = self.entries.get(id(tensor))
        return None if entry is None else entry[1]

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        output = func(*args, **kwargs)
        inputs = [t for t in tree_leaves((args, kwargs)) if self.find_seen(t) is not None]
        name = func._schema.name.rpartition("::")[2]
        if not inputs or name in _VALUE_FREE:
            return output
        mixed_by = next((s for t in inputs if isinstance(s := self.find_seen(t), str)), None)
        module_name = self.running[-1] if self.running else "the network"
        for result in tree_leaves(output):
            if isinstance(result, Tensor):
                seen: SeenArea | str
                try:
                    seen = mixed_by or self._follow_operation(
                        func, name, args, kwargs, inputs, result
                    )
                except PositionsMixed:
                    seen = f"{name.strip('_')} in {module_name}"
                self.entries[id(result)] = (result, seen)
        if func._schema.is_mutable and args[0]._base is not None:  # written into through a view
            base = args[0]._base
            self.entries[id(base)] = (base, f"writing into a part of a tensor in {module_name}")
        return output

    def _follow_operation(
        self, func: Any, name: str, args: Any, kwargs: Any, inputs: list[Tensor], output: Tensor
    ) -> SeenArea:
        arguments = {a.name: a.default_value for a in func._schema.arguments}
        arguments |= dict(zip(arguments, args, strict=False)) | kwargs
        seen = [s for t in inputs if isinstance(s := self.find_seen(t), SeenArea)]
        return follow(name, func.tags, Operation(arguments, inputs, seen, output))
