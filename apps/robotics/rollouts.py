"""Who acts (policies, random actions, the scripted expert, a user's function), and episodes of their acting."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Protocol, Unpack

import numpy as np

from apps.robotics.environments import make
from apps.robotics.model import RoboticsItem, RoboticsModel
from apps.robotics.observations import Value
from apps.robotics.policy import Policy
from apps.robotics.simulation import Bools, Environment, Episode, Floats, Key, Seen
from core.errors import FourfoldError, require
from core.families.family import SettingChanges
from core.files import one_line
from core.runs.tasks import Progress
from core.seeds import derive


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


class Actor(Protocol):
    """Who acts in several episodes at once. What it does in one depends on that episode alone."""

    def begin(self, keys: Sequence[Key]) -> None:
        """Episodes begin, one a key."""

    def actions(self, seen: Seen, active: Bools) -> Floats:
        """Actions `[N, A]`; rows of episodes that are not active do not matter."""


class RandomPolicy:
    """Actions drawn uniformly from the task's limits, each held for `hold` steps."""

    def __init__(self, environment: Environment, seed: int = 0, hold: int = 1) -> None:
        self.environment, self.seed, self.hold = environment, seed, hold

    def begin(self, keys: Sequence[Key]) -> None:
        self.draws = [np.random.default_rng(derive(Purpose.RANDOM_ACTION, self.seed, *key)) for key in keys]
        self.step = 0

    def actions(self, seen: Seen, active: Bools) -> Floats:
        if self.step % self.hold == 0:
            low, high = self.environment.action_low, self.environment.action_high
            self.held = np.stack([rng.uniform(low, high) for rng in self.draws])
        self.step += 1
        return self.held


class Demonstrator:
    """The task's scripted expert, without noise; it chooses anew at every episode's start."""

    def __init__(self, environment: Environment, seed: int = 0) -> None:
        self.environment, self.seed = environment, seed

    def begin(self, keys: Sequence[Key]) -> None:
        self.environment.choose([derive(Purpose.CHOICE, self.seed, *key) for key in keys])

    def actions(self, seen: Seen, active: Bools) -> Floats:
        return self.environment.expert(active)


class Own:
    """A user's policy: a function from observation to action, or an object with `act` and, if it likes, `reset`.

    It is called for each episode alone; an object is made anew for each where `policy` is a class.
    """

    def __init__(self, policy: Callable[..., Any], environment: Environment, name: str = "the policy") -> None:
        if not callable(policy) and not hasattr(policy, "act"):
            raise FourfoldError(f"{name} is {type(policy).__name__}: must be a function from observation to action, or "
                                "an object or class with act(observation)")
        self.policy, self.environment, self.name = policy, environment, name

    def begin(self, keys: Sequence[Key]) -> None:
        self.each: list[Callable[[Value], Value]] = []
        for _ in keys:
            one = self.policy() if isinstance(self.policy, type) else self.policy
            if hasattr(one, "act"):
                require(isinstance(self.policy, type) or len(keys) == 1, self.name, one,
                        "an object acts in one episode at a time: give its class")
                if hasattr(one, "reset"):
                    one.reset()
                self.each.append(one.act)
            else:
                self.each.append(one)

    def actions(self, seen: Seen, active: Bools) -> Floats:
        layout = self.environment.action
        actions = np.zeros((len(active), layout.width))
        for i in np.flatnonzero(active):
            observation = self.environment.observation.value(seen.numbers[i])
            try:
                answer = self.each[i](observation)
            except Exception as error:
                raise FourfoldError(f"{self.name} fails ({type(error).__name__}: {one_line(error)})") from error
            actions[i] = layout.vector(answer, f"the action of {self.name}")
        return actions


def run_episodes(
    environment: Environment, actor: Actor, seeds: Sequence[int], *, noise: float = 0.0,
    teacher: Actor | None = None, progress: Progress | None = None,
) -> list[Episode]:
    """One episode a seed: from its start to success, failure or the task's limit.

    An episode is a function of its seed, of how many of the same seed came before it, and of the actor: not of which
    others there are.

    Args:
        noise: standard deviation of what is added to every executed action, as a share of the task's limit; an
            episode keeps the actions as the actor meant them, and as they were executed.
        teacher: whose actions are kept as the meant ones, in the states that the actor comes to (DAgger, Ross et al.
            1011.0686); None: the actor's own.
    """
    episodes: list[Episode] = []
    before: Counter[int] = Counter()
    for start in range(0, len(seeds), environment.parallel):
        keys = []
        for seed in seeds[start : start + environment.parallel]:
            keys.append((int(seed), before[seed]))
            before[seed] += 1
        episodes += _together(environment, actor, keys, noise, teacher)
        if progress is not None:
            progress.step(len(episodes), len(seeds))
    return episodes


@dataclass
class _Record:
    """What happens in an episode, step by step."""

    numbers: list[Floats]
    pictures: list[np.ndarray]
    places: list[Floats]
    meant: list[Floats]
    executed: list[Floats]
    reward: float = 0.0
    succeeded: bool = False


def _together(
    environment: Environment, actor: Actor, keys: Sequence[Key], noise: float, teacher: Actor | None
) -> list[Episode]:
    """Episodes that are stepped at the same time."""
    n, width = len(keys), environment.action.width
    scale = noise * (environment.action_high - environment.action_low) / 2
    shake = [np.random.default_rng(derive(Purpose.NOISE, *key)) for key in keys]
    seen, scenes, places = environment.reset([seed for seed, _ in keys]), environment.scenes(), environment.places()
    records = [
        _Record([seen.numbers[i]], [] if seen.pictures is None else [seen.pictures[i]], [places[i]], [], [])
        for i in range(n)
    ]
    for one in filter(None, (actor, teacher)):
        one.begin(keys)
    active = np.ones(n, dtype=bool)
    for _ in range(environment.limit):
        actions = actor.actions(seen, active)
        meant = actions if teacher is None else teacher.actions(seen, active)
        shaken = actions + scale * np.stack([rng.normal(size=width) for rng in shake]) if noise else actions
        step = environment.step(shaken, active)
        seen, places = step.seen, environment.places()
        for i in np.flatnonzero(active):
            record = records[i]
            record.numbers.append(seen.numbers[i])
            record.places.append(places[i])
            record.meant.append(meant[i])
            record.executed.append(shaken[i])
            record.reward += float(step.rewards[i])
            record.succeeded = bool(step.succeeded[i])
            if seen.pictures is not None:
                record.pictures.append(seen.pictures[i])
        active = active & ~step.succeeded & ~step.failed
        if not active.any():
            break
    return [
        Episode(
            task=environment.name, seed=seed, succeeded=record.succeeded, scene=scene, reward=record.reward,
            observations=np.stack(record.numbers), actions=np.stack(record.meant), executed=np.stack(record.executed),
            places=np.stack(record.places), pictures=np.stack(record.pictures) if record.pictures else None,
        )
        for (seed, _), record, scene in zip(keys, records, scenes, strict=True)
    ]


def rollout(
    model: RoboticsModel, n: int, *, environment: str | Callable[[], Any] | None = None, seed: int = 0, visits: int = 1,
    execute: int | None = None, ensemble: float | None = None, noise: float = 0.0, limit: int | None = None,
    processes: int | None = None, progress: Progress | None = None, **changes: Unpack[SettingChanges],
) -> list[Episode]:
    """`n` episodes of a trained policy, on starts that no demonstration had.

    Args:
        environment: a name as of `environments.make`, or a function that makes one; None takes the task it learned.
        visits: episodes from each start before the next one; more than one shows how differently a policy acts.
        execute: actions executed of each chunk; None takes the recipe's.
        ensemble: see `Policy`.
        noise: of executed actions, as a share of their limit.
        limit: most steps of an episode; None takes the environment's.
        processes: that simulators are divided among; results do not depend on it.
        changes: of sample settings: num_steps, temperature, ...

    Raises:
        FourfoldError: a number out of range, a setting the family does not take, an environment of other spaces, or
            one that fails.
    """
    config = model.recipe.data
    for name, value, low, high in (
        ("n", n, 1, 10**6), ("visits", visits, 1, 10**6), ("noise", noise, 0, 10), ("seed", seed, 0, 2**63 - 1),
        ("execute", config.execute if execute is None else execute, 1, config.horizon),
        ("limit", 1 if limit is None else limit, 1, 10**6),
    ):
        require(low <= value <= high, name, value, f"must be in [{low}, {high}]")
    seeds = episode_seeds(Purpose.EVALUATION, seed, n, visits)
    with closing(environment_of(model, environment, limit, processes)) as place:
        policy = Policy(model, seed=seed, execute=execute, ensemble=ensemble, together=place.parallel, settings=changes)
        return run_episodes(place, policy, seeds, noise=noise, progress=progress)


def environment_of(
    model: RoboticsModel, name: str | Callable[[], Any] | None = None, limit: int | None = None,
    processes: int | None = None,
) -> Environment:
    """The environment that a model acts in.

    Raises:
        FourfoldError: nothing says which, or it has other spaces than the model learned.
    """
    config, codec = model.recipe.data, model.codec
    found = name if name is not None else config.place
    if found is None:
        raise FourfoldError(f"nothing says where {config.task!r} is done: give --environment module:function, or an id "
                            "of gymnasium")
    place = make(found, picture=codec.picture, limit=limit, processes=processes,
                 layouts=(codec.observation, codec.action))
    for what, ours, theirs in (("observations", codec.observation_names, place.observation.names),
                               ("actions", codec.action_names, place.action.names)):
        if len(ours) != len(theirs):
            place.close()
            raise FourfoldError(f"{place.name} has {what} of {len(theirs)} numbers, and the model learned {len(ours)} "
                                f"({', '.join(ours[:8])}{' ...' if len(ours) > 8 else ''}): it cannot act there")
    return place


def draw(model: RoboticsModel, n: int, seed: int, changes: SettingChanges) -> list[RoboticsItem]:
    """What `sample` gives: episodes; on the planar task several from each start, to see both ways. Chunks for the mean
    observation where nothing says in which environment to act."""
    if model.recipe.data.place is None:
        return [*model.sample(n, seed=seed, condition=model.codec.typical(n), **changes)]
    visits = min(n, 8) if model.recipe.data.task == "planar" else 1
    return [*rollout(model, n, seed=seed, visits=visits, **changes)]
