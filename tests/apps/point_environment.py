"""Environments as a user may bring them: a point that is to reach a target, in several dresses, some of them broken."""

from __future__ import annotations

import time
from typing import Any

import gymnasium
import numpy as np

SIZE = 32


class Point(gymnasium.Env[Any, Any]):
    """A point in [-1, 1]^2 that moves by up to 0.2 a step and is to come within 0.15 of a target."""

    observation_space: Any = gymnasium.spaces.Dict({
        "target": gymnasium.spaces.Box(-1, 1, (2,)), "robot": gymnasium.spaces.Dict(
            {"position": gymnasium.spaces.Box(-1, 1, (2,)), "battery": gymnasium.spaces.Discrete(3)}),
    })
    action_space: Any = gymnasium.spaces.Box(-1, 1, (2,))

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.position, self.target = self.np_random.uniform(-1, 1, (2, 2))
        self.steps = 0
        return self.seen(), {}

    def seen(self) -> Any:
        return {"target": self.target.astype(np.float32),
                "robot": {"position": self.position.astype(np.float32), "battery": 2 - min(2, self.steps // 10)}}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        assert self.action_space.contains(action), action
        self.move(action)
        self.steps += 1
        near = bool(np.linalg.norm(self.target - self.position) < 0.15)
        return self.seen(), float(near), False, self.steps >= 30, {"is_success": near}

    def move(self, action: Any) -> None:
        self.position = np.clip(self.position + 0.2 * action, -1, 1)

    def expert(self) -> Any:
        return np.clip((self.target - self.position) / 0.2, -1, 1)

    def render(self) -> Any:
        picture = np.zeros((SIZE, SIZE, 3), np.uint8)
        for channel, place in enumerate((self.position, self.target)):
            row, column = ((place + 1) / 2 * (SIZE - 5)).astype(int)
            picture[row : row + 4, column : column + 4, channel] = 255
        return picture


class Steps(Point):
    """The same with five actions: stay, and a step in each direction."""

    action_space = gymnasium.spaces.Discrete(5, start=1)
    MOVES = np.array([[0, 0], [1, 0], [-1, 0], [0, 1], [0, -1]])

    def move(self, action: Any) -> None:
        super().move(self.MOVES[action - 1])

    def expert(self) -> Any:
        return 1 + int((self.MOVES @ (self.target - self.position)).argmax())


class Watched(Point):
    """The same, of which nothing but a picture is seen."""

    observation_space = gymnasium.spaces.Box(0, 255, (SIZE, SIZE, 3), np.uint8)

    def seen(self) -> Any:
        return self.render()


class Breaking(Point):
    """Goes wrong in its third step, in the way of `how`."""

    def __init__(self, how: str) -> None:
        self.how = how

    def seen(self) -> Any:
        if self.steps < 3:
            return super().seen()
        if self.how == "raises":
            raise ValueError("the joint is\nstuck")
        if self.how == "hangs":
            time.sleep(60)
        if self.how == "dies":
            import os

            os._exit(3)
        seen = super().seen()
        seen["target"] = {"shape": np.zeros(3), "nan": np.full(2, np.nan), "text": "left"}[self.how]
        return seen


def breaking(how: str) -> Any:
    return lambda: Breaking(how)


raises, hangs, dies, shape, nan, text = map(breaking, ("raises", "hangs", "dies", "shape", "nan", "text"))


def missing() -> Any:
    """An environment whose observations lack a part."""
    environment = Point()
    environment.seen = lambda: {"target": np.zeros(2)}  # type: ignore[method-assign]
    return environment


def nothing() -> None:
    """No environment at all."""


def stops() -> None:
    raise RuntimeError("no licence")


NUMBER = 5


def nearest(observation: Any) -> Any:
    """A user's policy: straight to the target."""
    return np.clip((observation["target"] - observation["robot"]["position"]) / 0.2, -1, 1)


class Careful:
    """A user's policy that remembers: it goes at half speed at first."""

    def reset(self) -> None:
        self.steps = 0

    def act(self, observation: Any) -> Any:
        self.steps += 1
        return nearest(observation) * (0.5 if self.steps < 4 else 1.0)


def lost(observation: Any) -> Any:
    return np.zeros(5)


def fails(observation: Any) -> Any:
    raise KeyError("goal")
