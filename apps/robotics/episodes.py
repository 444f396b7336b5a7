"""Episodes: what happened from a start, by whoever acted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from apps.robotics.simulation import Scene


@dataclass(frozen=True, kw_only=True)
class Episode:
    """T actions from a start, and what was seen before, between and after them.

    `observations` `[T + 1, D]`, `actions` `[T, A]`, `places` `[T + 1, 2 or 3]` metres.
    """

    task: str
    seed: int
    succeeded: bool
    observations: np.ndarray
    actions: np.ndarray
    places: np.ndarray
    scene: Scene

    @property
    def steps(self) -> int:
        """Actions executed."""
        return len(self.actions)
