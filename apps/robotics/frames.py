"""Pictures of episodes as their simulator draws them, in a process of its own, as a GL may abort."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing

import numpy as np
from PIL import Image

from apps.robotics.simulation import Episode
from apps.robotics.simulators import Spec
from apps.robotics.workers import Together

HEIGHT = 240
"""Pixels of a frame; its width is what that makes of the simulator's."""


def frames(episode: Episode, every: int = 4) -> np.ndarray:
    """An episode replayed from its seed and the actions that were executed: uint8 `[F, HEIGHT, width, 3]`, of every
    `every`-th step.

    Raises:
        FourfoldError: no GL works here, the line says what to install; or the environment draws nothing.
    """
    with closing(Together(Spec(episode.task, drawn=True), 1)) as environment:
        environment.reset([episode.seed])
        drawn = [_sized(environment.frame())]
        for index, action in enumerate(episode.executed):
            environment.step(action[None], np.ones(1, dtype=bool))
            if (index + 1) % every == 0:
                drawn.append(_sized(environment.frame()))
    return np.stack(drawn)


def side_by_side(clips: Sequence[np.ndarray]) -> np.ndarray:
    """Clips `[F, HEIGHT, width, 3]` beside each other; the shorter ones rest on their last frame."""
    longest = max(len(clip) for clip in clips)
    return np.concatenate([clip[np.minimum(np.arange(longest), len(clip) - 1)] for clip in clips], axis=2)


def _sized(frame: np.ndarray) -> np.ndarray:
    height, width = frame.shape[:2]
    size = round(width * HEIGHT / height), HEIGHT
    return frame if height == HEIGHT else np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.BOX))
