"""How good a policy is: success over episodes, and whether it goes both ways where the demonstrator does."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace

import numpy as np
import torch

from apps.robotics.baselines import regression
from apps.robotics.codec import ChunkCodec
from apps.robotics.model import RoboticsModel
from apps.robotics.policy import Policy, one_thread
from apps.robotics.rollouts import (
    Actor,
    Demonstrator,
    Purpose,
    RandomPolicy,
    environment_of,
    episode_seeds,
    run_episodes,
)
from apps.robotics.simulation import Environment, Episode, Seen, by_start
from core.errors import FourfoldError
from core.metrics.intervals import bootstrap, wilson
from core.runs.domain import Prepared
from core.runs.measures import Measure

log = logging.getLogger(__name__)
DRAWS = 8  # chunks of which the nearest to a demonstrated one counts
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
    """Success over `n` episodes, against regression with the same network, random actions and the expert; and more.

    Where nothing says in which environment to act: how far actions are from held-out demonstrations.
    """
    baseline = regression(model, prepared)
    if model.recipe.data.place is None:
        log.warning("nothing says where this task is done (data.environment): actions are compared with held-out "
                    "demonstrations, which tells less than success")
        return [_action_error(model, baseline, prepared), *_bound_measure(model, prepared), _latency(model)]
    with closing(environment_of(model)) as environment:
        policy = Policy(model, seed=seed, together=environment.parallel)
        regressor = Policy(baseline, seed=seed, together=environment.parallel)
        seeds = episode_seeds(Purpose.EVALUATION, seed, n)
        # Rates near 0 and 1 need fewer episodes, each of which costs a simulator's time.
        actors: dict[str, tuple[Actor, int]] = {
            "policy": (policy, n), "regression": (regressor, n),
            "random": (RandomPolicy(environment, seed, model.recipe.data.execute), min(n, 100)),
        }
        if has_expert(environment):
            actors["demonstrator"] = (Demonstrator(environment, seed), min(n, 100))
        rates = {name: run_episodes(environment, actor, seeds[:count]) for name, (actor, count) in actors.items()}
        won = sum(episode.succeeded for episode in rates["policy"])
        success = Measure(
            name="success", value=won / n, interval=wilson(won, n), better="higher", count=n,
            baseline=success_rate(rates["regression"]), baseline_name="same-network regression",
            floor=success_rate(rates["demonstrator"]) if "demonstrator" in rates else None,
        )
        measures = [success, replace(success, name="success_vs_random", baseline=success_rate(rates["random"]),
                                     baseline_name="random actions")]
        if environment.name == "planar":
            measures.append(_side_measure(environment, policy, regressor, seed))
    return [*measures, *_bound_measure(model, prepared), _latency(model)]


def has_expert(environment: Environment) -> bool:
    """Whether a scripted expert can be asked what to do."""
    environment.reset([0])
    try:
        environment.expert(np.ones(1, dtype=bool))
    except FourfoldError:
        return False
    return True


def _action_error(model: RoboticsModel, baseline: RoboticsModel, prepared: Prepared[ChunkCodec]) -> Measure:
    """The root mean square of what the nearest of `DRAWS` chunks is off held-out ones, in shares of half their range:
    the nearest, as there may be several ways."""
    count = min(256, len(prepared.test))
    batch = prepared.test.batch(np.arange(count))
    errors = {}
    for name, one, draws in (("policy", model, DRAWS), ("regression", baseline, 1)):
        drawn = [one.sample_batch(count, seed=seed, condition=batch.condition).x for seed in range(draws)]
        off = torch.stack([(x - batch.x).square().flatten(1).mean(1) for x in drawn]).amin(0)
        errors[name] = float(off.mean().sqrt())
    return Measure(name="action_error", value=errors["policy"], better="lower", count=count,
                   baseline=errors["regression"], baseline_name="same-network regression")


def _side_measure(environment: Environment, policy: Policy, regressor: Policy, seed: int) -> Measure:
    seeds = episode_seeds(Purpose.EVALUATION, seed, SCENES * VISITS, VISITS)
    actors: dict[str, Actor] = {"policy": policy, "regression": regressor, "expert": Demonstrator(environment, seed)}
    entropy = {name: side_entropy(run_episodes(environment, actor, seeds)) for name, actor in actors.items()}
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


def _latency(model: RoboticsModel, repeats: int = 10) -> Measure:
    """Milliseconds of one decision for one robot on one thread, a whole call, median."""
    codec = model.codec
    policy, seconds = Policy(model, execute=1), []
    numbers = np.asarray(codec.mean)[None]
    pictures = np.zeros((1, codec.picture, codec.picture, codec.channels), np.uint8) if codec.picture else None
    with one_thread():
        for _ in range(repeats):
            started = time.perf_counter()
            policy.actions(Seen(numbers, pictures), np.ones(1, dtype=bool))
            seconds.append(time.perf_counter() - started)
    return Measure(name="decision_ms", value=1000 * float(np.median(seconds)), better="lower", count=repeats)
