"""What a comparison adds to its families: any finished run, or a user's own function (n, seed) -> items."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Unpack

import torch

from core.batches import Batch
from core.errors import FourfoldError
from core.families.family import DEFAULTS, Condition, Family, Loss, SampleSettings, SettingChanges
from core.files import one_line
from core.runs.codec import Codec
from core.runs.domain import Domain, Prepared
from core.runs.model import CodecT, DataT, Item, Model, Wanted
from core.runs.places import is_run
from core.runs.pretrained import load, load_codec, model_folder
from core.runs.recipe import Recipe
from core.runs.tasks import Progress
from core.seeds import Draws
from core.serialization import differences, to_dict


class _Unknown(Family):
    """The family of what nothing is known of but its items: it has no likelihood, and no verbs."""

    @property
    def device(self) -> torch.device:
        return torch.device("cpu")

    def passes(self, settings: SampleSettings) -> int:
        return 1

    def forward(self, batch: Batch, player: str = "model", progress: float = 1.0) -> Loss:
        raise self._unsupported("is not trained here", "one of the families")

    def sample(self, n: int, condition: Condition | None = None, *, settings: SampleSettings = DEFAULTS,
               draws: Draws = None) -> Batch:
        raise self._unsupported("draws items, not tensors", "one of the families")


@dataclass(frozen=True, kw_only=True)
class FunctionModel(Model[DataT, CodecT, Item]):
    """A function that makes items, as a model that can be measured by its samples; it knows no conditions."""

    function: Callable[[int, int], Sequence[Item]]
    name: str

    def sample(
        self, n: int, *, seed: int = 0, condition: Wanted | None = None, batch_size: int | None = None,
        progress: Progress | None = None, **changes: Unpack[SettingChanges],
    ) -> list[Item]:
        try:
            items = list(self.function(n, seed))
        except Exception as error:
            why = f"{type(error).__name__}: {one_line(error)}"
            raise FourfoldError(f"{self.name}({n}, {seed}) failed: {why}") from error
        if len(items) != n:
            raise FourfoldError(f"{self.name}({n}, {seed}) gave {len(items):,} items: must give {n:,}")
        return items

    def sample_batch(
        self, n: int, *, seed: int = 0, condition: Wanted | None = None, batch_size: int | None = None,
        progress: Progress | None = None, **changes: Unpack[SettingChanges],
    ) -> Batch:
        items = self.sample(n, seed=seed)
        codec: Codec[Item] = self.codec
        try:
            return codec.encode(items)
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise FourfoldError(f"{self.name} gave a {type(items[0]).__name__}, which is no item of "
                                f"{self.recipe.domain}: give what its models' `sample` gives") from error


def is_function(what: str, domain: Domain[DataT, CodecT, Item]) -> bool:
    """Whether what a user adds names a function, and no run."""
    return ":" in what and not is_run(what, domain.name, domain.models)


def refuse_other(domain: Domain[DataT, CodecT, Item], prepared: Prepared[CodecT], what: str) -> None:
    """Check that a run or a function can be judged on these data, before anything is trained.

    Raises:
        FourfoldError: there is none, or the run's model reads data otherwise.
    """
    if is_function(what, domain):
        if domain.draw is not None:
            raise FourfoldError(f"--with {what}: what {domain.name} measures acts on what it sees, which a function "
                                "(n, seed) -> items does not; give a run")
        _function(what)
        return
    folder = model_folder(domain.find(what))
    codec = load_codec(folder, domain.codec_types, domain.codec_migrations)
    changed = differences(to_dict(prepared.codec), to_dict(codec))
    if changed:
        keys = ", ".join(dict.fromkeys(line.partition(":")[0] for line in changed[:3]))
        raise FourfoldError(f"--with {what}: its model reads data otherwise (codec: {keys}), so that it cannot be "
                            "judged by the same held-out items; give a run on the same data, read in the same way")


def other_model(
    domain: Domain[DataT, CodecT, Item], recipe: Recipe[DataT], prepared: Prepared[CodecT], what: str, device: str
) -> Model[DataT, CodecT, Item]:
    """A run's model, or a user's function, on the data of `recipe`.

    Raises:
        FourfoldError: see `refuse_other`.
    """
    refuse_other(domain, prepared, what)
    if is_function(what, domain):
        return FunctionModel(recipe=recipe, codec=prepared.codec, family=_Unknown(), device=torch.device("cpu"),
                             function=_function(what), name=what)
    model = load(what, domain, device)
    return replace(model, recipe=replace(model.recipe, data=recipe.data, seed=recipe.seed))


def _function(what: str) -> Callable[[int, int], Sequence[Item]]:
    """The function that "module:function" names; the module may lie where the user stands."""
    module, _, name = what.partition(":")
    here = os.getcwd()
    if here not in sys.path:
        sys.path.append(here)
    try:
        found = getattr(importlib.import_module(module), name)
    except Exception as error:
        raise FourfoldError(f"--with {what}: cannot be imported ({type(error).__name__}: {one_line(error)}); give a "
                            "run, or module:function of a module where you stand") from error
    if not callable(found):
        raise FourfoldError(f"--with {what} is no function: must be called with (n, seed) and give items")
    made: Callable[[int, int], Sequence[Item]] = found
    return made
