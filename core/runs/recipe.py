"""A recipe is everything that defines a run, as frozen dataclasses: data, family, training, sampling, seed.

Recipes are Python values made by functions; a run folder stores one as JSON, which is read strictly.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from core.errors import FourfoldError, require
from core.families.family import FamilyConfig, SampleSettings
from core.serialization import from_dict, from_union
from core.training.config import TrainConfig

DataT = TypeVar("DataT")


@dataclass(frozen=True, kw_only=True)
class Recipe(Generic[DataT]):
    """A whole run as a value.

    Attributes:
        name: what the recipe is called; the default run folder is `runs/<domain>/<name>`.
        domain: the app it belongs to.
        data: the domain's own data config (one of its `Domain.data_types`).
        family: VAEConfig, GANConfig, DiffusionConfig, AutoregressiveConfig, or one of a new family.
        sample: the settings that `sample` and `evaluate` use unless told otherwise.
        start: a run or model whose weights training begins with, instead of random ones; needed until then only.
    """

    name: str
    domain: str
    data: DataT
    family: FamilyConfig
    train: TrainConfig = field(default_factory=TrainConfig)
    sample: SampleSettings = field(default_factory=SampleSettings)
    seed: int = 0
    start: str | None = None

    def __post_init__(self) -> None:
        require(0 <= self.seed < 2**63, "seed", self.seed, "must be in [0, 2^63)")
        named = 0 < len(self.name) <= 200 and self.name.isprintable() and not set(self.name) & set("/\\")
        require(named and self.name not in (".", ".."), "name", self.name, "must be a file's name")


def recipe_from_dict(
    value: object, data_types: tuple[type[DataT], ...], family_types: tuple[type[FamilyConfig], ...]
) -> Recipe[DataT]:
    """A recipe from plain values, checked against the configs that its domain takes.

    Raises:
        FourfoldError: anything unknown, missing or out of range, named.
    """
    if not isinstance(value, Mapping):
        raise FourfoldError(f"recipe is {value!r}: must be an object")
    for key in ("data", "family"):
        if value.get(key) is None:
            raise FourfoldError(f"recipe.{key} is missing")
    shell: Recipe[DataT] = from_dict(Recipe, {**value, "data": None, "family": None}, "recipe")
    return dataclasses.replace(
        shell, data=from_union(data_types, value["data"], "recipe.data"),
        family=from_union(family_types, value["family"], "recipe.family"),
    )
