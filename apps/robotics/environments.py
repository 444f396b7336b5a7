"""Environments by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from apps.robotics.observations import Layout
from apps.robotics.planar import PlanarReach
from apps.robotics.simulation import Environment
from apps.robotics.simulators import METAWORLD, TASKS, Spec, is_own
from apps.robotics.workers import Together
from core.errors import FourfoldError, did_you_mean, require

__all__ = ["TASKS", "is_environment", "make"]


def is_environment(name: str) -> bool:
    """Whether a name is that of a task here, or looks like the id or the function of another environment."""
    return name in TASKS or ":" in name or "/" in name or name != name.lower()


def make(
    task: str | Callable[[], Any], *, picture: int = 0, limit: int | None = None, processes: int | None = None,
    layouts: tuple[Layout, Layout] | None = None,
) -> Environment:
    """The environment of a task: "planar", one of Meta-World's 50 such as "assembly-v3", an id of `gymnasium.make`, or
    "module:function", or the function itself, that makes an environment as gymnasium's. Close it when done.

    Args:
        picture: pixels a side of the pictures in observations; what has none is drawn; 0: no pictures.
        limit: most steps of an episode; None takes the environment's own.
        layouts: see `Spec`.
        processes: that simulators are divided among; see `Together`.

    Raises:
        FourfoldError: there is no such task, or its simulator cannot be loaded.
    """
    require(picture == 0 or 16 <= picture <= 512, "picture", picture, "must be 0, or in [16, 512] pixels")
    if task == "planar":
        require(picture == 0, "picture", picture, "the planar task has no pictures")
        return PlanarReach()
    if callable(task):
        name = f"{getattr(task, '__module__', '')}:{getattr(task, '__qualname__', type(task).__name__)}"
        return Together(Spec(name, picture, limit, layouts=layouts, maker=task))
    if not is_environment(task):
        raise FourfoldError(f"no robotics task {task!r}: {did_you_mean(task, TASKS)}")
    if task not in METAWORLD and not is_own(task) and ":" in task and not task.rpartition(":")[2]:
        raise FourfoldError(f"environment {task!r}: must be module:function, or an id of gymnasium")
    return Together(Spec(task, picture, limit, layouts=layouts), processes)
