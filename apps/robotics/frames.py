"""MuJoCo's pictures of Meta-World episodes, made in a child process: a GL that fails cannot take training with it.

`python -m apps.robotics.frames TASK SEED ACTIONS.npy FRAMES.npy EVERY` is what the child runs.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from apps.robotics.manipulation import Manipulation
from apps.robotics.simulation import Episode
from core.errors import FourfoldError

SECONDS = 60
BACKENDS = ("egl", "osmesa")


def frames(episode: Episode, every: int = 4) -> np.ndarray:
    """An episode replayed from its seed and actions: uint8 `[F, 240, 240, 3]`, every `every`-th step.

    Raises:
        FourfoldError: no GL works here; the line says what to install.
    """
    given = os.environ.get("MUJOCO_GL")
    backends = (given,) if given else BACKENDS if sys.platform == "linux" else ("",)
    root = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(part for part in (root, os.environ.get("PYTHONPATH", "")) if part)
    with tempfile.TemporaryDirectory() as folder:
        actions, pictures = Path(folder) / "actions.npy", Path(folder) / "frames.npy"
        np.save(actions, episode.actions, allow_pickle=False)
        command = [sys.executable, "-m", "apps.robotics.frames", episode.task, str(episode.seed), str(actions),
                   str(pictures), str(every)]
        for backend in backends:
            setting = {"MUJOCO_GL": backend, "PYOPENGL_PLATFORM": backend} if backend else {}
            try:
                subprocess.run(command, env=os.environ | setting | {"PYTHONPATH": path}, capture_output=True,
                               timeout=SECONDS, check=True)
                drawn: np.ndarray = np.load(pictures, allow_pickle=False)
            except (subprocess.SubprocessError, OSError):
                continue
            return drawn
    raise FourfoldError("MuJoCo finds no GL to draw with: install libegl1 (or libosmesa6) and set MUJOCO_GL=egl "
                        "(or osmesa); training and rollouts need none")


def main(arguments: list[str]) -> None:
    """Replay one episode and save its pictures."""
    task, seed, actions, pictures, every = arguments
    environment = Manipulation(task, render=True)
    environment.reset([int(seed)])
    drawn = [environment.frame()]
    for index, action in enumerate(np.load(actions, allow_pickle=False)):
        environment.step(action[None], np.ones(1, dtype=bool))
        if (index + 1) % int(every) == 0:
            drawn.append(environment.frame())
    np.save(pictures, np.stack(drawn), allow_pickle=False)


if __name__ == "__main__":
    main(sys.argv[1:])
