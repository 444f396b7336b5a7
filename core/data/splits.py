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
    groups: dict[Hashable, list[int]] = {}
    for index, key in enumerate(keys):
        groups.setdefault(key, []).append(index)
    if len(groups) < 3:
        raise FourfoldError(f"the data have {len(groups)} different examples: at least 3 are needed, one for each of "
                            "training, validation and test")
    if seed is None:
        shuffled = [groups[key] for key in sorted(groups)]  # type: ignore[type-var]
    else:
        in_order = list(groups.values())
        shuffled = [in_order[i] for i in order(seed, 0, len(in_order))]
    shuffled.sort(key=lambda group: len(group) > max(FEW, LARGEST * len(keys)))
    first = max(1, round(test * len(groups)) if test < 1 else int(test))
    second = first + max(1, round(validation * len(groups)) if validation < 1 else int(validation))
    if second >= len(groups):
        raise FourfoldError(f"{second} of {len(groups)} different examples would be held out: give more of them")
    parts = (shuffled[second:], shuffled[first:second], shuffled[:first])
    return Splits(*(np.array([i for group in part for i in group], np.int64) for part in parts))
