"""A planar task with two right answers: reach a goal behind a round obstacle, passing it on the left or on the right.

All of it is numpy over many episodes at once. Lengths are in metres of a plane without walls, actions are displacements
per step, capped at `SPEED`. The demonstrator chooses its side by a fair coin, so that the mean of the demonstrated
actions points at the obstacle: a policy that regresses the mean collides, one that samples a side does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from apps.robotics.observations import Layout
from apps.robotics.simulation import Bools, Floats, Scene, Seen, Step

SPEED = 0.1  # longest displacement per step
GOAL_RADIUS = 0.08  # the goal is reached within this distance
CLEARANCE = 0.1  # distance the demonstrator keeps from the obstacle
SWERVE = 1.7  # it heads straight on until this many times radius + CLEARANCE from the obstacle's centre


@dataclass(frozen=True)
class Course:
    """What an episode is about, `[N, ...]`: obstacle between start and goal, a little off their line."""

    start: Floats
    goal: Floats
    obstacle: Floats
    radius: Floats

    @staticmethod
    def draw(seeds: Sequence[int]) -> Course:
        """One a seed, each a function of its own seed alone."""
        uniform = np.stack([np.random.default_rng(seed).uniform(-1, 1, 7) for seed in seeds])
        angle, distance = np.pi / 6 * uniform[:, 0], 1.9 + 0.2 * uniform[:, 1]
        along = np.stack([np.cos(angle), np.sin(angle)], axis=1)
        across = np.stack([-along[:, 1], along[:, 0]], axis=1)
        centre = 0.1 * uniform[:, 2:4]
        half = along * distance[:, None] / 2
        obstacle = centre + 0.1 * uniform[:, 4:5] * along + 0.02 * uniform[:, 5:6] * across
        return Course(centre - half, centre + half, obstacle, 0.3 + 0.05 * uniform[:, 6])


class PlanarReach:
    """The task as a batched environment; see `apps.robotics.simulation.Environment`."""

    name = "planar"
    limit = 40
    parallel = 256
    observation = Layout.plain("goal_dx", "goal_dy", "obstacle_dx", "obstacle_dy", "obstacle_radius")
    action = Layout.plain("dx", "dy")
    action_low, action_high = np.full(2, -SPEED), np.full(2, SPEED)
    picture = 0

    layout: Course
    position: Floats
    side: Floats

    def reset(self, seeds: Sequence[int]) -> Seen:
        self.layout = Course.draw(seeds)
        self.position = self.layout.start.copy()
        self.side = np.ones(len(self.position))
        return Seen(self.observe())

    def observe(self) -> Floats:
        """Goal and obstacle as seen from the point, and the obstacle's radius, `[N, 5]`."""
        layout = self.layout
        return np.concatenate(
            [layout.goal - self.position, layout.obstacle - self.position, layout.radius[:, None]], axis=1
        )

    def step(self, actions: Floats, active: Bools) -> Step:
        """Move by `actions` `[N, 2]`, shortened to `SPEED` where longer; the whole segment must miss the obstacle."""
        length = np.linalg.norm(actions, axis=1, keepdims=True)
        end = self.position + active[:, None] * actions * np.minimum(1.0, SPEED / np.maximum(length, 1e-12))
        failed = segment_distance(self.layout.obstacle, self.position, end) < self.layout.radius
        self.position = end
        reached = np.linalg.norm(self.layout.goal - end, axis=1) < GOAL_RADIUS
        succeeded = reached & ~failed
        return Step(Seen(self.observe()), succeeded, failed, succeeded.astype(np.float64))

    def choose(self, seeds: Sequence[int]) -> None:
        """Draw the demonstrator's side for every episode: +1 passes the obstacle on its left, -1 on its right."""
        self.side = np.where(np.asarray(seeds) % 2, 1.0, -1.0)

    def expert(self, active: Bools) -> Floats:
        """The planner's actions `[N, 2]`."""
        return plan(self.observe(), self.side) * active[:, None]

    def scenes(self) -> list[Scene]:
        layout = self.layout
        return [
            Scene(tuple(goal.tolist()), GOAL_RADIUS, tuple(centre.tolist()), float(radius))
            for goal, centre, radius in zip(layout.goal, layout.obstacle, layout.radius, strict=True)
        ]

    def places(self) -> Floats:
        return self.position.copy()

    def close(self) -> None:
        """Nothing runs for it."""


def segment_distance(point: Floats, start: Floats, end: Floats) -> Floats:
    """Distance `[N]` of `point` from the segments `start` to `end`, all `[N, 2]`."""
    step = end - start
    share = np.sum((point - start) * step, axis=1) / np.maximum(np.sum(step * step, axis=1), 1e-12)
    nearest = start + np.clip(share, 0.0, 1.0)[:, None] * step
    distance: Floats = np.linalg.norm(point - nearest, axis=1)
    return distance


def plan(observations: Floats, side: Floats) -> Floats:
    """A planner's actions `[N, 2]`: to the goal, but along the obstacle's tangent where it is near and in the way.

    Args:
        observations: `[N, 5]` as of `PlanarReach.observe`.
        side: `[N]`, +1 leaves the obstacle on the right hand (passes it on the left), -1 the other way.
    """
    goal, obstacle = observations[:, :2], observations[:, 2:4]
    margin = observations[:, 4] + CLEARANCE
    distance = np.linalg.norm(obstacle, axis=1)
    blocked = segment_distance(obstacle, np.zeros_like(goal), goal) < margin - 1e-3
    around = blocked & (distance < SWERVE * margin)
    # Inside the margin the tangent does not exist: go around it at a right angle, and a little outwards.
    angle = np.where(distance > margin, np.arcsin(np.minimum(1.0, margin / np.maximum(distance, 1e-9))), 0.6 * np.pi)
    cos, sin = np.cos(side * angle), np.sin(side * angle)
    x, y = obstacle.T
    tangent = np.stack([cos * x - sin * y, sin * x + cos * y], axis=1)
    direction = np.where(around[:, None], tangent, goal)
    length = np.maximum(np.linalg.norm(direction, axis=1), 1e-9)
    actions: Floats = direction * (np.minimum(SPEED, np.linalg.norm(goal, axis=1)) / length)[:, None]
    return actions
