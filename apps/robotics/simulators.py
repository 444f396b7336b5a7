"""One simulator, as environments of many episodes are made of it, and what names mean."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from apps.robotics.observations import Layout
from apps.robotics.simulation import Floats, Scene
from core.errors import FourfoldError, did_you_mean

METAWORLD = (
    "assembly-v3", "basketball-v3", "bin-picking-v3", "box-close-v3", "button-press-topdown-v3",
    "button-press-topdown-wall-v3", "button-press-v3", "button-press-wall-v3", "coffee-button-v3", "coffee-pull-v3",
    "coffee-push-v3", "dial-turn-v3", "disassemble-v3", "door-close-v3", "door-lock-v3", "door-open-v3",
    "door-unlock-v3", "drawer-close-v3", "drawer-open-v3", "faucet-close-v3", "faucet-open-v3", "hammer-v3",
    "hand-insert-v3", "handle-press-side-v3", "handle-press-v3", "handle-pull-side-v3", "handle-pull-v3",
    "lever-pull-v3", "peg-insert-side-v3", "peg-unplug-side-v3", "pick-out-of-hole-v3", "pick-place-v3",
    "pick-place-wall-v3", "plate-slide-back-side-v3", "plate-slide-back-v3", "plate-slide-side-v3", "plate-slide-v3",
    "push-back-v3", "push-v3", "push-wall-v3", "reach-v3", "reach-wall-v3", "shelf-place-v3", "soccer-v3",
    "stick-pull-v3", "stick-push-v3", "sweep-into-v3", "sweep-v3", "window-close-v3", "window-open-v3",
)
TASKS = ("planar", *METAWORLD)


@dataclass(frozen=True)
class Spec:
    """Which simulator.

    Attributes:
        name: a Meta-World task, the id of a gymnasium environment, or "module:function" of one's own.
        picture: pixels a side of the pictures in observations; 0: none.
        limit: most steps of an episode; None takes the environment's.
        drawn: whether frames will be asked for.
        layouts: of observations and actions, as a policy learned them: where the environment's have the same parts, it
            is read and acted in by them.
        maker: makes the environment; None where the name does.
    """

    name: str
    picture: int = 0
    limit: int | None = None
    drawn: bool = False
    layouts: tuple[Layout, Layout] | None = None
    maker: Callable[[], Any] | None = None


@dataclass(frozen=True)
class State:
    """What one simulator shows after a reset or step: numbers `[D]`, a picture uint8 `[P, P, C]`, and where it is."""

    numbers: Floats
    picture: np.ndarray | None
    place: Floats
    succeeded: bool = False
    ended: bool = False
    reward: float = 0.0


class Simulator(Protocol):
    """One episode at a time of one task; see `Environment` for the attributes."""

    limit: int
    observation: Layout
    action: Layout
    action_low: Floats
    action_high: Floats

    def reset(self, seed: int) -> State:
        """Begin an episode, a function of its seed."""

    def step(self, action: Floats) -> State:
        """Apply an action `[A]`."""

    def expert(self) -> Floats:
        """The scripted demonstrator's action `[A]`; FourfoldError where there is none."""

    def scene(self) -> Scene:
        """What to draw of the episode."""

    def frame(self) -> np.ndarray:
        """A picture of the scene now, uint8 `[height, width, 3]`."""


def is_own(name: str) -> bool:
    """Whether a name means a function of the user's: "module:function"."""
    module, colon, function = name.partition(":")
    return bool(colon) and function.isidentifier() and all(part.isidentifier() for part in module.split("."))


def named(name: str, what: str) -> Any:
    """What "module:name" stands for, looked for in the working directory too.

    Raises:
        FourfoldError: there is no such module, it fails when it is imported, or it has no such name.
    """
    module_name, _, attribute = name.partition(":")
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        missing = error.name or module_name
        place = " in the working directory or among the installed ones" if missing == module_name else ""
        raise FourfoldError(f"{what} {name!r}: no module {missing!r}{place}") from error
    except Exception as error:
        raise FourfoldError(f"{what} {name!r}: its module fails with {type(error).__name__}: {error}") from error
    if not hasattr(module, attribute):
        names = [each for each in vars(module) if not each.startswith("_")]
        raise FourfoldError(f"{what} {name!r}: {module_name} has no {attribute!r}; {did_you_mean(attribute, names)}")
    return getattr(module, attribute)
