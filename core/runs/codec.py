"""A codec turns a domain's items into tensors and back; it is saved with the model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Generic, Self, TypeVar

from torch import Tensor

from core.batches import Batch
from core.condition_parsing import parse_condition
from core.conditions import ConditionSpec
from core.errors import FourfoldError, did_you_mean
from core.networks.carrying import Sources
from core.spaces import Space

Item = TypeVar("Item")


class Codec(ABC, Generic[Item]):
    """Items (images, strings, scores ...) as batches and back: a frozen dataclass, stored as its fields.

    Its fields are plain values (numbers, text, bytes, tuples, other such dataclasses), checked in `__post_init__`
    where not every value is allowed.
    """

    @property
    @abstractmethod
    def space(self) -> Space:
        """What the tensors look like."""

    @property
    def conditions(self) -> Mapping[str, ConditionSpec]:
        """What a model may be conditioned on, by name."""
        return {}

    def made_of(self, old: Self) -> Mapping[str, Sources]:
        """What a trained model's codec had in place of this one's: for each new index the old ones.

        By what is indexed: "tokens", "channels", or a condition's name where that is a sequence of tokens. What is left
        out keeps its number; classes and numbers of conditions are known by their names.
        """
        return {}

    @abstractmethod
    def encode(self, items: Sequence[Item]) -> Batch:
        """Items -> batch (no conditions).

        Raises:
            FourfoldError: an item cannot be encoded; the line names it.
        """

    @abstractmethod
    def decode(self, batch: Batch) -> list[Item]:
        """Batch -> items."""

    def parse_condition(self, name: str, text: str) -> Tensor:
        """One row of the condition `name` from a user's words; see `core.condition_parsing`."""
        return parse_condition(self.conditions[name], name, text)

    def parse_conditions(self, texts: Mapping[str, str | None], n: int) -> dict[str, Tensor] | None:
        """Conditions of `n` rows each from a user's words; None where none is given.

        Raises:
            FourfoldError: a condition that the model does not have, or words it cannot read.
        """
        parsed = {}
        for name, text in texts.items():
            if text is None:
                continue
            if name not in self.conditions:
                known = did_you_mean(name, self.conditions) if self.conditions else (
                    "this model was trained without conditions")
                raise FourfoldError(f"no condition {name!r}: {known}")
            row = self.parse_condition(name, text)
            parsed[name] = row.expand(n, *row.shape)
        return parsed or None
