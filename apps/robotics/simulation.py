"""What a task is to whoever acts in it: many episodes stepped together, each a function of its own seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Step:
    """After one action: observations `[N, D]`, and bool `[N]` of who has succeeded and who has failed for good."""

    observations: Floats
    succeeded: Bools
    failed: Bools


@dataclass(frozen=True)
class Scene:
    """What to draw of an episode besides its trail, in metres: the goal, and a round obstacle where there is one."""

    goal: tuple[float, ...]
    goal_radius: float
    obstacle: tuple[float, ...] | None = None
    radius: float = 0.0

    def passed_side(self, places: np.ndarray) -> int:
        """+1 where a trail `[T, 2]` passed the obstacle on its left, -1 on its right, 0 where it did not pass.

        The angle swept around the obstacle's centre is about -pi the first way and +pi the other.
        """
        if self.obstacle is None or len(places) < 2:
            return 0
        offset = places[:, :2] - np.asarray(self.obstacle[:2])
        swept = np.unwrap(np.arctan2(offset[:, 1], offset[:, 0]))
        turn = swept[-1] - swept[0]
        return 0 if abs(turn) < 0.5 * np.pi else (-1 if turn > 0 else 1)


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


def by_start(episodes: Sequence[Episode]) -> list[list[Episode]]:
    """Episodes of the same seed together."""
    starts: dict[int, list[Episode]] = {}
    for episode in episodes:
        starts.setdefault(episode.seed, []).append(episode)
    return list(starts.values())


class Environment(Protocol):
    """A task over many episodes at once.

    Attributes:
        limit: steps after which an episode that has not succeeded has failed.
        parallel: most episodes that can be stepped together.
        action_low, action_high: limits of each action number; the task shortens or clips what lies outside.
    """

    name: str
    limit: int
    parallel: int
    observation_names: tuple[str, ...]
    action_names: tuple[str, ...]
    action_low: float
    action_high: float

    def reset(self, seeds: Sequence[int]) -> Floats:
        """Begin one episode a seed; returns observations `[N, D]`."""

    def step(self, actions: Floats, active: Bools) -> Step:
        """Apply actions `[N, A]` to the episodes that are `active` `[N]`; the others stay as they are."""

    def choose(self, rng: np.random.Generator) -> None:
        """Draw what the demonstrator is free to choose, for every episode."""

    def expert(self, active: Bools) -> Floats:
        """The scripted demonstrator's actions `[N, A]` in the present state; zero for episodes that are not active."""

    def scenes(self) -> list[Scene]:
        """What to draw of each episode."""

    def places(self) -> Floats:
        """The moving point of each episode, `[N, 2 or 3]` metres."""
