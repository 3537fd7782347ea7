"""Which input pixels each position of a map sees, followed through a forward pass without values.

The network runs on the `meta` device, where tensors have shapes and no contents, and every tensor
operation that it executes is told what its inputs saw. So functional code, residual paths and
concatenations are followed just like modules. The arithmetic is that of Araujo, Norris & Sim 2019,
"Computing receptive fields of convolutional neural networks", section 2, plus the range of
positions that no padding touches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from striate.core.errors import InputError
from striate.models.taps import evaluating, resolve_tap, visit_taps


@dataclass(frozen=True)
class Side:
    """One side (rows or columns) of a map.

    Position p sees the pixels `start + p * jump` to `start + p * jump + size - 1`; those outside
    the image are padding. No padding touches the positions from `first` up to, not with, `stop`.
    """

    start: int
    size: int
    jump: int
    first: int
    stop: int

    def window(self, kernel: int, stride: int, padding: int, dilation: int, length: int) -> Side:
        """Slide a window over this side; `length` positions result.

        Padding alone is a window of 1; cropping is negative padding.
        """
        reach = (kernel - 1) * dilation
        return Side(
            start=self.start - padding * self.jump,
            size=self.size + reach * self.jump,
            jump=self.jump * stride,
            first=max(0, -(-(self.first + padding) // stride)),
            stop=min(length, (self.stop - 1 + padding - reach) // stride + 1),
        )

    def joined(self, other: Side) -> Side:
        """Both at once, as at the end of two branches: the widest path counts."""
        start = min(self.start, other.start)
        end = max(self.start + self.size, other.start + other.size)
        first, stop = max(self.first, other.first), min(self.stop, other.stop)
        return replace(self, start=start, size=end - start, first=first, stop=stop)


@dataclass(frozen=True)
class _Seen:
    """What the positions of a tensor see; `dims` are its row and column dimensions (negative)."""

    rows: Side
    columns: Side
    dims: tuple[int, int] = (-2, -1)

    @property
    def sides(self) -> tuple[Side, Side]:
        return self.rows, self.columns


class _Mixed(Exception):  # noqa: N818 - caught where the operation is known
    """The operation leaves no map of positions with a field of fixed size."""


def trace(
    network: nn.Module, tap: str, height: int, width: int | None = None, channels: int = 3
) -> tuple[Side, Side]:
    """Return what the rows and the columns of a tap's map see of an image of this size.

    Args:
        network: takes images (B, channels, height, width); it is left as it was.
        tap: module path; `""` is the network's own output.
        height, width: of the image in pixels; square unless a width is given.
        channels: of the image.

    Raises:
        InputError: unknown tap; one that sees the whole image (the module that makes it so is
            named); an image too small; a network whose path depends on the values of an image.
    """
    if min(height, width or height, channels) < 1:
        raise InputError(
            f"an image of {height} x {width or height} pixels and {channels} channels: expected at "
            "least 1 of each."
        )
    if tap != "":
        resolve_tap(network, tap)
    image = torch.empty(1, channels, height, width or height, device="meta")
    blank = _Blank(network)
    found: list[Tensor] = []
    with evaluating(network), torch.no_grad(), _follow(network, image) as followed:
        try:
            visit_taps(
                blank, image, [f"network.{tap}".rstrip(".")], lambda _, out: found.append(out)
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
        seen = followed.of(found[0])
    if seen is None:
        raise InputError(f"tap {tap!r} does not depend on the image: it has no receptive field.")
    if isinstance(seen, str):
        raise InputError(
            f"tap {tap!r} has no receptive field of fixed size and place: {seen} lets a unit see "
            "the whole image, or cannot be followed. Choose a tap before it."
        )
    return seen.sides


class _Blank(nn.Module):
    """The network with tensors that have shapes only, its own weights left as they are."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Any:
        own = [*self.network.named_parameters(), *self.network.named_buffers()]
        state = {name: self._blank(value, x.dtype) for name, value in own}
        return torch.func.functional_call(self.network, state, (x,))

    @staticmethod
    def _blank(value: Tensor, dtype: torch.dtype) -> Tensor:
        """The shape alone, in the image's precision, as the network may be in another."""
        return value.detach().to("meta", dtype if value.is_floating_point() else value.dtype)


@contextmanager
def _follow(network: nn.Module, image: Tensor) -> Iterator[_Follower]:
    """Follow every operation, with a note of the module that runs it."""
    follower = _Follower(image)

    def enter(name: str) -> Callable[..., None]:
        return lambda module, inputs: follower.inside.append(
            f"{name!r} ({type(module).__name__})" if name else type(module).__name__
        )

    def leave(module: nn.Module, inputs: Any, output: Any) -> None:
        follower.inside.pop()

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


class _Follower(TorchDispatchMode):
    """Keeps what each tensor sees: `_Seen`, or the words for what mixed all positions."""

    def __init__(self, image: Tensor) -> None:
        super().__init__()
        self.inside: list[str] = []
        sides = [Side(0, 1, 1, 0, n) for n in image.shape[-2:]]
        # tensors are kept with what they see, as an id is given anew once its tensor is gone
        self.known: dict[int, tuple[Tensor, _Seen | str]] = {
            id(image): (image, _Seen(sides[0], sides[1]))
        }

    def of(self, tensor: Any) -> _Seen | str | None:
        known = self.known.get(id(tensor))
        return None if known is None else known[1]

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        inputs = [t for t in tree_leaves((args, kwargs)) if self.of(t) is not None]
        name = func._schema.name.rpartition("::")[2]
        if not inputs or name in _VALUELESS:
            return out
        told = next((s for t in inputs if isinstance(s := self.of(t), str)), None)
        place = self.inside[-1] if self.inside else "the network"
        for result in tree_leaves(out):
            if isinstance(result, Tensor):
                seen: _Seen | str
                try:
                    seen = told or self._after(func, name, args, kwargs, inputs, result)
                except _Mixed:
                    seen = f"{name.strip('_')} in {place}"
                self.known[id(result)] = (result, seen)
        if func._schema.is_mutable and args[0]._base is not None:  # written into through a view
            base = args[0]._base
            self.known[id(base)] = (base, f"writing into a part of a tensor in {place}")
        return out

    def _after(
        self, func: Any, name: str, args: Any, kwargs: Any, inputs: list[Tensor], out: Tensor
    ) -> _Seen:
        values = {a.name: a.default_value for a in func._schema.arguments}
        values |= dict(zip(values, args, strict=False)) | kwargs
        seen = [s for t in inputs if isinstance(s := self.of(t), _Seen)]
        if torch.Tag.pointwise in func.tags or name in _POINTWISE:
            return _broadcast(inputs, seen, out)
        if name not in _RULES:
            raise _Mixed
        return _RULES[name](values, inputs, seen, out)


_VALUELESS = {"empty_like", "zeros_like", "ones_like", "full_like"} | {
    f"new_{kind}" for kind in ("empty", "zeros", "ones", "full", "empty_strided")
}
_POINTWISE = {"_prelu_kernel", "alias", "copy_", "detach", "_to_copy", "lift_fresh"}


def _broadcast(inputs: list[Tensor], seen: list[_Seen], out: Tensor) -> _Seen:
    for tensor, one in zip(inputs, seen, strict=True):
        if any(tensor.shape[d] != out.shape[d] for d in one.dims):
            raise _Mixed  # one position meets all: squeeze-and-excitation
    return _joined(seen)


def _joined(seen: Sequence[_Seen]) -> _Seen:
    def join(a: _Seen, b: _Seen) -> _Seen:
        if a.dims != b.dims or any(x.jump != y.jump for x, y in zip(a.sides, b.sides, strict=True)):
            raise _Mixed
        return _Seen(a.rows.joined(b.rows), a.columns.joined(b.columns), a.dims)

    return reduce(join, seen)


def _one(seen: list[_Seen]) -> _Seen:
    if len(seen) != 1:
        raise _Mixed  # the image is also a weight: attention
    return seen[0]


def _pair(values: Any) -> tuple[int, int]:
    values = [values] if isinstance(values, int) else list(values)
    return values[0], values[-1]


def _windows(
    seen: list[_Seen], out: Tensor, kernel: Any, stride: Any, padding: Any, dilation: Any
) -> _Seen:
    one = _one(seen)
    if one.dims != (-2, -1) or out.ndim != 4:
        raise _Mixed
    how = zip(*(_pair(v) for v in (kernel, stride, padding, dilation)), out.shape[-2:], strict=True)
    rows, columns = (side.window(*h) for side, h in zip(one.sides, how, strict=True))
    return _Seen(rows, columns)


def _convolution(v: dict[str, Any], inputs: list[Tensor], seen: list[_Seen], out: Tensor) -> _Seen:
    if v["transposed"] or inputs[0] is not v["input"] or v["weight"].ndim != 4:
        raise _Mixed
    return _windows(seen, out, v["weight"].shape[-2:], v["stride"], v["padding"], v["dilation"])


def _pool(v: dict[str, Any], inputs: list[Tensor], seen: list[_Seen], out: Tensor) -> _Seen:
    kernel = v["kernel_size"]
    return _windows(seen, out, kernel, v["stride"] or kernel, v["padding"], v.get("dilation", 1))


def _pad(v: dict[str, Any], inputs: list[Tensor], seen: list[_Seen], out: Tensor) -> _Seen:
    one, amounts = _one(seen), v["pad"] if "pad" in v else v["padding"]
    before = [amounts[2 * (-d - 1)] if -2 * d <= len(amounts) else 0 for d in one.dims]
    rows, columns = (
        side.window(1, 1, n, 1, out.shape[d])
        for side, n, d in zip(one.sides, before, one.dims, strict=True)
    )
    return _Seen(rows, columns, one.dims)


def _slice(v: dict[str, Any], inputs: list[Tensor], seen: list[_Seen], out: Tensor) -> _Seen:
    one, x = _one(seen), inputs[0]
    dim = v["dim"] if v["dim"] < 0 else v["dim"] - x.ndim
    if dim not in one.dims:
        return one
    start, _, step = slice(v["start"], v["end"], v["step"]).indices(x.shape[dim])
    sides = [
        side.window(1, step, -start, 1, out.shape[dim]) if d == dim else side
        for side, d in zip(one.sides, one.dims, strict=True)
    ]
    return _Seen(sides[0], sides[1], one.dims)


def _batch_norm(v: dict[str, Any], inputs: list[Tensor], seen: list[_Seen], out: Tensor) -> _Seen:
    if v.get("training", False):
        raise _Mixed  # normalized by the statistics of the image itself
    return _one(seen)


def _layer_norm(v: dict[str, Any], inputs: list[Tensor], seen: list[_Seen], out: Tensor) -> _Seen:
    return _without(_one(seen), range(-len(v["normalized_shape"]), 0), kept=True)


def _cat(v: dict[str, Any], inputs: list[Tensor], seen: list[_Seen], out: Tensor) -> _Seen:
    dim = v["dim"] if v["dim"] < 0 else v["dim"] - out.ndim
    return _without(_joined(seen), [dim], kept=True)


def _reduce(v: dict[str, Any], inputs: list[Tensor], seen: list[_Seen], out: Tensor) -> _Seen:
    x, dims = inputs[0], v.get("dim")
    dims = range(-x.ndim, 0) if dims is None or dims == [] else dims
    dims = [dims] if isinstance(dims, int) else dims
    gone = [d if d < 0 else d - x.ndim for d in dims]
    return _without(_one(seen), gone, kept=out.ndim == x.ndim)


def _without(one: _Seen, gone: Sequence[int], *, kept: bool) -> _Seen:
    """What is left when dimensions `gone` were summed over, dropped or (`kept`) stayed as one."""
    if set(gone) & set(one.dims):
        raise _Mixed
    row, column = (d if kept else d + sum(g > d for g in gone) for d in one.dims)
    return replace(one, dims=(row, column))


def _unsqueeze(v: dict[str, Any], inputs: list[Tensor], seen: list[_Seen], out: Tensor) -> _Seen:
    one = _joined(seen)
    new = v["dim"] if v["dim"] < 0 else v["dim"] - out.ndim
    row, column = (d - 1 if new >= d else d for d in one.dims)
    return replace(one, dims=(row, column))


def _permute(v: dict[str, Any], inputs: list[Tensor], seen: list[_Seen], out: Tensor) -> _Seen:
    order = list(range(out.ndim))
    if "dims" in v:
        order = [d % out.ndim for d in v["dims"]]
    else:
        a, b = v["dim0"], v["dim1"]
        order[a], order[b] = order[b], order[a]
    one = _one(seen)
    row, column = (order.index(d + out.ndim) - out.ndim for d in one.dims)
    return replace(one, dims=(row, column))


def _view(v: dict[str, Any], inputs: list[Tensor], seen: list[_Seen], out: Tensor) -> _Seen:
    one = _one(seen)
    if one.dims != (-2, -1) or out.ndim < 3 or inputs[0].shape[-2:] != out.shape[-2:]:
        raise _Mixed
    return one


def _expand(v: dict[str, Any], inputs: list[Tensor], seen: list[_Seen], out: Tensor) -> _Seen:
    return _broadcast(inputs, seen, out)


_Rule = Callable[[dict[str, Any], list[Tensor], list[_Seen], Tensor], _Seen]
_RULES: dict[str, _Rule] = {
    "convolution": _convolution,
    **dict.fromkeys(("max_pool2d", "max_pool2d_with_indices", "avg_pool2d"), _pool),
    **dict.fromkeys(("constant_pad_nd", "reflection_pad2d", "replication_pad2d"), _pad),
    "slice": _slice,
    **dict.fromkeys(("native_batch_norm", "_native_batch_norm_legit"), _batch_norm),
    "_native_batch_norm_legit_no_training": _batch_norm,
    "native_layer_norm": _layer_norm,
    "cat": _cat,
    **dict.fromkeys(("mean", "sum", "amax", "amin", "max", "min", "std", "var"), _reduce),
    **dict.fromkeys(("linalg_vector_norm", "_softmax", "_log_softmax"), _reduce),
    **dict.fromkeys(("select", "unbind", "squeeze"), _reduce),
    **dict.fromkeys(("split", "split_with_sizes"), _reduce),
    **dict.fromkeys(("unsqueeze", "stack"), _unsqueeze),
    **dict.fromkeys(("permute", "transpose"), _permute),
    **dict.fromkeys(("view", "_unsafe_view", "_reshape_alias"), _view),
    "expand": _expand,
}
