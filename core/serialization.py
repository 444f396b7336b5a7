"""Frozen dataclasses as JSON values and back.

Reading is strict: an unknown key, a wrong type or a value out of range is one line that names the key, the value and
what is allowed.
"""

from __future__ import annotations

import dataclasses
import sys
import types
import typing
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, Literal, TypeVar, Union

from core.errors import FourfoldError, did_you_mean, require

T = TypeVar("T")


def to_dict(value: Any) -> Any:
    """A dataclass as plain JSON values; each dataclass carries its class name under "kind"."""
    if is_dataclass(value) and not isinstance(value, type):
        return {"kind": type(value).__name__} | {f.name: to_dict(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, (list, tuple)):
        return [to_dict(item) for item in value]
    if isinstance(value, Mapping):
        return {key: to_dict(item) for key, item in value.items()}
    return value


def from_dict(kind: Any, value: Any, key: str = "recipe") -> Any:
    """The inverse of `to_dict`, strict: `kind` is the expected type or annotation, `key` names the place in errors.

    Raises:
        FourfoldError: an unknown or missing key, a wrong type, or a value that its dataclass refuses.
    """
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (Union, types.UnionType):
        return _from_union(arguments, value, key)
    if isinstance(kind, type) and is_dataclass(kind):
        return _from_fields(kind, value, key)
    if origin is Literal:
        require(value in arguments, key, value, f"must be one of {', '.join(map(str, arguments))}")
        return value
    if origin is tuple:
        require(isinstance(value, (list, tuple)), key, value, "must be a list")
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return tuple(from_dict(arguments[0], item, f"{key}[{i}]") for i, item in enumerate(value))
        require(len(value) == len(arguments), key, value, f"must have {len(arguments)} entries")
        pairs = zip(arguments, value, strict=True)
        return tuple(from_dict(a, item, f"{key}[{i}]") for i, (a, item) in enumerate(pairs))
    if kind is float:
        require(isinstance(value, (int, float)) and not isinstance(value, bool), key, value, "must be a number")
        require(abs(value) <= sys.float_info.max, key, value, "must be a finite number")  # NaN compares false
        return float(value)
    if kind is int:
        require(isinstance(value, int) and not isinstance(value, bool), key, value, "must be a whole number")
    elif kind in (bool, str):
        require(isinstance(value, kind), key, value, f"must be {'true or false' if kind is bool else 'text'}")
    return value


def _from_union(arguments: tuple[Any, ...], value: Any, key: str) -> Any:
    if value is None and type(None) in arguments:
        return None
    options = [a for a in arguments if a is not type(None)]
    classes = {a.__name__: a for a in options if isinstance(a, type) and is_dataclass(a)}
    if isinstance(value, Mapping) and classes:
        name = value.get("kind", next(iter(classes)) if len(classes) == 1 else None)
        require(str(name) in classes, f"{key}.kind", name, did_you_mean(str(name), classes))
        return _from_fields(classes[str(name)], value, key)
    if len(options) == 1:
        return from_dict(options[0], value, key)
    if classes and len(classes) == len(options):
        require(False, key, value, f"must be an object whose kind is one of {', '.join(classes)}")
    for option in options:  # plain types: the first that takes the value
        try:
            return from_dict(option, value, key)
        except FourfoldError:
            continue
    names = ", ".join(getattr(option, "__name__", str(option)) for option in options)
    raise FourfoldError(f"{key} is {value!r}: must be one of {names}")


def _from_fields(kind: type, value: Any, key: str) -> Any:
    require(isinstance(value, Mapping), key, value, f"must be an object of {kind.__name__}")
    hints = typing.get_type_hints(kind)
    known = {f.name: f for f in fields(kind)}
    for name in value:
        if name != "kind" and name not in known:
            raise FourfoldError(f"{key}.{name}: no such key in {kind.__name__}; {did_you_mean(name, known)}")
    given = value.get("kind", kind.__name__)
    require(given == kind.__name__, f"{key}.kind", given, f"must be {kind.__name__}")
    for name, spec in known.items():
        missing = spec.default is dataclasses.MISSING and spec.default_factory is dataclasses.MISSING
        if missing and name not in value:
            raise FourfoldError(f"{key}.{name} is missing: {kind.__name__} needs it")
    values = {n: from_dict(hints[n], v, f"{key}.{n}") for n, v in value.items() if n != "kind"}
    try:
        return kind(**values)
    except FourfoldError as error:  # the class knows its own keys, not where it stands
        raise FourfoldError(f"{key}: {error}") from None
