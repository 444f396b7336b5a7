"""Recipes that train a model further on a user's own data: its sizes, at a lower rate, for as long as the data suggest.

The rule is in docs/own-data.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import cast

from core.families.family import FamilyConfig
from core.networks import TransformerConfig, UNetConfig
from core.runs import places
from core.runs.domain import Domain, Prepared
from core.runs.model import CodecT, DataT, Item
from core.runs.pretrained import load_recipe, model_folder, prepared_for
from core.runs.recipe import Recipe
from core.runs.run import Run
from core.runs.sizing import FAMILIES, name_of

RATE = 0.2
"""Of the learning rate that the model was trained with."""
WARMUP = 0.1
"""Share of the steps spent warming up: the optimiser knows nothing of the weights yet."""
PASSES, FEWEST, MOST = 20, 100, 0.25
"""Times that each example is seen, if that is at least so many steps, and at most such a share of the model's own."""


def tuned_name(start: str | Path, data: Path | None) -> str:
    """What a run is called that begins with a trained model."""
    of = Path(start).name or name_of(Path(start))  # by its words alone: the model may be gone
    return f"{of}-tuned" if data is None else f"{name_of(data)}-from-{of}"


def tuned_recipe(
    domain: Domain[DataT, CodecT, Item], start: str, data: Path | None, run: Run, assignments: Sequence[str] = (), *,
    minutes: float | None = None,
) -> tuple[Recipe[DataT], Prepared[CodecT] | None, str]:
    """The recipe that trains a model further, its data ready, and a line that says what was chosen.

    A run that was begun needs the model no more: where that is gone, its own recipe counts.

    Args:
        data: the user's folder or file; None goes on with the model's own data.
        run: where it will be trained.
        assignments: as of `Domain.override`; those of data are applied before the rest is chosen.
        minutes: how long to train; None follows the rule.

    Raises:
        FourfoldError: no such model, no data, or a refused assignment.
    """
    if places.find(start, domain.name, domain.models) is None and run.recipe_file.is_file():
        held = run.recipe(domain)
        if held.start == start:
            held = domain.override(held, assignments)
            held = held if minutes is None else replace(held, train=replace(held.train, minutes=minutes))
            return held, None, f"{start} is gone: {run.folder} goes on without it"
    source = load_recipe(model_folder(domain.find(start)), domain)
    config = source.data if data is None else (domain.tuned_data or domain.own_data)(source.data, data)
    some = replace(source, data=config, name=tuned_name(start, data), start=start)
    some = domain.override(some, [each for each in assignments if each.startswith("data.")])
    prepared = prepared_for(domain, some)
    train, family, count = source.train, source.family.tuned(RATE), len(prepared.train)
    words = ""
    if data is not None and source.family.kind in FAMILIES:
        sized = domain.sized(some.data, prepared, source.family.kind)
        train = replace(train, batch_size=min(train.batch_size, sized.train.batch_size), accumulation=1)
        dropout = _dropout(sized.family)
        if dropout is not None and _dropout(family) is not None:
            family, words = cast(FamilyConfig, _with_dropout(family, dropout)), f", dropout {dropout:g}"
    passes = -(-PASSES * count // train.batch_size)
    steps = max(FEWEST, min(passes, round(MOST * source.train.steps)))
    train = replace(train, steps=steps, minutes=None, learning_rate=RATE * train.learning_rate, warmup=WARMUP)
    if minutes is not None:
        train = replace(train, minutes=minutes)
    recipe = domain.override(replace(some, family=family, train=train), assignments)
    return recipe, prepared, (
        f"{recipe.family.kind} from {start}: {recipe.train.length} of {recipe.train.batch_size} at a learning rate of "
        f"{recipe.train.learning_rate:g} (it was {source.train.learning_rate:g}){words}, for {count:,} training "
        "examples")


def _dropout(config: object) -> float | None:
    """The largest dropout of a config's networks; None where none has any."""
    if isinstance(config, TransformerConfig | UNetConfig):
        return config.dropout
    if not is_dataclass(config) or isinstance(config, type):
        return None
    found = [_dropout(getattr(config, field.name)) for field in fields(config)]
    return max((each for each in found if each is not None), default=None)


def _with_dropout(config: object, dropout: float) -> object:
    """A config whose networks have such a dropout."""
    if isinstance(config, TransformerConfig | UNetConfig):
        return replace(config, dropout=dropout)
    if not is_dataclass(config) or isinstance(config, type):
        return config
    return replace(config, **{field.name: _with_dropout(getattr(config, field.name), dropout)
                              for field in fields(config)})
