"""Rules for which pixels the output of a tensor operation sees, given what its inputs see.

The arithmetic is that of Araujo, Norris & Sim 2019, "Computing receptive fields of convolutional
neural networks", section 2, plus the range of positions that no padding touches.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Side:
    """One side (rows or columns) of a map.

    Position p sees the pixels `start + p * jump` to `start + p * jump + size - 1`; pixels outside
    the image are padding. No padding touches the positions from `first` to `stop - 1`.
    """

    start: int
    size: int
    jump: int
    first: int
    stop: int

    def window(self, kernel: int, stride: int, padding: int, dilation: int, length: int) -> Side:
        """Slide a window over this side, which gives `length` positions.

        Padding alone is a window of size 1; cropping is negative padding.
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
        """Join two sides, as at the end of two branches: the widest path counts."""
        start = min(self.start, other.start)
        end = max(self.start + self.size, other.start + other.size)
        first, stop = max(self.first, other.first), min(self.stop, other.stop)
        return replace(self, start=start, size=end - start, first=first, stop=stop)


@dataclass(frozen=True)
class SeenArea:
    """What the positions of a tensor see; `dims` are its row and column dimensions (negative)."""

    rows: Side
    columns: Side
    dims: tuple[int, int] = (-2, -1)

    @property
    def sides(self) -> tuple[Side, Side]:
        """Rows and columns."""
        return self.rows, self.columns


class PositionsMixed(Exception):  # noqa: N818 - caught where the operation is known
    """The operation leaves no map of positions with a field of fixed size."""


_POINTWISE = {"_prelu_kernel", "alias", "copy_", "detach", "_to_copy", "lift_fresh"}


@dataclass(frozen=True)
class Operation:
    """An operation that the network executes, as the rules below need it.

    Attributes:
        arguments: all its arguments by name.
        inputs: its input tensors that depend on the image.
        seen: what each of them sees.
        output: the tensor that it gives.
    """

    arguments: dict[str, Any]
    inputs: list[Tensor]
    seen: list[SeenArea]
    output: Tensor

    def only_area(self) -> SeenArea:
        """Return what the only input sees; with two, the image is also a weight (attention)."""
        if len(self.seen) != 1:
            raise PositionsMixed
        return self.seen[0]

    def dim(self, ndim: int) -> int:
        """Return the argument `dim` of a tensor with `ndim` dimensions, counted from the last."""
        dim: int = self.arguments["dim"]
        return dim if dim < 0 else dim - ndim


def _follow_broadcast(operation: Operation) -> SeenArea:
    for tensor, area in zip(operation.inputs, operation.seen, strict=True):
        if any(tensor.shape[d] != operation.output.shape[d] for d in area.dims):
            raise PositionsMixed  # one position meets all: squeeze-and-excitation
    return _join_areas(operation.seen)


def _join_areas(areas: Sequence[SeenArea]) -> SeenArea:
    def join_two(a: SeenArea, b: SeenArea) -> SeenArea:
        if a.dims != b.dims or any(x.jump != y.jump for x, y in zip(a.sides, b.sides, strict=True)):
            raise PositionsMixed
        return SeenArea(a.rows.joined(b.rows), a.columns.joined(b.columns), a.dims)

    return reduce(join_two, areas)


def _as_pair(values: Any) -> tuple[int, int]:
    values = [values] if isinstance(values, int) else list(values)
    return values[0], values[-1]


def _follow_windows(
    operation: Operation, kernel: Any, stride: Any, padding: Any, dilation: Any
) -> SeenArea:
    area, output = operation.only_area(), operation.output
    if area.dims != (-2, -1) or output.ndim != 4:
        raise PositionsMixed
    pairs = [_as_pair(values) for values in (kernel, stride, padding, dilation)]
    windows = zip(*pairs, output.shape[-2:], strict=True)
    rows, columns = (side.window(*window) for side, window in zip(area.sides, windows, strict=True))
    return SeenArea(rows, columns)


def _follow_convolution(operation: Operation) -> SeenArea:
    arguments = operation.arguments
    weight = arguments["weight"]
    is_input = operation.inputs[0] is arguments["input"]
    if arguments["transposed"] or not is_input or weight.ndim != 4:
        raise PositionsMixed
    stride, padding, dilation = (arguments[name] for name in ("stride", "padding", "dilation"))
    return _follow_windows(operation, weight.shape[-2:], stride, padding, dilation)


def _follow_pool(operation: Operation) -> SeenArea:
    arguments = operation.arguments
    kernel, dilation = arguments["kernel_size"], arguments.get("dilation", 1)
    stride = arguments["stride"] or kernel
    return _follow_windows(operation, kernel, stride, arguments["padding"], dilation)


def _follow_pad(operation: Operation) -> SeenArea:
    area, arguments = operation.only_area(), operation.arguments
    amounts = arguments["pad"] if "pad" in arguments else arguments["padding"]
    paddings = [amounts[2 * (-d - 1)] if -2 * d <= len(amounts) else 0 for d in area.dims]
    rows, columns = (
        side.window(1, 1, padding, 1, operation.output.shape[d])
        for side, padding, d in zip(area.sides, paddings, area.dims, strict=True)
    )
    return SeenArea(rows, columns, area.dims)


def _follow_slice(operation: Operation) -> SeenArea:
    area, x, arguments = operation.only_area(), operation.inputs[0], operation.arguments
    dim = operation.dim(x.ndim)
    if dim not in area.dims:
        return area
    bounds = slice(arguments["start"], arguments["end"], arguments["step"])
    start, _, step = bounds.indices(x.shape[dim])
    sides = [
        side.window(1, step, -start, 1, operation.output.shape[dim]) if d == dim else side
        for side, d in zip(area.sides, area.dims, strict=True)
    ]
    return SeenArea(sides[0], sides[1], area.dims)


def _follow_batch_norm(operation: Operation) -> SeenArea:
    if operation.arguments.get("training", False):
        raise PositionsMixed  # normalized by the statistics of the image itself
    return operation.only_area()


def _follow_layer_norm(operation: Operation) -> SeenArea:
    dims = range(-len(operation.arguments["normalized_shape"]), 0)
    return _reduce_dimensions(operation.only_area(), dims, kept=True)


def _follow_cat(operation: Operation) -> SeenArea:
    dim = operation.dim(operation.output.ndim)
    return _reduce_dimensions(_join_areas(operation.seen), [dim], kept=True)


def _follow_reduction(operation: Operation) -> SeenArea:
    ndim, dims = operation.inputs[0].ndim, operation.arguments.get("dim")
    dims = range(-ndim, 0) if dims is None or dims == [] else dims
    dims = [dims] if isinstance(dims, int) else dims
    reduced = [d if d < 0 else d - ndim for d in dims]
    return _reduce_dimensions(operation.only_area(), reduced, kept=operation.output.ndim == ndim)


def _reduce_dimensions(area: SeenArea, reduced: Sequence[int], *, kept: bool) -> SeenArea:
    """Return what is seen after dimensions were reduced, and dropped unless they are `kept`."""
    if set(reduced) & set(area.dims):
        raise PositionsMixed
    row, column = (d if kept else d + sum(r > d for r in reduced) for d in area.dims)
    return replace(area, dims=(row, column))


def _follow_unsqueeze(operation: Operation) -> SeenArea:
    area = _join_areas(operation.seen)
    new_dim = operation.dim(operation.output.ndim)
    row, column = (d - 1 if new_dim >= d else d for d in area.dims)
    return replace(area, dims=(row, column))


def _follow_permute(operation: Operation) -> SeenArea:
    arguments, ndim = operation.arguments, operation.output.ndim
    order = list(range(ndim))
    if "dims" in arguments:
        order = [d % ndim for d in arguments["dims"]]
    else:
        a, b = arguments["dim0"], arguments["dim1"]
        order[a], order[b] = order[b], order[a]
    area = operation.only_area()
    row, column = (order.index(d + ndim) - ndim for d in area.dims)
    return replace(area, dims=(row, column))


def _follow_view(operation: Operation) -> SeenArea:
    area, output = operation.only_area(), operation.output
    changes_map = operation.inputs[0].shape[-2:] != output.shape[-2:]
    if area.dims != (-2, -1) or output.ndim < 3 or changes_map:
        raise PositionsMixed
    return area


_RULES: dict[str, Callable[[Operation], SeenArea]] = {
    "convolution": _follow_convolution,
    **dict.fromkeys(("max_pool2d", "max_pool2d_with_indices", "avg_pool2d"), _follow_pool),
    **dict.fromkeys(("constant_pad_nd", "reflection_pad2d", "replication_pad2d"), _follow_pad),
    "slice": _follow_slice,
    **dict.fromkeys(("native_batch_norm", "_native_batch_norm_legit"), _follow_batch_norm),
    "_native_batch_norm_legit_no_training": _follow_batch_norm,
    "native_layer_norm": _follow_layer_norm,
    "cat": _follow_cat,
    **dict.fromkeys(("mean", "sum", "amax", "amin", "max", "min", "std", "var"), _follow_reduction),
    **dict.fromkeys(("linalg_vector_norm", "_softmax", "_log_softmax"), _follow_reduction),
    **dict.fromkeys(("select", "unbind", "squeeze"), _follow_reduction),
    **dict.fromkeys(("split", "split_with_sizes"), _follow_reduction),
    **dict.fromkeys(("unsqueeze", "stack"), _follow_unsqueeze),
    **dict.fromkeys(("permute", "transpose"), _follow_permute),
    **dict.fromkeys(("view", "_unsafe_view", "_reshape_alias"), _follow_view),
    "expand": _follow_broadcast,
}


def follow(name: str, tags: Collection[torch.Tag], operation: Operation) -> SeenArea:
    """Return what the output of an operation sees.

    Args:
        name: of the operation in torch's schema, such as `convolution`.
        tags: torch's own; pointwise operations need no rule.
        operation: its arguments, inputs and output.

    Raises:
        PositionsMixed: the output is no map, or no rule is known.
    """
    if torch.Tag.pointwise in tags or name in _POINTWISE:
        return _follow_broadcast(operation)
    if name not in _RULES:
        raise PositionsMixed
    return _RULES[name](operation)
