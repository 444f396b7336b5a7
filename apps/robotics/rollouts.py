"""Closing the loop: policies that execute the first actions of each generated chunk, and episodes of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from apps.robotics.codec import ChunkCodec
from apps.robotics.environments import Bools, Environment, Floats, Scene

if TYPE_CHECKING:
    from core.runs.model import Model

Actor = Callable[[Floats, Bools, tuple[int, ...]], Floats]
"""(the last observations `[N, history, D]`, who is active `[N]`, a key that names the decision) -> actions `[N, k, A]`,
of which all k are executed; rows of episodes that are not active do not matter."""


@dataclass(frozen=True, kw_only=True)
class Episode:
    """What happened from a start: T actions and what was seen before, between and after them.

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


@dataclass(frozen=True, kw_only=True)
class Policy:
    """A model as an actor: receding-horizon execution of its action chunks (Chi et al. 2303.04137).

    Decisions depend on the seed and on when and with whom they are taken, so a rollout repeats exactly.

    Attributes:
        execute: actions executed of each chunk; None takes the recipe's.
        settings: of `Model.sample`, e.g. num_steps or temperature.
    """

    model: Model
    seed: int = 0
    execute: int | None = None
    settings: dict[str, Any] = field(default_factory=dict)

    def __call__(self, histories: Floats, active: Bools, key: tuple[int, ...] = (0,)) -> Floats:
        codec = cast(ChunkCodec, self.model.codec)
        execute = self.execute or self.model.recipe.data.execute
        rows = np.flatnonzero(active)
        batch = self.model.sample_batch(
            len(rows), seed=decision_seed(self.seed, key), condition=codec.observe(histories[rows]),
            batch_size=len(rows), **self.settings,
        )
        actions = np.zeros((len(histories), execute, batch.x.shape[1]))
        actions[rows] = codec.actions(batch.x)[:, :execute]
        return actions


@dataclass(frozen=True)
class RandomPolicy:
    """Actions drawn uniformly from the task's limits, each held for `hold` steps."""

    environment: Environment
    seed: int = 0
    hold: int = 1

    def __call__(self, histories: Floats, active: Bools, key: tuple[int, ...] = (0,)) -> Floats:
        rng = np.random.default_rng([self.seed, *key])
        low, high = self.environment.action_low, self.environment.action_high
        shape = (len(histories), 1, len(self.environment.action_names))
        return np.repeat(rng.uniform(low, high, shape), self.hold, axis=1)


@dataclass(frozen=True)
class Demonstrator:
    """The task's scripted expert, without noise; it chooses anew at every episode's start."""

    environment: Environment
    seed: int = 0

    def __call__(self, histories: Floats, active: Bools, key: tuple[int, ...] = (0,)) -> Floats:
        if key[-1] == 0:
            self.environment.choose(np.random.default_rng([self.seed, *key]))
        return self.environment.expert(active)[:, None]


def decision_seed(seed: int, key: tuple[int, ...]) -> int:
    """A seed of 63 bits for one decision."""
    return int(np.random.SeedSequence([seed, *key]).generate_state(1, np.uint64)[0] >> 1)


def run_episodes(
    environment: Environment, actor: Actor, seeds: Sequence[int], *, history: int = 1, noise: float = 0.0
) -> list[Episode]:
    """One episode a seed: from its start to success, failure or the task's limit.

    Args:
        history: observations that the actor sees, the last ones.
        noise: standard deviation of what is added to every executed action, as a share of the task's limit; an
            episode keeps the actions as the actor meant them.
    """
    episodes: list[Episode] = []
    for start in range(0, len(seeds), environment.parallel):
        episodes += _together(environment, actor, seeds[start : start + environment.parallel], history, noise, start)
    return episodes


def _together(
    environment: Environment, actor: Actor, seeds: Sequence[int], history: int, noise: float, first: int
) -> list[Episode]:
    """Episodes that are stepped at the same time; before the start the first observation repeats."""
    n, scale = len(seeds), noise * environment.action_high
    rng = np.random.default_rng([int(seeds[0]), first])
    observation = environment.reset(seeds)
    scenes = environment.scenes()
    histories = np.repeat(observation[:, None], history, axis=1)
    meant: list[Floats] = []
    seen, where = [observation.copy()], [environment.places()]
    active, succeeded, steps = np.ones(n, dtype=bool), np.zeros(n, dtype=bool), np.zeros(n, dtype=int)
    while active.any() and len(meant) < environment.limit:
        for action in np.swapaxes(actor(histories, active, (int(seeds[0]), first, len(meant))), 0, 1):
            if len(meant) == environment.limit or not active.any():
                break
            step = environment.step(action + rng.normal(0.0, scale, action.shape), active)
            steps += active
            succeeded |= step.succeeded & active
            active = active & ~step.succeeded & ~step.failed
            histories = np.concatenate([histories[:, 1:], step.observations[:, None]], axis=1)
            seen.append(step.observations.copy())
            meant.append(action)
            where.append(environment.places())
    observations, actions, places = (np.stack(parts, axis=1) for parts in (seen, meant, where))
    return [
        Episode(
            task=environment.name, seed=int(seed), succeeded=bool(succeeded[i]), scene=scenes[i],
            observations=observations[i, : steps[i] + 1], actions=actions[i, : steps[i]],
            places=places[i, : steps[i] + 1],
        )
        for i, seed in enumerate(seeds)
    ]
