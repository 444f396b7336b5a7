"""Meta-World's table-top tasks (Yu et al. 1910.10897; McLean et al. 2505.11289) and their scripted experts, in MuJoCo.

A Sawyer arm is moved by displacements of its hand and by the force of its gripper. Goal and object positions are drawn
anew for every episode, and the goal is observed. Training and rollouts need no GL; only pictures do.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from apps.robotics.simulation import Bools, Floats, Scene, Step
from core.extras import needed

if TYPE_CHECKING:
    from metaworld.policies.policy import Policy
    from metaworld.sawyer_xyz_env import SawyerXYZEnv

PICTURE, CAMERA = 240, 2  # pixels a side; "corner2"
# Of Meta-World's 39 numbers: the present 18 and the goal; what lies between is the previous frame.
SEEN = np.r_[0:18, 36:39]
OBJECTS = tuple(f"object{i}_{part}" for i in (1, 2) for part in ("x", "y", "z", "qx", "qy", "qz", "qw"))


class Manipulation:
    """A Meta-World task as an environment of up to `parallel` simulators; see `Environment`.

    An episode's limit is 200 steps, not Meta-World's 500: its experts need about 100.
    """

    limit = 200
    parallel = 16
    observation_names = ("hand_x", "hand_y", "hand_z", "gripper", *OBJECTS, "goal_x", "goal_y", "goal_z")
    action_names: tuple[str, ...] = ("dx", "dy", "dz", "grip")
    action_low, action_high = -1.0, 1.0

    def __init__(self, task: str, render: bool = False) -> None:
        """Args: task: e.g. "reach-v3"; render: whether `frame` will be asked for (needs a GL).

        Raises:
            FourfoldError: Meta-World or MuJoCo cannot be imported.
        """
        self.name, self.render = task, render
        needed("metaworld.policies", "robotics", ", or use the task 'planar'")

    def reset(self, seeds: Sequence[int]) -> Floats:
        simulators = [_simulator(self.name, index, self.render) for index in range(len(seeds))]
        for simulator, seed in zip(simulators, seeds, strict=True):
            simulator.seed(seed)
        self.observations = np.stack([simulator.reset()[0] for simulator in simulators])
        return self.observations[:, SEEN]

    def step(self, actions: Floats, active: Bools) -> Step:
        """Apply actions `[N, 4]` clipped to [-1, 1]; nothing fails before the limit."""
        succeeded = np.zeros(len(active), dtype=bool)
        for i in np.flatnonzero(active):
            observation, _, _, _, info = _simulator(self.name, i, self.render).step(np.clip(actions[i], -1, 1))
            self.observations[i], succeeded[i] = observation, info["success"] > 0
        return Step(self.observations[:, SEEN], succeeded, np.zeros_like(succeeded))

    def choose(self, rng: np.random.Generator) -> None:
        """Meta-World's experts choose nothing."""

    def expert(self, active: Bools) -> Floats:
        """Meta-World's scripted policy, clipped to [-1, 1], `[N, 4]`."""
        from metaworld.policies import ENV_POLICY_MAP

        actions = np.zeros((len(active), len(self.action_names)))
        make: Callable[[], Policy] = ENV_POLICY_MAP[self.name]
        policy = make()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "Constant(s) may be too high": clipping is meant
            for i in np.flatnonzero(active):
                actions[i] = np.clip(policy.get_action(self.observations[i]), -1, 1)
        return actions

    def scenes(self) -> list[Scene]:
        return [Scene(tuple(row[-3:].tolist()), 0.05) for row in self.observations]

    def places(self) -> Floats:
        return self.observations[:, :3].copy()

    def frame(self, index: int = 0) -> np.ndarray:
        """A picture of an episode's scene now, uint8 `[height, width, 3]`; only with `render`."""
        picture: np.ndarray = _simulator(self.name, index, self.render).render()  # type: ignore[no-untyped-call]
        return np.ascontiguousarray(picture[::-1, ::-1])  # Meta-World's corner cameras hang upside down


@functools.lru_cache(maxsize=64)
def _simulator(task: str, index: int, render: bool) -> SawyerXYZEnv:
    """The `index`-th simulator of a task; building one takes 0.2 s, so a process keeps them."""
    from metaworld.env_dict import ALL_V3_ENVIRONMENTS_GOAL_OBSERVABLE

    make: Callable[..., SawyerXYZEnv] = ALL_V3_ENVIRONMENTS_GOAL_OBSERVABLE[f"{task}-goal-observable"]
    simulator = make(seed=0, render_mode="rgb_array") if render else make(seed=0)
    if render:
        # Shadows and multisampling are what software rendering spends its time on.
        simulator.model.vis.quality.shadowsize = simulator.model.vis.quality.offsamples = 0
        renderer = simulator.mujoco_renderer
        renderer.width = renderer.height = PICTURE
        renderer.camera_id = CAMERA
    # Goals and objects are drawn at every reset, from the seed.
    simulator._freeze_rand_vec, simulator.seeded_rand_vec = False, True
    return simulator
