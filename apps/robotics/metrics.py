"""How good a policy is: success over episodes, and whether it goes both ways where the demonstrator does."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from apps.robotics.baselines import regression
from apps.robotics.codec import ChunkCodec
from apps.robotics.environments import make
from apps.robotics.model import RoboticsModel
from apps.robotics.rollouts import Actor, Demonstrator, Policy, Purpose, RandomPolicy, episode_seeds, run_episodes
from apps.robotics.simulation import Environment, Episode, by_start
from core.metrics.intervals import bootstrap, wilson
from core.runs.domain import Prepared
from core.runs.measures import Measure

SCENES, VISITS = 20, 16  # starts, and rollouts from each, behind the measure of sides


def success_rate(episodes: Sequence[Episode]) -> float:
    """Share of episodes that succeeded."""
    return sum(episode.succeeded for episode in episodes) / len(episodes)


def side_entropy(episodes: Sequence[Episode]) -> float:
    """Bits between left and right of successful episodes with the same seed, averaged over seeds: 0 (one way) to 1.

    Where fewer than two episodes of a seed succeed there is no choice to see: it counts as 0.
    """
    return float(np.mean([_side_entropy(group) for group in by_start(episodes)]))


def _side_entropy(episodes: Sequence[Episode]) -> float:
    sides = [side for one in episodes if one.succeeded and (side := one.scene.passed_side(one.places))]
    left = sum(side > 0 for side in sides) / max(1, len(sides))
    return sum(-part * math.log2(part) for part in (left, 1 - left) if part > 0)


def evaluate(model: RoboticsModel, prepared: Prepared[ChunkCodec], n: int, seed: int) -> list[Measure]:
    """Success over `n` episodes, against regression with the same network, random actions and the expert; and more."""
    config = model.recipe.data
    environment = make(config.task)
    seeds = episode_seeds(Purpose.EVALUATION, seed, n)
    policy = Policy(model=model, seed=seed)
    regressor = Policy(model=regression(model, prepared), seed=seed)
    # Rates near 0 and 1 need fewer episodes, each of which costs a simulator's time.
    actors: dict[str, tuple[Actor, int]] = {
        "policy": (policy, n),
        "regression": (regressor, n),
        "random": (RandomPolicy(environment, seed, config.execute), min(n, 100)),
        "demonstrator": (Demonstrator(environment, seed), min(n, 100)),
    }
    rates = {
        name: run_episodes(environment, actor, seeds[:count], history=config.history)
        for name, (actor, count) in actors.items()
    }
    won = sum(episode.succeeded for episode in rates["policy"])
    success = Measure(
        name="success", value=won / n, interval=wilson(won, n), better="higher", count=n,
        baseline=success_rate(rates["regression"]), baseline_name="same-network regression",
        floor=success_rate(rates["demonstrator"]),
    )
    random = success_rate(rates["random"])
    measures = [success, replace(success, name="success_vs_random", baseline=random, baseline_name="random actions")]
    if environment.name == "planar":
        measures.append(_side_measure(environment, policy, regressor, seed, config.history))
    return [*measures, *_bound_measure(model, prepared), _latency(policy, environment, config.history)]


def _side_measure(environment: Environment, policy: Policy, regressor: Policy, seed: int, history: int) -> Measure:
    seeds = episode_seeds(Purpose.EVALUATION, seed, SCENES * VISITS, VISITS)
    entropy = {
        name: side_entropy(run_episodes(environment, actor, seeds, history=history))
        for name, actor in (("policy", policy), ("regression", regressor), ("expert", Demonstrator(environment, seed)))
    }
    return Measure(
        name="side_entropy_bits", value=entropy["policy"], better="higher", count=len(seeds),
        baseline=entropy["regression"], baseline_name="same-network regression", floor=entropy["expert"],
    )


def _bound_measure(model: RoboticsModel, prepared: Prepared[ChunkCodec]) -> list[Measure]:
    """Nats per action number of held-out demonstrations, beside as many of the training's, where the family has a
    likelihood. That is what tells of overfitting: a chunk near a demonstrated one is no copy but what was asked for."""
    kind = model.family.likelihood
    if kind == "none":
        return []
    count = min(256, len(prepared.test))
    nats, trained = (model.bound(data, count).numpy() / model.codec.space.dims
                     for data in (prepared.test, prepared.train))
    return [Measure(name="nats_per_action_number", value=float(nats.mean()), better="lower", kind=kind, count=count,
                    interval=bootstrap(np.mean, nats), train_value=float(trained.mean()))]


def _latency(policy: Policy, environment: Environment, history: int, repeats: int = 10) -> Measure:
    """Milliseconds of one decision for one robot, median."""
    histories = np.repeat(environment.reset([0])[:, None], history, axis=1)
    seconds = []
    for index in range(repeats):
        started = time.perf_counter()
        policy(histories, np.ones(1, dtype=bool), (index,))
        seconds.append(time.perf_counter() - started)
    return Measure(name="decision_ms", value=1000 * float(np.median(seconds)), better="lower", count=repeats)
