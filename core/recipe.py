"""A recipe is everything that defines a run, as frozen dataclasses: data, family, training, sampling, seed.

Recipes are Python values made by functions; a run folder stores one as JSON. Reading is strict: an unknown
key, a wrong type or a value out of range is one line that names the key, the value and what is allowed.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, Literal, Union

from core.errors import FourfoldError, did_you_mean, require
from core.families import CONFIGS, SampleSettings


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How a family is trained. `steps` counts optimiser steps; see `core.training.loop` for what each does.

    Attributes:
        batch_size: examples per optimiser step over all processes and accumulation parts.
        accumulation: parts a batch is split into, to save memory.
        optimizer: "adamw" (fused), or "muon" for hidden matrices with AdamW for the rest.
        schedule: "constant", "cosine" to zero, or "wsd" (warm up, stay, decay linearly over the last fifth).
        warmup: share of `steps` spent warming up.
        clip: largest gradient norm; 0 turns clipping off.
        ema_decay: of the weights' moving average, warmed up as (1 + step) / (10 + step); 0 turns it off.
        precision: "float32" or "bfloat16" (autocast; weights stay float32).
        checkpoint_every, log_every: in steps.
        compile: torch.compile the networks (worth it on a GPU and for long runs).
    """

    steps: int = 1000
    batch_size: int = 128
    accumulation: int = 1
    optimizer: Literal["adamw", "muon"] = "adamw"
    learning_rate: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = 0.01
    schedule: Literal["constant", "cosine", "wsd"] = "wsd"
    warmup: float = 0.05
    clip: float = 1.0
    ema_decay: float = 0.999
    precision: Literal["float32", "bfloat16"] = "float32"
    checkpoint_every: int = 500
    log_every: int = 20
    compile: bool = False

    def __post_init__(self) -> None:
        for key in ("steps", "batch_size", "accumulation", "checkpoint_every", "log_every"):
            require(getattr(self, key) >= 1, f"train.{key}", getattr(self, key), "must be at least 1")
        require(self.batch_size % self.accumulation == 0, "train.accumulation", self.accumulation,
                f"must divide train.batch_size ({self.batch_size})")
        # `0 < nan` is false, so NaN is refused by the same comparison.
        require(0 < self.learning_rate < 1e3, "train.learning_rate", self.learning_rate, "must be positive and finite")
        require(all(0 <= beta < 1 for beta in self.betas), "train.betas", self.betas, "each must be in [0, 1)")
        require(0 <= self.weight_decay < 1e3, "train.weight_decay", self.weight_decay, "must be at least 0")
        require(0 <= self.warmup < 1, "train.warmup", self.warmup, "must be in [0, 1)")
        require(0 <= self.clip < float("inf"), "train.clip", self.clip, "must be at least 0")
        require(0 <= self.ema_decay < 1, "train.ema_decay", self.ema_decay, "must be in [0, 1)")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A whole run as a value.

    Attributes:
        name: what the recipe is called; the default run folder is `runs/<name>`.
        domain: the app it belongs to.
        data: the domain's own data config (its `Domain.data_type`).
        family: one of `core.families.CONFIGS`: VAEConfig, GANConfig, DiffusionConfig, AutoregressiveConfig.
        sample: the settings that `sample` and `evaluate` use unless told otherwise.
        start: a run or model folder whose weights training begins with, instead of random ones.
    """

    name: str
    domain: str
    data: Any
    family: Any
    train: TrainConfig = field(default_factory=TrainConfig)
    sample: SampleSettings = field(default_factory=SampleSettings)
    seed: int = 0
    start: str | None = None

    def __post_init__(self) -> None:
        require(0 <= self.seed < 2**63, "seed", self.seed, "must be in [0, 2^63)")
        require(bool(self.name) and not set(self.name) & set('/\\'), "name", self.name, "must be a file's name")


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


def recipe_to_json(recipe: Recipe) -> str:
    """The recipe as indented JSON, complete enough to run again from it alone."""
    return json.dumps(to_dict(recipe), indent=2)


def recipe_from_dict(value: Any, data_type: type) -> Recipe:
    """A recipe from plain values, checked against the domain's `data_type` and the four family configs.

    Raises:
        FourfoldError: anything unknown, missing or out of range, named.
    """
    require(isinstance(value, Mapping), "recipe", value, "must be an object")
    shell = dict(value)
    data, family = shell.pop("data", None), shell.pop("family", None)
    if data is None or family is None:
        raise FourfoldError(f"recipe.{'data' if data is None else 'family'} is missing")
    return dataclasses.replace(
        _from_fields(Recipe, shell | {"data": None, "family": None}, "recipe"),
        data=from_dict(data_type, data, "recipe.data"),
        family=from_dict(Union[tuple(CONFIGS.values())], family, "recipe.family"),  # noqa: UP007
    )


def override(recipe: Recipe, assignments: list[str], data_type: type) -> Recipe:
    """`recipe` with `--set` assignments such as "train.steps=500" applied; values are JSON, or plain text.

    Raises:
        FourfoldError: a malformed assignment, an unknown key or a refused value.
    """
    tree = to_dict(recipe)
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        require(bool(equals and path), "--set", assignment, "must look like train.steps=500")
        try:
            value = json.loads(text)
        except json.JSONDecodeError:
            value = text
        node = tree
        *parents, last = path.split(".")
        for depth, part in enumerate([*parents, last]):
            here = ".".join(["recipe", *parents[:depth]])
            if not isinstance(node, dict):
                raise FourfoldError(f"--set {path}: {here} has no keys")
            if part not in node:
                known = did_you_mean(part, set(node) - {"kind"})
                raise FourfoldError(f"--set {path}: no key {part!r} in {here}; {known}")
            if depth < len(parents):
                node = node[part]
        # Where text stands, a name such as 12 or true is text.
        node[last] = text if isinstance(node[last], str) and isinstance(value, (int, float)) else value
    return recipe_from_dict(tree, data_type)
