"""Taps are outputs of inner modules, by module path; the forward pass ends after the last one."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from torch import Tensor, nn

from striate.core.errors import InputError, unknown_name


class _AllTapsSeen(Exception):  # noqa: N818 - a signal, not an error
    """All taps were seen, so the rest of the forward pass is not needed."""


def resolve_tap(network: nn.Module, name: str) -> nn.Module:
    """Return the module at path `name`; the error for an unknown path offers the nearest ones."""
    modules = dict(network.named_modules())
    modules.pop("", None)
    if name not in modules:
        raise unknown_name("tap", name, modules)
    return modules[name]


def tapped_forward(network: nn.Module, x: Tensor, taps: Sequence[str]) -> dict[str, Tensor]:
    """Run the network on `x` and return the output of each tap, in the order of `taps`.

    Gradients flow. The pass ends as soon as every tap has been seen, which saves the rest of the
    network. An in-place operation behind a tap (ReLU) does not change what is returned, because
    taps are copied if the network goes on. If a module runs several times, its first output
    counts, whichever other taps are asked for.

    Raises:
        InputError: unknown tap, or one that the forward pass never reaches or that is no tensor.
    """
    outputs: dict[str, Tensor] = {}
    n_copied = len(set(taps)) - 1

    def keep_output(name: str, output: Tensor) -> None:
        outputs[name] = output.clone() if len(outputs) < n_copied else output

    visit_taps(network, x, taps, keep_output)
    return {name: outputs[name] for name in taps}


def visit_taps(
    network: nn.Module, x: Tensor, taps: Sequence[str], visit: Callable[[str, Tensor], None]
) -> None:
    """Run the network on `x` and call `visit(tap, output)` at each tap, in the network's order.

    The output is only valid during the call, as the next operation may write over it. The pass
    ends after the last tap. Nothing is copied or kept, so a pass needs no additional memory.

    Raises:
        InputError: unknown tap, or one that the forward pass never reaches or that is no tensor.
    """
    visited: set[str] = set()
    names = list(dict.fromkeys(taps))
    all_seen = _AllTapsSeen()  # of this call, as a network may take taps of one inside it

    def make_hook(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            if name in visited:
                return
            if not isinstance(output, Tensor):
                raise InputError(f"tap {name!r} gives {type(output).__name__}, not a tensor.")
            visit(name, output)
            visited.add(name)
            if len(visited) == len(names):
                raise all_seen

        return hook

    handles = []
    try:
        for name in names:
            handles.append(resolve_tap(network, name).register_forward_hook(make_hook(name)))
        network(x)
    except _AllTapsSeen as stop:
        if stop is not all_seen:
            raise
    finally:
        for handle in handles:
            handle.remove()
    missing = [n for n in names if n not in visited]
    if missing:
        raise InputError(f"the forward pass never reaches tap {missing[0]!r}.")


@contextlib.contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Put every submodule in eval mode (no dropout, no batch-norm update); restore it after."""
    modes = [(m, m.training) for m in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for m, mode in modes:
            m.training = mode
