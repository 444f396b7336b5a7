"""What a task is to whoever acts in it: many episodes stepped together, each a function of its own seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from apps.robotics.observations import Floats as Floats
from apps.robotics.observations import Layout

Bools = NDArray[np.bool_]
Key = tuple[int, int]
"""An episode's seed, and how many episodes of the same seed came before it: its random draws are named by this."""


@dataclass(frozen=True)
class Seen:
    """Observations of N episodes: numbers `[N, D]`, and pictures uint8 `[N, P, P, C]` where the task has any."""

    numbers: Floats
    pictures: np.ndarray | None = None


@dataclass(frozen=True)
class Step:
    """After one action: observations, bool `[N]` of who has succeeded and who has failed for good, rewards `[N]`."""

    seen: Seen
    succeeded: Bools
    failed: Bools
    rewards: Floats


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


NOWHERE = Scene((), 0.0)
"""The scene of an environment that does not say what is in it."""


@dataclass(frozen=True, kw_only=True)
class Episode:
    """T actions from a start, and what was seen before, between and after them.

    `observations` `[T + 1, D]`, `actions` `[T, A]` as they were meant, `executed` `[T, A]` with their noise, `places`
    `[T + 1, 2 or 3]` metres, `pictures` uint8 `[T + 1, P, P, C]` where the task has any, `reward`: the sum.
    """

    task: str
    seed: int
    succeeded: bool
    observations: np.ndarray
    actions: np.ndarray
    executed: np.ndarray
    places: np.ndarray
    scene: Scene
    pictures: np.ndarray | None = None
    reward: float = 0.0

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
        parallel: most episodes that are stepped together; policies always decide for as many at once, so that their
            arithmetic does not depend on how many there are.
        observation, action: what the numbers of an observation and of an action stand for.
        action_low, action_high: limits of each action number `[A]`; the task shortens or clips what lies outside.
        picture: pixels a side of the pictures in observations; 0 where there are none.
    """

    name: str
    limit: int
    parallel: int
    observation: Layout
    action: Layout
    action_low: Floats
    action_high: Floats
    picture: int

    def reset(self, seeds: Sequence[int]) -> Seen:
        """Begin one episode a seed."""

    def step(self, actions: Floats, active: Bools) -> Step:
        """Apply actions `[N, A]` to the episodes that are `active` `[N]`; the others stay as they are."""

    def choose(self, seeds: Sequence[int]) -> None:
        """Draw what the demonstrator is free to choose, by a seed for each episode."""

    def expert(self, active: Bools) -> Floats:
        """The scripted demonstrator's actions `[N, A]` in the present state; zero for episodes that are not active.

        Raises:
            FourfoldError: there is none.
        """

    def scenes(self) -> list[Scene]:
        """What to draw of each episode."""

    def places(self) -> Floats:
        """The moving point of each episode, `[N, 2 or 3]` metres."""

    def close(self) -> None:
        """End what runs for it."""
