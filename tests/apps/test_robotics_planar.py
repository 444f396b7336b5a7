"""The planar task: its physics, its demonstrator, and why a mean of two ways is no way."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from apps.robotics.environments import make
from apps.robotics.metrics import _bound_measure, side_entropy, success_rate
from apps.robotics.planar import CLEARANCE, GOAL_RADIUS, SPEED, PlanarReach, segment_distance
from apps.robotics.rollouts import Demonstrator, Purpose, RandomPolicy, episode_seeds, run_episodes
from apps.robotics.simulation import Key, Scene, Seen


def walk(environment: PlanarReach, target: np.ndarray, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Head straight for `target` `[N, 2]`; who succeeded and who failed on the way."""
    active = np.ones(len(target), dtype=bool)
    succeeded, failed = ~active, ~active
    for _ in range(steps):
        step = environment.step(target - environment.places(), active)
        succeeded, failed = succeeded | (step.succeeded & active), failed | (step.failed & active)
        active &= ~step.succeeded & ~step.failed
    return succeeded, failed


def test_the_straight_way_collides() -> None:
    environment = PlanarReach()
    environment.reset(range(200))
    succeeded, failed = walk(environment, environment.layout.goal, environment.limit)
    assert failed.all() and not succeeded.any()


def test_two_sides_of_the_obstacle_reach_the_goal() -> None:
    environment = PlanarReach()
    environment.reset(range(50))
    layout = environment.layout
    across = np.stack([-(layout.goal - layout.start)[:, 1], (layout.goal - layout.start)[:, 0]], axis=1)
    over = layout.obstacle + 0.5 * across / np.linalg.norm(across, axis=1, keepdims=True)
    _, failed = walk(environment, over, 12)
    assert not failed.any()
    succeeded, failed = walk(environment, layout.goal, 12)
    assert succeeded.all() and not failed.any()


def test_speed_is_limited_and_still_episodes_stay() -> None:
    environment = PlanarReach()
    environment.reset([1, 2])
    before = environment.places()
    environment.step(np.full((2, 2), 9.0), np.array([True, False]))
    assert np.linalg.norm(environment.places() - before, axis=1) == pytest.approx([SPEED, 0.0])


def test_a_fast_point_does_not_jump_over_the_obstacle() -> None:
    ends = np.array([[2.0, 0.0], [2.0, 3.0]])
    distance = segment_distance(np.array([[1.0, 0.1], [1.0, 0.0]]), np.zeros((2, 2)), ends)
    assert distance == pytest.approx([0.1, 3 / np.sqrt(13)])


def test_goal_needs_its_radius() -> None:
    environment = PlanarReach()
    environment.reset([3])
    for offset, reached in ((GOAL_RADIUS * 0.99, True), (GOAL_RADIUS * 1.01, False)):
        environment.position = environment.layout.goal + np.array([[offset, 0.0]])
        assert environment.step(np.zeros((1, 2)), np.ones(1, dtype=bool)).succeeded[0] == reached


def test_an_episode_is_a_function_of_its_seed() -> None:
    environment = PlanarReach()
    many = environment.reset([5, 6, 7]).numbers
    assert environment.reset([7]).numbers[0] == pytest.approx(many[2], abs=0)
    assert len(np.unique(environment.reset(range(100)).numbers.round(6), axis=0)) == 100


def test_demonstrator_succeeds_on_both_sides_at_a_distance() -> None:
    environment = make("planar")
    episodes = run_episodes(environment, Demonstrator(environment), range(500))
    assert success_rate(episodes) >= 0.99
    sides = np.array([episode.scene.passed_side(episode.places) for episode in episodes])
    assert set(sides) == {-1, 1} and 0.4 < (sides == 1).mean() < 0.6
    for episode in episodes[:50]:
        assert episode.scene.obstacle is not None
        nearest = np.linalg.norm(episode.places - episode.scene.obstacle, axis=1).min() - episode.scene.radius
        assert nearest > 0.7 * CLEARANCE


def test_noise_is_corrected() -> None:
    environment = make("planar")
    assert success_rate(run_episodes(environment, Demonstrator(environment), range(500), noise=0.3)) >= 0.95


def test_random_actions_fail() -> None:
    environment = make("planar")
    assert success_rate(run_episodes(environment, RandomPolicy(environment, hold=6), range(500))) < 0.05


def test_the_mean_of_both_sides_collides() -> None:
    """What regression learns at best: the average of the demonstrator's two actions."""
    environment = PlanarReach()

    class Mean:
        def begin(self, keys: Sequence[Key]) -> None:
            pass

        def actions(self, seen: Seen, active: np.ndarray) -> np.ndarray:
            actions = []
            for side in (-1.0, 1.0):
                environment.side = np.full(len(active), side)
                actions.append(environment.expert(active))
            return np.mean(actions, axis=0)

    assert success_rate(run_episodes(environment, Mean(), range(200))) < 0.05


def test_passed_side_and_entropy() -> None:
    scene = Scene((1.0, 0.0), 0.1, (0.0, 0.0), 0.3)
    angle = np.linspace(np.pi, 0, 20)
    over = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    assert scene.passed_side(over) == 1 and scene.passed_side(over * [1, -1]) == -1 and scene.passed_side(over[:3]) == 0
    environment = make("planar")
    both = run_episodes(environment, Demonstrator(environment), episode_seeds(Purpose.EVALUATION, 0, 256, 32))
    assert side_entropy(both) > 0.9
    one = [episode for episode in both if episode.scene.passed_side(episode.places) == 1]
    assert side_entropy(one) == 0.0


def test_thousands_of_steps_a_second() -> None:
    import time

    environment = make("planar")
    started = time.perf_counter()
    episodes = run_episodes(environment, Demonstrator(environment), range(400))
    assert sum(episode.steps for episode in episodes) / (time.perf_counter() - started) > 5000


@pytest.mark.parametrize("gap", [0.0, 1.0])
def test_the_likelihood_of_training_demonstrations_stands_beside(gap: float) -> None:
    train, test = [0] * 50, [0] * 50
    model = SimpleNamespace(
        family=SimpleNamespace(likelihood="exact"), codec=SimpleNamespace(space=SimpleNamespace(dims=4)),
        bound=lambda data, count: torch.linspace(7, 9, count) - 4 * gap * (data is train),
    )
    [found] = _bound_measure(model, SimpleNamespace(train=train, test=test))  # type: ignore[arg-type]
    assert found.value == pytest.approx(2) and found.train_value == pytest.approx(2 - gap)
    assert found.overfitted is (gap > 0)
