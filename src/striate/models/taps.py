"""Taps: the outputs of inner modules, by module path; the forward pass ends after the last one."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from torch import Tensor, nn

from striate.core.errors import InputError, unknown_name


class _Enough(Exception):  # noqa: N818 - a signal, not an error
    """All taps are there; the rest of the forward pass is not needed."""


def resolve_tap(network: nn.Module, name: str) -> nn.Module:
    """Return the module at path `name`; a typo is answered with the nearest paths."""
    modules = dict(network.named_modules())
    modules.pop("", None)
    if name not in modules:
        raise unknown_name("tap", name, modules)
    return modules[name]


def tapped_forward(network: nn.Module, x: Tensor, taps: Sequence[str]) -> dict[str, Tensor]:
    """Run the network on `x` and return the output of each tap, in the order asked.

    Gradients flow. The pass ends as soon as every tap has been seen, which saves the rest of the
    network. An in-place operation behind a tap (ReLU) does not change what is returned: taps are
    copied when the network goes on. Of a module that runs several times, the first output counts,
    whichever other taps are asked for.

    Raises:
        InputError: unknown tap, or one that the forward pass never reaches or that is no tensor.
    """
    found: dict[str, Tensor] = {}
    last = len(set(taps)) - 1

    def keep(name: str, output: Tensor) -> None:
        found[name] = output.clone() if len(found) < last else output

    visit_taps(network, x, taps, keep)
    return {name: found[name] for name in taps}


def visit_taps(
    network: nn.Module, x: Tensor, taps: Sequence[str], visit: Callable[[str, Tensor], None]
) -> None:
    """Run the network on `x` and call `visit(tap, output)` at each tap, in the network's order.

    The output is only good during the call: what runs next may write over it. The pass ends
    after the last tap. Nothing is copied or kept, so memory is that of the bare pass.

    Raises:
        InputError: unknown tap, or one that the forward pass never reaches or that is no tensor.
    """
    found: set[str] = set()
    wanted = list(dict.fromkeys(taps))
    enough = _Enough()  # of this call: a network may take taps of a network inside it

    def keep(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            if name in found:
                return
            if not isinstance(output, Tensor):
                raise InputError(f"tap {name!r} gives {type(output).__name__}, not a tensor.")
            visit(name, output)
            found.add(name)
            if len(found) == len(wanted):
                raise enough

        return hook

    handles = []
    try:
        for name in wanted:
            handles.append(resolve_tap(network, name).register_forward_hook(keep(name)))
        network(x)
    except _Enough as signal:
        if signal is not enough:
            raise
    finally:
        for handle in handles:
            handle.remove()
    missing = [n for n in wanted if n not in found]
    if missing:
        raise InputError(f"the forward pass never reaches tap {missing[0]!r}.")


@contextlib.contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Put every submodule in eval mode (no dropout, no batch-norm update); restore after."""
    modes = [(m, m.training) for m in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for m, mode in modes:
            m.training = mode
