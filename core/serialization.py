"""Frozen dataclasses as JSON values and back.

Reading is strict: an unknown key, a wrong type or a value out of range is one line that names the key, the value and
what is allowed.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import json
import sys
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, Literal, TypeVar, Union

from core.errors import FourfoldError, did_you_mean, require

T = TypeVar("T")
Json = dict[str, Any]
"""A JSON object, before its values are checked."""


def to_dict(value: Any) -> Any:
    """A dataclass as plain JSON values; each dataclass carries its class name under "kind", bytes are base64."""
    if is_dataclass(value) and not isinstance(value, type):
        return {"kind": type(value).__name__} | {f.name: to_dict(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, (list, tuple)):
        return [to_dict(item) for item in value]
    if isinstance(value, Mapping):
        return {key: to_dict(item) for key, item in value.items()}
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value


def from_dict(kind: type[T], value: object, key: str) -> T:
    """The inverse of `to_dict`, strict: `kind` is the dataclass expected, `key` names the place in errors.

    Raises:
        FourfoldError: an unknown or missing key, a wrong type, or a value that its dataclass refuses.
    """
    checked: T = _read(kind, value, key)
    return checked


def from_union(kinds: Sequence[type[T]], value: object, key: str) -> T:
    """The same for one of several dataclasses, of which the value's "kind" names one."""
    checked: T = _from_union(tuple(kinds), value, key)
    return checked


def _read(kind: Any, value: Any, key: str) -> Any:
    """`value` as the annotation `kind` wants it."""
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
            return tuple(_read(arguments[0], item, f"{key}[{i}]") for i, item in enumerate(value))
        require(len(value) == len(arguments), key, value, f"must have {len(arguments)} entries")
        pairs = zip(arguments, value, strict=True)
        return tuple(_read(a, item, f"{key}[{i}]") for i, (a, item) in enumerate(pairs))
    if kind is float:
        require(isinstance(value, (int, float)) and not isinstance(value, bool), key, value, "must be a number")
        require(abs(value) <= sys.float_info.max, key, value, "must be a finite number")  # NaN compares false
        return float(value)
    if kind is int:
        require(isinstance(value, int) and not isinstance(value, bool), key, value, "must be a whole number")
    elif kind is bytes:
        try:
            return base64.b64decode(value, validate=True)
        except (binascii.Error, TypeError, ValueError):
            require(False, key, str(value)[:40], "must be base64")
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
        return _read(options[0], value, key)
    if classes and len(classes) == len(options):
        require(False, key, value, f"must be an object whose kind is one of {', '.join(classes)}")
    for option in options:  # plain types: the first that takes the value
        try:
            return _read(option, value, key)
        except FourfoldError:
            continue
    names = ", ".join(getattr(option, "__name__", str(option)) for option in options)
    raise FourfoldError(f"{key} is {value!r}: must be one of {names}")


def _from_fields(kind: type[T], value: Any, key: str) -> T:
    require(isinstance(value, Mapping), key, value, f"must be an object of {kind.__name__}")
    hints = typing.get_type_hints(kind)
    known = {f.name: f for f in fields(kind)}  # type: ignore[arg-type]
    for name in value:
        if name != "kind" and name not in known:
            raise FourfoldError(f"{key}.{name}: no such key in {kind.__name__}; {did_you_mean(name, known)}")
    if "kind" not in known:  # else it is a field, and the class goes without saying
        given = value.get("kind", kind.__name__)
        require(given == kind.__name__, f"{key}.kind", given, f"must be {kind.__name__}")
    for name, spec in known.items():
        missing = spec.default is dataclasses.MISSING and spec.default_factory is dataclasses.MISSING
        if missing and name not in value:
            raise FourfoldError(f"{key}.{name} is missing: {kind.__name__} needs it")
    values = {n: _read(hints[n], v, f"{key}.{n}") for n, v in value.items() if n in known}
    try:
        return kind(**values)
    except FourfoldError as error:  # the class knows its own keys, not where it stands
        raise FourfoldError(f"{key}: {error}") from None


def assign(tree: Json, assignment: str, root: str = "recipe") -> None:
    """Set a key of `tree` by words such as "train.steps=500"; the value is JSON, or plain text.

    Raises:
        FourfoldError: a malformed assignment, or an unknown key.
    """
    path, equals, text = assignment.partition("=")
    require(bool(equals and path), "--set", assignment, "must look like train.steps=500")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = text
    node: Any = tree
    *parents, last = path.split(".")
    for depth, part in enumerate([*parents, last]):
        here = ".".join([root, *parents[:depth]])
        if not isinstance(node, dict):
            raise FourfoldError(f"--set {path}: {here} has no keys")
        if part not in node:
            known = did_you_mean(part, set(node) - {"kind"})
            raise FourfoldError(f"--set {path}: no key {part!r} in {here}; {known}")
        if depth < len(parents):
            node = node[part]
    # Where text stands, a name such as 12 or true is text.
    node[last] = text if isinstance(node[last], str) and isinstance(value, (int, float)) else value


def differences(old: Any, new: Any, key: str = "") -> list[str]:
    """Where two values of `to_dict` differ: lines "train.steps: 500 -> 1000"."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        names = [*old, *(name for name in new if name not in old)]
        prefix = f"{key}." if key else ""
        return [
            line for name in names if name != "kind" or old.get(name) != new.get(name)
            for line in differences(old.get(name), new.get(name), f"{prefix}{name}")
        ]
    before, after = json.dumps(old), json.dumps(new)
    return [] if before == after else [f"{key}: {before} -> {after}"]
