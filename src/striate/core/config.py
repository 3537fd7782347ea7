"""Typed configs from YAML and `key=value` overrides; unknown keys are refused with suggestions.

The code of configs is part of a network's `fingerprint` (`striate.models.description`), with the
names of the functions here that it calls: to rename one makes cached features be taken anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any, Self, get_args

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from striate.core.errors import InputError, unknown_name
from striate.core.files import write_text

PLAIN = {
    "missing": "is missing",
    "model_type": "should be a section of key: value pairs",
    "dict_type": "should be a section of key: value pairs",
    "tuple_type": "should be a list, such as [a, b]",
    "list_type": "should be a list, such as [a, b]",
    "int_type": "should be a whole number",
    "int_parsing": "should be a whole number",
    "int_from_float": "should be a whole number",
    "float_type": "should be a number",
    "float_parsing": "should be a number",
    "bool_type": "should be true or false",
    "bool_parsing": "should be true or false",
    "string_type": "should be text (in quotes, where it looks like a number)",
}
"""Plain words for pydantic's types of problems; types that are not listed keep their text."""
SHOWN = 4
"""How many places at most are suggested for a misplaced key."""


class Config(BaseModel):
    """Base of all configs: frozen, no unknown keys."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        validate_default=True,
        populate_by_name=True,
        allow_inf_nan=False,  # NaN passes every comparison with a limit
    )

    @classmethod
    def load(cls, path: str | Path | None = None, overrides: Iterable[str] = ()) -> Self:
        """Build a config from a YAML file and `dotted.key=value` overrides (values are YAML).

        Raises:
            InputError: unreadable file, unknown key (nearest offered) or bad value.
        """
        values: dict[str, Any] = {}
        if path is not None:
            values = read_yaml(Path(path))
        for override in overrides:
            _set(values, override)
        return cls.from_dict(values, source=str(path) if path else "the command line")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], source: str = "config") -> Self:
        """Validate a nested mapping; see `load` for errors."""
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            raise _explain(cls, error, source) from error

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that YAML and JSON can hold."""
        return self.model_dump(mode="json", by_alias=True)

    def save(self, path: str | Path) -> None:
        """Write the fully resolved config as YAML."""
        write_text(path, yaml.safe_dump(self.to_dict(), sort_keys=False, allow_unicode=True))


def read_yaml(path: Path) -> dict[str, Any]:
    """Read the key: value pairs of a YAML file.

    Raises:
        InputError: missing or unreadable file, or something else than key: value pairs.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"config file {path} does not exist.") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"config file {path} cannot be read: {error}") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise InputError(
            f"config file {path} must hold key: value pairs, found a {type(values).__name__}."
        )
    return values


def _set(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise InputError(f"override {override!r} is not of the form key=value.")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"override {override!r}: the value is not YAML: {error}") from error
    *parents, last = key.split(".")
    for depth, parent in enumerate(parents, 1):
        inner = values.setdefault(parent, {})
        if not isinstance(inner, dict):
            path = ".".join(parents[:depth])
            raise InputError(
                f"override {override!r}: {parent!r} is a value, not a section, as {inner!r} was "
                f"given for the whole of it. Give that by its key too: {path}.KEY={inner}."
            )
        values = inner
    values[last] = value


def _explain(cls: type[BaseModel], error: ValidationError, source: str) -> InputError:
    lines = []
    problems = sorted(error.errors(), key=lambda p: p["type"] != "extra_forbidden")
    for problem in problems:  # unknown keys first: a typo is also a missing key
        key_path = ".".join(str(p) for p in problem["loc"])
        kind, value = problem["type"], problem["input"]
        if kind == "extra_forbidden":
            lines += _unknown(cls, problem["loc"], value)
        elif kind == "value_error":  # from our own validators: already a sentence
            prefix = f"config key {key_path}: " if key_path else ""
            lines.append(f"{prefix}{str(problem['ctx']['error']).rstrip('.')}.")
        elif kind == "too_short":
            depth = len(problem["loc"])
            inner = [p for p in problems if p["loc"][:depth] == problem["loc"] != p["loc"]]
            if not inner:  # items that were refused are counted as missing
                least = problem["ctx"]["min_length"]
                lines.append(
                    f"config key {key_path} should hold at least {least}, found {value!r}."
                )
        else:
            expectation = PLAIN.get(kind) or problem["msg"].replace("Input should", "should", 1)
            value = "" if kind == "missing" else f", found {value!r}"
            lines.append(f"config key {key_path} {expectation}{value}.")
    return InputError(f"{source}: " + "\n".join(lines))


def _unknown(cls: type[BaseModel], loc: tuple[int | str, ...], value: Any) -> list[str]:
    """Name each unknown key, and where that key is known, or else what looks like it."""
    siblings = _fields_at(cls, loc[:-1])
    lines = []
    for unknown_key in flatten_settings(value, ".".join(map(str, loc))):
        last_part = unknown_key.rpartition(".")[2]
        candidates = [p for p in _paths(cls) if p.rpartition(".")[2] == last_part]
        # Sorted by likeness of the whole path, so that a mistyped section gets the right one.
        candidates.sort(key=lambda p: -SequenceMatcher(None, unknown_key, p).ratio())
        if candidates:
            ellipsis = ", …" if len(candidates) > SHOWN else ""
            suggestions = f"{', '.join(candidates[:SHOWN])}{ellipsis}"
            lines.append(f"unknown config key {unknown_key!r}. Did you mean {suggestions}?")
    if not lines:
        location = f"(at {'.'.join(map(str, loc))})" if len(loc) > 1 else ""
        lines.append(str(unknown_name("config key", str(loc[-1]), siblings, location)))
    return lines


def _paths(cls: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Walk through a config class and yield the dotted path of every key that holds a value."""
    for name, field in cls.model_fields.items():
        section = _section(field.annotation)
        if section is None:
            yield prefix + (field.alias or name)
        else:
            yield from _paths(section, f"{prefix}{name}.")


def _section(annotation: Any) -> type[BaseModel] | None:
    """Return the config class that an annotation holds, if any."""
    for candidate in (annotation, *get_args(annotation)):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None


def _fields_at(cls: type[BaseModel], loc: tuple[int | str, ...]) -> list[str]:
    """Walk from a config class along `loc` and return the field names there."""
    for part in loc:
        field = cls.model_fields.get(str(part))
        if field is None:
            continue  # a list index, or the tag of a union
        cls = _section(field.annotation) or cls
    return [field.alias or name for name, field in cls.model_fields.items()]


def differing(old: Any, new: Any) -> list[str]:
    """Describe where two nested settings differ, one line for each dotted key.

    >>> differing({"a": {"b": 1, "c": [1]}}, {"a": {"b": 2, "c": [1]}})
    ['a.b: there 1, asked for 2']
    """
    old_settings, new_settings = flatten_settings(old), flatten_settings(new)
    return [
        f"{key}: there {old_settings.get(key)!r}, asked for {new_settings.get(key)!r}"
        for key in sorted(old_settings.keys() | new_settings.keys())
        if old_settings.get(key) != new_settings.get(key)
    ]


def flatten_settings(value: Any, prefix: str = "") -> dict[str, Any]:
    """Flatten nested mappings, and lists that hold some, to dotted keys."""
    if isinstance(value, Mapping):
        pairs = [(str(k), v) for k, v in value.items()]
    elif isinstance(value, list) and any(isinstance(v, (Mapping, list)) for v in value):
        pairs = [(str(i), v) for i, v in enumerate(value)]
    else:
        return {prefix: value}
    flat: dict[str, Any] = {}
    for key, inner in pairs:
        flat |= flatten_settings(inner, f"{prefix}.{key}" if prefix else key)
    return flat
