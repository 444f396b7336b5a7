"""Environments of a user's own and of gymnasium: episodes repeat, however many run beside them; what breaks is one
line."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Any

import numpy as np
import pytest

pytest.importorskip("gymnasium", reason="gymnasium is not installed")

import point_environment  # noqa: E402

from apps import robotics  # noqa: E402
from apps.robotics import workers  # noqa: E402
from apps.robotics.cli import app  # noqa: E402, F401
from apps.robotics.environments import make  # noqa: E402
from apps.robotics.observations import Layout, of_space  # noqa: E402
from apps.robotics.rollouts import Demonstrator, RandomPolicy, run_episodes  # noqa: E402
from apps.robotics.simulation import Episode  # noqa: E402
from apps.robotics.simulators import METAWORLD  # noqa: E402
from core.errors import FourfoldError  # noqa: E402

Refused = Callable[..., str]
POINT = "point_environment:Point"


def same(first: Episode, second: Episode) -> bool:
    return (first.seed == second.seed and first.succeeded == second.succeeded
            and np.array_equal(first.observations, second.observations)
            and np.array_equal(first.executed, second.executed))


def test_episodes_do_not_depend_on_processes_or_company() -> None:
    seeds = [5, 6, 7, 5, 8]
    found = []
    for processes, some in ((1, seeds), (2, seeds), (2, seeds[2:3]), (0, seeds[:1])):
        with closing(make(POINT, processes=processes)) as environment:
            found.append(run_episodes(environment, RandomPolicy(environment, hold=2), some, noise=0.1))
    one, two, alone, here = found
    assert all(map(same, one, two)) and same(one[2], alone[0]) and same(one[0], here[0])
    assert not np.array_equal(one[0].executed, one[3].executed) and one[0].steps == 30
    assert np.array_equal(one[0].observations[0], one[3].observations[0])


def test_observations_of_any_nesting_become_a_vector_and_back() -> None:
    with closing(make(point_environment.Point)) as environment:
        assert environment.observation.names == ("robot.battery[0]", "robot.battery[1]", "robot.battery[2]",
                                                 "robot.position[0]", "robot.position[1]", "target[0]", "target[1]")
        seen = environment.reset([3]).numbers[0]
        value = environment.observation.value(seen)
        assert value["robot"]["battery"] == 2 and value["target"].shape == (2,)
        assert np.array_equal(environment.observation.vector(value), seen)
    from gymnasium import spaces

    layout = of_space(spaces.Tuple((spaces.MultiDiscrete([2, 3]), spaces.Box(-1, 1, (2, 2)))), "a")
    given = (np.array([1, 2]), np.arange(4.0).reshape(2, 2))
    again = layout.value(layout.vector(given))
    assert isinstance(again, tuple) and all(map(np.array_equal, again, given))


@pytest.mark.parametrize(("name", "picture"), [("Point", 0), ("Steps", 0), ("Watched", 32), ("Point", 16)])
def test_experts_of_a_users_environment_succeed(name: str, picture: int) -> None:
    found = robotics.collect(getattr(point_environment, name), 6, noise=0.0, picture=picture)
    assert found.succeeded.all() and found.lengths.max() < 30
    if name == "Steps":
        assert found.actions.shape[1] == 5 and (found.actions.sum(1) == 1).all()
    if picture:
        assert found.pictures is not None and found.pictures.shape[1:] == (picture, picture, 3)
        assert found.pictures.std() > 10 and (found.observations.shape[1] == 0) == (name == "Watched")


def test_environments_of_gymnasium_are_made_by_id() -> None:
    with closing(make("CartPole-v1")) as environment:
        assert environment.limit == 500 and environment.action.width == 2
        episodes = run_episodes(environment, RandomPolicy(environment), [1, 2])
        assert [episode.succeeded for episode in episodes] == [False, False]
        assert all(episode.reward == episode.steps < 200 for episode in episodes)
        with pytest.raises(FourfoldError, match="has no scripted expert"):
            run_episodes(environment, Demonstrator(environment), [1])


@pytest.mark.parametrize(("name", "told"), [
    ("raises", "fails in the episode of seed 7 (ValueError: the joint is stuck)"),
    ("shape", "the observation['target'] has shape (3,): must be (2,)"),
    ("nan", "the observation['target'] has numbers that are not finite"),
    ("text", "the observation['target'] is str: must be numbers"),
    ("missing", "the observation has no 'robot/battery' among target"),
    ("nothing", "makes NoneType, which has no reset()"),
    ("stops", "cannot be made (RuntimeError: no licence)"),
    ("NUMBER", "is int: must be a function that makes one"),
    ("Pint", "did you mean 'Point'?"),
])
def test_a_broken_environment_is_one_line(name: str, told: str) -> None:
    with pytest.raises(FourfoldError) as error:  # noqa: SIM117
        with closing(make(f"point_environment:{name}", processes=0)) as environment:
            run_episodes(environment, RandomPolicy(environment), [7])
    assert told in str(error.value)


@pytest.mark.parametrize(("name", "told"), [
    ("hangs", "has not answered for 2 seconds: it was ended"), ("dies", "ended by itself (code 3)"),
])
def test_an_environment_that_hangs_or_dies_is_one_line(monkeypatch: pytest.MonkeyPatch, name: str, told: str) -> None:
    with closing(make(f"point_environment:{name}", processes=1)) as environment:
        environment.reset([1])
        monkeypatch.setattr(workers, "PATIENCE", 2.0)
        with pytest.raises(FourfoldError) as error:
            run_episodes(environment, RandomPolicy(environment), [7])
    assert told in str(error.value)


@pytest.mark.parametrize(("words", "told"), [
    (["collect", "asembly-v3"], "did you mean 'assembly-v3'?"),
    (["collect", "CartPool-v1"], "did you mean 'CartPole-v1'?"),
    (["collect", "gym_pusht2/PushT-v0"], "is the package 'gym_pusht2' installed?"),
    (["collect", "nowhere_at_all:make"], "no module 'nowhere_at_all'"),
    (["collect", POINT, "--policy", "point_environment:lost"], "the action of the policy has shape (5,)"),
    (["collect", POINT, "--policy", "point_environment:fails"], "the policy fails (KeyError: 'goal')"),
    (["collect", POINT, "--picture", "7"], "picture is 7"),
    (["collect", "planar", "--picture", "64"], "has no pictures"),
    (["collect", POINT, "-o", "demos.csv"], "demonstrations are written as .npz"),
    (["train", "--data", "demos.npz", "--set", "data.environment=point"], "no such folder or file"),
])
def test_refused(refused: Refused, words: list[str], told: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert told in refused(*words, *(["-n", "2"] if words[0] == "collect" else []))


def test_all_fifty_tasks_of_metaworld_are_known() -> None:
    policies = pytest.importorskip("metaworld.policies", exc_type=ImportError)
    assert set(policies.ENV_POLICY_MAP) == set(METAWORLD) and len(METAWORLD) == 50


def test_a_layout_refuses_other_names() -> None:
    with pytest.raises(FourfoldError, match="names"):
        Layout(parts=(), names=("x",))


