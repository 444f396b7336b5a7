"""Who acts (policies, random actions, the scripted expert), and episodes of their acting."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Unpack

import numpy as np

from apps.robotics.environments import make
from apps.robotics.model import RoboticsItem, RoboticsModel
from apps.robotics.simulation import Bools, Environment, Episode, Floats
from core.errors import require
from core.families.family import SettingChanges
from core.runs.tasks import Progress
from core.seeds import derive

Actor = Callable[[Floats, Bools, tuple[int, ...]], Floats]
"""(the last observations `[N, history, D]`, who is active `[N]`, a key that names the decision) -> actions `[N, k, A]`,
of which all k are executed; rows of episodes that are not active do not matter."""


class Purpose(IntEnum):
    """What a seed is derived for: seeds of different purposes differ."""

    DEMONSTRATION = 0
    EVALUATION = 1
    DECISION = 2
    RANDOM_ACTION = 3
    CHOICE = 4
    NOISE = 5


def episode_seeds(purpose: Purpose, seed: int, n: int, visits: int = 1) -> list[int]:
    """Seeds of `n` episodes, `visits` from each start; those of another purpose or seed are others."""
    return [derive(purpose, seed, index // visits) for index in range(n)]


@dataclass(frozen=True, kw_only=True)
class Policy:
    """A model as an actor: receding-horizon execution of its action chunks (Chi et al. 2303.04137).

    Decisions depend on the seed and on when and with whom they are taken, so a rollout repeats exactly.

    Attributes:
        execute: actions executed of each chunk; None takes the recipe's.
        settings: of `Model.sample`, e.g. num_steps or temperature.
    """

    model: RoboticsModel
    seed: int = 0
    execute: int | None = None
    settings: SettingChanges = field(default_factory=SettingChanges)

    def __call__(self, histories: Floats, active: Bools, key: tuple[int, ...] = (0,)) -> Floats:
        codec, rows = self.model.codec, np.flatnonzero(active)
        execute = self.execute or self.model.recipe.data.execute
        batch = self.model.sample_batch(
            len(rows), seed=derive(Purpose.DECISION, self.seed, *key), condition=codec.observe(histories[rows]),
            batch_size=len(rows), **self.settings,
        )
        actions = np.zeros((len(histories), execute, len(codec.action_names)))
        actions[rows] = codec.actions(batch.x)[:, :execute]
        return actions


@dataclass(frozen=True)
class RandomPolicy:
    """Actions drawn uniformly from the task's limits, each held for `hold` steps."""

    environment: Environment
    seed: int = 0
    hold: int = 1

    def __call__(self, histories: Floats, active: Bools, key: tuple[int, ...] = (0,)) -> Floats:
        rng = np.random.default_rng(derive(Purpose.RANDOM_ACTION, self.seed, *key))
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
            self.environment.choose(np.random.default_rng(derive(Purpose.CHOICE, self.seed, *key)))
        return self.environment.expert(active)[:, None]


def run_episodes(
    environment: Environment, actor: Actor, seeds: Sequence[int], *, history: int = 1, noise: float = 0.0,
    progress: Progress | None = None,
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
        if progress is not None:
            progress.step(len(episodes), len(seeds))
    return episodes


def _together(
    environment: Environment, actor: Actor, seeds: Sequence[int], history: int, noise: float, first: int
) -> list[Episode]:
    """Episodes that are stepped at the same time; before the start the first observation repeats."""
    n, scale, name = len(seeds), noise * environment.action_high, (int(seeds[0]), first)
    rng = np.random.default_rng(derive(Purpose.NOISE, *name))
    observation = environment.reset(seeds)
    scenes = environment.scenes()
    histories = np.repeat(observation[:, None], history, axis=1)
    meant: list[Floats] = []
    seen, where = [observation.copy()], [environment.places()]
    active, succeeded, steps = np.ones(n, dtype=bool), np.zeros(n, dtype=bool), np.zeros(n, dtype=int)
    while active.any() and len(meant) < environment.limit:
        for action in np.swapaxes(actor(histories, active, (*name, len(meant))), 0, 1):
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


def rollout(
    model: RoboticsModel, n: int, *, seed: int = 0, visits: int = 1, execute: int | None = None, noise: float = 0.0,
    progress: Progress | None = None, **changes: Unpack[SettingChanges],
) -> list[Episode]:
    """`n` episodes of a trained policy in its own task, on starts that no demonstration had.

    Args:
        visits: episodes from each start before the next one; more than one shows how differently a policy acts.
        execute: actions executed of each chunk; None takes the recipe's.
        noise: of executed actions, as a share of their limit.
        changes: of sample settings: num_steps, temperature, ...

    Raises:
        FourfoldError: a number out of range, or a setting the family does not take.
    """
    config = model.recipe.data
    for name, value, low, high in (
        ("n", n, 1, 10**6), ("visits", visits, 1, 10**6), ("noise", noise, 0, 10), ("seed", seed, 0, 2**63 - 1),
        ("execute", config.execute if execute is None else execute, 1, config.horizon),
    ):
        require(low <= value <= high, name, value, f"must be in [{low}, {high}]")
    seeds = episode_seeds(Purpose.EVALUATION, seed, n, visits)
    policy = Policy(model=model, seed=seed, execute=execute, settings=changes)
    return run_episodes(make(config.task), policy, seeds, history=config.history, noise=noise, progress=progress)


def draw(model: RoboticsModel, n: int, seed: int, changes: SettingChanges) -> list[RoboticsItem]:
    """What `sample` gives: episodes; on the planar task several from each start, to see both ways."""
    visits = min(n, 8) if model.recipe.data.task == "planar" else 1
    return [*rollout(model, n, seed=seed, visits=visits, **changes)]
