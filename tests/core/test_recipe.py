"""Recipes: strict reading, overrides, errors that name key, value and what is allowed, and round trips."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
from tiny_domain import DOMAIN, RingData, ring_diffusion

from core.errors import FourfoldError
from core.families import DiffusionConfig
from core.networks import MLPConfig
from core.runs.migrations import FORMAT
from core.runs.recipe import Recipe
from core.runs.run import recipe_to_json
from core.serialization import from_dict, to_dict
from core.training.config import TrainConfig


@dataclass(frozen=True, kw_only=True)
class Small:
    size: int


@dataclass(frozen=True, kw_only=True)
class Large:
    size: int
    deep: Small | None = None


@dataclass(frozen=True, kw_only=True)
class Every:
    """A field of each kind that recipes use."""

    needed: int
    number: float = 1.0
    flag: bool = False
    word: str = "a"
    choice: Literal["x", "y"] = "x"
    pair: tuple[float, float] = (0.0, 1.0)
    several: tuple[int, ...] = (1, 2)
    network: Small | Large = field(default_factory=lambda: Small(size=1))
    optional: Small | None = None
    limit: int | None = None
    many: tuple[Small, ...] = ()
    plain: int | str = 0


def error(call: Any) -> str:
    with pytest.raises(FourfoldError) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_every_kind_of_field_survives_json() -> None:
    value = Every(needed=3, number=2.5, flag=True, word="b", choice="y", pair=(1.0, 2.0), several=(4,),
                  network=Large(size=2, deep=Small(size=3)), optional=Small(size=5), limit=7,
                  many=(Small(size=1), Small(size=2)), plain="text")
    assert from_dict(Every, json.loads(json.dumps(to_dict(value))), "recipe") == value
    assert from_dict(Every, {"needed": 1}, "recipe") == Every(needed=1)


@pytest.mark.parametrize("name", sorted(DOMAIN.recipes))
def test_recipes_survive_json(name: str) -> None:
    recipe = DOMAIN.recipe(name)
    value = json.loads(recipe_to_json(recipe))
    assert value.pop("format") == FORMAT and DOMAIN.read_recipe(value) == recipe


@pytest.mark.parametrize(("value", "words"), [
    ({}, ["recipe.needed", "missing"]),
    ({"needed": 1, "numbr": 2}, ["recipe.numbr", "did you mean 'number'"]),
    ({"needed": "1"}, ["recipe.needed", "'1'", "whole number"]),
    ({"needed": True}, ["recipe.needed", "True", "whole number"]),
    ({"needed": 1.5}, ["recipe.needed", "1.5", "whole number"]),
    ({"needed": None}, ["recipe.needed", "None", "whole number"]),
    ({"needed": 1, "number": "2"}, ["recipe.number", "'2'", "number"]),
    ({"needed": 1, "number": True}, ["recipe.number", "True", "number"]),
    ({"needed": 1, "number": math.nan}, ["recipe.number", "nan", "finite"]),
    ({"needed": 1, "number": 10**400}, ["recipe.number", "finite"]),
    ({"needed": 1, "network": {"kind": ["Small"]}}, ["recipe.network.kind"]),
    ({"needed": 1, "flag": 1}, ["recipe.flag", "1", "true or false"]),
    ({"needed": 1, "word": 3}, ["recipe.word", "3", "text"]),
    ({"needed": 1, "choice": "z"}, ["recipe.choice", "'z'", "x, y"]),
    ({"needed": 1, "choice": ["x"]}, ["recipe.choice", "x, y"]),
    ({"needed": 1, "pair": [1]}, ["recipe.pair", "2 entries"]),
    ({"needed": 1, "pair": 1}, ["recipe.pair", "list"]),
    ({"needed": 1, "several": [1, "2"]}, ["recipe.several[1]", "'2'"]),
    ({"needed": 1, "network": {"size": 1}}, ["recipe.network.kind", "Large", "Small"]),
    ({"needed": 1, "network": {"kind": "Smal", "size": 1}}, ["recipe.network.kind", "did you mean 'Small'"]),
    ({"needed": 1, "network": 3}, ["recipe.network", "3", "Small"]),
    ({"needed": 1, "network": {"kind": "Large", "size": 1, "deep": {"sise": 2}}},
     ["recipe.network.deep.sise", "did you mean 'size'"]),
    ({"needed": 1, "optional": 4}, ["recipe.optional", "4", "object of Small"]),
    ({"needed": 1, "limit": "7"}, ["recipe.limit", "'7'", "whole number"]),
    ({"needed": 1, "plain": [1]}, ["recipe.plain", "[1]"]),
    ({"needed": 1, "kind": "Small"}, ["recipe.kind", "Every"]),
    ([1], ["recipe", "[1]", "object"]),
])
def test_what_is_wrong_is_named(value: Any, words: list[str]) -> None:
    message = error(lambda: from_dict(Every, value, "recipe"))
    for word in words:
        assert word in message, message


def test_every_value_of_a_recipe_is_checked() -> None:
    tree = to_dict(ring_diffusion())
    cases = {
        "domain": 3, "name": "a/b", "seed": 2**63, "train": 5, "data": {"kind": "RingData", "examples": 1},
        "family": {"kind": "Nothing"}, "sample": {"kind": "SampleSettings", "temperature": -1.0},
    }
    for key, value in cases.items():
        assert key in error(lambda key=key, value=value: DOMAIN.read_recipe({**tree, key: value}))
    for key in ("domain", "name", "data", "family"):
        without = {name: value for name, value in tree.items() if name != key}
        message = error(lambda without=without: DOMAIN.read_recipe(without))
        assert f"recipe.{key}" in message and "missing" in message
    assert "did you mean 'train'" in error(lambda: DOMAIN.read_recipe({**tree, "trian": {}}))
    assert "must be an object" in error(lambda: DOMAIN.read_recipe(None))


@pytest.mark.parametrize(("changes", "words"), [
    ({"steps": 0}, ["train.steps", "0", "at least 1"]),
    ({"batch_size": 10, "accumulation": 3}, ["train.accumulation", "3", "10"]),
    ({"learning_rate": math.nan}, ["train.learning_rate", "nan", "finite"]),
    ({"learning_rate": -1.0}, ["train.learning_rate", "-1.0", "positive"]),
    ({"betas": (0.9, 1.0)}, ["train.betas", "[0, 1)"]),
    ({"warmup": 1.0}, ["train.warmup", "[0, 1)"]),
    ({"clip": math.inf}, ["train.clip"]),
    ({"ema_decay": 1.0}, ["train.ema_decay"]),
])
def test_training_settings_out_of_range(changes: dict[str, Any], words: list[str]) -> None:
    message = error(lambda: TrainConfig(**changes))
    assert all(word in message for word in words), message


def changed(*assignments: str) -> Recipe[RingData]:
    return DOMAIN.override(ring_diffusion(), assignments)


def test_override() -> None:
    recipe = changed("train.steps=7", "train.learning_rate=1", "train.betas=[0.5,0.9]", "seed=4", "name=mine",
                     "data.folder=photos=old", "sample.num_steps=3", "family.denoiser.width=8", "data.examples=50")
    assert (recipe.train.steps, recipe.train.learning_rate, recipe.train.betas) == (7, 1.0, (0.5, 0.9))
    assert (recipe.seed, recipe.name, recipe.data.folder, recipe.data.examples) == (4, "mine", "photos=old", 50)
    assert isinstance(recipe.family, DiffusionConfig) and isinstance(recipe.family.denoiser, MLPConfig)
    assert (recipe.sample.num_steps, recipe.family.denoiser.width) == (3, 8)
    assert changed() == ring_diffusion()
    assert changed("data.folder=null").data.folder is None
    assert changed("name=12").name == "12"  # text that looks like a number stays text where text is wanted


def test_override_replaces_a_whole_part() -> None:
    before, after = ring_diffusion().family, changed('family.process={"kind": "EDM"}').family
    assert isinstance(before, DiffusionConfig) and isinstance(after, DiffusionConfig)
    assert type(after.process).__name__ == "EDM"
    assert after.denoiser == before.denoiser


@pytest.mark.parametrize(("assignment", "words"), [
    ("train.step=5", ["train.step", "did you mean 'steps'"]),
    ("trian.steps=5", ["trian", "did you mean 'train'"]),
    ("train.steps", ["'train.steps'", "train.steps=500"]),
    ("=5", ["'=5'"]),
    ("train.steps=many", ["train.steps", "'many'", "whole number"]),
    ("train.steps=", ["train.steps", "''"]),
    ("train.steps.more=1", ["train.steps", "no keys"]),
    ("train=5", ["recipe.train", "5"]),
    ("train.learning_rate=NaN", ["train.learning_rate", "nan"]),
    ("train.optimizer=adamm", ["train.optimizer", "adamm", "adamw", "muon"]),
    ("family.denoiser.wide=4", ["wide", "did you mean 'width'"]),
    ("train.kind=Recipe", ["recipe.train.kind", "TrainConfig"]),
])
def test_override_refuses(assignment: str, words: list[str]) -> None:
    message = error(lambda: changed(assignment))
    assert all(word in message for word in words), message
