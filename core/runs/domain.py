"""What an app hands to the core: a `Domain` is a frozen value of functions."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Generic, Literal

from core.data.arrays import ArrayData
from core.data.sources import Origin
from core.errors import FourfoldError, did_you_mean
from core.families.family import FamilyConfig, SettingChanges
from core.runs import places
from core.runs.costs import minutes
from core.runs.measures import Measure
from core.runs.media import Media
from core.runs.migrations import Migration
from core.runs.model import CodecT, DataT, Item, Model
from core.runs.recipe import Recipe, recipe_from_dict
from core.runs.tasks import Kind, Progress, Task
from core.seeds import derive
from core.serialization import assign, to_dict
from core.waiting import waiting

Split = Literal["train", "validation", "test"]


@dataclass(frozen=True, kw_only=True)
class Prepared(Generic[CodecT]):
    """A recipe's data, ready: three splits of arrays and the codec that made them."""

    codec: CodecT
    train: ArrayData
    validation: ArrayData
    test: ArrayData


@dataclass(frozen=True, kw_only=True)
class Domain(Generic[DataT, CodecT, Item]):
    """One application domain as a value; `core.command_line` makes its verbs, `core.runs.pretrained` its models.

    Attributes:
        name: "image", "text", ...
        recipes: named recipes, as functions without arguments. A recipe's docstring's first line describes it.
        data_types, codec_types: the frozen dataclasses of a recipe's `data`, and of the codecs.
        prepare: `recipe.data` -> `Prepared`; caches what is slow to make.
        evaluate: (model, prepared, n, seed) -> measures; the first is the headline, compared across families.
        write: items -> files in a folder; returns their paths.
        preview: a few items -> media for the report.
        own_data: (data config, a user's path) -> the config that reads it, for `train --data` with a recipe.
        guess: a user's path -> the data config that suits what is there; what it guesses, it says.
        default_family: (data config, prepared data) -> the family kind that suits them, and why in a few words.
        sized: (data config, prepared data, family kind) -> a recipe with batch, model and steps that suit them; its
            name does not matter. It knows "vae", "gan", "diffusion" and "autoregressive".
        tuned_data: (a trained model's data config, a user's path) -> the config that reads that for training the model
            further; `own_data` unless given.
        prepare_as: (data config, a trained model's codec, grow) -> `prepare` with what that codec has, its tokens or
            ranges, and where it may `grow`, what the data have beyond it; None where nothing needs to be kept.
        result: what kind of thing the items are.
        conditions: those that `sample` takes as options of the same name.
        default_samples: how many samples `evaluate` draws when not told.
        tasks: what people come for.
        suggests: the tasks that a model of a recipe is for, as words of a command line; {run} stands for its folder.
        shows: what one sees, or hears, of the items in a report: a sentence.
        recipe_migrations, codec_migrations: as `core.runs.migrations`, after them, of the domain's own.
        origins: data config -> where its data come from; nothing where they are part of an installed package.
        models: the folder of the models that ship, one a folder; model: the one that is asked where none is named.
        draw: (model, n, seed, settings) -> items, for domains whose items are more than one draw of the family
            (robotics: episodes of a policy): what `sample` without a condition and reports show.
    """

    name: str
    recipes: Mapping[str, Callable[[], Recipe[DataT]]]
    data_types: tuple[type[DataT], ...]
    codec_types: tuple[type[CodecT], ...]
    prepare: Callable[[DataT], Prepared[CodecT]]
    evaluate: Callable[[Model[DataT, CodecT, Item], Prepared[CodecT], int, int], list[Measure]]
    write: Callable[[Sequence[Item], Path], list[Path]]
    preview: Callable[[Sequence[Item]], list[Media]]
    own_data: Callable[[DataT, Path], DataT]
    guess: Callable[[Path], DataT]
    default_family: Callable[[DataT, Prepared[CodecT]], tuple[str, str]]
    sized: Callable[[DataT, Prepared[CodecT], str], Recipe[DataT]]
    result: Kind
    tuned_data: Callable[[DataT, Path], DataT] | None = None
    prepare_as: Callable[[DataT, CodecT, bool], Prepared[CodecT]] | None = None
    conditions: tuple[str, ...] = ()
    default_samples: int = 1000
    tasks: tuple[Task, ...] = ()
    suggests: Callable[[Recipe[DataT]], Sequence[str]] = lambda recipe: ()
    shows: str = ""
    recipe_migrations: tuple[Migration, ...] = ()
    codec_migrations: tuple[Migration, ...] = ()
    origins: Callable[[DataT], Sequence[Origin]] = lambda data: ()
    models: Path | None = None
    model: str | None = None
    draw: Callable[[Model[DataT, CodecT, Item], int, int, SettingChanges], list[Item]] | None = None

    @cached_property
    def family_types(self) -> tuple[type[FamilyConfig], ...]:
        """The family configs that its recipes use."""
        return tuple(dict.fromkeys(type(make().family) for make in self.recipes.values()))

    def ready(self, data: DataT, known: CodecT | None = None, *, grow: bool = False) -> Prepared[CodecT]:
        """`prepare`, or with what a codec knows `prepare_as`; it tells how it goes where it takes a while."""
        with waiting(f"preparing {self.name} data"):
            if known is None or self.prepare_as is None:
                return self.prepare(data)
            return self.prepare_as(data, known, grow)

    def ready_for(self, model: Model[DataT, CodecT, Item]) -> Prepared[CodecT]:
        """The data of a trained model, as it knows them."""
        return self.ready(model.recipe.data, None if model.recipe.start is None else model.codec)

    def recipe(self, name: str) -> Recipe[DataT]:
        """The recipe called `name`.

        Raises:
            FourfoldError: there is none; the line names the closest.
        """
        if name not in self.recipes:
            raise FourfoldError(f"no {self.name} recipe {name!r}: {did_you_mean(name, self.recipes)}")
        return self.recipes[name]()

    def find(self, name: str | Path) -> Path:
        """The run or model folder that a user calls `name`; see `core.runs.places`.

        Raises:
            FourfoldError: there is none; the line says which command makes it.
        """
        found = places.find(name, self.name, self.models)
        if found is None:
            recipe = Path(name).name
            made = (f"`fourfold {self.name} train {recipe}` makes it{self._cost(recipe)}" if recipe in self.recipes else
                    f"give a run that `fourfold {self.name} train` made, or a model of `fourfold models`")
            raise FourfoldError(f"{name}: no such run; {made}")
        return found

    def _cost(self, recipe: str) -> str:
        """What training a recipe costs, as the end of a line; nothing where nobody has measured it."""
        told = minutes(self.recipes[recipe]).told
        missing = [origin for origin in self.origins(self.recipes[recipe]().data) if not origin.at_hand]
        words = [f"{told} minutes"] if told else []
        words += [f"{origin.name} to fetch ({origin.megabytes:.0f} MB)" if origin.megabytes else
                  f"{origin.name} to be put there" for origin in missing]
        return f" ({', '.join(words)})" if words else ""

    def next_commands(self, recipe: Recipe[DataT], run: Path) -> list[str]:
        """What a person does next with a trained run of `recipe`: command lines to copy."""
        words = ("sample {run} -n 16", "evaluate {run}", *self.suggests(recipe))
        return [f"fourfold {self.name} {line.format(run=shlex.quote(str(run)))}" for line in words]

    def read_recipe(self, value: object) -> Recipe[DataT]:
        """A recipe from plain values of today's format; see `core.runs.recipe.recipe_from_dict`."""
        return recipe_from_dict(value, self.data_types, self.family_types)

    def override(self, recipe: Recipe[DataT], assignments: Sequence[str]) -> Recipe[DataT]:
        """`recipe` with `--set` assignments such as "train.steps=500" applied; values are JSON, or plain text.

        Raises:
            FourfoldError: a malformed assignment, an unknown key or a refused value.
        """
        tree = to_dict(recipe)
        for assignment in assignments:
            assign(tree, assignment)
        return self.read_recipe(tree)

    def parts(
        self, model: Model[DataT, CodecT, Item], n: int, size: int, *, seed: int = 0,
        texts: Mapping[str, str | None] | None = None, settings: SettingChanges | None = None,
        progress: Progress | None = None,
    ) -> Iterator[list[Item]]:
        """`n` items in parts of at least `size` but for the last, conditioned on a user's words by condition."""
        condition, changes = model.codec.parse_conditions(texts or {}, n), settings or SettingChanges()
        if condition is None and self.draw is not None:
            for index, start in enumerate(range(0, n, size)):
                # The first part is what a smaller n draws.
                yield self.draw(model, min(size, n - start), derive(seed, index) if index else seed, changes)
                if progress is not None:
                    progress.step(min(start + size, n), n)
            return
        items: list[Item] = []
        for batch in model.batches(n, seed=seed, condition=condition, progress=progress, **changes):
            items += model.codec.decode(batch)
            if len(items) >= size:
                yield items
                items = []
        if items:
            yield items
