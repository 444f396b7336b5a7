"""Any environment with gymnasium's `reset` and `step` as a simulator, those of a user's own included."""

from __future__ import annotations

import importlib
import importlib.util
import logging
from typing import Any

import numpy as np

from apps.robotics.observations import Layout, Value, of_space, of_value, resized
from apps.robotics.simulation import NOWHERE, Floats, Scene
from apps.robotics.simulators import TASKS, Spec, State, is_own, named
from core.errors import FourfoldError, did_you_mean
from core.extras import needed

log = logging.getLogger(__name__)
LIMIT = 1000
"""Steps of an episode where the environment ends none by itself."""
SUCCESS = ("is_success", "success")
"""What environments call success in their `info`."""


class Gymnasium:
    """One environment of gymnasium's kind: `reset(seed=...)` and `step(action)`, with an `action_space`.

    An episode has succeeded where `info` says so; where it never does, where the sum of rewards reaches the registered
    threshold; without one, where the episode terminates with a positive reward.
    """

    def __init__(self, spec: Spec) -> None:
        assert spec.maker is not None
        self.name, self.environment, self.size = spec.name, spec.maker(), spec.picture
        for method in ("reset", "step"):
            if not callable(getattr(self.environment, method, None)):
                raise FourfoldError(f"{self.name} makes {type(self.environment).__name__}, which has no {method}(): "
                                    "must be an environment as gymnasium's")
        space = getattr(self.environment, "action_space", None)
        if space is None:
            raise FourfoldError(f"{self.name} has no action_space: give it a gymnasium.spaces.Box or Discrete")
        observed, acted = spec.layouts or (None, None)
        own = of_space(space, "a")
        same = acted is not None and _kinds(acted) == _kinds(own) and (
            acted.width == own.width or "choice" in _kinds(own).values())
        self.action = acted if acted is not None and same else own
        self.low, self.high = _limits(space, self.action)
        if len(self.low) != self.action.width:  # of fewer choices than there are
            self.low, self.high = np.zeros(self.action.width), np.ones(self.action.width)
        # What has no limit is taken to be of about one, for random actions and noise.
        self.action_low = np.where(np.isfinite(self.low), self.low, -1.0)
        self.action_high = np.where(np.isfinite(self.high), self.high, 1.0)
        given = getattr(self.environment, "spec", None)
        self.threshold = getattr(given, "reward_threshold", None)
        self.limit = spec.limit or getattr(given, "max_episode_steps", None) or LIMIT
        space = getattr(self.environment, "observation_space", None)
        self.first: Value = None
        if space is None:
            self.first = self._begun(0)
        own = of_value(self.first) if space is None else of_space(space, "o")
        read = observed is not None and _kinds(observed).keys() == _kinds(own).keys() and (
            observed.width == own.width or _kinds(observed) != _kinds(own))
        self.observation = observed if observed is not None and read else own
        self.drawn = self.size > 0 and self.observation.channels == 0

    def reset(self, seed: int) -> State:
        self.total = 0.0
        return self._state(self._begun(seed))

    def step(self, action: Floats) -> State:
        answer = self.environment.step(self._given(np.clip(action, self.low, self.high)))
        if not isinstance(answer, tuple) or len(answer) not in (4, 5):
            raise FourfoldError("step() must return observation, reward, terminated, truncated, info")
        observation, reward, ended, *truncated, info = answer
        reward = float(np.asarray(reward, dtype=np.float64).sum())
        if not np.isfinite(reward):
            raise FourfoldError(f"the reward is {reward}: must be finite")
        self.total += reward
        said = [bool(info[key]) for key in SUCCESS if isinstance(info, dict) and key in info]
        ended = bool(ended)
        if said:
            succeeded = any(said)
        elif self.threshold is not None:
            succeeded = self.total >= self.threshold
        else:
            succeeded = ended and reward > 0
        return self._state(observation, succeeded, ended or any(map(bool, truncated)), reward)

    def expert(self) -> Floats:
        expert = getattr(getattr(self.environment, "unwrapped", self.environment), "expert", None)
        if not callable(expert):
            raise FourfoldError(f"{self.name} has no scripted expert (a method expert() of the environment): give "
                                "--policy module:function, or demonstrations of your own")
        return self.action.vector(expert(), "the expert's action")

    def scene(self) -> Scene:
        return NOWHERE

    def frame(self) -> np.ndarray:
        """What the environment draws of itself.

        Raises:
            FourfoldError: it draws nothing.
        """
        picture = self.environment.render() if callable(getattr(self.environment, "render", None)) else None
        array = np.asarray(picture[-1] if isinstance(picture, list) and picture else picture)
        if array.dtype != np.uint8 or array.ndim != 3:
            raise FourfoldError(f"{self.name} draws no pictures: its render() must return an array [height, width, 3] "
                                "(render_mode='rgb_array')")
        return np.ascontiguousarray(array[..., :3])

    def _begun(self, seed: int) -> Value:
        try:
            answer = self.environment.reset(seed=seed % 2**31)
        except TypeError as error:
            if "seed" not in str(error):
                raise
            log.warning("%s: reset() takes no seed, so that its episodes do not repeat", self.name)
            answer = self.environment.reset()
        return answer[0] if isinstance(answer, tuple) and len(answer) == 2 and isinstance(answer[1], dict) else answer

    def _given(self, action: Floats) -> Value:
        """An action as the environment wants it."""
        value, space = self.action.value(action), self.environment.action_space
        dtype = getattr(space, "dtype", None)
        return value.astype(dtype) if isinstance(value, np.ndarray) and dtype is not None else value

    def _state(self, value: Value, succeeded: bool = False, ended: bool = False, reward: float = 0.0) -> State:
        numbers = self.observation.vector(value)
        picture = resized(self.frame(), self.size) if self.drawn else (
            self.observation.picture(value, self.size) if self.size else None)
        return State(numbers, picture, _place(numbers), succeeded, ended, reward)


def _kinds(layout: Layout | None) -> dict[str, str]:
    """The kinds of parts by their path."""
    return {} if layout is None else {part.path: part.kind for part in layout.parts}


def _limits(space: Any, layout: Layout) -> tuple[Floats, Floats]:
    """The least and greatest value of each action number, which may be infinite."""
    from gymnasium import spaces

    if isinstance(space, spaces.Box):
        low, high = (np.asarray(value, dtype=np.float64).reshape(-1) for value in (space.low, space.high))
        return low, high
    if isinstance(space, spaces.Dict | spaces.Tuple):
        inner = space.spaces.values() if isinstance(space, spaces.Dict) else space.spaces
        parts = [_limits(each, of_space(each, "a")) for each in inner]
        return np.concatenate([low for low, _ in parts]), np.concatenate([high for _, high in parts])
    return np.zeros(layout.width), np.ones(layout.width)


def _place(numbers: Floats) -> Floats:
    """What is drawn of an environment that does not say where anything is: its first two numbers."""
    return np.resize(numbers, 2) if numbers.size else np.zeros(2)


def made(spec: Spec) -> Any:
    """The environment of a gymnasium id, or of a function of the user's."""
    if is_own(spec.name):
        make = named(spec.name, "environment")
        if not callable(make):
            raise FourfoldError(f"environment {spec.name!r} is {type(make).__name__}: must be a function that makes "
                                "one")
        try:
            return make()
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            raise FourfoldError(f"environment {spec.name!r} cannot be made ({reason})") from error
    gymnasium: Any = needed("gymnasium", "robotics", ", or use the task 'planar'")
    # Packages register their environments when they are imported; an id's namespace names its package.
    namespace = spec.name.rpartition("/")[0].rpartition(":")[2]
    for package in filter(None, (namespace, "gymnasium_robotics")):
        if spec.name not in gymnasium.registry and importlib.util.find_spec(package) is not None:
            module = importlib.import_module(package)
            gymnasium.register_envs(module)
    if spec.name not in gymnasium.registry and ":" not in spec.name:
        known = did_you_mean(spec.name, [*TASKS, *gymnasium.registry])
        needs = f" (is the package {namespace!r} installed?)" if namespace else ""
        raise FourfoldError(f"no environment {spec.name!r}{needs}: {known}")
    drawn = {"render_mode": "rgb_array"} if spec.drawn or spec.picture else {}
    try:
        try:
            return gymnasium.make(spec.name, **drawn)
        except TypeError:
            return gymnasium.make(spec.name)
    except Exception as error:
        raise FourfoldError(f"environment {spec.name!r} cannot be made ({type(error).__name__}: {error})") from error
