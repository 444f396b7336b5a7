"""What an app hands to the core: a `Domain` is a frozen value of functions, a `Codec` turns items into tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from core.errors import FourfoldError, did_you_mean
from core.batches import Batch
from core.conditions import ConditionSpec
from core.spaces import Space

if TYPE_CHECKING:
    from core.data.arrays import ArrayData
    from core.runs.model import Model
    from core.runs.recipe import Recipe


class Codec(Protocol):
    """Turns a domain's items (images, strings, molecules, scores ...) into batches and back; saved with the model."""

    @property
    def space(self) -> Space:
        """What the tensors look like."""
        ...

    @property
    def conditions(self) -> Mapping[str, ConditionSpec]:
        """What a model may be conditioned on, by name."""
        ...

    def encode(self, items: Sequence[Any]) -> Batch:
        """Items -> batch (no conditions); a FourfoldError names the item that cannot be encoded."""
        ...

    def decode(self, batch: Batch) -> list[Any]:
        """Batch -> items."""
        ...

    def save(self, folder: Path) -> None:
        """Write what `Domain.load_codec` reads into `folder` (codec.json and the like)."""
        ...


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A recipe's data, ready: three splits of arrays and the codec that made them."""

    codec: Codec
    train: ArrayData
    validation: ArrayData
    test: ArrayData


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One measured number, with what it must be read against.

    Attributes:
        name: the measure's full name, e.g. "fd_digits_cnn" or "bits_per_byte".
        value: the figure; `interval`: its 95 % interval, where known.
        better: which direction is good.
        kind: "exact" or "bound" for likelihoods, "estimate" for anything measured on samples.
        count: examples or samples measured.
        baseline: the same measure of the baseline called `baseline_name`.
        floor: the same measure of real data against real data.
    """

    name: str
    value: float
    better: Literal["lower", "higher"]
    kind: Literal["exact", "bound", "estimate"] = "estimate"
    count: int = 0
    interval: tuple[float, float] | None = None
    baseline: float | None = None
    baseline_name: str | None = None
    floor: float | None = None

    @property
    def beats_baseline(self) -> bool | None:
        """Whether the value is on the good side of the baseline; None without one."""
        if self.baseline is None:
            return None
        return self.value < self.baseline if self.better == "lower" else self.value > self.baseline


@dataclass(frozen=True, kw_only=True)
class Media:
    """Something a person can look at or listen to in a report."""

    kind: Literal["png", "gif", "wav", "text"]
    content: bytes | str
    caption: str = ""


@dataclass(frozen=True, kw_only=True)
class Domain:
    """One application domain as a value; `core.cli` makes its shared verbs and `core.pretrained` its models.

    Attributes:
        name: "image", "text", ...
        recipes: named recipes, as functions without arguments. A recipe's docstring's first line describes it.
        data_type: the frozen dataclass of a recipe's `data`.
        prepare: `recipe.data` -> `Prepared`; caches what is slow to make.
        load_codec: reads the codec from a model folder.
        evaluate: (model, prepared, n, seed) -> measures; the first is the headline, compared across families.
        write: items -> files in a folder; returns their paths.
        preview: a few items -> media for the report.
        condition_options: conditions that `sample` takes as options: option name -> condition name
            ({"class": "label"} makes `--class sneaker`).
        default_samples: how many samples `evaluate` draws when not told.
        draw: (model, n, seed, sample settings) -> items, for domains whose items are more than one draw of the family
            (robotics: episodes of a policy); `Model.sample` without a condition then returns these.
    """

    name: str
    recipes: Mapping[str, Callable[[], Recipe]]
    data_type: type
    prepare: Callable[[Any], Prepared]
    load_codec: Callable[[Path], Codec]
    evaluate: Callable[[Model, Prepared, int, int], list[Measure]]
    write: Callable[[Sequence[Any], Path], list[Path]]
    preview: Callable[[Sequence[Any]], list[Media]]
    condition_options: Mapping[str, str]
    default_samples: int = 1000
    draw: Callable[[Model, int, int, Mapping[str, Any]], list[Any]] | None = None

    def recipe(self, name: str) -> Recipe:
        """The recipe called `name`.

        Raises:
            FourfoldError: there is none; the line names the closest.
        """
        if name not in self.recipes:
            raise FourfoldError(f"no {self.name} recipe {name!r}: {did_you_mean(name, self.recipes)}")
        return self.recipes[name]()
