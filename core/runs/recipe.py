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
