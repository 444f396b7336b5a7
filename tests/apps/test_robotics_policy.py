"""A policy of a user's own demonstrations: in the user's own loop, in an environment named by its function, as ONNX."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("gymnasium", reason="gymnasium is not installed")

import point_environment  # noqa: E402
from point_environment import Point, Steps, nearest  # noqa: E402

from apps import robotics  # noqa: E402
from apps.robotics.cli import app  # noqa: E402, F401
from apps.robotics.domain import DOMAIN  # noqa: E402
from apps.robotics.policy import TrainedPolicy  # noqa: E402
from apps.robotics.recipes import RECIPES  # noqa: E402
from core.errors import FourfoldError  # noqa: E402
from core.runs.pretrained import build  # noqa: E402

Cli = Callable[..., tuple[int, str, str]]
Refused = Callable[..., str]
POINT = "point_environment:Point"
SETTINGS = {"train.steps": 250, "train.batch_size": 64, "train.learning_rate": 3e-3, "train.ema_decay": 0.98,
            "data.history": 2}


def own_episodes(count: int, make: Callable[[], Any] = Point) -> list[dict[str, Any]]:
    """Demonstrations as a user records them: the arrays of a loop of their own."""
    episodes, environment = [], make()
    for seed in range(count):
        observation, _ = environment.reset(seed=seed)
        seen, acted, done = [observation], [], False
        while not done:
            acted.append(environment.expert())
            observation, _, _, truncated, info = environment.step(np.asarray(acted[-1], np.float32)
                                                                  if make is Point else acted[-1])
            done = truncated or info["is_success"]
            seen.append(observation)
        told = {"target": np.array([each["target"] for each in seen]), "robot": {
            "battery": np.array([each["robot"]["battery"] for each in seen]),
            "position": np.array([each["robot"]["position"] for each in seen])}}
        episodes.append({"observations": told, "actions": np.array(acted), "succeeded": bool(info["is_success"])})
    return episodes


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("own") / "run"
    robotics.train(own_episodes(60), run=folder, settings={**SETTINGS, "data.environment": POINT})
    return folder


@pytest.fixture(scope="module")
def model(run: Path) -> TrainedPolicy:
    return robotics.load(run, "cpu")


def test_a_policy_acts_in_a_users_own_loop_without_the_simulator(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment, won = Point(), 0
    for name in ("gymnasium", "mujoco", "metaworld"):
        monkeypatch.setitem(sys.modules, name, None)
    policy = robotics.load(run).policy(num_steps=4)
    monkeypatch.undo()
    for seed in range(100, 112):
        observation, _ = environment.reset(seed=seed)
        policy.reset(seed)
        for _ in range(30):
            action = policy.act(observation)
            assert isinstance(action, np.ndarray) and action.shape == (2,)
            observation, _, _, _, info = environment.step(action.astype(np.float32))
            if info["is_success"]:
                won += 1
                break
    assert won >= 8


def test_rollouts_in_an_environment_of_ones_own_repeat_however_many_there_are(model: TrainedPolicy) -> None:
    many = robotics.rollout(model, 6, seed=1, processes=1)
    few = robotics.rollout(model, 3, seed=1, processes=2)
    here = robotics.rollout(model, 6, seed=1, environment=Point)
    for others in (few, here):
        for one, other in zip(many, others, strict=False):
            assert one.seed == other.seed and np.array_equal(one.executed, other.executed)
            assert np.array_equal(one.observations, other.observations) and one.succeeded == other.succeeded
    assert robotics.success_rate(robotics.rollout(model, 24, environment=Point)) > 0.6


@pytest.mark.parametrize("name", ["tour-vae", "tour-gan", "tour-diffusion", "tour-autoregressive", "planar-mip"])
def test_what_each_family_does_does_not_depend_on_company(name: str) -> None:
    """To the last bit: weights are drawn, not trained, so that nothing is near zero."""
    recipe = RECIPES[name]()
    recipe = replace(recipe, data=replace(recipe.data, demonstrations=20))
    model = build(DOMAIN, recipe, DOMAIN.prepare(recipe.data).codec, torch.device("cpu"))
    draws = torch.Generator().manual_seed(0)
    for parameter in model.family.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=draws)
    many, few = (robotics.rollout(model, n, seed=3) for n in (7, 2))
    for one, other in zip(many, few, strict=False):
        assert np.array_equal(one.executed, other.executed) and len(np.unique(one.executed)) > 10


def test_chunks_are_executed_in_part_or_averaged(model: TrainedPolicy) -> None:
    observation, _ = Point().reset(seed=3)
    decided = []
    for settings in ({"execute": 3}, {"execute": 1}, {"ensemble": 0.0}):
        policy = model.policy(seed=5, **settings)
        policy.reset(2)
        decided.append(np.stack([policy.act(observation) for _ in range(6)]))
    three, one, mean = decided
    assert np.array_equal(three[0], one[0]) and not np.array_equal(three[1], one[1])
    assert np.array_equal(three[3], one[3])  # a new chunk, drawn for the same step
    assert np.array_equal(mean[0], one[0]) and not np.array_equal(mean[1], one[1])
    policy = model.policy(seed=5)
    policy.reset(2)
    assert np.array_equal(policy.act(observation), three[0])  # the same seed, the same action


def test_the_observation_of_a_moment_ago_matters(model: TrainedPolicy) -> None:
    assert model.codec.history == 2 and len(model.codec.conditions["observation"].mean) == 10  # type: ignore[union-attr]
    first, later = (Point().reset(seed=seed)[0] for seed in (3, 4))
    policy = model.policy()
    policy.act(later)
    fresh = policy.act(later)
    policy.reset()
    policy.act(first)
    assert not np.array_equal(policy.act(later), fresh)


@pytest.mark.parametrize(("observation", "told"), [
    ({"target": np.zeros(2)}, "has no 'robot/battery'"),
    (np.zeros(7), "has no"),
    ({"target": np.zeros(3), "robot": {"position": np.zeros(2), "battery": 0}}, "shape (3,): must be (2,)"),
    ({"target": [np.nan, 0], "robot": {"position": np.zeros(2), "battery": 0}}, "not finite"),
    ({"target": "left", "robot": {"position": np.zeros(2), "battery": 0}}, "must be numbers"),
])
def test_a_wrong_observation_is_one_line(model: TrainedPolicy, observation: Any, told: str) -> None:
    with pytest.raises(FourfoldError) as error:
        model.policy().act(observation)
    assert told in str(error.value)


def test_from_files_to_a_rollout(
    cli: Cli, refused: Refused, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """README's steps for an environment that nobody has seen: choices as actions, demonstrations as plain arrays."""
    monkeypatch.chdir(tmp_path)
    episodes = own_episodes(40, Steps)
    np.savez("demos.npz", allow_pickle=False, **{
        "observations.target": np.concatenate([each["observations"]["target"][:-1] for each in episodes]),
        "observations.robot.position": np.concatenate(
            [each["observations"]["robot"]["position"][:-1] for each in episodes]),
        "observations.robot.battery": np.concatenate(
            [each["observations"]["robot"]["battery"][:-1] for each in episodes]).astype(np.float32),
        "actions": np.concatenate([each["actions"] for each in episodes]),
        "episode_ends": np.cumsum([len(each["actions"]) for each in episodes]),
    })
    code, out, err = cli("inspect", "demos.npz")
    assert code == 0 and "demos: 40 episodes, 40 succeed" in out
    assert Path("inspected/episodes.png").stat().st_size > 5000
    code, out, err = cli("train", "vae", "--data", "demos.npz", "--set", "train.steps=2", "--run", "plain")
    assert code == 0 and "does not say which episodes succeeded" in caplog.text, err
    assert "give --environment module:function" in refused("rollout", "plain", "-n", 2)
    assert "cannot act there" in refused("rollout", "plain", "-n", 2, "--environment", "CartPole-v1")
    code, out, err = cli("rollout", "plain", "-n", 2, "--environment", "point_environment:Steps", "-o", "out")
    assert code == 0 and "of 2 episodes succeed" in out and "mean reward" in out, err


def test_a_policy_function_and_a_policy_are_demonstrators_too(model: TrainedPolicy) -> None:
    assert robotics.collect(Point, 4, policy=nearest, noise=0.0).succeeded.all()
    careful = robotics.collect(Point, 4, policy=point_environment.Careful, noise=0.0)
    eager = robotics.collect(Point, 4, noise=0.0)
    assert careful.succeeded.all() and careful.lengths.sum() > eager.lengths.sum()
    own = robotics.collect(Point, 4, policy=model, noise=0.0)
    taught = robotics.collect(Point, 4, policy=model, relabel=True, noise=0.0)
    assert np.array_equal(own.observations, taught.observations) and not np.array_equal(own.actions, taught.actions)
    straight = taught.observations[:, :2] - taught.observations[:, 3:5]
    assert np.allclose(taught.actions, np.clip(straight / 0.2, -1, 1), atol=1e-5)
    some = robotics.collect(Point, 12, policy=model, only_successes=True, limit=8, noise=0.0)
    assert some.succeeded.all() and 0 < len(some.lengths) < 12


def test_a_policy_becomes_onnx_that_does_the_same(run: Path, model: TrainedPolicy, cli: Cli, tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    code, out, err = cli("export", run, "--file", tmp_path / "policy.onnx", "--steps", 3)
    assert code == 0 and "agree" in out, err
    session = runtime.InferenceSession(tmp_path / "policy.onnx")
    observation = Point().reset(seed=3)[0]
    numbers = np.tile(model.codec.observation.vector(observation), 2)[None].astype(np.float32)
    noise = np.zeros((1, *model.codec.space.shape), np.float32)
    [actions] = session.run(None, {"observation": numbers, "noise": noise})
    assert actions.shape == (1, 8, 2)
    way = observation["target"] - observation["robot"]["position"]
    assert actions[0, 0] @ way > 0


def test_an_environment_of_other_spaces_is_refused(model: TrainedPolicy) -> None:
    with pytest.raises(FourfoldError, match="observations of 4 numbers, and the model learned 5"):
        robotics.rollout(model, 1, environment="CartPole-v1")
    with pytest.raises(FourfoldError, match="actions of 5 numbers, and the model learned 2"):
        robotics.rollout(model, 1, environment=Steps)


def test_pictures_alone_teach_a_policy(tmp_path: Path) -> None:
    found = robotics.collect(point_environment.Watched, 12, noise=0.0, picture=32)
    model = robotics.train(found, run=tmp_path / "run", settings={
        "train.steps": 3, "train.batch_size": 8, "data.picture": 32, "data.environment": "point_environment:Watched"})
    assert set(model.codec.conditions) == {"picture"}
    [episode] = robotics.rollout(model, 1, processes=1, limit=4)
    assert episode.pictures is not None and episode.pictures.shape == (5, 32, 32, 3)
    action = model.policy().act(point_environment.Watched().reset(seed=1)[0])
    assert action.shape == (2,) and np.isfinite(action).all()
