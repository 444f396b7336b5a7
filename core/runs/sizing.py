"""Recipes made for a user's own data: its domain looks at the data, a family is picked, its sizes follow from the data.

The rules are in docs/own-data.md; each domain states its own part of them in its `sizing.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from core.errors import FourfoldError, did_you_mean
from core.runs.domain import Domain, Prepared
from core.runs.model import CodecT, DataT, Item
from core.runs.recipe import Recipe

MINUTES = 20.0
"""How long a proposed recipe trains."""
FAMILIES = ("vae", "gan", "diffusion", "autoregressive")


def propose(
    domain: Domain[DataT, CodecT, Item], data: DataT, prepared: Prepared[CodecT], family: str | None = None, *,
    name: str = "own",
) -> tuple[Recipe[DataT], str]:
    """A recipe called `<name>-<family>` with sizes that suit `prepared`, and a line that says what was picked and why.

    Args:
        family: one of `FAMILIES`; None leaves the choice to the domain.

    Raises:
        FourfoldError: an unknown family.
    """
    if family is not None and family not in FAMILIES:
        raise FourfoldError(f"no family {family!r}: {did_you_mean(family, FAMILIES)}")
    chosen, why = (family, "as asked") if family is not None else domain.default_family(data, prepared)
    recipe = replace(domain.sized(data, prepared, chosen), name=f"{name}-{chosen}")
    recipe = replace(recipe, train=replace(recipe.train, minutes=MINUTES))
    with torch.device("meta"):  # where tensors have shapes and no numbers
        built = recipe.family.build(prepared.codec.space, prepared.codec.conditions)
    weights = sum(parameter.numel() for parameter in built.parameters())
    return recipe, (f"{chosen} ({why}): {weights:,} weights, batches of {recipe.train.batch_size}, for "
                    f"{len(prepared.train):,} training examples")


def own_recipe(
    domain: Domain[DataT, CodecT, Item], path: Path, family: str | None = None, assignments: Sequence[str] = (), *,
    minutes: float | None = None, name: str | None = None,
) -> tuple[Recipe[DataT], Prepared[CodecT], str]:
    """The recipe for a user's folder or file, its data ready, and the line of `propose`.

    Args:
        assignments: as of `Domain.override`; those of data are applied before sizes are chosen.
        minutes: how long to train; None leaves it at the steps that are assigned, or at `MINUTES`.
        name: what the recipe's name begins with; None takes that of the folder or file.

    Raises:
        FourfoldError: nothing to train on at `path`, an unknown family, or a refused assignment.
    """
    data = own_data(domain, path, assignments)
    prepared = domain.ready(data)
    recipe, why = assigned(domain, data, prepared, family, assignments, minutes=minutes, name=name or name_of(path))
    return recipe, prepared, why


def own_data(domain: Domain[DataT, CodecT, Item], path: Path, assignments: Sequence[str] = ()) -> DataT:
    """How a user's folder or file is read: as its domain guesses, but for what is assigned to data.

    Raises:
        FourfoldError: nothing to train on at `path`, or a refused assignment.
    """
    some = next(iter(domain.recipes.values()))()
    of_data = [each for each in assignments if each.startswith("data.")]
    return domain.override(replace(some, data=domain.guess(path)), of_data).data


def assigned(
    domain: Domain[DataT, CodecT, Item], data: DataT, prepared: Prepared[CodecT], family: str | None,
    assignments: Sequence[str], *, minutes: float | None, name: str,
) -> tuple[Recipe[DataT], str]:
    """What `propose` proposes, with assignments and minutes as of `own_recipe`; and its line."""
    recipe, why = propose(domain, data, prepared, family, name=name)
    if minutes is None and any(each.startswith("train.steps=") for each in assignments):
        recipe = replace(recipe, train=replace(recipe.train, minutes=None))
    recipe = domain.override(recipe, assignments)
    if minutes is not None:
        recipe = replace(recipe, train=replace(recipe.train, minutes=minutes))
    return recipe, f"{why}, {recipe.train.length}"


def name_of(path: Path) -> str:
    """What a run on a user's folder or file is called: the name of that, without its suffixes."""
    whole = path.expanduser().resolve()
    name = whole.name if whole.is_dir() else whole.name.partition(".")[0]
    return "".join(letter if letter.isprintable() and letter not in "/\\" else "_" for letter in name)[:100] or "own"


def examples_per_step(count: int, most: int) -> int:
    """A batch for `count` training examples: at most `most`, and at most an eighth of them, but for at least eight."""
    return max(min(8, count), min(most, count // 8))
