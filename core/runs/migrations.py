"""Recipes and codecs of earlier versions, brought up to today's format step by step.

A model folder and a recipe file carry a format number; those of version 0.1.0, which had none, count as 0. Migration
number i takes format i to i + 1: a renamed field, class or file needs one, and old models load on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from core.errors import FourfoldError
from core.serialization import Json

Migration = Callable[[Json], Json]


def _conditioning_in_one_place(recipe: Json) -> Json:
    """0 -> 1: a family's conditioning is a config of its own."""

    def moved(config: object) -> object:
        if not isinstance(config, dict):
            return config
        rest = {name: moved(value) for name, value in config.items()}
        names = {"cond_width": "width", "condition_dropout": "dropout", "source_depth": "source_depth"}
        found = {new: rest.pop(old) for old, new in names.items() if old in rest}
        return rest | {"conditioning": {"kind": "ConditioningConfig", **found}} if found else rest

    return {**recipe, "family": moved(recipe.get("family"))}


def _no_validation(recipe: Json) -> Json:
    """Earlier versions looked at no held-out examples while they trained."""
    return {**recipe, "train": {**recipe.get("train", {}), "validations": 0}}


def _unchanged(recipe: Json) -> Json:
    """2 -> 3: a change of one domain's data."""
    return recipe


RECIPE_MIGRATIONS: tuple[Migration, ...] = (_conditioning_in_one_place, _no_validation, _unchanged)
FORMAT = len(RECIPE_MIGRATIONS)


def migrated(value: Json, found: object, migrations: Sequence[Migration], where: str) -> Json:
    """`value` of format `found` as one of today's.

    Raises:
        FourfoldError: the format is of a later version, or none.
    """
    if not isinstance(found, int) or isinstance(found, bool) or found < 0:
        raise FourfoldError(f"{where}: its format is {found!r}: must be a whole number")
    if found > FORMAT:
        raise FourfoldError(f"{where} is of format {found}, and this version reads up to {FORMAT}: install a newer one")
    for migration in migrations[found:]:
        try:
            value = migration(value)
        except (KeyError, TypeError, AttributeError) as error:
            raise FourfoldError(f"{where} is damaged ({type(error).__name__}: {error})") from None
    return value
