"""What decides a network's output besides its tensors: settings, functions, code and versions.

`describe` reads all of it without running the network. With what `striate.models.observation` sees
when the network runs, and with the tensors, it is the key of a cache entry (`Model.fingerprint`).
"""

from __future__ import annotations

import enum
import functools
import sys
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from striate.core.hashing import hash_array, hash_json, hash_tensors

_TORCH_ATTRIBUTES = frozenset(nn.Module().__dict__)
"""Attributes of torch itself in every module; tensors, parts and mode are treated elsewhere."""
_HOOKS = ("_forward_hooks", "_forward_pre_hooks")
_OPAQUE = ("torch", "builtins", "threading", "_thread", "weakref", "numpy")
"""Objects of these packages are described by their type alone, not by their content."""
_DEEPEST_LEVEL = 40


def describe(network: nn.Module, *, code: bool = True) -> dict[str, str]:
    """Hash everything but the tensors that a network's output can depend on, by its place.

    Args:
        network: any module.
        code: whether to include the code of classes and functions, which differs between minor
            versions of Python; without it functions are identified by their names.

    Returns:
        One hash for the class and settings of each module, for each of its plain attributes
        (numbers, texts, tuples, arrays, functions with what they enclose, objects with attributes
        of their own), and for its hooks.
    """
    return _Describer(code).describe_network(network, "")


def all_tensors(network: nn.Module) -> dict[str, Tensor]:
    """Return all tensors by name; a state dict leaves out buffers that are not saved."""
    return {**dict(network.named_buffers()), **network.state_dict()}


def versions(network: nn.Module) -> dict[str, str]:
    """Return the versions of Python and of the packages that a network's modules come from.

    A package without a version is left out; the code of what it defines is described instead.
    """
    packages = {type(m).__module__.partition(".")[0] for m in network.modules()} | {"torch"}
    package_versions = {
        p: getattr(sys.modules.get(p), "__version__", None) for p in sorted(packages)
    }
    stated_versions = {
        package: str(version) for package, version in package_versions.items() if version
    }
    return {"python": f"{sys.version_info.major}.{sys.version_info.minor}", **stated_versions}


def _read_settings(module: nn.Module) -> str:
    """Return the settings that a module prints; none for a container, whose parts follow."""
    return "" if next(module.children(), None) is not None else module.extra_repr()


def _find_file_name(defined: Any) -> str:
    """Return the name of the file that defines a class or function, imported or run as program."""
    name = str(defined.__module__)
    if name == "__main__":
        name = Path(getattr(sys.modules[name], "__file__", None) or name).stem
    return name.rpartition(".")[2]


class _Describer:
    """Turns everything of a network but its tensors into plain values that can be hashed.

    Compound objects are hashed once; it makes no difference whether two places share one.
    """

    def __init__(self, code: bool) -> None:
        self.code = code
        self.places: dict[int, str] = {}
        self.hashed: dict[int, str] = {}
        self.referenced: list[Any] = []  # ids are only valid while the objects live

    def describe_network(self, network: nn.Module, prefix: str) -> dict[str, str]:
        """See `describe`; `prefix` is the place of the network itself."""
        modules = {f"{prefix}{place}": m for place, m in network.named_modules()}
        for place, module in modules.items():
            self.places.setdefault(id(module), f"module {place}")
        described: dict[str, str] = {}
        for place, module in modules.items():
            settings = [self.describe_class(type(module)), _read_settings(module)]
            described[f"{place}|class"] = hash_json(settings)
            for name, value in sorted(vars(module).items()):
                if name in _HOOKS and value:
                    hooks = [self.describe_value(hook) for hook in value.values()]
                    described[f"{place}|{name}"] = hash_json(hooks)
                elif name not in _TORCH_ATTRIBUTES:
                    described[f"{place}|{name}"] = hash_json(self.describe_value(value))
        return described

    def describe_value(self, value: Any, depth: int = 0) -> Any:
        """Return a plain value, or the hash of a compound one."""
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
            return self.describe_class(value)
        if id(value) in self.places:
            return self.places[id(value)]
        if id(value) in self.hashed:
            return self.hashed[id(value)]
        if depth > _DEEPEST_LEVEL:
            return ["deep", type(value).__qualname__]
        self.referenced.append(value)
        # An object that holds itself meets this mark.
        self.hashed[id(value)] = f"inside {type(value).__qualname__}"
        self.hashed[id(value)] = hash_json(self._describe_compound(value, depth + 1))
        return self.hashed[id(value)]

    def _describe_compound(self, value: Any, depth: int) -> Any:
        if isinstance(value, Mapping):
            items = [[self.describe_value(part, depth) for part in pair] for pair in value.items()]
            return ["map", items]
        if isinstance(value, list | tuple):
            return [type(value).__name__, [self.describe_value(v, depth) for v in value]]
        if isinstance(value, set | frozenset):
            return ["set", sorted(hash_json(self.describe_value(v, depth)) for v in value)]
        if isinstance(value, functools.partial):
            pieces = (value.func, value.args, value.keywords)
            return ["partial", [self.describe_value(piece, depth) for piece in pieces]]
        if isinstance(value, types.MethodType):
            parts = (value.__func__, value.__self__)
            return ["method", *(self.describe_value(part, depth) for part in parts)]
        if isinstance(value, types.FunctionType):
            return self.describe_function(value, depth)
        if callable(value) and hasattr(value, "__qualname__"):  # written in C: it has but a name
            return ["builtin", str(getattr(value, "__module__", "")), value.__qualname__]
        if isinstance(value, nn.Module):  # for example in a list, where torch does not see it
            described = self.describe_network(value, f"{len(self.places)}:")
            return ["module", hash_tensors(all_tensors(value)), described]
        name = self.describe_class(type(value))
        if type(value).__module__.partition(".")[0] in _OPAQUE:
            return ["object", name]
        slots = [s for c in type(value).__mro__ for s in getattr(c, "__slots__", ())]
        attributes = {
            s: getattr(value, s) for s in slots if isinstance(s, str) and hasattr(value, s)
        }
        attributes |= getattr(value, "__dict__", {})
        contents = [[k, self.describe_value(v, depth)] for k, v in sorted(attributes.items())]
        return ["object", name, contents]

    def describe_class(self, cls: type) -> Any:
        """Describe a class by its name, and by the code of what it and its own bases define."""
        name = [_find_file_name(cls), cls.__qualname__]
        if not self.code:
            return name
        if id(cls) not in self.hashed:
            self.referenced.append(cls)
            self.hashed[id(cls)] = "inside"
            bases = [c for c in cls.__mro__ if c.__module__.partition(".")[0] not in _OPAQUE]
            self.hashed[id(cls)] = hash_json([self._describe_members(c) for c in bases])
        return [*name, self.hashed[id(cls)]]

    def _describe_members(self, cls: type) -> Any:
        described = []
        for name, member in sorted(vars(cls).items()):
            content = getattr(member, "__func__", None) or getattr(member, "fget", None) or member
            content = getattr(content, "__wrapped__", content)
            if isinstance(content, types.FunctionType):
                described.append([name, self.describe_function(content, 0)])
            elif not name.startswith("__") and isinstance(
                content, bool | int | float | str | tuple | list | dict | Tensor | np.ndarray
            ):
                described.append([name, self.describe_value(content)])
        return described

    def describe_function(self, function: types.FunctionType, depth: int) -> Any:
        """Describe a function by its name, its defaults, what it encloses and perhaps its code."""
        name = [_find_file_name(function), function.__qualname__]
        if str(function.__module__).partition(".")[0] in _OPAQUE:
            return ["function", name]
        enclosed = [_read_cell(cell) for cell in function.__closure__ or ()]
        values = (function.__defaults__, function.__kwdefaults__, enclosed)
        described = ["function", name, [self.describe_value(value, depth) for value in values]]
        if self.code:
            described.append(self._describe_code(function.__code__, function, depth))
        return described

    def _describe_code(self, code: types.CodeType, function: types.FunctionType, depth: int) -> Any:
        constants = [
            self._describe_code(c, function, depth)
            if isinstance(c, types.CodeType)
            else self.describe_value(c)
            for c in code.co_consts
        ]
        globals_, names = function.__globals__, code.co_names
        used_globals = [
            [n, self._describe_global(globals_[n], function, names, depth)]
            for n in names
            if n in globals_
        ]
        return [code.co_code.hex(), constants, list(code.co_names), used_globals]

    def _describe_global(
        self, value: Any, function: types.FunctionType, names: Sequence[str], depth: int
    ) -> Any:
        """Describe a global that a function uses: a constant, or code that a user wrote.

        For an installed package the version counts. For a user's module, class, function or object
        the content counts; for a module only the members among `names`, which the code mentions.
        """
        if isinstance(value, types.ModuleType):
            if not _is_users(value.__name__):
                return [value.__name__, _find_version(value.__name__)]
            if depth > _DEEPEST_LEVEL:
                return ["deep", value.__name__]
            members = {n: vars(value)[n] for n in names if n in vars(value)}
            described = [
                [n, self._describe_global(v, function, names, depth + 1)]
                for n, v in members.items()
            ]
            return ["module", value.__name__, described]
        is_plain = isinstance(
            value,
            bool | int | float | str | bytes | tuple | list | dict | set | Tensor | np.ndarray,
        )
        kind = value if isinstance(value, type | types.FunctionType) else type(value)
        module_name = str(getattr(kind, "__module__", ""))
        if is_plain or module_name == function.__module__ or _is_users(module_name):
            return self.describe_value(value, depth)
        return [str(getattr(value, "__qualname__", "")), module_name, _find_version(module_name)]


@functools.cache
def _is_users(module: str) -> bool:
    """Whether a module is a user's own, neither Python's nor that of an installed package."""
    package = module.partition(".")[0]
    if (
        package in _OPAQUE
        or package in sys.stdlib_module_names - {"__main__"}
        or package == "striate"
    ):
        return False
    file = getattr(sys.modules.get(module), "__file__", None)
    if file is None:
        return True
    # An installed package lies beside the records that pip writes of it, in any folder.
    folders_above = list(Path(file).parents)[: module.count(".") + 2]
    return not any(any(folder.glob("*.dist-info")) for folder in folders_above)


def _find_version(module: str) -> str:
    return str(getattr(sys.modules.get(module.partition(".")[0]), "__version__", ""))


def _read_cell(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not filled yet
        return None
