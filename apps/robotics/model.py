"""What a policy learns from, and the type of its model."""

from __future__ import annotations

from dataclasses import dataclass

from apps.robotics.codec import ActionChunk, ChunkCodec
from apps.robotics.environments import TASKS, is_environment
from apps.robotics.simulation import Episode
from core.errors import did_you_mean, require
from core.runs.model import Model


@dataclass(frozen=True, kw_only=True)
class RoboticsData:
    """The task, its demonstrations, and how they are cut into chunks.

    Attributes:
        task: "planar", one of Meta-World's such as "reach-v3", or any name where `folder` or `environment` is given.
        environment: an id of `gymnasium.make`, or "module:function", in which the task is done; None: the task itself.
        folder: a file of demonstrations, or a folder of them; None collects them now.
        demonstrations: episodes to collect.
        noise: of the executed actions, as a share of their limit: demonstrations then show how to recover (DART,
            Laskey et al. 1703.09327); the actions learned are those the expert meant.
        seed: of the demonstrations, and of which are held out.
        history: observations that condition a chunk, the last ones.
        horizon: actions in a chunk; execute: how many of them a policy carries out before it looks again.
        picture: pixels a side of the pictures in observations, 0 for none; what has no pictures is drawn.
    """

    task: str = "planar"
    environment: str | None = None
    folder: str | None = None
    demonstrations: int = 1000
    noise: float = 0.3
    seed: int = 0
    history: int = 1
    horizon: int = 8
    execute: int = 4
    picture: int = 0

    def __post_init__(self) -> None:
        free = self.folder is not None or self.environment is not None
        require(bool(self.task) and (free or is_environment(self.task)), "data.task", self.task,
                did_you_mean(self.task, TASKS))
        require(self.environment is None or is_environment(self.environment), "data.environment", self.environment,
                "must be module:function, an id of gymnasium, or a task")
        require(self.picture == 0 or 16 <= self.picture <= 512, "data.picture", self.picture,
                "must be 0, or in [16, 512] pixels")
        require(10 <= self.demonstrations <= 10**6, "data.demonstrations", self.demonstrations,
                "must be in [10, 1000000]")
        require(0 <= self.noise <= 1, "data.noise", self.noise, "must be in [0, 1]")
        require(0 <= self.seed < 1000, "data.seed", self.seed, "must be in [0, 1000)")
        require(1 <= self.history <= 16, "data.history", self.history, "must be in [1, 16]")
        require(1 <= self.horizon <= 64, "data.horizon", self.horizon, "must be in [1, 64]")
        require(1 <= self.execute <= self.horizon, "data.execute", self.execute,
                f"must be in [1, data.horizon] ({self.horizon})")

    @property
    def place(self) -> str | None:
        """The environment in which the task is done, as of `environments.make`; None where nothing says."""
        return self.environment or (self.task if is_environment(self.task) else None)


RoboticsItem = ActionChunk | Episode
"""A model makes chunks; `sample` and reports show the episodes in which it executes them."""
RoboticsModel = Model[RoboticsData, ChunkCodec, RoboticsItem]
