"""The tasks by name."""

from __future__ import annotations

from apps.robotics.manipulation import Manipulation
from apps.robotics.planar import PlanarReach
from apps.robotics.simulation import Environment
from core.errors import FourfoldError, did_you_mean

TASKS = ("planar", "reach-v3", "push-v3", "pick-place-v3", "drawer-open-v3", "button-press-v3", "door-open-v3",
         "window-open-v3")


def make(task: str) -> Environment:
    """The environment of a task.

    Raises:
        FourfoldError: there is no such task, or its simulator cannot be loaded.
    """
    if task == "planar":
        return PlanarReach()
    if task not in TASKS:
        raise FourfoldError(f"no robotics task {task!r}: {did_you_mean(task, TASKS)}")
    return Manipulation(task)
