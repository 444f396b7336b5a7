"""One rule for what is held out: examples of one key stay together, groups are dealt out in random order."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from core.data.arrays import order
from core.errors import FourfoldError

T = TypeVar("T")

LARGEST = 0.2  # of all examples: a group of more is trained on, never held out
FEW = 10  # a group of so few is never too large


@dataclass(frozen=True)
class Splits:
    """Indices `[N]` (int64) of the examples of each split."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray

    def of(self, items: Sequence[T]) -> dict[str, list[T]]:
        """The items by "train", "validation" and "test"."""
        return {name: [items[i] for i in rows] for name, rows in vars(self).items()}


def split(keys: Sequence[Hashable], *, test: float, validation: float, seed: int | None = 0) -> Splits:
    """Deal out examples, given by their keys: those of equal keys are a group, and a group lies in one split.

    A group of more than a fifth of the examples is trained on, as a test of little else would say little.

    Args:
        test, validation: how many groups, or below 1 their share; at least one each.
        seed: of the groups' order; None takes the order of the keys themselves, where that means nothing (hashes).

    Raises:
        FourfoldError: fewer than three groups.
    """
    places: dict[Hashable, int] = {}
    group_of = np.fromiter((places.setdefault(key, len(places)) for key in keys), np.int64, len(keys))
    count = len(places)
    if count < 3:
        raise FourfoldError(f"the data have {count} different examples: at least 3 are needed, one for each of "
                            "training, validation and test")
    keyed = sorted(places) if seed is None else ()  # type: ignore[type-var]
    shuffled = np.array([places[key] for key in keyed]) if seed is None else order(seed, 0, count)
    sizes = np.bincount(group_of)
    shuffled = shuffled[np.argsort(sizes[shuffled] > max(FEW, LARGEST * len(keys)), kind="stable")]
    first = max(1, round(test * count) if test < 1 else int(test))
    second = first + max(1, round(validation * count) if validation < 1 else int(validation))
    if second >= count:
        raise FourfoldError(f"{second} of {count} different examples would be held out: give more of them")
    rank = np.empty(count, np.int64)
    rank[shuffled] = np.arange(count)
    in_order = np.argsort(rank[group_of], kind="stable")
    ends = np.cumsum(sizes[shuffled])
    tested, validated, trained = np.split(in_order, [ends[first - 1], ends[second - 1]])
    return Splits(trained, validated, tested)
