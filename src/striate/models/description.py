"""What decides a network's output besides its tensors: settings, functions, code and versions.

`describe` reads all of it without running the network; `observe` runs it on a few fixed images
besides and hashes what every module gave. Together with the tensors that is the key of a cache
entry (`Model.fingerprint`).
"""

from __future__ import annotations

import enum
import functools
import hashlib
import sys
import time
import types
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from striate.core.errors import InputError
from striate.core.hashing import hash_array, hash_json, hash_tensors
from striate.models.taps import evaluating

_INNER = frozenset(nn.Module().__dict__)
"""What torch itself keeps in every module: tensors, parts and the mode are seen to elsewhere."""
_HOOKS = ("_forward_hooks", "_forward_pre_hooks")
_OPAQUE = ("torch", "builtins", "threading", "_thread", "weakref", "numpy")
"""Objects of these packages are named by their type; their content is not looked into."""
_DEEPEST = 40
SLOW = 2.0
"""Seconds of a pass above which a network that is described as before is not run again."""


def describe(network: nn.Module, *, code: bool = True) -> dict[str, str]:
    """Hash each thing but the tensors that the network's output can depend on, by its place.

    Args:
        network: any module.
        code: also the code of its classes and functions, which is another for every minor version
            of Python; without it functions are told apart by their names.

    Returns:
        One hash for the class and settings of each module, for each plain attribute of it
        (numbers, texts, tuples, arrays, functions with what they enclose, objects with attributes
        of their own), and for the functions that hook into it.
    """
    return _Teller(code).network(network, "")


def versions(network: nn.Module) -> dict[str, str]:
    """The version of Python's and of each package that a network's modules come from.

    A package without one says nothing; what it defines is told by its code.
    """
    packages = {type(m).__module__.partition(".")[0] for m in network.modules()} | {"torch"}
    known = {p: getattr(sys.modules.get(p), "__version__", None) for p in sorted(packages)}
    found = {package: str(version) for package, version in known.items() if version}
    return {"python": f"{sys.version_info.major}.{sys.version_info.minor}", **found}


def _settings(module: nn.Module) -> str:
    """The settings of a module that it tells of itself; of a container its parts follow."""
    return "" if next(module.children(), None) is not None else module.extra_repr()


def _file_name(defined: Any) -> str:
    """Name the file that a class or function is defined in, imported or run as a program."""
    name = str(defined.__module__)
    if name == "__main__":
        name = Path(getattr(sys.modules[name], "__file__", None) or name).stem
    return name.rpartition(".")[2]


class _Teller:
    """Turns what is no tensor of a network into plain values that can be hashed.

    Objects that hold others are hashed once; whether two places share one makes no difference.
    """

    def __init__(self, code: bool) -> None:
        self.code = code
        self.places: dict[int, str] = {}
        self.hashed: dict[int, str] = {}
        self.kept: list[Any] = []  # ids are only good while the objects live

    def network(self, network: nn.Module, at: str) -> dict[str, str]:
        """See `describe`; `at` is where the network itself is."""
        modules = {f"{at}{place}": m for place, m in network.named_modules()}
        for place, module in modules.items():
            self.places.setdefault(id(module), f"module {place}")
        out: dict[str, str] = {}
        for place, module in modules.items():
            out[f"{place}|class"] = hash_json([self.named(type(module)), _settings(module)])
            for name, value in sorted(vars(module).items()):
                if name in _HOOKS and value:
                    out[f"{place}|{name}"] = hash_json([self.value(v) for v in value.values()])
                elif name not in _INNER:
                    out[f"{place}|{name}"] = hash_json(self.value(value))
        return out

    def value(self, value: Any, depth: int = 0) -> Any:
        """A plain value, or the hash of a compound one."""
        if value is None or isinstance(value, bool | int | float | complex | str | bytes):
            return [type(value).__name__, repr(value)]
        if isinstance(value, torch.dtype | torch.device | torch.Size | enum.Enum | Path | slice):
            return [type(value).__name__, str(value)]
        if isinstance(value, Tensor):
            return ["tensor", hash_tensors({"": value})]
        if isinstance(value, np.ndarray | np.generic):
            array = np.asarray(value)
            return ["array", str(array) if array.dtype.hasobject else hash_array(array)]
        if isinstance(value, type):
            return self.named(value)
        if id(value) in self.places:
            return self.places[id(value)]
        if id(value) in self.hashed:
            return self.hashed[id(value)]
        if depth > _DEEPEST:
            return ["deep", type(value).__qualname__]
        self.kept.append(value)
        self.hashed[id(value)] = f"inside {type(value).__qualname__}"  # for what holds itself
        self.hashed[id(value)] = hash_json(self._compound(value, depth + 1))
        return self.hashed[id(value)]

    def _compound(self, value: Any, depth: int) -> Any:
        if isinstance(value, Mapping):
            return ["map", [[self.value(k, depth), self.value(v, depth)] for k, v in value.items()]]
        if isinstance(value, list | tuple):
            return [type(value).__name__, [self.value(v, depth) for v in value]]
        if isinstance(value, set | frozenset):
            return ["set", sorted(hash_json(self.value(v, depth)) for v in value)]
        if isinstance(value, functools.partial):
            parts = (value.func, value.args, value.keywords)
            return ["partial", [self.value(p, depth) for p in parts]]
        if isinstance(value, types.MethodType):
            return ["method", self.value(value.__func__, depth), self.value(value.__self__, depth)]
        if isinstance(value, types.FunctionType):
            return self.function(value, depth)
        if callable(value) and hasattr(value, "__qualname__"):  # of C: there is but its name
            return ["builtin", str(getattr(value, "__module__", "")), value.__qualname__]
        if isinstance(value, nn.Module):  # in a list or so, which torch does not know of
            tensors = {**dict(value.named_buffers()), **value.state_dict()}
            return ["module", hash_tensors(tensors), self.network(value, f"{len(self.places)}:")]
        name = self.named(type(value))
        if type(value).__module__.partition(".")[0] in _OPAQUE:
            return ["object", name]
        slots = [s for c in type(value).__mro__ for s in getattr(c, "__slots__", ())]
        held = {s: getattr(value, s) for s in slots if isinstance(s, str) and hasattr(value, s)}
        held |= getattr(value, "__dict__", {})
        return ["object", name, [[k, self.value(v, depth)] for k, v in sorted(held.items())]]

    def named(self, cls: type) -> Any:
        """A class by its name, and by the code of what it and its own bases define."""
        name = [_file_name(cls), cls.__qualname__]
        if not self.code:
            return name
        if id(cls) not in self.hashed:
            self.kept.append(cls)
            self.hashed[id(cls)] = "inside"
            bases = [c for c in cls.__mro__ if c.__module__.partition(".")[0] not in _OPAQUE]
            self.hashed[id(cls)] = hash_json([self._members(c) for c in bases])
        return [*name, self.hashed[id(cls)]]

    def _members(self, cls: type) -> Any:
        out = []
        for name, member in sorted(vars(cls).items()):
            inner = getattr(member, "__func__", None) or getattr(member, "fget", None) or member
            inner = getattr(inner, "__wrapped__", inner)
            if isinstance(inner, types.FunctionType):
                out.append([name, self.function(inner, 0)])
            elif not name.startswith("__") and isinstance(
                inner, bool | int | float | str | tuple | list | dict | Tensor | np.ndarray
            ):
                out.append([name, self.value(inner)])
        return out

    def function(self, function: types.FunctionType, depth: int) -> Any:
        """A function by its name, its defaults, what it encloses and, if wanted, its code."""
        name = [_file_name(function), function.__qualname__]
        if str(function.__module__).partition(".")[0] in _OPAQUE:
            return ["function", name]
        enclosed = [_content(cell) for cell in function.__closure__ or ()]
        held = (function.__defaults__, function.__kwdefaults__, enclosed)
        out = ["function", name, [self.value(h, depth) for h in held]]
        return [*out, self._code(function.__code__, function, depth)] if self.code else out

    def _code(self, code: types.CodeType, function: types.FunctionType, depth: int) -> Any:
        constants = [
            self._code(c, function, depth) if isinstance(c, types.CodeType) else self.value(c)
            for c in code.co_consts
        ]
        known, names = function.__globals__, code.co_names
        outside = [[n, self._outer(known[n], function, names, depth)] for n in names if n in known]
        return [code.co_code.hex(), constants, list(code.co_names), outside]

    def _outer(
        self, value: Any, function: types.FunctionType, names: Sequence[str], depth: int
    ) -> Any:
        """What a function takes from outside: constants, and what a user wrote, wherever it lies.

        Of an installed package the version counts, of a user's module, class, function or object
        the content; of a module only what `names`, those that the code mentions, may take from it.
        """
        if isinstance(value, types.ModuleType):
            if not _is_users(value.__name__):
                return [value.__name__, _version(value.__name__)]
            if depth > _DEEPEST:
                return ["deep", value.__name__]
            found = {n: vars(value)[n] for n in names if n in vars(value)}
            inner = [[n, self._outer(v, function, names, depth + 1)] for n, v in found.items()]
            return ["module", value.__name__, inner]
        plain = isinstance(
            value,
            bool | int | float | str | bytes | tuple | list | dict | set | Tensor | np.ndarray,
        )
        kind = value if isinstance(value, type | types.FunctionType) else type(value)
        place = str(getattr(kind, "__module__", ""))
        if plain or place == function.__module__ or _is_users(place):
            return self.value(value, depth)
        return [str(getattr(value, "__qualname__", "")), place, _version(place)]


@functools.cache
def _is_users(module: str) -> bool:
    """Whether a module is a user's own: neither Python's nor of an installed package."""
    top = module.partition(".")[0]
    if top in _OPAQUE or top in sys.stdlib_module_names - {"__main__"} or top == "striate":
        return False
    file = getattr(sys.modules.get(module), "__file__", None)
    if file is None:
        return True
    # An installed package lies beside what pip writes of it, in whatever folder that is.
    above = list(Path(file).parents)[: module.count(".") + 2]
    return not any(any(folder.glob("*.dist-info")) for folder in above)


def _version(module: str) -> str:
    return str(getattr(sys.modules.get(module.partition(".")[0]), "__version__", ""))


def _content(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not filled yet
        return None


def probe_images(size: int) -> Tensor:
    """Fixed images that excite what they can: noise, ramps of color, extremes; uint8 (3, S, S, 3).

    The extremes are black and white in fields of a few pixels beside plain halves, so that
    functions which cut off or saturate do so.
    """
    at = torch.arange(size)
    y, x = at[:, None].expand(size, size), at[None, :].expand(size, size)
    mixed = ((x * 7919 + y * 104729 + 12345) * 48271) % 65521
    noise = torch.stack([(mixed * k // 7) % 256 for k in (3, 5, 11)], -1)
    ramp = 255 * at // max(size - 1, 1)
    ramps = torch.stack([ramp.expand(size, size), ramp[:, None].expand(size, size),
                         (255 - ramp).expand(size, size)], -1)  # fmt: skip
    fields = 255 * ((x // 3 + y // 3) % 2)
    plain = torch.where(x < size // 2, torch.zeros_like(x), torch.full_like(x, 255))
    extremes = torch.where(y < size // 2, fields, plain)[..., None].expand(size, size, 3)
    return torch.stack([noise, ramps, extremes]).to(torch.uint8)


@dataclass(frozen=True)
class Observation:
    """A network as it was seen.

    Attributes:
        described: what `describe` says, without what a pass changes (counters, and what is kept
            of the last images).
        given: hash of what every module gave, by its place and the number of the call; None where
            the network cannot take the images.
        volatile: places that a pass changes.
        seconds: that a pass took.
    """

    described: Mapping[str, str]
    given: Mapping[str, str] | None
    volatile: frozenset[str] = frozenset()
    seconds: float = 0.0

    def agrees(self, described: Mapping[str, str]) -> bool:
        """Whether a network is still described as it was, but for what a pass changes."""
        return {k: v for k, v in described.items() if k not in self.volatile} == self.described


@torch.no_grad()
def observe(
    network: nn.Module, x: Tensor, *, code: bool = True, before: Observation | None = None
) -> Observation:
    """Run a network in eval mode on normalized images, and describe it.

    One thread and no autocast, so that one machine gives the same again. The network's mode and the
    random state are as they were afterwards.

    Args:
        network: on the CPU.
        x: images as the network takes them.
        code: see `describe`.
        before: of the same network with the same tensors: where nothing is described otherwise
            than then, the second pass, which finds what passes change, is left out, and the first
            one too where it took longer than `SLOW`.

    Raises:
        InputError: the output is another from call to call.
    """
    known = before if before is not None and before.given is not None else None
    if known and known.seconds > SLOW and known.agrees(describe(network, code=code)):
        return known
    started = time.perf_counter()
    first, values = _pass(network, x, 0)
    seconds = time.perf_counter() - started
    settled = describe(network, code=code)  # what is made at the first call is there now
    if first is None:
        return Observation(settled, None)
    if known and known.agrees(settled):
        return replace(known, given=first, seconds=seconds)
    second, again = _pass(network, x, 1)
    if first != second:
        for a, b in zip(values, again, strict=False):
            if a.shape != b.shape or not torch.allclose(a, b, 1e-4, 1e-5, equal_nan=True):
                raise InputError(
                    f"{type(network).__name__} gives another output for the same images from call "
                    "to call, in eval mode: something in it is drawn at random (dropout with "
                    "training=True?) or counted. Scores would be of one draw. Make it follow eval "
                    "mode, or fix its draws."
                )
    after = describe(network, code=code)
    volatile = frozenset(k for k in settled.keys() | after.keys() if settled.get(k) != after.get(k))
    stable = {k: told for k, told in settled.items() if k not in volatile}
    return Observation(stable, first, volatile, seconds)


def _pass(network: nn.Module, x: Tensor, seed: int) -> tuple[dict[str, str] | None, list[Tensor]]:
    """Hashes of what every module gives, and the output itself."""
    found: dict[str, str] = {}
    last: list[tuple[Tensor, int]] = []

    def note(place: str) -> Any:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            tensors = [(t, t._version) for t in _tensors(output)]
            same = [a is b and n == m for (a, n), (b, m) in zip(tensors, last, strict=False)]
            if len(tensors) == len(last) and all(same):
                return  # a container hands on what its last part gave
            last[:] = tensors
            found[f"{place}#{len(found)}"] = hash_json([_digest(t) for t, _ in tensors])

        return hook

    handles = [m.register_forward_hook(note(place)) for place, m in network.named_modules()]
    try:
        with (
            evaluating(network),
            one_thread(),
            torch.autocast("cpu", enabled=False),
            torch.random.fork_rng(devices=[]),
        ):
            torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed GPUs as well
            output = network(x.clone())
    except Exception:  # whatever a network that is broken, or made for other images, raises
        return None, []
    finally:
        for handle in handles:
            handle.remove()
    return found, [t.detach().clone() for t in _tensors(output)]


def _digest(tensor: Tensor) -> list[Any]:
    values = tensor.detach().cpu().contiguous()
    data = values.reshape(-1).view(torch.uint8).numpy().tobytes() if values.numel() else b""
    digest = hashlib.sha256(data).hexdigest()
    return [str(tensor.dtype), list(tensor.shape), digest]


def _tensors(output: Any) -> Iterator[Tensor]:
    if isinstance(output, Tensor):
        yield output
    elif isinstance(output, Mapping):
        for value in output.values():
            yield from _tensors(value)
    elif isinstance(output, list | tuple):
        for value in output:
            yield from _tensors(value)


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute with one thread of torch: sums in another order are other numbers."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
