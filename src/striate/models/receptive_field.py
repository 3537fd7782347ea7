"""Receptive fields of taps, computed by following the network or measured by its gradient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from striate.core.errors import InputError
from striate.models.field_rules import Side
from striate.models.model import Model
from striate.models.taps import evaluating, visit_taps
from striate.models.tracing import trace

PROBE_MAX = 4096
"""Largest side in pixels of the image of `probe_receptive_field`."""
_NARROW_SIDES = (64, 128, 256)
"""Sides of the short axis of that image; the next is tried if a map would shrink to nothing."""


@dataclass(frozen=True)
class Field:
    """What the positions of a tap's map see. Pairs are (rows, columns), in pixels of the input.

    Attributes:
        tap: module path.
        shape: sides of the rectangle that one position sees, including padding.
        jumps: distances between neighboring positions.
        start: first row and column seen by position (0, 0); negative where that is padding.
    """

    tap: str
    shape: tuple[int, int]
    jumps: tuple[int, int]
    start: tuple[int, int]

    @property
    def size(self) -> int:
        """Side of the receptive field in pixels; the longer one of a rectangle."""
        return max(self.shape)

    @property
    def jump(self) -> int:
        """Pixels between neighboring positions; the larger of rows and columns."""
        return max(self.jumps)

    @property
    def center(self) -> tuple[float, float]:
        """Row and column of the middle of what position (0, 0) sees."""
        (top, left), (height, width) = self.start, self.shape
        return top + (height - 1) / 2, left + (width - 1) / 2

    def degrees(self, pixels_per_degree: float) -> float:
        """Return the side of the receptive field in degrees of visual angle.

        Raises:
            InputError: pixels_per_degree is not positive.
        """
        if not pixels_per_degree > 0:
            raise InputError(f"pixels_per_degree must be positive, found {pixels_per_degree}.")
        return self.size / pixels_per_degree


@dataclass(frozen=True)
class ReceptiveField(Field):
    """A field that was computed from a network, and what it implies for inputs of other sizes.

    `start` holds for the requested input size, because networks with TensorFlow's `SAME` padding
    pad differently at every size. `shape` and `jumps` are the same at every size.
    """

    network: nn.Module = field(repr=False, compare=False)
    channels: int = field(repr=False)

    def clean(self, input_size: int) -> slice:
        """Return the positions, along rows and along columns, that no padding touches.

        Args:
            input_size: side of the square input in pixels.

        Returns:
            slice: empty if padding touches all positions. Borders that mirror or repeat the image,
            and pooling windows that reach beyond it, count as padding.

        Raises:
            InputError: the input is so small that a map on the way shrinks to nothing.
        """
        rows, columns = trace(self.network, self.tap, input_size, channels=self.channels)
        first, stop = max(rows.first, columns.first), min(rows.stop, columns.stop)
        return slice(first, stop) if stop > first else slice(0, 0)

    def patch(self, positions: int = 3) -> int:
        """Return the side of the smallest square input with `positions` squared clean positions.

        Raises:
            InputError: positions is not positive, or there is no such input near the size that
                the receptive field and the jump make necessary.
        """
        if positions < 1:
            raise InputError(f"positions must be at least 1, found {positions}.")
        smallest = max(n + (positions - 1) * j for n, j in zip(self.shape, self.jumps, strict=True))
        # The first clean position may start up to one jump inside the patch. If rows and columns
        # are padded differently, positions that are clean along one may not be along the other.
        rows, columns = (
            max(0, -(first // jump)) for first, jump in zip(self.start, self.jumps, strict=True)
        )
        largest = smallest + (3 + abs(rows - columns)) * self.jump
        for side in range(smallest, largest):
            try:
                clean = self.clean(side)
            except InputError:  # too small for the network as a whole
                continue
            if clean.stop - clean.start >= positions:
                return side
        raise InputError(
            f"tap {self.tap!r}: no square input of {smallest} to {largest - 1} pixels "
            f"has {positions} x {positions} positions that no padding touches."
        )


def receptive_field(
    model: nn.Module, tap: str, input_size: int | None = None, channels: int = 3
) -> ReceptiveField:
    """Compute the receptive field of a tap from the operations that the network executes.

    Kernels, strides, paddings and dilations are read where they act, so any mix of modules,
    functions, residual paths and concatenations is followed; the widest path counts.

    Args:
        model: a `Model`, or any module that takes images (B, channels, H, W).
        tap: module path; for a plain module also `""`, its own output.
        input_size: side of the square input in pixels; a `Model` has its own.
        channels: number of input channels of a plain module.

    Raises:
        InputError: unknown tap; a tap at or behind a module that mixes all positions (global or
            adaptive pooling, linear layers, attention) or that Striate cannot follow (the module
            is named); an input size that is missing or too small.

    Examples:
        >>> from striate.models import load
        >>> field = receptive_field(load("lcl_v2@random"), "stage2")
        >>> field.size, field.jump, round(field.degrees(28), 2)
        (67, 16, 2.39)
        >>> field.patch(3), field.clean(224)
        (113, slice(2, 11, None))
        >>> receptive_field(load("alexnet@random"), "classifier.2")
        Traceback (most recent call last):
        striate.core.errors.InputError: tap 'classifier.2' has no receptive field of fixed size...
    """
    network, size, channels = _read_model(model, input_size, channels)
    rows, columns = trace(network, tap, size, channels=channels)
    return ReceptiveField(tap, *_pair_sides(rows, columns), network=network, channels=channels)


def _read_model(model: nn.Module, size: int | None, channels: int) -> tuple[nn.Module, int, int]:
    """Return the network, the side of its input and its number of input channels, checked."""
    if not isinstance(model, nn.Module):
        raise InputError(
            f"model: expected a Model or a torch.nn.Module, found {type(model).__name__}. Load one "
            "with striate.models.load."
        )
    for name, value in (("input_size", 1 if size is None else size), ("channels", channels)):
        if not isinstance(value, Integral) or value < 1:
            raise InputError(f"{name} must be a whole number of at least 1, found {value!r}.")
    if isinstance(model, Model):
        return model.network, size or model.preprocessing.size, 3
    if size is None:
        raise InputError("a plain module does not say how large its input is: give input_size.")
    return model, size, channels


def _pair_sides(
    rows: Side, columns: Side
) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
    return (rows.size, columns.size), (rows.jump, columns.jump), (rows.start, columns.start)


def probe_receptive_field(
    model: nn.Module, tap: str, input_size: int | None = None, channels: int = 3, seed: int = 0
) -> Field:
    """Measure the receptive field of a tap by the gradient of a position with respect to the image.

    This is an independent check of `receptive_field`, and works for networks that it cannot follow.
    The network runs with positive random weights, identity batch norm, and average instead of max
    pooling, on a faint positive image, so that no gradient vanishes or cancels. Rows are probed on
    a tall, narrow image and columns on a wide, low one, which costs far less than a large square.
    Large fields are slow: the image must be more than twice as long as the field.

    Args:
        model, tap, channels: see `receptive_field`.
        input_size: length of the image, if `start` depends on it; None: as long as needed.
        seed: seed of the random weights.

    Raises:
        InputError: unknown tap; an output that is no map; a field that does not fit into the image
            (4096 pixels, or `input_size`), for example because a unit sees the whole image.
    """
    network, _, channels = _read_model(model, input_size or 1, channels)
    state = _make_positive_state(network, seed)
    shapes, jumps, starts = [], [], []
    for axis in (0, 1):
        shape, jump, start = _probe_axis(network, state, tap, axis, input_size, channels, seed)
        shapes.append(shape)
        jumps.append(jump)
        starts.append(start)
    return Field(tap, (shapes[0], shapes[1]), (jumps[0], jumps[1]), (starts[0], starts[1]))


def _probe_axis(
    network: nn.Module,
    state: dict[str, Tensor],
    tap: str,
    axis: int,
    fixed_length: int | None,
    channels: int,
    seed: int,
) -> tuple[int, int, int]:
    lengths = [fixed_length] if fixed_length else [2**k for k in range(7, PROBE_MAX.bit_length())]
    for length in lengths:
        for narrow in _NARROW_SIDES:
            shape = (length, narrow) if axis == 0 else (narrow, length)
            generator = torch.Generator().manual_seed(seed)
            image = 1e-3 * (1 + torch.rand(1, channels, *shape, generator=generator).double())
            try:
                spans = _measure_spans(network, state, tap, image, axis)
            except RuntimeError:  # a map shrank to nothing on its way
                continue
            if spans is None:
                break
            middle, (first, last), (next_first, _) = spans
            if first > 0 and last < length - 1:
                jump = next_first - first
                return last - first + 1, jump, first - middle * jump
            break
    raise InputError(
        f"tap {tap!r}: the field of a position in the middle does not end within an image of "
        f"{lengths[-1]} pixels. It sees the whole image, or input_size is too small."
    )


def _measure_spans(
    network: nn.Module, state: dict[str, Tensor], tap: str, image: Tensor, axis: int
) -> tuple[int, tuple[int, int], tuple[int, int]] | None:
    """Return the middle position, and the first and last pixel that it and the next one see."""
    image.requires_grad_()
    outputs: list[Tensor] = []
    tapped = f"network.{tap}".rstrip(".")
    with evaluating(network), torch.enable_grad(), _MeanInsteadOfMax():
        visit_taps(
            _WithState(network, state), image, [tapped], lambda _, output: outputs.append(output)
        )
    output = outputs[0]
    if output.ndim != 4:
        raise InputError(f"tap {tap!r} gives {tuple(output.shape)}, not a map (B, C, H, W).")
    position_sums = output.sum(dim=(0, 1, 3 - axis))
    middle = len(position_sums) // 2
    if middle + 1 >= len(position_sums):
        return None
    spans = []
    for position in (middle, middle + 1):
        (gradient,) = torch.autograd.grad(position_sums[position], image, retain_graph=True)
        seen_pixels = gradient.abs().amax(dim=(0, 1, 3 - axis)).nonzero().flatten()
        if not len(seen_pixels):
            return None
        spans.append((int(seen_pixels[0]), int(seen_pixels[-1])))
    return middle, spans[0], spans[1]


class _WithState(nn.Module):
    """The network with other weights; its own stay unchanged."""

    def __init__(self, network: nn.Module, state: dict[str, Tensor]) -> None:
        super().__init__()
        self.network, self.state = network, state

    def forward(self, x: Tensor) -> Any:
        return torch.func.functional_call(self.network, self.state, (x,))


class _MeanInsteadOfMax(TorchFunctionMode):
    """Averages instead of maxima, so that a gradient reaches the whole window."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__name__", "") == "max_pool2d":
            return _average_pool(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def _average_pool(
    x: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Tensor:
    def as_pair(value: Any) -> tuple[int, int]:
        return (value, value) if isinstance(value, int) else (value[0], value[-1])

    kernel, pads, steps = as_pair(kernel_size), as_pair(padding), as_pair(dilation)
    strides = as_pair(stride) if stride else kernel  # max_pool2d's own default
    sizes = F.max_pool2d(x.detach(), kernel, strides, pads, steps, ceil_mode).shape[-2:]
    edges: list[int] = []
    for i in (1, 0):  # torch counts padding from the last dimension
        padded_length = (sizes[i] - 1) * strides[i] + (kernel[i] - 1) * steps[i] + 1
        edges += [pads[i], padded_length - x.shape[-2 + i] - pads[i]]
    weight = x.new_full((x.shape[1], 1, *kernel), 1 / (kernel[0] * kernel[1]))
    return F.conv2d(F.pad(x, edges), weight, None, strides, 0, steps, groups=x.shape[1])


def _make_positive_state(network: nn.Module, seed: int) -> dict[str, Tensor]:
    """Return weights in double precision with which the network averages positive numbers."""
    generator = torch.Generator().manual_seed(seed)
    state: dict[str, Tensor] = {}
    for name, value in [*network.named_parameters(), *network.named_buffers()]:
        if not value.is_floating_point():
            continue
        shape, parameter_name = value.shape, name.rpartition(".")[2]
        if len(shape) > 2:
            noise = 0.5 + torch.rand(shape, generator=generator, dtype=torch.float64)
            state[name] = noise / shape[1:].numel()
        elif len(shape) == 2:  # linear layers can be huge, so one number is expanded to a matrix
            state[name] = torch.full((1, 1), 1 / shape[1], dtype=torch.float64).expand(shape)
        else:
            is_zero = parameter_name in ("bias", "running_mean")
            state[name] = torch.full(shape, 0.0 if is_zero else 1.0, dtype=torch.float64)
    return state


DEPTH = 2
"""Parts of a module path up to which modules are offered to `matched_taps`: blocks and layers."""


def matched_taps(
    model: Model, sizes: Sequence[float], taps: Sequence[str] | None = None
) -> list[str]:
    """Taps whose receptive fields are nearest to some sizes in pixels, one a size.

    Args:
        model: at the input size that it will have.
        sizes: receptive fields to match, such as 19 and 67 pixels.
        taps: to choose from; default all modules at most `DEPTH` deep that Striate can follow.

    Returns:
        One tap a size; of equally near ones that with the larger field, then the deeper one, so
        that what it is matched to has no advantage.

    Raises:
        InputError: no tap can be followed.
    """
    names = taps or [n for n, _ in model.network.named_modules() if n and n.count(".") < DEPTH]
    fields = {}
    for name in names:
        try:
            fields[name] = receptive_field(model, name).size
        except InputError:  # a container, or behind global pooling
            continue
    if not fields:
        raise InputError(f"{model.id}: no tap has a receptive field that can be computed.")
    deep_first = list(fields)[::-1]
    ordered = sorted(deep_first, key=lambda name: -fields[name])
    return [
        min(ordered, key=lambda name, size=size: abs(fields[name] - size))  # type: ignore[misc]
        for size in sizes
    ]
