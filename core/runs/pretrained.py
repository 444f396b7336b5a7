"""Models on disk: a folder of weights, config.json, codec.json and a model card; loading executes nothing from it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from core.errors import FourfoldError
from core.families.family import Family
from core.files import read_json, to_json, write_if_changed
from core.networks.carrying import Sources, carry, sources_of
from core.runs.codec import Codec
from core.runs.domain import Domain, Prepared
from core.runs.migrations import FORMAT, RECIPE_MIGRATIONS, Migration, migrated
from core.runs.model import CodecT, DataT, Item, Model
from core.runs.recipe import Recipe
from core.runtime import memory, resolve_device, version
from core.seeds import derive
from core.serialization import Json, from_union, to_dict
from core.spaces import Discrete
from core.training.checkpoint import WEIGHTS, load_weights
from core.training.distributed import connect

CONFIG, CODEC, CARD = "config.json", "codec.json", "README.md"
FITTING = 0.2
"""Share of the weights that must fit a recipe that begins with a trained model: fewer, and it is another model."""
log = logging.getLogger(__name__)


def build(
    domain: Domain[DataT, CodecT, Item], recipe: Recipe[DataT], codec: CodecT, device: torch.device
) -> Model[DataT, CodecT, Item]:
    """The recipe's family, untrained, on `device`; its first weights depend on the recipe's seed only.

    Raises:
        FourfoldError: the weights would not fit into memory.
    """
    with torch.device("meta"):  # where tensors have shapes and no numbers
        count = sum(p.numel() for p in recipe.family.build(codec.space, codec.conditions).parameters())
    if 4 * count > memory() // 2:
        raise FourfoldError(f"the recipe's model has {count:,} parameters, which do not fit into this machine's "
                            "memory: choose smaller sizes")
    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed)
        family = recipe.family.build(codec.space, codec.conditions)
    return Model(recipe=recipe, codec=codec, family=family.to(device), device=device)


def save_description(model: Model[DataT, CodecT, Item], folder: Path, measured: str = "") -> None:
    """Write everything of a model folder but the weights: config.json, codec.json, the model card."""
    config = {"format": FORMAT, "fourfold": version(), "domain": model.recipe.domain, "recipe": to_dict(model.recipe)}
    write_if_changed(folder / CONFIG, to_json(config))
    write_if_changed(folder / CODEC, to_json(to_dict(model.codec)))
    write_if_changed(folder / CARD, model_card(model, measured).encode())


def load(path: str | Path, domain: Domain[DataT, CodecT, Item], device: str = "auto") -> Model[DataT, CodecT, Item]:
    """The trained model called `path` (a run or model folder, a recipe's name, a model that ships: see
    `core.runs.places`); nothing that is read is executed.

    Raises:
        FourfoldError: a folder or file is missing or damaged, the model is of another domain or of a later version, or
            weights and codec do not fit the recipe.
    """
    folder = model_folder(domain.find(path))
    recipe = load_recipe(folder, domain)
    codec = load_codec(folder, domain.codec_types, domain.codec_migrations)
    model = build(domain, recipe, codec, resolve_device(device))
    load_weights(folder, model.family)
    _refuse_nan(model.family, folder / WEIGHTS)
    model.family.eval().requires_grad_(False)
    return model


def load_shared(path: Path, domain: Domain[DataT, CodecT, Item], device: str) -> Model[DataT, CodecT, Item]:
    """As `load`, in each of the processes that torchrun started, which draw together: see `Model.world`."""
    world, place = connect(resolve_device(device))
    return replace(load(path, domain, str(place)), world=world)


def load_recipe(folder: Path, domain: Domain[DataT, CodecT, Item]) -> Recipe[DataT]:
    """The recipe of the model in a model folder.

    Raises:
        FourfoldError: config.json is missing or damaged, or the model is of another domain.
    """
    path = folder / CONFIG
    config = read_json(path)
    found = config.get("domain")
    if found != domain.name:
        raise FourfoldError(f"{folder} holds a model of the domain {found!r}, not {domain.name!r}")
    return read_recipe(config.get("recipe"), config.get("format", 0), domain, path)


def read_recipe(value: object, found: object, domain: Domain[DataT, CodecT, Item], path: Path) -> Recipe[DataT]:
    """A recipe of format `found` from plain values that `path` holds."""
    if not isinstance(value, dict):
        raise FourfoldError(f"{path}: recipe is {value!r}: must be an object")
    try:
        value = migrated(value, found, RECIPE_MIGRATIONS, str(path))
        recipe = domain.read_recipe(migrated(value, found, domain.recipe_migrations, str(path)))
    except FourfoldError as error:
        raise error if str(path) in str(error) else FourfoldError(f"{path}: {error}") from error
    if recipe.domain != domain.name:
        raise FourfoldError(f"{path} is a recipe of the domain {recipe.domain!r}, not {domain.name!r}")
    return recipe


def load_codec(folder: Path, codec_types: Sequence[type[CodecT]], codec_migrations: Sequence[Migration]) -> CodecT:
    """The codec in a model folder, one of a domain's `codec_types`.

    Raises:
        FourfoldError: codec.json is missing or damaged.
    """
    path, found = folder / CODEC, read_json(folder / CONFIG).get("format", 0)
    try:
        value: Json = migrated(read_json(path), found, codec_migrations, str(path))
        codec = from_union(codec_types, value, "codec")
        _ = codec.space, codec.conditions  # what is made when first used shows here that it is damaged
    except FourfoldError as error:
        raise FourfoldError(f"{path} is damaged ({error}): the command that trained it mends it") from error
    except (ValueError, KeyError, TypeError, RuntimeError, OverflowError) as error:
        what = type(error).__name__
        raise FourfoldError(f"{path} is damaged ({what}): the command that trained it mends it") from error
    return codec


def codec_of(domain: Domain[DataT, CodecT, Item], name: str | Path) -> CodecT:
    """The codec of the trained model that a user calls `name`.

    Raises:
        FourfoldError: there is none, or it is damaged.
    """
    return load_codec(model_folder(domain.find(name)), domain.codec_types, domain.codec_migrations)


def prepared_for(domain: Domain[DataT, CodecT, Item], recipe: Recipe[DataT]) -> Prepared[CodecT]:
    """The data of a recipe that is not yet trained: as the model knows them that it begins with, and what is new."""
    if recipe.start is None:
        return domain.ready(recipe.data)
    return domain.ready(recipe.data, codec_of(domain, recipe.start), grow=True)


def begin(domain: Domain[DataT, CodecT, Item], model: Model[DataT, CodecT, Item], start: str) -> None:
    """Fill an untrained model with the weights of a trained one, as far as they fit, and say what was kept.

    Raises:
        FourfoldError: there is no such model, or it is another one: hardly a weight fits.
    """
    old = load(start, domain, "cpu")
    stated = model.codec.made_of(old.codec) if type(old.codec) is type(model.codec) else {}
    sources = sources_of((old.codec.space, model.codec.space), (old.codec.conditions, model.codec.conditions), stated)
    carried = carry(old.family, model.family, sources, torch.Generator().manual_seed(derive(model.recipe.seed)))
    total = len(carried.kept) + len(carried.anew)
    if len(carried.kept) < FITTING * total:
        raise FourfoldError(f"{start} is another model: {len(carried.kept)} of {total} weights fit the recipe "
                            f"({', '.join(carried.anew[:3])} ... do not)")
    parts = [f"{start}: {len(carried.kept)} of {total} weights kept", *_new(old.codec, model.codec, sources)]
    parts += [f"anew: {_some(carried.anew)}"] if carried.anew else []
    parts += [f"without a place: {_some(carried.left)}"] if carried.left else []
    log.warning("; ".join(parts))


def _new(old: Codec[Item], codec: Codec[Item], sources: Mapping[str, Sources]) -> list[str]:
    """What the new codec has that the old one had not."""
    lines = []
    for part, each in sources.items():
        none = [index for index, some in enumerate(each) if not some]
        name = part.removeprefix("condition ")
        names = getattr(codec.conditions.get(name), "names", None)
        if part == "tokens":
            had = old.space.vocab if isinstance(old.space, Discrete) else 0
            fresh = len(each) - len({some for some in each if len(some) == 1 and some[0] < had})
            lines += [f"new: {fresh:,} of {len(each):,} tokens"] if fresh else []
        elif none and part != "symbols":
            what = _some([repr(names[index]) for index in none]) if names else f"{len(none):,} of {len(each):,}"
            lines.append(f"new: {name} {what}")
    return lines


def _some(names: Sequence[str]) -> str:
    return f"{', '.join(names[:5])}{f' and {len(names) - 5:,} more' if len(names) > 5 else ''}"


def model_folder(path: Path) -> Path:
    """The folder with the model in a run folder, or a model folder itself.

    Raises:
        FourfoldError: it holds none.
    """
    for folder in (path / "model", path):
        if (folder / CONFIG).is_file():
            if not (folder / WEIGHTS).is_file():
                raise FourfoldError(f"{folder} has no {WEIGHTS}: the run has not saved a model yet; run `train` again")
            return folder
    raise FourfoldError(f"{path} is not a run: it has no model/{CONFIG}; give the folder that `train` wrote")


def _refuse_nan(family: Family, path: Path) -> None:
    for name, value in family.state_dict().items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise FourfoldError(f"{path} is damaged: {name} holds values that are not finite")


def model_card(model: Model[DataT, CodecT, Item], measured: str = "") -> str:
    """README.md of a model folder: what it is, how it was made, how to use it; `measured` is a markdown table."""
    recipe, family = model.recipe, type(model.family).__name__
    parameters = sum(parameter.numel() for parameter in model.family.parameters())
    domain = recipe.domain
    first_line = f"from apps import {domain}"
    return f"""---
library_name: fourfold
tags: [{domain}, {family.lower()}]
---

# {recipe.name}

A {family} of the `{domain}` domain, {parameters:,} parameters, trained from scratch with Fourfold {version()}
for {recipe.train.length} of {recipe.train.batch_size} examples (seed {recipe.seed}).
{measured and f"{chr(10)}## Measured{chr(10)}{chr(10)}{measured}"}
## Use

```python
{first_line}

model = {domain}.load("path/to/this/folder")
items = model.sample(16, seed=0)
```

```sh
fourfold {domain} sample path/to/this/folder -n 16 -o samples
```

Weights are in `{WEIGHTS}`, the complete recipe in `{CONFIG}`; loading executes nothing from this folder.
"""
