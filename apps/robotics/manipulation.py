"""Meta-World's table-top tasks (Yu et al. 1910.10897; McLean et al. 2505.11289) and their scripted experts, in MuJoCo.

A Sawyer arm is moved by displacements of its hand and by the force of its gripper. Goal and object positions are drawn
anew for every episode, and the goal is observed. Training and rollouts need no GL; only pictures do.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from apps.robotics.observations import Layout, resized
from apps.robotics.simulation import Floats, Scene
from apps.robotics.simulators import Spec, State
from core.extras import needed

if TYPE_CHECKING:
    from metaworld.policies.policy import Policy
    from metaworld.sawyer_xyz_env import SawyerXYZEnv

PICTURE, CAMERA = 240, 2  # pixels a side of frames; "corner2"
# Of Meta-World's 39 numbers: the present 18 and the goal; what lies between is the previous frame.
SEEN = np.r_[0:18, 36:39]
HAND = ("hand_x", "hand_y", "hand_z", "gripper")
OBJECTS = tuple(f"object{i}_{part}" for i in (1, 2) for part in ("x", "y", "z", "qx", "qy", "qz", "qw"))


def layout(picture: int) -> Layout:
    """What is observed: with pictures the numbers of the hand alone, as things and goals must be seen."""
    return Layout.plain(*HAND, *(() if picture else (*OBJECTS, "goal_x", "goal_y", "goal_z")))


class Manipulation:
    """A Meta-World task; see `Simulator`.

    An episode's limit is 200 steps, not Meta-World's 500: its experts need about 100.
    """

    action = Layout.plain("dx", "dy", "dz", "grip")
    action_low, action_high = np.full(4, -1.0), np.full(4, 1.0)

    def __init__(self, spec: Spec, index: int) -> None:
        """Raises: FourfoldError: Meta-World or MuJoCo cannot be imported."""
        needed("metaworld.policies", "robotics", ", or use the task 'planar'")
        from metaworld.policies import ENV_POLICY_MAP

        self.size, self.limit = spec.picture, spec.limit or 200
        self.observation = layout(self.size)
        self.simulator = _simulator(spec.name, index, spec.drawn or spec.picture > 0)
        make: Callable[[], Policy] = ENV_POLICY_MAP[spec.name]
        self.policy = make()

    def reset(self, seed: int) -> State:
        self.simulator.seed(seed)
        self.seen = self.simulator.reset()[0]
        return self._state(False, 0.0)

    def step(self, action: Floats) -> State:
        """Apply an action `[4]` clipped to [-1, 1]; nothing fails before the limit."""
        self.seen, reward, _, _, info = self.simulator.step(np.clip(action, -1, 1))
        return self._state(bool(info["success"] > 0), float(reward))

    def _state(self, succeeded: bool, reward: float) -> State:
        numbers = self.seen[:4] if self.size else self.seen[SEEN]
        picture = resized(self.frame(), self.size) if self.size else None
        return State(numbers.astype(np.float64), picture, self.seen[:3].copy(), succeeded, False, reward)

    def expert(self) -> Floats:
        """Meta-World's scripted policy, clipped to [-1, 1]."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "Constant(s) may be too high": clipping is meant
            action: Floats = np.clip(self.policy.get_action(self.seen), -1, 1).astype(np.float64)
        return action

    def scene(self) -> Scene:
        return Scene(tuple(self.seen[-3:].tolist()), 0.05)

    def frame(self) -> np.ndarray:
        """A picture of the scene now; only with `drawn` (needs a GL)."""
        picture: np.ndarray = self.simulator.render()  # type: ignore[no-untyped-call]
        return np.ascontiguousarray(picture[::-1, ::-1])  # Meta-World's corner cameras hang upside down


@functools.lru_cache(maxsize=64)
def _simulator(task: str, index: int, drawn: bool) -> SawyerXYZEnv:
    """The `index`-th simulator of a task; building one takes 0.2 s, so a process keeps them."""
    from metaworld.env_dict import ALL_V3_ENVIRONMENTS_GOAL_OBSERVABLE

    make: Callable[..., SawyerXYZEnv] = ALL_V3_ENVIRONMENTS_GOAL_OBSERVABLE[f"{task}-goal-observable"]
    simulator = make(seed=0, render_mode="rgb_array") if drawn else make(seed=0)
    if drawn:
        # Shadows and multisampling are what software rendering spends its time on.
        simulator.model.vis.quality.shadowsize = simulator.model.vis.quality.offsamples = 0
        renderer = simulator.mujoco_renderer
        renderer.width = renderer.height = PICTURE
        renderer.camera_id = CAMERA
    # Goals and objects are drawn at every reset, from the seed.
    simulator._freeze_rand_vec, simulator.seeded_rand_vec = False, True
    return simulator
