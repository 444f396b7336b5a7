"""Robotics: policies that act, learned from demonstrations.

    from apps import robotics

    demonstrations = robotics.collect("planar", 100, seed=0)
    model = robotics.load("runs/robotics/tour-diffusion")
    episodes = robotics.rollout(model, 100, seed=0)
    print(robotics.success_rate(episodes))

    policy = model.policy()
    policy.reset()
    action = policy.act(observation)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.lazy import lazy

if TYPE_CHECKING:
    from apps.robotics.codec import ActionChunk
    from apps.robotics.data import collect
    from apps.robotics.demonstrations import Demonstrations
    from apps.robotics.domain import DOMAIN, load
    from apps.robotics.environments import TASKS, make
    from apps.robotics.learning import train
    from apps.robotics.metrics import success_rate
    from apps.robotics.model import RoboticsData
    from apps.robotics.policy import Policy
    from apps.robotics.rollouts import rollout, run_episodes
    from apps.robotics.simulation import Episode

__all__ = [
    "DOMAIN", "TASKS", "ActionChunk", "Demonstrations", "Episode", "Policy", "RoboticsData", "collect", "load", "make",
    "rollout", "run_episodes", "success_rate", "train",
]

__getattr__ = lazy(__name__, {
    "ActionChunk": "apps.robotics.codec",
    "DOMAIN": "apps.robotics.domain",
    "Demonstrations": "apps.robotics.demonstrations",
    "Episode": "apps.robotics.simulation",
    "Policy": "apps.robotics.policy",
    "RoboticsData": "apps.robotics.model",
    "TASKS": "apps.robotics.environments",
    "collect": "apps.robotics.data",
    "load": "apps.robotics.domain",
    "make": "apps.robotics.environments",
    "rollout": "apps.robotics.rollouts",
    "run_episodes": "apps.robotics.rollouts",
    "success_rate": "apps.robotics.metrics",
    "train": "apps.robotics.learning",
})
